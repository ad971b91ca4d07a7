/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * primary-internal.h: the recorder (primary-record.h), for its own files.
 *
 *   primary-record.c   its life and figures; marks
 *   primary-exit.c     what the guest writes and is answered
 *   primary-change.c   what others change: memory, slots, state
 *   primary-stand.c    positions, and what is recorded at one
 *   primary-emit.c     events on their way out
 */
#ifndef PRIMARY_INTERNAL_H
#define PRIMARY_INTERNAL_H

#include "branch-counter.h"
#include "primary-emit.h"
#include "primary-record.h"

struct PbRecorder {
    PbEmitter out;
    PbVcpu *v;
    bool read_open;       /* a read exit is with its device model, */
    bool read_begun;      /* and has already changed guest memory */
    uint64_t read_branches; /* where it is */
    bool stands;          /* the vCPU rests at */
    PbPosition at;        /* where no event is yet */
    PbEventSlice slice;   /* offset and block of the next one */
    uint64_t quiet_time;  /* ns: from then on, */
    uint64_t quiet_seq;   /* and from that event on, it may be quiet */
};

/* A synchronous event with the branch count as a check: the vCPU's thread. */
static inline PbEvent sync_event(PbRecorder *r, PbEventKind kind)
{
    PbEvent e = { .kind = kind, .branches = pb_counter_read(r->v->counter) };

    return e;
}

/* An event of the read exit that is open; also of who has the BQL. */
static inline PbEvent read_event(const PbRecorder *r, PbEventKind kind)
{
    return (PbEvent) { .kind = kind, .branches = r->read_branches };
}

/*
 * Beside its thread the vCPU rests, and where is what was recorded last.  No
 * check: the Backup's lag, and a walk to a branch count, ask how far it is.
 */
static inline PbEvent change_event(PbRecorder *r, PbEventKind kind)
{
    PbCounter *c = r->v->counter;

    return (PbEvent) {
        .kind = kind,
        .branches = pb_counter_is_mine(c) ? pb_counter_read(c)
                                          : r->out.last_branches,
    };
}

/* A time of few events: memory of the ring may be given back. */
void pb_record_trim(PbRecorder *r);

#endif /* PRIMARY_INTERNAL_H */
