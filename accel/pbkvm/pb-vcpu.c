/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-vcpu.c: one KVM vCPU seen through its file descriptors. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "pb-linear.h"
#include "pb-tsc.h"
#include "pb-vcpu.h"

/* KVM looks for any value but 0; a kick writes 1. */
#define IMMEDIATE_EXIT_OURS 2

/* Beside KVM_SYNC_X86_*: KVM does not tell these by itself. */
#define DEBUGREGS_KNOWN (1ull << 32)

/* A part of what is known: what it answers, and where it is. */
typedef struct Part {
    uint64_t bit;
    void *at;
    size_t size;
} Part;

static Part part_of(PbVcpu *v, unsigned long req)
{
    struct kvm_sync_regs *s = &v->run->s.regs;

    switch (req) {
    case KVM_GET_REGS:
        return (Part) { KVM_SYNC_X86_REGS, &s->regs, sizeof(s->regs) };
    case KVM_GET_SREGS:
        return (Part) { KVM_SYNC_X86_SREGS, &s->sregs, sizeof(s->sregs) };
    case KVM_GET_VCPU_EVENTS:
        return (Part) { KVM_SYNC_X86_EVENTS, &s->events, sizeof(s->events) };
    case KVM_GET_DEBUGREGS:
        return (Part) { DEBUGREGS_KNOWN, &v->debug, sizeof(v->debug) };
    default:
        return (Part) { 0 };
    }
}

/* The tests ask nevertheless. */
static void check_known(PbVcpu *v, unsigned long req, const Part *part)
{
    struct kvm_sregs asked;   /* the largest of them */

    if (pb_distrust && (ioctl(v->fd, req, &asked) < 0 ||
                        memcmp(&asked, part->at, part->size) != 0)) {
        fprintf(stderr, "pb_vcpu_ioctl: what is known for 0x%lx is wrong\n",
                req);
        abort();
    }
}

/* Have @part, which @req asks for, where it is kept: 0 or -errno. */
static int know(PbVcpu *v, unsigned long req, const Part *part)
{
    if (v->known & part->bit) {
        check_known(v, req, part);
        return 0;
    }
    if (ioctl(v->fd, req, part->at) < 0) {
        return -errno;
    }
    v->known |= part->bit;
    return 0;
}

int pb_vcpu_ioctl(PbVcpu *v, unsigned long req, void *arg)
{
    Part part = part_of(v, req);
    int ret;

    if (part.bit) {
        ret = know(v, req, &part);
        if (ret == 0) {
            memcpy(arg, part.at, part.size);
        }
        return ret;
    }
    ret = ioctl(v->fd, req, arg);
    if (_IOC_DIR(req) != _IOC_READ) {     /* not only a look */
        pb_vcpu_forget(v);
    }
    return ret < 0 ? -errno : ret;
}

int pb_vcpu_ask(PbVcpu *v, uint64_t parts)
{
    static const unsigned long all[] = { KVM_GET_REGS, KVM_GET_SREGS,
                                         KVM_GET_VCPU_EVENTS };
    unsigned i;
    int ret = 0;

    for (i = 0; i < sizeof(all) / sizeof(all[0]) && ret == 0; i++) {
        Part part = part_of(v, all[i]);

        ret = parts & part.bit ? know(v, all[i], &part) : 0;
    }
    return ret;
}

void pb_vcpu_forget(PbVcpu *v)
{
    v->known = 0;
}

static bool exit_needs_completion(const struct kvm_run *run)
{
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
    case KVM_EXIT_MMIO:
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR:
        return true;
    default:
        return false;
    }
}

int pb_vcpu_enter(PbVcpu *v)
{
    struct kvm_sregs *sregs = &v->run->s.regs.sregs;
    /* With immediate_exit no guest runs, and its TSC does not matter. */
    bool ticks = v->tsc && !v->run->immediate_exit;
    int ret = ticks ? pb_tsc_enter(v->tsc) : 0;

    if (ret < 0) {
        return ret;
    }
    /* KVM sets a bit there, and never takes it back (Linux 6.12). */
    memset(sregs->interrupt_bitmap, 0, sizeof(sregs->interrupt_bitmap));
    v->run->kvm_valid_regs = PB_VCPU_SYNC;
    ret = ioctl(v->fd, KVM_RUN, 0) < 0 ? -errno : 0;
    if (ticks) {
        pb_tsc_left(v->tsc);
    }
    v->known = PB_VCPU_SYNC;
    v->exits++;
    if (ret < 0) {
        if (ret == -EINTR || ret == -EAGAIN) {
            v->io_pending = false;
            return -EINTR;
        }
        return ret;
    }
    v->io_pending = exit_needs_completion(v->run);
    return 0;
}

int pb_vcpu_complete(PbVcpu *v)
{
    uint8_t saved, ours = IMMEDIATE_EXIT_OURS;
    int ret;

    if (!v->io_pending || !pb_remedy(PB_REMEDY_PENDING)) {
        return 0;
    }
    /* A kick's signal handler may write 1 at any time: keep that. */
    saved = __atomic_exchange_n(&v->run->immediate_exit, ours,
                                __ATOMIC_SEQ_CST);
    ret = pb_vcpu_enter(v);
    __atomic_compare_exchange_n(&v->run->immediate_exit, &ours, saved, false,
                                __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    if (ret == -EINTR) {
        return 0;
    }
    if (ret == 0) {
        /* A #DB that was due with the instruction is no further question. */
        return v->run->exit_reason == KVM_EXIT_DEBUG ? 0 : 1;
    }
    return ret;
}

int pb_vcpu_get_regs(PbVcpu *v, struct kvm_regs *regs)
{
    return pb_vcpu_ioctl(v, KVM_GET_REGS, regs);
}

int pb_vcpu_set_regs(PbVcpu *v, const struct kvm_regs *regs)
{
    return pb_vcpu_ioctl(v, KVM_SET_REGS, (void *)regs);
}

int pb_vcpu_get_sregs(PbVcpu *v, struct kvm_sregs *sregs)
{
    return pb_vcpu_ioctl(v, KVM_GET_SREGS, sregs);
}

/* Any other page. */
#define ANOTHER_CR3 0x1000ull

/* KVM has no call for it, but does so when CR3 is given another value. */
int pb_vcpu_flush_tlb(PbVcpu *v)
{
    struct kvm_sregs sregs;
    int i, ret = pb_vcpu_get_sregs(v, &sregs);

    for (i = 0; ret == 0 && i < 2; i++) {
        sregs.cr3 ^= ANOTHER_CR3;
        ret = pb_vcpu_ioctl(v, KVM_SET_SREGS, &sregs);
    }
    return ret;
}

int pb_vcpu_get_both(PbVcpu *v, struct kvm_regs *regs,
                     struct kvm_sregs *sregs)
{
    int ret = pb_vcpu_get_regs(v, regs);

    return ret < 0 ? ret : pb_vcpu_get_sregs(v, sregs);
}

/* Breakpoints change nothing that is known; steps hide TF, or show it. */
static int set_guest_debug(PbVcpu *v, struct kvm_guest_debug *dbg)
{
    bool steps = (v->debug_control | dbg->control) & KVM_GUESTDBG_SINGLESTEP;
    uint64_t known = steps ? 0 : v->known;
    int ret = pb_vcpu_ioctl(v, KVM_SET_GUEST_DEBUG, dbg);

    v->debug_control = dbg->control;
    v->known = ret == 0 ? known : 0;
    return ret;
}

int pb_vcpu_debug_registers(PbVcpu *v, uint32_t control,
                            const PbDebugRegister *dr, unsigned n)
{
    struct kvm_guest_debug dbg = { .control = control };
    unsigned i;

    if (n > PB_VCPU_DRS) {
        return -EINVAL;
    }
    v->bps = 0;
    if (control & KVM_GUESTDBG_USE_HW_BP) {
        dbg.arch.debugreg[7] = 0x600;    /* LE, GE, reserved bit 10 */
        for (i = 0; i < n; i++) {
            unsigned len = dr[i].len == 8 ? 2 : dr[i].len - 1;
            uint64_t how = dr[i].type | len << 2;

            dbg.arch.debugreg[i] = dr[i].addr;
            dbg.arch.debugreg[7] |= 2u << (i * 2) |    /* global */
                                    how << (16 + i * 4);
            if (dr[i].type == PB_DR_EXECUTE) {
                v->bp[v->bps++] = dr[i].addr;
            }
        }
    }
    return set_guest_debug(v, &dbg);
}

int pb_vcpu_debug(PbVcpu *v, uint32_t control, const uint64_t *bp,
                  unsigned bps)
{
    PbDebugRegister dr[PB_VCPU_DRS];
    unsigned i;

    for (i = 0; i < bps && i < PB_VCPU_DRS; i++) {
        dr[i] = (PbDebugRegister) { .addr = bp[i], .len = 1 };
    }
    return pb_vcpu_debug_registers(v, control, dr, bps);
}

int pb_vcpu_pc(PbVcpu *v, uint64_t *pc)
{
    int ret = pb_vcpu_know(v, KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS);

    *pc = pb_linear(&v->run->s.regs.sregs, v->run->s.regs.regs.rip);
    return ret;
}

bool pb_vcpu_guest_dr(const struct kvm_debugregs *d, unsigned i,
                      PbDebugRegister *dr)
{
    static const uint8_t lengths[] = { 1, 2, 8, 4 };
    unsigned how = d->dr7 >> (16 + 4 * i) & 0xf;

    *dr = (PbDebugRegister) {
        .addr = d->db[i], .type = how & 3, .len = lengths[how >> 2],
    };
    return d->dr7 >> (2 * i) & 3;
}

void pb_vcpu_add_guest_drs(const struct kvm_debugregs *d, bool data,
                           PbDebugRegister dr[PB_VCPU_DRS], unsigned *n,
                           PbGuestDrs *g)
{
    unsigned i;

    memset(g, 0, sizeof(*g));
    for (i = 0; i < PB_VCPU_DRS && *n < PB_VCPU_DRS; i++) {
        if (pb_vcpu_guest_dr(d, i, &dr[*n]) &&
            !(data && dr[*n].type == PB_DR_EXECUTE)) {
            g->at[i] = ++*n;
        }
    }
}

uint64_t pb_vcpu_guest_hits(const PbGuestDrs *g, uint64_t dr6)
{
    uint64_t hits = 0;
    unsigned i;

    for (i = 0; i < PB_VCPU_DRS; i++) {
        hits |= g->at[i] && (dr6 >> (g->at[i] - 1) & 1) ? 1u << i : 0;
    }
    return hits;
}

int pb_vcpu_queue_db(PbVcpu *v)
{
    struct kvm_guest_debug dbg = {
        .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_INJECT_DB,
    };
    int ret = set_guest_debug(v, &dbg);

    v->debug_control = KVM_GUESTDBG_ENABLE;
    v->bps = 0;
    pb_vcpu_forget(v);
    return ret;
}

int pb_vcpu_debug_off(PbVcpu *v)
{
    return v->debug_control ? pb_vcpu_debug(v, 0, NULL, 0) : 0;
}
