/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-clock.h: Primary time for events, mostly without asking the clock.
 *
 * A clock that is asked through function pointers, a seqlock and the vDSO
 * takes longer than all else of an event.  Here it is asked once in
 * PB_CLOCK_TRUST_NS, and the time stamp counter tells what has passed since, at
 * the rate it was found to have.  So the time is off by less than
 * PB_CLOCK_TRUST_NS, even where the counter is not to be trusted or the clock
 * has been stopped; and it never goes back.
 *
 * C11 on x86.  One thread at a time.
 */
#ifndef PB_CLOCK_H
#define PB_CLOCK_H

#include <stdint.h>

#define PB_CLOCK_TRUST_NS 1000000u

typedef struct PbClock {
    uint64_t (*exact)(void *opaque);   /* ns */
    void *opaque;

    uint64_t last;            /* ns, told last */
    uint64_t base_ns;         /* when the clock was asked last, */
    uint64_t base_ticks;
    uint64_t trust;           /* for so many ticks; 0: ask again */
    uint64_t rate;            /* ns per tick, << 32; 0: not known yet */
    uint64_t rate_ns;         /* from where the rate is being found */
    uint64_t rate_ticks;
} PbClock;

/* @exact tells the time in ns; whoever uses the clock can call it. */
void pb_clock_init(PbClock *c, uint64_t (*exact)(void *opaque), void *opaque);

/* Ask the clock. */
uint64_t pb_clock_ask(PbClock *c);

static inline uint64_t pb_clock_now(PbClock *c)
{
    uint64_t since = __builtin_ia32_rdtsc() - c->base_ticks, ns;

    if (since >= c->trust) {
        return pb_clock_ask(c);
    }
    ns = c->base_ns + (since * c->rate >> 32);
    c->last = ns > c->last ? ns : c->last;
    return c->last;
}

#endif /* PB_CLOCK_H */
