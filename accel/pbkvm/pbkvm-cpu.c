/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-cpu.c: CPU features that would let the guest see something that
 * does not repeat are masked; asking for one by name is refused.
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qapi/error.h"
#include "cpu.h"
#include "hw/i386/apic_internal.h"
#include "accel/accel-cpu-target.h"
#include "qom/object.h"

#include "pbkvm.h"

typedef struct MaskedFeature {
    FeatureWord word;
    uint64_t bits;
    const char *name;
    const char *reason;
} MaskedFeature;

#define TIME   "its value is the host's time"
#define RANDOM "its value is random"
#define ABORT  "transactions abort when the host interrupts them"
#define SAVED  "what it saves depends on context switches of the host"
#define NEEDSX "it needs XSAVE, whose image depends on the host"
#define PV     "KVM writes guest memory unseen"
#define COUNTS "its counts include the host's doing"
#define X2APIC "its registers are MSRs of KVM's own APIC alone"
#define NESTED "a nested guest's exits are not recorded"
#define WAITS  "how it ends depends on the host's time"

/* docs/determinism.md has a row for each. */
static const MaskedFeature masked[] = {
    { FEAT_1_EDX, CPUID_TSC, "tsc", TIME },
    { FEAT_1_ECX, CPUID_EXT_X2APIC, "x2apic", X2APIC },
    { FEAT_1_ECX, CPUID_EXT_TSC_DEADLINE_TIMER, "tsc-deadline", TIME },
    { FEAT_1_ECX, CPUID_EXT_MONITOR, "monitor", WAITS },
    { FEAT_1_ECX, CPUID_EXT_VMX, "vmx", NESTED },
    { FEAT_1_ECX, CPUID_EXT_SMX, "smx", NESTED },
    { FEAT_1_ECX, CPUID_EXT_PDCM, "pdcm", COUNTS },
    { FEAT_1_ECX, CPUID_EXT_RDRAND, "rdrand", RANDOM },
    { FEAT_1_ECX, CPUID_EXT_XSAVE, "xsave", SAVED },
    { FEAT_1_ECX, CPUID_EXT_AVX, "avx", NEEDSX },
    { FEAT_1_ECX, CPUID_EXT_F16C, "f16c", NEEDSX },
    { FEAT_1_ECX, CPUID_EXT_FMA, "fma", NEEDSX },
    { FEAT_7_0_EBX, CPUID_7_0_EBX_TSC_ADJUST, "tsc-adjust", TIME },
    { FEAT_7_0_EBX, CPUID_7_0_EBX_HLE, "hle", ABORT },
    { FEAT_7_0_EBX, CPUID_7_0_EBX_RTM, "rtm", ABORT },
    { FEAT_7_0_EBX, CPUID_7_0_EBX_RDSEED, "rdseed", RANDOM },
    { FEAT_7_0_EBX, CPUID_7_0_EBX_AVX2, "avx2", NEEDSX },
    { FEAT_7_0_EBX, CPUID_7_0_EBX_AVX512F, "avx512f", NEEDSX },
    { FEAT_7_0_EBX, CPUID_7_0_EBX_MPX, "mpx", NEEDSX },
    { FEAT_7_0_EBX, CPUID_7_0_EBX_INTEL_PT, "intel-pt", COUNTS },
    { FEAT_7_0_ECX, CPUID_7_0_ECX_RDPID, "rdpid", TIME },
    { FEAT_7_0_ECX, CPUID_7_0_ECX_WAITPKG, "waitpkg", WAITS },
    { FEAT_7_0_ECX, CPUID_7_0_ECX_PKU, "pku", NEEDSX },
    { FEAT_7_0_EDX, CPUID_7_0_EDX_AMX_TILE, "amx-tile", NEEDSX },
    { FEAT_8000_0001_EDX, CPUID_EXT2_RDTSCP, "rdtscp", TIME },
    { FEAT_8000_0001_ECX, CPUID_EXT3_SVM, "svm", NESTED },
    { FEAT_8000_0001_ECX, CPUID_EXT3_PERFCORE, "perfctr-core", COUNTS },
    { FEAT_8000_0001_ECX, CPUID_EXT3_XOP, "xop", NEEDSX },
    { FEAT_8000_0001_ECX, CPUID_EXT3_FMA4, "fma4", NEEDSX },
    { FEAT_8000_0007_EDX, CPUID_APM_INVTSC, "invtsc", TIME },
    { FEAT_KVM, ~0ull, "a kvm paravirtual feature", PV },
    { FEAT_XSAVE, ~0ull, "an xsave feature", SAVED },
};

static void (*kvm_instance_init)(CPUState *cs);
static bool (*kvm_target_realize)(CPUState *cs, Error **errp);

static bool refuse(Error **errp, const char *name, const char *reason)
{
    error_setg(errp, "pbkvm: -cpu asks for %s, which a Backup cannot repeat: "
               "%s", name, reason);
    error_append_hint(errp, "Leave it out; pbkvm masks it.\n");
    return false;
}

/* What is no feature bit, but a property of its own. */
static bool refuse_properties(const X86CPU *cpu, Error **errp)
{
    if (cpu->enable_pmu) {
        return refuse(errp, "pmu", COUNTS);
    }
    if (cpu->expose_kvm) {
        return refuse(errp, "kvm", PV);
    }
    if (cpu->hyperv_features || cpu->hyperv_passthrough ||
        cpu->hyperv_spinlock_attempts != HYPERV_SPINLOCK_NEVER_NOTIFY) {
        return refuse(errp, "Hyper-V's enlightenments", PV);
    }
    if (cpu->env.user_tsc_khz &&
        cpu->env.user_tsc_khz * 1000 != PB_TSC_HZ) {
        error_setg(errp, "pbkvm: -cpu asks for tsc-frequency=%" PRId64
                   ": expected %u, or nothing", cpu->env.user_tsc_khz * 1000,
                   PB_TSC_HZ);
        return false;
    }
    return true;
}

static bool wanted(const CPUX86State *env, const MaskedFeature *m)
{
    return env->features[m->word] & env->user_features[m->word] & m->bits;
}

/* The one that a Backup may repeat: pb-tsc.h. */
static bool is_tsc(const MaskedFeature *m)
{
    return m->word == FEAT_1_EDX && m->bits == CPUID_TSC;
}

static bool refuse_wanted(const CPUX86State *env, Error **errp)
{
    size_t i;

    for (i = 0; i < ARRAY_SIZE(masked); i++) {
        const MaskedFeature *m = &masked[i];

        if (!wanted(env, m)) {
            continue;
        }
        if (!is_tsc(m)) {
            return refuse(errp, m->name, m->reason);
        }
        if (!pbkvm_tsc_want(pbkvm_state(), errp)) {
            return false;
        }
    }
    return true;
}

/* A kernel of 64 bits takes it for granted. */
static void want_tsc_by_default(const CPUX86State *env)
{
    Error *err = NULL;

    if (!pbkvm_state()->replay.file &&
        (env->features[FEAT_8000_0001_EDX] & CPUID_EXT2_LM) &&
        (env->features[FEAT_1_EDX] & CPUID_TSC) &&
        !pbkvm_tsc_want(pbkvm_state(), &err)) {
        error_append_hint(&err, "64-bit Linux does not do without: its "
                          "Backup will diverge at the first RDTSC.\n");
        warn_report_err(err);
    }
}

static bool pbkvm_cpu_realize(CPUState *cs, Error **errp)
{
    CPUX86State *env = &X86_CPU(cs)->env;
    size_t i;

    if (!refuse_properties(X86_CPU(cs), errp) || !refuse_wanted(env, errp)) {
        return false;
    }
    want_tsc_by_default(env);
    for (i = 0; i < ARRAY_SIZE(masked); i++) {
        if (!is_tsc(&masked[i]) || !pbkvm_state()->tsc_wanted) {
            env->features[masked[i].word] &= ~masked[i].bits;
        }
    }
    if (pbkvm_state()->tsc_wanted) {
        env->tsc_khz = PB_TSC_HZ / 1000;      /* -loadvm may bring another */
    }
    env->features[FEAT_XSAVE_XCR0_LO] = 0;
    env->features[FEAT_XSAVE_XCR0_HI] = 0;
    env->features[FEAT_XSAVE_XSS_LO] = 0;
    env->features[FEAT_XSAVE_XSS_HI] = 0;
    return kvm_target_realize(cs, errp);
}

#define RESET_RIP 0xfff0

void pbkvm_apic_check(CPUState *cs, uint64_t rip)
{
    APICCommonState *apic = APIC_COMMON(X86_CPU(cs)->apic_state);

    if (apic && rip != RESET_RIP && (apic->lvt[APIC_LVT_LINT0] &
        APIC_LVT_MASKED) && !(apic->spurious_vec & APIC_SV_ENABLE)) {
        warn_report("pbkvm: the guest does not begin at its reset, but its "
                    "local APIC does, and lets no interrupt through: a "
                    "snapshot of a machine without one? Use -cpu ...,-apic");
    }
}

static void pbkvm_cpu_init(CPUState *cs)
{
    X86CPU *cpu = X86_CPU(cs);

    kvm_instance_init(cs);
    cpu->expose_kvm = false;
    /* What is set so far are defaults: only the user's wishes count. */
    cpu->enable_pmu = false;                       /* -cpu host has it on */
    memset(&cpu->env.user_features, 0, sizeof(cpu->env.user_features));
}

static void pbkvm_cpu_class_init(ObjectClass *oc, void *data)
{
    AccelCPUClass *acc = ACCEL_CPU_CLASS(oc);

    kvm_instance_init = acc->cpu_instance_init;
    kvm_target_realize = acc->cpu_target_realize;
    acc->cpu_instance_init = pbkvm_cpu_init;
    acc->cpu_target_realize = pbkvm_cpu_realize;
}

static const TypeInfo pbkvm_cpu_type = {
    .name = ACCEL_CPU_NAME("pbkvm"),
    .parent = ACCEL_CPU_NAME("kvm"),
    .class_init = pbkvm_cpu_class_init,
    .abstract = true,
};

static void pbkvm_cpu_register_types(void)
{
    type_register_static(&pbkvm_cpu_type);
}
type_init(pbkvm_cpu_register_types);
