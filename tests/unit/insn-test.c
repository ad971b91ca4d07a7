/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * insn-test.c: decoding one instruction, every class that stepping treats
 * differently, with prefixes, in 16-bit and 32-bit code.
 */
#define PC 0x10000u

#include "insn-case.h"

static void test_plain_instructions(void)
{
    CHECK(32, PLAIN, 1, BYTES(0x90));                     /* nop */
    CHECK(32, PLAIN, 2, BYTES(0x89, 0xd8));               /* mov eax,ebx */
    CHECK(32, PLAIN, 5, BYTES(0xa1, 0, 0, 2, 0));         /* mov eax,[] */
    CHECK(16, PLAIN, 3, BYTES(0xa1, 0, 2));
    CHECK(32, PLAIN, 5, BYTES(0xb8, 1, 2, 3, 4));
    CHECK(16, PLAIN, 3, BYTES(0xb8, 1, 2));
    CHECK(16, PLAIN, 6, BYTES(0x66, 0xb8, 1, 2, 3, 4));
    CHECK(32, PLAIN, 4, BYTES(0x66, 0xb8, 1, 2));
    CHECK(32, PLAIN, 10, BYTES(0xc7, 0x05, 0, 0, 2, 0, 1, 0, 0, 0));
    CHECK(32, PLAIN, 5, BYTES(0x67, 0x8b, 0x06, 0, 2));   /* mov eax,[2000] */
    CHECK(32, PLAIN, 3, BYTES(0x64, 0x8b, 0x03));         /* mov eax,fs:[] */
    CHECK(32, PLAIN, 7, BYTES(0xf0, 0x01, 0x05, 0, 0, 2, 0)); /* lock add */
    CHECK(32, PLAIN, 2, BYTES(0x0f, 0xa2));               /* cpuid */
    CHECK(32, PLAIN, 3, BYTES(0x0f, 0x01, 0x38));         /* invlpg */
    CHECK(32, PLAIN, 2, BYTES(0xff, 0x00));               /* inc [eax] */
    CHECK(32, PLAIN, 2, BYTES(0xff, 0x30));               /* push [eax] */
    CHECK(32, PLAIN, 1, BYTES(0xfb));                     /* sti */
    CHECK(32, PLAIN, 6, BYTES(0xc7, 0xc0, 1, 0, 0, 0));   /* mov eax,1 */
}

static void test_single_strings_are_plain(void)
{
    CHECK(32, PLAIN, 1, BYTES(0xa4));
    CHECK(32, PLAIN, 1, BYTES(0xaf));
    CHECK(32, PLAIN, 2, BYTES(0xf3, 0x90));               /* pause */
}

static void test_relative_branches_have_targets(void)
{
    CHECK(32, BRANCH, 2, BYTES(0xeb, 0xfe), .target = PC);
    CHECK(32, BRANCH, 2, BYTES(0xeb, 0x10), .target = PC + 0x12);
    CHECK(32, BRANCH, 5, BYTES(0xe9, 0xfb, 0xff, 0xff, 0xff), .target = PC);
    CHECK(32, BRANCH, 2, BYTES(0x74, 0x80), .target = PC - 0x7e,
          .conditional = true);
    CHECK(32, BRANCH, 6, BYTES(0x0f, 0x85, 0, 1, 0, 0),
          .target = PC + 0x106, .conditional = true);
    CHECK(32, BRANCH, 2, BYTES(0xe2, 0xfe), .target = PC,
          .conditional = true);
    CHECK(32, BRANCH, 2, BYTES(0xe0, 0x00), .target = PC + 2,
          .conditional = true);
    CHECK(32, BRANCH, 2, BYTES(0xe1, 0x00), .target = PC + 2,
          .conditional = true);
    CHECK(32, BRANCH, 2, BYTES(0xe3, 0x05), .target = PC + 7,
          .conditional = true);
    CHECK(32, BRANCH, 3, BYTES(0x67, 0xe3, 0x05), .target = PC + 8,
          .conditional = true);
    CHECK(32, BRANCH, 3, BYTES(0x2e, 0x74, 0x05), .target = PC + 8,
          .conditional = true);                           /* hint */
}

static void test_every_jcc_is_conditional(void)
{
    unsigned op;

    for (op = 0; op < 16; op++) {
        CHECK(32, BRANCH, 2, BYTES(0x70 + op, 0), .target = PC + 2,
              .conditional = true);
        CHECK(32, BRANCH, 6, BYTES(0x0f, 0x80 + op, 0, 0, 0, 0),
              .target = PC + 6, .conditional = true);
        CHECK(16, BRANCH, 4, BYTES(0x0f, 0x80 + op, 0, 0),
              .target = 4, .conditional = true);
    }
}

/* With operand size 16 the target is cut to 16 bits (SDM 2A, JMP). */
static void test_operand_size_16_wraps_targets(void)
{
    PbInsn insn;
    static const uint8_t jmp[] = { 0xeb, 0x7e };
    static const uint8_t jmp16[] = { 0x66, 0xe9, 0x00, 0x10 };

    pb_insn_decode(&insn, jmp, sizeof(jmp), 0xf0000 + 0xfff0, 0xf0000, 16);
    pb_check_u64(insn.target, 0xf0000 + 0x70);
    pb_insn_decode(&insn, jmp16, sizeof(jmp16), 0x12345, 0, 32);
    pb_check_u64(insn.len, 4);
    pb_check_u64(insn.target, 0x3349);
    pb_insn_decode(&insn, jmp, sizeof(jmp), 0xfffffff0, 0, 32);
    pb_check_u64(insn.target, 0x70);
}

static void test_prefixes_of_branches_do_not_confuse_length(void)
{
    CHECK(32, CALL, 5, BYTES(0x66, 0xf3, 0xe8, 0, 1, 0, 0),
          .target = 0x105);
    CHECK(32, CALL, 5, BYTES(0x66, 0xf2, 0xe8, 0, 1), .target = 0x105);
    CHECK(16, BRANCH, 8, BYTES(0x66, 0xf3, 0x0f, 0x84, 0, 1, 0, 0),
          .target = PC + 0x108, .conditional = true);
    CHECK(16, UNKNOWN, 0, BYTES(0x66, 0xf3, 0x0f, 0x84, 0, 1));
    CHECK(16, UNKNOWN, 0, BYTES(0xf2, 0xf2, 0xf2, 0xf2, 0xf2, 0xf2, 0xf2,
                                0xf2, 0xf2, 0x66, 0xf3, 0x0f, 0x84, 0, 1));
    CHECK(32, BRANCH, 6, BYTES(0xf2, 0xe9, 0, 1, 0, 0),
          .target = PC + 0x106);
    CHECK(32, BRANCH, 3, BYTES(0xf2, 0x74, 0x10), .target = PC + 0x13,
          .conditional = true);
    CHECK(32, INDIRECT, 2, BYTES(0xf3, 0xc3));            /* rep ret */
}

static void test_calls(void)
{
    CHECK(32, CALL, 5, BYTES(0xe8, 0, 1, 0, 0), .target = PC + 0x105);
    CHECK(32, CALL, 5, BYTES(0xe8, 0xfb, 0xff, 0xff, 0xff), .target = PC);
    CHECK(16, CALL, 3, BYTES(0xe8, 0, 1), .target = 0x103);
    CHECK(16, CALL, 6, BYTES(0x66, 0xe8, 0, 1, 0, 0), .target = PC + 0x106);
}

static void test_indirect_transfers(void)
{
    CHECK(32, INDIRECT, 1, BYTES(0xc3));
    CHECK(32, INDIRECT, 3, BYTES(0xc2, 4, 0));
    CHECK(32, INDIRECT, 1, BYTES(0xcb));
    CHECK(32, INDIRECT, 3, BYTES(0xca, 4, 0));
    CHECK(32, INDIRECT, 1, BYTES(0xcf), .traits = PB_INSN_IRET);
    CHECK(16, INDIRECT, 2, BYTES(0x66, 0xcf), .traits = PB_INSN_IRET);
    CHECK(32, INDIRECT, 2, BYTES(0xff, 0xd0));            /* call eax */
    CHECK(32, INDIRECT, 2, BYTES(0xff, 0xe0));            /* jmp eax */
    CHECK(32, INDIRECT, 6, BYTES(0xff, 0x15, 0, 0, 2, 0));
    CHECK(32, INDIRECT, 6, BYTES(0xff, 0x2d, 0, 0, 2, 0)); /* jmp far [] */
    CHECK(32, INDIRECT, 6, BYTES(0xff, 0x1d, 0, 0, 2, 0)); /* call far [] */
    CHECK(32, INDIRECT, 7, BYTES(0xea, 0, 0, 1, 0, 8, 0));
    CHECK(16, INDIRECT, 5, BYTES(0xea, 0, 0, 0, 0x10));
    CHECK(32, INDIRECT, 7, BYTES(0x9a, 0, 0, 1, 0, 8, 0));
    CHECK(32, INDIRECT, 2, BYTES(0x0f, 0x35));            /* sysexit */
}

static void test_rep_strings(void)
{
    CHECK(32, REP, 2, BYTES(0xf3, 0xa4));
    CHECK(32, REP, 3, BYTES(0xf3, 0x66, 0xa5));
    CHECK(32, REP, 3, BYTES(0x66, 0xf3, 0xab));
    CHECK(32, REP, 2, BYTES(0xf2, 0xae));                 /* repne scasb */
    CHECK(32, REP, 2, BYTES(0xf3, 0xa6));                 /* repe cmpsb */
    CHECK(32, REP, 2, BYTES(0xf3, 0xac));                 /* rep lodsb */
    CHECK(32, REP, 3, BYTES(0xf3, 0x2e, 0xa4));
    CHECK(16, REP, 2, BYTES(0xf3, 0xa4));
}

static void test_software_interrupts(void)
{
    CHECK(32, INT, 2, BYTES(0xcd, 0x80), .vector = 0x80);
    CHECK(16, INT, 2, BYTES(0xcd, 0x10), .vector = 0x10);
    CHECK(32, INT, 1, BYTES(0xcc), .vector = 3);
    CHECK(32, INT, 1, BYTES(0xce), .vector = 4);
}

static void test_sysenter_and_syscall(void)
{
    CHECK(32, SYSENTER, 2, BYTES(0x0f, 0x34));
    CHECK(32, SYSENTER, 2, BYTES(0x0f, 0x05), .traits = PB_INSN_SYSCALL);
}

static void test_what_must_not_meet_tf(void)
{
    CHECK(32, PLAIN, 1, BYTES(0x9c), .traits = PB_INSN_NO_TF);   /* pushf */
    CHECK(32, PLAIN, 2, BYTES(0x66, 0x9c), .traits = PB_INSN_NO_TF);
    CHECK(32, PLAIN, 1, BYTES(0x9d), .traits = PB_INSN_NO_TF);   /* popf */
    CHECK(32, PLAIN, 1, BYTES(0xf4), .traits = PB_INSN_NO_TF);   /* hlt */
    CHECK(32, PLAIN, 2, BYTES(0xe4, 0x10), .traits = PB_INSN_NO_TF);
    CHECK(32, PLAIN, 2, BYTES(0xe7, 0x10), .traits = PB_INSN_NO_TF);
    CHECK(32, PLAIN, 1, BYTES(0xec), .traits = PB_INSN_NO_TF);
    CHECK(32, PLAIN, 2, BYTES(0x66, 0xef), .traits = PB_INSN_NO_TF);
    CHECK(32, PLAIN, 2, BYTES(0xf3, 0x6c), .traits = PB_INSN_NO_TF);
    CHECK(32, PLAIN, 2, BYTES(0xf3, 0x6f), .traits = PB_INSN_NO_TF);
    CHECK(32, PLAIN, 1, BYTES(0x6d), .traits = PB_INSN_NO_TF);
}

static void test_stack_segment_loads_cast_a_shadow(void)
{
    unsigned t = PB_INSN_SHADOW | PB_INSN_NO_TF | PB_INSN_SEGMENT;

    CHECK(32, PLAIN, 2, BYTES(0x8e, 0xd0), .traits = t);  /* mov ss,eax */
    CHECK(32, PLAIN, 2, BYTES(0x8e, 0x10), .traits = t);  /* mov ss,[eax] */
    CHECK(32, PLAIN, 1, BYTES(0x17), .traits = t);        /* pop ss */
    CHECK(32, PLAIN, 2, BYTES(0x8e, 0xd8), .traits = PB_INSN_SEGMENT);
    CHECK(32, PLAIN, 2, BYTES(0x8c, 0xd0));               /* mov eax,ss */
}

static void test_segment_loads(void)
{
    CHECK(32, PLAIN, 1, BYTES(0x07), .traits = PB_INSN_SEGMENT);
    CHECK(32, PLAIN, 1, BYTES(0x1f), .traits = PB_INSN_SEGMENT);
    CHECK(32, PLAIN, 2, BYTES(0x0f, 0xa1), .traits = PB_INSN_SEGMENT);
    CHECK(32, PLAIN, 3, BYTES(0x0f, 0xb2, 0x20), .traits = PB_INSN_SEGMENT);
    CHECK(32, PLAIN, 2, BYTES(0xc4, 0x38), .traits = PB_INSN_SEGMENT);
    CHECK(32, PLAIN, 3, BYTES(0x0f, 0x00, 0xd8), .traits = PB_INSN_SEGMENT);
}

static void test_faults_an_instruction_is_known_for(void)
{
    unsigned sse = PB_INSN_SSE | PB_INSN_FPU;

    CHECK(32, PLAIN, 2, BYTES(0xf7, 0xf1), .traits = PB_INSN_DIVIDE);
    CHECK(32, PLAIN, 2, BYTES(0xf6, 0xfb), .traits = PB_INSN_DIVIDE);
    CHECK(32, PLAIN, 2, BYTES(0xf7, 0xe1));               /* mul */
    CHECK(32, PLAIN, 2, BYTES(0xd4, 0x0a), .traits = PB_INSN_DIVIDE);
    CHECK(32, PLAIN, 2, BYTES(0x62, 0x00), .traits = PB_INSN_BOUND);
    CHECK(32, PLAIN, 2, BYTES(0x0f, 0x0b), .traits = PB_INSN_UD);
    CHECK(32, PLAIN, 2, BYTES(0xd9, 0xe8), .traits = PB_INSN_FPU);
    CHECK(32, PLAIN, 1, BYTES(0x9b), .traits = PB_INSN_FPU);
    CHECK(32, PLAIN, 3, BYTES(0x0f, 0x28, 0xc1), .traits = sse);
    CHECK(32, PLAIN, 3, BYTES(0x0f, 0x6f, 0xc1), .traits = sse);
    CHECK(32, PLAIN, 4, BYTES(0xf3, 0x0f, 0x10, 0xc1), .traits = sse);
}

static void test_what_cannot_be_stepped_is_marked(void)
{
    CHECK(32, PLAIN, 1, BYTES(0xf1), .traits = PB_INSN_REFUSED);
    CHECK(32, PLAIN, 2, BYTES(0x0f, 0xaa), .traits = PB_INSN_REFUSED);
}

static void test_sizes_are_told(void)
{
    Case c = { BYTES(0x67, 0xe3, 0x00), .bits = 32 };

    pb_check(decode(&c).traits & PB_INSN_ADDR16);
    pb_check(!(decode(&c).traits & PB_INSN_OP16));
    c.bits = 16;
    pb_check(!(decode(&c).traits & PB_INSN_ADDR16));
    pb_check(decode(&c).traits & PB_INSN_OP16);
    c = (Case) { BYTES(0x66, 0xcf), .bits = 32 };
    pb_check(decode(&c).traits & PB_INSN_OP16);
}

static void test_truncated_bytes_are_unknown(void)
{
    static const Case whole[] = {
        { BYTES(0xb8, 1, 2, 3, 4) },
        { BYTES(0xe8, 0, 1, 0, 0) },
        { BYTES(0x0f, 0x85, 0, 1, 0, 0) },
        { BYTES(0x66, 0xb8, 1, 2) },
        { BYTES(0xc7, 0x05, 0, 0, 2, 0, 1, 0, 0, 0) },
        { BYTES(0xea, 0, 0, 1, 0, 8, 0) },
        { BYTES(0xcd, 0x80) },
    };
    size_t i;

    for (i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
        check_beginnings(&whole[i], 32);
    }
}

static void test_nonsense_is_unknown(void)
{
    CHECK(32, UNKNOWN, 0, BYTES(0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
                                0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
                                0x66, 0x66));
    CHECK(32, UNKNOWN, 0, BYTES(0xf0, 0x90));             /* lock nop */
    CHECK(32, UNKNOWN, 0, BYTES(0xff, 0xff));
    CHECK(32, UNKNOWN, 0, BYTES(0x0f, 0x04));
}

static void test_text_is_readable(void)
{
    static const uint8_t mov[] = { 0x89, 0xd8 }, iret[] = { 0xcf };
    char text[64];

    pb_check_u64(pb_insn_print(mov, 2, PC, 32, text, sizeof(text)), 2);
    pb_check_str(text, "mov eax, ebx");
    pb_check_u64(pb_insn_print(mov, 1, PC, 32, text, sizeof(text)), 0);
    pb_check_str(text, "(bad)");
    pb_check_u64(pb_insn_print(iret, 1, PC, 32, text, sizeof(text)), 1);
    pb_check(!strncmp(text, "iret", 4));
}

/* Every opcode, with every ModRM and two SIBs, behind each prefix. */
static void test_lengths_are_the_disassemblers(void)
{
    static const uint8_t prefixes[] = { 0, 0x66, 0x67, 0x2e, 0x64, 0xf3,
                                        0xf2, 0xf0 };
    unsigned i, op, known = 0, all = 0;

    for (i = 0; i < 4 * sizeof(prefixes); i++) {
        for (op = 0; op < 512; op++) {
            uint8_t code[15] = { prefixes[i / 4] };
            unsigned n = code[0] != 0;

            memset(code + n, i & 2 ? 0x25 : 0, sizeof(code) - n);
            if (op >= 256) {
                code[n++] = 0x0f;
            }
            code[n++] = op & 255;
            known += check_lengths(code, n, i & 1 ? 16 : 32);
            all += 256;
        }
    }
    pb_check(known > all / 4);
}

int main(void)
{
    static const PbTest tests[] = {
        PB_TEST(plain_instructions),
        PB_TEST(single_strings_are_plain),
        PB_TEST(relative_branches_have_targets),
        PB_TEST(every_jcc_is_conditional),
        PB_TEST(operand_size_16_wraps_targets),
        PB_TEST(prefixes_of_branches_do_not_confuse_length),
        PB_TEST(calls),
        PB_TEST(indirect_transfers),
        PB_TEST(rep_strings),
        PB_TEST(software_interrupts),
        PB_TEST(sysenter_and_syscall),
        PB_TEST(what_must_not_meet_tf),
        PB_TEST(stack_segment_loads_cast_a_shadow),
        PB_TEST(segment_loads),
        PB_TEST(faults_an_instruction_is_known_for),
        PB_TEST(what_cannot_be_stepped_is_marked),
        PB_TEST(sizes_are_told),
        PB_TEST(truncated_bytes_are_unknown),
        PB_TEST(nonsense_is_unknown),
        PB_TEST(text_is_readable),
        PB_TEST(lengths_are_the_disassemblers),
    };

    return pb_tap_run(tests, sizeof(tests) / sizeof(tests[0]));
}
