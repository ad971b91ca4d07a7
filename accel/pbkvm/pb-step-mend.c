/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-step-mend.c: take our TF out of what the processor has stored. */
#include <errno.h>

#include "pb-inject.h"
#include "pb-linear.h"
#include "pb-step-mend.h"
#include "pb-tables.h"

/* In a TSS's descriptor type. */
#define TYPE_32_BITS 8

static bool pushes_error_code(int vector)
{
    return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 ||
           vector == 21;
}

/*
 * The handler of @vector was entered with TF set: clear TF in the EFLAGS
 * image of its frame, whose parts have @size bytes.  The frame must be that of
 * the instruction stepped.
 */
static int mend_frame(PbVcpu *v, const PbStepInput *in, int vector,
                      unsigned size)
{
    uint64_t ip = 0, flags = 0, sp;
    struct kvm_sregs sregs;
    struct kvm_regs regs;
    int ret;

    ret = pb_vcpu_get_both(v, &regs, &sregs);
    if (ret < 0) {
        return ret;
    }
    sp = regs.rsp;
    if ((sregs.cr0 & PB_CR0_PE) && pushes_error_code(vector)) {
        sp += size;
    }
    sp = pb_stack(&sregs, sp);
    if (pb_tables_read(v->mem, &sregs, sp, &ip, size) != size ||
        pb_tables_read(v->mem, &sregs, sp + 2 * size, &flags, size) != size) {
        return -EFAULT;
    }
    if (ip != (in->regs.rip & ~0ull >> (64 - 8 * size)) &&
        !(in->insn.traits & PB_INSN_SHADOW)) {
        return -EPROTO;
    }
    flags &= ~PB_RFLAGS_TF;
    ret = pb_tables_write(v->mem, &sregs, sp + 2 * size, &flags, size);
    return ret == (int)size ? 0 : -EFAULT;
}

int pb_step_mend_task(PbVcpu *v, const PbStepInput *in)
{
    const struct kvm_segment *tr = &in->sregs.tr;
    uint64_t at = tr->base + (tr->type & TYPE_32_BITS ? PB_TSS32_EFLAGS
                                                      : PB_TSS16_FLAGS);
    struct kvm_sregs sregs;
    uint16_t flags = 0;
    int ret = pb_vcpu_get_sregs(v, &sregs);

    /* In long mode LTR alone changes it: there are no tasks. */
    if (ret < 0 || sregs.tr.selector == tr->selector ||
        pb_long_mode(&in->sregs)) {
        return ret;
    }
    if (pb_tables_read(v->mem, &in->sregs, at, &flags, 2) != 2) {
        return -EFAULT;
    }
    flags &= ~(uint16_t)PB_RFLAGS_TF;
    ret = pb_tables_write(v->mem, &in->sregs, at, &flags, 2);
    return ret == 2 ? 0 : -EFAULT;
}

/* What the guest has there itself after @in: what it had, or writes. */
static uint64_t dr6_after(const PbStepInput *in)
{
    const struct kvm_regs *r = &in->regs;
    const uint64_t by_number[16] = {
        r->rax, r->rcx, r->rdx, r->rbx, r->rsp, r->rbp, r->rsi, r->rdi,
        r->r8, r->r9, r->r10, r->r11, r->r12, r->r13, r->r14, r->r15,
    };

    return in->insn.traits & PB_INSN_SETS_DR6 ? by_number[in->insn.from]
                                              : in->debug.dr6;
}

int pb_step_mend_dr6(PbVcpu *v, const PbStepInput *in)
{
    struct kvm_debugregs d;
    int ret = pb_vcpu_ioctl(v, KVM_GET_DEBUGREGS, &d);

    if (ret < 0 || !(d.dr6 & ~dr6_after(in) & PB_DR6_BS)) {
        return ret;
    }
    d.dr6 &= ~(uint64_t)PB_DR6_BS;
    return pb_vcpu_ioctl(v, KVM_SET_DEBUGREGS, &d);
}

int pb_step_mend_fault(PbVcpu *v, const PbStepInput *in, int vector)
{
    PbGate gate = pb_tables_gate(v->mem, &in->sregs, vector);

    return gate.kind == PB_GATE_TASK ? pb_step_mend_task(v, in)
                                     : mend_frame(v, in, vector, gate.bits / 8);
}
