/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * step-dr-test.c: steps over a guest's MOV DR, to which a signal has brought
 * it: its debug registers stay what it made them.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "pb-remedy.h"
#include "pb-step.h"
#include "pb-tap.h"
#include "pb-tiny.h"

/* CPUID first: KVM runs it, so that each MOV DR comes to KVM anew. */
static const uint8_t code[] = {
    0x0f, 0xa2,                 /* cpuid */
    0x0f, 0x21, 0xf0,           /* mov %dr6, %eax */
    0xeb, 0xf9,                 /* jmp back */
};

static const uint8_t write_bs[] = {
    0xbe, 0x00, 0x40, 0, 0,     /* mov $0x4000, %esi */
    0x0f, 0x23, 0xf6,           /* mov %esi, %dr6 */
    0x31, 0xf6,                 /* xor %esi, %esi */
    0x0f, 0x23, 0xf6,           /* mov %esi, %dr6 */
};

#define MOV_DR (PB_TINY_CODE + 2)
#define SIGNALS 3000            /* of which some come between the two */
#define STEPS 100
#define DR7_ENABLED 0xffull
#define DR6_BS 0x4000ull

static PbTiny vm;

static void on_alarm(int number)
{
}

/* Run the guest until a signal comes; where it is then. */
static uint64_t run_a_little(void)
{
    const struct itimerval never = { 0 };
    struct itimerval soon = {
        .it_value.tv_usec = 100 + rand() % 200,
        .it_interval.tv_usec = 1000,          /* the first may come too soon */
    };
    struct kvm_regs regs;
    int ret;

    setitimer(ITIMER_REAL, &soon, NULL);
    do {
        ret = pb_vcpu_enter(&vm.vcpu);
    } while (ret == 0 && vm.vcpu.run->exit_reason == KVM_EXIT_INTR);
    setitimer(ITIMER_REAL, &never, NULL);
    pb_check_u64(ret, -EINTR);
    pb_check(pb_vcpu_get_regs(&vm.vcpu, &regs) == 0);
    return regs.rip;
}

/* What is not the guest's own in its debug registers after a step there. */
static uint64_t step_leaves(void)
{
    struct kvm_debugregs d;

    pb_check_u64(pb_step(&vm.vcpu, NULL), PB_STEP_DONE);
    pb_check(pb_vcpu_debug_off(&vm.vcpu) == 0);
    pb_check(pb_vcpu_ioctl(&vm.vcpu, KVM_GET_DEBUGREGS, &d) == 0);
    return (d.dr7 & DR7_ENABLED) | (d.dr6 & DR6_BS);
}

/* Until something is left there that should not be; 0: it never was. */
static uint64_t many_steps(void)
{
    struct sigaction alarm = { .sa_handler = on_alarm };
    static char why[160];
    uint64_t left = 0;
    unsigned i, n = 0;

    if (!pb_tiny_new(&vm, PB_TINY_FLAT, why, sizeof(why))) {
        pb_skip(why);
        return 0;
    }
    sigaction(SIGALRM, &alarm, NULL);
    pb_tiny_start(&vm, code, sizeof(code));
    for (i = 0; i < SIGNALS && n < STEPS && !left; i++) {
        if (run_a_little() == MOV_DR) {
            left = step_leaves();
            n++;
        }
    }
    pb_check(left || n == STEPS);
    pb_tiny_free(&vm);
    return left;
}

static void test_signal_at_mov_dr_leaves_the_registers_the_guests(void)
{
    pb_check_u64(many_steps(), 0);
}

static void test_our_breakpoints_would_be_taken_for_the_guests(void)
{
    uint64_t left;

    if (!getenv("PBKVM_IN_LAB")) {
        pb_skip("whether this host's KVM has the debug registers is not sure");
        return;
    }
    pb_without = 1u << PB_REMEDY_MOV_DR;
    left = many_steps();
    pb_without = 0;
    pb_check(left & DR7_ENABLED);
}

static void test_step_leaves_bs_as_the_guest_wrote_it(void)
{
    static char why[160];

    if (!pb_tiny_new(&vm, PB_TINY_FLAT, why, sizeof(why))) {
        pb_skip(why);
        return;
    }
    pb_tiny_start(&vm, write_bs, sizeof(write_bs));
    pb_check_u64(pb_step(&vm.vcpu, NULL), PB_STEP_DONE);
    pb_check_u64(step_leaves(), DR6_BS);
    pb_check_u64(pb_step(&vm.vcpu, NULL), PB_STEP_DONE);
    pb_check_u64(step_leaves(), 0);
    pb_tiny_free(&vm);
}

int main(void)
{
    static const PbTest tests[] = {
        PB_TEST(signal_at_mov_dr_leaves_the_registers_the_guests),
        PB_TEST(step_leaves_bs_as_the_guest_wrote_it),
        PB_TEST(our_breakpoints_would_be_taken_for_the_guests),
    };

    return pb_tap_run(tests, sizeof(tests) / sizeof(tests[0]));
}
