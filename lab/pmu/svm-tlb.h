/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * svm-tlb.h: TLB entries of an SVM guest outlive its exits, in TCG.
 *
 * TCG flushed everything at each VMRUN and each #VMEXIT: a single-step of a
 * guest cost 70 us, most of it spent in finding the host's own pages again.
 * A processor tags its entries with an ASID. Here the guest has MMU indexes of
 * its own (the host's plus PBKVM_MMU_GUEST), the host's stay as they are while
 * it runs, and the guest's are flushed when another guest (ASID) comes, when
 * the host asks for it, or when what they depend on has been changed outside.
 *
 * Thread: the vCPU's own. Nothing here fails.
 */
#ifndef PBKVM_SVM_TLB_H
#define PBKVM_SVM_TLB_H

/* Added to MMU_KSMAP64_IDX .. MMU_KNOSMAP32_IDX while HF_GUEST_MASK is set. */
#define PBKVM_MMU_GUEST 8

/* In hflags2: between two worlds; loading a CR must not flush by itself. */
#define HF2_PBKVM_SWITCH_MASK (1u << 31)

/* VMRUN, in this order: before anything is loaded; when all of it is. */
void pbkvm_svm_leave_host(CPUX86State *env);
void pbkvm_svm_enter_guest(CPUX86State *env, uint32_t asid, uint8_t tlb_ctl);
/* #VMEXIT, in this order: before anything is saved; when all is loaded. */
void pbkvm_svm_leave_guest(CPUX86State *env);
void pbkvm_svm_enter_host(CPUX86State *env);
/* The guest has loaded a CR: nobody else's entries depend on that. */
void pbkvm_svm_flush_guest(CPUX86State *env);

#endif /* PBKVM_SVM_TLB_H */
