/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * divergence.h: the first difference between what was recorded and what the
 * Backup did, kept for the one report that is made of it.
 *
 * No QEMU.  Written once by the Backup's thread, before it says that it has
 * diverged; read by any thread after that.
 */
#ifndef DIVERGENCE_H
#define DIVERGENCE_H

#include "pb-position.h"

#define PB_LAST_EVENTS 16

typedef struct PbDivergence {
    PbEvent event;            /* the event that could not be replayed */
    char expected[160];
    char got[440];
    PbPosition at;            /* where the Backup stands */
    PbEvent last[PB_LAST_EVENTS];   /* events before it, oldest first */
    unsigned lasts;
} PbDivergence;

/*
 * One line: "backup diverged at event 1042 (irq): expected ..., got ...".
 */
int pb_divergence_print(const PbDivergence *d, char *buf, size_t len);

#endif /* DIVERGENCE_H */
