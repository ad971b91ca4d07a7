/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * self-check.c: does this host count a guest's branches exactly?
 *
 * It runs on a thread of its own: perf events, the overflow signal and the
 * binding to big cores belong to a thread, and the caller's stay as they
 * are.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "branch-counter.h"
#include "pb-calib.h"
#include "pb-host.h"
#include "pb-perf.h"
#include "pb-step.h"
#include "pb-uarch.h"

#define LOOP_TIMES    100000
#define LOCKED_TIMES  10000
#define PORT_TIMES    40
#define INJECT_EVERY  5
#define STEPS         64
#define BREAKS        40
#define READS         200

/* Stops the skid is measured with: as many as fit, but these at least. */
#define STOPS_MIN     64
#define STOPS_MAX     1024
#define STOPS_NS      40000000ull
#define DISTANCE_MIN  300
#define DISTANCE_MASK 2047
/* The guest ends when the stop is later than this. */
#define OVERRUN       (1u << 20)

typedef struct Check {
    int kvm_fd;
    PbSelfCheck *r;
    char *why;
    size_t len;
    bool ok;
    PbCalib g;
    PbCounter *c;
    PbPerf *perf;
    uint32_t random;
    uint32_t skid[STOPS_MAX];
} Check;

static bool fail(Check *k, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static bool fail(Check *k, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(k->why, k->len, fmt, ap);
    va_end(ap);
    return false;
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static bool kvm_failed(Check *k, const char *what, int ret)
{
    if (ret == -EPROTO) {
        return fail(k, "self-check: %s: unexpected KVM exit %u; " PB_USE_LAB,
                    what, k->g.v.run->exit_reason);
    }
    return fail(k, "self-check: %s: %s; " PB_USE_LAB, what, strerror(-ret));
}

static bool expect(Check *k, const char *what, uint64_t from,
                   uint64_t branches)
{
    uint64_t got = pb_counter_read(k->c) - from;

    if (got == branches) {
        return true;
    }
    return fail(k, "self-check: %s: expected %llu conditional branches, the "
                "PMU counted %llu%s", what, (unsigned long long)branches,
                (unsigned long long)got,
                pb_host_miscount_advice(k->r->uarch));
}

/* ---- exactness ---- */

static bool check_loop(Check *k, const char *what, uint32_t loop,
                       uint32_t times, uint32_t branches)
{
    uint64_t from = pb_counter_read(k->c);
    int ret = pb_calib_start(&k->g, loop, times);

    while (ret == 0) {
        ret = pb_calib_run(&k->g);
        if (ret == 0) {
            break;
        }
        ret = ret == -EINTR ? 0 : ret;      /* not for us: go on */
    }
    return ret < 0 ? kvm_failed(k, what, ret)
                   : expect(k, what, from, (uint64_t)times * branches +
                            k->g.injected * PB_CALIB_HANDLER_BRANCHES);
}

static bool check_loops(Check *k)
{
    bool ok = check_loop(k, "a loop", PB_CALIB_LOOP, LOOP_TIMES, 1) &&
              check_loop(k, "a loop with a locked write", PB_CALIB_LOCKED,
                         LOCKED_TIMES, 1) &&
              check_loop(k, "branches taken and not taken", PB_CALIB_MIXED,
                         LOCKED_TIMES, PB_CALIB_MIXED_BRANCHES) &&
              check_loop(k, "a loop with port exits", PB_CALIB_PORTS,
                         PORT_TIMES, 1);

    if (ok) {
        k->g.inject_every = INJECT_EVERY;
        ok = check_loop(k, "interrupts at port exits", PB_CALIB_PORTS,
                        PORT_TIMES, 1);
        k->g.inject_every = k->g.injected = 0;
    }
    return ok;
}

static bool check_steps(Check *k)
{
    uint64_t from = pb_counter_read(k->c), start = 0, branches = 0;
    int i, ret = pb_calib_start(&k->g, PB_CALIB_MIXED, STEPS);

    for (i = 0; i <= STEPS && ret >= 0; i++) {
        bool branch = false;

        if (i == 1) {
            start = now_ns();       /* the first one prepares the decoder */
        }
        ret = pb_counter_step(k->c, &branch);
        if (ret == PB_STEP_INTERRUPTED) {
            i--;
        } else if (ret == PB_STEP_EXIT) {
            ret = -EPROTO;
        }
        branches += branch;
    }
    k->r->step_ns = (now_ns() - start) / STEPS;
    if (ret >= 0) {
        ret = pb_vcpu_debug_off(&k->g.v);
    }
    return ret < 0 ? kvm_failed(k, "single steps", ret)
                   : expect(k, "single steps", from, branches);
}

/* From one breakpoint to the other and back, as a landing does. */
static bool measure_breaks(Check *k)
{
    static const uint64_t at[] = { PB_CALIB_BREAK2, PB_CALIB_BREAKS };
    uint64_t start, from = pb_counter_read(k->c);
    int i, ret = pb_calib_start(&k->g, PB_CALIB_BREAKS, BREAKS);

    start = now_ns();
    for (i = 0; i < BREAKS && ret == 0; i++) {
        ret = pb_vcpu_debug(&k->g.v,
                            KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP,
                            &at[i & 1], 1);
        while (ret == 0 && (ret = pb_vcpu_run(&k->g.v)) == -EINTR) {
            ret = 0;
        }
        if (ret == 0 && k->g.v.run->exit_reason != KVM_EXIT_DEBUG) {
            ret = -EPROTO;
        }
    }
    k->r->break_ns = (now_ns() - start) / BREAKS;
    if (ret == 0) {
        ret = pb_vcpu_debug_off(&k->g.v);
    }
    return ret < 0 ? kvm_failed(k, "breakpoints", ret)
                   : expect(k, "breakpoints", from, BREAKS / 2);
}

static bool measure_reads(Check *k)
{
    uint64_t start = now_ns(), fast, slow, sampler;
    int i;

    for (i = 0; i < READS; i++) {
        pb_counter_read(k->c);
    }
    k->r->read_ns = (now_ns() - start) / READS;
    k->r->rdpmc = pb_counter_uses_rdpmc(k->c);
    fast = pb_counter_read(k->c);
    if (!pb_perf_read_fd(k->perf, &slow, &sampler)) {
        return fail(k, "self-check: a hardware counter was taken away: stop "
                    "other users of perf");
    }
    if (fast != slow) {
        return fail(k, "self-check: rdpmc says %llu, read(2) says %llu; "
                    PB_USE_LAB, (unsigned long long)fast,
                    (unsigned long long)slow);
    }
    if (slow != sampler) {
        return fail(k, "self-check: two counters of the same event differ: "
                    "%llu and %llu%s", (unsigned long long)slow,
                    (unsigned long long)sampler,
                    pb_host_miscount_advice(k->r->uarch));
    }
    return true;
}

/* ---- overflow stops ---- */

/* xorshift: distances that follow no pattern, the same in each run. */
static uint32_t next_distance(Check *k)
{
    k->random ^= k->random << 13;
    k->random ^= k->random >> 17;
    k->random ^= k->random << 5;
    return DISTANCE_MIN + (k->random & DISTANCE_MASK);
}

/* ECX tells how many branches there were, wherever the stop was. */
static bool expect_by_ecx(Check *k, uint64_t from, uint32_t times)
{
    struct kvm_regs regs;
    int ret = pb_vcpu_get_regs(&k->g.v, &regs);

    if (ret < 0) {
        return kvm_failed(k, "reading registers at a stop", ret);
    }
    return expect(k, "up to a stop", from, times - (uint32_t)regs.rcx -
                  (regs.rip != PB_CALIB_LOOP));
}

static bool stop_late(Check *k, uint32_t distance)
{
    return fail(k, "self-check: armed for %u branches, the guest ran %u more "
                "without a stop: the overflow interrupt does not arrive, or "
                "perf throttled it (sudo sysctl "
                "kernel.perf_cpu_time_max_percent=0); else " PB_USE_LAB,
                distance, OVERRUN);
}

/*
 * One stop; the interrupt of some is taken where it stands.  The sampler
 * stays armed or not as the caller wants it.
 */
static bool one_stop(Check *k, uint32_t distance, uint32_t *skid)
{
    uint32_t times = distance + OVERRUN;
    uint64_t got, from = pb_counter_read(k->c);
    int ret = pb_calib_start(&k->g, PB_CALIB_LOOP, times);

    if (ret == 0) {
        ret = pb_counter_arm(k->c, distance);
    }
    while (ret == 0) {
        ret = pb_calib_run(&k->g);
        if (ret == 0) {
            return stop_late(k, distance);
        }
        if (ret == -EINTR && !pb_counter_fired(k->c)) {
            ret = 0;
        }
    }
    if (ret != -EINTR) {
        return kvm_failed(k, "running to a stop", ret);
    }
    got = pb_counter_read(k->c) - from;
    if (got < distance) {
        return fail(k, "self-check: armed for %u branches, stopped after "
                    "%llu%s", distance, (unsigned long long)got,
                    pb_host_miscount_advice(k->r->uarch));
    }
    *skid = got - distance;
    return expect_by_ecx(k, from, times);
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static bool measure_skid(Check *k)
{
    uint64_t start = now_ns();
    uint32_t n = 0;

    while (n < STOPS_MIN ||
           (n < STOPS_MAX && now_ns() - start < STOPS_NS)) {
        if (!one_stop(k, next_distance(k), &k->skid[n])) {
            return false;
        }
        n++;
    }
    pb_counter_disarm(k->c);
    qsort(k->skid, n, sizeof(k->skid[0]), by_size);
    k->r->stops = n;
    k->r->skid_median = k->skid[n / 2];
    k->r->skid_max = k->skid[n - 1];
    k->r->margin = pb_margin(k->r->uarch, k->r->skid_max,
                             k->perf->min_period);
    if (!k->r->margin) {
        return fail(k, "self-check: the overflow stop comes up to %u branches "
                    "late, too much to land (margin at most %u); " PB_USE_LAB,
                    k->r->skid_max, PB_MARGIN_MAX);
    }
    return true;
}

/* An interrupt at an overflow stop, in the middle of straight-line code. */
static bool check_interrupt(Check *k)
{
    static const char what[] = "an interrupt at a stop";
    uint64_t from = pb_counter_read(k->c);
    uint32_t skid, distance = next_distance(k);
    int ret;

    if (!one_stop(k, distance, &skid)) {
        return false;
    }
    pb_counter_disarm(k->c);
    ret = pb_calib_interrupt(&k->g);
    while (ret == 0) {
        ret = pb_calib_run(&k->g);
        if (ret == 0) {
            break;
        }
        ret = ret == -EINTR ? 0 : ret;
    }
    return ret < 0 ? kvm_failed(k, what, ret)
                   : expect(k, what, from, (uint64_t)distance + OVERRUN +
                            PB_CALIB_HANDLER_BRANCHES);
}

static bool check_lost(Check *k)
{
    const char *lost = pb_counter_check(k->c);

    if (lost) {
        return fail(k, "self-check: %s: stop other users of perf, and sudo "
                    "sysctl kernel.nmi_watchdog=0", lost);
    }
    return true;
}

static bool check_all(Check *k)
{
    return check_loops(k) && check_steps(k) && measure_breaks(k) &&
           measure_reads(k) && measure_skid(k) && check_interrupt(k) &&
           check_lost(k);
}

static void *check_thread(void *opaque)
{
    Check *k = opaque;

    if (!pb_calib_new(&k->g, k->kvm_fd, k->why, k->len)) {
        return NULL;
    }
    k->c = pb_counter_new(&k->g.v, PB_COUNTER_PMU, k->r->uarch, k->why,
                          k->len);
    if (k->c) {
        k->perf = pb_counter_perf(k->c);
        k->ok = check_all(k);
        pb_counter_free(k->c);
    }
    pb_calib_free(&k->g);
    return NULL;
}

/* The thread starts with all signals blocked: none is for it but its own. */
static bool run_thread(Check *k)
{
    sigset_t all, old;
    pthread_t thread;
    int ret;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    ret = pthread_create(&thread, NULL, check_thread, k);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (ret) {
        return fail(k, "self-check: cannot start a thread: %s",
                    strerror(ret));
    }
    pthread_join(thread, NULL);
    return k->ok;
}

bool pb_self_check(int kvm_fd, PbSelfCheck *result, char *why, size_t len)
{
    uint64_t start = now_ns();
    Check *k;
    bool ok;

    memset(result, 0, sizeof(*result));
    result->uarch = pb_uarch_find(why, len);
    if (!result->uarch) {
        return false;
    }
    k = calloc(1, sizeof(*k));
    if (!k) {
        snprintf(why, len, "out of memory");
        return false;
    }
    k->kvm_fd = kvm_fd;
    k->r = result;
    k->why = why;
    k->len = len;
    k->random = 2463534242u;
    ok = run_thread(k);
    free(k);
    pb_host_warning(result->warning, sizeof(result->warning));
    result->took_ms = (now_ns() - start) / 1000000;
    return ok;
}
