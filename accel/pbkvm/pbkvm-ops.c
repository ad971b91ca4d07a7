/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pbkvm-ops.c: what QEMU asks of a vCPU goes to the Primary or the Backup. */
#include "qemu/osdep.h"
#include <linux/kvm.h>
#include "cpu.h"
#include "hw/core/cpu.h"
#include "system/accel-ops.h"
#include "system/cpus.h"
#include "hw/i386/apic_internal.h"
#include "accel/kvm/kvm-cpus.h"

#include "pbkvm.h"
#include "pbkvm-breaks.h"

/* KVM's, for the Primary. */
static const AccelOpsClass *kvm_ops;

static int insert_breakpoint(CPUState *cpu, int type, vaddr addr, vaddr len)
{
    return pbkvm_is_backup(cpu)
         ? pbkvm_inspect_insert(cpu, type, addr, len)
         : pbkvm_primary_insert(cpu, type, addr, len);
}

static int remove_breakpoint(CPUState *cpu, int type, vaddr addr, vaddr len)
{
    return pbkvm_is_backup(cpu)
         ? pbkvm_inspect_remove(cpu, type, addr, len)
         : pbkvm_primary_remove(cpu, type, addr, len);
}

static void remove_all_breakpoints(CPUState *cpu)
{
    if (pbkvm_is_backup(cpu)) {
        pbkvm_inspect_remove_all(cpu);
    } else {
        pbkvm_primary_remove_all(cpu);
    }
}

static int update_guest_debug(CPUState *cpu)
{
    return pbkvm_is_backup(cpu) ? 0 : pbkvm_primary_update_debug(cpu);
}

static void synchronize_state(CPUState *cpu)
{
    if (pbkvm_is_backup(cpu)) {
        pbkvm_inspect_synchronize(cpu);
    } else {
        kvm_ops->synchronize_state(cpu);
    }
}

/* A snapshot may be of a guest whose APICs were KVM's: here they are QEMU's. */
static void take_over_apic(CPUState *cpu)
{
    CPUX86State *env = cpu_env(cpu);
    X86CPU *x86 = X86_CPU(cpu);

    if (env->mp_state == KVM_MP_STATE_RUNNABLE) {
        return;
    }
    if (env->mp_state != KVM_MP_STATE_HALTED && x86->apic_state) {
        APIC_COMMON(x86->apic_state)->wait_for_sipi = 1;
    }
    cpu->halted = 1;
    env->mp_state = KVM_MP_STATE_RUNNABLE;
}

static void synchronize_post_init(CPUState *cpu)
{
    if (!pbkvm_is_backup(cpu)) {
        take_over_apic(cpu);
        kvm_ops->synchronize_post_init(cpu);
    }
}

static void synchronize_pre_loadvm(CPUState *cpu)
{
    if (!pbkvm_is_backup(cpu)) {
        kvm_ops->synchronize_pre_loadvm(cpu);
    }
}

static void kick_vcpu_thread(CPUState *cpu)
{
    if (pbkvm_is_backup(cpu)) {
        pbkvm_inspect_kick(cpu);
    } else {
        cpus_kick_thread(cpu);
    }
}

static bool thread_is_idle(CPUState *cpu)
{
    const PbkvmState *s = pbkvm_state();

    if (pbkvm_is_backup(cpu)) {
        return pbkvm_inspect_is_idle(cpu);
    }
    /* A history begins, or is refused, with a vCPU that is halted, too. */
    return (s->recording || s->replay.file) &&
           kvm_ops->cpu_thread_is_idle(cpu);
}

static void pbkvm_ops_class_init(ObjectClass *oc, void *data)
{
    AccelOpsClass *ops = ACCEL_OPS_CLASS(oc);

    kvm_ops = g_memdup2(ops, sizeof(*ops));
    ops->create_vcpu_thread = pbkvm_start_vcpu_thread;
    ops->cpu_thread_is_idle = thread_is_idle;
    ops->kick_vcpu_thread = kick_vcpu_thread;
    ops->insert_breakpoint = insert_breakpoint;
    ops->remove_breakpoint = remove_breakpoint;
    ops->remove_all_breakpoints = remove_all_breakpoints;
    ops->update_guest_debug = update_guest_debug;
    ops->synchronize_state = synchronize_state;
    ops->synchronize_post_init = synchronize_post_init;
    ops->synchronize_pre_loadvm = synchronize_pre_loadvm;
    ops->synchronize_post_reset = pbkvm_synchronize_post_reset;
    ops->synchronize_pre_resume = pbkvm_inspect_pre_resume;
}

static const TypeInfo pbkvm_ops_type = {
    .name = ACCEL_OPS_NAME("pbkvm"),
    .parent = ACCEL_OPS_NAME("kvm"),
    .class_init = pbkvm_ops_class_init,
    .abstract = true,
};

static void pbkvm_register_types(void)
{
    type_register_static(&pbkvm_ops_type);
}
type_init(pbkvm_register_types);
