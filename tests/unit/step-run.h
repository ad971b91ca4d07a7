/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * step-run.h: run a guest freely, by pb_step() or by TF alone, and compare.
 *
 * Functions, not declarations: for step-test.c alone.  A failed check is a
 * failed test (pb-tap.h); a host that cannot run the guest skips it.
 */
#ifndef STEP_RUN_H
#define STEP_RUN_H

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
#include "step-long-guests.h"

#define END_PORT 0xf4
#define MAX_STEPS 5000

#define RFLAGS_TF 0x100ull
#define RFLAGS_IF 0x200ull
#define RFLAGS_RF 0x10000ull

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

static void arm_signal(unsigned delay_max)
{
    struct itimerspec t = { 0 };

    storm.seed = storm.seed * 1664525 + 1013904223;
    t.it_value.tv_nsec = 1000 + 1000 * ((storm.seed >> 8) % delay_max);
    pb_check(timer_settime(storm.timer, 0, &t, NULL) == 0);
}

/*
 * pb_step() until it has done something, whatever signals come: each time
 * they leave it more time, for a KVM that needs longer than delay_max.
 */
static int step_in_storm(Run *r, bool *branch)
{
    unsigned delay_max = storm.delay_max;
    int ret;

    storm.run = r->vm.vcpu.run;
    do {
        arm_signal(delay_max);
        delay_max += delay_max / 2;
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

/*
 * From now on steps are interrupted by signals up to @delay_max microseconds
 * after they began; 0: no more.
 */
static void set_storm(unsigned delay_max)
{
    struct sigaction act = { .sa_handler = on_signal };
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL,
                              .sigev_signo = SIGUSR1 };

    if (delay_max && !storm.delay_max) {
        pb_check(sigaction(SIGUSR1, &act, NULL) == 0);
        pb_check(timer_create(CLOCK_MONOTONIC, &event, &storm.timer) == 0);
    } else if (!delay_max && storm.delay_max) {
        timer_delete(storm.timer);
    }
    storm.delay_max = delay_max;
}

#endif /* STEP_RUN_H */
