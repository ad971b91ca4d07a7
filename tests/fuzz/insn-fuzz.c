/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * insn-fuzz.c: the input is a CPU mode, a place and the guest's code there.
 */
#include "fuzz.h"
#include "pb-step.h"

#define MAX_CODE 15

/* Decode @len bytes that end where readable memory ends. */
static PbInsn decode(const uint8_t *bytes, unsigned len, uint32_t pc,
                     uint32_t cs_base, unsigned bits)
{
    uint8_t *code = malloc(len);
    PbInsn insn;

    memcpy(code, bytes, len);
    pb_insn_decode(&insn, code, len, pc, cs_base, bits);
    free(code);
    return insn;
}

static void check(const PbInsn *i, unsigned len)
{
    fuzz_check(i->kind <= PB_INSN_UNKNOWN);
    fuzz_check(i->len <= len);
    fuzz_check(i->len || i->kind == PB_INSN_UNKNOWN);
    fuzz_check(i->target <= UINT32_MAX);
    fuzz_check(!i->conditional || i->kind == PB_INSN_BRANCH);
}

/* What takes the short way must be what the disassembler says. */
static void check_length(const uint8_t *code, unsigned len, uint32_t pc,
                         unsigned bits)
{
    unsigned n = pb_insn_length(code, len, bits);
    char text[64];

    fuzz_check(!n || pb_insn_print(code, len, pc, bits, text,
                                   sizeof(text)) == n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzIn in = { data, size };
    unsigned bits = fuzz_u8(&in) & 1 ? 16 : 32;
    uint32_t pc = fuzz_u32(&in), cs_base = fuzz_u32(&in);
    unsigned len = in.left < MAX_CODE ? in.left : MAX_CODE;
    PbInsn insn = decode(in.at, len, pc, cs_base, bits), again;

    check(&insn, len);
    check_length(in.at, len, pc, bits);
    /* What is behind an instruction does not change it. */
    if (insn.len) {
        again = decode(in.at, insn.len, pc, cs_base, bits);
        fuzz_check(!memcmp(&insn, &again, sizeof(insn)));
    }
    /* This time it is remembered. */
    again = decode(in.at, len, pc, cs_base, bits);
    fuzz_check(!memcmp(&insn, &again, sizeof(insn)));
    return 0;
}
