/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-msrs.h: the MSRs that are part of a vCPU's state: all that KVM answers by
 * itself and that a guest may write, or that differ from one host or one -cpu
 * to the next.  Those that vary with time are filtered (pb-vm.c); what KVM
 * does not know comes to user space, and is recorded.
 *
 * No QEMU.  As pb-state.h.
 */
#ifndef PB_MSRS_H
#define PB_MSRS_H

#include <linux/kvm.h>
#include <stdbool.h>

#include "pb-vcpu.h"

#define PB_MSRS_MAX 128

/* Whether @index is one of them. */
bool pb_msrs_has(uint32_t index);

/* Those that this host has, into @msr; how many. */
unsigned pb_msrs_get(PbVcpu *v, struct kvm_msr_entry msr[PB_MSRS_MAX]);

/*
 * What differs from the @n at @msr is set; what this host lacks and is 0 there
 * is left out.  0, or -errno with *@bad: the one that KVM refuses.
 */
int pb_msrs_put(PbVcpu *v, const struct kvm_msr_entry *msr, unsigned n,
                uint32_t *bad);

#endif /* PB_MSRS_H */
