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
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pb-step.h"
#include "pb-tap.h"
#include "pb-tiny.h"
#include "step-guests.h"

#define END_PORT 0xf4
#define MAX_STEPS 5000

#define RFLAGS_TF 0x100ull
#define RFLAGS_IF 0x200ull
#define RFLAGS_RF 0x10000ull

#define HANDLER 0x11000u
#define FAULT_HANDLER 0x11100u
#define CODE_HANDLER 0x11200u
#define MAP_HANDLER 0x11300u
#define SYSENTER_ENTRY 0x11400u
#define CLTS_HANDLER 0x11500u
#define REAL_HANDLER 0x11600u
#define REAL_FAULT_HANDLER 0x11700u
#define TAIL 0x11800u

typedef struct Guest {
    PbTinyMode mode;
    const uint8_t *code;
    size_t len;
    void (*prepare)(PbTiny *vm);   /* may be NULL */
    uint32_t at;                   /* 0: PB_TINY_CODE */
    unsigned insns;                /* instructions up to the last OUT; 0:
                                      KVM decides (REP with device access) */
    unsigned branches;             /* conditional ones */
    uint8_t irq;                   /* injected at a HLT with IF set */
    bool notices_tf;
    unsigned reps;                 /* REPs that run to their end */
    bool shadow;                   /* CPUs may step two instructions at once */
} Guest;

#define GUEST(m, name) \
    .mode = PB_TINY_##m, .code = guest_##name, .len = sizeof(guest_##name)

typedef enum How { FREELY, BY_STEPS, BY_TF } How;

typedef struct Run {
    PbTiny vm;
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_fpu fpu;
    struct kvm_debugregs debugregs;
    unsigned insns;
    unsigned branches;
    char end[80];                  /* "" when it came to its last OUT */
} Run;

/* ---- running ---- */

static void go_to(PbTiny *vm, uint32_t at)
{
    struct kvm_regs regs;

    pb_check(pb_vcpu_get_regs(&vm->vcpu, &regs) == 0);
    regs.rip = at;
    pb_check(pb_vcpu_set_regs(&vm->vcpu, &regs) == 0);
}

static bool set_up(Run *r, const Guest *g)
{
    static char why[160];

    memset(r, 0, sizeof(*r));
    if (!pb_tiny_new(&r->vm, g->mode, why, sizeof(why))) {
        pb_skip(why);
        return false;
    }
    pb_tiny_load(&r->vm, g->at ? g->at : PB_TINY_CODE, g->code, g->len);
    if (g->at) {
        go_to(&r->vm, g->at);
    }
    if (g->prepare) {
        g->prepare(&r->vm);
    }
    return true;
}

static int inject(PbVcpu *v, uint8_t vector)
{
    struct kvm_interrupt irq = { .irq = vector };
    int ret = pb_vcpu_debug_off(v);

    return ret < 0 ? ret : pb_vcpu_ioctl(v, KVM_INTERRUPT, &irq);
}

static void stop(Run *r, const char *what, int n)
{
    snprintf(r->end, sizeof(r->end), "%s %d", what, n);
}

/* After an exit: false when the guest is at its end or cannot go on. */
static bool serve(Run *r, const Guest *g)
{
    struct kvm_run *run = r->vm.vcpu.run;
    int ret;

    if (run->exit_reason == KVM_EXIT_IO && run->io.port == END_PORT) {
        ret = pb_vcpu_complete(&r->vm.vcpu);
        if (ret != 0) {
            stop(r, "completing the last OUT:", ret);
        }
        return false;
    }
    if (pb_tiny_answer(&r->vm)) {
        return true;
    }
    if (run->exit_reason == KVM_EXIT_HLT) {
        if (g->irq && run->if_flag) {
            ret = inject(&r->vm.vcpu, g->irq);
            pb_check(ret == 0);
        }
        r->insns++;
        return true;
    }
    stop(r, "exit reason", run->exit_reason);
    return false;
}

/* ---- signals at random times ---- */

static struct {
    timer_t timer;
    struct kvm_run *run;           /* NULL: no signals */
    uint32_t seed;
    unsigned delay_max;            /* microseconds */
    unsigned hits;                 /* steps that were interrupted */
} storm;

static void on_signal(int sig)
{
    (void)sig;
    if (storm.run) {
        storm.run->immediate_exit = 1;
    }
}

static void arm_signal(void)
{
    struct itimerspec t = { 0 };

    storm.seed = storm.seed * 1664525 + 1013904223;
    t.it_value.tv_nsec = 1000 + 1000 * ((storm.seed >> 8) % storm.delay_max);
    pb_check(timer_settime(storm.timer, 0, &t, NULL) == 0);
}

/* pb_step() until it has done something, whatever signals come. */
static int step_in_storm(Run *r, bool *branch)
{
    int ret;

    storm.run = r->vm.vcpu.run;
    do {
        arm_signal();
        ret = pb_step(&r->vm.vcpu, branch);
        storm.hits += ret == PB_STEP_INTERRUPTED;
        storm.run->immediate_exit = 0;
    } while (ret == PB_STEP_INTERRUPTED);
    storm.run = NULL;
    return ret;
}

static bool step(Run *r, const Guest *g)
{
    bool branch;
    int ret = storm.delay_max ? step_in_storm(r, &branch)
                              : pb_step(&r->vm.vcpu, &branch);

    if (ret == PB_STEP_EXIT) {
        return serve(r, g);
    }
    if (ret != PB_STEP_DONE) {
        stop(r, "pb_step:", ret);
        return false;
    }
    r->insns++;
    r->branches += branch;
    return true;
}

static bool naive_step(Run *r, const Guest *g)
{
    PbVcpu *v = &r->vm.vcpu;
    int ret = pb_vcpu_debug(v, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP,
                            NULL, 0);

    if (ret == 0) {
        ret = pb_vcpu_enter(v);
    }
    if (ret < 0) {
        stop(r, "KVM_RUN:", ret);
        return false;
    }
    return v->run->exit_reason == KVM_EXIT_DEBUG || serve(r, g);
}

static bool enter_freely(Run *r, const Guest *g)
{
    int ret = pb_vcpu_enter(&r->vm.vcpu);

    if (ret < 0) {
        stop(r, "KVM_RUN:", ret);
        return false;
    }
    return serve(r, g);
}

static void run_guest(Run *r, const Guest *g, How how)
{
    static bool (*const once[])(Run *, const Guest *) = {
        [FREELY] = enter_freely, [BY_STEPS] = step, [BY_TF] = naive_step,
    };
    PbVcpu *v = &r->vm.vcpu;
    int i;

    for (i = 0; i < MAX_STEPS && once[how](r, g); i++) {
    }
    if (i == MAX_STEPS) {
        stop(r, "not at its end after steps:", i);
    }
    pb_check(pb_vcpu_debug_off(v) == 0);
    pb_check(pb_vcpu_get_regs(v, &r->regs) == 0);
    pb_check(pb_vcpu_get_sregs(v, &r->sregs) == 0);
    pb_check(pb_vcpu_ioctl(v, KVM_GET_FPU, &r->fpu) == 0);
    pb_check(pb_vcpu_ioctl(v, KVM_GET_DEBUGREGS, &r->debugregs) == 0);
    r->regs.rflags &= ~RFLAGS_RF;
}

/* ---- comparing ---- */

/* The first difference, or NULL. */
static const char *difference(const Run *a, const Run *b)
{
    static char what[120];
    const uint32_t *p = (const void *)a->vm.ram, *q = (const void *)b->vm.ram;
    const uint64_t *x = (const void *)&a->regs, *y = (const void *)&b->regs;
    unsigned i;

    for (i = 0; i < PB_TINY_RAM_SIZE / 4; i++) {
        if (p[i] != q[i]) {
            snprintf(what, sizeof(what), "RAM at 0x%x: 0x%x, 0x%x", i * 4,
                     p[i], q[i]);
            return what;
        }
    }
    for (i = 0; i < sizeof(a->regs) / 8; i++) {
        if (x[i] != y[i]) {
            snprintf(what, sizeof(what), "kvm_regs[%u]: 0x%llx, 0x%llx", i,
                     (unsigned long long)x[i], (unsigned long long)y[i]);
            return what;
        }
    }
    if (memcmp(&a->sregs, &b->sregs, sizeof(a->sregs))) {
        return "segment or control registers";
    }
    if (memcmp(&a->fpu, &b->fpu, sizeof(a->fpu))) {
        return "FPU";
    }
    if (memcmp(&a->debugregs, &b->debugregs, sizeof(a->debugregs))) {
        return "debug registers";
    }
    if (a->vm.logs != b->vm.logs ||
        memcmp(a->vm.log, b->vm.log, a->vm.logs * sizeof(a->vm.log[0]))) {
        return "device accesses";
    }
    return NULL;
}

static bool in_lab(void)
{
    return getenv("PBKVM_IN_LAB") != NULL;
}

/*
 * Whether KVM emulates each instruction here, as it does where the CPU has
 * no virtualisation: TF is then no CPU's TF, and is not pushed by PUSHF.
 */
static bool kvm_emulates(void)
{
    static const Guest g = { GUEST(FLAT, pushf) };
    static int known = -1;
    static Run r;

    if (known < 0 && set_up(&r, &g)) {
        run_guest(&r, &g, BY_TF);
        known = !(r.vm.ram[PB_TINY_DATA + 1] & (RFLAGS_TF >> 8));
        pb_tiny_free(&r.vm);
    }
    return known == 1;
}

/* A host that cannot even run the guest freely tells nothing of stepping. */
static bool ran(const Run *r)
{
    static char why[160];

    if (!r->end[0]) {
        return true;
    }
    snprintf(why, sizeof(why), "this host's KVM does not run the guest: %s "
             "at 0x%llx", r->end, (unsigned long long)r->regs.rip);
    if (in_lab()) {
        printf("# %s\n", why);
        pb_check(!"runs in the lab");
    } else {
        pb_skip(why);
    }
    return false;
}

static void check_tf_noticed(const Guest *g, const Run *freely)
{
    static Run r;

    if (!set_up(&r, g)) {
        return;
    }
    run_guest(&r, g, BY_TF);
    pb_check(r.end[0] || difference(freely, &r));
    pb_tiny_free(&r.vm);
}

static void check_counts(const Guest *g, const Run *stepped)
{
    pb_check_u64(stepped->branches, g->branches);
    if (g->shadow) {
        pb_check(stepped->insns <= g->insns);
    } else if (g->insns && !kvm_emulates()) {
        /* A CPU made by TCG takes one step more to leave a REP. */
        pb_check(stepped->insns == g->insns ||
                 stepped->insns == g->insns + g->reps);
    }
}

static void check_guest(const Guest *g)
{
    static Run freely, stepped;
    const char *diff;

    if (!set_up(&freely, g)) {
        return;
    }
    run_guest(&freely, g, FREELY);
    if (ran(&freely) && set_up(&stepped, g)) {
        run_guest(&stepped, g, BY_STEPS);
        pb_check_str(stepped.end, "");
        diff = difference(&freely, &stepped);
        pb_check_str(diff ? diff : "same", "same");
        check_counts(g, &stepped);
        pb_tiny_free(&stepped.vm);
        if (g->notices_tf && !kvm_emulates()) {
            check_tf_noticed(g, &freely);
        }
    }
    pb_tiny_free(&freely.vm);
}

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
           .prepare = prepare_real, .notices_tf = true)

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
    };
    struct sigaction act = { .sa_handler = on_signal };
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL,
                              .sigev_signo = SIGUSR1 };
    size_t i;

    pb_check(sigaction(SIGUSR1, &act, NULL) == 0);
    pb_check(timer_create(CLOCK_MONOTONIC, &event, &storm.timer) == 0);
    storm.delay_max = in_lab() ? 2000 : 50;
    for (i = 0; i < sizeof(guests) / sizeof(guests[0]); i++) {
        check_guest(guests[i]);
    }
    pb_tap_skipped = NULL;      /* those this host cannot run do not count */
    pb_check(storm.hits > 0);
    printf("# %u steps were interrupted\n", storm.hits);
    storm.delay_max = 0;
    timer_delete(storm.timer);
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
        PB_TEST(signals_change_nothing),
    };

    return pb_tap_run(tests, sizeof(tests) / sizeof(tests[0]));
}
