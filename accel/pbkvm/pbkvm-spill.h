/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-spill.h: what happens when the ring is full: the Primary waits
 * (policy block), or its events go on into a file (policy spill: spill=FILE).
 * Nothing is lost in either.
 *
 * Main thread with the BQL held, where nothing else is said.
 */
#ifndef PBKVM_SPILL_H
#define PBKVM_SPILL_H

#include "qapi/qapi-types-pbkvm-target.h"
#include "qom/object.h"
#include "primary-spill.h"

typedef struct PbkvmFull {
    char *file;               /* spill=FILE, or NULL: policy block */
    int fd;                   /* of it, until there is a spill; else -1 */
    PbSpill *spill;

    /* The Primary's thread; read by others. */
    uint64_t count;           /* how often the ring was full */
    uint64_t ns;              /* how long the Primary waited for room */
    uint64_t times;           /* spills that were noted */
    bool failed;              /* it was said that the file failed */

    bool due;                 /* PBKVM_RING_FULL is to be sent; atomic */
    int64_t next;             /* not before; ms of QEMU_CLOCK_REALTIME */
    QEMUTimer *timer;
} PbkvmFull;

typedef struct PbkvmState PbkvmState;

/* Option spill. */
void pbkvm_spill_class_init(ObjectClass *oc);

/* Before the machine is made: make the file, if there shall be one. */
bool pbkvm_spill_open(PbkvmState *s, Error **errp);

/* The ring is made: make the spill. */
bool pbkvm_spill_start(PbkvmState *s, Error **errp);

/*
 * Forget what is in ring and spill, which no Backup consumes: by the Primary's
 * thread, or while it is stopped.
 */
void pbkvm_drop_history(PbkvmState *s);

/*
 * The Primary's thread, in pbkvm_cpu_exec(): the guest goes on only when
 * everything recorded is in the ring or the file.  False when somebody wants
 * the vCPU meanwhile.
 */
bool pbkvm_wait_for_room(PbkvmState *s, CPUState *cpu);

/*
 * The Primary rests (PbkvmState.in_exec is false, else nothing is done): let
 * the Backup have all that is recorded.  Any thread with the BQL held.
 */
void pbkvm_hand_over(PbkvmState *s);

/* For query-pbkvm. */
PbkvmRingPolicy pbkvm_ring_policy(const PbkvmState *s);
PbkvmSpill *pbkvm_spill_info(const PbkvmState *s);

#endif /* PBKVM_SPILL_H */
