/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-turns.c: whose turn it is, and for how long. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <math.h>
#include <stdlib.h>

#include "pb-turns.h"

/* With chaos: one kind of turns in so many is fine; */
#define FINE_IN 3

/* and one that has run is held once in so long, on average. */
#define HELD_EACH_NS 60e6

static uint32_t bit(unsigned cpu)
{
    return 1u << cpu;
}

/* ---- chance ---- */

/* From @least to @most, each power of two between as likely. */
static double any_size(PbTurns *t, double least, double most)
{
    return least * pow(most / least, erand48(t->random));
}

/* As likely to end at any moment as at any other, up to a limit. */
static double any_end(PbTurns *t, double mean)
{
    double end = -log(1 - erand48(t->random)) * mean;
    double most = mean * PB_CHAOS_TURN_MAX_MEANS;

    return end < most ? end : most;
}

static bool one_in(PbTurns *t, double n)
{
    return erand48(t->random) * n < 1;
}

static unsigned any_of(PbTurns *t, uint32_t set)
{
    unsigned skip = nrand48(t->random) % __builtin_popcount(set);

    while (skip--) {
        set &= set - 1;
    }
    return __builtin_ctz(set);
}

/* ---- how long ---- */

void pb_turns_init(PbTurns *t, unsigned n, uint64_t seed)
{
    *t = (PbTurns) {
        .n = n,
        .random = { seed, seed >> 16, seed >> 32 },
    };
    pb_turns_begin(t, 0);
}

static void forget_phase(PbTurns *t)
{
    t->phase_end = 0;
    t->held_until = 0;
}

void pb_turns_set_chaos(PbTurns *t, bool chaos)
{
    t->chaos = chaos;
    forget_phase(t);
}

static void begin_phase(PbTurns *t, int64_t now)
{
    bool fine = one_in(t, FINE_IN);

    t->mean_branches = fine ? any_size(t, PB_CHAOS_MEAN_MIN_BRANCHES,
                                       PB_CHAOS_MEAN_MAX_BRANCHES) : 0;
    t->mean_ns = fine ? PB_CHAOS_MEAN_MAX_NS
                      : any_size(t, PB_CHAOS_MEAN_MIN_NS,
                                 PB_CHAOS_MEAN_MAX_NS);
    t->phase_end = now + erand48(t->random) * (fine ? PB_CHAOS_FINE_PHASE_NS
                                                    : PB_CHAOS_PHASE_NS);
}

static void begin_chaos(PbTurns *t, int64_t now)
{
    if (now >= t->phase_end) {
        begin_phase(t, now);
    }
    t->most = any_end(t, t->mean_ns);
    if (t->most < PB_CHAOS_TURN_MIN_NS) {
        t->most = PB_CHAOS_TURN_MIN_NS;
    }
    t->branches = t->mean_branches > 0 ? 1 + any_end(t, t->mean_branches) : 0;
    /* Who waits for another one's answer may have to wait. */
    t->least = one_in(t, 2) || t->most < PB_TURN_LEAST_NS ? t->most
                                                          : PB_TURN_LEAST_NS;
}

void pb_turns_begin(PbTurns *t, int64_t now)
{
    if (now < t->began) {         /* the clock was set */
        forget_phase(t);
    }
    t->began = now;
    if (t->chaos) {
        begin_chaos(t, now);
    } else {
        t->most = PB_TURN_NS;
        t->least = PB_TURN_LEAST_NS;
        t->branches = 0;
    }
}

void pb_turns_cut(PbTurns *t)
{
    t->most = t->least = 0;
}

/* Perhaps @at, whose turn is over, has none for a while. */
static void hold(PbTurns *t, int64_t now, unsigned at)
{
    if (one_in(t, HELD_EACH_NS / (now - t->began + 1))) {
        t->held = bit(at);
        t->held_until = now + any_size(t, PB_CHAOS_HELD_MIN_NS,
                                       PB_CHAOS_HELD_MAX_NS);
    }
}

uint32_t pb_turns_held(const PbTurns *t, int64_t now)
{
    return now < t->held_until ? t->held : 0;
}

/* ---- who ---- */

/* The next in the row after @at, of @set. */
static unsigned next_of(const PbTurns *t, unsigned at, uint32_t set)
{
    unsigned next = at;

    do {
        next = (next + 1) % t->n;
    } while (!(set & bit(next)));
    return next;
}

unsigned pb_turns_next(PbTurns *t, int64_t now, unsigned at, uint32_t may_run,
                       uint32_t wanted)
{
    bool over = now >= t->began + t->most;
    uint32_t set;
    unsigned next;

    if (t->chaos && over && (may_run & bit(at)) &&
        t->began >= t->held_until) {
        hold(t, now, at);
    }
    set = may_run & ~pb_turns_held(t, now);
    if ((set & bit(at)) && !over) {
        set &= now >= t->began + t->least ? wanted & ~bit(at) : 0;
    } else if (!t->chaos) {
        set &= ~bit(at);
    }
    if (!set) {
        return at;
    }
    next = t->chaos ? any_of(t, set) : next_of(t, at, set);
    if (next == at) {
        pb_turns_begin(t, now);
    }
    return next;
}

/* Those of @may_run who wait for @at's turn to end. */
static uint32_t others(const PbTurns *t, int64_t now, unsigned at,
                       uint32_t may_run)
{
    return may_run & ~bit(at) & ~pb_turns_held(t, now);
}

int64_t pb_turns_end(const PbTurns *t, int64_t now, unsigned at,
                     uint32_t may_run, uint32_t wanted)
{
    uint32_t wait = others(t, now, at, may_run);

    if (wait & wanted) {
        return t->began + t->least;
    }
    return wait || t->chaos ? t->began + t->most : INT64_MAX;
}

uint64_t pb_turns_branches(const PbTurns *t, int64_t now, unsigned at,
                           uint32_t may_run)
{
    return others(t, now, at, may_run) ? t->branches : 0;
}
