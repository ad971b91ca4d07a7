/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * step-plan64-test.c: where the breakpoints of a step in 64-bit code go, and
 * when TF is used; page tables of four and five levels, and gates of 16 bytes.
 * Pure: no KVM.
 */
#include "pb-linear.h"
#include "step-plan-case.h"

#define CR4_LA57 0x1000ull

/* Where the kernel has its code: RAM_SIZE from here on is RAM. */
#define KERNEL 0xffffffff80000000ull
#define START  (KERNEL + CODE)

/* The handler of vector n, as the IDT below has it. */
#define ENTRY64(n) (KERNEL + ENTRY(n))

static void put_gate(unsigned vector, uint64_t entry, uint32_t type)
{
    uint32_t at = IDT + 16 * vector;

    put32(at, 0x00080000 | (entry & 0xffff));
    put32(at + 4, (entry & 0xffff0000) | type);
    put64(at + 8, entry >> 32);
}

/* 64-bit mode in ring 0, with RAM at 0 and at KERNEL. */
static void reset64(void)
{
    unsigned i;

    reset();
    in.sregs.cr0 |= CR0_PG;
    in.sregs.cr4 = CR4_PAE;
    in.sregs.cr3 = TABLES;
    in.sregs.efer = PB_EFER_LMA;
    in.sregs.cs.l = 1;
    in.sregs.cs.db = 0;
    put64(TABLES, (TABLES + 0x1000) | 1);
    put64(TABLES + 8 * 511, (TABLES + 0x1000) | 1);
    put64(TABLES + 0x1000, 0x81);                    /* 1 GiB */
    put64(TABLES + 0x1000 + 8 * 510, 0x81);
    for (i = 0; i < 256; i++) {
        put_gate(i, ENTRY64(i), 0x8e00);
    }
    in.sregs.idt.base = KERNEL + IDT;
    in.sregs.idt.limit = 0xfff;
    in.regs.rip = START;
    in.regs.rsp = KERNEL + STACK;
}

/* Compatibility mode: 32-bit code of a 64-bit kernel. */
static void go_compatible(void)
{
    in.sregs.cs.l = 0;
    in.sregs.cs.db = 1;
    in.regs.rip = CODE;
    in.regs.rsp = STACK;
}

static void test_plain_stops_behind_itself_above_4_gib(void)
{
    reset64();
    pb_check_u64(PLAN(3, 0x48, 0x89, 0x18), 0);
    pb_check_u64(plan.start, START);
    pb_check(!plan.tf && !plan.set_rf && stops_at(START + 3));
    in.regs.rip = 0xfffffffe;
    pb_check_u64(PLAN(3, 0x48, 0x89, 0x18), 0);
    pb_check(!plan.tf && stops_at(0x100000001));
}

static void test_faults_stop_at_gates_of_16_bytes(void)
{
    reset64();
    pb_check_u64(PLAN(3, 0x48, 0x89, 0x18), 0);
    pb_check(stops_at(ENTRY64(13)) && stops_at(ENTRY64(14)));
    pb_check_u64(PLAN(2, 0x74, 0x10), 0);
    pb_check(plan.tf && stops_at(ENTRY64(13)) && stops_at(ENTRY64(14)));
    pb_check_u64(PLAN(2, 0x0f, 0x0b), 0);
    pb_check(stops_at(ENTRY64(6)));
    pb_check_u64(PLAN(2, 0xcd, 0x80), 0);
    pb_check(!plan.tf && stops_at(ENTRY64(0x80)));
}

/* A segment's base is none in 64-bit code, though the register has one. */
static void test_base_of_cs_counts_in_compatibility_mode_alone(void)
{
    reset64();
    pb_check_u64(PLAN(1, 0x90), 0);
    in.sregs.cs.base = 0x1000;
    pb_check_u64(pb_step_plan(&in, &plan), 0);
    pb_check(plan.start == START && stops_at(START + 1));
    go_compatible();
    pb_check_u64(PLAN(1, 0x90), 0);
    pb_check(plan.start == CODE + 0x1000 && stops_at(CODE + 0x1001));
    pb_check(stops_at(ENTRY64(13)));
}

static void test_call_stops_at_its_target_above_4_gib(void)
{
    reset64();
    pb_check_u64(PLAN(5, 0xe8, 0, 1, 0, 0), 0);
    pb_check(!plan.tf && stops_at(START + 0x105));
    pb_check_u64(PLAN(5, 0xe8, 0xfb, 0xff, 0xff, 0xff), 0);
    pb_check(plan.tf && !stops_at(START));
}

static void test_branch_of_16_bits_uses_tf(void)
{
    reset64();
    pb_check_u64(PLAN(0, 0x66, 0xe9, 0, 1, 0, 0), 0);
    pb_check(plan.tf && stops_at(ENTRY64(14)) && stops_at(ENTRY64(6)));
}

static void test_sysret_stops_where_rcx_says(void)
{
    reset64();
    in.regs.rcx = 0x7f0012345678;
    pb_check_u64(PLAN(3, 0x48, 0x0f, 0x07), 0);
    pb_check(!plan.tf && !plan.own_tf && stops_at(0x7f0012345678));
    pb_check(stops_at(ENTRY64(13)) && !stops_at(START + 3));
    pb_check_u64(PLAN(2, 0x0f, 0x07), 0);       /* to 32-bit code: ECX */
    pb_check(!plan.tf && stops_at(0x12345678));
    pb_check(!stops_at(0x7f0012345678));
}

static void test_syscall_stops_at_its_target(void)
{
    reset64();
    pb_check_u64(PLAN(2, 0x0f, 0x05), 0);
    in.insn.target = KERNEL + 0x3000;           /* as LSTAR has it */
    pb_check_u64(pb_step_plan(&in, &plan), 0);
    pb_check(!plan.tf && stops_at(KERNEL + 0x3000));
    pb_check(stops_at(ENTRY64(13)) && !stops_at(START + 2));
}

/* They may clear TF: then there is no trap behind them. */
static void test_guest_that_steps_itself_over_syscall_and_sysret(void)
{
    reset64();
    in.regs.rflags |= PB_RFLAGS_TF;
    pb_check_u64(PLAN(2, 0x0f, 0x05), 0);
    in.insn.target = KERNEL + 0x3000;
    pb_check_u64(pb_step_plan(&in, &plan), 0);
    pb_check(plan.own_tf && !plan.tf && stops_at(KERNEL + 0x3000));
    pb_check(stops_at(ENTRY64(1)) && stops_at(ENTRY64(13)));
    in.regs.rcx = 0x7f0012345678;
    pb_check_u64(PLAN(3, 0x48, 0x0f, 0x07), 0);
    pb_check(plan.own_tf && !plan.tf && stops_at(0x7f0012345678));
    pb_check(stops_at(ENTRY64(1)) && stops_at(ENTRY64(13)));
}

static void test_tf_that_sysret_loads_is_the_guests(void)
{
    reset64();
    pb_check_u64(PLAN(3, 0x48, 0x0f, 0x07), 0);
    pb_check(!plan.own_tf);
    in.regs.r11 = 2 | PB_RFLAGS_TF;             /* traps at once */
    pb_check_u64(PLAN(3, 0x48, 0x0f, 0x07), 0);
    pb_check(plan.own_tf && !plan.tf);
}

static void test_iretq_sees_tf_for_the_guest(void)
{
    reset64();
    put64(STACK + 16, 0x202);
    put64(STACK + 8, PB_RFLAGS_TF);             /* where IRETD's is */
    pb_check_u64(PLAN(2, 0x48, 0xcf), 0);
    pb_check(plan.tf && !plan.guest_tf);
    pb_check_u64(PLAN(1, 0xcf), 0);
    pb_check(plan.tf && plan.guest_tf);
    put64(STACK + 16, 0x302);
    put64(STACK + 8, 0);
    pb_check_u64(PLAN(2, 0x48, 0xcf), 0);
    pb_check(plan.guest_tf);
    in.sregs.ss.base = 0x100;                   /* which counts for nothing */
    pb_check_u64(PLAN(2, 0x48, 0xcf), 0);
    pb_check(plan.guest_tf);
}

static void test_mov_ss_stops_behind_either(void)
{
    reset64();
    pb_check_u64(PLAN(2, 0x8e, 0xd0, 0x48, 0x89, 0xc4), 0);
    pb_check(!plan.tf && stops_at(START + 2) && stops_at(START + 5));
    pb_check_u64(PLAN(2, 0x8e, 0xd0, 0xe8, 0, 0, 0, 0), 0);
    pb_check(!plan.tf && stops_at(START + 2) && stops_at(START + 7));
    pb_check_u64(PLAN(2, 0x8e, 0xd0, 0xcd, 0x30), 0);
    pb_check(!plan.tf && stops_at(START + 2) && stops_at(ENTRY64(0x30)));
    pb_check_u64(PLAN(2, 0x8e, 0xd0, 0xc3), 0);
    pb_check(plan.tf);
    in.regs.rcx = START + 0x1000;
    pb_check_u64(PLAN(2, 0x8e, 0xd0, 0x48, 0x0f, 0x07), 0);
    pb_check(!plan.tf && stops_at(START + 2) && stops_at(START + 0x1000));
}

static void test_stack_at_no_address_may_raise_ss(void)
{
    reset64();
    pb_check_u64(PLAN(3, 0x4c, 0x89, 0x18), 0);
    pb_check(!stops_at(ENTRY64(12)));
    in.regs.rbp = 1ull << 47;
    pb_check_u64(PLAN(3, 0x4c, 0x89, 0x18), 0);
    pb_check(stops_at(ENTRY64(12)));
    in.regs.rbp = ~0ull << 47;
    pb_check_u64(PLAN(3, 0x4c, 0x89, 0x18), 0);
    pb_check(!stops_at(ENTRY64(12)));
}

static void test_waiting_event_stops_at_its_gate(void)
{
    reset64();
    in.events.interrupt.injected = 1;
    in.events.interrupt.nr = 0xff;
    pb_check_u64(PLAN(1, 0x90), 0);
    pb_check(plan.event && stops_at(ENTRY64(0xff)));
    pb_check(!stops_at(START + 1));
}

/* The guest's debug register 1, as DR7 has its type and its length. */
static PbDebugRegister watched(unsigned how)
{
    PbDebugRegister dr[PB_VCPU_DRS] = { 0 };
    uint64_t hits;

    in.debug.db[1] = KERNEL + 0x4008;
    in.debug.dr7 = 0x4 | (uint64_t)how << 20;
    plan.bps = 0;
    pb_check_u64(pb_step_registers(&in, &plan, dr, 0, &hits), 1);
    return dr[0];
}

static void test_guest_watches_eight_bytes_above_4_gib(void)
{
    reset64();
    pb_check_u64(PLAN(1, 0x90), 0);
    pb_check_u64(watched(0x9).addr, KERNEL + 0x4008);
    pb_check_u64(watched(0x9).len, 8);
    pb_check_u64(watched(0x9).type, PB_DR_WRITE);
    pb_check_u64(watched(0xf).len, 4);
    pb_check_u64(watched(0x7).len, 2);
    pb_check_u64(watched(0x1).len, 1);
}

/* ---- tables ---- */

/* Of each level one, below TABLES: the last maps @linear to @page. */
static void map(uint64_t linear, unsigned levels, uint64_t page)
{
    uint32_t at = TABLES;

    memset(ram + TABLES, 0, 0x6000);
    for (; levels; levels--, at += 0x1000) {
        put64(at + (linear >> (3 + 9 * levels) & 0x1ff) * 8,
              levels > 1 ? (at + 0x1000) | 1 : page);
    }
}

static void test_walk_of_four_levels(void)
{
    reset64();
    map(0xffff888012345000, 4, 0x8000000123456001);
    pb_check_u64(walk(0xffff888012345678), 0x123456678);
    pb_check_u64(walk(0xffff888012346678), ~0ull);
    pb_check_u64(walk(0xffff888012545678), ~0ull);
    pb_check_u64(walk(0xffff888052345678), ~0ull);
    pb_check_u64(walk(0xffff808012345678), ~0ull);
    in.sregs.cr3 = TABLES | 0xabc | 1ull << 63;      /* a PCID */
    pb_check_u64(walk(0xffff888012345678), 0x123456678);
    map(0x00007f0012345000, 4, 0x000ffffffffff001);
    pb_check_u64(walk(0x00007f0012345678), 0x000ffffffffff678);
}

static void test_walk_of_five_levels(void)
{
    reset64();
    in.sregs.cr4 |= CR4_LA57;
    map(0xff11000012345000, 5, 0x123456001);
    pb_check_u64(walk(0xff11000012345678), 0x123456678);
    pb_check_u64(walk(0xff12000012345678), ~0ull);
    in.sregs.cr4 &= ~CR4_LA57;
    pb_check_u64(walk(0xff11000012345678), ~0ull);
}

static void test_walk_to_a_page_of_2_mib(void)
{
    reset64();
    map(0xffffffff81200000, 4, 0);
    put64(TABLES + 0x2000 + 8 * 9, 0x8000000123401081);   /* with PAT */
    pb_check_u64(walk(0xffffffff813aacde), 0x1235aacde);
    pb_check_u64(walk(0xffffffff814aacde), ~0ull);
}

static void test_walk_to_a_page_of_1_gib(void)
{
    reset64();
    map(0xffff888040000000, 4, 0);
    put64(TABLES + 0x1000 + 8, 0x8000000240001081);
    pb_check_u64(walk(0xffff88807abccef0), 0x27abccef0);
    pb_check_u64(walk(0xffff88808abccef0), ~0ull);
}

/* Where an entry of 512 GiB or of a page has no such bit. */
static void test_walk_minds_page_sizes_at_two_levels_alone(void)
{
    reset64();
    map(0x12345000, 4, 0x123456081);
    put64(TABLES, (TABLES + 0x1000) | 0x81);
    pb_check_u64(walk(0x12345678), 0x123456678);
}

static void test_walk_finds_nothing_at_an_address_not_canonical(void)
{
    reset64();
    map(0x0000800000000000, 4, 0x5001);              /* entry 256, of half */
    pb_check_u64(walk(0x0000800000000123), ~0ull);
    pb_check_u64(walk(0xffff800000000123), 0x5123);
    pb_check_u64(walk(0xfffe800000000123), ~0ull);
    pb_check_u64(walk(0x8000800000000123), ~0ull);
    in.sregs.cr4 |= CR4_LA57;
    map(0x0100000000000000, 5, 0x5001);
    pb_check_u64(walk(0x0100000000000123), ~0ull);
    pb_check_u64(walk(0xff00000000000123), 0x5123);
    map(0x0000800000000000, 5, 0x5001);
    pb_check_u64(walk(0x0000800000000123), 0x5123);
}

static void test_read_goes_on_where_the_next_page_lies(void)
{
    uint8_t buf[16];

    reset64();
    map(0x12345000, 4, 0x5001);
    put64(TABLES + 0x3000 + 8 * 0x146, 0x3001);
    memset(ram + 0x5ff8, 0xab, 8);
    memset(ram + 0x3000, 0xcd, 8);
    pb_check_u64(pb_tables_read(&mem, &in.sregs, 0x12345ff8, buf, 16), 16);
    pb_check(buf[7] == 0xab && buf[8] == 0xcd);
    put64(TABLES + 0x3000 + 8 * 0x146, 0);
    pb_check_u64(pb_tables_read(&mem, &in.sregs, 0x12345ff8, buf, 16), 8);
}

static PbGate gate_of(unsigned vector)
{
    return pb_tables_gate(&mem, &in.sregs, vector);
}

static void test_gates_of_16_bytes(void)
{
    reset64();
    put_gate(0x50, 0x8123456789abcdef, 0x8f03);      /* trap, IST */
    pb_check_u64(gate_of(0x50).kind, PB_GATE_ENTRY);
    pb_check_u64(gate_of(0x50).entry, 0x8123456789abcdef);
    pb_check_u64(gate_of(0x50).bits, 64);
    put_gate(0x50, ENTRY64(0x50), 0xee00);           /* interrupt, DPL 3 */
    pb_check_u64(gate_of(0x50).entry, ENTRY64(0x50));
    go_compatible();
    pb_check_u64(gate_of(0x50).entry, ENTRY64(0x50));
    pb_check_u64(gate_of(0x50).bits, 64);
}

static void test_gates_that_64_bit_mode_refuses(void)
{
    static const uint32_t types[] = { 0x0e00, 0x8500, 0x8600, 0x8700, 0x8c00,
                                      0x9e00 };
    unsigned i;

    reset64();
    for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        put_gate(0x50, ENTRY64(0x50), types[i]);
        pb_check_u64(gate_of(0x50).kind, PB_GATE_NONE);
    }
    put_gate(0x50, ENTRY64(0x50), 0x8e00);
    in.sregs.idt.limit = 16 * 0x51 - 1;
    pb_check_u64(gate_of(0x50).kind, PB_GATE_ENTRY);
    in.sregs.idt.limit = 16 * 0x51 - 2;              /* beyond the limit */
    pb_check_u64(gate_of(0x50).kind, PB_GATE_NONE);
}

int main(void)
{
    static const PbTest tests[] = {
        PB_TEST(plain_stops_behind_itself_above_4_gib),
        PB_TEST(faults_stop_at_gates_of_16_bytes),
        PB_TEST(base_of_cs_counts_in_compatibility_mode_alone),
        PB_TEST(call_stops_at_its_target_above_4_gib),
        PB_TEST(branch_of_16_bits_uses_tf),
        PB_TEST(sysret_stops_where_rcx_says),
        PB_TEST(syscall_stops_at_its_target),
        PB_TEST(guest_that_steps_itself_over_syscall_and_sysret),
        PB_TEST(tf_that_sysret_loads_is_the_guests),
        PB_TEST(iretq_sees_tf_for_the_guest),
        PB_TEST(mov_ss_stops_behind_either),
        PB_TEST(stack_at_no_address_may_raise_ss),
        PB_TEST(waiting_event_stops_at_its_gate),
        PB_TEST(guest_watches_eight_bytes_above_4_gib),
        PB_TEST(walk_of_four_levels),
        PB_TEST(walk_of_five_levels),
        PB_TEST(walk_to_a_page_of_2_mib),
        PB_TEST(walk_to_a_page_of_1_gib),
        PB_TEST(walk_minds_page_sizes_at_two_levels_alone),
        PB_TEST(walk_finds_nothing_at_an_address_not_canonical),
        PB_TEST(read_goes_on_where_the_next_page_lies),
        PB_TEST(gates_of_16_bytes),
        PB_TEST(gates_that_64_bit_mode_refuses),
    };

    return pb_tap_run(tests, sizeof(tests) / sizeof(tests[0]));
}
