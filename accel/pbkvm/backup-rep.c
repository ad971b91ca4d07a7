/* SPDX-License-Identifier: GPL-2.0-or-later */
/* backup-rep.c: through a REP string with one run. */
#include "backup-rep.h"
#include "pb-insn-parts.h"
#include "pb-step.h"
#include "pb-tables.h"

/* Faults a string instruction can raise that a guest may come back from. */
static const uint8_t faults[] = { 14, 13, 12 };

typedef struct PbString {
    unsigned len;         /* bytes of the instruction; 0: no REP string */
    uint32_t count_mask;  /* of ECX: what counts */
    bool moves;           /* MOVS, STOS, LODS: only ECX ends it */
} PbString;

static PbString decode(const uint8_t *code, unsigned len, bool code32)
{
    PbInsnParts p;

    if (!pb_insn_take_apart(&p, code, len, code32 ? 32 : 16) || !p.rep ||
        p.lock || !pb_insn_is_string(p.op)) {
        return (PbString) { 0 };
    }
    return (PbString) {
        .len = p.opcode_end,
        .count_mask = p.addr16 ? 0xffff : UINT32_MAX,
        /* All but CMPS and SCAS. */
        .moves = (p.op & 0xfe) != 0xa6 && (p.op & 0xfe) != 0xae,
    };
}

/*
 * Iterations from @now to @target, if those are in one pass; else 0.  With
 * ECX 0 a target can still be at the string: some step over its end.
 */
static uint32_t left_to(const PbPosition *now, const PbPosition *target,
                        const PbString *s)
{
    if (now->rip != target->rip || now->branches != target->branches ||
        ((now->cx ^ target->cx) & ~s->count_mask) ||
        now->cx <= target->cx) {
        return 0;
    }
    return now->cx - target->cx;
}

static int arm(PbRep *rep, PbVcpu *v, const struct kvm_sregs *sregs)
{
    uint64_t bp[4] = { rep->next };
    unsigned i, bps = 1;

    for (i = 0; i < sizeof(faults); i++) {
        bp[bps] = pb_handler_entry(v, sregs, faults[i]);
        bps += bp[bps] != 0;
    }
    return pb_vcpu_debug(v, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP,
                         bp, bps);
}

int pb_rep_prepare(PbRep *rep, PbVcpu *v, const PbPosition *now,
                   const PbPosition *target)
{
    uint8_t code[PB_INSN_MAX_LEN];
    struct kvm_sregs sregs;
    struct kvm_regs regs;
    PbString s;
    uint32_t n;
    int ret = pb_vcpu_get_sregs(v, &sregs);

    if (ret < 0) {
        return ret;
    }
    s = decode(code, pb_tables_read(v->mem, &sregs, now->rip, code,
                                    sizeof(code)), sregs.cs.db);
    if (!s.len) {
        return 0;
    }
    n = left_to(now, target, &s);
    if (n == 1 || (n && !s.moves)) {
        return 0;
    }
    rep->partial = n != 0;
    rep->withheld = n ? target->cx & s.count_mask : 0;
    rep->rip = now->rip;
    rep->next = (uint32_t)(now->rip + s.len);
    if (rep->partial) {
        ret = pb_vcpu_get_regs(v, &regs);
        if (ret == 0) {
            regs.rcx -= rep->withheld;
            ret = pb_vcpu_set_regs(v, &regs);
        }
    }
    if (ret == 0) {
        rep->active = true;
        ret = arm(rep, v, &sregs);
    }
    return ret < 0 ? ret : 1;
}

int pb_rep_restore(PbRep *rep, PbVcpu *v)
{
    struct kvm_sregs sregs;
    struct kvm_regs regs;
    int ret = pb_vcpu_complete(v);

    if (ret) {
        return ret;
    }
    rep->active = false;
    if (!rep->partial) {
        return 0;
    }
    ret = pb_vcpu_get_both(v, &regs, &sregs);
    if (ret < 0) {
        return ret;
    }
    if ((uint32_t)(sregs.cs.base + regs.rip) == rep->next) {
        regs.rip = (uint32_t)(rep->rip - sregs.cs.base);
    }
    regs.rcx += rep->withheld;
    return pb_vcpu_set_regs(v, &regs);
}
