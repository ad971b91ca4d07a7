/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-lag.h: how far the Backup stays behind: the options lag, lag-events,
 * lag-branches, lag-min and lag-max, and pbkvm-set-lag.
 *
 * Main thread, BQL held, where nothing else is said.
 */
#ifndef PBKVM_LAG_H
#define PBKVM_LAG_H

#include "qom/object.h"
#include "backup-replay.h"

#define PBKVM_LAG_MS_DEFAULT 2000
#define PBKVM_LAG_COUNT_MAX  1000000000000ull   /* events, branches */

/* The Backup keeps at least ms, events and branches; 0: not looked at. */
typedef struct PbkvmLag {
    uint32_t ms;
    uint32_t min_ms;          /* kept even when the ring is nearly full */
    uint32_t max_ms;          /* atomic: then the Primary waits; 0: never */
    uint64_t events;
    uint64_t branches;

    uint64_t heading;         /* PbBackupConfig.heading */

    /* The Primary's thread; held_ns is read by others. */
    uint64_t look_ns;         /* not before this Primary time */
    uint64_t held_ns;         /* how long the Primary waited for the Backup */
} PbkvmLag;

typedef struct PbkvmState PbkvmState;

void pbkvm_lag_class_init(ObjectClass *oc);

/*
 * False: lag-max is less than lag.  Warn if the ring is too small for the lag
 * wanted.
 */
bool pbkvm_lag_check(PbkvmState *s, Error **errp);

/*
 * The Primary's thread, in pbkvm_cpu_exec(), before it enters the guest: if
 * the Backup is later than lag-max, wait for it, or until somebody wants the
 * vCPU.  Primary time stands still meanwhile, so the guest does not notice.
 * 0; 1: answer the exit in kvm_run first; or -errno.
 */
int pbkvm_lag_hold(PbkvmState *s, CPUState *cpu);

/* The lag as the Backup takes it. */
PbLag pbkvm_lag_wanted(const PbkvmState *s);

/* PbBackupConfig.primary; @opaque is the PbkvmState. Any thread. */
bool pbkvm_lag_primary(void *opaque, uint64_t *seq, uint64_t *branches);

#endif /* PBKVM_LAG_H */
