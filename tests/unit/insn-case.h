/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * insn-case.h: an instruction's bytes and what they are decoded to, for the
 * tests of that.  PC is where they lie.
 */
#ifndef INSN_CASE_H
#define INSN_CASE_H

#include <stdio.h>
#include <string.h>

#include "pb-step.h"
#include "pb-tap.h"

/* Traits that say how to step; operand and address size are checked apart. */
#define STEP_TRAITS ((uint16_t)~(PB_INSN_OP16 | PB_INSN_OP64 | \
                                 PB_INSN_ADDR16))

typedef struct Case {
    uint8_t bytes[16];
    uint8_t given;           /* bytes that can be read */
    uint8_t bits;
    uint8_t kind;
    uint8_t len;
    uint16_t traits;
    uint64_t target;
    bool conditional;
    uint8_t vector;
} Case;

static inline PbInsn decode(const Case *c)
{
    PbInsn insn;

    pb_insn_decode(&insn, c->bytes, c->given, PC, 0, c->bits);
    return insn;
}

static inline void check_case(const Case *c, const char *file, int line)
{
    PbInsn got = decode(c);
    char text[160];
    bool ok = got.kind == c->kind && got.len == c->len &&
              (got.traits & STEP_TRAITS) == c->traits &&
              got.target == c->target && got.conditional == c->conditional &&
              got.vector == c->vector;

    snprintf(text, sizeof(text), "%u-bit %02x %02x %02x: kind %u len %u "
             "traits 0x%x target 0x%llx", c->bits, c->bytes[0], c->bytes[1],
             c->bytes[2], got.kind, got.len,
             got.traits & STEP_TRAITS, (unsigned long long)got.target);
    pb_tap_check(ok, file, line, text);
}

#define BYTES(...) .bytes = { __VA_ARGS__ }, \
    .given = sizeof((uint8_t[]) { __VA_ARGS__ })

#define CHECK(b, k, l, bytes, ...)                                      \
    check_case(&(Case) { bytes, .bits = (b), .kind = PB_INSN_##k,       \
                         .len = (l), __VA_ARGS__ }, __FILE__, __LINE__)

/* An instruction of @bits, @whole: any beginning of it is none. */
static inline void check_beginnings(const Case *whole, unsigned bits)
{
    Case c = *whole;

    c.bits = bits;
    pb_check_u64(decode(&c).len, whole->given);
    for (c.given = 0; c.given < whole->given; c.given++) {
        PbInsn insn = decode(&c);

        pb_check_u64(insn.kind, PB_INSN_UNKNOWN);
        pb_check_u64(insn.len, 0);
    }
}

/* How many of the codes at @code have a length without the disassembler. */
static inline unsigned check_lengths(uint8_t *code, unsigned at,
                                     unsigned bits)
{
    char text[64];
    unsigned modrm, short_way, known = 0;

    for (modrm = 0; modrm < 256; modrm++) {
        code[at] = modrm;
        short_way = pb_insn_length(code, 15, bits);
        if (short_way) {
            unsigned n = pb_insn_print(code, 15, PC, bits, text, sizeof(text));

            known++;
            if (n != short_way) {
                printf("# %u bits, %02x %02x %02x %02x: %u and %u, %s\n", bits,
                       code[0], code[1], code[2], code[3], short_way, n, text);
                pb_check_u64(short_way, n);
                return known;
            }
        }
    }
    return known;
}

#endif /* INSN_CASE_H */
