/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-cpus.c: vCPUs that take turns. */
#include "pb-cpus.h"

void pb_cpus_select(PbCpus *c, unsigned to)
{
    PbVcpu *v = c->v, last = *v;

    if (to == c->now) {
        return;
    }
    c->rest[c->now] = last;
    *v = c->rest[to];
    c->now = to;
    v->counter = last.counter;
    v->tsc = last.tsc;
    v->exits = last.exits;
    v->steps = last.steps;
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
