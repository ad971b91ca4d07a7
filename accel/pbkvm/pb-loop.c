/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-loop.c: tell the rounds of a loop without conditional branches apart. */
#include <pthread.h>
#include <string.h>

#include "pb-disasm.h"
#include "pb-linear.h"
#include "pb-loop.h"
#include "pb-remedy.h"
#include "pb-step.h"
#include "pb-tables.h"

/* A loop of more instructions has a conditional branch, or is not met. */
#define MAX_INSNS 32

/* Most code that is looked at lies in one piece, which begins before it. */
#define WINDOW    192
#define BEFORE    96u

typedef struct Loop {
    const PbMem *mem;
    const struct kvm_regs *regs;
    const struct kvm_sregs *sregs;
    uint64_t hash;
    uint64_t cs_base;     /* 0 in 64-bit code */
    unsigned bits;        /* of the code */

    uint64_t from;        /* linear address of code[0], */
    unsigned have;        /* how much of it could be read, */
    unsigned first, end;  /* and what of it was looked at, */
    bool beyond;          /* beside other code, or what is no code */
    uint8_t code[WINDOW];
} Loop;

/* Code that is no loop, as these bytes of it tell. */
typedef struct NoLoop {
    uint64_t start, cs_base;
    uint64_t from;        /* linear address of code[0] */
    unsigned len;         /* 0: nothing is known */
    unsigned bits;
    uint8_t code[WINDOW];
} NoLoop;

#define NO_LOOPS 32

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static csh handle[PB_DISASM_HANDLES];         /* with operands */

static void open_capstone(void)
{
    pb_disasm_open(handle, CS_OPT_ON);
}

/* Registers by Capstone's names: 64, 32 and 16 bits. */
#define AT(reg) offsetof(struct kvm_regs, reg)

static const struct {
    uint16_t name[3];
    uint16_t at;
} registers[] = {
    { { X86_REG_RAX, X86_REG_EAX, X86_REG_AX }, AT(rax) },
    { { X86_REG_RBX, X86_REG_EBX, X86_REG_BX }, AT(rbx) },
    { { X86_REG_RCX, X86_REG_ECX, X86_REG_CX }, AT(rcx) },
    { { X86_REG_RDX, X86_REG_EDX, X86_REG_DX }, AT(rdx) },
    { { X86_REG_RSI, X86_REG_ESI, X86_REG_SI }, AT(rsi) },
    { { X86_REG_RDI, X86_REG_EDI, X86_REG_DI }, AT(rdi) },
    { { X86_REG_RBP, X86_REG_EBP, X86_REG_BP }, AT(rbp) },
    { { X86_REG_RSP, X86_REG_ESP, X86_REG_SP }, AT(rsp) },
    { { X86_REG_R8, X86_REG_R8D, X86_REG_R8W }, AT(r8) },
    { { X86_REG_R9, X86_REG_R9D, X86_REG_R9W }, AT(r9) },
    { { X86_REG_R10, X86_REG_R10D, X86_REG_R10W }, AT(r10) },
    { { X86_REG_R11, X86_REG_R11D, X86_REG_R11W }, AT(r11) },
    { { X86_REG_R12, X86_REG_R12D, X86_REG_R12W }, AT(r12) },
    { { X86_REG_R13, X86_REG_R13D, X86_REG_R13W }, AT(r13) },
    { { X86_REG_R14, X86_REG_R14D, X86_REG_R14W }, AT(r14) },
    { { X86_REG_R15, X86_REG_R15D, X86_REG_R15W }, AT(r15) },
};

static uint64_t reg_value(const Loop *l, const cs_insn *insn, x86_reg reg)
{
    static const uint64_t mask[] = { ~0ull, 0xffffffff, 0xffff };
    unsigned i, n;

    if (reg == X86_REG_RIP || reg == X86_REG_EIP) {
        return insn->address + insn->size;
    }
    for (i = 0; i < sizeof(registers) / sizeof(registers[0]); i++) {
        for (n = 0; n < 3; n++) {
            if (registers[i].name[n] == reg) {
                uint64_t value;

                memcpy(&value, (uint8_t *)l->regs + registers[i].at, 8);
                return value & mask[n];
            }
        }
    }
    return 0;
}

static uint64_t segment_base(const struct kvm_sregs *s, const x86_op_mem *m)
{
    bool stack = m->base == X86_REG_EBP || m->base == X86_REG_ESP ||
                 m->base == X86_REG_BP;

    if (m->segment == X86_REG_FS) {
        return s->fs.base;
    }
    if (m->segment == X86_REG_GS) {
        return s->gs.base;
    }
    if (pb_code_bits(s) == 64) {
        return 0;
    }
    switch (m->segment) {
    case X86_REG_CS: return s->cs.base;
    case X86_REG_DS: return s->ds.base;
    case X86_REG_ES: return s->es.base;
    case X86_REG_SS: return s->ss.base;
    default: return stack ? s->ss.base : s->ds.base;
    }
}

/* The linear address of a memory operand. */
static uint64_t address(const Loop *l, const cs_insn *insn,
                        const x86_op_mem *m)
{
    uint64_t at = reg_value(l, insn, m->base) + m->disp +
                  reg_value(l, insn, m->index) * m->scale;
    unsigned size = insn->detail->x86.addr_size;

    at &= size < 8 ? ~0ull >> (64 - 8 * size) : ~0ull;
    at += segment_base(l->sregs, m);
    return pb_code_bits(l->sregs) == 64 ? at : (uint32_t)at;
}

/* Mix in what the instruction's memory operands hold now. */
static void mix_operands(Loop *l, const cs_insn *insn)
{
    const cs_x86 *x = &insn->detail->x86;
    int i;

    for (i = 0; i < x->op_count; i++) {
        const x86_op_mem *m = &x->operands[i].mem;
        uint8_t data[64];
        unsigned n = x->operands[i].size;

        if (x->operands[i].type != X86_OP_MEM) {
            continue;
        }
        n = n && n <= sizeof(data) ? n : 4;
        n = pb_tables_read(l->mem, l->sregs, address(l, insn, m), data, n);
        l->hash = pb_digest_bytes(l->hash, data, n);
    }
}

static void mix_insn(Loop *l, const uint8_t *code, size_t len, uint64_t pc,
                     unsigned bits)
{
    csh h;
    cs_insn *insn;

    pthread_once(&once, open_capstone);
    pthread_mutex_lock(&lock);
    h = handle[PB_DISASM(bits)];
    insn = cs_malloc(h);
    if (insn && cs_disasm_iter(h, &code, &len, &pc, insn)) {
        mix_operands(l, insn);
    }
    if (insn) {
        cs_free(insn, 1);
    }
    pthread_mutex_unlock(&lock);
}

/* Read the window around @pc; what lies in the page before it is left out. */
static void read_window(Loop *l, uint64_t pc)
{
    unsigned before = pc & 4095;

    l->from = pc - (before < BEFORE ? before : BEFORE);
    l->have = pb_tables_read(l->mem, l->sregs, l->from, l->code, WINDOW);
}

/* The *@len bytes of code at @pc, as far as they can be read. */
static const uint8_t *fetch(Loop *l, uint64_t pc, unsigned *len)
{
    if (pc < l->from || pc > l->from + WINDOW - PB_INSN_MAX_LEN) {
        read_window(l, pc);
        l->beyond = true;
    }
    *len = pc - l->from < l->have ? l->have - (pc - l->from) : 0;
    *len = *len < PB_INSN_MAX_LEN ? *len : PB_INSN_MAX_LEN;
    return l->code + (pc - l->from);
}

/* An instruction was looked at; @len 0: one that is not known. */
static void note(Loop *l, unsigned at, unsigned len)
{
    l->first = at < l->first ? at : l->first;
    l->end = at + len > l->end ? at + len : l->end;
    l->beyond |= !len;
}

/* From the instruction at *@pc to where it always goes; false: may branch. */
static bool follow(Loop *l, uint64_t *pc)
{
    const uint8_t *code;
    unsigned len;
    PbInsn insn;

    code = fetch(l, *pc, &len);
    pb_insn_decode(&insn, code, len, *pc, l->cs_base, l->bits);
    note(l, code - l->code, insn.len);
    if (!insn.len || insn.conditional) {
        return false;
    }
    if (insn.kind == PB_INSN_BRANCH) {
        *pc = insn.target;
    } else if (insn.kind == PB_INSN_PLAIN) {
        *pc += insn.len;
        *pc = l->bits == 64 ? *pc : (uint32_t)*pc;
    } else {
        return false;
    }
    return true;
}

static bool goes_round(Loop *l, uint64_t start)
{
    uint64_t pc = start;
    unsigned i;

    for (i = 0; i < MAX_INSNS && follow(l, &pc); i++) {
        if (pc == start) {
            return true;
        }
    }
    return false;
}

static bool is_known(const NoLoop *n, const Loop *l, uint64_t start)
{
    return n->start == start && n->len && n->cs_base == l->cs_base &&
           n->bits == l->bits &&
           pb_tables_equal(l->mem, l->sregs, n->from, n->code, n->len);
}

static void remember(NoLoop *n, const Loop *l, uint64_t start)
{
    n->start = start;
    n->cs_base = l->cs_base;
    n->bits = l->bits;
    n->from = l->from + l->first;
    n->len = l->end - l->first;
    memcpy(n->code, l->code + l->first, n->len);
}

static bool is_loop(Loop *l, uint64_t start)
{
    static __thread NoLoop no_loop[NO_LOOPS];
    NoLoop *n = &no_loop[(start ^ start >> 5) % NO_LOOPS];

    if (is_known(n, l, start)) {
        return false;
    }
    read_window(l, start);
    l->first = l->end = start - l->from;
    l->beyond = false;
    if (goes_round(l, start)) {
        return true;
    }
    if (!l->beyond) {
        remember(n, l, start);
    }
    return false;
}

uint32_t pb_loop_hash(PbVcpu *v, const struct kvm_regs *regs,
                      const struct kvm_sregs *sregs)
{
    Loop l;
    uint64_t start = pb_linear(sregs, regs->rip), pc = start;
    const uint8_t *code;
    unsigned len;

    /* Field by field: clearing the window took as long as looking at it. */
    l.mem = v->mem;
    l.regs = regs;
    l.sregs = sregs;
    l.hash = PB_DIGEST_START;
    l.bits = pb_code_bits(sregs);
    l.cs_base = l.bits == 64 ? 0 : sregs->cs.base;
    if (!is_loop(&l, start) || !pb_remedy(PB_REMEDY_LOOP)) {
        return 0;
    }
    do {
        code = fetch(&l, pc, &len);
        mix_insn(&l, code, len, pc, l.bits);
        follow(&l, &pc);
    } while (pc != start);
    return ((uint32_t)(l.hash >> 32) & ~1u) | 2;
}
