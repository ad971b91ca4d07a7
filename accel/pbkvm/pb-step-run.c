/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-step-run.c: run a vCPU by single steps. */
#include <errno.h>
#include <string.h>

#include "pb-step-run.h"
#include "pb-step.h"

#define EFER_LMA (1ull << 10)

/* What the caller wanted guest debugging to be; steps use it themselves. */
typedef struct PbBreaks {
    uint32_t control;
    uint64_t bp[4];
    unsigned bps;
} PbBreaks;

static PbBreaks breaks_of(const PbVcpu *v)
{
    PbBreaks b = { .control = v->debug_control };

    if (b.control & KVM_GUESTDBG_USE_HW_BP) {
        b.bps = v->bps;
        memcpy(b.bp, v->bp, sizeof(b.bp));
    }
    return b;
}

/* As the breakpoint exit of a CPU: at the instruction, before it. */
static void report_break(PbVcpu *v, const PbBreaks *b, unsigned i,
                         uint64_t pc)
{
    v->run->exit_reason = KVM_EXIT_DEBUG;
    v->run->debug.arch.exception = 1;
    v->run->debug.arch.pc = pc;
    v->run->debug.arch.dr6 = 0xffff0ff0u | 1u << i;
    v->run->debug.arch.dr7 = 0x600 | 2u << (2 * i);
}

/* 1: the vCPU stands at one of @b, and the exit says so; 0; or -errno. */
static int at_break(PbVcpu *v, const PbBreaks *b)
{
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    uint64_t pc;
    unsigned i;
    int ret;

    if (!b->bps) {
        return 0;
    }
    ret = pb_vcpu_get_regs(v, &regs);
    if (ret == 0) {
        ret = pb_vcpu_get_sregs(v, &sregs);
    }
    if (ret < 0) {
        return ret;
    }
    pc = sregs.efer & EFER_LMA ? regs.rip
                               : (uint32_t)(sregs.cs.base + regs.rip);
    for (i = 0; i < b->bps; i++) {
        if (b->bp[i] == pc) {
            report_break(v, b, i, pc);
            return 1;
        }
    }
    return 0;
}

/* The vector KVM delivers at the next entry, or -1; -errno below that. */
static int due_vector(PbVcpu *v)
{
    struct kvm_vcpu_events e;
    int ret = pb_vcpu_ioctl(v, KVM_GET_VCPU_EVENTS, &e);

    if (ret < 0) {
        return ret - 1;
    }
    if (e.exception.injected || e.exception.pending) {
        return e.exception.nr;
    }
    if (e.nmi.injected || (e.nmi.pending && !e.nmi.masked)) {
        return 2;
    }
    return e.interrupt.injected ? e.interrupt.nr : -1;
}

/*
 * An event handed to KVM is delivered with breakpoints on its handler and on
 * those of the faults its delivery can raise; TF would be pushed with EFLAGS
 * and be off in the handler.  Returns 1 when there was none or it was
 * delivered, else as pb_vcpu_run().
 */
static int deliver(PbVcpu *v)
{
    static const uint8_t faults[] = { 14, 13, 8 };
    struct kvm_sregs sregs;
    uint64_t bp[4];
    unsigned i, bps = 0;
    int ret, vector = due_vector(v);

    if (vector < 0) {
        return vector == -1 ? 1 : vector + 1;
    }
    ret = pb_vcpu_get_sregs(v, &sregs);
    if (ret < 0) {
        return ret;
    }
    bp[bps] = pb_handler_entry(v, &sregs, vector);
    if (!bp[bps++]) {
        return -ENOTSUP;        /* a task gate: nobody could count after it */
    }
    for (i = 0; i < sizeof(faults); i++) {
        bp[bps] = pb_handler_entry(v, &sregs, faults[i]);
        bps += bp[bps] != 0;
    }
    ret = pb_vcpu_debug(v, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP,
                        bp, bps);
    if (ret == 0) {
        ret = pb_vcpu_enter(v);
    }
    return ret == 0 && v->run->exit_reason == KVM_EXIT_DEBUG ? 1 : ret;
}

/* Step until there is something to tell. */
static int step_on(PbVcpu *v, PbCounter *c, const PbBreaks *breaks)
{
    int ret;

    for (;;) {
        ret = at_break(v, breaks);
        if (ret) {
            return ret < 0 ? ret : 0;
        }
        ret = pb_counter_step(c, NULL);
        if (ret < 0) {
            return ret;
        }
        if (ret == PB_STEP_EXIT) {
            return 0;
        }
        if (ret == PB_STEP_INTERRUPTED || pb_counter_kicked(c)) {
            return -EINTR;
        }
    }
}

int pb_run_steps(PbVcpu *v, PbCounter *c)
{
    PbBreaks breaks = breaks_of(v);
    int off, ret = pb_vcpu_debug_off(v);

    if (ret == 0) {
        ret = pb_vcpu_complete(v);      /* 1: another exit to answer */
        if (ret == 0) {
            ret = deliver(v);
            if (ret == 1) {
                ret = step_on(v, c, &breaks);
            }
        } else if (ret == 1) {
            ret = 0;
        }
    }
    off = pb_vcpu_debug_off(v);
    /* What the caller asked for holds until it asks for something else. */
    v->debug_control = breaks.control;
    v->bps = breaks.bps;
    memcpy(v->bp, breaks.bp, sizeof(v->bp));
    if (off < 0 && ret >= 0) {
        return off;
    }
    return ret;
}
