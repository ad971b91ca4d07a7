/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-insn-length.c: how long a common instruction is (SDM 2A, appendix A).
 *
 * What is not sure at a glance is left to the disassembler, which takes some
 * 6,000 instructions of ours, and pages for its tables.
 */
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
    [0x21] = REG, [0x23] = REG, [0x30 ... 0x32] = BARE,
    [0x34 ... 0x35] = BARE, [0x40 ... 0x4f] = RM, [0x80 ... 0x8f] = IZ,
    [0x90 ... 0x9f] = RM,
    [0xa0 ... 0xa2] = BARE, [0xa3] = RM, [0xa4] = RM8, [0xa5] = RM,
    [0xa8] = BARE, [0xa9] = BARE, [0xab] = RM, [0xac] = RM8, [0xad] = RM,
    [0xaf ... 0xb1] = RM, [0xb2] = MEM, [0xb3] = RM, [0xb4 ... 0xb5] = MEM,
    [0xb6 ... 0xb7] = RM, [0xbb ... 0xbf] = RM, [0xc0 ... 0xc1] = RM,
    [0xc8 ... 0xcf] = BARE,
};

/* Prefixes that make an instruction another one. */
enum { NONE = 1, X66 = 2, XF3 = 4, XF2 = 8, ANY = 15 };

/*
 * With which of them there is one with a ModRM behind 0x0f.  Not in 16-bit
 * code: Capstone misses some of them there, and nobody has them.
 */
static const uint8_t with_prefix[256] = {
    [0x10 ... 0x11] = ANY, [0x28 ... 0x29] = NONE | X66, [0x2a] = ANY,
    [0x2c ... 0x2d] = ANY, [0x2e ... 0x2f] = NONE | X66, [0x51] = ANY,
    [0x54 ... 0x57] = NONE | X66, [0x58 ... 0x5a] = ANY,
    [0x5b] = NONE | X66 | XF3, [0x5c ... 0x5f] = ANY,
    [0x60 ... 0x6b] = NONE | X66, [0x6c ... 0x6d] = X66, [0x6e] = NONE | X66,
    [0x6f] = NONE | X66 | XF3, [0x70] = ANY, [0x74 ... 0x76] = NONE | X66,
    [0x7e] = NONE | X66 | XF3, [0x7f] = NONE | X66 | XF3, [0xb8] = XF3,
    [0xbc ... 0xbd] = XF3, [0xc6] = NONE | X66, [0xd1 ... 0xd5] = NONE | X66,
    [0xd6] = X66, [0xd7 ... 0xe5] = NONE | X66, [0xe8 ... 0xef] = NONE | X66,
    [0xf1 ... 0xf6] = NONE | X66, [0xf8 ... 0xfe] = NONE | X66,
};

/* 64-bit code does not have the last two of each eight. */
static Form arithmetic(uint8_t op, bool code64)
{
    return (op & 7) < 4 ? RM : (op & 7) == 4 ? I8 : (op & 7) == 5 ? IZ
         : code64 ? ASK : BARE;
}

/* RET and CALL: Capstone mistakes their size behind some prefixes. */
static bool not_in_64(const PbInsnParts *p)
{
    return (p->op >= 0x60 && p->op <= 0x62) || p->op == 0x9a ||
           p->op == 0xea ||
           ((p->op == 0xc2 || p->op == 0xe8) && (p->x66 || p->addr32));
}

/* Of memory all but four, of registers those without holes. */
static Form of_fpu(const PbInsnParts *p)
{
    unsigned n = (p->op & 7) << 4 | p->reg;

    if (p->mod != 3) {
        return n == 0x11 || n == 0x34 || n == 0x36 || n == 0x55 ? ASK : MEM;
    }
    switch (n) {
    case 0x00 ... 0x07:                              /* FADD ... FDIVR */
    case 0x10: case 0x11: case 0x16: case 0x17:      /* FLD, FXCH, FSQRT */
    case 0x20 ... 0x23: case 0x30 ... 0x33:          /* FCMOV */
    case 0x35: case 0x36: case 0x75: case 0x76:      /* FUCOMI, FCOMI */
    case 0x40: case 0x41: case 0x44 ... 0x47:
    case 0x50: case 0x52 ... 0x55:                   /* FFREE, FST, FUCOM */
    case 0x60: case 0x61: case 0x64 ... 0x67:
        return REG;
    case 0x15:                                       /* FLD1 ... FLDZ */
        return p->rm < 7 ? REG : ASK;
    default:
        return ASK;
    }
}

/* Where ModRM's middle bits tell the instruction. */
static Form in_group(const PbInsnParts *p)
{
    unsigned n = p->reg;

    switch (p->op) {
    case 0x8c:
        return n < 6 && !(p->rex & PB_INSN_REX_R) ? RM : ASK;
    case 0x8e:
        return n < 6 && n != 1 && !(p->rex & PB_INSN_REX_R) ? RM : ASK;
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
    case 0xd8 ... 0xdf:
        return of_fpu(p);
    default:
        return ASK;
    }
}

static Form in_second_group(const PbInsnParts *p)
{
    unsigned n = p->reg;

    switch (p->op2) {
    case 0x00:
        return n < 6 ? RM : ASK;
    case 0x01:
        return n != 5 ? MEM : ASK;
    case 0x0d:                                       /* PREFETCHW */
        return n == 1 ? MEM : ASK;
    case 0x20: case 0x22:
        return (n == 0 || (n >= 2 && n <= 4)) && !(p->rex & PB_INSN_REX_R)
               ? REG : ASK;
    case 0xae:                                       /* FXSAVE ...; fences */
        return p->mod != 3 ? MEM : n >= 5 && p->rm == 0 ? REG : ASK;
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

/* Of MOV with an address, or an immediate as long as its register. */
static unsigned moffs_length(const PbInsnParts *p)
{
    return p->addr16 ? 2 : p->code64 && !p->addr32 ? 8 : 4;
}

static bool is_mov_64(const PbInsnParts *p)
{
    return p->op >= 0xb8 && p->op <= 0xbf && (p->rex & PB_INSN_REX_W);
}

/* Bytes behind the opcode; -1: not known. */
static int operands_length(const PbInsnParts *p, Form form, const uint8_t *at,
                           unsigned left)
{
    unsigned z = p->op16 ? 2 : is_mov_64(p) ? 8 : 4, n = 0;

    if (form >= RM && form <= RMZ) {
        if (!left || (form == MEM && at[0] >= 0xc0)) {
            return -1;
        }
        n = form == REG ? 1 : modrm_length(at, left, p->addr16);
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
        return moffs_length(p);
    case FAR:
        return z + 2;
    default:
        return n;
    }
}

/* @left: bytes behind the opcode. */
static Form form_without(const PbInsnParts *p, unsigned left)
{
    Form form = p->op == 0x0f ? two_bytes[p->op2]
              : p->op < 0x40 ? arithmetic(p->op, p->code64) : one_byte[p->op];

    if (p->code64 && not_in_64(p)) {
        return ASK;
    }
    if (form != ASK || !left) {
        return form;
    }
    return p->op == 0x0f ? in_second_group(p) : in_group(p);
}

/* LOCK goes before what reads and writes memory, and nothing else. */
static bool may_lock(const PbInsnParts *p)
{
    if (p->mod == 3) {
        return false;
    }
    switch (p->op == 0x0f ? 0x100 | p->op2 : p->op) {
    case 0x00: case 0x01: case 0x08: case 0x09: case 0x10: case 0x11:
    case 0x18: case 0x19: case 0x20: case 0x21: case 0x28: case 0x29:
    case 0x30: case 0x31:                            /* ADD ... XOR */
    case 0x86: case 0x87:                            /* XCHG */
    case 0x1ab: case 0x1b3: case 0x1bb:              /* BTS, BTR, BTC */
    case 0x1b0: case 0x1b1: case 0x1c0: case 0x1c1:  /* CMPXCHG, XADD */
        return true;
    case 0x80: case 0x81: case 0x83:
        return p->reg != 7;
    case 0xf6: case 0xf7:
        return p->reg == 2 || p->reg == 3;
    case 0xfe: case 0xff:
        return p->reg < 2;
    case 0x1ba:
        return p->reg > 4;
    case 0x1c7:
        return p->reg == 1;
    default:
        return false;
    }
}

static Form form_of(const PbInsnParts *p, unsigned left, unsigned bits)
{
    unsigned sort = p->rep == 0xf2 ? XF2 : p->rep ? XF3 : p->x66 ? X66 : NONE;
    unsigned prefixes = (sort != NONE) + (p->rex != 0);
    bool string = pb_insn_is_string(p->op) || (p->op & 0xfc) == 0x6c;

    if (p->lock) {
        return !p->rep && left && may_lock(p) ? form_without(p, left) : ASK;
    }
    if (p->op == 0x0f && bits != 16 && with_prefix[p->op2] & sort) {
        return p->opcode_end > 2 + prefixes ? ASK            /* more of them */
             : p->op2 == 0x70 || p->op2 == 0xc6 ? RM8
             : p->op2 == 0xd7 ? REG : RM;
    }
    if (p->op == 0x0f && p->op2 == 0xae && p->x66) {
        return ASK;
    }
    if (p->rep && !string) {
        return sort == XF3 && p->op == 0x90 && !p->x66 ? BARE : ASK; /* PAUSE */
    }
    return form_without(p, left);
}

unsigned pb_insn_length(const uint8_t *code, unsigned len, unsigned bits)
{
    PbInsnParts p;
    unsigned at;
    Form form;
    int n;

    if (!pb_insn_take_apart(&p, code, len, bits) || p.twice) {
        return 0;
    }
    at = p.opcode_end;
    form = form_of(&p, len - at, bits);
    n = operands_length(&p, form, code + at, len - at);
    return n >= 0 && at + n <= len && at + n <= PB_INSN_MAX_LEN ? at + n : 0;
}
