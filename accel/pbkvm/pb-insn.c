/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-insn.c: decode one instruction, as far as stepping it needs.
 *
 * Capstone tells the length of what is not common, and the text.  The kind
 * comes from the opcode bytes themselves: the few that matter are fixed since
 * the 80486, whereas names and groups differ between Capstone 4 and 5.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "pb-disasm.h"
#include "pb-insn-parts.h"
#include "pb-linear.h"
#include "pb-step.h"
#include "pb-tables.h"

/* Instructions remembered, per thread. */
#define KNOWN   512

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static csh handle[PB_DISASM_HANDLES];

static void open_capstone(void)
{
    pb_disasm_open(handle, CS_OPT_OFF);
}

/* False when these bytes are no (whole) instruction. */
static bool disassemble(cs_insn *cs, const uint8_t *code, unsigned len,
                        uint64_t pc, unsigned bits)
{
    size_t left = len;
    bool ok;

    cs->detail = NULL;
    pthread_once(&once, open_capstone);
    pthread_mutex_lock(&lock);       /* a handle also keeps its last error */
    ok = handle[PB_DISASM(bits)] &&
         cs_disasm_iter(handle[PB_DISASM(bits)], &code, &left, &pc, cs);
    pthread_mutex_unlock(&lock);
    return ok;
}

unsigned pb_insn_print(const uint8_t *code, unsigned len, uint64_t pc,
                       unsigned bits, char *text, size_t size)
{
    cs_insn cs;

    if (!disassemble(&cs, code, len, pc, bits)) {
        snprintf(text, size, "(bad)");
        return 0;
    }
    snprintf(text, size, "%s%s%s", cs.mnemonic, cs.op_str[0] ? " " : "",
             cs.op_str);
    return cs.size;
}

static unsigned length_of(const uint8_t *code, unsigned len, uint64_t pc,
                          unsigned bits)
{
    unsigned n = pb_insn_length(code, len, bits);
    cs_insn cs;

    return n ? n : disassemble(&cs, code, len, pc, bits) ? cs.size : 0;
}

/* The target of a relative branch: its displacement ends the instruction. */
static uint64_t target_of(const uint8_t *code, unsigned len, unsigned size,
                          uint64_t pc, uint64_t cs_base, const PbInsnParts *p)
{
    uint64_t ip = pc - cs_base + len;
    int8_t rel8 = code[len - 1];
    int16_t rel16;
    int32_t rel32;

    if (size == 1) {
        ip += rel8;
    } else if (size == 2) {
        memcpy(&rel16, code + len - 2, 2);
        ip += rel16;
    } else {
        memcpy(&rel32, code + len - 4, 4);
        ip += rel32;
    }
    return p->code64 ? ip : (uint32_t)(cs_base + (p->op16 ? ip & 0xffff : ip));
}

/*
 * Size of the displacement of a relative branch (1, 2 or 4), with kind and
 * conditional set; 0 for anything else.
 */
static unsigned classify_relative(PbInsn *insn, const PbInsnParts *p)
{
    unsigned wide = p->op16 ? 2 : 4;

    insn->kind = PB_INSN_BRANCH;
    if ((p->op >= 0x70 && p->op <= 0x7f) ||
        (p->op >= 0xe0 && p->op <= 0xe3)) {          /* Jcc, LOOP, JCXZ */
        insn->conditional = true;
        return 1;
    }
    if (p->op == 0x0f && p->op2 >= 0x80 && p->op2 <= 0x8f) {
        insn->conditional = true;
        return wide;
    }
    if (p->op == 0xeb) {
        return 1;
    }
    if (p->op == 0xe9) {
        return wide;
    }
    if (p->op == 0xe8) {
        insn->kind = PB_INSN_CALL;
        return wide;
    }
    insn->kind = PB_INSN_PLAIN;
    return 0;
}

/* But for DR4 and DR5, which CR4.DE takes away. */
static bool is_mov_dr(const PbInsnParts *p)
{
    return p->op == 0x0f && (p->op2 == 0x21 || p->op2 == 0x23) &&
           p->reg != 4 && p->reg != 5 && !(p->rex & PB_INSN_REX_R);
}

static void classify_two_bytes(PbInsn *insn, const PbInsnParts *p)
{
    switch (p->op2) {
    case 0x00:                                       /* LLDT, LTR */
    case 0xa1: case 0xa9:                            /* POP FS, GS */
    case 0xb2: case 0xb4: case 0xb5:                 /* LSS, LFS, LGS */
        insn->traits |= PB_INSN_SEGMENT;
        break;
    case 0x05:
        insn->traits |= PB_INSN_SYSCALL;
        /* fall through */
    case 0x34:
        insn->kind = PB_INSN_SYSENTER;
        break;
    case 0x21: case 0x23:                            /* MOV DR */
        if (is_mov_dr(p)) {
            insn->traits |= PB_INSN_MOV_DR;
            insn->traits |= p->op2 == 0x23 && p->reg == 6 ? PB_INSN_SETS_DR6
                                                          : 0;
        }
        insn->from = p->rm | (p->rex & PB_INSN_REX_B) << 3;
        break;
    case 0x07:                                       /* SYSRET */
        insn->kind = p->code64 ? PB_INSN_SYSRET : PB_INSN_INDIRECT;
        break;
    case 0x35:                                       /* SYSEXIT */
        insn->kind = PB_INSN_INDIRECT;
        break;
    case 0x0b: case 0xb9: case 0xff:                 /* UD2, UD1, UD0 */
        insn->traits |= PB_INSN_UD;
        break;
    case 0x78: case 0x79:           /* SSE4A, which Capstone takes for VMX */
        insn->kind = PB_INSN_UNKNOWN;
        break;
    case 0xaa:                                       /* RSM */
        insn->traits |= PB_INSN_REFUSED;
        break;
    case 0x10 ... 0x17: case 0x28 ... 0x2f: case 0x38: case 0x3a:
    case 0x50 ... 0x77: case 0x7a ... 0x7f: case 0xae: case 0xc2:
    case 0xc4 ... 0xc6:
    case 0xd0 ... 0xfe:
        insn->traits |= PB_INSN_SSE | PB_INSN_FPU;
        break;
    default:
        break;
    }
}

static void classify_int(PbInsn *insn, uint8_t vector)
{
    insn->kind = PB_INSN_INT;
    insn->vector = vector;
}

/* Opcodes 0xc0 and above; classify_low() has the others. */
static void classify_high(PbInsn *insn, const PbInsnParts *p,
                          const uint8_t *code)
{
    switch (p->op) {
    case 0xc4: case 0xc5:                            /* LES, LDS; or VEX */
        insn->traits |= p->code64 || p->mod == 3 ? PB_INSN_SSE
                                                 : PB_INSN_SEGMENT;
        break;
    case 0xcf:
        insn->traits |= PB_INSN_IRET;
        /* fall through */
    case 0xc2: case 0xc3: case 0xca: case 0xcb: case 0xea:
        insn->kind = PB_INSN_INDIRECT;
        break;
    case 0xcc:
        classify_int(insn, 3);
        break;
    case 0xcd:
        classify_int(insn, code[insn->len - 1]);
        break;
    case 0xce:
        classify_int(insn, 4);
        break;
    case 0xd4:                                       /* AAM */
        insn->traits |= PB_INSN_DIVIDE;
        break;
    case 0xd8 ... 0xdf:
        insn->traits |= PB_INSN_FPU;
        break;
    case 0xe4 ... 0xe7: case 0xec ... 0xef:          /* IN, OUT */
    case 0xf4:                                       /* HLT */
        insn->traits |= PB_INSN_NO_TF;
        break;
    case 0xf1:                                       /* ICEBP */
        insn->traits |= PB_INSN_REFUSED;
        break;
    case 0xf6: case 0xf7:
        insn->traits |= p->reg >= 6 ? PB_INSN_DIVIDE : 0;
        break;
    case 0xc7:                                       /* XBEGIN */
        insn->kind = p->mod == 3 && p->reg == 7 ? PB_INSN_UNKNOWN
                                                : PB_INSN_PLAIN;
        break;
    case 0xff:
        if (p->reg >= 2 && p->reg <= 5) {
            insn->kind = PB_INSN_INDIRECT;
        }
        break;
    default:
        break;
    }
}

static void classify_low(PbInsn *insn, const PbInsnParts *p)
{
    switch (p->op) {
    case 0x07: case 0x1f:                            /* POP ES, DS */
        insn->traits |= PB_INSN_SEGMENT;
        break;
    case 0x17:                                       /* POP SS */
        insn->traits |= PB_INSN_SEGMENT | PB_INSN_SHADOW | PB_INSN_NO_TF;
        break;
    case 0x0f:
        classify_two_bytes(insn, p);
        break;
    case 0x62:                                       /* BOUND; or EVEX */
        insn->traits |= p->code64 ? PB_INSN_SSE : PB_INSN_BOUND;
        break;
    case 0x6c ... 0x6f:                              /* INS, OUTS */
    case 0x9c: case 0x9d:                            /* PUSHF, POPF */
        insn->traits |= PB_INSN_NO_TF;
        break;
    case 0x8e:
        insn->traits |= PB_INSN_SEGMENT;
        if (p->reg == 2) {                           /* MOV SS */
            insn->traits |= PB_INSN_SHADOW | PB_INSN_NO_TF;
        }
        break;
    case 0x9a:                                       /* CALL far */
        insn->kind = PB_INSN_INDIRECT;
        break;
    case 0x9b:                                       /* WAIT */
        insn->traits |= PB_INSN_FPU;
        break;
    default:
        break;
    }
}

/* What is no relative branch. */
static void classify(PbInsn *insn, const PbInsnParts *p, const uint8_t *code)
{
    if (pb_insn_is_string(p->op) && p->rep) {
        insn->kind = PB_INSN_REP;
    } else if (p->op >= 0xc0) {
        classify_high(insn, p, code);
    } else {
        classify_low(insn, p);
    }
}

/*
 * A relative branch, whose displacement has @disp bytes.  Its REP prefixes
 * mean nothing, but Capstone ignores 0x66 when one of them follows it, and
 * so takes the branch for longer or shorter: it does not get to see them.
 */
static void decode_relative(PbInsn *insn, const PbInsnParts *p, unsigned disp,
                            const uint8_t *code, unsigned len, uint64_t pc,
                            uint64_t cs_base, unsigned bits)
{
    unsigned i, n = 0, size = p->opcode_end + disp;
    uint8_t bare[PB_INSN_MAX_LEN];

    for (i = 0; i < size && size <= len; i++) {
        if (i >= p->opcode_end || (code[i] != 0xf2 && code[i] != 0xf3)) {
            bare[n++] = code[i];
        }
    }
    if (size <= len && length_of(bare, n, pc + size - n, bits)) {
        insn->len = size;
        insn->target = target_of(code, size, disp, pc, cs_base, p);
    }
}

static void decode(PbInsn *insn, const uint8_t *code, unsigned len,
                   uint64_t pc, uint64_t cs_base, unsigned bits)
{
    unsigned disp;
    PbInsnParts p;

    memset(insn, 0, sizeof(*insn));
    if (pb_insn_take_apart(&p, code, len, bits)) {
        insn->traits = (p.op16 ? PB_INSN_OP16 : 0) |
                       (p.rex & PB_INSN_REX_W ? PB_INSN_OP64 : 0) |
                       (p.addr16 ? PB_INSN_ADDR16 : 0);
        disp = classify_relative(insn, &p);
        if (disp && p.code64 && p.op16) {
            insn->len = 0;        /* AMD and Intel differ: left to TF */
        } else if (disp) {
            decode_relative(insn, &p, disp, code, len, pc, cs_base, bits);
        } else {
            insn->len = length_of(code, len, pc, bits);
            if (insn->len) {
                classify(insn, &p, code);
            }
        }
    }
    if (!insn->len) {
        *insn = (PbInsn) { .kind = PB_INSN_UNKNOWN };
    }
}

/*
 * What was decoded before: a guest is interrupted in the same few places
 * again and again, and a disassembler takes its time.
 */
typedef struct Known {
    uint64_t pc, cs_base;
    uint8_t code[PB_INSN_MAX_LEN];
    uint8_t len, bits;
    PbInsn insn;
} Known;

static bool same(const Known *k, const uint8_t *code, unsigned len,
                 uint64_t pc, uint64_t cs_base, unsigned bits)
{
    return k->bits == bits && k->pc == pc && k->cs_base == cs_base &&
           k->len == len && memcmp(k->code, code, len) == 0;
}

void pb_insn_decode(PbInsn *insn, const uint8_t *code, unsigned len,
                    uint64_t pc, uint64_t cs_base, unsigned bits)
{
    static __thread Known known[KNOWN];
    Known *k = &known[(pc ^ pc >> 9) % KNOWN];

    len = len < PB_INSN_MAX_LEN ? len : PB_INSN_MAX_LEN;
    if (!same(k, code, len, pc, cs_base, bits)) {
        k->pc = pc;
        k->cs_base = cs_base;
        k->len = len;
        k->bits = bits;
        memcpy(k->code, code, len);
        decode(&k->insn, code, len, pc, cs_base, bits);
    }
    *insn = k->insn;
}

bool pb_insn_at_mov_dr(const PbMem *mem, const struct kvm_regs *regs,
                       const struct kvm_sregs *sregs)
{
    uint8_t code[PB_INSN_MAX_LEN];
    unsigned len;
    PbInsnParts p;

    len = pb_tables_read(mem, sregs, pb_linear(sregs, regs->rip), code,
                         sizeof(code));
    return pb_insn_take_apart(&p, code, len, pb_code_bits(sregs)) &&
           is_mov_dr(&p);
}

void pb_insn_fetch(PbVcpu *v, const struct kvm_regs *regs,
                   const struct kvm_sregs *sregs, PbInsn *insn)
{
    uint64_t pc = pb_linear(sregs, regs->rip);
    unsigned bits = pb_code_bits(sregs), len;
    uint8_t code[PB_INSN_MAX_LEN];

    len = pb_tables_read(v->mem, sregs, pc, code, sizeof(code));
    pb_insn_decode(insn, code, len, pc, bits == 64 ? 0 : sregs->cs.base, bits);
}
