/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backup-guest-db.c: #DB of the guest's own, while the debug registers are a
 * landing's or a debugger's.
 *
 * KVM then neither has the guest's breakpoints in force nor gives it the #DB of
 * its TF.  So its breakpoints go beside ours, and what they and its TF cause is
 * given to it as soon as KVM hands it over.
 */
#include <string.h>

#include "backup-internal.h"
#include "pb-inject.h"
#include "pb-remedy.h"
#include "pb-step.h"

#define DB_VECTOR 1

/* Where all is stepped, the Primary's do nothing either. */
static int get_debugregs(PbBackup *b, struct kvm_debugregs *d)
{
    memset(d, 0, sizeof(*d));
    return b->c.counter == PB_COUNTER_STEP
           ? 0 : pb_vcpu_ioctl(&b->v, KVM_GET_DEBUGREGS, d);
}

int pb_guest_db_add(PbBackup *b, PbDebugRegister *dr, unsigned *n)
{
    struct kvm_debugregs d;
    int ret = get_debugregs(b, &d);

    if (ret == 0) {
        pb_vcpu_add_guest_drs(&d, false, dr, n, &b->guest_drs);
    }
    return ret;
}

/*
 * Whether a trap of TF was KVM's: on AMD it steps over the IRET behind which
 * an NMI can be delivered.  That NMI waits, and nothing holds it back now.
 */
static int is_nmi_window(PbBackup *b)
{
    struct kvm_vcpu_events e;
    int ret = pb_vcpu_ioctl(&b->v, KVM_GET_VCPU_EVENTS, &e);

    return ret < 0 ? ret : e.nmi.pending && !e.nmi.masked;
}

/*
 * Those breakpoints of the guest's that were hit, and are still there.  One on
 * an instruction waits for who is to go on from there: an interrupt may come
 * first.
 */
static int find_hits(PbBackup *b, uint64_t dr6, uint64_t *hits)
{
    struct kvm_debugregs d;
    PbDebugRegister dr;
    unsigned i;
    int ret;

    *hits = pb_vcpu_guest_hits(&b->guest_drs, dr6);
    ret = *hits ? get_debugregs(b, &d) : 0;
    for (i = 0; ret == 0 && *hits && i < PB_VCPU_DRS; i++) {
        if (!pb_vcpu_guest_dr(&d, i, &dr) || dr.type == PB_DR_EXECUTE) {
            *hits &= ~(1ull << i);
        }
    }
    return ret;
}

int pb_guest_db_take(PbBackup *b)
{
    const struct kvm_run *run = b->v.run;
    uint64_t dr6 = run->debug.arch.dr6, why;
    int ret;

    if (run->debug.arch.exception != DB_VECTOR ||
        !pb_remedy(PB_REMEDY_OWN_DB)) {
        return 0;
    }
    ret = find_hits(b, dr6, &why);
    if (ret == 0 && (dr6 & PB_DR6_BS)) {
        ret = is_nmi_window(b);
        why |= ret == 0 ? PB_DR6_BS : 0;
    }
    if (ret < 0 || !why) {
        return ret < 0 ? ret : 0;
    }
    ret = pb_inject_db(&b->v, why);
    return ret < 0 ? ret : 1;
}

/* The guest's breakpoints on the instruction at @rip; *@any: it has some. */
static uint64_t breaks_at(const struct kvm_debugregs *d, uint64_t rip,
                          bool *any)
{
    PbDebugRegister dr;
    uint64_t hits = 0;
    unsigned i;

    *any = false;
    for (i = 0; i < PB_VCPU_DRS; i++) {
        if (pb_vcpu_guest_dr(d, i, &dr)) {
            *any = true;
            hits |= dr.type == PB_DR_EXECUTE && dr.addr == rip ? 1u << i : 0;
        }
    }
    return hits;
}

int pb_guest_db_first(PbBackup *b, const PbPosition *now)
{
    struct kvm_debugregs d;
    bool any;
    int ret = get_debugregs(b, &d);

    return ret < 0 ? ret : breaks_at(&d, now->rip, &any) != 0;
}

int pb_guest_db_at(PbBackup *b, const PbPosition *now, PbGuestDebug *g)
{
    struct kvm_debugregs d;
    struct kvm_regs regs;
    uint64_t why;
    int ret = pb_vcpu_get_regs(&b->v, &regs);

    if (ret == 0) {
        ret = get_debugregs(b, &d);
    }
    if (ret < 0) {
        return ret;
    }
    why = breaks_at(&d, now->rip, &g->breaks);
    g->steps = regs.rflags & PB_RFLAGS_TF;
    b->v.guest_watches = g->breaks;
    if (!why || now->resumed || now->injected) {
        return 0;
    }
    ret = pb_inject_db(&b->v, why);
    return ret < 0 ? ret : 1;
}

int pb_guest_db_uses(PbBackup *b)
{
    struct kvm_sregs sregs;
    struct kvm_regs regs;
    int ret;

    if (b->v.debug_control || !pb_remedy(PB_REMEDY_MOV_DR)) {
        return 0;
    }
    ret = pb_vcpu_get_both(&b->v, &regs, &sregs);
    return ret < 0 ? ret : pb_insn_at_mov_dr(&b->mem, &regs, &sregs);
}

int pb_guest_db_leave(PbBackup *b)
{
    PbGuestDebug own;
    PbPosition now;
    int ret;

    if (b->v.io_pending) {
        return 0;
    }
    ret = pb_position_take(&b->v, &now);
    return ret < 0 ? ret : pb_guest_db_at(b, &now, &own);
}
