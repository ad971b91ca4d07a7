/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * counter-test.c: both branch counters on the calibration guest.
 *
 *   counter-test [--pmu] [--skid N] [--miscount]
 *
 * --pmu: a missing PMU is a failure, not a reason to skip.  --skid N: stops
 * come up to N branches late here.  --miscount: the PMU counts wrongly, and
 * the self-check must find it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pb-calib.h"
#include "pb-host.h"
#include "pb-perf.h"
#include "pb-remedy.h"
#include "pb-step.h"
#include "pb-tap.h"
#include "pb-uarch.h"

/* Longer than any known skid; the guest outlives a missed stop. */
#define FAR 100000u
/* Longer than the skid of any lab these tests run in. */
#define FAR_TO_STEP 300u

static char why[512];
static bool pmu_needed;
static uint32_t skid_here;

typedef struct Rig {
    PbCalib g;
    PbCounter *c;
    int kvm;
} Rig;

static void rig_free(Rig *r)
{
    pb_counter_free(r->c);
    pb_calib_free(&r->g);
    close(r->kvm);
}

/* A guest with a counter of @kind, or the test skips (or fails). */
static bool rig_new(Rig *r, PbCounterKind kind)
{
    const PbUarch *uarch = NULL;

    memset(r, 0, sizeof(*r));
    r->kvm = pb_kvm_open(why, sizeof(why));
    if (r->kvm >= 0 && pb_calib_new(&r->g, r->kvm, why, sizeof(why))) {
        if (kind == PB_COUNTER_PMU) {
            uarch = pb_uarch_find(why, sizeof(why));
        }
        if (kind == PB_COUNTER_STEP || uarch) {
            r->c = pb_counter_new(&r->g.v, kind, uarch, why, sizeof(why));
        }
        if (r->c) {
            return true;
        }
        pb_calib_free(&r->g);
    }
    if (r->kvm >= 0) {
        close(r->kvm);
    }
    if (pmu_needed) {
        printf("# %s\n", why);
        pb_check(!"a counter is needed here");
    } else {
        pb_skip(why);
    }
    return false;
}

/* Run @times through @loop to HLT, through all kicks. */
static void run_loop(Rig *r, uint32_t loop, uint32_t times)
{
    int ret;

    pb_check_u64(pb_calib_start(&r->g, loop, times), 0);
    do {
        ret = pb_calib_run(&r->g);
    } while (ret == -EINTR);
    pb_check_u64(ret, 0);
}

static void count_loops(PbCounterKind kind, uint32_t times)
{
    Rig r;

    if (!rig_new(&r, kind)) {
        return;
    }
    pb_check_u64(pb_counter_read(r.c), 0);
    run_loop(&r, PB_CALIB_LOOP, times);
    pb_check_u64(pb_counter_read(r.c), times);
    run_loop(&r, PB_CALIB_LOCKED, times);
    pb_check_u64(pb_counter_read(r.c), times * 2);
    run_loop(&r, PB_CALIB_MIXED, times);
    pb_check_u64(pb_counter_read(r.c),
                 times * (2 + PB_CALIB_MIXED_BRANCHES));
    pb_check_str(pb_counter_check(r.c), NULL);
    rig_free(&r);
}

static void test_step_counts_loops(void)
{
    count_loops(PB_COUNTER_STEP, 20);
}

static void test_pmu_counts_loops(void)
{
    count_loops(PB_COUNTER_PMU, 50000);
}

/* Some KVMs emulate ring 0, and IRET is not among what they know. */
static bool interrupts_work(Rig *r)
{
    int ret;

    pb_check_u64(pb_calib_start(&r->g, PB_CALIB_LOOP, 1), 0);
    pb_check_u64(pb_calib_interrupt(&r->g), 0);
    do {
        ret = pb_calib_run(&r->g);
    } while (ret == -EINTR);
    r->g.injected = 0;
    if (ret == -EPROTO && !pmu_needed &&
        r->g.v.run->exit_reason == KVM_EXIT_INTERNAL_ERROR) {
        pb_skip("this host's KVM cannot emulate IRET");
        rig_free(r);
        return false;
    }
    pb_check_u64(ret, 0);
    return true;
}

static void count_interrupts(PbCounterKind kind)
{
    uint64_t from;
    Rig r;

    if (!rig_new(&r, kind) || !interrupts_work(&r)) {
        return;
    }
    from = pb_counter_read(r.c);
    r.g.inject_every = 3;
    run_loop(&r, PB_CALIB_PORTS, 15);
    pb_check_u64(r.g.ports, 30);
    pb_check_u64(r.g.injected, 10);
    pb_check_u64(pb_counter_read(r.c) - from,
                 15 + 10 * PB_CALIB_HANDLER_BRANCHES);
    rig_free(&r);
}

static void test_step_counts_through_interrupts(void)
{
    count_interrupts(PB_COUNTER_STEP);
}

static void test_pmu_counts_through_interrupts(void)
{
    count_interrupts(PB_COUNTER_PMU);
}

/* ---- the same guest, both counters ---- */

#define TRACE_MAX 64

typedef struct Trace {
    unsigned n;
    struct {
        uint64_t branches, rip, rcx;
    } at[TRACE_MAX];
} Trace;

/* Positions at all port exits, with interrupts in between. */
static bool trace_ports(PbCounterKind kind, Trace *t)
{
    struct kvm_regs regs;
    Rig r;
    int ret;

    if (!rig_new(&r, kind)) {
        return false;
    }
    t->n = 0;
    pb_check_u64(pb_calib_start(&r.g, PB_CALIB_PORTS, 12), 0);
    while ((ret = pb_vcpu_run(&r.g.v)) == -EINTR ||
           (ret == 0 && r.g.v.run->exit_reason == KVM_EXIT_IO)) {
        if (ret == -EINTR) {
            continue;
        }
        memset((uint8_t *)r.g.v.run + r.g.v.run->io.data_offset, 0,
               r.g.v.run->io.size);
        pb_check_u64(pb_vcpu_complete(&r.g.v), 0);
        pb_check_u64(pb_vcpu_get_regs(&r.g.v, &regs), 0);
        t->at[t->n].branches = pb_counter_read(r.c);
        t->at[t->n].rip = regs.rip;
        t->at[t->n].rcx = regs.rcx;
        if (++t->n == TRACE_MAX) {
            break;
        }
        if (t->n % 4 == 1) {
            pb_check_u64(pb_calib_interrupt(&r.g), 0);
        }
    }
    pb_check_u64(ret == 0 ? r.g.v.run->exit_reason : 0, KVM_EXIT_HLT);
    t->at[t->n++].branches = pb_counter_read(r.c);
    rig_free(&r);
    return true;
}

static void test_step_and_pmu_tell_the_same_positions(void)
{
    static Trace step, pmu;

    if (!trace_ports(PB_COUNTER_PMU, &pmu) ||
        !trace_ports(PB_COUNTER_STEP, &step)) {
        return;
    }
    pb_check_u64(step.n, 25);
    pb_check_u64(step.at[24].branches, 12 + 6 * PB_CALIB_HANDLER_BRANCHES);
    pb_check(memcmp(&step, &pmu, sizeof(step)) == 0);
}

/* ---- stops ---- */

static void test_step_stops_exactly_and_once(void)
{
    unsigned i;
    Rig r;

    if (!rig_new(&r, PB_COUNTER_STEP)) {
        return;
    }
    pb_check_u64(pb_calib_start(&r.g, PB_CALIB_MIXED, 30), 0);
    pb_check_u64(pb_counter_arm(r.c, 0), -EINVAL);
    for (i = 1; i <= 3; i++) {
        pb_check_u64(pb_counter_arm(r.c, 7), 0);
        pb_check(!pb_counter_fired(r.c));
        pb_check_u64(pb_vcpu_run(&r.g.v), -EINTR);
        pb_check_u64(pb_counter_read(r.c), 7 * i);
        pb_check(pb_counter_fired(r.c));
        pb_check(!pb_counter_fired(r.c));
    }
    pb_check_u64(pb_vcpu_run(&r.g.v), 0);
    pb_check_u64(r.g.v.run->exit_reason, KVM_EXIT_HLT);
    pb_check(!pb_counter_fired(r.c));
    pb_check_u64(pb_counter_read(r.c), 90);
    rig_free(&r);
}

/* Run until the armed number is said to be reached. */
static void run_to_stop(Rig *r)
{
    int ret;

    do {
        ret = pb_vcpu_run(&r->g.v);
    } while (ret == -EINTR && !pb_counter_fired(r->c));
    pb_check_u64(ret, -EINTR);
}

/* Nothing stops it; that the CPU was lost may be heard of late. */
static void run_to_halt(Rig *r)
{
    int ret;

    do {
        ret = pb_vcpu_run(&r->g.v);
        pb_check(!pb_counter_fired(r->c));
    } while (ret == -EINTR);
    pb_check_u64(ret, 0);
    pb_check_u64(r->g.v.run->exit_reason, KVM_EXIT_HLT);
}

static void test_pmu_stops_are_never_early_and_come_once(void)
{
    uint64_t i, now;
    Rig r;

    if (!rig_new(&r, PB_COUNTER_PMU)) {
        return;
    }
    pb_check_u64(pb_calib_start(&r.g, PB_CALIB_LOOP, 40 * FAR), 0);
    for (i = 1; i <= 10; i++) {
        now = pb_counter_read(r.c);
        pb_check_u64(pb_counter_arm(r.c, FAR), 0);
        run_to_stop(&r);
        pb_check(pb_counter_read(r.c) >= now + FAR);
        pb_check(pb_counter_read(r.c) < now + 2 * FAR);
    }
    run_to_halt(&r);
    rig_free(&r);
}

static void test_pmu_stop_leaves_the_count_exact(void)
{
    struct kvm_regs regs;
    uint64_t counter, sampler;
    uint32_t distance;
    Rig r;

    if (!rig_new(&r, PB_COUNTER_PMU)) {
        return;
    }
    for (distance = 200; distance < 40000; distance = distance * 3 / 2 + 1) {
        uint64_t from = pb_counter_read(r.c), got;

        pb_check_u64(pb_calib_start(&r.g, PB_CALIB_LOOP, 40 * FAR), 0);
        pb_check_u64(pb_counter_arm(r.c, distance), 0);
        run_to_stop(&r);
        pb_check_u64(pb_vcpu_get_regs(&r.g.v, &regs), 0);
        got = pb_counter_read(r.c);
        pb_check(got - from >= distance);
        pb_check_u64(got - from, 40 * FAR - (uint32_t)regs.rcx -
                     (regs.rip != PB_CALIB_LOOP));
        pb_check(pb_perf_read_fd(pb_counter_perf(r.c), &counter, &sampler));
        pb_check_u64(counter, got);
        pb_check_u64(sampler, got);
    }
    rig_free(&r);
}

static void test_pmu_disarmed_does_not_stop(void)
{
    Rig r;

    if (!rig_new(&r, PB_COUNTER_PMU)) {
        return;
    }
    pb_check_u64(pb_calib_start(&r.g, PB_CALIB_LOOP, 3 * FAR), 0);
    pb_check_u64(pb_counter_arm(r.c, FAR), 0);
    pb_counter_disarm(r.c);
    run_to_halt(&r);
    rig_free(&r);
}

static void test_pmu_rearmed_counts_from_now(void)
{
    Rig r;

    if (!rig_new(&r, PB_COUNTER_PMU)) {
        return;
    }
    pb_check_u64(pb_calib_start(&r.g, PB_CALIB_LOOP, 10 * FAR), 0);
    pb_check_u64(pb_counter_arm(r.c, FAR), 0);
    run_to_stop(&r);
    pb_check_u64(pb_counter_arm(r.c, 3 * FAR), 0);
    run_to_stop(&r);
    pb_check(pb_counter_read(r.c) >= 4 * FAR);
    rig_free(&r);
}

/* ---- a thread that loses its CPU ---- */

static void step_to(Rig *r, uint64_t branches)
{
    while (pb_counter_read(r->c) < branches) {
        int ret = pb_counter_step(r->c, NULL);

        if (ret == PB_STEP_INTERRUPTED) {
            r->g.v.run->immediate_exit = 0;
        } else {
            pb_check_u64(ret, PB_STEP_DONE);
        }
    }
}

/*
 * How late the sampler's stop is when the CPU is lost twice: one branch
 * before the end of its period, and at its end.
 */
static uint64_t late_after_switches(Rig *r)
{
    uint64_t to = pb_counter_read(r->c) + FAR_TO_STEP;

    pb_check_u64(pb_calib_start(&r->g, PB_CALIB_LOOP, 4 * FAR_TO_STEP), 0);
    pb_check_u64(pb_counter_arm(r->c, FAR_TO_STEP), 0);
    step_to(r, to - 1);
    usleep(1000);
    step_to(r, to);
    pb_check_u64(pb_vcpu_debug_off(&r->g.v), 0);
    usleep(1000);
    run_to_stop(r);
    return pb_counter_read(r->c) - to;
}

static void test_pmu_stop_outlives_the_loss_of_the_cpu(void)
{
    Rig r;

    if (!rig_new(&r, PB_COUNTER_PMU)) {
        return;
    }
    pb_check(late_after_switches(&r) <= skid_here);
    pb_without = 1u << PB_REMEDY_SWITCH;
    pb_check(late_after_switches(&r) > skid_here);
    pb_without = 0;
    rig_free(&r);
}

/* ---- a kernel that finds the samples too many ---- */

#define SAMPLE_RATE "/proc/sys/kernel/perf_event_max_sample_rate"
#define SAMPLE_TIME "/proc/sys/kernel/perf_cpu_time_max_percent"

static void set(const char *sysctl, long value)
{
    FILE *f = fopen(sysctl, "w");

    pb_check(f && fprintf(f, "%ld\n", value) > 0);
    pb_check(f && fclose(f) == 0);
}

/* Whether the event behind @page, mapped with 8 pages more, was throttled. */
static bool was_throttled(const struct perf_event_mmap_page *page)
{
    const uint8_t *data = (const uint8_t *)page + page->data_offset;
    const struct perf_event_header *h;
    uint64_t at;

    for (at = 0; at < page->data_head && at < page->data_size;
         at += h->size) {
        h = (const void *)(data + at);
        if (h->type == PERF_RECORD_THROTTLE) {
            return true;
        }
    }
    return false;
}

/* A sampler of our own, which the kernel has to throttle now. */
static void check_throttling(Rig *r)
{
    const PbUarch *uarch = pb_uarch_find(why, sizeof(why));
    struct perf_event_attr attr = {
        .size = sizeof(attr), .type = uarch->type, .config = uarch->config,
        .sample_period = 500, .exclude_host = 1,
    };
    int fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
    size_t len = 9 * sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    pb_check(fd >= 0 && page != MAP_FAILED);
    run_loop(r, PB_CALIB_LOOP, 20000);
    pb_check(was_throttled(page));
    munmap(page, len);
    close(fd);
}

static void test_pmu_stops_come_from_a_throttled_sampler(void)
{
    long rate = pb_host_number(SAMPLE_RATE, 100000);
    long time = pb_host_number(SAMPLE_TIME, 25);
    uint64_t from;
    unsigned i;
    Rig r;

    if (!getenv("PBKVM_IN_LAB")) {
        pb_skip("it sets " SAMPLE_RATE ": in the lab alone");
        return;
    }
    if (!rig_new(&r, PB_COUNTER_PMU)) {
        return;
    }
    set(SAMPLE_TIME, 25);          /* 0 and 100: no limits */
    set(SAMPLE_RATE, 1);           /* one for each tick of the kernel's */
    check_throttling(&r);
    pb_check_u64(pb_calib_start(&r.g, PB_CALIB_LOOP, 40 * FAR), 0);
    for (i = 0; i < 200; i++) {
        from = pb_counter_read(r.c);
        pb_check_u64(pb_counter_arm(r.c, 500), 0);
        run_to_stop(&r);
        pb_check(pb_counter_read(r.c) <= from + 500 + skid_here);
    }
    set(SAMPLE_RATE, rate);
    set(SAMPLE_TIME, time);
    rig_free(&r);
}

static void test_pmu_reads_the_same_by_rdpmc_and_read(void)
{
    uint64_t counter, sampler;
    uint32_t i;
    Rig r;

    if (!rig_new(&r, PB_COUNTER_PMU)) {
        return;
    }
    if (!pb_counter_uses_rdpmc(r.c)) {
        pb_skip("this kernel does not allow rdpmc");
    }
    for (i = 1; i < 100; i++) {
        run_loop(&r, PB_CALIB_LOOP, i);
        if (i % 10 == 0) {
            sched_yield();      /* the event leaves its counter and returns */
        }
        pb_check_u64(pb_counter_read(r.c), (uint64_t)i * (i + 1) / 2);
        pb_check(pb_perf_read_fd(pb_counter_perf(r.c), &counter, &sampler));
        pb_check_u64(counter, pb_counter_read(r.c));
        pb_check_u64(sampler, counter);
    }
    rig_free(&r);
}

/*
 * What RDPMC reads is sign-extended or not, whatever the kernel's offset was
 * made for: taken as 64 bits, some read is wrong by 2^48.
 */
static void test_pmu_read_by_rdpmc_needs_its_width(void)
{
    unsigned i, wrong = 0;
    Rig r;

    if (!rig_new(&r, PB_COUNTER_PMU)) {
        return;
    }
    if (!pb_counter_uses_rdpmc(r.c)) {
        pb_skip("this kernel does not allow rdpmc");
        rig_free(&r);
        return;
    }
    for (i = 1; i < 100; i++) {
        run_loop(&r, PB_CALIB_LOOP, 1);
        sched_yield();
        pb_check_u64(pb_counter_read(r.c), i);
        pb_without = 1u << PB_REMEDY_WIDTH;
        wrong += pb_counter_read(r.c) != i;
        pb_without = 0;
        pb_counter_perf(r.c)->last = i;
    }
    printf("# %u of %u reads would be wrong\n", wrong, i - 1);
    pb_check(wrong > 0);
    rig_free(&r);
}

static void test_pmu_held_by_others_is_refused(void)
{
    const PbUarch *uarch;
    PbPerf held[64];
    PbCounter *c;
    int n = 0;
    Rig r;

    if (!rig_new(&r, PB_COUNTER_PMU)) {
        return;
    }
    pb_counter_free(r.c);
    uarch = pb_uarch_find(why, sizeof(why));
    while (n < 64 && pb_perf_open(&held[n], uarch, why, sizeof(why))) {
        n++;
    }
    pb_check(n > 0 && n < 64);
    r.c = pb_counter_new(&r.g.v, PB_COUNTER_PMU, uarch, why, sizeof(why));
    pb_check(!r.c);
    pb_check(strstr(why, "no hardware counter is free"));
    while (n > 0) {
        pb_perf_close(&held[--n]);
    }
    c = pb_counter_new(&r.g.v, PB_COUNTER_PMU, uarch, why, sizeof(why));
    pb_check(c != NULL);
    r.c = c;
    rig_free(&r);
}

/* ---- breakpoints of `step` ---- */

static void break_at(Rig *r, uint64_t pc)
{
    pb_check_u64(pb_vcpu_debug(&r->g.v, KVM_GUESTDBG_ENABLE |
                               KVM_GUESTDBG_USE_HW_BP, &pc, 1), 0);
}

static void expect_break(Rig *r, uint64_t pc, uint64_t rcx)
{
    struct kvm_regs regs;

    pb_check_u64(pb_vcpu_run(&r->g.v), 0);
    pb_check_u64(r->g.v.run->exit_reason, KVM_EXIT_DEBUG);
    pb_check_u64(r->g.v.run->debug.arch.pc, pc);
    pb_check_u64(pb_vcpu_get_regs(&r->g.v, &regs), 0);
    pb_check_u64(regs.rip, pc);
    pb_check_u64(regs.rcx, rcx);
}

static void breakpoints(PbCounterKind kind)
{
    Rig r;

    if (!rig_new(&r, kind)) {
        return;
    }
    pb_check_u64(pb_calib_start(&r.g, PB_CALIB_BREAKS, 5), 0);
    break_at(&r, PB_CALIB_BREAKS);
    expect_break(&r, PB_CALIB_BREAKS, 5);      /* at once, nothing executed */
    break_at(&r, PB_CALIB_BREAK2);
    expect_break(&r, PB_CALIB_BREAK2, 5);
    expect_break(&r, PB_CALIB_BREAK2, 5);      /* still standing there */
    break_at(&r, PB_CALIB_BREAKS);
    expect_break(&r, PB_CALIB_BREAKS, 4);
    pb_check_u64(pb_counter_read(r.c), 1);
    pb_check_u64(pb_vcpu_debug_off(&r.g.v), 0);
    pb_check_u64(pb_calib_run(&r.g), 0);
    pb_check_u64(pb_counter_read(r.c), 5);
    rig_free(&r);
}

static void test_step_breakpoints_hit_before_execution(void)
{
    breakpoints(PB_COUNTER_STEP);
}

static void test_pmu_breakpoints_hit_before_execution(void)
{
    breakpoints(PB_COUNTER_PMU);
}

/*
 * An interrupt goes first; the breakpoint hits after its handler, on return
 * or, if RF is set in the handler's frame, the next time round.
 */
static void break_under_interrupt(PbCounterKind kind)
{
    struct kvm_regs regs;
    uint64_t from;
    Rig r;

    if (!rig_new(&r, kind) || !interrupts_work(&r)) {
        return;
    }
    from = pb_counter_read(r.c);
    pb_check_u64(pb_calib_start(&r.g, PB_CALIB_BREAKS, 5), 0);
    pb_check_u64(pb_calib_interrupt(&r.g), 0);
    break_at(&r, PB_CALIB_BREAKS);
    pb_check_u64(pb_vcpu_run(&r.g.v), 0);
    pb_check_u64(r.g.v.run->exit_reason, KVM_EXIT_DEBUG);
    pb_check_u64(pb_vcpu_get_regs(&r.g.v, &regs), 0);
    pb_check_u64(regs.rip, PB_CALIB_BREAKS);
    pb_check(regs.rcx == 5 || regs.rcx == 4);
    pb_check_u64(pb_counter_read(r.c) - from,
                 PB_CALIB_HANDLER_BRANCHES + 5 - regs.rcx);
    rig_free(&r);
}

static void test_step_delivers_an_interrupt_before_a_breakpoint(void)
{
    break_under_interrupt(PB_COUNTER_STEP);
}

static void test_pmu_delivers_an_interrupt_before_a_breakpoint(void)
{
    break_under_interrupt(PB_COUNTER_PMU);
}

/* ---- kicks ---- */

static void *kick_it(void *counter)
{
    pb_counter_kick(counter);
    return NULL;
}

/* One kick is heard once, whether it comes before or during the run. */
static void kicks(PbCounterKind kind)
{
    pthread_t thread;
    Rig r;

    if (!rig_new(&r, kind)) {
        return;
    }
    pb_check_u64(pb_calib_start(&r.g, PB_CALIB_LOOP, UINT32_MAX), 0);
    pb_counter_kick(r.c);
    pb_check_u64(pb_vcpu_run(&r.g.v), -EINTR);
    pb_check_u64(pb_counter_read(r.c), 0);
    pb_check(!pb_counter_fired(r.c));
    pb_check_u64(pthread_create(&thread, NULL, kick_it, r.c), 0);
    pb_check_u64(pb_vcpu_run(&r.g.v), -EINTR);
    pthread_join(thread, NULL);
    pb_check_u64(r.g.v.run->immediate_exit, 0);
    run_loop(&r, PB_CALIB_LOOP, 3);
    rig_free(&r);
}

/* Without the handler's mark a signal just before KVM_RUN is lost. */
static void test_pmu_misses_a_kick_without_its_mark(void)
{
    Rig r;

    if (!rig_new(&r, PB_COUNTER_PMU)) {
        return;
    }
    pb_check_u64(pb_calib_start(&r.g, PB_CALIB_LOOP, UINT32_MAX), 0);
    pb_without = 1u << PB_REMEDY_KICK;
    pb_counter_kick(r.c);
    pb_check_u64(pb_counter_kick_in(r.c, 50000), 0);
    pb_check_u64(pb_vcpu_run(&r.g.v), -EINTR);
    pb_without = 0;
    pb_check(pb_counter_read(r.c) > 0);
    rig_free(&r);
}

static void test_step_hears_kicks(void)
{
    kicks(PB_COUNTER_STEP);
}

static void test_pmu_hears_kicks(void)
{
    kicks(PB_COUNTER_PMU);
}

/* ---- wrong use, self-check ---- */

static void test_second_counter_of_a_thread_is_refused(void)
{
    PbCounter *first;
    Rig r;

    if (!rig_new(&r, PB_COUNTER_STEP)) {
        return;
    }
    first = r.c;
    pb_check(!pb_counter_new(&r.g.v, PB_COUNTER_STEP, NULL, why,
                             sizeof(why)));
    pb_check_str(why, "this thread has a branch counter already");
    pb_check(r.g.v.counter == first);
    pb_counter_free(r.c);
    r.c = NULL;
    pb_check(!pb_counter_new(&r.g.v, PB_COUNTER_PMU, NULL, why,
                             sizeof(why)));
    pb_check(strstr(why, "lab/run"));
    rig_free(&r);
}

/* pb_self_check() of this host, whose verdict is @result and why. */
static bool self_check(PbSelfCheck *result)
{
    int kvm = pb_kvm_open(why, sizeof(why));
    bool ok = kvm >= 0 && pb_self_check(kvm, result, why, sizeof(why));

    if (kvm >= 0) {
        close(kvm);
    }
    return ok;
}

static void test_self_check_passes_and_leaves_no_trace(void)
{
    sigset_t before, after;
    PbSelfCheck s;
    Rig r;

    if (!rig_new(&r, PB_COUNTER_PMU)) {
        return;
    }
    memset(&before, 0, sizeof(before));
    memset(&after, 0, sizeof(after));
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    if (!self_check(&s)) {
        printf("# %s\n", why);
        pb_check(!"self-check fails");
    } else {
        printf("# %s: margin %u, skid %u (median %u, %u stops), step %u ns, "
               "breakpoint %u ns, read %u ns, %u ms\n", s.uarch->name,
               s.margin, s.skid_max, s.skid_median, s.stops, s.step_ns,
               s.break_ns, s.read_ns, s.took_ms);
        pb_check(s.stops >= 64);
        pb_check(s.skid_median <= s.skid_max);
        pb_check(s.margin >= 2 * s.skid_max + 16);
        pb_check(s.margin >= s.uarch->margin);
        pb_check(s.step_ns && s.break_ns && s.read_ns);
        pb_check(s.rdpmc == pb_counter_uses_rdpmc(r.c));
        pb_check(getenv("PBKVM_IN_LAB") || s.took_ms < 200);
        if (skid_here) {
            pb_check(s.skid_max > 0 && s.skid_max <= skid_here);
        }
    }
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    pb_check(memcmp(&before, &after, sizeof(before)) == 0);
    pb_check_u64(pb_counter_read(r.c), 0);
    rig_free(&r);
}

static void test_self_check_finds_a_miscount(void)
{
    PbSelfCheck s;

    pb_check(!self_check(&s));
    printf("# %s\n", why);
    pb_check(strstr(why, "self-check:") && strstr(why, "expected"));
}

/* A counter for this event on the CPU, before any of a thread: or -1. */
static int take_a_counter(const PbUarch *uarch, int cpu)
{
    struct perf_event_attr attr = {
        .size = sizeof(attr), .type = uarch->type, .config = uarch->config,
        .pinned = 1,
    };

    return syscall(SYS_perf_event_open, &attr, -1, cpu, -1,
                   PERF_FLAG_FD_CLOEXEC);
}

/* Somebody's `perf stat -a`, in the middle of a run. */
static void test_pmu_counter_that_is_taken_away_is_told(void)
{
    int held[64], n = 0, cpu = sched_getcpu();
    cpu_set_t all, here;
    const char *lost;
    Rig r;

    if (!rig_new(&r, PB_COUNTER_PMU)) {
        return;
    }
    sched_getaffinity(0, sizeof(all), &all);
    CPU_ZERO(&here);
    CPU_SET(cpu, &here);
    sched_setaffinity(0, sizeof(here), &here);
    run_loop(&r, PB_CALIB_LOOP, 10);
    pb_check(pb_counter_check(r.c) == NULL);
    while (n < 64 && pb_counter_check(r.c) == NULL) {
        held[n] = take_a_counter(pb_uarch_find(why, sizeof(why)), cpu);
        pb_check(held[n] >= 0);
        n++;
        usleep(2000);         /* the thread's events leave and come back */
        run_loop(&r, PB_CALIB_LOOP, 10);
    }
    lost = pb_counter_check(r.c);
    printf("# %d taken: %s\n", n, lost ? lost : "nothing is told");
    pb_check(lost && (strstr(lost, "taken away") ||
                      strstr(lost, "did not count")));
    while (n > 0) {
        close(held[--n]);
    }
    sched_setaffinity(0, sizeof(all), &all);
    rig_free(&r);
}

static const PbTest miscounting[] = { PB_TEST(self_check_finds_a_miscount) };

static const PbTest tests[] = {
    PB_TEST(step_counts_loops),
    PB_TEST(step_counts_through_interrupts),
    PB_TEST(step_stops_exactly_and_once),
    PB_TEST(step_breakpoints_hit_before_execution),
    PB_TEST(step_delivers_an_interrupt_before_a_breakpoint),
    PB_TEST(step_hears_kicks),
    PB_TEST(second_counter_of_a_thread_is_refused),
    PB_TEST(pmu_counts_loops),
    PB_TEST(pmu_counts_through_interrupts),
    PB_TEST(step_and_pmu_tell_the_same_positions),
    PB_TEST(pmu_stops_are_never_early_and_come_once),
    PB_TEST(pmu_stop_leaves_the_count_exact),
    PB_TEST(pmu_disarmed_does_not_stop),
    PB_TEST(pmu_rearmed_counts_from_now),
    PB_TEST(pmu_stop_outlives_the_loss_of_the_cpu),
    PB_TEST(pmu_stops_come_from_a_throttled_sampler),
    PB_TEST(pmu_reads_the_same_by_rdpmc_and_read),
    PB_TEST(pmu_read_by_rdpmc_needs_its_width),
    PB_TEST(pmu_breakpoints_hit_before_execution),
    PB_TEST(pmu_delivers_an_interrupt_before_a_breakpoint),
    PB_TEST(pmu_hears_kicks),
    PB_TEST(pmu_misses_a_kick_without_its_mark),
    PB_TEST(pmu_held_by_others_is_refused),
    PB_TEST(pmu_counter_that_is_taken_away_is_told),
    PB_TEST(self_check_passes_and_leaves_no_trace),
};

int main(int argc, char **argv)
{
    int i;

    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--pmu") == 0) {
            pmu_needed = true;
        } else if (strcmp(argv[i], "--skid") == 0 && i + 1 < argc) {
            skid_here = atoi(argv[++i]);
        } else if (strcmp(argv[i], "--miscount") == 0) {
            return pb_tap_run(miscounting, 1);
        } else {
            fprintf(stderr, "counter-test: unknown argument \"%s\"\n",
                    argv[i]);
            return 2;
        }
    }
    return pb_tap_run(tests, sizeof(tests) / sizeof(tests[0]));
}
