/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backup-tidy.c: give back pages that the guest has cleared and not used since.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE           /* RUSAGE_THREAD */
#endif
#include <sys/resource.h>

#include "backup-internal.h"

/* So much RAM is looked at in one nap, */
#define PIECE (32u << 20)

/* a pass over all of it begins after so many page faults, */
#define WORTH 256

/* and takes one ns of so many. */
#define PARTS 100

static uint64_t faults(void)
{
    struct rusage u;

    return getrusage(RUSAGE_THREAD, &u) == 0 ? u.ru_minflt : 0;
}

static bool is_due(const PbTidy *t)
{
    return faults() - t->faults >= WORTH && pb_backup_clock() >= t->due;
}

void pb_backup_tidy(PbBackup *b)
{
    PbTidy *t = &b->tidy;
    uint64_t begun, dropped = 0;

    if (!t->passing) {
        if (!is_due(t)) {
            return;
        }
        *t = (PbTidy) { .passing = true, .faults = faults() };
    }
    begun = pb_backup_clock();
    t->passing = pb_mem_drop_zero(&b->mem, &t->at, PIECE, &dropped);
    t->took += pb_backup_clock() - begun;
    t->due = begun + t->took * PARTS;
    __atomic_store_n(&b->stats.zero_pages, b->stats.zero_pages + dropped,
                     __ATOMIC_RELAXED);
}
