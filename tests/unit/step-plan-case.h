/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * step-plan-case.h: a guest's registers and memory, and the plan of a step
 * there.  Pure: no KVM.
 */
#ifndef STEP_PLAN_CASE_H
#define STEP_PLAN_CASE_H

#include <string.h>

#include "pb-step-plan.h"
#include "pb-tables.h"
#include "pb-tap.h"

#define CR0_PE 0x1ull
#define CR0_PG 0x80000000ull
#define CR4_PAE 0x20ull

#define RAM_SIZE 0x40000u
#define GDT 0x1000u
#define IDT 0x2000u
#define TABLES 0x10000u
#define CODE 0x20000u
#define STACK 0x30000u

/* The handler of vector n, as the IDT below has it. */
#define ENTRY(n) (0x8000u + 16 * (n))

static uint8_t ram[RAM_SIZE];
static PbMem mem;
static PbStepInput in;
static PbStepPlan plan;

static void put32(uint32_t at, uint32_t value)
{
    memcpy(ram + at, &value, 4);
}

static void put64(uint32_t at, uint64_t value)
{
    memcpy(ram + at, &value, 8);
}

/* Flat 32-bit protected mode in ring 0, without paging. */
static void reset(void)
{
    PbSlotChange slot = { .gpa = 0, .size = RAM_SIZE };
    unsigned i;

    memset(ram, 0, sizeof(ram));
    memset(&mem, 0, sizeof(mem));
    memset(&in, 0, sizeof(in));
    pb_check(pb_mem_add_block(&mem, "ram", ram, RAM_SIZE));
    pb_mem_set_slot(&mem, 0, &slot);
    put32(GDT + 8, 0x0000ffff);
    put32(GDT + 12, 0x00cf9b00);
    for (i = 0; i < 256; i++) {
        put32(IDT + 8 * i, 0x00080000 | ENTRY(i));
        put32(IDT + 8 * i + 4, 0x8e00);
    }
    in.mem = &mem;
    in.regs.rip = CODE;
    in.regs.rsp = STACK;
    in.regs.rflags = 2;
    in.sregs.cr0 = CR0_PE;
    in.sregs.cs.db = in.sregs.ss.db = 1;
    in.sregs.cs.limit = in.sregs.ss.limit = 0xffffffff;
    in.sregs.gdt.base = GDT;
    in.sregs.gdt.limit = 0xff;
    in.sregs.idt.base = IDT;
    in.sregs.idt.limit = 0x7ff;
}

static int make_plan(const void *code, unsigned len, unsigned first)
{
    unsigned bits = in.sregs.cs.l ? 64 : in.sregs.cs.db ? 32 : 16;
    uint64_t pc = in.sregs.cs.base + in.regs.rip;

    pb_insn_decode(&in.insn, code, len, pc, in.sregs.cs.base, bits);
    pb_check_u64(in.insn.len, first);
    if (first < len) {
        pb_insn_decode(&in.after, (const uint8_t *)code + first, len - first,
                       pc + first, in.sregs.cs.base, bits);
    }
    return pb_step_plan(&in, &plan);
}

/* Plan for the instruction of @first bytes; the rest is what follows it. */
#define PLAN(first, ...) \
    make_plan((const uint8_t[]) { __VA_ARGS__ }, \
              sizeof((const uint8_t[]) { __VA_ARGS__ }), first)

static bool stops_at(uint64_t addr)
{
    unsigned i;

    for (i = 0; i < plan.bps; i++) {
        if (plan.bp[i] == addr) {
            return true;
        }
    }
    return false;
}

static uint64_t walk(uint64_t linear)
{
    uint64_t gpa;

    return pb_tables_walk(&mem, &in.sregs, linear, &gpa) ? gpa : ~0ull;
}

#endif /* STEP_PLAN_CASE_H */
