/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-loop.c: tell the rounds of a loop without conditional branches apart. */
#include <capstone/capstone.h>
#include <pthread.h>
#include <string.h>

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
    bool wide;
    uint8_t code[WINDOW];
} NoLoop;

#define NO_LOOPS 32

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static csh handle[2];         /* 16-bit, 32-bit, with operands */

static void open_capstone(void)
{
    cs_open(CS_ARCH_X86, CS_MODE_16, &handle[0]);
    cs_open(CS_ARCH_X86, CS_MODE_32, &handle[1]);
    cs_option(handle[0], CS_OPT_DETAIL, CS_OPT_ON);
    cs_option(handle[1], CS_OPT_DETAIL, CS_OPT_ON);
}

static uint32_t reg_value(const struct kvm_regs *r, x86_reg reg)
{
    switch (reg) {
    case X86_REG_EAX: return r->rax;
    case X86_REG_EBX: return r->rbx;
    case X86_REG_ECX: return r->rcx;
    case X86_REG_EDX: return r->rdx;
    case X86_REG_ESI: return r->rsi;
    case X86_REG_EDI: return r->rdi;
    case X86_REG_EBP: return r->rbp;
    case X86_REG_ESP: return r->rsp;
    case X86_REG_BX: return r->rbx & 0xffff;
    case X86_REG_SI: return r->rsi & 0xffff;
    case X86_REG_DI: return r->rdi & 0xffff;
    case X86_REG_BP: return r->rbp & 0xffff;
    default: return 0;
    }
}

static uint64_t segment_base(const struct kvm_sregs *s, const x86_op_mem *m)
{
    bool stack = m->base == X86_REG_EBP || m->base == X86_REG_ESP ||
                 m->base == X86_REG_BP;

    switch (m->segment) {
    case X86_REG_CS: return s->cs.base;
    case X86_REG_DS: return s->ds.base;
    case X86_REG_ES: return s->es.base;
    case X86_REG_FS: return s->fs.base;
    case X86_REG_GS: return s->gs.base;
    case X86_REG_SS: return s->ss.base;
    default: return stack ? s->ss.base : s->ds.base;
    }
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
        uint32_t offset;

        if (x->operands[i].type != X86_OP_MEM) {
            continue;
        }
        n = n && n <= sizeof(data) ? n : 4;
        offset = reg_value(l->regs, m->base) + m->disp +
                 reg_value(l->regs, m->index) * m->scale;
        if (x->addr_size == 2) {
            offset &= 0xffff;
        }
        n = pb_tables_read(l->mem, l->sregs,
                           segment_base(l->sregs, m) + offset, data, n);
        l->hash = pb_digest_bytes(l->hash, data, n);
    }
}

static void mix_insn(Loop *l, const uint8_t *code, size_t len, uint64_t pc,
                     bool wide)
{
    cs_insn *insn;

    pthread_once(&once, open_capstone);
    pthread_mutex_lock(&lock);
    insn = cs_malloc(handle[wide]);
    if (insn && cs_disasm_iter(handle[wide], &code, &len, &pc, insn)) {
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
    pb_insn_decode(&insn, code, len, *pc, l->sregs->cs.base,
                   l->sregs->cs.db ? 32 : 16);
    note(l, code - l->code, insn.len);
    if (!insn.len || insn.conditional) {
        return false;
    }
    if (insn.kind == PB_INSN_BRANCH) {
        *pc = insn.target;
    } else if (insn.kind == PB_INSN_PLAIN) {
        *pc = (uint32_t)(*pc + insn.len);
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
    return n->start == start && n->len && n->cs_base == l->sregs->cs.base &&
           n->wide == l->sregs->cs.db &&
           pb_tables_equal(l->mem, l->sregs, n->from, n->code, n->len);
}

static void remember(NoLoop *n, const Loop *l, uint64_t start)
{
    n->start = start;
    n->cs_base = l->sregs->cs.base;
    n->wide = l->sregs->cs.db;
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
    uint64_t start = (uint32_t)(sregs->cs.base + regs->rip), pc = start;
    const uint8_t *code;
    unsigned len;

    /* Field by field: clearing the window took as long as looking at it. */
    l.mem = v->mem;
    l.regs = regs;
    l.sregs = sregs;
    l.hash = PB_DIGEST_START;
    if (!is_loop(&l, start) || !pb_remedy(PB_REMEDY_LOOP)) {
        return 0;
    }
    do {
        code = fetch(&l, pc, &len);
        mix_insn(&l, code, len, pc, sregs->cs.db);
        follow(&l, &pc);
    } while (pc != start);
    return ((uint32_t)(l.hash >> 32) & ~1u) | 2;
}
