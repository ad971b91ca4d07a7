/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-step.c: execute exactly one guest instruction. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "pb-linear.h"
#include "pb-remedy.h"
#include "pb-step-end.h"
#include "pb-step-plan.h"
#include "pb-step.h"
#include "pb-tables.h"

#define MSR_SYSENTER_EIP 0x176
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_CSTAR 0xc0000083

/* #DB exits without a reason that are put up with in one step. */
#define MAX_SPURIOUS 8

/* Signals that come while a step must not be left. */
#define MAX_SIGNALS 10000

uint64_t pb_handler_entry(PbVcpu *v, const struct kvm_sregs *sregs,
                          uint8_t vector)
{
    PbGate gate = pb_tables_gate(v->mem, sregs, vector);

    return gate.kind != PB_GATE_NONE ? gate.entry : 0;
}

static uint32_t target_msr(const struct kvm_sregs *s, const PbInsn *insn)
{
    return !(insn->traits & PB_INSN_SYSCALL) ? MSR_SYSENTER_EIP
         : !pb_long_mode(s) ? MSR_STAR
         : pb_code_bits(s) == 64 ? MSR_LSTAR : MSR_CSTAR;
}

/* Where SYSENTER or SYSCALL goes. */
static int fetch_msr_target(PbVcpu *v, const struct kvm_sregs *sregs,
                            PbInsn *insn)
{
    struct {
        struct kvm_msrs head;
        struct kvm_msr_entry entry;
    } msrs = { .head.nmsrs = 1 };
    int ret;

    msrs.entry.index = target_msr(sregs, insn);
    ret = pb_vcpu_ioctl(v, KVM_GET_MSRS, &msrs);
    insn->target = pb_long_mode(sregs) ? msrs.entry.data
                                       : (uint32_t)msrs.entry.data;
    return ret < 0 ? ret : ret == 1 ? 0 : -EIO;
}

/* Decode the instruction at @regs. */
static int fetch(PbVcpu *v, const struct kvm_regs *regs,
                 const struct kvm_sregs *sregs, PbInsn *insn)
{
    pb_insn_fetch(v, regs, sregs, insn);
    return insn->kind == PB_INSN_SYSENTER ? fetch_msr_target(v, sregs, insn)
                                          : 0;
}

/* And what is behind MOV SS. */
static int fetch_after(PbVcpu *v, PbStepInput *in)
{
    struct kvm_regs regs = in->regs;

    regs.rip += in->insn.len;
    return fetch(v, &regs, &in->sregs, &in->after);
}

static int gather(PbVcpu *v, PbStepInput *in)
{
    int ret;

    memset(in, 0, sizeof(*in));
    in->mem = v->mem;
    ret = pb_vcpu_get_both(v, &in->regs, &in->sregs);
    if (ret == 0) {
        ret = pb_vcpu_ioctl(v, KVM_GET_VCPU_EVENTS, &in->events);
    }
    if (ret == 0) {
        ret = fetch(v, &in->regs, &in->sregs, &in->insn);
    }
    if (ret < 0) {
        return ret;
    }
    if (v->guest_watches || (in->insn.traits & PB_INSN_MOV_DR)) {
        ret = pb_vcpu_ioctl(v, KVM_GET_DEBUGREGS, &in->debug);
    }
    if (ret == 0 && (in->insn.traits & PB_INSN_SHADOW)) {
        ret = fetch_after(v, in);
    }
    return ret;
}

/* Debug registers and TF; KVM wants to be told anew for each step. */
static int arm(PbVcpu *v, const PbStepInput *in, const PbStepPlan *plan)
{
    uint32_t control = KVM_GUESTDBG_ENABLE;
    PbDebugRegister dr[4];
    struct kvm_regs regs;
    uint64_t hits;
    unsigned n = pb_step_registers(in, plan, dr, 0, &hits);
    int ret;

    /* Without a breakpoint too, it gives us the #DB of the guest's TF. */
    control |= n || plan->own_tf ? KVM_GUESTDBG_USE_HW_BP : 0;
    control |= plan->tf ? KVM_GUESTDBG_SINGLESTEP : 0;
    if (plan->set_rf && !(in->regs.rflags & PB_RFLAGS_RF)) {
        regs = in->regs;
        regs.rflags |= PB_RFLAGS_RF;
        ret = pb_vcpu_set_regs(v, &regs);
        if (ret < 0) {
            return ret;
        }
    }
    return pb_vcpu_debug_registers(v, control, dr, n);
}

/* KVM_RUN; a request for an interrupt window would only get in the way. */
static int enter(PbVcpu *v)
{
    uint8_t window = v->run->request_interrupt_window;
    int ret;

    v->run->request_interrupt_window = 0;
    ret = pb_vcpu_enter(v);
    v->run->request_interrupt_window = window;
    v->steps++;
    return ret;
}

/* An exit was pending: let KVM finish its instruction. */
static int finish_exit(PbVcpu *v)
{
    int ret = pb_vcpu_complete(v);

    return ret < 0 ? ret : ret == 1 ? PB_STEP_EXIT : PB_STEP_DONE;
}

static int run_step(PbVcpu *v, const PbStepInput *in, const PbStepPlan *plan,
                    bool *branch)
{
    int ret = enter(v);

    if (ret == -EINTR) {
        return pb_step_after_signal(v, in, plan, branch);
    }
    if (ret < 0) {
        return ret;
    }
    return v->run->exit_reason == KVM_EXIT_DEBUG
           ? pb_step_after_debug(v, in, plan, branch) : PB_STEP_EXIT;
}

/*
 * While an NMI waits for an IRET, KVM on AMD steps over that with TF, too.  A
 * signal now would leave this half done, with our TF taken for the guest's
 * for good (Linux 6.12, svm_enable_nmi_window() and svm_set_rflags()).  So go
 * on until the IRET is done, and let the next entry hear of the signal.
 */
static int run_whole_step(PbVcpu *v, const PbStepInput *in,
                          const PbStepPlan *plan, bool *branch)
{
    int ret, i;

    for (i = 0; i < MAX_SIGNALS; i++) {
        ret = run_step(v, in, plan, branch);
        if (ret != PB_STEP_INTERRUPTED) {
            break;
        }
        __atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
    }
    if (i) {
        __atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    }
    return ret;
}

static int step_once(PbVcpu *v, const PbStepInput *in, const PbStepPlan *plan,
                     bool *branch)
{
    bool whole = plan->tf && (in->insn.traits & PB_INSN_IRET) &&
                 in->events.nmi.pending && pb_remedy(PB_REMEDY_IRET);
    int ret = arm(v, in, plan);

    if (ret < 0) {
        return ret;
    }
    return whole ? run_whole_step(v, in, plan, branch)
                 : run_step(v, in, plan, branch);
}

int pb_step(PbVcpu *v, bool *branch)
{
    PbStepInput in;
    PbStepPlan plan;
    bool ignored;
    int ret, i;

    branch = branch ? branch : &ignored;
    *branch = false;
    if (v->io_pending) {
        return finish_exit(v);
    }
    ret = gather(v, &in);
    if (ret == 0) {
        ret = pb_step_plan(&in, &plan);
    }
    if (ret != 0) {
        return ret;
    }
    for (i = 0; i < MAX_SPURIOUS; i++) {
        ret = step_once(v, &in, &plan, branch);
        if (ret != -EAGAIN) {
            return ret;
        }
    }
    return -ELOOP;
}

static void explain_refusal(PbVcpu *v, char *why, size_t len)
{
    PbStepPlan plan = { .start = 0 };
    uint8_t code[PB_INSN_MAX_LEN];
    char text[64];
    PbStepInput in;
    int ret = gather(v, &in);

    if (ret == 0) {
        ret = pb_step_plan(&in, &plan);
    }
    if (ret != -EOPNOTSUPP) {
        snprintf(why, len, "an instruction that could not be stepped is "
                 "there no more: %s", strerror(-ret));
        return;
    }
    pb_insn_print(code, pb_tables_read(v->mem, &in.sregs, plan.start, code,
                                       sizeof(code)), plan.start,
                  pb_code_bits(&in.sregs), text, sizeof(text));
    snprintf(why, len, "cannot step `%s` at 0x%08" PRIx64 ", EFLAGS 0x%" PRIx64
             ", guest debugging 0x%x, NMI %s%s%s: %s", text,
             (uint64_t)in.regs.rip, (uint64_t)in.regs.rflags,
             v->debug_control, in.events.nmi.injected ? "injected " : "",
             in.events.nmi.pending ? "pending " : "",
             in.events.nmi.masked ? "masked" : "open", plan.refused);
}

void pb_step_explain(PbVcpu *v, int err, char *why, size_t len)
{
    if (err == -EOPNOTSUPP) {
        explain_refusal(v, why, len);
    } else {
        snprintf(why, len, "%s", strerror(-err));
    }
}
