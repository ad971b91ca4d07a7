/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-state.h: the whole architectural state of a vCPU as one plain value:
 * taken from one, put into another, compared, sent as bytes.
 *
 * No QEMU.  The vCPU must not be running; the calling thread is the one
 * that runs it, or any while it is stopped.  Registers are only true when
 * no exit is pending (pb_vcpu_complete()).
 */
#ifndef PB_STATE_H
#define PB_STATE_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pb-msrs.h"

typedef struct PbState {
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_debugregs debugregs;
    struct kvm_vcpu_events events;
    struct kvm_mp_state mp_state;
    uint32_t msrs;
    struct kvm_msr_entry msr[PB_MSRS_MAX];
    struct kvm_xsave xsave;
} PbState;

/* 0 or -errno. */
int pb_state_get(PbVcpu *v, PbState *s);

/*
 * Likewise.  *@bad_msr: 0, or the MSR that KVM refuses, as that of another
 * host may be.
 */
int pb_state_put(PbVcpu *v, const PbState *s, uint32_t *bad_msr);

/*
 * Whether @s, which came as bytes, may be given to pb_state_put(): NULL or
 * what is wrong.  What KVM itself refuses is left to KVM.
 */
const char *pb_state_check(const PbState *s);

/*
 * Whether the guest could ever tell @a from @b; if so, @what names the
 * first difference with both values.  Not compared: RF (KVM leaves it as the
 * last exit's reason made it), TF of a step, the interrupt shadow of STI and
 * MOV SS (an exit or a step may drop it; interrupts come where they were
 * recorded all the same), the x87 last instruction and operand pointers,
 * which AMD saves only with a pending exception, MXCSR_MASK, which is the
 * CPU's and which QEMU writes as 0, and the upper halves of SYSENTER's MSRs if
 * one is 0: KVM on AMD drops them.
 */
bool pb_state_equal(const PbState *a, const PbState *b, char *what,
                    size_t len);

#endif /* PB_STATE_H */
