/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-step-end.c: what the run of a step has come to. */
#include <errno.h>

#include "pb-inject.h"
#include "pb-linear.h"
#include "pb-remedy.h"
#include "pb-step-end.h"
#include "pb-step-mend.h"

/* Which breakpoint is at @pc; -1 if none. */
static int bp_at(const PbStepPlan *plan, uint64_t pc)
{
    unsigned i;

    for (i = 0; i < plan->bps; i++) {
        if (plan->bp[i] == pc) {
            return i;
        }
    }
    return -1;
}

static bool is_next(const PbStepInput *in, const PbInsn *insn, uint64_t pc,
                    uint64_t at)
{
    uint64_t ip = pb_ip_of(&in->sregs, pc) + insn->len;

    ip = pb_code_bits(&in->sregs) > 16 ? ip : ip & 0xffff;
    return at == pb_linear(&in->sregs, ip);
}

/* Whether a conditional branch retired, now that the guest is at @pc. */
static bool branch_retired(const PbStepInput *in, const PbStepPlan *plan,
                           uint64_t pc)
{
    uint64_t second = plan->start + in->insn.len;

    if (plan->event) {
        return false;
    }
    if (in->insn.conditional) {
        return pc == in->insn.target ||
               is_next(in, &in->insn, plan->start, pc);
    }
    return in->after.conditional && pc != second &&
           (pc == in->after.target || is_next(in, &in->after, second, pc));
}

/* While KVM steps it hides a TF the guest loads; give it back. */
static int give_tf_back(PbVcpu *v)
{
    struct kvm_regs regs;
    int ret = pb_vcpu_debug_off(v);

    if (ret == 0) {
        ret = pb_vcpu_get_regs(v, &regs);
    }
    if (ret == 0) {
        regs.rflags |= PB_RFLAGS_TF;
        ret = pb_vcpu_set_regs(v, &regs);
    }
    return ret;
}

/* The guest has moved on to @pc without a fault; @dr6 of its #DB, or 0. */
static int retired(PbVcpu *v, const PbStepInput *in, const PbStepPlan *plan,
                   uint64_t pc, uint64_t dr6, bool *branch)
{
    PbDebugRegister dr[4];
    uint64_t why;
    int ret = 0;

    *branch = branch_retired(in, plan, pc);
    pb_step_registers(in, plan, dr, dr6, &why);
    why |= plan->own_tf ? dr6 & PB_DR6_BS : 0;
    if (plan->tf && pb_remedy(PB_REMEDY_TASK)) {
        ret = pb_step_mend_task(v, in);
    }
    if (ret == 0 && plan->no_registers) {
        ret = pb_step_mend_dr6(v, in);
    }
    if (ret == 0 && plan->guest_tf && pb_remedy(PB_REMEDY_GUEST_TF)) {
        ret = give_tf_back(v);
    }
    if (ret == 0 && why) {
        ret = pb_inject_db(v, why);
    }
    return ret < 0 ? ret : PB_STEP_DONE;
}

static int faulted(PbVcpu *v, const PbStepInput *in, const PbStepPlan *plan,
                   int bp)
{
    bool mend = plan->tf && pb_remedy(PB_REMEDY_FRAME);
    int ret = mend ? pb_step_mend_fault(v, in, plan->vector[bp]) : 0;

    return ret < 0 ? ret : PB_STEP_DONE;
}

/* Whether anything the guest can tell has changed since before the step. */
static bool moved(const PbStepInput *in, const struct kvm_regs *regs,
                  uint64_t pc, const PbStepPlan *plan)
{
    return pc != plan->start || regs->rcx != in->regs.rcx ||
           regs->rsp != in->regs.rsp;
}

int pb_step_after_debug(PbVcpu *v, const PbStepInput *in,
                        const PbStepPlan *plan, bool *branch)
{
    uint64_t dr6 = v->run->debug.arch.dr6, pc;
    bool trapped = (plan->tf || plan->own_tf) && (dr6 & PB_DR6_BS);
    struct kvm_regs regs;
    int ret = pb_vcpu_pc(v, &pc), bp = bp_at(plan, pc);

    if (ret < 0) {
        return ret;
    }
    if (bp >= 0 && (!trapped || !pb_remedy(PB_REMEDY_ONE_DB))) {
        if (pc == plan->start && !plan->event) {
            ret = pb_vcpu_get_regs(v, &regs);
            if (ret < 0) {
                return ret;
            }
            if (!moved(in, &regs, pc, plan)) {
                return -EAGAIN;
            }
        }
        return plan->vector[bp] == PB_STEP_NO_VECTOR
               ? retired(v, in, plan, pc, dr6, branch)
               : faulted(v, in, plan, bp);
    }
    if (!trapped) {
        return pc == plan->start ? -EAGAIN : -EPROTO;
    }
    if (pc != plan->start || in->insn.target == pc) {
        return retired(v, in, plan, pc, dr6, branch);
    }
    /* Where it started: a REP iteration, RET to itself, or nothing. */
    ret = pb_vcpu_get_regs(v, &regs);
    if (ret < 0) {
        return ret;
    }
    if (moved(in, &regs, pc, plan) || in->insn.kind == PB_INSN_INDIRECT) {
        return retired(v, in, plan, pc, dr6, branch);
    }
    return -EAGAIN;
}

int pb_step_after_signal(PbVcpu *v, const PbStepInput *in,
                         const PbStepPlan *plan, bool *branch)
{
    struct kvm_sregs sregs;
    struct kvm_regs regs;
    uint64_t pc;
    int ret, bp;

    ret = pb_vcpu_get_both(v, &regs, &sregs);
    if (ret < 0) {
        return ret;
    }
    pc = pb_linear(&sregs, regs.rip);
    if (!moved(in, &regs, pc, plan)) {
        return PB_STEP_INTERRUPTED;
    }
    bp = bp_at(plan, pc);
    if (bp >= 0 && plan->vector[bp] != PB_STEP_NO_VECTOR) {
        return faulted(v, in, plan, bp);
    }
    return retired(v, in, plan, pc, 0, branch);
}
