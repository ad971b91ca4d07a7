/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-cpus.c: vCPUs that take turns. */
#include "pb-cpus.h"

void pb_cpus_select(PbCpus *c, unsigned to)
{
    PbVcpu *v = c->v, next = c->rest[to];

    if (to == c->now) {
        return;
    }
    /* Others kick by the counter: it is the same all the time. */
    next.counter = v->counter;
    next.tsc = v->tsc;
    next.exits = v->exits;
    next.steps = v->steps;
    c->rest[c->now] = *v;
    *v = next;
    c->now = to;
    if (v->tsc) {
        v->tsc->fd = v->fd;
        pb_tsc_forget(v->tsc);
    }
}

int pb_cpus_turn(PbCpus *c, unsigned to)
{
    pb_cpus_select(c, to);
    return pb_vcpu_flush_tlb(c->v);
}
