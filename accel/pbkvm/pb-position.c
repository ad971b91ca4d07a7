/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-position.c: a point in the life of a guest. */
#include <stdio.h>
#include <string.h>

#include "branch-counter.h"
#include "pb-crc.h"
#include "pb-linear.h"
#include "pb-loop.h"
#include "pb-position.h"
#include "pb-remedy.h"
#include "pb-tables.h"

#define NMI_VECTOR 2

/*
 * An event's hash is PbPosition's hash and loop, whose lowest bit is free and
 * tells `resumed`.
 */
#define HASH_RESUMED 1u

/* What a position is hashed of, besides the counter's value. */
typedef struct Place {
    uint64_t reg[18];         /* the last of them, as many as there are */
    uint8_t stack[PB_POSITION_STACK];
} Place;

#define LAST(place, n) ((place)->reg + sizeof((place)->reg) / 8 - (n))

static uint64_t pair(uint64_t low, uint64_t high)
{
    return (uint32_t)low | high << 32;
}

/* 32 bits: two in each. */
static const uint64_t *put_pairs(Place *p, const struct kvm_regs *r,
                                 uint64_t flags)
{
    uint64_t *reg = LAST(p, 5);

    reg[0] = pair(r->rax, r->rbx);
    reg[1] = pair(r->rcx, r->rdx);
    reg[2] = pair(r->rsi, r->rdi);
    reg[3] = pair(r->rbp, r->rsp);
    reg[4] = pair(r->rip, flags);
    return reg;
}

static const uint64_t *put_whole(Place *p, const struct kvm_regs *r,
                                 uint64_t flags)
{
    const uint64_t all[] = {
        r->rax, r->rbx, r->rcx, r->rdx, r->rsi, r->rdi, r->rsp, r->rbp,
        r->r8, r->r9, r->r10, r->r11, r->r12, r->r13, r->r14, r->r15,
        r->rip, flags,
    };

    _Static_assert(sizeof(all) == sizeof(p->reg), "all of them");
    memcpy(p->reg, all, sizeof(all));
    return p->reg;
}

/* With @stack bytes of the stack there already. */
static uint32_t hash(Place *p, const struct kvm_regs *r, bool whole,
                     unsigned stack)
{
    /* RF is what the last exit made it, TF may be a step's. */
    uint64_t flags = r->rflags & ~(PB_RFLAGS_RF | PB_RFLAGS_TF);
    const uint64_t *reg = whole ? put_whole(p, r, flags)
                                : put_pairs(p, r, flags);

    return pb_crc(0, reg, (uintptr_t)(p->stack + stack) - (uintptr_t)reg);
}

/* What KVM delivers first at the next entry: see PbPosition.injected. */
static uint16_t due(const struct kvm_vcpu_events *e)
{
    if (e->exception.injected || e->exception.pending) {
        return 0x200 | e->exception.nr;
    }
    if (e->nmi.injected || e->nmi.pending) {
        return 0x200 | NMI_VECTOR;
    }
    return e->interrupt.injected ? 0x100 | e->interrupt.nr : 0;
}

static int take(PbVcpu *v, PbPosition *p, bool with_loop)
{
    const struct kvm_sregs *sregs = &v->run->s.regs.sregs;
    const struct kvm_regs *regs = &v->run->s.regs.regs;
    Place place;
    unsigned n;
    int ret = pb_vcpu_know(v, PB_VCPU_SYNC);

    if (ret < 0) {
        return ret;
    }
    n = pb_tables_read(v->mem, sregs, pb_stack(sregs, regs->rsp), place.stack,
                       sizeof(place.stack));
    *p = (PbPosition) {
        .branches = pb_counter_read(v->counter),
        .rip = pb_linear(sregs, regs->rip),
        .cx = regs->rcx,
        .sp = regs->rsp,
        .hash = pb_remedy(PB_REMEDY_HASH)
                ? hash(&place, regs, pb_long_mode(sregs), n) : 0,
        .resumed = (regs->rflags & PB_RFLAGS_RF) &&
                   pb_remedy(PB_REMEDY_RESUMED),
        .injected = pb_remedy(PB_REMEDY_DUE) ? due(&v->run->s.regs.events) : 0,
        .loop = with_loop ? pb_loop_hash(v, regs, sregs) : 0,
    };
    return 0;
}

int pb_position_take(PbVcpu *v, PbPosition *p)
{
    return take(v, p, false);
}

int pb_position_take_whole(PbVcpu *v, PbPosition *p)
{
    return take(v, p, true);
}

int pb_position_add_loop(PbVcpu *v, PbPosition *p)
{
    int ret = pb_vcpu_know(v, KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS);

    if (ret < 0) {
        return ret;
    }
    p->loop = pb_loop_hash(v, &v->run->s.regs.regs, &v->run->s.regs.sregs);
    return 0;
}

PbPosition pb_position_of(const PbEvent *e)
{
    PbPosition p = {
        .branches = e->branches,
        .rip = e->body.pos.rip,
        .hash = e->body.pos.hash >> 32,
        .loop = (uint32_t)e->body.pos.hash & ~HASH_RESUMED,
        .resumed = e->body.pos.hash & HASH_RESUMED,
        .cx = e->body.pos.cx,
        .sp = e->body.pos.sp,
    };

    if (e->kind == PB_EVENT_POINT || e->kind == PB_EVENT_VERIFY) {
        p.injected = e->arg;
    }
    return p;
}

void pb_position_to_event(const PbPosition *p, PbEvent *e)
{
    e->branches = p->branches;
    e->body.pos.rip = p->rip;
    e->body.pos.hash = (uint64_t)p->hash << 32 | p->loop |
                       (p->resumed ? HASH_RESUMED : 0);
    e->body.pos.cx = p->cx;
    e->body.pos.sp = p->sp;
    if (e->kind == PB_EVENT_POINT || e->kind == PB_EVENT_VERIFY) {
        e->arg = p->injected;
    }
}

bool pb_position_same_place(const PbPosition *a, const PbPosition *b)
{
    return a->branches == b->branches && a->rip == b->rip &&
           a->cx == b->cx && a->sp == b->sp && a->hash == b->hash &&
           a->injected == b->injected;
}

bool pb_position_same(const PbPosition *a, const PbPosition *b)
{
    return pb_position_same_place(a, b) && a->loop == b->loop;
}

int pb_position_print(const PbPosition *p, char *buf, size_t len)
{
    return snprintf(buf, len, "branches %llu rip 0x%llx ecx 0x%x esp 0x%x "
                    "hash 0x%08x loop 0x%08x", (unsigned long long)p->branches,
                    (unsigned long long)p->rip, p->cx, p->sp, p->hash,
                    p->loop);
}

PbLandState pb_land_classify(const PbPosition *now, const PbPosition *target,
                             uint32_t margin)
{
    if (now->branches > target->branches) {
        return PB_LAND_PAST;
    }
    if (pb_position_same(now, target)) {
        return PB_LAND_HERE;
    }
    return target->branches - now->branches > margin ? PB_LAND_FAR
                                                     : PB_LAND_NEAR;
}
