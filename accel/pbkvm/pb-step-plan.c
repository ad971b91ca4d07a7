/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-step-plan.c: decide how one instruction is stepped.
 *
 * A plan is a list of places where the guest can be after the instruction,
 * at most four as there are four debug registers, or, where the successor is
 * not known beforehand or the list is too long, TF and the handlers of the
 * faults in the list.
 */
#include <errno.h>
#include <string.h>

#include "pb-linear.h"
#include "pb-remedy.h"
#include "pb-step-plan.h"
#include "pb-tables.h"

#define CR0_EM 0x00000004ull
#define CR0_TS 0x00000008ull
#define CR0_AM 0x00040000ull
#define CR0_PG 0x80000000ull
#define CR4_VME 0x00000001ull
#define CR4_OSFXSR 0x00000200ull
#define CR4_OSXMMEXCPT 0x00000400ull

#define RFLAGS_NT 0x4000ull
#define RFLAGS_AC 0x40000ull

enum {
    VEC_DE = 0, VEC_DB = 1, VEC_NMI = 2, VEC_BR = 5, VEC_UD = 6, VEC_NM = 7,
    VEC_DF = 8, VEC_NP = 11, VEC_SS = 12, VEC_GP = 13, VEC_PF = 14, VEC_MF = 16,
    VEC_AC = 17, VEC_XM = 19,
};

/* Faults an instruction may raise, the likeliest first. */
typedef struct Faults {
    uint8_t vector[12];
    unsigned n;
    unsigned likely;      /* so many must not be left out */
} Faults;

static bool add_bp(PbStepPlan *plan, uint64_t addr, int vector)
{
    unsigned i;

    for (i = 0; i < plan->bps; i++) {
        if (plan->bp[i] == addr) {
            return true;
        }
    }
    if (plan->bps == PB_VCPU_DRS) {
        return false;
    }
    plan->set_rf |= addr == plan->start;
    plan->bp[plan->bps] = addr;
    plan->vector[plan->bps++] = vector;
    return true;
}

static void add_handler(const PbStepInput *in, PbStepPlan *plan, int vector)
{
    PbGate gate = pb_tables_gate(in->mem, &in->sregs, vector);

    if (gate.kind != PB_GATE_NONE) {
        add_bp(plan, gate.entry, vector);
    }
}

/* A stack where nothing raises #SS. */
static bool flat_stack(const PbStepInput *in)
{
    const struct kvm_sregs *s = &in->sregs;

    if (pb_code_bits(s) == 64) {
        return pb_is_canonical(s, in->regs.rsp) &&
               pb_is_canonical(s, in->regs.rbp);
    }
    return (s->cr0 & PB_CR0_PE) && s->ss.base == 0 &&
           s->ss.limit == 0xffffffff;
}

static void may(Faults *f, bool can, uint8_t vector)
{
    if (can) {
        f->vector[f->n++] = vector;
    }
}

/* Every fault @insn may raise in this state of the CPU. */
static void list_faults(const PbStepInput *in, const PbInsn *insn, Faults *f)
{
    const struct kvm_sregs *s = &in->sregs;
    unsigned t = insn->traits;
    bool fpu = t & (PB_INSN_FPU | PB_INSN_SSE);
    bool far = insn->kind == PB_INSN_INDIRECT || (t & PB_INSN_SEGMENT);

    memset(f, 0, sizeof(*f));
    may(f, (t & PB_INSN_UD) || insn->kind == PB_INSN_UNKNOWN, VEC_UD);
    may(f, t & PB_INSN_DIVIDE, VEC_DE);
    may(f, t & PB_INSN_BOUND, VEC_BR);
    may(f, fpu && (s->cr0 & (CR0_TS | CR0_EM)), VEC_NM);
    may(f, (t & PB_INSN_SSE) && ((s->cr0 & CR0_EM) ||
                                 !(s->cr4 & CR4_OSFXSR)), VEC_UD);
    may(f, (t & PB_INSN_SSE) && (s->cr4 & CR4_OSXMMEXCPT), VEC_XM);
    may(f, s->cr0 & CR0_PG, VEC_PF);
    may(f, true, VEC_GP);
    may(f, far || insn->kind == PB_INSN_INT, VEC_NP);
    may(f, !flat_stack(in) || (t & PB_INSN_SEGMENT), VEC_SS);
    may(f, t & PB_INSN_FPU, VEC_MF);
    may(f, (s->cr0 & CR0_AM) && s->cs.dpl == 3 &&
           (in->regs.rflags & RFLAGS_AC), VEC_AC);
    f->likely = f->n;
    may(f, !(t & PB_INSN_UD), VEC_UD);    /* what this CPU does not know */
}

/* How many debug registers what the guest watches leaves us. */
static unsigned room(const PbStepInput *in)
{
    PbDebugRegister dr[PB_VCPU_DRS];
    PbGuestDrs own;
    unsigned n = 0;

    pb_vcpu_add_guest_drs(&in->debug, true, dr, &n, &own);
    return PB_VCPU_DRS - n;
}

/* The likely ones go before what the guest watches, the others after it. */
static void add_faults(const PbStepInput *in, PbStepPlan *plan,
                       const Faults *f)
{
    unsigned i, most = room(in);

    for (i = 0; i < f->n && (plan->bps < most || i < f->likely); i++) {
        add_handler(in, plan, f->vector[i]);
    }
}

/* TF, and breakpoints for faults alone. */
static void plan_tf(const PbStepInput *in, PbStepPlan *plan, const Faults *f)
{
    plan->tf = true;
    plan->bps = 0;
    plan->set_rf = false;
    add_faults(in, plan, f);
}

/* Linear address behind @insn at linear address @pc; false if IP wraps. */
static bool next_of(const PbStepInput *in, uint64_t pc, const PbInsn *insn,
                    uint64_t *next)
{
    uint64_t ip = pb_ip_of(&in->sregs, pc) + insn->len;

    *next = pb_linear(&in->sregs, ip);
    return pb_code_bits(&in->sregs) > 16 || ip <= 0xffff;
}

static bool in_ring_0(const PbStepInput *in)
{
    return !(in->sregs.cr0 & PB_CR0_PE) ||
           (in->sregs.ss.dpl == 0 && !(in->regs.rflags & PB_RFLAGS_VM));
}

static void plan_plain(const PbStepInput *in, PbStepPlan *plan)
{
    uint64_t next;
    bool known = next_of(in, plan->start, &in->insn, &next);
    Faults f;

    if ((in->insn.traits & PB_INSN_MOV_DR) && in_ring_0(in) &&
        pb_remedy(PB_REMEDY_MOV_DR)) {
        plan->tf = plan->no_registers = true;   /* and it cannot fault */
        return;
    }
    list_faults(in, &in->insn, &f);
    if (((!known || f.likely >= room(in)) &&
         !(in->insn.traits & PB_INSN_NO_TF)) ||
        !pb_remedy(PB_REMEDY_NO_TF)) {
        plan_tf(in, plan, &f);
        return;
    }
    add_bp(plan, next, PB_STEP_NO_VECTOR);
    add_faults(in, plan, &f);
}

static void plan_call(const PbStepInput *in, PbStepPlan *plan)
{
    Faults f;

    list_faults(in, &in->insn, &f);
    if (in->insn.target == plan->start) {
        plan_tf(in, plan, &f);
        return;
    }
    add_bp(plan, in->insn.target, PB_STEP_NO_VECTOR);
    add_faults(in, plan, &f);
}

static int refuse(PbStepPlan *plan, const char *why)
{
    plan->refused = why;
    return -EOPNOTSUPP;
}

/* INT n, INT3, INTO: the gate, and what refuses it. */
static void plan_int(const PbStepInput *in, PbStepPlan *plan,
                     const PbInsn *insn, uint64_t pc)
{
    PbGate gate = pb_tables_gate(in->mem, &in->sregs, insn->vector);
    uint64_t next;
    Faults f;

    if (gate.kind != PB_GATE_NONE) {
        add_bp(plan, gate.entry, PB_STEP_NO_VECTOR);
    }
    if ((in->regs.rflags & PB_RFLAGS_VM) && (in->sregs.cr4 & CR4_VME)) {
        gate = pb_tables_vm86_gate(in->mem, &in->sregs, insn->vector);
        add_bp(plan, gate.entry, PB_STEP_NO_VECTOR);
    }
    if (insn->vector == 4 && next_of(in, pc, insn, &next)) {
        add_bp(plan, next, PB_STEP_NO_VECTOR);      /* INTO without OF */
    }
    list_faults(in, insn, &f);
    add_faults(in, plan, &f);
}

static void add_sys_target(const PbStepInput *in, PbStepPlan *plan,
                           const PbInsn *insn)
{
    uint64_t to = in->regs.rcx;

    if (insn->kind == PB_INSN_SYSENTER) {
        add_bp(plan, insn->target, PB_STEP_NO_VECTOR);
    } else if (insn->kind == PB_INSN_SYSRET) {
        add_bp(plan, insn->traits & PB_INSN_OP64 ? to : (uint32_t)to,
               PB_STEP_NO_VECTOR);
    }
}

/* Not by TF, which SYSCALL stores, and SYSRET replaces by R11's. */
static void plan_sys(const PbStepInput *in, PbStepPlan *plan)
{
    /* With that one a SYSRET traps already where it goes. */
    plan->own_tf = in->insn.kind == PB_INSN_SYSRET &&
                   (in->regs.r11 & PB_RFLAGS_TF);
    add_sys_target(in, plan, &in->insn);
    add_handler(in, plan, VEC_GP);
    add_handler(in, plan, VEC_UD);
    if (in->sregs.cr0 & CR0_PG) {
        add_handler(in, plan, VEC_PF);
    }
}

/* Whether the IRET's frame has TF set for the guest itself. */
static bool iret_loads_tf(const PbStepInput *in)
{
    const struct kvm_sregs *s = &in->sregs;
    unsigned t = in->insn.traits;
    unsigned size = t & PB_INSN_OP16 ? 2 : t & PB_INSN_OP64 ? 8 : 4;
    uint64_t sp = pb_stack(s, in->regs.rsp), flags = 0;

    pb_tables_read(in->mem, s, sp + 2 * size, &flags, size);
    return flags & PB_RFLAGS_TF;
}

/* An IRET to another task, from whose TSS all is loaded. */
static bool returns_to_task(const PbStepInput *in)
{
    return (in->regs.rflags & RFLAGS_NT) && (in->sregs.cr0 & PB_CR0_PE) &&
           !(in->regs.rflags & PB_RFLAGS_VM);
}

static void plan_trap(const PbStepInput *in, PbStepPlan *plan)
{
    Faults f;

    if ((in->insn.traits & PB_INSN_IRET) && !returns_to_task(in)) {
        plan->guest_tf = iret_loads_tf(in);
    }
    list_faults(in, &in->insn, &f);
    plan_tf(in, plan, &f);
}

/*
 * MOV SS, POP SS: Intel CPUs hold back both TF's trap and a breakpoint on
 * the next instruction until that one has run too (SDM 3A 6.8.3).  So stop
 * behind either.  No interrupt can come in between, so a position there is
 * never asked for.
 */
static int plan_shadow(const PbStepInput *in, PbStepPlan *plan)
{
    uint64_t next, after;
    Faults f;

    if (!next_of(in, plan->start, &in->insn, &next)) {
        return refuse(plan, "it is at the end of its segment");
    }
    list_faults(in, &in->after, &f);
    switch (in->after.kind) {
    case PB_INSN_BRANCH:
    case PB_INSN_INDIRECT:
    case PB_INSN_REP:
    case PB_INSN_UNKNOWN:
        plan_tf(in, plan, &f);
        return 0;
    case PB_INSN_CALL:
        add_bp(plan, in->after.target, PB_STEP_NO_VECTOR);
        break;
    case PB_INSN_SYSENTER:
    case PB_INSN_SYSRET:
        add_sys_target(in, plan, &in->after);
        break;
    case PB_INSN_INT:
        plan_int(in, plan, &in->after, next);
        if (plan->bps == PB_VCPU_DRS) {
            plan->bps = 3;              /* leave one for `next` */
        }
        break;
    default:
        if (next_of(in, next, &in->after, &after)) {
            add_bp(plan, after, PB_STEP_NO_VECTOR);
        }
        break;
    }
    add_bp(plan, next, PB_STEP_NO_VECTOR);
    add_faults(in, plan, &f);
    return 0;
}

/*
 * The guest's own TF stops it behind the instruction, or behind the second one
 * of MOV SS; but not at a handler, which is entered with TF clear.  After what
 * KVM runs itself (CPUID) it delivers the #DB without a word.
 */
static void plan_own_tf(const PbStepInput *in, PbStepPlan *plan)
{
    const PbInsn *insn = &in->insn;
    uint64_t pc = plan->start;
    Faults f;

    if ((insn->traits & PB_INSN_SHADOW) && next_of(in, pc, insn, &pc)) {
        insn = &in->after;
    }
    add_handler(in, plan, VEC_DB);
    add_sys_target(in, plan, insn);     /* which may clear TF */
    if (insn->kind == PB_INSN_INT) {
        plan_int(in, plan, insn, pc);
    } else {
        list_faults(in, insn, &f);
        add_faults(in, plan, &f);
    }
}

/* What KVM delivers at the next entry, before any instruction; or -1. */
static int waiting_vector(const struct kvm_vcpu_events *e)
{
    if (e->exception.injected || e->exception.pending) {
        return e->exception.nr;
    }
    if (e->nmi.injected) {
        return VEC_NMI;
    }
    if (e->interrupt.injected) {
        return e->interrupt.nr;
    }
    return e->nmi.pending && !e->nmi.masked ? VEC_NMI : -1;
}

static void plan_event(const PbStepInput *in, PbStepPlan *plan, int vector)
{
    uint64_t next;

    plan->event = true;
    add_handler(in, plan, vector);
    if (vector == VEC_NMI && in->insn.kind == PB_INSN_PLAIN &&
        next_of(in, plan->start, &in->insn, &next)) {
        /* STI's shadow may hold an NMI back for one instruction. */
        add_bp(plan, next, PB_STEP_NO_VECTOR);
    }
    if (in->events.nmi.pending) {
        add_handler(in, plan, VEC_NMI);    /* may follow at once */
    }
    add_handler(in, plan, VEC_PF);
    add_handler(in, plan, VEC_GP);
    add_handler(in, plan, VEC_DF);
    plan->set_rf = false;       /* nothing is fetched where it starts */
}

int pb_step_plan(const PbStepInput *in, PbStepPlan *plan)
{
    int vector = waiting_vector(&in->events);

    memset(plan, 0, sizeof(*plan));
    plan->start = pb_linear(&in->sregs, in->regs.rip);
    plan->own_tf = in->regs.rflags & PB_RFLAGS_TF;
    if (vector >= 0) {
        plan_event(in, plan, vector);
        return 0;
    }
    if (in->insn.traits & PB_INSN_REFUSED) {
        return refuse(plan, "it cannot be stepped unseen");
    }
    if (plan->own_tf) {
        plan_own_tf(in, plan);
        return 0;
    }
    if ((in->insn.traits & PB_INSN_SHADOW) && pb_remedy(PB_REMEDY_SHADOW)) {
        return plan_shadow(in, plan);
    }
    switch (in->insn.kind) {
    case PB_INSN_PLAIN:
        plan_plain(in, plan);
        return 0;
    case PB_INSN_CALL:
        plan_call(in, plan);
        return 0;
    case PB_INSN_INT:
        plan_int(in, plan, &in->insn, plan->start);
        return 0;
    case PB_INSN_SYSENTER:
    case PB_INSN_SYSRET:
        plan_sys(in, plan);
        return 0;
    default:
        plan_trap(in, plan);
        return 0;
    }
}

unsigned pb_step_registers(const PbStepInput *in, const PbStepPlan *plan,
                           PbDebugRegister dr[PB_VCPU_DRS], uint64_t dr6,
                           uint64_t *hits)
{
    PbGuestDrs own;
    unsigned n;

    *hits = 0;
    if (plan->no_registers) {
        return 0;
    }
    for (n = 0; n < plan->bps; n++) {
        dr[n] = (PbDebugRegister) { .addr = plan->bp[n], .len = 1 };
    }
    pb_vcpu_add_guest_drs(&in->debug, true, dr, &n, &own);
    *hits = pb_vcpu_guest_hits(&own, dr6);
    return n;
}
