/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-vm.h: a KVM VM and its vCPUs, set up so that nothing happens in it that
 * user space does not see: no interrupt controller or clock in the kernel,
 * time-varying MSRs filtered, no virtual PMU.
 *
 * No QEMU.  pb_vm_policy() serves the Primary's VM too, which QEMU makes.
 */
#ifndef PB_VM_H
#define PB_VM_H

#include "pb-vcpu.h"

/*
 * KVM_CREATE_VM: its file descriptor, or -1 with errno.  A signal ends the call
 * while it waits for other users of the process's memory: it is made again.
 */
int pb_vm_open(int kvm_fd);

/*
 * Before the VM's first vCPU: MSR filter and exits, virtual PMU off.
 * 0, or -errno with @what naming the capability this kernel lacks.
 */
int pb_vm_policy(int vm_fd, const char **what);

/* The same for a vCPU: no hypercall of a guest that does not look at CPUID. */
void pb_vm_vcpu_policy(int vcpu_fd);

/*
 * Make VM and vCPU of @v (role and mem are set by the caller).  @cpuid is
 * the Primary's.  0, or -errno with @what naming the step that failed.
 * pb_vm_destroy() undoes it, and may be called after a failure.
 */
int pb_vm_create(PbVcpu *v, int kvm_fd, const struct kvm_cpuid2 *cpuid,
                 const char **what);
void pb_vm_destroy(PbVcpu *v);

/*
 * Make @v vCPU number @index (from 1) of the VM of @first, with its @cpuid;
 * else as pb_vm_create().  Remove: before pb_vm_destroy(@first).
 */
int pb_vm_add_vcpu(PbVcpu *v, const PbVcpu *first, unsigned index, int kvm_fd,
                   const struct kvm_cpuid2 *cpuid, const char **what);
void pb_vm_remove_vcpu(PbVcpu *v);

/* A copy for free(), or NULL. */
struct kvm_cpuid2 *pb_vm_copy_cpuid(const struct kvm_cpuid2 *cpuid);

#endif /* PB_VM_H */
