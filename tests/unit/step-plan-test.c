/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * step-plan-test.c: where the breakpoints of a step go, and when TF is used;
 * and reading page tables and gates.  Pure: no KVM.
 */
#include <errno.h>

#include "step-plan-case.h"

#define CR0_EM_TS 0xcull
#define CR4_VME 0x1ull
#define CR4_PSE 0x10ull
#define CR4_SSE 0x600ull
#define RFLAGS_NT 0x4000ull

#define LDT 0x1800u

static void go_real(void)
{
    in.sregs.cr0 = 0;
    in.sregs.cs.db = in.sregs.ss.db = 0;
    in.sregs.cs.limit = in.sregs.ss.limit = 0xffff;
    in.sregs.cs.base = CODE;
    in.regs.rip = 0;
    in.sregs.idt.base = 0;
    in.sregs.idt.limit = 0x3ff;
    put32(4 * 13, 0x08000000 | 13);       /* 0800:000d */
}

static void test_plain_stops_behind_itself_or_at_a_fault(void)
{
    reset();
    pb_check_u64(PLAN(2, 0x89, 0x18), 0);
    pb_check(!plan.tf && !plan.set_rf && !plan.event);
    pb_check(stops_at(CODE + 2) && stops_at(ENTRY(13)));
    pb_check(!stops_at(ENTRY(14)));
    in.sregs.cr0 |= CR0_PG;     /* without tables: no entry can be read */
    pb_check_u64(PLAN(2, 0x89, 0x18), 0);
    pb_check_u64(plan.bps, 1);
}

static void test_branch_uses_tf_and_fault_handlers(void)
{
    reset();
    pb_check_u64(PLAN(2, 0x74, 0x10), 0);
    pb_check(plan.tf && stops_at(ENTRY(13)));
    pb_check(!stops_at(CODE + 2) && !stops_at(CODE + 0x12));
}

static void test_call_stops_at_its_target(void)
{
    reset();
    pb_check_u64(PLAN(5, 0xe8, 0, 1, 0, 0), 0);
    pb_check(!plan.tf && stops_at(CODE + 0x105));
    pb_check_u64(PLAN(5, 0xe8, 0xfb, 0xff, 0xff, 0xff), 0);
    pb_check(plan.tf && !stops_at(CODE));
}

static void test_more_faults_than_breakpoints_uses_tf(void)
{
    reset();
    in.sregs.cr4 = CR4_SSE;
    pb_check_u64(PLAN(2, 0xd9, 0xe8), 0);            /* fld1 */
    pb_check(!plan.tf && stops_at(CODE + 2) && stops_at(ENTRY(16)));
    in.sregs.cr0 |= CR0_EM_TS;
    pb_check_u64(PLAN(3, 0x0f, 0x58, 0xc1), 0);      /* addps */
    pb_check(plan.tf && plan.bps == 4);
    pb_check(stops_at(ENTRY(7)) && stops_at(ENTRY(6)) &&
             stops_at(ENTRY(19)));
}

static void test_pushf_never_meets_tf(void)
{
    reset();
    pb_check_u64(PLAN(1, 0x9c), 0);
    pb_check(!plan.tf && stops_at(CODE + 1));
    go_real();
    in.regs.rip = 0xffff;
    pb_check_u64(PLAN(1, 0x9c), 0);
    pb_check(!plan.tf);
}

static void test_ip_that_wraps_uses_tf(void)
{
    reset();
    go_real();
    in.regs.rip = 0xfffe;
    pb_check_u64(PLAN(1, 0x40), 0);
    pb_check(!plan.tf && stops_at(CODE + 0xffff));
    in.regs.rip = 0xffff;
    pb_check_u64(PLAN(1, 0x40), 0);
    pb_check(plan.tf);
}

static void test_real_mode_handlers_are_in_the_table(void)
{
    reset();
    go_real();
    pb_check_u64(PLAN(2, 0x89, 0xd8), 0);
    pb_check(stops_at(0x800d));
}

static void test_mov_ss_stops_behind_either(void)
{
    reset();
    pb_check_u64(PLAN(2, 0x8e, 0xd0, 0x89, 0xc4), 0);    /* mov esp,eax */
    pb_check(!plan.tf && stops_at(CODE + 2) && stops_at(CODE + 4));
    pb_check_u64(PLAN(2, 0x8e, 0xd0, 0x9c), 0);          /* pushf */
    pb_check(!plan.tf && stops_at(CODE + 2) && stops_at(CODE + 3));
    pb_check_u64(PLAN(2, 0x8e, 0xd0, 0xcd, 0x30), 0);    /* int */
    pb_check(!plan.tf && stops_at(CODE + 2) && stops_at(ENTRY(0x30)));
    pb_check_u64(PLAN(2, 0x8e, 0xd0, 0xe8, 0, 0, 0, 0), 0);
    pb_check(!plan.tf && stops_at(CODE + 2) && stops_at(CODE + 7));
    pb_check_u64(PLAN(1, 0x17, 0xc3), 0);                /* pop ss; ret */
    pb_check(plan.tf);
}

static void test_int_stops_at_its_gate(void)
{
    reset();
    pb_check_u64(PLAN(2, 0xcd, 0x80), 0);
    pb_check(!plan.tf && stops_at(ENTRY(0x80)) && stops_at(ENTRY(13)));
    pb_check(!stops_at(CODE + 2));
    pb_check_u64(PLAN(1, 0xce), 0);                      /* into */
    pb_check(stops_at(ENTRY(4)) && stops_at(CODE + 1));
}

static void test_int_in_virtual_8086_may_use_either_table(void)
{
    reset();
    in.regs.rflags |= PB_RFLAGS_VM;
    in.sregs.cs.db = 0;
    in.sregs.cs.base = CODE;
    in.regs.rip = 0;
    in.sregs.cr4 = CR4_VME;
    put32(4 * 0x10, 0x10000020);          /* 1000:0020 */
    pb_check_u64(PLAN(2, 0xcd, 0x10), 0);
    pb_check(stops_at(ENTRY(0x10)) && stops_at(0x10020));
}

static void test_iret_sees_tf_for_the_guest(void)
{
    reset();
    put32(STACK + 8, 0x202);
    pb_check_u64(PLAN(1, 0xcf), 0);
    pb_check(plan.tf && !plan.guest_tf);
    put32(STACK + 8, 0x302);
    pb_check_u64(PLAN(1, 0xcf), 0);
    pb_check(plan.guest_tf);
    pb_check_u64(PLAN(2, 0x66, 0xcf), 0);      /* its image is at +4 */
    pb_check(!plan.guest_tf);
}

static void test_what_cannot_be_stepped_is_refused(void)
{
    reset();
    pb_check_u64(PLAN(1, 0xf1), -EOPNOTSUPP);
}

static void test_guest_that_steps_itself_needs_no_other_tf(void)
{
    reset();
    in.regs.rflags = 2 | PB_RFLAGS_TF;
    pb_check_u64(PLAN(1, 0x90), 0);
    pb_check(plan.own_tf && !plan.tf);
    pb_check(stops_at(ENTRY(1)) && stops_at(ENTRY(13)));
    pb_check_u64(PLAN(2, 0xcd, 0x40), 0);      /* which clears TF */
    pb_check(plan.own_tf && stops_at(ENTRY(0x40)));
    in.events.interrupt.injected = 1;
    in.events.interrupt.nr = 0x30;
    pb_check_u64(PLAN(1, 0x90), 0);
    pb_check(plan.event && stops_at(ENTRY(0x30)));
}

/* The guest's debug register @i: 4 bytes that are written. */
static void watch(unsigned i)
{
    in.debug.db[i] = 0x4000 + 4 * i;
    in.debug.dr7 |= 1ull << (2 * i) | 0xdull << (16 + 4 * i);
}

static void test_what_the_guest_watches_fits_beside_the_plan(void)
{
    PbDebugRegister dr[PB_VCPU_DRS];
    uint64_t hits;

    reset();
    watch(2);
    pb_check_u64(PLAN(2, 0x89, 0x18), 0);
    pb_check(!plan.tf && stops_at(CODE + 2) && stops_at(ENTRY(13)));
    pb_check_u64(pb_step_registers(&in, &plan, dr, 1u << plan.bps, &hits), 4);
    pb_check_u64(dr[3].addr, 0x4008);
    pb_check_u64(hits, 1u << 2);
    watch(0);
    watch(1);
    pb_check_u64(PLAN(2, 0x89, 0x18), 0);
    pb_check(plan.tf && plan.bps == 1 && stops_at(ENTRY(13)));
    pb_check_u64(pb_step_registers(&in, &plan, dr, 0xc, &hits), 4);
    pb_check_u64(hits, 1u << 1 | 1u << 2);
}

static void test_mov_dr_leaves_the_debug_registers_alone(void)
{
    PbDebugRegister dr[PB_VCPU_DRS];
    uint64_t hits;

    reset();
    watch(0);
    pb_check_u64(PLAN(3, 0x0f, 0x23, 0xf8), 0);      /* mov %eax, %dr7 */
    pb_check(plan.tf && plan.bps == 0);
    pb_check_u64(pb_step_registers(&in, &plan, dr, 0xf, &hits), 0);
    pb_check_u64(hits, 0);
    in.sregs.ss.dpl = 3;                             /* a fault, then */
    pb_check_u64(PLAN(3, 0x0f, 0x23, 0xf8), 0);
    pb_check(stops_at(ENTRY(13)));
}

static void test_another_task_begins_where_its_tss_says(void)
{
    reset();
    put32(GDT + 0x30, 0x30000067);             /* a TSS at 0x3000, */
    put32(GDT + 0x34, 0x8900);
    put32(0x3000 + 0x20, 0x1234);              /* its EIP, CS */
    put32(0x3000 + 0x4c, 8);
    put32(IDT + 8 * 0x30, 0x300000);           /* and a task gate */
    put32(IDT + 8 * 0x30 + 4, 0x8500);
    pb_check_u64(PLAN(2, 0xcd, 0x30), 0);
    pb_check(!plan.tf && stops_at(0x1234));
    in.events.interrupt.injected = 1;
    in.events.interrupt.nr = 0x30;
    pb_check_u64(PLAN(1, 0x90), 0);
    pb_check(plan.event && stops_at(0x1234));
    in.events.interrupt.injected = 0;
    put32(GDT + 0x34, 0x8100);                 /* one of 16 bits */
    put32(0x3000 + 0x0c, 0x4321u << 16);
    put32(0x3000 + 0x24, 8);
    pb_check_u64(PLAN(2, 0xcd, 0x30), 0);
    pb_check(!plan.tf && stops_at(0x4321));
    in.sregs.gdt.limit = 0x2f;                 /* none */
    pb_check_u64(PLAN(2, 0xcd, 0x30), 0);
    pb_check(!stops_at(0x4321) && stops_at(ENTRY(13)));
    in.regs.rflags |= RFLAGS_NT;               /* back to a task */
    put32(STACK + 8, PB_RFLAGS_TF);
    pb_check_u64(PLAN(1, 0xcf), 0);
    pb_check(plan.tf && !plan.guest_tf);
}

static void test_handler_where_it_starts_needs_rf(void)
{
    reset();
    in.regs.rip = ENTRY(6);
    pb_check_u64(PLAN(2, 0x0f, 0x0b), 0);
    pb_check(plan.set_rf && stops_at(ENTRY(6)));
}

static void test_waiting_event_goes_first(void)
{
    reset();
    in.events.interrupt.injected = 1;
    in.events.interrupt.nr = 0x40;
    pb_check_u64(PLAN(2, 0x74, 0x10), 0);
    pb_check(plan.event && !plan.tf && stops_at(ENTRY(0x40)));
    in.events.nmi.pending = 1;
    pb_check_u64(PLAN(2, 0x74, 0x10), 0);
    pb_check(stops_at(ENTRY(0x40)) && stops_at(ENTRY(2)));
    in.events.exception.injected = 1;
    in.events.exception.nr = 14;
    pb_check_u64(PLAN(2, 0x74, 0x10), 0);
    pb_check_u64(plan.bp[0], ENTRY(14));
    in.events = (struct kvm_vcpu_events) { .nmi = { .pending = 1,
                                                    .masked = 1 } };
    pb_check_u64(PLAN(2, 0x74, 0x10), 0);
    pb_check(!plan.event);
}

/* ---- tables ---- */

static void test_walk_of_two_levels(void)
{
    reset();
    in.sregs.cr0 |= CR0_PG;
    in.sregs.cr3 = TABLES;
    put32(TABLES + 4 * 0x300, (TABLES + 0x1000) | 1);
    put32(TABLES + 0x1000 + 4 * 0x12, 0x5678000 | 1);
    put32(TABLES + 4 * 0x301, 0x00c00000 | 0x81);    /* 4 MiB */
    pb_check_u64(walk(0xc0012345), 0x5678345);
    pb_check_u64(walk(0xc0013345), ~0ull);
    pb_check_u64(walk(0x12345), ~0ull);
    in.sregs.cr4 = CR4_PSE;
    pb_check_u64(walk(0xc0412345), 0xc12345);
}

static void test_walk_with_pae(void)
{
    reset();
    in.sregs.cr0 |= CR0_PG;
    in.sregs.cr4 = CR4_PAE;
    in.sregs.cr3 = TABLES + 0x20;
    put64(TABLES + 0x20 + 8 * 3, (TABLES + 0x1000) | 1);
    put64(TABLES + 0x1000, (TABLES + 0x2000) | 1);
    put64(TABLES + 0x2000 + 8 * 0x12, 0x8000000123456001ull);
    put64(TABLES + 0x1000 + 8, 0x200000 | 0x81);     /* 2 MiB */
    pb_check_u64(walk(0xc0012345), 0x123456345);
    pb_check_u64(walk(0xc0212345), 0x212345);
    pb_check_u64(walk(0xc0013345), ~0ull);
    pb_check_u64(walk(0x80013345), ~0ull);
}

static void test_read_stops_at_an_unmapped_page(void)
{
    uint8_t buf[16];

    reset();
    in.sregs.cr0 |= CR0_PG;
    in.sregs.cr3 = TABLES;
    put32(TABLES, (TABLES + 0x1000) | 1);
    put32(TABLES + 0x1000 + 4, 0x3000 | 1);
    ram[0x3ffe] = 0xab;
    pb_check_u64(pb_tables_read(&mem, &in.sregs, 0x1ffe, buf, 16), 2);
    pb_check_u64(buf[0], 0xab);
    pb_check_u64(pb_tables_write(&mem, &in.sregs, 0x1fff, buf, 2), 1);
    pb_check_u64(ram[0x3fff], 0xab);
}

static void test_gates(void)
{
    PbGate gate;

    reset();
    put32(LDT + 8, 0x20000000);                  /* base 0x102000 */
    put32(LDT + 12, 0x00cf9b10);
    in.sregs.ldt.base = LDT;
    in.sregs.ldt.limit = 0xf;
    put32(IDT + 8 * 0x50, 0x000c1234);           /* selector in the LDT */
    put32(IDT + 8 * 0x50 + 4, 0x00058f00);       /* trap gate */
    gate = pb_tables_gate(&mem, &in.sregs, 0x50);
    pb_check_u64(gate.kind, PB_GATE_ENTRY);
    pb_check_u64(gate.entry, 0x102000 + 0x51234);
    pb_check_u64(gate.bits, 32);
    put32(IDT + 8 * 0x50 + 4, 0x00058600);       /* 16-bit gate */
    gate = pb_tables_gate(&mem, &in.sregs, 0x50);
    pb_check_u64(gate.entry, 0x102000 + 0x1234);
    pb_check_u64(gate.bits, 16);
    put32(IDT + 8 * 0x50 + 4, 0x00050e00);       /* not present */
    pb_check_u64(pb_tables_gate(&mem, &in.sregs, 0x50).kind, PB_GATE_NONE);
    in.sregs.idt.limit = 8 * 0x51 - 2;
    put32(IDT + 8 * 0x50 + 4, 0x00058e00);       /* beyond the limit */
    pb_check_u64(pb_tables_gate(&mem, &in.sregs, 0x50).kind, PB_GATE_NONE);
}

int main(void)
{
    static const PbTest tests[] = {
        PB_TEST(plain_stops_behind_itself_or_at_a_fault),
        PB_TEST(branch_uses_tf_and_fault_handlers),
        PB_TEST(call_stops_at_its_target),
        PB_TEST(more_faults_than_breakpoints_uses_tf),
        PB_TEST(pushf_never_meets_tf),
        PB_TEST(ip_that_wraps_uses_tf),
        PB_TEST(real_mode_handlers_are_in_the_table),
        PB_TEST(mov_ss_stops_behind_either),
        PB_TEST(int_stops_at_its_gate),
        PB_TEST(int_in_virtual_8086_may_use_either_table),
        PB_TEST(iret_sees_tf_for_the_guest),
        PB_TEST(guest_that_steps_itself_needs_no_other_tf),
        PB_TEST(what_the_guest_watches_fits_beside_the_plan),
        PB_TEST(mov_dr_leaves_the_debug_registers_alone),
        PB_TEST(what_cannot_be_stepped_is_refused),
        PB_TEST(another_task_begins_where_its_tss_says),
        PB_TEST(handler_where_it_starts_needs_rf),
        PB_TEST(waiting_event_goes_first),
        PB_TEST(walk_of_two_levels),
        PB_TEST(walk_with_pae),
        PB_TEST(read_stops_at_an_unmapped_page),
        PB_TEST(gates),
    };

    return pb_tap_run(tests, sizeof(tests) / sizeof(tests[0]));
}
