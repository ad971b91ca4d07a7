/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-turns.h: whose turn it is of vCPUs that share a thread, and for how long.
 *
 * No QEMU, no KVM: decisions alone, which PB_EVENT_TURN records.  One set of
 * vCPUs has one of these, for one thread at a time.  Times are ns of any clock;
 * sets of vCPUs are masks, bit i for vCPU i.
 *
 * Plain turns go round, and each vCPU has as long as it needs to get on.  With
 * @chaos they are as unlike each other as those of a computer can be that is
 * also busy otherwise: some end within some ten branches, some after many ms;
 * any vCPU may be next; who waits for an interrupt may have to wait; and now
 * and then one has no turn for a while, though it could run and the others may
 * not.  So orders come about that plain turns cannot lead to, as that of one
 * who wakes up and loses the processor right then.  Each kind of turns has its
 * time, some hundred ms at most, for the short ones are slow.
 *
 * The idea, of a scheduler that looks for bugs, is that of rr's chaos mode
 * (Robert O'Callahan, 2016); how it is done here is not.
 */
#ifndef PB_TURNS_H
#define PB_TURNS_H

#include <stdbool.h>
#include <stdint.h>

/* So long one goes on while others could, */
#define PB_TURN_NS        5000000
/* and so long at least, so that two for whom interrupts come both get on. */
#define PB_TURN_LEAST_NS  500000

/* With @chaos: the mean of turns, */
#define PB_CHAOS_MEAN_MIN_NS  50000
#define PB_CHAOS_MEAN_MAX_NS  20000000
/* or of fine ones in conditional branches; */
#define PB_CHAOS_MEAN_MIN_BRANCHES  128
#define PB_CHAOS_MEAN_MAX_BRANCHES  65536
/* one is not shorter, and not so many times its mean. */
#define PB_CHAOS_TURN_MIN_NS     50000
#define PB_CHAOS_TURN_MAX_MEANS  5
/* So long a mean is kept at most, and so long one of fine turns; */
#define PB_CHAOS_PHASE_NS       400000000
#define PB_CHAOS_FINE_PHASE_NS  200000000
/* so long one vCPU has none. */
#define PB_CHAOS_HELD_MIN_NS  100000
#define PB_CHAOS_HELD_MAX_NS  30000000

typedef struct PbTurns {
    unsigned n;               /* vCPUs */
    bool chaos;
    int64_t began;            /* this turn, */
    int64_t most;             /* its length while others could run, */
    int64_t least;            /* and when an interrupt waits for one of them; */
    uint64_t branches;        /* which end it, too, or 0 */
    unsigned short random[3]; /* of erand48(3) */
    double mean_ns;           /* of turns, and */
    double mean_branches;     /* 0: they are not fine */
    int64_t phase_end;
    uint32_t held;            /* who has none, */
    int64_t held_until;
} PbTurns;

/* Plain turns of @n; @seed is for those that are not. */
void pb_turns_init(PbTurns *t, unsigned n, uint64_t seed);

/* From the next turn on. */
void pb_turns_set_chaos(PbTurns *t, bool chaos);

/* A turn begins at @now; also when the clock was set. */
void pb_turns_begin(PbTurns *t, int64_t now);

/* Who has no turn at @now, whatever it could do. */
uint32_t pb_turns_held(const PbTurns *t, int64_t now);

/*
 * Who goes on at @now: @at, whose turn it was, or another of @may_run.  For
 * those of @wanted an interrupt waits.  Where it is another, it has to be told
 * by pb_turns_begin() when its turn begins.
 */
unsigned pb_turns_next(PbTurns *t, int64_t now, unsigned at, uint32_t may_run,
                       uint32_t wanted);

/*
 * When pb_turns_next() is to be asked again, with these sets; INT64_MAX: when
 * they change.
 */
int64_t pb_turns_end(const PbTurns *t, int64_t now, unsigned at,
                     uint32_t may_run, uint32_t wanted);

/*
 * And after how many branches of the turn, 0 if they do not count; then it is
 * to be told that they are over.
 */
uint64_t pb_turns_branches(const PbTurns *t, int64_t now, unsigned at,
                           uint32_t may_run);
void pb_turns_cut(PbTurns *t);

#endif /* PB_TURNS_H */
