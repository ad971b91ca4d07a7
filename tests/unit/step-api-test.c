/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * step-api-test.c: what pb_step() promises at its edges: signals, exits,
 * events that wait for delivery, and what it refuses.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pb-remedy.h"
#include "pb-step.h"
#include "pb-tables.h"
#include "pb-tap.h"
#include "pb-tiny.h"

#define RFLAGS_TF 0x100ull
#define RFLAGS_IF 0x200ull
#define RFLAGS_RF 0x10000ull   /* CPUs differ in whether they push it */
#define PTE_A 0x20u

#define STUB(vector) (PB_TINY_STUBS + (vector) * PB_TINY_STUB_SIZE)

static PbTiny vm;
static struct kvm_regs regs;

static bool start(PbTinyMode mode, const void *code, size_t len)
{
    static char why[160];

    if (!pb_tiny_new(&vm, mode, why, sizeof(why))) {
        pb_skip(why);
        return false;
    }
    pb_tiny_start(&vm, code, len);
    return true;
}

#define START(mode, ...) \
    start(PB_TINY_##mode, (const uint8_t[]) { __VA_ARGS__ }, \
          sizeof((const uint8_t[]) { __VA_ARGS__ }))

static uint64_t rip(void)
{
    pb_check(pb_vcpu_get_regs(&vm.vcpu, &regs) == 0);
    return regs.rip;
}

static int step(void)
{
    return pb_step(&vm.vcpu, NULL);
}

/* The frame the CPU pushed last, without error code: EIP, CS, EFLAGS. */
static uint32_t pushed(unsigned n)
{
    uint32_t word;

    pb_check(pb_vcpu_get_regs(&vm.vcpu, &regs) == 0);
    memcpy(&word, vm.ram + regs.rsp + 4 * n, 4);
    return word;
}

/*
 * KVM that emulates every instruction (no virtualisation in the CPU) cannot
 * do this; in the lab it must.  True: the test is over.
 */
static bool not_here(int ret, const char *why)
{
    uint32_t reason = vm.vcpu.run->exit_reason;

    if (ret == PB_STEP_EXIT && !getenv("PBKVM_IN_LAB") &&
        (reason == KVM_EXIT_INTERNAL_ERROR || reason == KVM_EXIT_SHUTDOWN)) {
        pb_skip(why);
        pb_tiny_free(&vm);
        return true;
    }
    return false;
}

static void test_signal_leaves_the_guest_as_it_is(void)
{
    if (!START(FLAT, 0x40, 0x40)) {                       /* inc eax */
        return;
    }
    vm.vcpu.run->immediate_exit = 1;
    pb_check_u64(step(), PB_STEP_INTERRUPTED);
    pb_check_u64(rip(), PB_TINY_CODE);
    pb_check_u64(regs.rax, 0);
    vm.vcpu.run->immediate_exit = 0;
    pb_check_u64(step(), PB_STEP_DONE);
    pb_check_u64(rip(), PB_TINY_CODE + 1);
    pb_check_u64(regs.rax, 1);
    pb_tiny_free(&vm);
}

static void test_io_exits_and_the_next_step_completes_it(void)
{
    if (!START(FLAT, 0xe4, 0x10, 0x90)) {                 /* in al,0x10 */
        return;
    }
    pb_check_u64(step(), PB_STEP_EXIT);
    pb_check_u64(vm.vcpu.run->exit_reason, KVM_EXIT_IO);
    pb_check(vm.vcpu.io_pending);
    pb_check(pb_tiny_answer(&vm));
    pb_check_u64(step(), PB_STEP_DONE);
    pb_check_u64(rip(), PB_TINY_CODE + 2);
    pb_check_u64(regs.rax, vm.log[0].data);
    pb_check_u64(step(), PB_STEP_DONE);
    pb_check_u64(rip(), PB_TINY_CODE + 3);
    pb_tiny_free(&vm);
}

static void test_signal_before_io_is_completed(void)
{
    if (!START(FLAT, 0xe6, 0x10, 0x90)) {                 /* out 0x10,al */
        return;
    }
    pb_check_u64(step(), PB_STEP_EXIT);
    pb_check(pb_tiny_answer(&vm));
    vm.vcpu.run->immediate_exit = 1;
    pb_check_u64(step(), PB_STEP_DONE);
    pb_check_u64(rip(), PB_TINY_CODE + 2);
    vm.vcpu.run->immediate_exit = 0;
    pb_check_u64(step(), PB_STEP_DONE);
    pb_check_u64(rip(), PB_TINY_CODE + 3);
    pb_tiny_free(&vm);
}

static void test_hlt_exits_behind_itself(void)
{
    if (!START(FLAT, 0xf4, 0x40)) {
        return;
    }
    pb_check_u64(step(), PB_STEP_EXIT);
    pb_check_u64(vm.vcpu.run->exit_reason, KVM_EXIT_HLT);
    pb_check_u64(rip(), PB_TINY_CODE + 1);
    pb_check_u64(step(), PB_STEP_DONE);
    pb_check_u64(rip(), PB_TINY_CODE + 2);
    pb_check_u64(regs.rax, 1);
    pb_tiny_free(&vm);
}

static void test_jump_to_itself_is_one_step(void)
{
    bool branch;

    if (!START(FLAT, 0xeb, 0xfe)) {
        return;
    }
    pb_check_u64(pb_step(&vm.vcpu, &branch), PB_STEP_DONE);
    pb_check(!branch);
    pb_check_u64(rip(), PB_TINY_CODE);
    pb_tiny_free(&vm);
}

static void test_loop_to_itself_counts_each_time(void)
{
    unsigned i;
    bool branch;

    if (!START(FLAT, 0xe2, 0xfe, 0x90)) {
        return;
    }
    pb_check(pb_vcpu_get_regs(&vm.vcpu, &regs) == 0);
    regs.rcx = 3;
    pb_check(pb_vcpu_set_regs(&vm.vcpu, &regs) == 0);
    for (i = 0; i < 3; i++) {
        pb_check_u64(pb_step(&vm.vcpu, &branch), PB_STEP_DONE);
        pb_check(branch);
    }
    pb_check_u64(rip(), PB_TINY_CODE + 2);
    pb_check_u64(pb_step(&vm.vcpu, &branch), PB_STEP_DONE);
    pb_check(!branch);
    pb_tiny_free(&vm);
}

static void set_if(void)
{
    pb_check(pb_vcpu_get_regs(&vm.vcpu, &regs) == 0);
    regs.rflags |= RFLAGS_IF;
    pb_check(pb_vcpu_set_regs(&vm.vcpu, &regs) == 0);
}

static void test_waiting_interrupt_is_a_step_to_its_handler(void)
{
    struct kvm_interrupt irq = { .irq = 0x40 };
    int ret;

    if (!START(FLAT, 0xeb, 0x00, 0x40)) {            /* jmp $+2; inc eax */
        return;
    }
    set_if();
    pb_check_u64(step(), PB_STEP_DONE);              /* with TF */
    pb_check(pb_vcpu_debug_off(&vm.vcpu) == 0);
    pb_check(pb_vcpu_ioctl(&vm.vcpu, KVM_INTERRUPT, &irq) == 0);
    ret = step();
    if (not_here(ret, "this host's KVM cannot deliver an interrupt")) {
        return;
    }
    pb_check_u64(ret, PB_STEP_DONE);
    pb_check_u64(rip(), STUB(0x40));
    pb_check_u64(pushed(0), PB_TINY_CODE + 2);
    pb_check_u64(pushed(2) & ~RFLAGS_RF, RFLAGS_IF | 2);
    pb_check_u64(regs.rax, 0);
    pb_tiny_free(&vm);
}

static void test_waiting_nmi_is_a_step_to_its_handler(void)
{
    int ret;

    if (!START(FLAT, 0x40, 0x40)) {
        return;
    }
    pb_check(pb_vcpu_ioctl(&vm.vcpu, KVM_NMI, NULL) == 0);
    ret = step();
    if (not_here(ret, "this host's KVM cannot deliver an NMI")) {
        return;
    }
    pb_check_u64(ret, PB_STEP_DONE);
    pb_check_u64(rip(), STUB(2));
    pb_check_u64(pushed(0), PB_TINY_CODE);
    pb_check_u64(pushed(2) & ~RFLAGS_RF, 2);
    pb_tiny_free(&vm);
}

/* The breakpoint on the #UD handler is where the step starts. */
static void test_handler_that_faults_at_once(void)
{
    unsigned i;
    int ret;

    if (!START(FLAT, 0x0f, 0x0b)) {
        return;
    }
    pb_tiny_stub(&vm, 6, (const uint8_t[]) { 0x0f, 0x0b }, 2);
    for (i = 1; i <= 4; i++) {
        ret = step();
        if (i > 1 && ret == -ELOOP && !getenv("PBKVM_IN_LAB")) {
            pb_skip("this host's KVM ignores RF");
            break;
        }
        pb_check_u64(ret, PB_STEP_DONE);
        pb_check_u64(rip(), STUB(6));
        pb_check_u64(regs.rsp, PB_TINY_STACK - 12 * i);
        pb_check_u64(pushed(2) & RFLAGS_TF, 0);
    }
    pb_tiny_free(&vm);
}

/* The #DB waits behind the step; KVM that emulates is with its handler. */
static void check_trap_waits(void)
{
    struct kvm_vcpu_events e;

    pb_check_u64(rip(), PB_TINY_CODE + 7);
    pb_check_u64(regs.rax, 1);
    pb_check_u64(regs.rflags & RFLAGS_TF, RFLAGS_TF);
    pb_check(pb_vcpu_ioctl(&vm.vcpu, KVM_GET_VCPU_EVENTS, &e) == 0);
    pb_check((e.exception.pending || e.exception.injected) &&
             e.exception.nr == 1);
    pb_check_u64(step(), PB_STEP_DONE);
}

static void test_guest_that_steps_itself_gets_its_trap(void)
{
    struct kvm_debugregs debug;

    if (!START(FLAT, 0x68, 0x02, 0x01, 0, 0, 0x9d, 0x40)) { /* popf of TF */
        return;
    }
    pb_check_u64(step(), PB_STEP_DONE);
    pb_check_u64(step(), PB_STEP_DONE);
    pb_check_u64(step(), PB_STEP_DONE);                    /* inc eax */
    if (getenv("PBKVM_IN_LAB") || rip() != STUB(1)) {
        check_trap_waits();
    }
    pb_check_u64(rip(), STUB(1));
    pb_check_u64(regs.rflags & RFLAGS_TF, 0);
    pb_check_u64(pushed(0), PB_TINY_CODE + 7);
    pb_check_u64(pushed(2) & RFLAGS_TF, RFLAGS_TF);
    pb_check(pb_vcpu_ioctl(&vm.vcpu, KVM_GET_DEBUGREGS, &debug) == 0);
    pb_check_u64(debug.dr6 & 0xf00f, 0x4000);              /* BS */
    pb_tiny_free(&vm);
}

/* A watchpoint of its own, hit by what is stepped. */
static void test_guest_that_watches_itself_gets_its_trap(void)
{
    struct kvm_debugregs debug;

    /* mov %eax, 0x40000; nop */
    if (!START(FLAT, 0xa3, 0x00, 0x00, 0x04, 0x00, 0x90)) {
        return;
    }
    pb_check(pb_vcpu_ioctl(&vm.vcpu, KVM_GET_DEBUGREGS, &debug) == 0);
    debug.db[2] = 0x40000;
    debug.dr7 = 0x400 | 1u << 5 | 0xdu << 24;              /* written, 4 */
    pb_check(pb_vcpu_ioctl(&vm.vcpu, KVM_SET_DEBUGREGS, &debug) == 0);
    vm.vcpu.guest_watches = true;
    pb_check_u64(step(), PB_STEP_DONE);
    pb_check_u64(rip(), PB_TINY_CODE + 5);
    if (!getenv("PBKVM_IN_LAB")) {
        pb_skip("whether this host's KVM knows watchpoints is not sure");
        pb_tiny_free(&vm);
        return;
    }
    pb_check_u64(step(), PB_STEP_DONE);
    pb_check_u64(rip(), STUB(1));
    pb_check(pb_vcpu_ioctl(&vm.vcpu, KVM_GET_DEBUGREGS, &debug) == 0);
    pb_check_u64(debug.dr6 & 0xf00f, 1u << 2);
    pb_tiny_free(&vm);
}

static void test_iret_to_a_guest_with_tf_keeps_it(void)
{
    int ret;

    /* push 0x102; push 8; push $+1; iret; nop */
    if (!START(FLAT, 0x68, 0x02, 0x01, 0, 0, 0x6a, 0x08,
               0x68, 0x0d, 0, 1, 0, 0xcf, 0x90)) {
        return;
    }
    pb_check_u64(step(), PB_STEP_DONE);
    pb_check_u64(step(), PB_STEP_DONE);
    pb_check_u64(step(), PB_STEP_DONE);
    ret = step();
    if (not_here(ret, "this host's KVM cannot run IRET")) {
        return;
    }
    pb_check_u64(ret, PB_STEP_DONE);
    pb_check_u64(rip(), PB_TINY_CODE + 13);
    pb_check_u64(regs.rflags & RFLAGS_TF, RFLAGS_TF);
    pb_tiny_free(&vm);
}

/* KVM hides the TF that the guest loads while it steps with its own. */
static void test_iret_to_a_guest_with_tf_would_lose_it(void)
{
    int ret, i;

    if (!START(FLAT, 0x68, 0x02, 0x01, 0, 0, 0x6a, 0x08,
               0x68, 0x0d, 0, 1, 0, 0xcf, 0x90)) {
        return;
    }
    pb_without = 1u << PB_REMEDY_GUEST_TF;
    for (i = 0, ret = 0; i < 4 && ret == PB_STEP_DONE; i++) {
        ret = step();
    }
    pb_without = 0;
    if (not_here(ret, "this host's KVM cannot run IRET")) {
        return;
    }
    pb_check_u64(ret, PB_STEP_DONE);
    pb_check(pb_vcpu_debug_off(&vm.vcpu) == 0);
    pb_check_u64(rip(), PB_TINY_CODE + 13);
    pb_check_u64(regs.rflags & RFLAGS_TF, 0);
    pb_tiny_free(&vm);
}

/*
 * JMP to the handler of a fault that it might have raised: TF's trap comes
 * where a breakpoint is, too, and it is the trap that tells what happened.
 */
static int jump_to_a_handler(void)
{
    static const uint32_t entry = STUB(13);
    int ret;

    if (!START(FLAT, 0xff, 0x25, 0x00, 0x00, 0x04, 0x00)) {
        return 1;
    }
    pb_tiny_load(&vm, 0x40000, &entry, sizeof(entry));
    ret = step();
    pb_check_u64(rip(), STUB(13));
    pb_check_u64(regs.rsp, PB_TINY_STACK);
    pb_tiny_free(&vm);
    return ret;
}

static void test_jump_to_a_handler_is_no_fault(void)
{
    int ret = jump_to_a_handler();

    if (ret <= 0) {
        pb_check_u64(ret, PB_STEP_DONE);
        pb_without = 1u << PB_REMEDY_ONE_DB;
        ret = jump_to_a_handler();
        pb_without = 0;
        pb_check(ret < 0);
    }
}

/* To the task that runs already: a fault, and nothing that was not planned. */
static void test_task_gate_to_a_busy_task_faults(void)
{
    static const uint32_t task_gate[2] = { PB_TINY_TR << 16, 0x8500 };
    int ret;

    if (!START(FLAT, 0xcd, 0x30)) {
        return;
    }
    pb_tiny_load(&vm, PB_TINY_IDT + 8 * 0x30, task_gate, sizeof(task_gate));
    ret = step();
    if (not_here(ret, "this host's KVM cannot switch tasks")) {
        return;
    }
    pb_check_u64(ret, PB_STEP_DONE);
    pb_check(rip() != PB_TINY_CODE && rip() != PB_TINY_CODE + 2);
    pb_tiny_free(&vm);
}

static void test_icebp_is_refused(void)
{
    if (!START(FLAT, 0xf1)) {
        return;
    }
    pb_check_u64(step(), -EOPNOTSUPP);
    pb_tiny_free(&vm);
}

static void test_triple_fault_is_an_exit(void)
{
    struct kvm_sregs sregs;

    if (!START(FLAT, 0x0f, 0x0b)) {
        return;
    }
    pb_check(pb_vcpu_get_sregs(&vm.vcpu, &sregs) == 0);
    sregs.idt.limit = 0;
    pb_check(pb_vcpu_ioctl(&vm.vcpu, KVM_SET_SREGS, &sregs) == 0);
    pb_check_u64(step(), PB_STEP_EXIT);
    pb_check_u64(vm.vcpu.run->exit_reason, KVM_EXIT_SHUTDOWN);
    pb_tiny_free(&vm);
}

static uint64_t entry(uint8_t vector)
{
    struct kvm_sregs sregs;

    pb_check(pb_vcpu_get_sregs(&vm.vcpu, &sregs) == 0);
    return pb_handler_entry(&vm.vcpu, &sregs, vector);
}

static void test_handler_entry_is_read_from_the_idt(void)
{
    static const uint32_t gate16[2] = { (PB_TINY_CS16 << 16) | 0x1234,
                                        0xffff8600 };
    static const uint32_t absent[2] = { (PB_TINY_CS0 << 16) | 0x1234, 0x0e00 };
    static const uint32_t task[2] = { PB_TINY_TR << 16, 0x8500 };

    if (!START(PAGED, 0x90)) {
        return;
    }
    pb_check_u64(entry(0x21), STUB(0x21));
    pb_tiny_load(&vm, PB_TINY_IDT + 8 * 0x21, gate16, 8);
    pb_check_u64(entry(0x21), PB_TINY_CODE + 0x1234);
    pb_tiny_load(&vm, PB_TINY_IDT + 8 * 0x21, absent, 8);
    pb_check_u64(entry(0x21), 0);
    pb_tiny_load(&vm, PB_TINY_IDT + 8 * 0x21, task, 8);
    pb_check_u64(entry(0x21), 0);
    *pb_tiny_pte(&vm, PB_TINY_IDT) = 0;
    pb_check_u64(entry(0x22), 0);
    pb_tiny_free(&vm);
}

static void test_handler_entry_in_real_mode(void)
{
    static const uint16_t far_pointer[2] = { 0x0042, 0x1230 };

    if (!START(REAL, 0x90)) {
        return;
    }
    pb_tiny_load(&vm, 4 * 0x21, far_pointer, 4);
    pb_check_u64(entry(0x21), 0x12342);
    pb_tiny_free(&vm);
}

/* KVM_TRANSLATE would set them. */
static void test_looking_at_tables_sets_no_accessed_bits(void)
{
    int ret;

    if (!START(PAGED, 0x90, 0x90, 0x90, 0x90)) {
        return;
    }
    ret = step();
    if (not_here(ret, "this host's KVM cannot run with paging")) {
        return;
    }
    pb_check_u64(ret, PB_STEP_DONE);
    pb_check_u64(step(), PB_STEP_DONE);
    pb_check(*pb_tiny_pte(&vm, PB_TINY_CODE) & PTE_A);
    pb_check_u64(*pb_tiny_pte(&vm, PB_TINY_IDT) & PTE_A, 0);
    pb_check_u64(*pb_tiny_pte(&vm, PB_TINY_GDT) & PTE_A, 0);
    pb_tiny_free(&vm);
}

int main(void)
{
    static const PbTest tests[] = {
        PB_TEST(signal_leaves_the_guest_as_it_is),
        PB_TEST(io_exits_and_the_next_step_completes_it),
        PB_TEST(signal_before_io_is_completed),
        PB_TEST(hlt_exits_behind_itself),
        PB_TEST(jump_to_itself_is_one_step),
        PB_TEST(loop_to_itself_counts_each_time),
        PB_TEST(waiting_interrupt_is_a_step_to_its_handler),
        PB_TEST(waiting_nmi_is_a_step_to_its_handler),
        PB_TEST(handler_that_faults_at_once),
        PB_TEST(guest_that_steps_itself_gets_its_trap),
        PB_TEST(guest_that_watches_itself_gets_its_trap),
        PB_TEST(iret_to_a_guest_with_tf_keeps_it),
        PB_TEST(iret_to_a_guest_with_tf_would_lose_it),
        PB_TEST(jump_to_a_handler_is_no_fault),
        PB_TEST(task_gate_to_a_busy_task_faults),
        PB_TEST(icebp_is_refused),
        PB_TEST(triple_fault_is_an_exit),
        PB_TEST(handler_entry_is_read_from_the_idt),
        PB_TEST(handler_entry_in_real_mode),
        PB_TEST(looking_at_tables_sets_no_accessed_bits),
    };

    return pb_tap_run(tests, sizeof(tests) / sizeof(tests[0]));
}
