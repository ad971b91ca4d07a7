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

#include "pb-host.h"
#include "pb-step.h"
#include "self-check.h"

#define LOOP_TIMES    100000
#define LOCKED_TIMES  10000
#define PORT_TIMES    40
#define INJECT_EVERY  5
#define STEPS         64
#define BREAKS        40
#define READS         200

bool pb_check_fail(PbCheck *k, const char *fmt, ...)
{
    static const char prefix[] = "self-check: ";
    va_list ap;

    va_start(ap, fmt);
    snprintf(k->why, k->len, "%s", prefix);
    if (k->len > strlen(prefix)) {
        vsnprintf(k->why + strlen(prefix), k->len - strlen(prefix), fmt, ap);
    }
    va_end(ap);
    return false;
}

uint64_t pb_check_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

bool pb_check_kvm_failed(PbCheck *k, const char *what, int ret)
{
    if (ret == -EPROTO) {
        return pb_check_fail(k, "%s: unexpected KVM exit %u; " PB_USE_LAB,
                             what, k->g.v.run->exit_reason);
    }
    return pb_check_fail(k, "%s: %s; " PB_USE_LAB, what, strerror(-ret));
}

bool pb_check_count(PbCheck *k, const char *what, uint64_t from,
                    uint64_t branches)
{
    uint64_t got = pb_counter_read(k->c) - from;

    if (got == branches) {
        return true;
    }
    return pb_check_fail(k, "%s: expected %llu conditional branches, the PMU "
                         "counted %llu%s", what,
                         (unsigned long long)branches,
                         (unsigned long long)got,
                         pb_host_miscount_advice(k->r->uarch));
}

/* ---- exactness ---- */

static bool check_loop(PbCheck *k, const char *what, uint32_t loop,
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
    return ret < 0 ? pb_check_kvm_failed(k, what, ret)
                   : pb_check_count(k, what, from,
                                    (uint64_t)times * branches +
                                    k->g.injected *
                                    PB_CALIB_HANDLER_BRANCHES);
}

static bool check_loops(PbCheck *k)
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

static bool check_steps(PbCheck *k)
{
    uint64_t from = pb_counter_read(k->c), start = 0, branches = 0;
    int i, ret = pb_calib_start(&k->g, PB_CALIB_MIXED, STEPS);

    for (i = 0; i <= STEPS && ret >= 0; i++) {
        bool branch = false;

        if (i == 1) {
            start = pb_check_now_ns();   /* the first prepares the decoder */
        }
        ret = pb_counter_step(k->c, &branch);
        if (ret == PB_STEP_INTERRUPTED) {
            i--;
        } else if (ret == PB_STEP_EXIT) {
            ret = -EPROTO;
        }
        branches += branch;
    }
    k->r->step_ns = (pb_check_now_ns() - start) / STEPS;
    if (ret >= 0) {
        ret = pb_vcpu_debug_off(&k->g.v);
    }
    return ret < 0 ? pb_check_kvm_failed(k, "single steps", ret)
                   : pb_check_count(k, "single steps", from, branches);
}

/* From one breakpoint to the other and back, as a landing does. */
static bool measure_breaks(PbCheck *k)
{
    static const uint64_t at[] = { PB_CALIB_BREAK2, PB_CALIB_BREAKS };
    uint64_t start, from = pb_counter_read(k->c);
    int i, ret = pb_calib_start(&k->g, PB_CALIB_BREAKS, BREAKS);

    start = pb_check_now_ns();
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
    k->r->break_ns = (pb_check_now_ns() - start) / BREAKS;
    if (ret == 0) {
        ret = pb_vcpu_debug_off(&k->g.v);
    }
    return ret < 0 ? pb_check_kvm_failed(k, "breakpoints", ret)
                   : pb_check_count(k, "breakpoints", from, BREAKS / 2);
}

static bool measure_reads(PbCheck *k)
{
    uint64_t start = pb_check_now_ns(), fast, slow, sampler;
    int i;

    for (i = 0; i < READS; i++) {
        pb_counter_read(k->c);
    }
    k->r->read_ns = (pb_check_now_ns() - start) / READS;
    k->r->rdpmc = pb_counter_uses_rdpmc(k->c);
    fast = pb_counter_read(k->c);
    if (!pb_perf_read_fd(k->perf, &slow, &sampler)) {
        return pb_check_fail(k, "a hardware counter was taken away: stop "
                             "other users of perf");
    }
    if (fast != slow) {
        return pb_check_fail(k, "rdpmc says %llu, read(2) says %llu; "
                             PB_USE_LAB, (unsigned long long)fast,
                             (unsigned long long)slow);
    }
    if (slow != sampler) {
        return pb_check_fail(k, "two counters of the same event differ: "
                             "%llu and %llu%s", (unsigned long long)slow,
                             (unsigned long long)sampler,
                             pb_host_miscount_advice(k->r->uarch));
    }
    return true;
}

static bool check_lost(PbCheck *k)
{
    const char *lost = pb_counter_check(k->c);

    if (lost) {
        return pb_check_fail(k, "%s: stop other users of perf, and sudo "
                             "sysctl kernel.nmi_watchdog=0", lost);
    }
    return true;
}

static bool check_all(PbCheck *k)
{
    return check_loops(k) && check_steps(k) && measure_breaks(k) &&
           measure_reads(k) && pb_check_skid(k) && pb_check_interrupt(k) &&
           check_lost(k);
}

static void *check_thread(void *opaque)
{
    PbCheck *k = opaque;

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
int pb_check_thread(void *(*run)(void *opaque), void *opaque)
{
    sigset_t all, old;
    pthread_t thread;
    int ret;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    ret = pthread_create(&thread, NULL, run, opaque);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (ret == 0) {
        pthread_join(thread, NULL);
    }
    return ret;
}

static bool run_thread(PbCheck *k)
{
    int ret = pb_check_thread(check_thread, k);

    return ret ? pb_check_fail(k, "cannot start a thread: %s", strerror(ret))
               : k->ok;
}

bool pb_self_check(int kvm_fd, PbSelfCheck *result, char *why, size_t len)
{
    uint64_t start = pb_check_now_ns();
    PbCheck *k;
    bool ok;

    memset(result, 0, sizeof(*result));
    result->uarch = pb_uarch_find(why, len);
    if (!result->uarch || !pb_host_runs_real_mode(why, len)) {
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
    result->took_ms = (pb_check_now_ns() - start) / 1000000;
    return ok;
}
