/* SPDX-License-Identifier: GPL-2.0-or-later */
/* backup-resume.c: off a breakpoint by EFLAGS.RF. */
#include "backup-resume.h"
#include "pb-linear.h"
#include "pb-remedy.h"
#include "pb-step.h"

/* What pushes EFLAGS, loads it, or is run by KVM, which leaves RF as it is. */
#define SHOWS_RF (PB_INSN_NO_TF | PB_INSN_SHADOW | PB_INSN_UD | \
                  PB_INSN_IRET | PB_INSN_REFUSED)

static bool hides_rf(const PbInsn *insn)
{
    return (insn->kind == PB_INSN_PLAIN || insn->kind == PB_INSN_BRANCH ||
            insn->kind == PB_INSN_CALL) && !(insn->traits & SHOWS_RF);
}

int pb_resume_prepare(PbResume *r, PbVcpu *v, const PbPosition *now)
{
    struct kvm_sregs sregs;
    struct kvm_regs regs;
    PbInsn insn;
    int ret;

    if (now->injected || now->resumed ||
        (now->rip == r->rip && now->branches == r->branches)) {
        return 0;
    }
    ret = pb_vcpu_get_both(v, &regs, &sregs);
    if (ret < 0) {
        return ret;
    }
    pb_insn_fetch(v, &regs, &sregs, &insn);
    if (pb_remedy(PB_REMEDY_HIDE_RF) && !hides_rf(&insn)) {
        return 0;
    }
    regs.rflags |= PB_RFLAGS_RF;
    ret = pb_vcpu_set_regs(v, &regs);
    if (ret == 0) {
        *r = (PbResume) { true, now->rip, now->branches };
    }
    return ret < 0 ? ret : 1;
}

int pb_resume_end(PbResume *r, PbVcpu *v)
{
    struct kvm_sregs sregs;
    struct kvm_regs regs;
    int ret;

    if (!r->active || v->io_pending) {
        return 0;             /* who answers an exit is through with it */
    }
    r->active = false;
    ret = pb_vcpu_get_both(v, &regs, &sregs);
    if (ret < 0 || !(regs.rflags & PB_RFLAGS_RF) ||
        pb_linear(&sregs, regs.rip) != r->rip) {
        return ret;
    }
    regs.rflags &= ~PB_RFLAGS_RF;
    return pb_vcpu_set_regs(v, &regs);
}
