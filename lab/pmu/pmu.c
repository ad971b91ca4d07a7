/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lab's PMU: counting, overflow and MSRs. See pmu.h. */

#include "qemu/osdep.h"
#include "qemu/host-utils.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "cpu.h"
#include "exec/helper-proto.h"
#include "hw/core/cpu.h"
#include "hw/i386/apic.h"
#include "tcg/helper-tcg.h"
#include "pmu-device.h"

#define MSR_K7_EVNTSEL0     0xc0010000
#define MSR_K7_PERFCTR0     0xc0010004

#define SELECT_EVENT        0x0000000f000000ffULL
#define SELECT_UMASK        0x000000000000ff00ULL
#define SELECT_USR          (1ULL << 16)
#define SELECT_OS           (1ULL << 17)
#define SELECT_EDGE         (1ULL << 18)
#define SELECT_INT          (1ULL << 20)
#define SELECT_EN           (1ULL << 22)
#define SELECT_INV_CMASK    0x00000000ff800000ULL
#define SELECT_GUEST_ONLY   (1ULL << 40)
#define SELECT_HOST_ONLY    (1ULL << 41)

#define EVENT_RETIRED_COND  0xd1

#define COUNTER_LIMIT       (1ULL << 48)

#define MODES_HOST  (1 << PBKVM_PMU_HOST_USER | 1 << PBKVM_PMU_HOST_OS)
#define MODES_GUEST (1 << PBKVM_PMU_GUEST_USER | 1 << PBKVM_PMU_GUEST_OS)
#define MODES_USR   (1 << PBKVM_PMU_HOST_USER | 1 << PBKVM_PMU_GUEST_USER)
#define MODES_OS    (1 << PBKVM_PMU_HOST_OS | 1 << PBKVM_PMU_GUEST_OS)
#define MODES_ALL   (MODES_HOST | MODES_GUEST)

/* Far enough away that it is never reached. */
#define NO_LOOK_NEEDED      (1ULL << 62)

/* Which branches a PerfEvtSel value counts, as a mode set. */
static uint8_t select_modes(uint64_t select)
{
    uint8_t modes = 0;

    if (!(select & SELECT_EN) ||
        (select & SELECT_EVENT) != EVENT_RETIRED_COND ||
        (select & (SELECT_UMASK | SELECT_EDGE | SELECT_INV_CMASK))) {
        return 0;
    }
    if (select & SELECT_USR) {
        modes |= MODES_USR;
    }
    if (select & SELECT_OS) {
        modes |= MODES_OS;
    }
    /* Both "only" bits together mean the same as neither. */
    switch (select & (SELECT_GUEST_ONLY | SELECT_HOST_ONLY)) {
    case SELECT_GUEST_ONLY:
        return modes & MODES_GUEST;
    case SELECT_HOST_ONLY:
        return modes & MODES_HOST;
    default:
        return modes;
    }
}

/* Pseudo-random number in 0..@max, from this CPU's own sequence. */
static uint64_t pmu_random(CPUX86State *env, uint64_t max)
{
    PbkvmPmu *p = &env->pbkvm_pmu;

    if (!p->random) {
        p->random = pbkvm_lab_pmu->seed * 0x9e3779b97f4a7c15ULL
                    + env_cpu(env)->cpu_index + 1;
        p->random |= 1;     /* xorshift must not start at 0 */
    }
    p->random ^= p->random >> 12;
    p->random ^= p->random << 25;
    p->random ^= p->random >> 27;
    return ((p->random * 0x2545f4914f6cdd1dULL) >> 16) % (max + 1);
}

/* Distance to the next unkindness that happens every @mean on average. */
static uint64_t pmu_next(CPUX86State *env, uint64_t mean)
{
    return mean ? mean / 2 + 1 + pmu_random(env, mean - 1) : 0;
}

static void deliver(CPUX86State *env)
{
    DeviceState *apic = env_archcpu(env)->apic_state;

    env->pbkvm_pmu.late = false;
    if (apic) {
        BQL_LOCK_GUARD();       /* #VMEXIT comes with it, branches do not */
        apic_deliver_pmi(apic);
    }
}

static bool is_lost(PbkvmLabPmu *s)
{
    return s->lose &&
           (qatomic_fetch_inc(&s->overflows) + 1) % s->lose == 0;
}

static void overflow(CPUX86State *env)
{
    PbkvmPmu *p = &env->pbkvm_pmu;

    if (p->late) {
        return;     /* one interrupt serves all that overflowed meanwhile */
    }
    if (is_lost(pbkvm_lab_pmu)) {
        return;
    }
    p->late_left = pmu_random(env, pbkvm_lab_pmu->skid);
    p->late = true;
    if (p->late_left == 0) {
        deliver(env);
    }
}

/* Add @n (-1 or more) to counter @i. */
static void counter_add(CPUX86State *env, int i, int64_t n)
{
    PbkvmPmu *p = &env->pbkvm_pmu;
    uint64_t sum = p->counter[i] + n;

    p->counter[i] = sum & (COUNTER_LIMIT - 1);
    /* A miscount may take the counter below 0: that is not an overflow. */
    if (n > 0 && sum >= COUNTER_LIMIT && (p->select[i] & SELECT_INT)) {
        overflow(env);
    }
}

static void miscount(CPUX86State *env)
{
    int error = pmu_random(env, 1) ? 1 : -1;

    for (int i = 0; i < PBKVM_PMU_COUNTERS; i++) {
        if (env->pbkvm_pmu.modes[i] & MODES_GUEST) {
            counter_add(env, i, error);
        }
    }
}

/*
 * Leave the guest as if a physical interrupt had arrived that is gone again.
 * Runs between two translation blocks, hence at an instruction boundary.
 */
static void spurious_exit(CPUState *cs, run_on_cpu_data unused)
{
    CPUX86State *env = cpu_env(cs);

    if (!(env->hflags & HF_GUEST_MASK) || cs->halted ||
        cs->exception_index != -1 || !(env->intercept & 1)) {
        return;     /* something else has left the guest before */
    }
    x86_stq_phys(cs, env->vm_vmcb + offsetof(struct vmcb, control.exit_code),
                 SVM_EXIT_INTR);
    x86_stq_phys(cs, env->vm_vmcb + offsetof(struct vmcb,
                                             control.exit_info_1), 0);
    cs->exception_index = EXCP_VMEXIT;
    env->old_exception = -1;
}

/* Take @n from *@left; true if that made it 0. */
static bool count_down(uint64_t *left, uint64_t n)
{
    if (*left == 0) {
        return false;       /* switched off */
    }
    *left -= MIN(*left, n);
    return *left == 0;
}

/* Fold the branches since the last look into the counters. */
static void look(CPUX86State *env)
{
    PbkvmPmu *p = &env->pbkvm_pmu;
    uint64_t done[PBKVM_PMU_MODES], all = 0, guest = 0;

    for (int m = 0; m < PBKVM_PMU_MODES; m++) {
        done[m] = p->planned[m] - p->left[m];
        p->planned[m] = p->left[m];
        all += done[m];
        guest += (MODES_GUEST >> m & 1) * done[m];
    }
    if (p->late && count_down(&p->late_left, all)) {
        deliver(env);
    }
    for (int i = 0; i < PBKVM_PMU_COUNTERS; i++) {
        uint64_t n = 0;

        for (int m = 0; m < PBKVM_PMU_MODES; m++) {
            n += (p->modes[i] >> m & 1) * done[m];
        }
        counter_add(env, i, n);
    }
    if (count_down(&p->miscount_left, guest)) {
        p->miscount_left = pmu_next(env, pbkvm_lab_pmu->miscount);
        miscount(env);
    }
    if (count_down(&p->spurious_left, guest)) {
        p->spurious_left = pmu_next(env, pbkvm_lab_pmu->spurious);
        async_run_on_cpu(env_cpu(env), spurious_exit, RUN_ON_CPU_NULL);
    }
}

/*
 * The next look must come no later than @distance branches in the modes of
 * @modes taken together. Each mode gets its share, so the sum can never pass
 * @distance unseen; when less than one each is left, the next branch looks.
 */
static void plan_for(PbkvmPmu *p, uint8_t modes, uint64_t distance)
{
    uint64_t share = MAX(distance / MAX(ctpop8(modes), 1), 1);

    for (int m = 0; m < PBKVM_PMU_MODES; m++) {
        if (modes >> m & 1) {
            p->left[m] = MIN(p->left[m], share);
        }
    }
}

static void plan(CPUX86State *env)
{
    PbkvmPmu *p = &env->pbkvm_pmu;

    for (int m = 0; m < PBKVM_PMU_MODES; m++) {
        p->left[m] = NO_LOOK_NEEDED;
    }
    for (int i = 0; i < PBKVM_PMU_COUNTERS; i++) {
        plan_for(p, p->modes[i], COUNTER_LIMIT - p->counter[i]);
    }
    if (p->late) {
        plan_for(p, MODES_ALL, p->late_left);
    }
    if (p->miscount_left) {
        plan_for(p, MODES_GUEST, p->miscount_left);
    }
    if (p->spurious_left) {
        plan_for(p, MODES_GUEST, p->spurious_left);
    }
    memcpy(p->planned, p->left, sizeof(p->planned));
}

/*
 * A counter was started or stopped, or the guest entered or left: run code
 * translated with or without counting. Host code is not slowed down by
 * counters of the guest alone.
 */
static void update_hflags(CPUX86State *env)
{
    PbkvmPmu *p = &env->pbkvm_pmu;
    uint8_t here = env->hflags & HF_GUEST_MASK ? MODES_GUEST : MODES_HOST;

    env->hflags &= ~HF_PBKVM_PMU_MASK;
    for (int i = 0; i < PBKVM_PMU_COUNTERS; i++) {
        if (p->modes[i] & here) {
            env->hflags |= HF_PBKVM_PMU_MASK;
        }
    }
}

/* The first counter starts the clocks of the unkind knobs. */
static void start_knobs(CPUX86State *env)
{
    PbkvmPmu *p = &env->pbkvm_pmu;

    if (!p->miscount_left) {
        p->miscount_left = pmu_next(env, pbkvm_lab_pmu->miscount);
    }
    if (!p->spurious_left) {
        p->spurious_left = pmu_next(env, pbkvm_lab_pmu->spurious);
    }
}

static void write_select(CPUX86State *env, int i, uint64_t val)
{
    PbkvmPmu *p = &env->pbkvm_pmu;

    p->select[i] = val;
    p->modes[i] = select_modes(val);
    update_hflags(env);
    if (p->modes[i]) {
        start_knobs(env);
    }
    if (p->late && !(val & SELECT_EN)) {
        /*
         * The interrupt was already on its way: it must reach the kernel
         * before that forgets the counter, or it would be an unknown NMI.
         */
        deliver(env);
    }
}

/* VMRUN is a branch to somewhere else: count it as the guest's. */
static void count_vmrun(CPUX86State *env)
{
    look(env);
    for (int i = 0; i < PBKVM_PMU_COUNTERS; i++) {
        if (env->pbkvm_pmu.modes[i] & MODES_GUEST) {
            counter_add(env, i, 1);
        }
    }
    plan(env);
}

void pbkvm_pmu_mode_changed(CPUX86State *env)
{
    update_hflags(env);
    if (pbkvm_lab_pmu && pbkvm_lab_pmu->count_vmrun &&
        (env->hflags & HF_GUEST_MASK)) {
        count_vmrun(env);
    }
    if (env->pbkvm_pmu.late && !(env->hflags & HF_GUEST_MASK)) {
        deliver(env);       /* leaving takes longer than any skid */
    }
}

/*
 * An exit on a fault of nested paging saves RF = 1, for the instruction begins
 * anew; but not while an event is delivered, which is what begins anew then
 * (Intel SDM 3C 29.3.3, for EPT violations).
 */
uint64_t pbkvm_pmu_exit_flags(CPUX86State *env)
{
    hwaddr control = env->vm_vmcb + offsetof(struct vmcb, control);

    if (!pbkvm_lab_pmu || !pbkvm_lab_pmu->rf ||
        (x86_ldl_phys(env_cpu(env), control + offsetof(
             struct vmcb_control_area, event_inj)) & SVM_EVTINJ_VALID)) {
        return 0;
    }
    return x86_ldq_phys(env_cpu(env), control + offsetof(
               struct vmcb_control_area, exit_code)) ==
           SVM_EXIT_NPF ? RF_MASK : 0;
}

/* Intel's take no breakpoint right behind MOV SS or POP SS (SDM 3A 6.8.3). */
bool pbkvm_pmu_holds_breakpoint(CPUX86State *env)
{
    return pbkvm_lab_pmu && pbkvm_lab_pmu->mov_ss &&
           (env->hflags & HF_GUEST_MASK) &&
           (env->hflags & HF_INHIBIT_IRQ_MASK) &&
           env->eip == env->pbkvm_pmu.behind_mov_ss;
}

/*
 * A processor takes an interrupt of the host's between two instructions of the
 * guest.  Here QEMU's main loop comes to its timers when it can, and a whole
 * block is executed before a processor looks: the guest might see time go on
 * that its host had meant to stop it for.
 */
static void interrupts_first(CPUX86State *env, uintptr_t ra)
{
    CPUState *cs = env_cpu(env);

    if (qemu_clock_expired(QEMU_CLOCK_VIRTUAL) ||
        (int16_t)qatomic_read(&cs->neg.icount_decr.u16.high) < 0) {
        sched_yield();
        cpu_loop_exit_restore(cs, ra);
    }
}

/* 8.32 fixed point (APM volume 2, 15.30.5). */
uint64_t pbkvm_guest_tsc(CPUX86State *env, uint64_t host, uintptr_t ra)
{
    uint64_t ratio = env->amd_tsc_scale_msr, low, high;
    unsigned shift = 32;

    if (ratio == MSR_AMD64_TSC_RATIO_DEFAULT) {
        return host;
    }
    interrupts_first(env, ra);
    if (pbkvm_lab_pmu) {
        shift += pbkvm_lab_pmu->tsc_shift;
    }
    mulu64(&low, &high, host, ratio);
    return high << (64 - shift) | low >> shift;
}

void helper_pbkvm_pmu_branch(CPUX86State *env)
{
    look(env);
    plan(env);
}

bool pbkvm_pmu_rdpmc(CPUX86State *env, uint64_t *val)
{
    uint32_t i = env->regs[R_ECX];

    if (!pbkvm_lab_pmu) {
        return false;
    }
    if (i >= PBKVM_PMU_COUNTERS) {
        raise_exception_err(env, EXCP0D_GPF, 0);
    }
    look(env);
    plan(env);
    *val = env->pbkvm_pmu.counter[i];
    return true;
}

bool pbkvm_pmu_rdmsr(CPUX86State *env, uint32_t msr, uint64_t *val)
{
    uint32_t i = msr - MSR_K7_EVNTSEL0;

    if (!pbkvm_lab_pmu || i >= 2 * PBKVM_PMU_COUNTERS) {
        return false;
    }
    look(env);
    plan(env);
    if (i < PBKVM_PMU_COUNTERS) {
        *val = env->pbkvm_pmu.select[i];
    } else {
        *val = env->pbkvm_pmu.counter[i - PBKVM_PMU_COUNTERS];
    }
    return true;
}

bool pbkvm_pmu_wrmsr(CPUX86State *env, uint32_t msr, uint64_t val)
{
    uint32_t i = msr - MSR_K7_EVNTSEL0;

    if (!pbkvm_lab_pmu || i >= 2 * PBKVM_PMU_COUNTERS) {
        return false;
    }
    look(env);
    if (i < PBKVM_PMU_COUNTERS) {
        write_select(env, i, val);
    } else {
        env->pbkvm_pmu.counter[i - PBKVM_PMU_COUNTERS] =
            val & (COUNTER_LIMIT - 1);
    }
    plan(env);
    return true;
}
