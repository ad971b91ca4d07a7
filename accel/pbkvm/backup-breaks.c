/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backup-breaks.c: a debugger's breakpoints, in force while the Backup walks.
 * Its thread.
 */
#include <errno.h>
#include <string.h>

#include "backup-internal.h"
#include "pb-linear.h"
#include "pb-tables.h"

#define BP_VECTOR 3
#define INT3 0xcc

/* ---- in force ---- */

static bool has_watches(const PbBackup *b)
{
    unsigned i;

    for (i = 0; i < b->breaks; i++) {
        if (pb_break_is_watch(b->brk[i].kind)) {
            return true;
        }
    }
    return false;
}

static PbDebugRegister debug_register(const PbBreak *k)
{
    return (PbDebugRegister) {
        .addr = k->addr,
        .type = k->kind == PB_WATCH_WRITE ? PB_DR_WRITE
              : k->kind == PB_WATCH_ACCESS ? PB_DR_ACCESS : PB_DR_EXECUTE,
        .len = k->len,
    };
}

/* What a watched place holds; false when it is not mapped. */
static bool watched(PbBackup *b, const struct kvm_sregs *sregs,
                    const PbBreak *k, uint8_t *value)
{
    return pb_tables_read(&b->mem, sregs, k->addr, value, k->len) == k->len;
}

static int note_watched(PbBackup *b)
{
    struct kvm_sregs sregs;
    unsigned i;
    int ret = pb_vcpu_get_sregs(&b->v, &sregs);

    for (i = 0; ret == 0 && i < b->breaks; i++) {
        PbBreak *k = &b->brk[i];

        k->known = pb_break_is_watch(k->kind) &&
                   watched(b, &sregs, k, k->value);
    }
    return ret;
}

/* Only the landing's own, which is mostly there already, and the guest's. */
static int arm_own(PbBackup *b, uint32_t control, const uint64_t *own)
{
    PbDebugRegister dr[PB_VCPU_DRS] = { { .len = 1 } };
    bool before = pb_vcpu_guest_hits(&b->guest_drs, ~0ull);
    PbVcpu *v = &b->v;
    unsigned n = 1;
    int ret;

    if (!own) {
        return pb_vcpu_debug_off(v);
    }
    dr[0].addr = *own;
    ret = pb_guest_db_add(b, dr, &n);
    if (ret < 0 || (n == 1 && !before && v->debug_control == control &&
                    v->bps == 1 && v->bp[0] == *own)) {
        return ret;
    }
    return pb_vcpu_debug_registers(v, control, dr, n);
}

/* Registers, while there are any, for those of @kind; how many got none. */
static unsigned place(PbBackup *b, PbBreakKind kind, PbDebugRegister *dr,
                      unsigned *n)
{
    unsigned i, left = 0;

    for (i = 0; i < b->breaks; i++) {
        PbBreak *k = &b->brk[i];

        if (k->kind == kind) {
            k->reg = *n < PB_VCPU_DRS ? (int)*n : -1;
            if (k->reg >= 0) {
                dr[(*n)++] = debug_register(k);
            } else {
                left++;
            }
        }
    }
    return left;
}

int pb_breaks_arm(PbBackup *b, const uint64_t *own)
{
    PbDebugRegister dr[PB_VCPU_DRS];
    uint32_t control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
    unsigned n = 0;
    int ret;

    if (!b->walking || !b->breaks) {
        return arm_own(b, control, own);
    }
    if (own) {
        dr[n++] = (PbDebugRegister) { .addr = *own, .len = 1 };
    }
    /* Near a landing that has been done. */
    ret = own ? 0 : pb_guest_db_leave(b);
    if (ret >= 0) {
        ret = pb_guest_db_add(b, dr, &n);
    }
    place(b, PB_WATCH_WRITE, dr, &n);
    place(b, PB_WATCH_ACCESS, dr, &n);
    if (place(b, PB_BREAK_HARD, dr, &n) + place(b, PB_BREAK_SOFT, dr, &n)) {
        control |= KVM_GUESTDBG_USE_SW_BP;
    }
    if (ret == 0 && has_watches(b)) {
        ret = note_watched(b);
    }
    return ret < 0 ? ret : pb_vcpu_debug_registers(&b->v, control, dr, n);
}

int pb_breaks_insert(PbBackup *b)
{
    struct kvm_sregs sregs;
    unsigned i;
    int ret;

    if (!b->walking || !(b->v.debug_control & KVM_GUESTDBG_USE_SW_BP)) {
        return 0;
    }
    ret = pb_vcpu_get_sregs(&b->v, &sregs);
    for (i = 0; ret == 0 && i < b->breaks; i++) {
        PbBreak *k = &b->brk[i];
        uint64_t gpa;

        if (!pb_break_is_watch(k->kind) && k->reg < 0 &&
            pb_tables_walk(&b->mem, &sregs, k->addr, &gpa)) {
            k->patched = pb_mem_at(&b->mem, gpa, 1);
            if (k->patched) {
                k->byte = *k->patched;
                *k->patched = INT3;
            }
        }
    }
    return ret;
}

void pb_breaks_remove(PbBackup *b)
{
    unsigned i;

    /* Backwards: two may share a byte through two mappings. */
    for (i = b->breaks; i-- > 0;) {
        PbBreak *k = &b->brk[i];

        if (k->patched && *k->patched == INT3) {
            *k->patched = k->byte;
        }
        k->patched = NULL;
    }
}

/* ---- hits ---- */

static void stop_at(PbBackup *b, const PbBreak *k)
{
    if (!b->halt) {
        b->stop.reason = pb_break_is_watch(k->kind) ? PB_STOP_WATCH
                                                    : PB_STOP_BREAK;
        b->stop.kind = k->kind;
        b->stop.addr = k->addr;
        __atomic_store_n(&b->halt, true, __ATOMIC_RELEASE);
    }
}

static const PbBreak *break_at(const PbBackup *b, uint64_t pc)
{
    unsigned i;

    for (i = 0; i < b->breaks; i++) {
        if (!pb_break_is_watch(b->brk[i].kind) && b->brk[i].addr == pc) {
            return &b->brk[i];
        }
    }
    return NULL;
}

/* An INT3 of the guest's own, which KVM handed to us with ours. */
static int give_back_int3(PbBackup *b)
{
    struct kvm_vcpu_events e;
    int ret = pb_vcpu_ioctl(&b->v, KVM_GET_VCPU_EVENTS, &e);

    if (ret < 0) {
        return ret;
    }
    e.exception.injected = 1;
    e.exception.nr = BP_VECTOR;
    e.exception.has_error_code = 0;
    return pb_vcpu_ioctl(&b->v, KVM_SET_VCPU_EVENTS, &e);
}

static int changed_watch(PbBackup *b)
{
    struct kvm_sregs sregs;
    uint8_t value[8];
    unsigned i;
    int ret = 1;

    for (i = 0; i < b->breaks; i++) {
        PbBreak *k = &b->brk[i];

        if (!pb_break_is_watch(k->kind)) {
            continue;
        }
        if (ret == 1) {
            ret = pb_vcpu_get_sregs(&b->v, &sregs);
        }
        if (ret < 0) {
            return ret;
        }
        if (watched(b, &sregs, k, value)) {
            if (k->known && memcmp(value, k->value, k->len)) {
                stop_at(b, k);
            }
            memcpy(k->value, value, k->len);
            k->known = true;
        }
    }
    return 0;
}

int pb_breaks_after_run(PbBackup *b, PbRunEnd end)
{
    const struct kvm_run *run = b->v.run;
    const PbBreak *k;
    uint64_t pc;
    unsigned i;
    int ret;

    if (!b->walking || !b->breaks) {
        return 0;
    }
    if (end == PB_RUN_DEBUG) {
        ret = pb_vcpu_pc(&b->v, &pc);
        if (ret < 0) {
            return ret;
        }
        k = break_at(b, pc);
        if (k) {
            stop_at(b, k);
        } else if (run->debug.arch.exception == BP_VECTOR) {
            return give_back_int3(b);
        }
        for (i = 0; i < b->breaks; i++) {
            if (pb_break_is_watch(b->brk[i].kind) && b->brk[i].reg >= 0 &&
                (run->debug.arch.dr6 >> b->brk[i].reg & 1)) {
                stop_at(b, &b->brk[i]);
            }
        }
    }
    return changed_watch(b);
}

int pb_breaks_after_step(PbBackup *b)
{
    const PbBreak *k;
    uint64_t pc;
    int ret;

    if (!b->walking || !b->breaks) {
        return 0;
    }
    ret = pb_vcpu_pc(&b->v, &pc);
    if (ret < 0) {
        return ret;
    }
    k = break_at(b, pc);
    if (k) {
        stop_at(b, k);
    }
    return changed_watch(b);
}

/* Registers a watchpoint takes; more than there are: none is so long. */
static unsigned takes(const PbBreak *k, const struct kvm_sregs *sregs)
{
    if (!pb_break_is_watch(k->kind)) {
        return 0;
    }
    return k->len < 8 || pb_long_mode(sregs) ? 1 : PB_VCPU_DRS;
}

int pb_breaks_need_steps(PbBackup *b)
{
    PbDebugRegister dr[PB_VCPU_DRS];
    struct kvm_sregs sregs;
    unsigned i, n = 1;        /* a landing's */
    int ret;

    if (!has_watches(b)) {
        return 0;
    }
    ret = pb_vcpu_get_sregs(&b->v, &sregs);
    if (ret == 0) {
        ret = pb_guest_db_add(b, dr, &n);
    }
    for (i = 0; ret == 0 && i < b->breaks; i++) {
        n += takes(&b->brk[i], &sregs);
    }
    return ret < 0 ? ret : n > PB_VCPU_DRS ||
                           pb_counter_kind(b->v.counter) == PB_COUNTER_STEP;
}
