/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-vcpu.h: one KVM vCPU seen through its file descriptors, and nothing of
 * QEMU.  Thin: every function is one ioctl or two, returns -errno, prints
 * nothing.  All functions belong to the thread that runs the vCPU.
 *
 * At every return of KVM_RUN the kernel leaves registers and events in
 * run->s.regs (Linux, Documentation/virt/kvm/api.rst, KVM_CAP_SYNC_REGS): they
 * are read there, without a call, until something changes them.
 */
#ifndef PB_VCPU_H
#define PB_VCPU_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "pb-mem.h"
#include "pb-remedy.h"

/* In kvm_regs.rflags: bits that steps, landings and injections mind. */
#define PB_RFLAGS_TF 0x100ull
#define PB_RFLAGS_RF 0x10000ull
#define PB_RFLAGS_VM 0x20000ull

typedef enum PbRole {
    PB_PRIMARY,
    PB_BACKUP,
} PbRole;

typedef struct PbCounter PbCounter;
typedef struct PbTsc PbTsc;

typedef struct PbVcpu {
    PbRole role;
    int vm_fd;
    int fd;
    struct kvm_run *run;
    unsigned run_size;      /* bytes mapped at run */
    PbMem *mem;
    PbCounter *counter;     /* how its branches are counted */
    PbTsc *tsc;             /* what its RDTSC returns; NULL: what it likes */
    bool io_pending;        /* the last exit (PIO, MMIO, MSR) is completed by
                               KVM at the next KVM_RUN; registers are stale */
    uint64_t known;         /* parts of run->s.regs that hold: KVM_SYNC_X86_*,
                               and whether @debug does */
    struct kvm_debugregs debug;   /* the guest's own debug registers */
    uint32_t debug_control; /* what pb_vcpu_debug() was last told: flags, */
    uint64_t bp[4];         /* breakpoints (linear), */
    unsigned bps;           /* and how many */
    bool guest_watches;     /* debug registers of the guest's own are in
                               force: a step minds them */
    uint64_t exits;         /* KVM_RUN calls that returned */
    uint64_t steps;         /* of these: single steps */
} PbVcpu;

/* What is needed of KVM_CAP_SYNC_REGS. */
#define PB_VCPU_SYNC \
    (KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS)

/*
 * ioctl on the vCPU; 0 or a positive result, or -errno.  Registers, events and
 * debug registers that are known are read without one.
 */
int pb_vcpu_ioctl(PbVcpu *v, unsigned long req, void *arg);

/* pb_vcpu_know(), of what is not known. */
int pb_vcpu_ask(PbVcpu *v, uint64_t parts);

/*
 * Have @parts (of PB_VCPU_SYNC) in run->s.regs, to be read there until
 * something changes them: 0 or -errno.
 */
static inline int pb_vcpu_know(PbVcpu *v, uint64_t parts)
{
    return (parts & ~v->known) || pb_distrust ? pb_vcpu_ask(v, parts) : 0;
}

/* The linear address of the instruction that is next: 0 or -errno. */
int pb_vcpu_pc(PbVcpu *v, uint64_t *pc);

/* Somebody else has changed the vCPU: nothing is known. */
void pb_vcpu_forget(PbVcpu *v);

/*
 * KVM_RUN once.  0: see run->exit_reason (io_pending is set from it);
 * -EINTR: a signal or immediate_exit; else -errno.
 */
int pb_vcpu_enter(PbVcpu *v);

/*
 * Let KVM complete a pending exit without running guest code (KVM_RUN with
 * immediate_exit; a kick that comes meanwhile is kept).  0: done, registers
 * are those after the instruction; 1: KVM wants another exit answered first
 * (a further MMIO fragment): see run->exit_reason; else -errno.
 */
int pb_vcpu_complete(PbVcpu *v);

int pb_vcpu_get_regs(PbVcpu *v, struct kvm_regs *regs);
int pb_vcpu_set_regs(PbVcpu *v, const struct kvm_regs *regs);
int pb_vcpu_get_sregs(PbVcpu *v, struct kvm_sregs *sregs);
int pb_vcpu_get_both(PbVcpu *v, struct kvm_regs *regs,
                     struct kvm_sregs *sregs);

/*
 * What it has translated, the TLB, is forgotten at the next entry: 0 or -errno.
 * Nothing else changes, but for PDPTEs, which are read again.
 */
int pb_vcpu_flush_tlb(PbVcpu *v);

/*
 * Guest debugging: @control is KVM_GUESTDBG_* or 0 for off; up to four
 * hardware execution breakpoints at linear addresses @bp.  Must be repeated
 * before every single step (KVM adds TF only where it was asked).
 */
int pb_vcpu_debug(PbVcpu *v, uint32_t control, const uint64_t *bp,
                  unsigned bps);

/* What a debug register can be told (DR7.R/W, SDM 3B 19.2.4). */
typedef enum PbDrType {
    PB_DR_EXECUTE = 0,
    PB_DR_WRITE = 1,
    PB_DR_ACCESS = 3,
} PbDrType;

/* A processor's, for the guest and for us together. */
#define PB_VCPU_DRS 4

typedef struct PbDebugRegister {
    uint64_t addr;          /* linear */
    PbDrType type;
    unsigned len;           /* 1, 2, 4, 8; 1 for PB_DR_EXECUTE */
} PbDebugRegister;

/* The same with debug registers of any type, up to four. */
int pb_vcpu_debug_registers(PbVcpu *v, uint32_t control,
                            const PbDebugRegister *dr, unsigned n);

/*
 * Let the next entry deliver a #DB to the guest; DR6 is left as it is.  No
 * breakpoint or step is asked for any more.
 */
int pb_vcpu_queue_db(PbVcpu *v);

/* The guest's own register @i of @d: false, it is not in force. */
bool pb_vcpu_guest_dr(const struct kvm_debugregs *d, unsigned i,
                      PbDebugRegister *dr);

/* Where each of the guest's own is beside ours: register + 1; 0: nowhere. */
typedef struct PbGuestDrs {
    uint8_t at[PB_VCPU_DRS];
} PbGuestDrs;

/*
 * The guest's own of @d (@data: but those on instructions) behind the *@n of
 * ours, as far as there are registers.  Pure.
 */
void pb_vcpu_add_guest_drs(const struct kvm_debugregs *d, bool data,
                           PbDebugRegister dr[PB_VCPU_DRS], unsigned *n,
                           PbGuestDrs *g);

/* Which of the guest's own (DR6.B0 to B3, for it) @dr6 tells of.  Pure. */
uint64_t pb_vcpu_guest_hits(const PbGuestDrs *g, uint64_t dr6);

/* Off, if it was on. */
int pb_vcpu_debug_off(PbVcpu *v);

#endif /* PB_VCPU_H */
