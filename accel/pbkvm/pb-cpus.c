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

int pb_cpus_get_state(PbCpus *c, PbState *state)
{
    unsigned i;
    int ret = 0;

    for (i = 0; ret == 0 && i < c->n; i++) {
        ret = pb_state_get(pb_cpus_at(c, i), &state[i]);
    }
    return ret;
}

int pb_cpus_start_tsc(PbCpus *c, PbTsc *t, const PbTscModel *m,
                      const PbTscStart *at, const char **what)
{
    unsigned i;
    int ret = 0;

    *what = "KVM_SET_TSC_KHZ";
    for (i = 0; ret == 0 && i < c->n; i++) {
        ret = i == c->now ? 0 : pb_tsc_slow(c->rest[i].fd);
    }
    if (ret == 0) {
        ret = pb_tsc_start(t, c->v->fd, m, at, what);
    }
    if (ret == 0) {
        c->v->tsc = t;
    }
    return ret;
}
