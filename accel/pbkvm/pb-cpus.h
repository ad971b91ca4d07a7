/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-cpus.h: the vCPUs of one VM, which take turns on one thread.
 *
 * A guest with several vCPUs is replayed as one is, instruction by instruction,
 * because only one of them runs at a time: memory changes in an order that
 * repeats.  Their branches are counted together, by the one counter of the
 * thread, so a position in the history says for all of them how far they are.
 * PB_EVENT_TURN says which goes on from there.
 *
 * Whose turn it is, is @v: all that knows one vCPU alone looks at that.  All
 * functions belong to the thread that runs them, or to any while they rest.
 */
#ifndef PB_CPUS_H
#define PB_CPUS_H

#include "pb-state.h"
#include "pb-tsc.h"
#include "pb-vcpu.h"
#include "ring/pb-event.h"

typedef struct PbCpus {
    unsigned n;               /* 1 to PB_MAX_CPUS */
    unsigned now;             /* whose turn it is, */
    PbVcpu *v;                /* the caller's, */
    PbVcpu rest[PB_MAX_CPUS]; /* and the others; [now] is not valid */
} PbCpus;

static inline PbVcpu *pb_cpus_at(PbCpus *c, unsigned i)
{
    return i == c->now ? c->v : &c->rest[i];
}

/*
 * @v is @to from now on.  The one before stands at a position, nothing pending;
 * counter and TSC go from it to the next.
 */
void pb_cpus_select(PbCpus *c, unsigned to);

/*
 * It is @to's turn: select it, without what it had in its TLB.  Others may have
 * changed page tables since; what it would still know of the old ones depends
 * on the host, which may have had it forget.  0 or -errno.
 */
int pb_cpus_turn(PbCpus *c, unsigned to);

/* The state of each: 0 or -errno. */
int pb_cpus_get_state(PbCpus *c, PbState *state);

/*
 * pb_tsc_start(), for all of them; @t is @v's then.  pb_tsc_stop() ends it.
 */
int pb_cpus_start_tsc(PbCpus *c, PbTsc *t, const PbTscModel *m,
                      const PbTscStart *at, const char **what);

#endif /* PB_CPUS_H */
