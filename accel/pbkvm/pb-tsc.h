/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-tsc.h: a time stamp counter that stands still between two events.
 *
 * No KVM traps RDTSC, but KVM can slow a guest's counter down to one tick a
 * millisecond, and set it whenever the guest does not run.  So it is set, at
 * each event, to what the event's time says, and the guest does not run while
 * the slow counter ticks: shortly before that a timer has it leave, and it goes
 * on after, with the same value.  What RDTSC returns then follows from the
 * history alone.
 *
 * The guest reads (host * ratio >> shift) + offset (SDM 3C 26.5.3, APM volume 2
 * 15.30.5), at KVM's virtual frequency of 1 kHz, KVM's least: it ticks at times
 * of the host's counter that can be computed.  Linux 5.16 or later
 * (KVM_VCPU_TSC_OFFSET), and processors with TSC scaling.
 *
 * C11, Linux, x86.  All functions belong to the vCPU's thread, but where noted.
 */
#ifndef PB_TSC_H
#define PB_TSC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "ring/pb-event.h"

/* The guest's counter counts nanoseconds of Primary time. */
#define PB_TSC_HZ 1000000000u

/* Of so many times that the guest was left too late it is known when. */
#define PB_TSC_LATE 64

/* How a host scales. */
typedef struct PbTscModel {
    uint64_t ratio;
    uint32_t shift;
    uint32_t host_khz;        /* of the host's counter, as KVM has it */
} PbTscModel;

/* What a history tells of it where a Backup starts; all zero: nothing. */
typedef struct PbTscStart {
    uint64_t base;            /* the guest's counter at Primary time 0, modulo
                                 2^64, */
    uint64_t value;           /* and there */
    uint32_t on;              /* 1: it is repeated */
    uint32_t zero;
} PbTscStart;

typedef struct PbTsc {
    PbTscModel m;
    int fd;                   /* of the vCPU whose turn it is */
    timer_t timer;            /* has the vCPU leave the guest */
    uint64_t base;            /* PbTscStart.base */
    uint64_t value;           /* what the guest is to read, */
    uint64_t since;           /* set at this time of the host's counter */
    uint64_t put;             /* what it reads, while */
    uint64_t tick;            /* the scaled counter says this, */
    uint64_t next;            /* up to this time of the host's counter */
    uint64_t period;          /* from tick to tick, in the host's, */
    uint64_t margin;          /* and how long before one it has to leave */
    bool slipped;             /* it did not: the guest may have seen more */
    uint64_t late;            /* atomic: runs that a tick may have been in; */
    uint64_t late_at[PB_TSC_LATE];  /* Primary time of the last ones, in ns */
    bool known;               /* @put is what KVM has */

    /* The Primary's: whether its guest waits for the counter. */
    timer_t looker;           /* has the vCPU leave the guest */
    uint64_t look;            /* at this time of the host's counter, and */
    uint64_t pause;           /* that long after; long: without the timer */
    uint64_t least;           /* pause in which a guest gets anywhere, */
    uint64_t seen;            /* and the branches it had when seen last */
} PbTsc;

/* Pure: the scaled counter at @host, and when it will say @tick. */
uint64_t pb_tsc_scale(const PbTscModel *m, uint64_t host);
uint64_t pb_tsc_when(const PbTscModel *m, uint64_t tick);

static inline uint64_t pb_tsc_host(void)
{
    return __builtin_ia32_rdtsc();
}

/*
 * Slow the counter of vCPU @fd down; the calling thread is the one that gets
 * PB_COUNTER_SIGNAL before it ticks.  0, or -errno with @what naming what KVM
 * or Linux refused.
 */
int pb_tsc_start(PbTsc *t, int fd, const PbTscModel *m, const PbTscStart *at,
                 const char **what);
void pb_tsc_stop(PbTsc *t);

/* Likewise for the counter of vCPU @fd, which takes turns with the first. */
int pb_tsc_slow(int fd);

/* Right before KVM_RUN, and after: 0 or -errno. */
int pb_tsc_enter(PbTsc *t);
void pb_tsc_left(PbTsc *t);

/* Somebody else may have set the counter: put it again. */
static inline void pb_tsc_forget(PbTsc *t)
{
    t->known = false;
}

/* Events that happen between two instructions of the guest which both know. */
static inline bool pb_tsc_moves(PbEventKind kind)
{
    return kind != PB_EVENT_MARK && kind != PB_EVENT_PANIC &&
           kind != PB_EVENT_END;
}

/* Such an event has @time_ns.  Who may record, or the vCPU's thread. */
static inline void pb_tsc_event(PbTsc *t, uint64_t time_ns)
{
    t->value = t->base + time_ns;
    t->since = pb_tsc_host();
    t->slipped = false;
}

/*
 * Whether a guest that waits for its counter has waited long enough, or would
 * see it go back.
 */
static inline bool pb_tsc_is_old(const PbTsc *t)
{
    return t->slipped || pb_tsc_host() - t->since >= t->period / 2;
}

/*
 * A guest that waits for its counter waits again soon, as a driver that shifts
 * bits out.  Due: it is time to look at what it does.  Later: it cannot be
 * seen now.  Looked: it waits, so look again soon, or not, so look in twice
 * the time; 1: it is where it was before, for on this host that is too soon.
 * The last two: or -errno.
 */
static inline bool pb_tsc_look_is_due(const PbTsc *t)
{
    return pb_tsc_host() >= t->look;
}

int pb_tsc_look_later(PbTsc *t);
int pb_tsc_looked(PbTsc *t, bool waits, uint64_t branches);

/* How often the guest was left after a tick.  Any thread. */
uint64_t pb_tsc_late(const PbTsc *t);

/*
 * When it was, up to Primary time @until (ns), for the last time: the time of
 * the event before it, in ns; -1: not in the last PB_TSC_LATE times.  Any
 * thread.
 */
int64_t pb_tsc_late_at(const PbTsc *t, uint64_t until);

/*
 * Find out on a guest of its own how this host scales, and that the guest's
 * counter stands still as it should.  Any thread; takes five ticks, and up to
 * three times that where threads are late.  False with @why: which requirement
 * failed.
 */
bool pb_tsc_check(int kvm_fd, PbTscModel *m, char *why, size_t len);

#endif /* PB_TSC_H */
