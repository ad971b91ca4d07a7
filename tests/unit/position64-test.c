/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * position64-test.c: what a position of a 64-bit guest is, and its loops
 * without branches.
 */
#define RAM_PAGES 4

#include "pb-linear.h"
#include "position-case.h"

/* Where the RAM is once more, besides 0. */
#define KERNEL 0xffffffff80000000ull
#define START  (KERNEL + 0x1000)

#define CR0_PG 0x80000000ull
#define CR4_PAE 0x20ull

static struct kvm_regs *const regs = &run.s.regs.regs;
static struct kvm_sregs *const sregs = &run.s.regs.sregs;

static void put64(uint32_t at, uint64_t value)
{
    memcpy(ram + at, &value, 8);
}

/* In 64-bit mode; the last two pages are tables, with pages of 1 GiB. */
static void make_vcpu64(PbVcpu *v, PbMem *m)
{
    make_vcpu(v, m);
    memset(ram + 2 * PAGE, 0, 2 * PAGE);
    put64(2 * PAGE, 3 * PAGE | 1);
    put64(2 * PAGE + 8 * 511, 3 * PAGE | 1);
    put64(3 * PAGE, 0x81);
    put64(3 * PAGE + 8 * 510, 0x81);
    sregs->cr0 |= CR0_PG | PB_CR0_PE;
    sregs->cr3 = 2 * PAGE;
    sregs->cr4 = CR4_PAE;
    sregs->efer = PB_EFER_LMA;
    sregs->cs.l = 1;
    sregs->cs.db = 0;
    regs->rip = START;
    regs->rsp = KERNEL + STACK;
}

static void test_position_is_where_the_vcpu_stands(void)
{
    PbMem m;
    PbVcpu v;

    make_vcpu64(&v, &m);
    pb_check_u64(taken(&v).rip, START);
    pb_check_u64(taken(&v).cx, 3);
    pb_check_u64(taken(&v).sp, (uint32_t)KERNEL + STACK);
    pb_check_u64(taken(&v).loop, 0);
    sregs->cs.base = 0x10;                    /* none in 64-bit code */
    pb_check_u64(taken(&v).rip, START);
    sregs->cs.l = 0;
    sregs->cs.db = 1;
    pb_check_u64(taken(&v).rip, (uint32_t)START + 0x10);
    pb_counter_free(v.counter);
}

/* Whether each bit of @n registers makes another hash. */
static void check_hash(PbVcpu *v, unsigned long long *const reg[], unsigned n,
                       uint64_t all_but)
{
    uint32_t hash = taken(v).hash;
    unsigned i, bit;

    for (i = 0; i < n; i++) {
        for (bit = 0; bit < 64; bit++) {
            *reg[i] ^= 1ull << bit;
            pb_check_u64(taken(v).hash != hash, !(all_but >> bit & 1));
            *reg[i] ^= 1ull << bit;
        }
    }
    pb_check_u64(taken(v).hash, hash);
}

#define N(array) (sizeof(array) / sizeof((array)[0]))

static void test_hash_is_of_each_whole_register(void)
{
    unsigned long long *const reg[] = {
        &regs->rax, &regs->rbx, &regs->rcx, &regs->rdx, &regs->rsi,
        &regs->rdi, &regs->rbp, &regs->r8, &regs->r9, &regs->r10, &regs->r11,
        &regs->r12, &regs->r13, &regs->r14, &regs->r15, &regs->rip,
    };
    unsigned long long *const flags[] = { &regs->rflags };
    PbMem m;
    PbVcpu v;

    make_vcpu64(&v, &m);
    check_hash(&v, reg, N(reg), 0);
    check_hash(&v, flags, N(flags), PB_RFLAGS_RF | PB_RFLAGS_TF);
    pb_counter_free(v.counter);
}

/* It comes from 64-bit code and goes back there. */
static void test_hash_in_compatibility_mode_is_of_all_registers(void)
{
    unsigned long long *const reg[] = { &regs->rax, &regs->r8, &regs->r15 };
    PbMem m;
    PbVcpu v;

    make_vcpu64(&v, &m);
    sregs->cs.l = 0;
    sregs->cs.db = 1;
    check_hash(&v, reg, N(reg), 0);
    pb_counter_free(v.counter);
}

/* There they are what the last 64-bit mode left, if anything. */
static void test_hash_in_32_bit_mode_is_of_what_is_there(void)
{
    unsigned long long *const low[] = { &regs->rax, &regs->rip };
    unsigned long long *const none[] = { &regs->r8, &regs->r15 };
    PbMem m;
    PbVcpu v;

    make_vcpu(&v, &m);
    check_hash(&v, low, N(low), 0xffffffff00000000);
    check_hash(&v, none, N(none), ~0ull);
    pb_counter_free(v.counter);
}

/* The same bytes in two registers that have changed places. */
static void test_hash_tells_registers_apart(void)
{
    unsigned long long *const reg[] = {
        &regs->rax, &regs->rbx, &regs->rcx, &regs->rdx, &regs->rsi,
        &regs->rdi, &regs->rbp, &regs->r8, &regs->r9, &regs->r10, &regs->r11,
        &regs->r12, &regs->r13, &regs->r14, &regs->r15,
    };
    uint32_t hash[N(reg)];
    unsigned i, j;
    PbMem m;
    PbVcpu v;

    make_vcpu64(&v, &m);
    for (i = 0; i < N(reg); i++) {
        for (j = 0; j < N(reg); j++) {
            *reg[j] = i == j;
        }
        hash[i] = taken(&v).hash;
        for (j = 0; j < i; j++) {
            pb_check(hash[i] != hash[j]);
        }
    }
    pb_counter_free(v.counter);
}

static void test_hash_is_of_the_top_of_a_stack_above_4_gib(void)
{
    PbMem m;
    PbVcpu v;
    uint32_t hash;

    make_vcpu64(&v, &m);
    hash = taken(&v).hash;
    check_hash_of_the_stack(&v);
    sregs->ss.base = 0x40;                    /* none in 64-bit code */
    pb_check_u64(taken(&v).hash, hash);
    pb_counter_free(v.counter);
}

/* ---- loops without branches ---- */

#define DATA 0x200u          /* what an operand is, and */
#define SIZE 8u              /* its size */

/* Whether the loop of @code, with a jump back, minds just that operand. */
static void check_operand(PbVcpu *v, const char *code, unsigned len)
{
    uint32_t loop;
    unsigned i;

    put(0x1000, code, len);
    ram[0x1000 + len] = 0xeb;
    ram[0x1001 + len] = -(len + 2);
    pb_check(in_loop(v, START));
    loop = taken(v).loop;
    for (i = 0; i < SIZE + 2; i++) {
        ram[DATA - 1 + i] ^= 1;
        pb_check_u64(taken(v).loop != loop, i > 0 && i <= SIZE);
        ram[DATA - 1 + i] ^= 1;
    }
}

static void test_loop_is_of_operands_of_64_bits(void)
{
    PbMem m;
    PbVcpu v;

    make_vcpu64(&v, &m);
    regs->rbx = KERNEL + DATA;
    check_operand(&v, "\x48\xff\x03", 3);             /* incq (%rbx) */
    regs->rbx = KERNEL + DATA - 0x80;
    regs->rcx = 0x10;
    check_operand(&v, "\x48\x8b\x44\xcb\x00", 5);     /* 0(%rbx,%rcx,8) */
    regs->rbx = KERNEL + DATA + 0x80;
    check_operand(&v, "\x48\x8b\x43\x80", 4);         /* -0x80(%rbx) */
    check_operand(&v, "\x48\x8b\x04\x25\x00\x02\x00\x80", 8);
    pb_counter_free(v.counter);
}

/* Each of the new ones by its own number. */
static void test_loop_is_of_operands_by_r8_to_r15(void)
{
    unsigned long long *const reg[] = {
        &regs->r8, &regs->r9, &regs->r10, &regs->r11, &regs->r12, &regs->r13,
        &regs->r14, &regs->r15,
    };
    char by_base[] = "\x4b\x8b\x44\x2d\x00", by_index[] = "\x4a\x8b\x04\xfb";
    PbMem m;
    PbVcpu v;
    unsigned i;

    make_vcpu64(&v, &m);
    for (i = 0; i < N(reg); i++) {
        memset(&regs->r8, 0x40, sizeof(regs->r8) * N(reg));
        regs->rbx = KERNEL;
        *reg[i] = DATA / 8;
        by_index[3] = 0xc3 | i << 3;                  /* (%rbx,%rN,8) */
        check_operand(&v, by_index, 4);
        by_base[0] = 0x49;
        by_base[3] = 0x20 | i;                        /* 0(%rN) */
        *reg[i] = KERNEL + DATA;
        check_operand(&v, by_base, 5);
    }
    pb_counter_free(v.counter);
}

static void test_loop_is_of_operands_by_rip(void)
{
    PbMem m;
    PbVcpu v;

    make_vcpu64(&v, &m);
    check_operand(&v, "\x48\x8b\x05\xf9\xf1\xff\xff", 7);   /* -0xe07(%rip) */
    check_operand(&v, "\x90\x48\xff\x05\xf8\xf1\xff\xff", 8);
    /* Whose immediate lies behind the displacement. */
    check_operand(&v, "\x48\x81\x05\xf5\xf1\xff\xff\x01\x00\x00\x00", 11);
    pb_counter_free(v.counter);
}

static void test_loop_is_of_operands_by_addresses_of_32_bits(void)
{
    PbMem m;
    PbVcpu v;

    make_vcpu64(&v, &m);
    regs->rbx = KERNEL << 32 | DATA;
    check_operand(&v, "\x67\x48\x8b\x03", 4);         /* (%ebx) */
    regs->rbx = 0xffffff00;                           /* 0x300(%ebx) */
    check_operand(&v, "\x67\x48\x8b\x83\x00\x03\x00\x00", 8);
    put64(3 * PAGE + 8 * 2, 0x81);                    /* 0x80000000, too */
    check_operand(&v, "\x67\x48\x8b\x05\xf8\xf1\xff\xff", 8);   /* (%eip) */
    pb_counter_free(v.counter);
}

static void test_loop_is_of_operands_by_fs_and_gs(void)
{
    PbMem m;
    PbVcpu v;

    make_vcpu64(&v, &m);
    sregs->fs.base = KERNEL + 0x180;
    sregs->gs.base = KERNEL + 0x1c0;
    sregs->ds.base = sregs->es.base = sregs->ss.base = 0x10;
    regs->rbx = 0x80;
    check_operand(&v, "\x64\x48\x8b\x03", 4);
    regs->rbx = 0x40;
    check_operand(&v, "\x65\x48\x8b\x03", 4);
    regs->rbx = KERNEL + DATA;                        /* no base of DS, */
    check_operand(&v, "\x48\x8b\x03", 3);
    check_operand(&v, "\x26\x48\x8b\x03", 4);         /* of ES, */
    regs->rbp = KERNEL + DATA;                        /* nor of SS */
    check_operand(&v, "\x48\x8b\x45\x00", 4);
    pb_counter_free(v.counter);
}

/* The same bytes: MOV with 64 bits to a JZ, or with 32 to a jump back. */
static void test_loop_in_code_of_another_width(void)
{
    PbMem m;
    PbVcpu v;

    make_vcpu64(&v, &m);
    put(0x1000, "\x48\xb8\0\0\0\0\xeb\xf8\0\0\x74\0", 12);
    pb_check(!in_loop(&v, 0x1000));
    sregs->cs.l = 0;
    sregs->cs.db = 1;
    pb_check(in_loop(&v, 0x1000));
    sregs->cs.l = 1;
    sregs->cs.db = 0;
    pb_check(!in_loop(&v, 0x1000));
    pb_counter_free(v.counter);
}

int main(void)
{
    static const PbTest tests[] = {
        PB_TEST(position_is_where_the_vcpu_stands),
        PB_TEST(hash_is_of_each_whole_register),
        PB_TEST(hash_in_compatibility_mode_is_of_all_registers),
        PB_TEST(hash_in_32_bit_mode_is_of_what_is_there),
        PB_TEST(hash_tells_registers_apart),
        PB_TEST(hash_is_of_the_top_of_a_stack_above_4_gib),
        PB_TEST(loop_is_of_operands_of_64_bits),
        PB_TEST(loop_is_of_operands_by_r8_to_r15),
        PB_TEST(loop_is_of_operands_by_rip),
        PB_TEST(loop_is_of_operands_by_addresses_of_32_bits),
        PB_TEST(loop_is_of_operands_by_fs_and_gs),
        PB_TEST(loop_in_code_of_another_width),
    };

    return pb_tap_run(tests, sizeof(tests) / sizeof(tests[0]));
}
