/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-recover.h: a Backup in the middle of the Primary's life: the first,
 * with backup=off, or a new one when the last has diverged or failed.
 *
 * Main thread with the BQL held.
 */
#ifndef PBKVM_RECOVER_H
#define PBKVM_RECOVER_H

#include "qapi/qapi-types-pbkvm-target.h"
#include "qom/object.h"
#include "pb-state.h"

typedef struct PbkvmRecovery {
    PbkvmOnDivergence policy;
    unsigned restarts;        /* Backups that began in mid-life */
    int64_t last;             /* when the policy made one, get_clock() */
    unsigned in_a_row;        /* of these, each soon after the one before */
} PbkvmRecovery;

typedef struct PbkvmState PbkvmState;

/* Option on-divergence. */
void pbkvm_recover_class_init(ObjectClass *oc);

/*
 * A new Backup takes the place of the one there is: it follows the Primary,
 * which stands stopped at its last event, with @state, since @since
 * (get_clock()).  NULL: there is none now.  Event PBKVM_STARTED tells.
 */
PbkvmStarted *pbkvm_new_backup(PbkvmState *s, const PbState *state,
                               int64_t since, Error **errp);

/* The Backup has diverged or failed, and it was said: what now? */
void pbkvm_recover(PbkvmState *s);

#endif /* PBKVM_RECOVER_H */
