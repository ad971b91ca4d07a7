/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-clock.c: find the rate of the time stamp counter. */
#include <string.h>

#include "pb-clock.h"

/* Ticks in which a rate is found: the first one, and later ones. */
#define FIRST_TICKS (1ull << 24)
#define LATER_TICKS (1ull << 28)

/* In more ticks the thread may have lost its CPU, and both differ. */
#define SAME_MOMENT (1ull << 16)

void pb_clock_init(PbClock *c, uint64_t (*exact)(void *opaque), void *opaque)
{
    memset(c, 0, sizeof(*c));
    c->exact = exact;
    c->opaque = opaque;
    c->rate_ticks = __builtin_ia32_rdtsc();
    c->rate_ns = c->last = exact(opaque);
}

/*
 * A clock that stood for a part of these ticks seems slow: the fastest rate is
 * the true one.  With a slow one the counter would be trusted for too long.
 */
static void find_rate(PbClock *c, uint64_t ns, uint64_t ticks)
{
    uint64_t passed = ticks - c->rate_ticks;
    uint64_t rate;

    if (passed < (c->rate ? LATER_TICKS : FIRST_TICKS)) {
        return;
    }
    rate = ((unsigned __int128)(ns - c->rate_ns) << 32) / passed;
    if (ns > c->rate_ns && rate > c->rate) {
        c->rate = rate;
    }
    c->rate_ns = ns;
    c->rate_ticks = ticks;
}

uint64_t pb_clock_ask(PbClock *c)
{
    uint64_t before = __builtin_ia32_rdtsc();
    uint64_t ns = c->exact(c->opaque);
    uint64_t ticks = __builtin_ia32_rdtsc();

    c->trust = 0;
    if (ticks - before < SAME_MOMENT) {
        find_rate(c, ns, ticks);
        if (c->rate) {
            c->trust = ((uint64_t)PB_CLOCK_TRUST_NS << 32) / c->rate;
        }
    }
    c->base_ns = ns;
    c->base_ticks = ticks;
    c->last = ns > c->last ? ns : c->last;
    return c->last;
}
