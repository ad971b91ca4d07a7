/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-inject.h: give a vCPU an interrupt or NMI, the same way on both sides, or
 * a #DB that is its guest's.
 *
 * Called on the vCPU's thread with no exit pending and nothing half
 * delivered.  Guest debugging is switched off first (a TF would leak into
 * the interrupt frame), and RF, which KVM leaves as the last exit's reason
 * made it (SDM 3C 28.3.3), is cleared: it is pushed with the frame.
 */
#ifndef PB_INJECT_H
#define PB_INJECT_H

#include "pb-vcpu.h"

/* 0 or -errno. */
int pb_inject_irq(PbVcpu *v, uint8_t vector);
int pb_inject_nmi(PbVcpu *v);

/* In DR6: the trap of TF.  B0 to B3 are bits 0 to 3. */
#define PB_DR6_BS 0x4000ull

/*
 * KVM, asked for breakpoints or steps, has handed over a #DB that is the
 * guest's own: give it to the guest, as KVM does when it is not asked.  @why
 * is what DR6 is to say: B0 to B3, BS.  Guest debugging is off afterwards.
 */
int pb_inject_db(PbVcpu *v, uint64_t why);

/*
 * Whether the vCPU is half way through delivering an exception, interrupt or
 * NMI, so that its registers are not a position; or in the shadow of STI or
 * MOV SS, where Intel's processors take no breakpoint (SDM 3B 19.3.1.1), so
 * that no Backup could be stopped.  With @irq_too an interrupt that merely
 * waits for the next entry counts too: nothing more can be injected then.  1,
 * 0 or -errno.
 */
int pb_half_delivered(PbVcpu *v, bool irq_too);

/*
 * Whether the next instruction is an INT.  An exit may have interrupted its
 * delivery; KVM_GET_VCPU_EVENTS does not tell of that, and KVM would finish
 * it before an NMI that is given now.  1, 0 or -errno.
 */
int pb_before_int(PbVcpu *v);

#endif /* PB_INJECT_H */
