/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * position-case.h: a vCPU that stands somewhere, with RAM_PAGES of RAM.  No
 * KVM.
 */
#ifndef POSITION_CASE_H
#define POSITION_CASE_H

#include "branch-counter.h"
#include "pb-position.h"
#include "pb-tap.h"

#define PAGE 4096u
#define STACK 0x800u

#ifndef RAM_PAGES
#define RAM_PAGES 2
#endif

static uint8_t ram[RAM_PAGES * PAGE];         /* all NOP: no loop at RIP */
static struct kvm_run run;

/* A vCPU without paging, of which all is known. */
static void make_vcpu(PbVcpu *v, PbMem *m)
{
    const PbSlotChange slot = { .size = sizeof(ram) };
    struct kvm_regs *r = &run.s.regs.regs;
    char why[200];
    unsigned i;

    memset(ram, 0x90, sizeof(ram));
    for (i = 0; i < PB_POSITION_STACK; i++) {
        ram[STACK + i] = i;
    }
    memset(m, 0, sizeof(*m));
    pb_mem_add_block(m, "ram", ram, sizeof(ram));
    pb_mem_set_slot(m, 0, &slot);
    memset(&run, 0, sizeof(run));
    run.s.regs.sregs.cs.db = 1;
    *r = (struct kvm_regs) { .rax = 1, .rbx = 2, .rcx = 3, .rdx = 4, .rsi = 5,
                             .rdi = 6, .rbp = 7, .rsp = STACK, .rip = 0x1000,
                             .rflags = 0x202 };
    *v = (PbVcpu) { .fd = -1, .vm_fd = -1, .run = &run, .mem = m,
                    .known = PB_VCPU_SYNC };
    pb_check(pb_counter_new(v, PB_COUNTER_STEP, NULL, why, sizeof(why)));
}

static PbPosition taken(PbVcpu *v)
{
    PbPosition p = { .branches = 0 };

    pb_check(pb_position_take_whole(v, &p) == 0);
    return p;
}

/* Of so many bytes and no more. */
static void check_hash_of_the_stack(PbVcpu *v)
{
    uint32_t hash = taken(v).hash;
    unsigned i;

    for (i = 0; i < PB_POSITION_STACK; i++) {
        ram[STACK + i] ^= 0x10;
        pb_check(taken(v).hash != hash);
        ram[STACK + i] ^= 0x10;
    }
    ram[STACK - 1] ^= 1;
    ram[STACK + PB_POSITION_STACK] ^= 1;
    pb_check_u64(taken(v).hash, hash);
}

static void put(uint32_t at, const char *code, unsigned len)
{
    memcpy(ram + at, code, len);
}

static bool in_loop(PbVcpu *v, uint64_t rip)
{
    run.s.regs.regs.rip = rip;
    return taken(v).loop != 0;
}

#endif /* POSITION_CASE_H */
