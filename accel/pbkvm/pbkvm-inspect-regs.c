/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pbkvm-inspect-regs.c: the Backup's registers as QEMU keeps a CPU's. */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "cpu.h"

#include "pbkvm-inspect.h"

static SegmentCache segment(const struct kvm_segment *s)
{
    return (SegmentCache) {
        .selector = s->selector, .base = s->base, .limit = s->limit,
        .flags = s->type << DESC_TYPE_SHIFT |
                 (s->present && !s->unusable ? DESC_P_MASK : 0) |
                 s->dpl << DESC_DPL_SHIFT | s->db << DESC_B_SHIFT |
                 (s->s ? DESC_S_MASK : 0) | (s->g ? DESC_G_MASK : 0) |
                 (s->avl ? DESC_AVL_MASK : 0) | (s->l ? DESC_L_MASK : 0),
    };
}

/* What SWAPGS has in store, for gdb's k_gs_base. */
static void load_other_gs(CPUX86State *env, const PbState *p)
{
#ifdef TARGET_X86_64
    uint32_t i;

    for (i = 0; i < p->msrs; i++) {
        if (p->msr[i].index == MSR_KERNELGSBASE) {
            env->kernelgsbase = p->msr[i].data;
        }
    }
#endif
}

static void load_special(CPUX86State *env, const PbState *p)
{
    const struct kvm_sregs *s = &p->sregs;

    env->segs[R_CS] = segment(&s->cs);
    env->segs[R_DS] = segment(&s->ds);
    env->segs[R_ES] = segment(&s->es);
    env->segs[R_FS] = segment(&s->fs);
    env->segs[R_GS] = segment(&s->gs);
    env->segs[R_SS] = segment(&s->ss);
    env->tr = segment(&s->tr);
    env->ldt = segment(&s->ldt);
    env->idt = (SegmentCache) { .base = s->idt.base, .limit = s->idt.limit };
    env->gdt = (SegmentCache) { .base = s->gdt.base, .limit = s->gdt.limit };
    env->cr[0] = s->cr0;
    env->cr[2] = s->cr2;
    env->cr[3] = s->cr3;
    env->cr[4] = s->cr4;
    env->efer = s->efer;
    load_other_gs(env, p);
    memcpy(env->dr, p->debugregs.db, sizeof(p->debugregs.db));
    env->dr[6] = p->debugregs.dr6;
    env->dr[7] = p->debugregs.dr7;
}

/* From the FXSAVE image (SDM 1, 10.5.1). */
static void load_fpu(CPUX86State *env, const PbState *p)
{
    const uint8_t *x = (const uint8_t *)p->xsave.region;
    uint16_t fsw = lduw_le_p(x + 2);
    int i;

    env->fpuc = lduw_le_p(x);
    env->fpus = fsw & ~0x3800;
    env->fpstt = fsw >> 11 & 7;
    for (i = 0; i < 8; i++) {
        env->fptags[i] = !(x[4] >> i & 1);
        memcpy(&env->fpregs[(env->fpstt + i) & 7], x + 32 + 16 * i, 10);
    }
    for (i = 0; i < CPU_NB_REGS; i++) {
        memcpy(&env->xmm_regs[i], x + 160 + 16 * i, 16);
    }
    env->mxcsr = ldl_le_p(x + 24);
}

static void load_regs(CPUX86State *env, const struct kvm_regs *r)
{
    env->regs[R_EAX] = r->rax;
    env->regs[R_EBX] = r->rbx;
    env->regs[R_ECX] = r->rcx;
    env->regs[R_EDX] = r->rdx;
    env->regs[R_ESI] = r->rsi;
    env->regs[R_EDI] = r->rdi;
    env->regs[R_EBP] = r->rbp;
    env->regs[R_ESP] = r->rsp;
#ifdef TARGET_X86_64
    env->regs[R_R8] = r->r8;
    env->regs[R_R9] = r->r9;
    env->regs[R_R10] = r->r10;
    env->regs[R_R11] = r->r11;
    env->regs[R_R12] = r->r12;
    env->regs[R_R13] = r->r13;
    env->regs[R_R14] = r->r14;
    env->regs[R_R15] = r->r15;
#endif
    env->eip = r->rip;
    env->eflags = r->rflags;
}

struct kvm_regs pbkvm_inspect_regs(CPUState *cpu)
{
    const CPUX86State *env = cpu_env(cpu);

    return (struct kvm_regs) {
        .rax = env->regs[R_EAX], .rbx = env->regs[R_EBX],
        .rcx = env->regs[R_ECX], .rdx = env->regs[R_EDX],
        .rsi = env->regs[R_ESI], .rdi = env->regs[R_EDI],
        .rbp = env->regs[R_EBP], .rsp = env->regs[R_ESP],
#ifdef TARGET_X86_64
        .r8 = env->regs[R_R8], .r9 = env->regs[R_R9],
        .r10 = env->regs[R_R10], .r11 = env->regs[R_R11],
        .r12 = env->regs[R_R12], .r13 = env->regs[R_R13],
        .r14 = env->regs[R_R14], .r15 = env->regs[R_R15],
#endif
        .rip = env->eip, .rflags = env->eflags,
    };
}

void pbkvm_inspect_load(CPUState *cpu, const PbState *p)
{
    CPUX86State *env = cpu_env(cpu);

    load_special(env, p);
    load_fpu(env, p);
    load_regs(env, &p->regs);
    x86_update_hflags(env);
}
