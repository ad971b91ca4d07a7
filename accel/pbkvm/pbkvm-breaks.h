/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-breaks.h: a debugger's breakpoints on the Primary.
 *
 * BQL held; main thread, the Primary stopped.  They are in debug registers
 * only: an INT3 in the Primary's memory would become part of its history.  gdb
 * sets a breakpoint in both processes if both have its symbol, and would write
 * the INT3 itself, into both, were the Primary's refused.
 */
#ifndef PBKVM_BREAKS_H
#define PBKVM_BREAKS_H

#include "hw/core/cpu.h"

/* AccelOps, for the Primary's CPU. */
int pbkvm_primary_insert(CPUState *cpu, int type, vaddr addr, vaddr len);
int pbkvm_primary_remove(CPUState *cpu, int type, vaddr addr, vaddr len);
void pbkvm_primary_remove_all(CPUState *cpu);

/*
 * Also from the vCPU's thread: the debug registers as they are to be while the
 * Primary runs. A debugger's step is pb_step()'s business (pbkvm-enter.c):
 * KVM's own would leave TF where the guest stores EFLAGS.
 */
int pbkvm_primary_update_debug(CPUState *cpu);

#endif /* PBKVM_BREAKS_H */
