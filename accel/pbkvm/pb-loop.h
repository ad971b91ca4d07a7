/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-loop.h: tell the rounds of a loop without conditional branches apart.
 *
 * In `1: inc [mem]; jmp 1b` every round has the same branches, RIP and
 * registers: only memory moves.  Such a loop is found by following the code
 * from RIP through unconditional jumps back to RIP; the memory its
 * instructions name is then part of the position.  If that memory is the
 * same too, the rounds cannot be told apart by the guest either.
 *
 * No QEMU.  The vCPU's thread, no exit pending.
 */
#ifndef PB_LOOP_H
#define PB_LOOP_H

#include "pb-vcpu.h"

/*
 * Hash of the memory named by the loop that the vCPU stands in (even, not 0),
 * or 0 when it stands in none.
 */
uint32_t pb_loop_hash(PbVcpu *v, const struct kvm_regs *regs,
                      const struct kvm_sregs *sregs);

#endif /* PB_LOOP_H */
