/* SPDX-License-Identifier: GPL-2.0-or-later */
/* branch-counter.c: a vCPU's retired conditional branches. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "branch-counter.h"
#include "pb-alarm.h"
#include "pb-host.h"
#include "pb-perf.h"
#include "pb-remedy.h"
#include "pb-step-run.h"
#include "pb-step.h"

struct PbCounter {
    PbCounterKind kind;
    PbVcpu *v;
    pid_t tid;
    timer_t timer;                   /* of pb_counter_kick_in() */
    bool has_timer;
    volatile sig_atomic_t kicked;    /* the next run must return at once */
    volatile sig_atomic_t overflow;  /* the sampler's signal came */
    volatile sig_atomic_t switched;  /* the thread's switch is not watched */
    volatile sig_atomic_t armed;
    uint64_t arm_at;                 /* the count that was asked for */
    uint64_t stepped;                /* `step`: branches so far */
    uint64_t base;                   /* `pmu`: what perf's 0 stands for */
    PbPerf perf;                     /* `pmu` */
};

/* One vCPU per thread: what the signal handler finds its vCPU by. */
static __thread PbCounter *this_thread;

/*
 * The signal may come between two KVM_RUNs; immediate_exit makes the next
 * one return at once, so that none is missed.
 */
static void on_signal(int signal, siginfo_t *info, void *context)
{
    PbCounter *c = this_thread;

    if (!c || !pb_remedy(PB_REMEDY_KICK)) {
        return;
    }
    if (signal == PB_SWITCH_SIGNAL) {
        c->switched = 1;
        if (!c->armed) {
            return;
        }
    } else if (info->si_code > 0) {
        c->overflow = 1;             /* the kernel's, so perf's: no kick */
    }
    c->kicked = 1;
    __atomic_store_n(&c->v->run->immediate_exit, 1, __ATOMIC_RELAXED);
}

static void install_handler(void)
{
    struct sigaction sa = {
        .sa_sigaction = on_signal,
        .sa_flags = SA_SIGINFO | SA_RESTART,
    };

    sigemptyset(&sa.sa_mask);
    sigaction(PB_COUNTER_SIGNAL, &sa, NULL);
    sigaction(PB_SWITCH_SIGNAL, &sa, NULL);
}

static void admit_signal(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    sigset_t set;

    pthread_once(&once, install_handler);
    sigemptyset(&set);
    sigaddset(&set, PB_COUNTER_SIGNAL);
    sigaddset(&set, PB_SWITCH_SIGNAL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static bool open_pmu(PbCounter *c, const PbUarch *uarch, char *why,
                     size_t len)
{
    if (!uarch) {
        snprintf(why, len, "counter=pmu: no event is known that counts this "
                 "CPU's branches; " PB_USE_LAB);
        return false;
    }
    return pb_host_pin(uarch, why, len) &&
           pb_perf_open(&c->perf, uarch, why, len);
}

PbCounter *pb_counter_new(PbVcpu *v, PbCounterKind kind,
                          const PbUarch *uarch, char *why, size_t len)
{
    PbCounter *c;

    if (this_thread) {
        snprintf(why, len, "this thread has a branch counter already");
        return NULL;
    }
    c = calloc(1, sizeof(*c));
    if (!c) {
        snprintf(why, len, "out of memory");
        return NULL;
    }
    c->kind = kind == PB_COUNTER_STEP ? PB_COUNTER_STEP : PB_COUNTER_PMU;
    c->v = v;
    c->tid = gettid();
    c->switched = 1;
    this_thread = c;
    admit_signal();
    if (c->kind == PB_COUNTER_PMU && !open_pmu(c, uarch, why, len)) {
        this_thread = NULL;
        free(c);
        return NULL;
    }
    v->counter = c;
    return c;
}

void pb_counter_free(PbCounter *c)
{
    if (!c) {
        return;
    }
    if (c->has_timer) {
        timer_delete(c->timer);
    }
    if (c->kind == PB_COUNTER_PMU) {
        pb_perf_close(&c->perf);
    }
    this_thread = NULL;
    c->v->counter = NULL;
    free(c);
}

PbCounterKind pb_counter_kind(const PbCounter *c)
{
    return c->kind;
}

const char *pb_counter_kind_name(PbCounterKind kind)
{
    static const char *const names[] = {
        [PB_COUNTER_AUTO] = "auto",
        [PB_COUNTER_PMU] = "pmu",
        [PB_COUNTER_STEP] = "step",
    };

    return names[kind];
}

PbPerf *pb_counter_perf(PbCounter *c)
{
    return c->kind == PB_COUNTER_PMU ? &c->perf : NULL;
}

bool pb_counter_is_mine(const PbCounter *c)
{
    return this_thread == c;
}

uint64_t pb_counter_read(PbCounter *c)
{
    return c->kind == PB_COUNTER_PMU ? c->base + pb_perf_read(&c->perf)
                                     : c->stepped;
}

void pb_counter_set(PbCounter *c, uint64_t branches)
{
    c->base += branches - pb_counter_read(c);
    c->stepped = branches;
}

bool pb_counter_uses_rdpmc(const PbCounter *c)
{
    return c->kind == PB_COUNTER_PMU && c->perf.rdpmc;
}

/*
 * First the watch: a switch that comes after it is heard of, so no period
 * goes on behind one.
 */
static int arm_sampler(PbCounter *c, uint64_t branches)
{
    int ret = 0;

    if (c->switched && pb_remedy(PB_REMEDY_SWITCH)) {
        c->switched = 0;
        ret = pb_perf_watch_switch(&c->perf);
    }
    return ret < 0 ? ret : pb_perf_arm(&c->perf, branches);
}

int pb_counter_arm(PbCounter *c, uint64_t branches)
{
    int ret;

    if (branches == 0) {
        return -EINVAL;
    }
    /* A signal of an old period has been delivered by now: forget it. */
    c->overflow = 0;
    c->arm_at = pb_counter_read(c) + branches;
    c->armed = 1;
    ret = c->kind == PB_COUNTER_PMU ? arm_sampler(c, branches) : 0;
    if (ret < 0) {
        c->armed = 0;
    }
    return ret;
}

void pb_counter_disarm(PbCounter *c)
{
    if (c->kind == PB_COUNTER_PMU) {
        pb_perf_disarm(&c->perf);
    }
    c->overflow = 0;
    c->armed = 0;
}

/*
 * The count tells as well as the signal does, and a kick may have merged
 * with the sampler's signal into one.
 */
bool pb_counter_fired(PbCounter *c)
{
    if (!c->armed || (!c->overflow && pb_counter_read(c) < c->arm_at)) {
        return false;
    }
    pb_counter_disarm(c);
    return true;
}

void pb_counter_kick(PbCounter *c)
{
    /* Its handler sets immediate_exit: set here, it would be heard twice. */
    syscall(SYS_tgkill, getpid(), c->tid, PB_COUNTER_SIGNAL);
}

int pb_counter_kick_in(PbCounter *c, uint32_t us)
{
    if (!c->has_timer) {
        int ret = pb_alarm_new(&c->timer);

        if (ret < 0) {
            return ret;
        }
        c->has_timer = true;
    }
    return pb_alarm_set(c->timer, us * 1000ull);
}

const char *pb_counter_check(PbCounter *c)
{
    return c->kind == PB_COUNTER_PMU ? pb_perf_check(&c->perf) : NULL;
}

int pb_counter_step(PbCounter *c, bool *branch)
{
    bool retired = false;
    int ret = pb_step(c->v, &retired);

    if (ret >= 0 && retired && c->kind == PB_COUNTER_STEP) {
        c->stepped++;
        if (c->armed && c->stepped == c->arm_at) {
            c->overflow = 1;
            c->kicked = 1;
        }
    }
    if (branch) {
        *branch = retired;
    }
    return ret;
}

bool pb_counter_kicked(const PbCounter *c)
{
    return c->kicked;
}

/* ---- running ---- */

/* -EINTR was seen: who kicked has been heard. */
static int interrupted(PbCounter *c)
{
    int ret = 0;

    c->kicked = 0;
    c->v->run->immediate_exit = 0;
    c->v->run->exit_reason = KVM_EXIT_INTR;
    if (c->kind == PB_COUNTER_PMU && c->armed && c->switched) {
        uint64_t now = pb_counter_read(c);

        ret = now < c->arm_at ? arm_sampler(c, c->arm_at - now) : 0;
    }
    return ret < 0 ? ret : -EINTR;
}

int pb_vcpu_run(PbVcpu *v)
{
    PbCounter *c = v->counter;
    int ret;

    if (c->kind == PB_COUNTER_STEP) {
        ret = pb_run_steps(v, c);
    } else {
        /* The handler's mark may have been cleared with an earlier kick's. */
        if (c->kicked) {
            v->run->immediate_exit = 1;
        }
        ret = pb_vcpu_enter(v);
    }
    return ret == -EINTR ? interrupted(c) : ret;
}
