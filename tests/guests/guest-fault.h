/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guest-fault.h: damage one thing between the recorder and the Backup, and
 * see when that is found.
 *
 * With GuestOptions.fault a third thread, the pump, takes the events from the
 * recorder's ring and puts them into the Backup's, one of them damaged.  The
 * Backup's own RAM, registers and counter are damaged on its thread, where it
 * looks at an event (the linker leads pb_event_check() here).
 */
#ifndef GUEST_FAULT_H
#define GUEST_FAULT_H

#include "guests.h"

typedef enum FaultKind {
    /* Damage on the way: neither numbers nor checksums are made right. */
    FAULT_HEAD, FAULT_BODY, FAULT_PAYLOAD, FAULT_GARBAGE,
    FAULT_LOST, FAULT_TWICE, FAULT_SWAPPED,

    /* The recorder was wrong: the history is sound in itself. */
    FAULT_UNRECORDED, FAULT_RECORDED_TWICE, FAULT_RECORDED_LATE,
    FAULT_VECTOR, FAULT_BRANCH, FAULT_RIP, FAULT_ANSWER, FAULT_DMA,

    /* The Backup itself. */
    FAULT_RAM, FAULT_REGISTER, FAULT_COUNT,
    FAULT_KINDS
} FaultKind;

typedef struct GuestFault {
    FaultKind kind;
    uint64_t at;              /* the first event that may be damaged */
    uint64_t random;

    /* Results. */
    bool done;                /* atomic: something was damaged */
    uint64_t seq;             /* at this event, */
    uint64_t branches;        /* and this branch count */
    char what[100];
    bool found;               /* by one of the Backup's checks, */
    bool verify;              /* or by a verify only */
    uint64_t found_seq, found_branches;
    uint64_t slices;          /* compared before the fault, */
    uint64_t found_slices;    /* and before it was found */
} GuestFault;

/* The pump between r->ring and r->backup_ring. */
bool guest_fault_start(GuestRun *r);
void guest_fault_stop(GuestRun *r);

/* The Backup has reported, or a verify (its event: @seq) has. */
void guest_fault_found(GuestRun *r, bool verify, uint64_t seq,
                       uint64_t branches);

/*
 * Make @n faults and tell of them in a table; how many classes are not as
 * they must be.  @real_mode_only: this host's KVM can run no other guest.
 */
unsigned guest_fault_table(const GuestOptions *o, unsigned n,
                           bool real_mode_only);

#endif /* GUEST_FAULT_H */
