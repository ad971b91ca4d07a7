/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-slices.h: option verify-interval: slice by slice, the RAM of Primary
 * and Backup is compared while both run.
 *
 * Main thread, BQL held, where nothing else is said.
 */
#ifndef PBKVM_SLICES_H
#define PBKVM_SLICES_H

#include "qapi/qapi-types-pbkvm-target.h"
#include "qemu/timer.h"
#include "qom/object.h"
#include "backup-replay.h"

#define PBKVM_SLICE_BYTES (64u << 10)

typedef struct PbkvmSlices {
    uint32_t interval_ms;     /* 0: off */
    QEMUTimer *timer;
    bool due;                 /* atomic */

    /* The Primary's thread; read by others. */
    uint64_t recorded;
    uint64_t stop_ns;         /* that it stood still for all of these, */
    uint64_t stop_max_ns;     /* and for one at most */
} PbkvmSlices;

typedef struct PbkvmState PbkvmState;

void pbkvm_slices_class_init(ObjectClass *oc);

/* The history has begun.  Primary's thread, BQL held. */
void pbkvm_slices_start(PbkvmState *s);

/* The clock was set back: when the next one is due.  Main thread. */
void pbkvm_slices_restart(PbkvmState *s);

/*
 * Primary's thread, before it enters the guest: record a slice, if one is
 * due.  Results as pb_record_slice(), but 0 also when it has to wait.
 */
int pbkvm_slices_record(PbkvmState *s);

/* What query-pbkvm tells, or NULL when it is off. @b: the Backup's. */
PbkvmSlicesInfo *pbkvm_slices_info(const PbkvmState *s,
                                   const PbBackupStats *b);

#endif /* PBKVM_SLICES_H */
