/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-state.c: the whole architectural state of a vCPU. */
#include <stdio.h>
#include <string.h>

#include "pb-remedy.h"
#include "pb-state.h"

#define RFLAGS_IF (1ull << 9)

/* Offsets in the FXSAVE image (Intel SDM 1, table 10-2). */
#define FX_FOP   6
#define FX_FIP   8
#define FX_MXCSR 24
#define FX_MXCSR_MASK 28
#define FX_ST0   32
#define FX_XSTATE_HEADER 512

const char *pb_state_check(const PbState *s)
{
    unsigned i;

    if (s->msrs > PB_MSRS_MAX) {
        return "too many MSRs";
    }
    for (i = 0; i < s->msrs; i++) {
        if (!pb_msrs_has(s->msr[i].index)) {
            return "an MSR that is no part of a state";
        }
    }
    return NULL;
}

int pb_state_get(PbVcpu *v, PbState *s)
{
    const struct {
        unsigned long req;
        void *to;
    } part[] = {
        { KVM_GET_REGS, &s->regs },
        { KVM_GET_SREGS, &s->sregs },
        { KVM_GET_DEBUGREGS, &s->debugregs },
        { KVM_GET_VCPU_EVENTS, &s->events },
        { KVM_GET_MP_STATE, &s->mp_state },
        { KVM_GET_XSAVE, &s->xsave },
    };
    unsigned i;

    pb_vcpu_forget(v);        /* whatever happened: as KVM has it now */
    memset(s, 0, sizeof(*s));
    for (i = 0; i < sizeof(part) / sizeof(part[0]); i++) {
        int ret = pb_vcpu_ioctl(v, part[i].req, part[i].to);

        if (ret < 0) {
            return ret;
        }
    }
    s->msrs = pb_msrs_get(v, s->msr);
    return 0;
}

int pb_state_put(PbVcpu *v, const PbState *s, uint32_t *bad_msr)
{
    const struct {
        unsigned long req;
        const void *from;
    } part[] = {
        { KVM_SET_SREGS, &s->sregs },
        { KVM_SET_XSAVE, &s->xsave },
        { KVM_SET_REGS, &s->regs },
        { KVM_SET_DEBUGREGS, &s->debugregs },
        { KVM_SET_MP_STATE, &s->mp_state },
        /* Last: KVM_SET_REGS drops a pending exception. */
        { KVM_SET_VCPU_EVENTS, &s->events },
    };
    const unsigned parts = sizeof(part) / sizeof(part[0]);
    unsigned i, at = pb_remedy(PB_REMEDY_EVENTS) ? 0 : parts - 1;
    int ret;

    *bad_msr = 0;
    ret = pb_msrs_put(v, s->msr, s->msrs, bad_msr);

    for (i = 0; ret >= 0 && i < parts; i++, at = (at + 1) % parts) {
        ret = pb_vcpu_ioctl(v, part[at].req, (void *)part[at].from);
    }
    /* KVM itself writes them only at the next exit, and reads CR8 there. */
    v->run->if_flag = (s->regs.rflags & RFLAGS_IF) != 0;
    v->run->cr8 = s->sregs.cr8;
    return ret < 0 ? ret : 0;
}

static bool differ(char *what, size_t len, const char *name, uint64_t a,
                   uint64_t b)
{
    if (a == b) {
        return false;
    }
    snprintf(what, len, "%s: 0x%llx and 0x%llx", name,
             (unsigned long long)a, (unsigned long long)b);
    return true;
}

static bool regs_differ(const struct kvm_regs *a, const struct kvm_regs *b,
                        char *what, size_t len)
{
    const uint64_t ignore = PB_RFLAGS_RF | PB_RFLAGS_TF;

    return differ(what, len, "rip", a->rip, b->rip) ||
           differ(what, len, "eax", a->rax, b->rax) ||
           differ(what, len, "ebx", a->rbx, b->rbx) ||
           differ(what, len, "ecx", a->rcx, b->rcx) ||
           differ(what, len, "edx", a->rdx, b->rdx) ||
           differ(what, len, "esi", a->rsi, b->rsi) ||
           differ(what, len, "edi", a->rdi, b->rdi) ||
           differ(what, len, "ebp", a->rbp, b->rbp) ||
           differ(what, len, "esp", a->rsp, b->rsp) ||
           differ(what, len, "r8", a->r8, b->r8) ||
           differ(what, len, "r9", a->r9, b->r9) ||
           differ(what, len, "r10", a->r10, b->r10) ||
           differ(what, len, "r11", a->r11, b->r11) ||
           differ(what, len, "r12", a->r12, b->r12) ||
           differ(what, len, "r13", a->r13, b->r13) ||
           differ(what, len, "r14", a->r14, b->r14) ||
           differ(what, len, "r15", a->r15, b->r15) ||
           differ(what, len, "eflags", a->rflags & ~ignore,
                  b->rflags & ~ignore);
}

static bool segment_differs(const char *name, const struct kvm_segment *a,
                            const struct kvm_segment *b, char *what,
                            size_t len)
{
    if (!memcmp(a, b, sizeof(*a))) {
        return false;
    }
    snprintf(what, len, "%s: 0x%x base 0x%llx limit 0x%x and 0x%x base "
             "0x%llx limit 0x%x", name, a->selector,
             (unsigned long long)a->base, a->limit, b->selector,
             (unsigned long long)b->base, b->limit);
    return true;
}

static bool sregs_differ(const struct kvm_sregs *a, const struct kvm_sregs *b,
                         char *what, size_t len)
{
    return differ(what, len, "cr0", a->cr0, b->cr0) ||
           differ(what, len, "cr2", a->cr2, b->cr2) ||
           differ(what, len, "cr3", a->cr3, b->cr3) ||
           differ(what, len, "cr4", a->cr4, b->cr4) ||
           differ(what, len, "cr8", a->cr8, b->cr8) ||
           differ(what, len, "efer", a->efer, b->efer) ||
           differ(what, len, "idt base", a->idt.base, b->idt.base) ||
           differ(what, len, "idt limit", a->idt.limit, b->idt.limit) ||
           differ(what, len, "gdt base", a->gdt.base, b->gdt.base) ||
           differ(what, len, "gdt limit", a->gdt.limit, b->gdt.limit) ||
           segment_differs("cs", &a->cs, &b->cs, what, len) ||
           segment_differs("ss", &a->ss, &b->ss, what, len) ||
           segment_differs("ds", &a->ds, &b->ds, what, len) ||
           segment_differs("es", &a->es, &b->es, what, len) ||
           segment_differs("fs", &a->fs, &b->fs, what, len) ||
           segment_differs("gs", &a->gs, &b->gs, what, len) ||
           segment_differs("tr", &a->tr, &b->tr, what, len) ||
           segment_differs("ldt", &a->ldt, &b->ldt, what, len) ||
           differ(what, len, "apic base", a->apic_base, b->apic_base);
}

static bool events_differ(const struct kvm_vcpu_events *a,
                          const struct kvm_vcpu_events *b, char *what,
                          size_t len)
{
    return differ(what, len, "injected exception", a->exception.injected,
                  b->exception.injected) ||
           differ(what, len, "pending exception", a->exception.pending,
                  b->exception.pending) ||
           differ(what, len, "injected interrupt",
                  a->interrupt.injected ? 256 + a->interrupt.nr : 0,
                  b->interrupt.injected ? 256 + b->interrupt.nr : 0) ||
           differ(what, len, "nmi injected, pending, masked",
                  a->nmi.injected | a->nmi.pending << 8 |
                  a->nmi.masked << 16,
                  b->nmi.injected | b->nmi.pending << 8 |
                  b->nmi.masked << 16);
}

static bool fpu_differs(const struct kvm_xsave *a, const struct kvm_xsave *b,
                        char *what, size_t len)
{
    const uint8_t *pa = (const uint8_t *)a->region;
    const uint8_t *pb = (const uint8_t *)b->region;
    unsigned i;

    for (i = 0; i < FX_XSTATE_HEADER; i++) {
        if (i == FX_FOP) {
            i = FX_MXCSR;             /* past FOP, FIP and FDP */
        }
        if (i == FX_MXCSR_MASK) {
            i = FX_ST0;               /* the CPU's, never loaded from here */
        }
        if (i == 464) {
            break;                    /* the rest is software's */
        }
        if (pa[i] != pb[i]) {
            snprintf(what, len, "fpu: byte %u of the FXSAVE image: 0x%02x "
                     "and 0x%02x", i, pa[i], pb[i]);
            return true;
        }
    }
    return false;
}

/*
 * KVM on AMD takes but the low half of SYSENTER's ESP and EIP from who puts
 * them, where the guest has all of it (svm_set_msr(); in 64-bit mode AMD's
 * processors do not have the instruction).
 */
static bool is_half(const struct kvm_msr_entry *a,
                    const struct kvm_msr_entry *b)
{
    return (a->index == 0x175 || a->index == 0x176) &&
           (uint32_t)a->data == (uint32_t)b->data &&
           (!(a->data >> 32) || !(b->data >> 32));
}

static bool msrs_differ(const PbState *a, const PbState *b, char *what,
                        size_t len)
{
    unsigned i;

    if (differ(what, len, "number of MSRs", a->msrs, b->msrs)) {
        return true;
    }
    for (i = 0; i < a->msrs; i++) {
        char name[24];

        snprintf(name, sizeof(name), "msr 0x%x", a->msr[i].index);
        if (!is_half(&a->msr[i], &b->msr[i]) &&
            differ(what, len, name, a->msr[i].data, b->msr[i].data)) {
            return true;
        }
    }
    return false;
}

static bool debugregs_differ(const struct kvm_debugregs *a,
                             const struct kvm_debugregs *b, char *what,
                             size_t len)
{
    return differ(what, len, "dr0", a->db[0], b->db[0]) ||
           differ(what, len, "dr1", a->db[1], b->db[1]) ||
           differ(what, len, "dr2", a->db[2], b->db[2]) ||
           differ(what, len, "dr3", a->db[3], b->db[3]) ||
           differ(what, len, "dr6", a->dr6, b->dr6) ||
           differ(what, len, "dr7", a->dr7, b->dr7);
}

bool pb_state_equal(const PbState *a, const PbState *b, char *what,
                    size_t len)
{
    return !(regs_differ(&a->regs, &b->regs, what, len) ||
             sregs_differ(&a->sregs, &b->sregs, what, len) ||
             events_differ(&a->events, &b->events, what, len) ||
             debugregs_differ(&a->debugregs, &b->debugregs, what, len) ||
             differ(what, len, "mp state", a->mp_state.mp_state,
                    b->mp_state.mp_state) ||
             fpu_differs(&a->xsave, &b->xsave, what, len) ||
             msrs_differ(a, b, what, len));
}
