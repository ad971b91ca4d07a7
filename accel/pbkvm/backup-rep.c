/* SPDX-License-Identifier: GPL-2.0-or-later */
/* backup-rep.c: through a REP string with one run. */
#include "backup-rep.h"
#include "pb-step.h"
#include "pb-tables.h"

#define MAX_INSN 15

/* Faults a string instruction can raise that a guest may come back from. */
static const uint8_t faults[] = { 14, 13, 12 };

typedef struct PbString {
    unsigned len;         /* bytes of the instruction; 0: no REP string */
    uint32_t count_mask;  /* of ECX: what counts */
    bool moves;           /* MOVS, STOS, LODS: only ECX ends it */
} PbString;

static bool is_prefix(uint8_t byte)
{
    return byte == 0x26 || byte == 0x2e || byte == 0x36 || byte == 0x3e ||
           (byte >= 0x64 && byte <= 0x67) || byte == 0xf2 || byte == 0xf3;
}

static PbString decode(const uint8_t *code, unsigned len, bool code32)
{
    PbString s = { .count_mask = code32 ? UINT32_MAX : 0xffff };
    bool rep = false;
    unsigned i;

    for (i = 0; i < len && is_prefix(code[i]); i++) {
        rep |= code[i] == 0xf2 || code[i] == 0xf3;
        if (code[i] == 0x67) {
            s.count_mask = code32 ? 0xffff : UINT32_MAX;
        }
    }
    if (!rep || i == len) {
        return s;
    }
    switch (code[i]) {
    case 0xa4: case 0xa5:                        /* MOVS */
    case 0xaa: case 0xab:                        /* STOS */
    case 0xac: case 0xad:                        /* LODS */
        s.moves = true;
        /* fall through */
    case 0xa6: case 0xa7: case 0xae: case 0xaf:  /* CMPS, SCAS */
        s.len = i + 1;
    }
    return s;
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
    uint8_t code[MAX_INSN];
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
