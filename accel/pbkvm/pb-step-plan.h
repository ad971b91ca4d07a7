/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-step-plan.h: decide how one instruction is stepped: where breakpoints
 * go and whether TF is used.
 *
 * Pure: registers and memory in, plan out; no ioctl.  pb-step.c acts on it.
 */
#ifndef PB_STEP_PLAN_H
#define PB_STEP_PLAN_H

#include <linux/kvm.h>

#include "pb-mem.h"
#include "pb-step.h"

/* In PbStepPlan.vector: this breakpoint is no fault handler. */
#define PB_STEP_NO_VECTOR (-1)

/* What is known before the step. */
typedef struct PbStepInput {
    const PbMem *mem;
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_vcpu_events events;
    struct kvm_debugregs debug;   /* with PbVcpu.guest_watches, and at a MOV
                                     DR; else 0 */
    PbInsn insn;
    PbInsn after;         /* the one behind it, with PB_INSN_SHADOW only */
} PbStepInput;

typedef struct PbStepPlan {
    uint64_t start;       /* linear address the step starts from */
    bool event;           /* an interrupt or exception is delivered instead */
    bool tf;              /* KVM_GUESTDBG_SINGLESTEP */
    bool set_rf;          /* a breakpoint is where the step starts */
    bool own_tf;          /* the guest steps itself: its TF stops it */
    bool no_registers;    /* the debug registers must be the guest's */
    bool guest_tf;        /* IRET is about to load TF for the guest itself */
    unsigned bps;
    uint64_t bp[4];
    int16_t vector[4];    /* whose handler bp[] is, or PB_STEP_NO_VECTOR */
    const char *refused;  /* why it cannot be stepped; NULL: it can be */
} PbStepPlan;

/*
 * 0, or -EOPNOTSUPP for what cannot be stepped without the guest noticing or
 * running away: ICEBP, RSM.
 */
int pb_step_plan(const PbStepInput *in, PbStepPlan *plan);

/*
 * The plan's breakpoints, and behind them what the guest watches itself, as far
 * as there are registers; how many.  Which of the latter @dr6 tells of: *@hits.
 */
unsigned pb_step_registers(const PbStepInput *in, const PbStepPlan *plan,
                           PbDebugRegister dr[PB_VCPU_DRS], uint64_t dr6,
                           uint64_t *hits);

#endif /* PB_STEP_PLAN_H */
