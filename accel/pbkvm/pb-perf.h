/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-perf.h: the perf events behind counter=pmu.
 *
 * Counter: never samples, its value is the position.  Sampler: counts the
 * same and sends a signal to its thread when its period is over; its ring is
 * not mapped, as a signal needs none and a ring could fill.  Switches: tells
 * when the thread has lost its CPU, which may cost the sampler's signal: a
 * counter that comes back is never given less than min_period, so what is left
 * of the period can be over without an overflow, and the thread's next return
 * begins a whole new one (Linux arch/x86/events/core.c,
 * x86_perf_event_set_period).
 *
 * All functions with a PbPerf belong to the thread that opened it.
 */
#ifndef PB_PERF_H
#define PB_PERF_H

#include <sys/types.h>

#include "branch-counter.h"

struct perf_event_mmap_page;

typedef struct PbPerf {
    int counter_fd;
    int sampler_fd;
    int switches_fd;
    struct perf_event_mmap_page *page;   /* of the counter, for rdpmc */
    uint32_t min_period;    /* perf makes this of any smaller period */
    bool rdpmc;
    uint64_t last;          /* what was read last */
    char trouble[128];      /* "", or why the count is no longer right */
} PbPerf;

/* "Never": a sampling event cannot be told to stop sampling. */
#define PB_PERF_NEVER (1ull << 60)

/*
 * The event that counts branches of the guest that thread @tid (0: the caller)
 * runs, disabled: a counter (@period 0) or a sampler.  Its fd, the caller's to
 * close, or -1 with errno.  Any thread.
 */
int pb_perf_open_event(const PbUarch *uarch, pid_t tid, uint64_t period);

/*
 * Open all on the calling thread, counting from now; overflows send it
 * PB_COUNTER_SIGNAL, switches PB_SWITCH_SIGNAL.  False with @why, and nothing
 * is left open.
 */
bool pb_perf_open(PbPerf *p, const PbUarch *uarch, char *why, size_t len);
void pb_perf_close(PbPerf *p);

/* The counter, by rdpmc if possible; on failure its last value. */
uint64_t pb_perf_read(PbPerf *p);

/* The counter and the sampler by read(2); false when perf took them away. */
bool pb_perf_read_fd(PbPerf *p, uint64_t *counter, uint64_t *sampler);

/* Signal after @branches more, and again after as many.  0 or -errno. */
int pb_perf_arm(PbPerf *p, uint64_t branches);
int pb_perf_disarm(PbPerf *p);

/* Signal the thread's next loss of its CPU, once.  0 or -errno. */
int pb_perf_watch_switch(PbPerf *p);

/* NULL or why counts may have been lost. */
const char *pb_perf_check(PbPerf *p);

/* The perf events of @c; NULL for `step`.  For the self-check and tests. */
PbPerf *pb_counter_perf(PbCounter *c);

#endif /* PB_PERF_H */
