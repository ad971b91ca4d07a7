/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-tables.h: what the guest's own tables say: page tables, IDT, GDT/LDT.
 *
 * Everything is read from the VM's RAM.  KVM_TRANSLATE is not used: its walk
 * sets Accessed bits in the guest's page tables (Linux
 * arch/x86/kvm/mmu/paging_tmpl.h), and a look from outside must not change
 * the guest.  Pure over memory and registers; any thread, while the vCPU
 * does not run.
 */
#ifndef PB_TABLES_H
#define PB_TABLES_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "pb-mem.h"

/*
 * Guest physical address behind linear address @linear.  False when it is
 * not mapped.  Access rights are not looked at.
 */
bool pb_tables_walk(const PbMem *mem, const struct kvm_sregs *sregs,
                    uint64_t linear, uint64_t *gpa);

/*
 * Copy @len bytes from linear address @linear (wraps).  Returns the
 * bytes copied: fewer when a page is not mapped or is not RAM.
 */
unsigned pb_tables_read(const PbMem *mem, const struct kvm_sregs *sregs,
                        uint64_t linear, void *buf, unsigned len);

/* Whether the @len bytes at @linear can be read and are those at @buf. */
bool pb_tables_equal(const PbMem *mem, const struct kvm_sregs *sregs,
                     uint64_t linear, const void *buf, unsigned len);

/* Write likewise. */
unsigned pb_tables_write(const PbMem *mem, const struct kvm_sregs *sregs,
                         uint64_t linear, const void *buf, unsigned len);

/* Where a TSS of 32 and of 16 bits has what (SDM 3A 8.2.1, 8.6). */
#define PB_TSS32_EIP    0x20
#define PB_TSS32_EFLAGS 0x24
#define PB_TSS32_CS     0x4c
#define PB_TSS16_IP     0x0e
#define PB_TSS16_FLAGS  0x10
#define PB_TSS16_CS     0x24

typedef enum PbGateKind {
    PB_GATE_NONE,         /* beyond the limit, not present or no gate */
    PB_GATE_ENTRY,        /* interrupt or trap gate, or the real-mode table */
    PB_GATE_TASK,         /* another task's TSS is loaded; nothing is pushed */
} PbGateKind;

typedef struct PbGate {
    PbGateKind kind;
    uint64_t entry;       /* linear address of the first instruction */
    unsigned bits;        /* 16, 32 or 64: size of what it pushes */
} PbGate;

/* Where an event with @vector goes. */
PbGate pb_tables_gate(const PbMem *mem, const struct kvm_sregs *sregs,
                      uint8_t vector);

/*
 * The real-mode table's entry for @vector at linear address 0, where
 * virtual-8086 mode may send INT n (CR4.VME).
 */
PbGate pb_tables_vm86_gate(const PbMem *mem, const struct kvm_sregs *sregs,
                           uint8_t vector);

#endif /* PB_TABLES_H */
