/* SPDX-License-Identifier: GPL-2.0-or-later */
/* backup-rep.c: through a REP string with one run. */
#include "backup-rep.h"
#include "pb-insn-parts.h"
#include "pb-linear.h"
#include "pb-step.h"
#include "pb-tables.h"

/* Faults a string instruction can raise that a guest may come back from. */
static const uint8_t faults[] = { 14, 13, 12 };

typedef struct PbString {
    unsigned len;         /* bytes of the instruction; 0: no REP string */
    uint64_t count_mask;  /* of RCX: what counts */
    bool moves;           /* MOVS, STOS, LODS: only ECX ends it */
} PbString;

static PbString decode(const uint8_t *code, unsigned len, unsigned bits)
{
    PbInsnParts p;

    if (!pb_insn_take_apart(&p, code, len, bits) || !p.rep ||
        p.lock || !pb_insn_is_string(p.op)) {
        return (PbString) { 0 };
    }
    return (PbString) {
        .len = p.opcode_end,
        .count_mask = p.addr16 ? 0xffff
                    : p.code64 && !p.addr32 ? UINT64_MAX : UINT32_MAX,
        /* All but CMPS and SCAS. */
        .moves = (p.op & 0xfe) != 0xa6 && (p.op & 0xfe) != 0xae,
    };
}

/*
 * Iterations from @now to @target, if those are in one pass; else 0.  With
 * ECX 0 a target can still be at the string: some step over its end.  A
 * position has but the lower half of RCX; @count is all that counts.
 */
static uint32_t left_to(const PbPosition *now, const PbPosition *target,
                        const PbString *s, uint64_t count)
{
    uint32_t n = (now->cx - target->cx) & s->count_mask;

    if (now->rip != target->rip || now->branches != target->branches ||
        ((now->cx ^ target->cx) & ~s->count_mask)) {
        return 0;
    }
    return n <= count ? n : 0;
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
    uint64_t count;
    uint32_t n;
    int ret = pb_vcpu_get_both(v, &regs, &sregs);

    if (ret < 0) {
        return ret;
    }
    s = decode(code, pb_tables_read(v->mem, &sregs, now->rip, code,
                                    sizeof(code)), pb_code_bits(&sregs));
    if (!s.len) {
        return 0;
    }
    count = regs.rcx & s.count_mask;
    n = left_to(now, target, &s, count);
    if (n == 1 || (n && !s.moves)) {
        return 0;
    }
    rep->partial = n != 0;
    rep->rip = now->rip;
    rep->next = pb_linear(&sregs, pb_ip_of(&sregs, now->rip) + s.len);
    rep->withheld = n ? count - n : 0;
    if (rep->partial) {
        regs.rcx -= rep->withheld;
        ret = pb_vcpu_set_regs(v, &regs);
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
    if (pb_linear(&sregs, regs.rip) == rep->next) {
        regs.rip = pb_ip_of(&sregs, rep->rip);
    }
    regs.rcx += rep->withheld;
    return pb_vcpu_set_regs(v, &regs);
}
