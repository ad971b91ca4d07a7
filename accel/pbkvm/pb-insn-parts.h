/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-insn-parts.h: an instruction's prefixes, opcode and ModRM.
 *
 * Pure; any thread.
 */
#ifndef PB_INSN_PARTS_H
#define PB_INSN_PARTS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct PbInsnParts {
    bool op16, addr16;
    bool addr32;          /* in 64-bit code: by a prefix */
    bool code64;
    bool x66;             /* prefix 0x66, whether it means anything or not */
    bool lock;
    bool twice;           /* a prefix, or two of a kind */
    uint8_t rep;          /* 0xf2, 0xf3 or 0 */
    uint8_t rex;          /* 64-bit code: 0x40 to 0x4f, or 0 */
    uint8_t op;           /* first opcode byte, 0x0f when there are two */
    uint8_t op2;          /* second one, after 0x0f */
    uint8_t reg;          /* ModRM.reg, if there is a ModRM */
    uint8_t mod, rm;
    uint8_t opcode_end;   /* bytes up to and with the opcode */
} PbInsnParts;

#define PB_INSN_REX_W 8
#define PB_INSN_REX_R 4
#define PB_INSN_REX_B 1

/* Of the @len bytes at @code.  False when there are nothing but prefixes. */
bool pb_insn_take_apart(PbInsnParts *p, const uint8_t *code, unsigned len,
                        unsigned bits);

/* MOVS, CMPS, STOS, LODS, SCAS. */
static inline bool pb_insn_is_string(uint8_t op)
{
    return (op >= 0xa4 && op <= 0xa7) || (op >= 0xaa && op <= 0xaf);
}

#endif /* PB_INSN_PARTS_H */
