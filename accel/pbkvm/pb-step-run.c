/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-step-run.c: run a vCPU by single steps. */
#include <errno.h>
#include <string.h>

#include "pb-step-run.h"
#include "pb-step.h"

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
    uint64_t pc;
    unsigned i;
    int ret;

    if (!b->bps) {
        return 0;
    }
    ret = pb_vcpu_pc(v, &pc);
    if (ret < 0) {
        return ret;
    }
    for (i = 0; i < b->bps; i++) {
        if (b->bp[i] == pc) {
            report_break(v, b, i, pc);
            return 1;
        }
    }
    return 0;
}

/* Whether KVM delivers an event at the next entry, before any instruction. */
static int event_due(PbVcpu *v)
{
    struct kvm_vcpu_events e;
    int ret = pb_vcpu_ioctl(v, KVM_GET_VCPU_EVENTS, &e);

    return ret < 0 ? ret : e.exception.injected || e.exception.pending ||
                           e.interrupt.injected || e.nmi.injected ||
                           (e.nmi.pending && !e.nmi.masked);
}

/* Steps ask for no interrupt window; tell the caller here when it opens. */
static bool window_open(PbVcpu *v)
{
    if (v->run->request_interrupt_window &&
        v->run->ready_for_interrupt_injection) {
        v->run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
        return true;
    }
    return false;
}

/*
 * Step until there is something to tell.  An event that is due goes first, as
 * on a CPU: a breakpoint where it interrupts hits only after its handler.
 */
static int step_on(PbVcpu *v, PbCounter *c, const PbBreaks *breaks)
{
    int ret = breaks->bps ? event_due(v) : 0;
    bool event = ret == 1;

    while (ret >= 0) {
        if (pb_counter_kicked(c)) {
            return -EINTR;
        }
        ret = event ? 0 : at_break(v, breaks);
        if (ret) {
            return ret < 0 ? ret : 0;
        }
        event = false;
        ret = pb_counter_step(c, NULL);
        if (ret == PB_STEP_INTERRUPTED) {
            return -EINTR;
        }
        if (ret == PB_STEP_EXIT || (ret == PB_STEP_DONE && window_open(v))) {
            return 0;
        }
    }
    return ret;
}

int pb_run_steps(PbVcpu *v, PbCounter *c)
{
    PbBreaks breaks = breaks_of(v);
    int off, ret = pb_vcpu_debug_off(v);

    if (ret == 0) {
        ret = pb_vcpu_complete(v);      /* 1: another exit to answer */
        ret = ret == 0 ? step_on(v, c, &breaks) : ret < 0 ? ret : 0;
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
