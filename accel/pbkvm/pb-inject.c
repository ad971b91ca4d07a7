/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-inject.c: give a vCPU an interrupt, NMI or #DB. */
#include "pb-inject.h"
#include "pb-remedy.h"
#include "pb-step.h"

/* Bits of DR6: cleared by each #DB; always 1 (SDM 3B 19.2.3). */
#define DR6_BREAKS 0xfu
#define DR6_ONES 0xffff0ff0u

/*
 * The Primary was ready, so it stood in no shadow of STI or MOV SS; but an
 * exit may have dropped one that the Backup, which came without that exit,
 * still has.  VMX refuses to enter with both.
 */
static int drop_shadow(PbVcpu *v, struct kvm_vcpu_events *e)
{
    if (!e->interrupt.shadow) {
        return 0;
    }
    e->interrupt.shadow = 0;
    e->flags = KVM_VCPUEVENT_VALID_SHADOW;
    return pb_vcpu_ioctl(v, KVM_SET_VCPU_EVENTS, e);
}

static int clear_rf(PbVcpu *v)
{
    struct kvm_regs regs;
    int ret = pb_vcpu_get_regs(v, &regs);

    regs.rflags &= ~PB_RFLAGS_RF;
    return ret < 0 ? ret : pb_vcpu_set_regs(v, &regs);
}

/* Looks come first, while all is known: a change makes KVM be asked again. */
static int normalise(PbVcpu *v, bool no_shadow)
{
    struct kvm_vcpu_events events;
    bool rf;
    int ret = pb_vcpu_know(v, KVM_SYNC_X86_REGS);

    rf = (v->run->s.regs.regs.rflags & PB_RFLAGS_RF) &&
         pb_remedy(PB_REMEDY_RF);
    if (ret == 0 && no_shadow) {
        ret = pb_vcpu_ioctl(v, KVM_GET_VCPU_EVENTS, &events);
    }
    if (ret == 0) {
        ret = pb_vcpu_debug_off(v);
    }
    if (ret == 0 && rf) {
        ret = clear_rf(v);
    }
    return ret == 0 && no_shadow ? drop_shadow(v, &events) : ret;
}

int pb_inject_irq(PbVcpu *v, uint8_t vector)
{
    struct kvm_interrupt irq = { .irq = vector };
    int ret = normalise(v, v->role == PB_BACKUP);

    if (ret == 0) {
        ret = pb_vcpu_ioctl(v, KVM_INTERRUPT, &irq);
    }
    if (ret == 0) {
        /* Until the next exit says otherwise: a second one would replace
           this one. */
        v->run->ready_for_interrupt_injection = 0;
    }
    return ret;
}

int pb_inject_nmi(PbVcpu *v)
{
    int ret = normalise(v, false);

    return ret < 0 ? ret : pb_vcpu_ioctl(v, KVM_NMI, NULL);
}

int pb_inject_db(PbVcpu *v, uint64_t why)
{
    struct kvm_debugregs d;
    int ret = pb_vcpu_ioctl(v, KVM_GET_DEBUGREGS, &d);

    if (ret == 0) {
        d.dr6 = (d.dr6 & ~(uint64_t)DR6_BREAKS) | DR6_ONES | why;
        ret = pb_vcpu_ioctl(v, KVM_SET_DEBUGREGS, &d);
    }
    return ret < 0 ? ret : pb_vcpu_queue_db(v);
}

int pb_half_delivered(PbVcpu *v, bool irq_too)
{
    const struct kvm_vcpu_events *e = &v->run->s.regs.events;
    int ret = pb_vcpu_know(v, KVM_SYNC_X86_EVENTS);

    if (ret < 0 || !pb_remedy(PB_REMEDY_HALF)) {
        return ret;
    }
    return e->exception.injected || e->exception.pending || e->nmi.injected ||
           e->nmi.pending ||
           (e->interrupt.shadow && pb_remedy(PB_REMEDY_UNSEEN)) ||
           (irq_too && e->interrupt.injected);
}

int pb_before_int(PbVcpu *v)
{
    struct kvm_sregs sregs;
    struct kvm_regs regs;
    PbInsn insn;
    int ret = pb_vcpu_get_both(v, &regs, &sregs);

    if (ret < 0) {
        return ret;
    }
    pb_insn_fetch(v, &regs, &sregs, &insn);
    return insn.kind == PB_INSN_INT;
}
