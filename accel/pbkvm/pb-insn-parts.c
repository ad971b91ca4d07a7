/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-insn-parts.c: take an instruction apart (SDM 2A, 2.1).
 */
#include <string.h>

#include "pb-insn-parts.h"

enum { SIZE = 1, ADDRESS = 2, SEGMENT = 4, REP = 8, LOCK = 16 };

/* What sort of prefix; 0: none. */
static unsigned prefix(uint8_t byte)
{
    switch (byte) {
    case 0x66:
        return SIZE;
    case 0x67:
        return ADDRESS;
    case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65:
        return SEGMENT;
    case 0xf2: case 0xf3:
        return REP;
    case 0xf0:
        return LOCK;
    default:
        return 0;
    }
}

bool pb_insn_take_apart(PbInsnParts *p, const uint8_t *code, unsigned len,
                        unsigned bits)
{
    unsigned i, sort, seen = 0;

    memset(p, 0, sizeof(*p));
    for (i = 0; i < len; i++) {
        sort = prefix(code[i]);
        if (bits == 64 && (code[i] & 0xf0) == 0x40) {
            p->rex = code[i];
            continue;
        }
        if (!sort) {
            break;
        }
        p->rex = 0;           /* only right before the opcode */
        p->twice |= (seen & sort) != 0;
        p->rep = sort == REP ? code[i] : p->rep;
        seen |= sort;
    }
    if (i == len) {
        return false;
    }
    p->code64 = bits == 64;
    p->x66 = seen & SIZE;
    p->op16 = (bits == 16) != p->x66 && !(p->rex & PB_INSN_REX_W);
    p->addr16 = !p->code64 && (bits == 16) != !!(seen & ADDRESS);
    p->addr32 = p->code64 && (seen & ADDRESS);
    p->lock = seen & LOCK;
    p->op = code[i++];
    p->op2 = p->op == 0x0f && i < len ? code[i++] : 0;
    p->opcode_end = i;
    p->reg = i < len ? (code[i] >> 3) & 7 : 0;
    p->mod = i < len ? code[i] >> 6 : 0;
    p->rm = i < len ? code[i] & 7 : 0;
    return true;
}
