/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * insn64-test.c: decoding one instruction of 64-bit code, where that is not
 * what it is in other code.
 */
#define PC 0xffffffff81000000ull
#define RANDOM 2000

#include "insn-case.h"

static void test_rex_belongs_to_its_instruction(void)
{
    CHECK(64, PLAIN, 3, BYTES(0x48, 0x89, 0xd8));         /* mov rax,rbx */
    CHECK(64, PLAIN, 2, BYTES(0x40, 0x90));
    CHECK(64, PLAIN, 2, BYTES(0x41, 0x57));               /* push r15 */
    CHECK(64, PLAIN, 4, BYTES(0x66, 0x45, 0x89, 0xc1));   /* mov r9w,r8w */
    CHECK(64, PLAIN, 4, BYTES(0x4c, 0x0f, 0xaf, 0xc0));   /* imul r8,rax */
    CHECK(64, PLAIN, 5, BYTES(0x65, 0x4e, 0x8b, 0x04, 0xc3)); /* gs: */
    CHECK(64, PLAIN, 3, BYTES(0x48, 0xff, 0xc0));         /* inc rax */
    CHECK(64, REP, 3, BYTES(0xf3, 0x48, 0xa5));           /* rep movsq */
    CHECK(64, INDIRECT, 3, BYTES(0x41, 0xff, 0xe3));      /* jmp r11 */
    CHECK(32, PLAIN, 1, BYTES(0x48, 0x89, 0xd8));         /* dec eax */
}

static void test_immediates_and_addresses_of_64_bits(void)
{
    CHECK(64, PLAIN, 5, BYTES(0xb8, 1, 2, 3, 4));
    CHECK(64, PLAIN, 10, BYTES(0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8));
    CHECK(64, PLAIN, 10, BYTES(0x49, 0xbf, 1, 2, 3, 4, 5, 6, 7, 8));
    CHECK(64, PLAIN, 4, BYTES(0x66, 0xb8, 1, 2));
    CHECK(64, PLAIN, 7, BYTES(0x48, 0xc7, 0xc0, 1, 0, 0, 0));
    CHECK(64, PLAIN, 9, BYTES(0xa1, 1, 2, 3, 4, 5, 6, 7, 8));
    CHECK(64, PLAIN, 10, BYTES(0x48, 0xa3, 1, 2, 3, 4, 5, 6, 7, 8));
    CHECK(64, PLAIN, 6, BYTES(0x67, 0xa1, 1, 2, 3, 4));
    CHECK(64, PLAIN, 6, BYTES(0x8b, 0x05, 0, 0, 2, 0));   /* rip+ */
    CHECK(64, PLAIN, 11, BYTES(0x48, 0xc7, 0x05, 0, 0, 2, 0, 1, 0, 0, 0));
    CHECK(64, PLAIN, 5, BYTES(0x68, 1, 2, 3, 4));         /* push */
}

static void test_operand_sizes_are_told(void)
{
    static const struct {
        Case c;
        uint16_t size;
    } cases[] = {
        { { BYTES(0xcf) }, 0 },
        { { BYTES(0x48, 0xcf) }, PB_INSN_OP64 },
        { { BYTES(0x47, 0x8b, 0x00) }, 0 },               /* REX, but no W */
        { { BYTES(0x66, 0xcf) }, PB_INSN_OP16 },
        { { BYTES(0x66, 0x48, 0xcf) }, PB_INSN_OP64 },
        { { BYTES(0x67, 0x8b, 0x00) }, 0 },               /* [eax] */
    };
    unsigned i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        Case c = cases[i].c;

        c.bits = 64;
        pb_check_u64(decode(&c).len, c.given);
        pb_check_u64(decode(&c).traits & ~STEP_TRAITS, cases[i].size);
    }
}

/* A REX before another prefix is none (SDM 2A, 2.2.1). */
static void test_rex_before_another_prefix_means_nothing(void)
{
    Case c = { BYTES(0x48, 0x66, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8), .bits = 64 };

    pb_check_u64(decode(&c).len, 5);
    pb_check(decode(&c).traits & PB_INSN_OP16);
    pb_check(!(decode(&c).traits & PB_INSN_OP64));
}

static void test_relative_branches_have_targets_of_64_bits(void)
{
    CHECK(64, BRANCH, 2, BYTES(0xeb, 0xfe), .target = PC);
    CHECK(64, BRANCH, 5, BYTES(0xe9, 0xfb, 0xff, 0xff, 0xff), .target = PC);
    CHECK(64, BRANCH, 5, BYTES(0xe9, 0, 0, 0, 0x80),
          .target = 0xffffffff01000005);
    CHECK(64, BRANCH, 2, BYTES(0x74, 0x80), .target = PC - 0x7e,
          .conditional = true);
    CHECK(64, BRANCH, 6, BYTES(0x0f, 0x85, 0, 1, 0, 0),
          .target = PC + 0x106, .conditional = true);
    CHECK(64, BRANCH, 2, BYTES(0xe2, 0xfe), .target = PC,
          .conditional = true);
    CHECK(64, BRANCH, 3, BYTES(0x67, 0xe3, 0x05), .target = PC + 8,
          .conditional = true);                           /* jecxz */
    CHECK(64, BRANCH, 6, BYTES(0xf2, 0xe9, 0, 1, 0, 0),
          .target = PC + 0x106);
    CHECK(64, CALL, 5, BYTES(0xe8, 0, 1, 0, 0), .target = PC + 0x105);
    CHECK(64, CALL, 5, BYTES(0xe8, 0xfb, 0xff, 0xff, 0xff), .target = PC);
}

static void test_targets_are_not_cut_at_4_gib(void)
{
    static const uint8_t jmp[] = { 0xeb, 0x7e };
    static const uint8_t back[] = { 0xe8, 0xf0, 0xff, 0xff, 0xff };
    PbInsn insn;

    pb_insn_decode(&insn, jmp, sizeof(jmp), 0xfffffff0, 0, 64);
    pb_check_u64(insn.target, 0x100000070);
    pb_insn_decode(&insn, back, sizeof(back), 0x100000000, 0, 64);
    pb_check_u64(insn.target, 0xfffffff5);
}

/* AMD's processors cut the target to 16 bits, Intel's do not. */
static void test_branch_of_16_bits_is_unknown(void)
{
    CHECK(64, UNKNOWN, 0, BYTES(0x66, 0xeb, 0, 0, 0, 0));
    CHECK(64, UNKNOWN, 0, BYTES(0x66, 0xe9, 0, 1, 0, 0));
    CHECK(64, UNKNOWN, 0, BYTES(0x66, 0xe8, 0, 1, 0, 0));
    CHECK(64, UNKNOWN, 0, BYTES(0x66, 0x74, 0, 0, 0, 0));
    CHECK(64, UNKNOWN, 0, BYTES(0x66, 0x0f, 0x84, 0, 1, 0, 0));
    CHECK(64, UNKNOWN, 0, BYTES(0x66, 0xe2, 0, 0, 0, 0));
}

/* As compilers pad calls of __tls_get_addr(). */
static void test_rex_w_goes_before_prefix_66_of_a_branch(void)
{
    CHECK(64, CALL, 7, BYTES(0x66, 0x48, 0xe8, 0, 1, 0, 0),
          .target = PC + 0x107);
    CHECK(64, CALL, 8, BYTES(0x66, 0x66, 0x48, 0xe8, 0, 1, 0, 0),
          .target = PC + 0x108);
}

static void test_syscall_and_sysret(void)
{
    Case c = { BYTES(0x48, 0x0f, 0x07), .bits = 64 };

    CHECK(64, SYSENTER, 2, BYTES(0x0f, 0x05), .traits = PB_INSN_SYSCALL);
    CHECK(64, SYSENTER, 2, BYTES(0x0f, 0x34));
    CHECK(64, SYSRET, 2, BYTES(0x0f, 0x07));
    CHECK(64, SYSRET, 3, BYTES(0x48, 0x0f, 0x07));
    pb_check(decode(&c).traits & PB_INSN_OP64);
    c = (Case) { BYTES(0x0f, 0x07), .bits = 64 };
    pb_check(!(decode(&c).traits & PB_INSN_OP64));
    CHECK(32, INDIRECT, 2, BYTES(0x0f, 0x07));
    CHECK(64, INDIRECT, 3, BYTES(0x48, 0x0f, 0x35));      /* sysexit */
    CHECK(64, INDIRECT, 2, BYTES(0x48, 0xcf), .traits = PB_INSN_IRET);
}

static void test_debug_registers_are_eight(void)
{
    unsigned sets = PB_INSN_MOV_DR | PB_INSN_SETS_DR6;
    Case c = { BYTES(0x41, 0x0f, 0x23, 0xf7), .bits = 64 };

    CHECK(64, PLAIN, 3, BYTES(0x0f, 0x23, 0xf8), .traits = PB_INSN_MOV_DR);
    CHECK(64, PLAIN, 3, BYTES(0x0f, 0x21, 0xc0), .traits = PB_INSN_MOV_DR);
    CHECK(64, PLAIN, 4, BYTES(0x44, 0x0f, 0x23, 0xc0));   /* DR8 */
    CHECK(64, PLAIN, 4, BYTES(0x44, 0x0f, 0x21, 0xf8));   /* DR15 */
    CHECK(64, PLAIN, 4, BYTES(0x44, 0x0f, 0x23, 0xf0));   /* DR14 */
    CHECK(64, PLAIN, 3, BYTES(0x0f, 0x23, 0xf7), .traits = sets);
    CHECK(64, PLAIN, 4, BYTES(0x41, 0x0f, 0x23, 0xf7), .traits = sets);
    pb_check_u64(decode(&c).from, 15);                    /* r15 */
}

static void test_vector_prefixes_are_no_segment_loads(void)
{
    unsigned sse = PB_INSN_SSE;

    CHECK(64, PLAIN, 4, BYTES(0xc5, 0xf8, 0x28, 0xc1), .traits = sse);
    CHECK(64, PLAIN, 4, BYTES(0xc5, 0x78, 0x28, 0xc1), .traits = sse);
    CHECK(64, PLAIN, 5, BYTES(0xc4, 0xe2, 0xf1, 0x98, 0xc2), .traits = sse);
    CHECK(64, PLAIN, 5, BYTES(0xc4, 0x62, 0xf1, 0x98, 0xc2), .traits = sse);
    CHECK(64, PLAIN, 6, BYTES(0x62, 0xf1, 0x7c, 0x48, 0x28, 0xc1),
          .traits = sse);
    CHECK(64, PLAIN, 6, BYTES(0x62, 0x71, 0x7c, 0x48, 0x28, 0xc1),
          .traits = sse);
}

static void test_what_64_bit_code_lacks_is_unknown(void)
{
    static const uint8_t ops[] = {
        0x06, 0x07, 0x0e, 0x16, 0x17, 0x1e, 0x1f, 0x27, 0x2f, 0x37, 0x3f,
        0x60, 0x61, 0x82, 0x9a, 0xce, 0xd4, 0xd5, 0xea,
    };
    unsigned i;

    for (i = 0; i < sizeof(ops); i++) {
        CHECK(64, UNKNOWN, 0, BYTES(ops[i], 0, 0, 0, 0, 0, 0, 0));
    }
}

static void test_truncated_bytes_are_unknown(void)
{
    static const Case whole[] = {
        { BYTES(0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8) },
        { BYTES(0xa1, 1, 2, 3, 4, 5, 6, 7, 8) },
        { BYTES(0x48, 0x8b, 0x05, 1, 2, 3, 4) },
        { BYTES(0x41, 0xff, 0xe3) },
        { BYTES(0x48, 0x0f, 0x07) },
        { BYTES(0x66, 0x48, 0xe8, 0, 1, 0, 0) },
        { BYTES(0xc5, 0xf8, 0x28, 0xc1) },
    };
    size_t i;

    for (i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
        check_beginnings(&whole[i], 64);
    }
}

static void test_common_lengths_need_no_disassembler(void)
{
    static const Case common[] = {
        { BYTES(0x48, 0x89, 0xe5) },
        { BYTES(0x41, 0x57) },
        { BYTES(0x48, 0x8b, 0x05, 0, 0, 2, 0) },
        { BYTES(0x65, 0x48, 0x8b, 0x04, 0x25, 0, 0, 2, 0) },
        { BYTES(0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8) },
        { BYTES(0xe8, 0, 1, 0, 0) },
        { BYTES(0x48, 0x0f, 0xaf, 0xc3) },
        { BYTES(0x66, 0x48, 0x0f, 0x6e, 0xc0) },      /* movq xmm0,rax */
        { BYTES(0xf3, 0x48, 0xab) },
    };
    size_t i;

    for (i = 0; i < sizeof(common) / sizeof(common[0]); i++) {
        const Case *c = &common[i];

        pb_check_u64(pb_insn_length(c->bytes, c->given, 64), c->given);
    }
}

/* Every opcode, with every ModRM and two SIBs, behind prefixes and a REX. */
static void test_lengths_are_the_disassemblers(void)
{
    static const uint8_t prefixes[] = { 0, 0x66, 0x67, 0x64, 0xf3, 0xf2,
                                        0xf0 };
    static const uint8_t rexes[] = { 0, 0x40, 0x44, 0x48, 0x4b };
    unsigned i, r, op, known = 0, all = 0;

    for (i = 0; i < 2 * sizeof(prefixes); i++) {
        for (r = 0; r < sizeof(rexes); r++) {
            for (op = 0; op < 512; op++) {
                uint8_t code[15] = { prefixes[i / 2] };
                unsigned n = code[0] != 0;

                code[n] = rexes[r];
                n += rexes[r] != 0;
                memset(code + n, i & 1 ? 0x25 : 0, sizeof(code) - n);
                if (op >= 256) {
                    code[n++] = 0x0f;
                }
                code[n++] = op & 255;
                known += check_lengths(code, n, 64);
                all += 256;
            }
        }
    }
    pb_check(known > all / 4);
}

/* Prefixes in any order and number, too. */
static void test_lengths_of_random_bytes_are_the_disassemblers(void)
{
    static const uint8_t prefixes[] = { 0x66, 0x67, 0x2e, 0x64, 0xf3, 0xf2,
                                        0xf0, 0x40, 0x44, 0x48, 0x4b, 0x0f };
    uint64_t random = 1;
    unsigned i, j, known = 0;

    for (i = 0; i < RANDOM; i++) {
        uint8_t code[15];
        unsigned n;

        for (j = 0; j < sizeof(code); j++) {
            random = random * 6364136223846793005ull + 1;
            code[j] = random >> 56;
        }
        n = code[14] % 4;
        for (j = 0; j < n; j++) {
            code[j] = prefixes[code[j] % sizeof(prefixes)];
        }
        known += check_lengths(code, n + 1, 64);
    }
    pb_check(known > RANDOM * 256 / 4);
}

int main(void)
{
    static const PbTest tests[] = {
        PB_TEST(rex_belongs_to_its_instruction),
        PB_TEST(immediates_and_addresses_of_64_bits),
        PB_TEST(operand_sizes_are_told),
        PB_TEST(rex_before_another_prefix_means_nothing),
        PB_TEST(relative_branches_have_targets_of_64_bits),
        PB_TEST(targets_are_not_cut_at_4_gib),
        PB_TEST(branch_of_16_bits_is_unknown),
        PB_TEST(rex_w_goes_before_prefix_66_of_a_branch),
        PB_TEST(syscall_and_sysret),
        PB_TEST(debug_registers_are_eight),
        PB_TEST(vector_prefixes_are_no_segment_loads),
        PB_TEST(what_64_bit_code_lacks_is_unknown),
        PB_TEST(truncated_bytes_are_unknown),
        PB_TEST(common_lengths_need_no_disassembler),
        PB_TEST(lengths_are_the_disassemblers),
        PB_TEST(lengths_of_random_bytes_are_the_disassemblers),
    };

    return pb_tap_run(tests, sizeof(tests) / sizeof(tests[0]));
}
