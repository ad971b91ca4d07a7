/* SPDX-License-Identifier: GPL-2.0-or-later */
/* TLB entries of an SVM guest outlive its exits. See svm-tlb.h. */

#include "qemu/osdep.h"
#include "cpu.h"
#include "exec/cputlb.h"
#include "svm-tlb.h"

#define GUEST_INDEXES (0x3f << PBKVM_MMU_GUEST | 1 << MMU_NESTED_IDX)
#define CPUS 64

/* All that translations of one world depend on, but for the page tables. */
typedef struct World {
    uint64_t cr0, cr3, cr4, efer, nested_cr3, nested_pg_mode;
    uint32_t asid;
    bool valid;
} World;

/* By cpu_index; each is touched by its own vCPU thread alone. */
static World hosts[CPUS], guests[CPUS];

static World world_now(CPUX86State *env)
{
    return (World) {
        .cr0 = env->cr[0] & (CR0_PG_MASK | CR0_WP_MASK | CR0_PE_MASK),
        .cr3 = env->cr[3],
        .cr4 = env->cr[4],
        .efer = env->efer & (MSR_EFER_LMA | MSR_EFER_NXE),
        .valid = true,
    };
}

static World guest_now(CPUX86State *env, uint32_t asid)
{
    World w = world_now(env);

    w.asid = asid;
    w.nested_cr3 = env->nested_cr3;
    w.nested_pg_mode = env->nested_pg_mode;
    return w;
}

static bool same(const World *a, const World *b)
{
    return a->valid && b->valid && a->cr0 == b->cr0 && a->cr3 == b->cr3 &&
           a->cr4 == b->cr4 && a->efer == b->efer && a->asid == b->asid &&
           a->nested_cr3 == b->nested_cr3 &&
           a->nested_pg_mode == b->nested_pg_mode;
}

static World *of_cpu(World *worlds, CPUX86State *env)
{
    static World never[CPUS];
    int index = env_cpu(env)->cpu_index;

    if (index >= CPUS) {            /* no memory for it: always flush */
        worlds = never;
        index %= CPUS;
        worlds[index].valid = false;
    }
    return &worlds[index];
}

void pbkvm_svm_leave_host(CPUX86State *env)
{
    *of_cpu(hosts, env) = world_now(env);
    env->hflags2 |= HF2_PBKVM_SWITCH_MASK;
}

void pbkvm_svm_enter_guest(CPUX86State *env, uint32_t asid, uint8_t tlb_ctl)
{
    World *last = of_cpu(guests, env);
    World now = guest_now(env, asid);

    if (tlb_ctl == TLB_CONTROL_FLUSH_ALL_ASID) {
        tlb_flush(env_cpu(env));
    } else if (tlb_ctl != TLB_CONTROL_DO_NOTHING || !same(last, &now)) {
        tlb_flush_by_mmuidx(env_cpu(env), GUEST_INDEXES);
    }
    *last = now;
    env->hflags2 &= ~HF2_PBKVM_SWITCH_MASK;
}

void pbkvm_svm_flush_guest(CPUX86State *env)
{
    tlb_flush_by_mmuidx(env_cpu(env), GUEST_INDEXES & ~(1 << MMU_NESTED_IDX));
}

void pbkvm_svm_leave_guest(CPUX86State *env)
{
    World *last = of_cpu(guests, env);

    if (env->hflags2 & HF2_PBKVM_SWITCH_MASK) {
        last->valid = false;        /* VMRUN failed halfway */
    } else {
        /* The guest may have changed them, and flushed when it did. */
        *last = guest_now(env, last->asid);
    }
    env->hflags2 |= HF2_PBKVM_SWITCH_MASK;
}

void pbkvm_svm_enter_host(CPUX86State *env)
{
    World now = world_now(env);

    if (!same(of_cpu(hosts, env), &now)) {
        tlb_flush(env_cpu(env));
    }
    env->hflags2 &= ~HF2_PBKVM_SWITCH_MASK;
}
