/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * step-test.c: stepping leaves no trace.
 *
 * Every guest of step-guests.h runs twice on real KVM, freely and by
 * pb_step(), and both must end with the same registers, RAM, FPU and device
 * accesses.  A third run sets TF and nothing else, as a debugger would; for
 * the guests that are made to notice that, it must end differently, or the
 * comparison proves nothing.
 */
#include "step-run.h"

#define HANDLER 0x11000u
#define FAULT_HANDLER 0x11100u
#define CODE_HANDLER 0x11200u
#define MAP_HANDLER 0x11300u
#define SYSENTER_ENTRY 0x11400u
#define CLTS_HANDLER 0x11500u
#define REAL_HANDLER 0x11600u
#define REAL_FAULT_HANDLER 0x11700u
#define TAIL 0x11800u
#define SYSCALL_ENTRY 0x11400u

/* ---- handlers ---- */

static void set_gate(PbTiny *vm, uint8_t vector, uint32_t entry)
{
    uint32_t gate[2] = { (PB_TINY_CS0 << 16) | (entry & 0xffff),
                         (entry & 0xffff0000) | 0xee00 };

    pb_tiny_load(vm, PB_TINY_IDT + 8 * vector, gate, sizeof(gate));
}

static void load_handlers(PbTiny *vm)
{
    unsigned i;

    pb_tiny_load(vm, HANDLER, guest_flags_handler,
                 sizeof(guest_flags_handler));
    pb_tiny_load(vm, FAULT_HANDLER, guest_fault_handler,
                 sizeof(guest_fault_handler));
    pb_tiny_load(vm, CODE_HANDLER, guest_code_handler,
                 sizeof(guest_code_handler));
    pb_tiny_load(vm, MAP_HANDLER, guest_map_handler,
                 sizeof(guest_map_handler));
    pb_tiny_load(vm, CLTS_HANDLER, guest_clts_handler,
                 sizeof(guest_clts_handler));
    set_gate(vm, 3, HANDLER);
    set_gate(vm, 4, HANDLER);
    for (i = 0x20; i < 0x100; i++) {
        set_gate(vm, i, HANDLER);
    }
    set_gate(vm, 0, FAULT_HANDLER);
    set_gate(vm, 6, FAULT_HANDLER);
    set_gate(vm, 7, CLTS_HANDLER);
    set_gate(vm, 13, CODE_HANDLER);
    set_gate(vm, 14, MAP_HANDLER);
}

static void unmap(PbTiny *vm, uint32_t from, uint32_t to)
{
    for (; from < to; from += 0x1000) {
        *pb_tiny_pte(vm, from) &= ~1u;
    }
}

static void prepare_pagefault(PbTiny *vm)
{
    static const uint32_t pointer = TAIL;

    load_handlers(vm);
    pb_tiny_load(vm, TAIL, guest_pagefault_tail,
                 sizeof(guest_pagefault_tail));
    pb_tiny_load(vm, 0x45000, &pointer, sizeof(pointer));
    unmap(vm, 0x40000, 0x46000);
}

static void prepare_rep_fault(PbTiny *vm)
{
    load_handlers(vm);
    unmap(vm, 0x41000, 0x42000);
}

static void prepare_crossing(PbTiny *vm)
{
    load_handlers(vm);
    unmap(vm, 0x40000, 0x41000);
}

/* The guest goes to ring 3 itself. */
static void prepare_ring3(PbTiny *vm)
{
    load_handlers(vm);
    vm->ram[PB_TINY_GDT + PB_TINY_TR + 5] = 0x89;    /* LTR wants it free */
}

/* Ring 3 that may use ports. */
static void prepare_sysenter(PbTiny *vm)
{
    struct kvm_regs regs;

    pb_tiny_ring3(vm);
    pb_check(pb_vcpu_get_regs(&vm->vcpu, &regs) == 0);
    regs.rflags |= 0x3000;
    pb_check(pb_vcpu_set_regs(&vm->vcpu, &regs) == 0);
    pb_tiny_load(vm, SYSENTER_ENTRY, guest_sysenter_entry,
                 sizeof(guest_sysenter_entry));
    pb_check(pb_tiny_set_msr(vm, 0x174, PB_TINY_CS0) == 0);
    pb_check(pb_tiny_set_msr(vm, 0x175, PB_TINY_STACK) == 0);
    pb_check(pb_tiny_set_msr(vm, 0x176, SYSENTER_ENTRY) == 0);
}

static void prepare_real(PbTiny *vm)
{
    static const uint16_t handler[2] = { REAL_HANDLER - 0x10000, 0x1000 };
    static const uint16_t fault[2] = { REAL_FAULT_HANDLER - 0x10000, 0x1000 };

    pb_tiny_load(vm, REAL_HANDLER, guest_real_handler,
                 sizeof(guest_real_handler));
    pb_tiny_load(vm, REAL_FAULT_HANDLER, guest_real_fault_handler,
                 sizeof(guest_real_fault_handler));
    pb_tiny_load(vm, 4 * 0, fault, 4);
    pb_tiny_load(vm, 4 * 3, handler, 4);
    pb_tiny_load(vm, 4 * 4, handler, 4);
    pb_tiny_load(vm, 4 * 0x30, handler, 4);
}

/* ---- and of 64-bit code ---- */

static void load_long(PbTiny *vm, uint32_t at, const uint8_t *code, size_t len,
                      uint8_t vector)
{
    uint32_t low = PB_TINY_LONG_CS0 << 16 | (at & 0xffff);

    pb_tiny_load(vm, at, code, len);
    pb_tiny_load(vm, PB_TINY_IDT + 16 * vector, &low, 4);
    low = (at & 0xffff0000) | 0xee00;
    pb_tiny_load(vm, PB_TINY_IDT + 16 * vector + 4, &low, 4);
}

#define LOAD_LONG(vm, at, name, vector) \
    load_long(vm, at, guest_long_##name, sizeof(guest_long_##name), vector)

static void prepare_long(PbTiny *vm)
{
    uint64_t pte = 0;
    unsigned i;

    LOAD_LONG(vm, HANDLER, flags_handler, 0x30);
    LOAD_LONG(vm, HANDLER, flags_handler, 3);
    LOAD_LONG(vm, FAULT_HANDLER, fault_handler, 0);
    LOAD_LONG(vm, FAULT_HANDLER, fault_handler, 6);
    LOAD_LONG(vm, CODE_HANDLER, code_handler, 13);
    LOAD_LONG(vm, MAP_HANDLER, map_handler, 14);
    for (i = 0x40; i < 0x44; i++) {     /* pages that are not there */
        pte = i << 12 | 6;
        pb_tiny_load(vm, PB_TINY_LONG_PT + 8 * i, &pte, sizeof(pte));
    }
}

/* As Linux does: SYSCALL clears TF, DF and IF. */
static void set_syscall(PbTiny *vm, uint32_t entry)
{
    prepare_long(vm);
    pb_check(pb_tiny_set_msr(vm, 0xc0000081,
                             (uint64_t)PB_TINY_LONG_CS32 << 48 |
                             (uint64_t)PB_TINY_LONG_CS0 << 32) == 0);
    pb_check(pb_tiny_set_msr(vm, entry, SYSCALL_ENTRY) == 0);
    pb_check(pb_tiny_set_msr(vm, 0xc0000084, 0x700) == 0);
}

static void prepare_syscall(PbTiny *vm)
{
    set_syscall(vm, 0xc0000082);
    pb_tiny_load(vm, SYSCALL_ENTRY, guest_long_syscall_entry,
                 sizeof(guest_long_syscall_entry));
}

static void prepare_syscall32(PbTiny *vm)
{
    set_syscall(vm, 0xc0000083);
    pb_tiny_load(vm, SYSCALL_ENTRY, guest_long_syscall32_entry,
                 sizeof(guest_long_syscall32_entry));
    LOAD_LONG(vm, FAULT_HANDLER, syscall32_ud, 6);
}

/* ---- the claims ---- */

#define GUEST_TEST(name, ...)                                   \
    static const Guest claim_##name = { __VA_ARGS__ };          \
                                                                \
    static void test_##name(void)                               \
    {                                                           \
        check_guest(&claim_##name);                             \
    }

GUEST_TEST(pushf_pushes_no_tf, GUEST(FLAT, pushf), .insns = 11,
           .notices_tf = true)
GUEST_TEST(popf_keeps_its_flags, GUEST(FLAT, popf_if), .insns = 9)
GUEST_TEST(int_frames_have_no_tf, GUEST(FLAT, int), .insns = 54,
           .prepare = load_handlers, .notices_tf = true)
GUEST_TEST(fault_frames_have_no_tf, GUEST(FLAT, faults), .insns = 47,
           .prepare = load_handlers, .notices_tf = true)
GUEST_TEST(page_fault_frames_have_no_tf, GUEST(PAGED, pagefault),
           .insns = 102, .prepare = prepare_pagefault, .notices_tf = true)
GUEST_TEST(mov_ss_is_stepped, GUEST(FLAT, mov_ss), .insns = 34, .branches = 2,
           .shadow = true,
           .prepare = load_handlers, .notices_tf = true)
GUEST_TEST(sti_is_stepped, GUEST(FLAT, sti), .insns = 9)
GUEST_TEST(hlt_is_stepped, GUEST(FLAT, hlt), .insns = 20,
           .prepare = load_handlers, .notices_tf = true)
GUEST_TEST(interrupt_at_hlt_has_no_tf, GUEST(FLAT, hlt), .insns = 32,
           .irq = 0x40, .prepare = load_handlers, .notices_tf = true)
GUEST_TEST(pio_is_stepped, GUEST(FLAT, pio), .insns = 8)
GUEST_TEST(string_pio_is_stepped, GUEST(FLAT, pio_string))
GUEST_TEST(mmio_is_stepped, GUEST(FLAT, mmio), .insns = 18)
GUEST_TEST(rep_mmio_is_stepped, GUEST(FLAT, mmio_rep))
GUEST_TEST(rep_takes_one_step_per_iteration, GUEST(FLAT, rep), .insns = 42,
           .reps = 3)
GUEST_TEST(rep_over_a_page_fault, GUEST(PAGED, rep_fault), .insns = 26,
           .reps = 1, .prepare = prepare_rep_fault, .notices_tf = true)
GUEST_TEST(code_that_changes_what_follows, GUEST(FLAT, selfmod), .insns = 9)
GUEST_TEST(instruction_across_unmapped_page, GUEST(PAGED, crossing),
           .at = 0x3fffd, .insns = 20, .prepare = prepare_crossing)
GUEST_TEST(branches_are_counted, GUEST(FLAT, branches), .insns = 41,
           .branches = 17)
GUEST_TEST(ring_3_and_back, GUEST(PAGED, ring3), .insns = 48,
           .prepare = prepare_ring3, .branches = 1, .notices_tf = true)
GUEST_TEST(sysenter_and_sysexit, GUEST(PAGED, sysenter), .insns = 9,
           .prepare = prepare_sysenter, .notices_tf = true)
GUEST_TEST(iret_is_stepped, GUEST(FLAT, iret), .insns = 10)
GUEST_TEST(fpu_and_sse_are_stepped, GUEST(FLAT, fpu), .insns = 8)
GUEST_TEST(device_not_available_frame_has_no_tf, GUEST(FLAT, fpu_ts),
           .insns = 12, .prepare = load_handlers, .notices_tf = true)
GUEST_TEST(system_instructions_are_stepped, GUEST(FLAT, system), .insns = 17)
GUEST_TEST(segment_loads_are_stepped, GUEST(FLAT, segments), .insns = 10)
GUEST_TEST(code_16_with_a_base, GUEST(FLAT, code16), .insns = 26,
           .prepare = load_handlers, .branches = 3, .notices_tf = true)
GUEST_TEST(real_mode, GUEST(REAL, real), .insns = 51, .branches = 4,
           .prepare = prepare_real, .notices_tf = true, .shadow = true)

GUEST_TEST(long_pushf_and_mov_ss, GUEST(LONG, long_flags), .insns = 20,
           .shadow = true, .notices_tf = true)
GUEST_TEST(long_frames_have_no_tf, GUEST(LONG, long_faults), .insns = 136,
           .branches = 2, .reps = 1, .prepare = prepare_long,
           .notices_tf = true)
GUEST_TEST(long_iretq_is_stepped, GUEST(LONG, long_iretq), .insns = 23)
GUEST_TEST(syscall_and_sysret, GUEST(LONG, long_syscall), .insns = 62,
           .branches = 2, .prepare = prepare_syscall, .notices_tf = true)
GUEST_TEST(code_32_in_long_mode, GUEST(LONG, long_compat), .insns = 24,
           .branches = 2, .prepare = prepare_long, .notices_tf = true)

GUEST_TEST(syscall_of_32_bits, GUEST(LONG, long_syscall32),
           .branches = 1, .prepare = prepare_syscall32)

static void test_signals_change_nothing(void)
{
    static const Guest *const guests[] = {
        &claim_pushf_pushes_no_tf, &claim_int_frames_have_no_tf,
        &claim_fault_frames_have_no_tf, &claim_page_fault_frames_have_no_tf,
        &claim_mov_ss_is_stepped, &claim_interrupt_at_hlt_has_no_tf,
        &claim_pio_is_stepped, &claim_mmio_is_stepped,
        &claim_rep_mmio_is_stepped, &claim_rep_over_a_page_fault,
        &claim_branches_are_counted, &claim_ring_3_and_back,
        &claim_iret_is_stepped, &claim_real_mode,
        &claim_long_frames_have_no_tf, &claim_syscall_and_sysret,
    };
    const char *skipped = NULL;
    bool ran = false;
    size_t i;

    set_storm(in_lab() ? 2000 : 50);
    for (i = 0; i < sizeof(guests) / sizeof(guests[0]); i++) {
        pb_tap_skipped = NULL;
        check_guest(guests[i]);
        skipped = pb_tap_skipped;
        ran = ran || !skipped;
    }
    /* Those this host cannot run do not count, if there are others. */
    pb_tap_skipped = ran ? NULL : skipped;
    pb_check(!ran || storm.hits > 0);
    printf("# %u steps were interrupted\n", storm.hits);
    set_storm(0);
}

int main(void)
{
    static const PbTest tests[] = {
        PB_TEST(pushf_pushes_no_tf),
        PB_TEST(popf_keeps_its_flags),
        PB_TEST(int_frames_have_no_tf),
        PB_TEST(fault_frames_have_no_tf),
        PB_TEST(page_fault_frames_have_no_tf),
        PB_TEST(mov_ss_is_stepped),
        PB_TEST(sti_is_stepped),
        PB_TEST(hlt_is_stepped),
        PB_TEST(interrupt_at_hlt_has_no_tf),
        PB_TEST(pio_is_stepped),
        PB_TEST(string_pio_is_stepped),
        PB_TEST(mmio_is_stepped),
        PB_TEST(rep_mmio_is_stepped),
        PB_TEST(rep_takes_one_step_per_iteration),
        PB_TEST(rep_over_a_page_fault),
        PB_TEST(code_that_changes_what_follows),
        PB_TEST(instruction_across_unmapped_page),
        PB_TEST(branches_are_counted),
        PB_TEST(ring_3_and_back),
        PB_TEST(sysenter_and_sysexit),
        PB_TEST(iret_is_stepped),
        PB_TEST(fpu_and_sse_are_stepped),
        PB_TEST(device_not_available_frame_has_no_tf),
        PB_TEST(system_instructions_are_stepped),
        PB_TEST(segment_loads_are_stepped),
        PB_TEST(code_16_with_a_base),
        PB_TEST(real_mode),
        PB_TEST(long_pushf_and_mov_ss),
        PB_TEST(long_frames_have_no_tf),
        PB_TEST(long_iretq_is_stepped),
        PB_TEST(syscall_and_sysret),
        PB_TEST(code_32_in_long_mode),
        PB_TEST(syscall_of_32_bits),
        PB_TEST(signals_change_nothing),
    };

    return pb_tap_run(tests, sizeof(tests) / sizeof(tests[0]));
}
