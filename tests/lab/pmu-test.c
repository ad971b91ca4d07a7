/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the lab's PMU model through stock KVM and stock perf, run inside
 * the lab: pmu-test NAME [ARGUMENT]. Status 0 and a line of figures, or 1 and
 * what was expected and got.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "tiny.h"

/* dec ecx; jnz .-2; hlt: as many conditional branches as ECX says. */
static const uint8_t loop_code[] = { 0x66, 0x49, 0x75, 0xfc, 0xf4 };

static void run_to_halt(Tiny *t)
{
    int reason = tiny_run(t);

    if (reason != KVM_EXIT_HLT) {
        fail("expected exit %d (HLT), got %d", KVM_EXIT_HLT, reason);
    }
}

static void expect(const char *what, uint64_t expected, uint64_t got)
{
    if (expected != got) {
        fail("%s: expected %lu, got %lu", what, expected, got);
    }
}

/* A guest loop of N iterations counts N, whatever the host does. */
static void test_count_is_exact(const char *arg)
{
    uint64_t n = arg ? strtoull(arg, NULL, 0) : 5000000;
    int counter = counter_new(RETIRED_COND, 0);
    Tiny t;

    tiny_new(&t, loop_code, sizeof(loop_code));
    for (int i = 0; i < 5; i++) {
        uint64_t before = counter_read(counter);

        tiny_restart(&t, n);
        run_to_halt(&t);
        expect("branches", n, counter_read(counter) - before);
    }
    printf("5 x %lu branches exact\n", n);
}

/* Host-only and unfiltered counters: the filters select. */
static void test_filters_select(const char *arg)
{
    int guest = counter_new(RETIRED_COND, 0);
    int both = counter_new_in(RETIRED_COND, 0, COUNT_HOST | COUNT_GUEST);
    int host = counter_new_in(RETIRED_COND, 0, COUNT_HOST);
    uint64_t g, b, h;
    Tiny t;

    (void)arg;
    tiny_new(&t, loop_code, sizeof(loop_code));
    tiny_restart(&t, 1000000);
    run_to_halt(&t);
    g = counter_read(guest);
    b = counter_read(both);
    h = counter_read(host);
    expect("guest", 1000000, g);
    if (h < 100 || h > 900000 || b < g + h / 2) {
        fail("expected 100..900000 in the host and both > guest + host / 2, "
             "got host %lu both %lu", h, b);
    }
    printf("guest %lu host %lu both %lu\n", g, h, b);
}

/* Run until the sampler stops the guest; its position. */
static uint64_t run_to_stop(Tiny *t, int sampler, uint64_t period, uint64_t n)
{
    int reason;

    tiny_restart(t, n);
    counter_period(sampler, period);
    reason = tiny_run(t);
    if (reason != -1) {
        fail("expected a stop after %lu branches, got exit %d at ecx %lu",
             period, reason, tiny_ecx(t));
    }
    return n - tiny_ecx(t);
}

/* Argument: the largest skid that may (and nearly must) be seen. */
static void test_stop_has_skid_up_to(const char *arg)
{
    uint64_t limit = strtoull(arg, NULL, 0), least = ~0ULL, most = 0;
    int counter = counter_new(RETIRED_COND, 0);
    int sampler = counter_new(RETIRED_COND, 1ULL << 40);
    Tiny t;

    tiny_new(&t, loop_code, sizeof(loop_code));
    counter_stops(&t);
    for (unsigned i = 0; i < 100; i++) {
        uint64_t period = 1000 + i * 7919;
        uint64_t before = counter_read(counter);
        uint64_t at = run_to_stop(&t, sampler, period, 2000000);
        uint64_t skid = at - period;

        expect("counted and really run", at,
               counter_read(counter) - before);
        if (at < period || skid > limit) {
            fail("expected a stop after %lu..%lu branches, got %lu",
                 period, period + limit, at);
        }
        least = skid < least ? skid : least;
        most = skid > most ? skid : most;
    }
    if (limit && (least > limit / 5 || most < limit - limit / 5)) {
        fail("expected skids spread over 0..%lu, got %lu..%lu",
             limit, least, most);
    }
    printf("100 stops, skid %lu..%lu\n", least, most);
}

/* Two samplers with the same and with different limits both overflow. */
static void test_two_counters_are_armed(const char *arg)
{
    int first = counter_new(RETIRED_COND, 1ULL << 40);
    int second = counter_new(RETIRED_COND, 1ULL << 40);
    uint64_t at;
    Tiny t;

    (void)arg;
    tiny_new(&t, loop_code, sizeof(loop_code));
    counter_stops(&t);
    for (uint64_t gap = 0; gap <= 5000; gap += 1000) {
        counter_period(second, 10000 + gap);
        at = run_to_stop(&t, first, 10000, 100000);
        expect("first stop", 10000, at);
        t.run->immediate_exit = 0;
        if (gap) {
            expect("exit at the second stop", -1, tiny_run(&t));
            expect("second stop", 10000 + gap, 100000 - tiny_ecx(&t));
        }
        counter_period(first, 1ULL << 40);
        counter_period(second, 1ULL << 40);
        t.run->immediate_exit = 0;
        run_to_halt(&t);
    }
    printf("stops with gaps 0..5000 exact\n");
}

/* Each single-step of dec; jnz moves the count by 0, then 1. */
static void test_steps_count(const char *arg)
{
    int counter = counter_new(RETIRED_COND, 0);
    struct kvm_guest_debug step = {
        .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP
    };
    unsigned steps = arg ? atoi(arg) : 100;
    uint64_t before;
    double start;
    Tiny t;

    tiny_new(&t, loop_code, sizeof(loop_code));
    tiny_restart(&t, steps);
    before = counter_read(counter);
    start = now();
    for (unsigned i = 1; i <= steps; i++) {
        must(ioctl(t.vcpu, KVM_SET_GUEST_DEBUG, &step), "KVM_SET_GUEST_DEBUG");
        expect("exit", KVM_EXIT_DEBUG, tiny_run(&t));
        expect("branches", i / 2, counter_read(counter) - before);
    }
    printf("%u steps, %.1f us each\n", steps,
           (now() - start) * 1e6 / steps);
}

/* With the miscount knob at ARGUMENT, counts are off, by about as much. */
static void test_miscounts_happen(const char *arg)
{
    uint64_t mean = strtoull(arg, NULL, 0), n = mean * 20;
    int counter = counter_new(RETIRED_COND, 0);
    unsigned wrong = 0;
    uint64_t most = 0;
    Tiny t;

    tiny_new(&t, loop_code, sizeof(loop_code));
    for (int i = 0; i < 20; i++) {
        uint64_t before = counter_read(counter), got, error;

        tiny_restart(&t, n);
        run_to_halt(&t);
        got = counter_read(counter) - before;
        error = got > n ? got - n : n - got;
        wrong += error != 0;
        most = error > most ? error : most;
    }
    if (wrong < 5 || most > 40) {
        fail("expected 5..20 of 20 counts off by at most 40, got %u off by "
             "up to %lu", wrong, most);
    }
    printf("%u of 20 counts off, by up to %lu\n", wrong, most);
}

static uint64_t interrupt_exits(void)
{
    unsigned long count;
    FILE *file = fopen("/sys/kernel/debug/kvm/irq_exits", "r");

    if (!file || fscanf(file, "%lu", &count) != 1) {
        fail("cannot read /sys/kernel/debug/kvm/irq_exits");
    }
    fclose(file);
    return count;
}

/* With the spurious knob at ARGUMENT, so often the guest exits; exactly. */
static void test_spurious_exits_happen(const char *arg)
{
    uint64_t mean = strtoull(arg, NULL, 0), n = mean * 2000;
    int counter = counter_new(RETIRED_COND, 0);
    uint64_t before, exits;
    Tiny t;

    tiny_new(&t, loop_code, sizeof(loop_code));
    before = interrupt_exits();
    tiny_restart(&t, n);
    run_to_halt(&t);
    exits = interrupt_exits() - before;
    expect("branches", n, counter_read(counter));
    if (exits < 1800 || exits > 4000) {
        fail("expected 1800..4000 interrupt exits in %lu branches, got %lu",
             n, exits);
    }
    printf("%lu interrupt exits in %lu branches\n", exits, n);
}

/* With the lose knob at ARGUMENT, each so-many-th stop does not come. */
static void test_stops_are_lost(const char *arg)
{
    unsigned every = atoi(arg), lost = 0, n = 4 * every;
    int counter = counter_new(RETIRED_COND, 0);
    int sampler = counter_new(RETIRED_COND, 1ULL << 40);
    Tiny t;

    tiny_new(&t, loop_code, sizeof(loop_code));
    counter_stops(&t);
    for (unsigned i = 0; i < n; i++) {
        uint64_t before = counter_read(counter);

        tiny_restart(&t, 5000);
        counter_period(sampler, 1000);
        lost += tiny_run(&t) != -1;
        expect("counted and really run", 5000 - tiny_ecx(&t),
               counter_read(counter) - before);
    }
    expect("stops lost", n / every, lost);
    printf("%u of %u stops lost\n", lost, n);
}

/* Where the guest stops first, with breakpoints on its second and third. */
static uint64_t first_break(const uint8_t *code, unsigned length)
{
    struct kvm_guest_debug breaks = {
        .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP,
        .arch.debugreg = { TINY_CODE + length - 3, TINY_CODE + length - 2,
                           [7] = 0x60a },
    };
    Tiny t;

    tiny_new(&t, code, length);
    tiny_restart(&t, 0);
    must(ioctl(t.vcpu, KVM_SET_GUEST_DEBUG, &breaks), "KVM_SET_GUEST_DEBUG");
    expect("exit", KVM_EXIT_DEBUG, tiny_run(&t));
    return t.run->debug.arch.pc - TINY_CODE;
}

/* ARGUMENT: where a breakpoint behind MOV SS stops, 2 or 3; STI: always. */
static void test_break_behind_mov_ss(const char *arg)
{
    static const uint8_t mov_ss[] = { 0x8e, 0xd0, 0x90, 0x90, 0xf4 };
    static const uint8_t pop_ss[] = { 0x16, 0x17, 0x90, 0x90, 0xf4 };
    static const uint8_t sti[] = { 0x90, 0xfb, 0x90, 0x90, 0xf4 };
    uint64_t where = strtoull(arg, NULL, 0);

    expect("behind MOV SS", where, first_break(mov_ss, sizeof(mov_ss)));
    expect("behind POP SS", where, first_break(pop_ss, sizeof(pop_ss)));
    expect("behind STI", 2, first_break(sti, sizeof(sti)));
    printf("breakpoints behind MOV SS stop at +%lu\n", where);
}

/* With the count-vmrun knob, each KVM_RUN counts one or more too many. */
static void test_vmrun_counts(const char *arg)
{
    static const uint8_t ports[] = { 0xe6, 0x10, 0xeb, 0xfc };
    int counter = counter_new(RETIRED_COND, 0);
    unsigned exits = 200;
    uint64_t got;
    Tiny t;

    (void)arg;
    tiny_new(&t, ports, sizeof(ports));
    tiny_restart(&t, 0);
    for (unsigned i = 0; i < exits; i++) {
        expect("exit", KVM_EXIT_IO, tiny_run(&t));
    }
    got = counter_read(counter);
    if (got < exits || got > 100 * exits) {
        fail("expected %u or some more, got %lu", exits, got);
    }
    printf("%u exits counted as %lu branches\n", exits, got);
}

/* Millions of iterations per second of the guest, counted or not. */
static void bench_loop(const char *arg)
{
    uint64_t n = strtoull(arg, NULL, 0);
    int counter = -1;
    double start;
    Tiny t;

    tiny_new(&t, loop_code, sizeof(loop_code));
    for (int counted = 0; counted <= 1; counted++) {
        if (counted) {
            counter = counter_new(RETIRED_COND, 0);
        }
        tiny_restart(&t, n);
        start = now();
        run_to_halt(&t);
        printf("%s: %.0f MIPS\n", counted ? "counted" : "uncounted",
               n * 2 / (now() - start) / 1e6);
    }
    expect("branches", n, counter_read(counter));
}

static const struct {
    const char *name;
    void (*run)(const char *arg);
} tests[] = {
    { "count", test_count_is_exact },
    { "filters", test_filters_select },
    { "skid", test_stop_has_skid_up_to },
    { "two", test_two_counters_are_armed },
    { "steps", test_steps_count },
    { "miscount", test_miscounts_happen },
    { "spurious", test_spurious_exits_happen },
    { "lose", test_stops_are_lost },
    { "mov-ss", test_break_behind_mov_ss },
    { "vmrun", test_vmrun_counts },
    { "bench", bench_loop },
};

int main(int argc, char **argv)
{
    for (unsigned i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        if (argc > 1 && !strcmp(argv[1], tests[i].name)) {
            tests[i].run(argc > 2 ? argv[2] : NULL);
            return 0;
        }
    }
    fprintf(stderr, "usage: pmu-test NAME [ARGUMENT]\n");
    return 2;
}
