/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-insn-length.c: an instruction's parts, and how long a common one is (SDM
 * 2A, appendix A).
 *
 * What is not sure at a glance is left to the disassembler, which takes some
 * 6,000 instructions of ours, and pages for its tables.
 */
#include <string.h>

#include "pb-insn-parts.h"
#include "pb-step.h"

typedef enum Form {
    ASK,                  /* somebody else */
    BARE,
    RM,                   /* ModRM */
    MEM,                  /* ModRM of memory */
    REG,                  /* ModRM, always of registers */
    RM8, RMZ,             /* ModRM, then an immediate of 8; of 16 or 32 bits */
    I8, I16, IZ,          /* an immediate alone */
    MOFFS,                /* an address alone */
    FAR,                  /* a selector and an offset */
} Form;

/* From 0x40 on; below there are but arithmetic and prefixes. */
static const uint8_t one_byte[256] = {
    [0x40 ... 0x61] = BARE, [0x63] = RM, [0x68] = IZ, [0x69] = RMZ,
    [0x6a] = I8, [0x6b] = RM8, [0x6c ... 0x6f] = BARE, [0x70 ... 0x7f] = I8,
    [0x80] = RM8, [0x81] = RMZ, [0x83] = RM8, [0x84 ... 0x8b] = RM,
    [0x8d] = MEM, [0x90 ... 0x99] = BARE, [0x9a] = FAR, [0x9c ... 0x9f] = BARE,
    [0xa0 ... 0xa3] = MOFFS, [0xa4 ... 0xa7] = BARE, [0xa8] = I8, [0xa9] = IZ,
    [0xaa ... 0xaf] = BARE, [0xb0 ... 0xb7] = I8, [0xb8 ... 0xbf] = IZ,
    [0xc0] = RM8, [0xc1] = RM8, [0xc2] = I16, [0xc3] = BARE, [0xc9] = BARE,
    [0xca] = I16, [0xcb] = BARE, [0xcc] = BARE, [0xcd] = I8,
    [0xcf] = BARE, [0xd0 ... 0xd3] = RM, [0xd7] = BARE,
    [0xe0 ... 0xe7] = I8, [0xe8 ... 0xe9] = IZ, [0xea] = FAR, [0xeb] = I8,
    [0xec ... 0xef] = BARE, [0xf4 ... 0xf5] = BARE, [0xf8 ... 0xfd] = BARE,
};

/* Behind 0x0f. */
static const uint8_t two_bytes[256] = {
    [0x06] = BARE, [0x08] = BARE, [0x09] = BARE, [0x0b] = BARE, [0x1f] = MEM,
    [0x21] = REG, [0x23] = REG,
    [0x30 ... 0x32] = BARE, [0x40 ... 0x4f] = RM, [0x80 ... 0x8f] = IZ,
    [0x90 ... 0x9f] = RM,
    [0xa0 ... 0xa2] = BARE, [0xa3] = RM, [0xa4] = RM8, [0xa5] = RM,
    [0xa8] = BARE, [0xa9] = BARE, [0xab] = RM, [0xac] = RM8, [0xad] = RM,
    [0xaf ... 0xb1] = RM, [0xb2] = MEM, [0xb3] = RM, [0xb4 ... 0xb5] = MEM,
    [0xb6 ... 0xb7] = RM, [0xbb ... 0xbf] = RM, [0xc0 ... 0xc1] = RM,
    [0xc8 ... 0xcf] = BARE,
};

static Form arithmetic(uint8_t op)
{
    return (op & 7) < 4 ? RM : (op & 7) == 4 ? I8 : (op & 7) == 5 ? IZ : BARE;
}

/* Where ModRM's middle bits tell the instruction. */
static Form in_group(uint8_t op, unsigned n)
{
    switch (op) {
    case 0x8c:
        return n < 6 ? RM : ASK;
    case 0x8e:
        return n < 6 && n != 1 ? RM : ASK;
    case 0x8f:
        return n == 0 ? RM : ASK;
    case 0xc6:
        return n == 0 ? RM8 : ASK;
    case 0xc7:
        return n == 0 ? RMZ : ASK;
    case 0xf6:
        return n == 0 ? RM8 : n >= 2 ? RM : ASK;
    case 0xf7:
        return n == 0 ? RMZ : n >= 2 ? RM : ASK;
    case 0xfe:
        return n < 2 ? RM : ASK;
    case 0xff:
        return n == 3 || n == 5 ? MEM : n < 7 ? RM : ASK;
    default:
        return ASK;
    }
}

static Form in_second_group(uint8_t op, unsigned n)
{
    switch (op) {
    case 0x00:
        return n < 6 ? RM : ASK;
    case 0x01:
        return n != 5 ? MEM : ASK;
    case 0x20: case 0x22:
        return n == 0 || (n >= 2 && n <= 4) ? REG : ASK;
    case 0xba:
        return n >= 4 ? RM8 : ASK;
    case 0xc7:
        return n == 1 ? MEM : ASK;
    default:
        return ASK;
    }
}

/* Bytes of ModRM and what it asks for; 0: more than @left. */
static unsigned modrm_length(const uint8_t *at, unsigned left, bool addr16)
{
    unsigned mod = at[0] >> 6, base = at[0] & 7, n = 1;

    if (mod == 3) {
        return 1;
    }
    if (addr16) {
        return 1 + (mod == 1 ? 1 : mod == 2 || base == 6 ? 2 : 0);
    }
    if (base == 4) {
        if (left < 2) {
            return 0;
        }
        base = at[1] & 7;
        n = 2;
    }
    return n + (mod == 1 ? 1 : mod == 2 || base == 5 ? 4 : 0);
}

/* Bytes behind the opcode; -1: not known. */
static int operands_length(Form form, const uint8_t *at, unsigned left,
                           bool op16, bool addr16)
{
    unsigned z = op16 ? 2 : 4, n = 0;

    if (form >= RM && form <= RMZ) {
        if (!left || (form == MEM && at[0] >= 0xc0)) {
            return -1;
        }
        n = form == REG ? 1 : modrm_length(at, left, addr16);
        if (!n || (form == REG && at[0] < 0xc0)) {
            return -1;
        }
    }
    switch (form) {
    case ASK:
        return -1;
    case I8: case RM8:
        return n + 1;
    case I16:
        return n + 2;
    case IZ: case RMZ:
        return n + z;
    case MOFFS:
        return addr16 ? 2 : 4;
    case FAR:
        return z + 2;
    default:
        return n;
    }
}

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
    for (i = 0; i < len && (sort = prefix(code[i])); i++) {
        p->twice |= (seen & sort) != 0;
        p->rep = sort == REP ? code[i] : p->rep;
        seen |= sort;
    }
    if (i == len) {
        return false;
    }
    p->op16 = (bits == 16) != !!(seen & SIZE);
    p->addr16 = (bits == 16) != !!(seen & ADDRESS);
    p->lock = seen & LOCK;
    p->op = code[i++];
    p->op2 = p->op == 0x0f && i < len ? code[i++] : 0;
    p->opcode_end = i;
    p->reg = i < len ? (code[i] >> 3) & 7 : 0;
    p->mod = i < len ? code[i] >> 6 : 0;
    p->rm = i < len ? code[i] & 7 : 0;
    return true;
}

/* @left: bytes behind the opcode. */
static Form form_of(const PbInsnParts *p, unsigned left)
{
    Form form = p->op == 0x0f ? two_bytes[p->op2]
              : p->op < 0x40 ? arithmetic(p->op) : one_byte[p->op];

    if (form != ASK || !left) {
        return form;
    }
    return p->op == 0x0f ? in_second_group(p->op2, p->reg)
                         : in_group(p->op, p->reg);
}

unsigned pb_insn_length(const uint8_t *code, unsigned len, unsigned bits)
{
    PbInsnParts p;
    unsigned at;
    int n;

    if (!pb_insn_take_apart(&p, code, len, bits) || p.lock || p.twice ||
        (p.rep && !pb_insn_is_string(p.op) && (p.op & 0xfc) != 0x6c)) {
        return 0;
    }
    at = p.opcode_end;
    n = operands_length(form_of(&p, len - at), code + at, len - at, p.op16,
                        p.addr16);
    return n >= 0 && at + n <= len && at + n <= PB_INSN_MAX_LEN ? at + n : 0;
}
