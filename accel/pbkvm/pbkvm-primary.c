/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-primary.c: the thread of the Primary's vCPUs: KVM's loop with a
 * recorder around every exit.
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/guest-random.h"
#include "qemu/main-loop.h"
#include "qemu/rcu.h"
#include "qapi/error.h"
#include "cpu.h"
#include "exec/address-spaces.h"
#include "gdbstub/enums.h"
#include "hw/i386/apic.h"
#include "system/cpus.h"
#include "system/runstate.h"
#include "system/runstate-action.h"
#include "accel/kvm/kvm-cpus.h"

#include "branch-counter.h"
#include "pb-exit.h"
#include "pb-vm.h"
#include "pbkvm.h"
#include "pbkvm-breaks.h"

/* ---- leaving: what came out ---- */

static void answer_pio(struct kvm_run *run, MemTxAttrs attrs)
{
    uint8_t *data = (uint8_t *)run + run->io.data_offset;
    uint32_t i;

    for (i = 0; i < run->io.count; i++) {
        address_space_rw(&address_space_io, run->io.port, attrs, data,
                         run->io.size, run->io.direction == KVM_EXIT_IO_OUT);
        data += run->io.size;
    }
}

/*
 * MSRs that KVM does not know, or that pb_vm_policy() filters: a value that
 * depends on time or host would not repeat, so the guest gets #GP.
 */
static void answer_msr(struct kvm_run *run)
{
    run->msr.data = run->exit_reason == KVM_EXIT_X86_RDMSR ? 0
                                                           : run->msr.data;
    run->msr.error = 1;
}

/* A triple fault. */
static int handle_shutdown(PbkvmState *s)
{
    pbkvm_panic(s, PBKVM_PANIC_SOURCE_SHUTDOWN, "triple fault");
    if (panic_action == PANIC_ACTION_NONE) {
        bql_lock();
        qemu_system_reset_request(SHUTDOWN_CAUSE_GUEST_RESET);
        bql_unlock();
    }
    return EXCP_INTERRUPT;
}

static int handle_exit(PbkvmState *s, CPUState *cpu, MemTxAttrs attrs)
{
    struct kvm_run *run = cpu->kvm_run;
    int ret = 0;

    s->at_exit = true;
    s->standing = false;
    pb_record_exit_begin(s->rec);
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        if (run->io.direction == KVM_EXIT_IO_OUT) {
            pbkvm_panic_look(s, run);
        }
        answer_pio(run, attrs);
        break;
    case KVM_EXIT_MMIO:
        address_space_rw(&address_space_memory, run->mmio.phys_addr, attrs,
                         run->mmio.data, run->mmio.len, run->mmio.is_write);
        pb_exit_mind_cr8(run);
        s->cr8 = run->cr8;
        break;
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR:
        answer_msr(run);
        break;
    case KVM_EXIT_IRQ_WINDOW_OPEN:
        ret = EXCP_INTERRUPT;
        break;
    case KVM_EXIT_HLT:
        s->standing = true;
        ret = kvm_arch_handle_exit(cpu, run);
        break;
    case KVM_EXIT_SHUTDOWN:
        s->standing = true;
        ret = handle_shutdown(s);
        break;
    case KVM_EXIT_DEBUG:
        if (pbkvm_panic_at(s)) {
            break;
        }
        /* fall through */
    default:
        /* No event says that it was here. */
        s->at_exit = false;
        pbkvm_stand(s);
        ret = kvm_arch_handle_exit(cpu, run);
        break;
    }
    pb_record_exit_end(s->rec);
    s->at_exit = false;
    return s->panic.stop ? EXCP_INTERRUPT : ret;
}

/* The guest has moved its local APIC, or switched it on or off. */
static void move_apic(PbkvmState *s, CPUState *cpu, uint64_t base)
{
    bql_lock();
    cpu_set_apic_base(X86_CPU(cpu)->apic_state, base);
    bql_unlock();
    s->apic_base = base;
}

/* It has set the APIC's priority by CR8. */
static void set_tpr(PbkvmState *s, CPUState *cpu, uint8_t cr8)
{
    bql_lock();
    cpu_set_apic_tpr(X86_CPU(cpu)->apic_state, cr8);
    bql_unlock();
    s->cr8 = cr8;
}

/* What QEMU knows of the vCPU without asking. */
static MemTxAttrs after_run(PbkvmState *s, CPUState *cpu)
{
    const struct kvm_run *run = cpu->kvm_run;
    CPUX86State *env = cpu_env(cpu);

    env->eflags = run->if_flag ? env->eflags | IF_MASK
                               : env->eflags & ~IF_MASK;
    if (unlikely(run->apic_base != s->apic_base)) {
        move_apic(s, cpu, run->apic_base);
    }
    if (unlikely(run->cr8 != s->cr8)) {
        set_tpr(s, cpu, run->cr8);
    }
    return cpu_get_mem_attrs(env);
}

static int run_once(PbkvmState *s, CPUState *cpu)
{
    struct kvm_run *run = cpu->kvm_run;
    MemTxAttrs attrs;
    int ret = pbkvm_before_run(s, cpu);

    /* One on its way to a position goes on, room or not. */
    if (ret == 0 && !s->rest.tries) {
        if (!cpu->stop && !pbkvm_wait_for_room(s, cpu)) {
            return EXCP_INTERRUPT;
        }
        ret = pbkvm_lag_hold(s, cpu);
    }
    if (ret < 0) {
        error_report("pbkvm: recording failed: %s", strerror(-ret));
        return ret;
    }
    if (ret == 0) {
        if (qatomic_read(&cpu->exit_request) && !s->rest.tries) {
            /* KVM completes the last exit, and comes back at once. */
            qatomic_set(&run->immediate_exit, 1);
        }
        ret = pbkvm_enter(s, cpu);
        attrs = after_run(s, cpu);
        if (ret) {
            return ret == -EINTR ? EXCP_INTERRUPT : ret == 1 ? EXCP_DEBUG
                                                             : ret;
        }
    } else {
        attrs = MEMTXATTRS_UNSPECIFIED;
    }
    return handle_exit(s, cpu, attrs);
}

/* Out of the guest for @ret: to rest, or (0) not yet. */
static int leave(PbkvmState *s, CPUState *cpu, int ret)
{
    switch (pbkvm_rest(s)) {
    case 0:
        return ret;
    case 1:
        handle_exit(s, cpu, MEMTXATTRS_UNSPECIFIED);
        return 0;
    default:
        /* A panicked guest stops right here. */
        return ret == EXCP_INTERRUPT && !s->panic.stop ? 0 : ret;
    }
}

/* The guest has panicked in the exit just answered: it stops right here. */
static void stop_panicked(PbkvmState *s)
{
    s->panic.stop = false;
    pbkvm_rest_recorded(s);
    vm_stop(RUN_STATE_GUEST_PANICKED);
}

static int pbkvm_cpu_exec(PbkvmState *s, CPUState *cpu)
{
    int ret;

    if (kvm_arch_process_async_events(cpu)) {
        qatomic_set(&cpu->exit_request, 0);
        return EXCP_HLT;
    }
    pbkvm_rest_end(s);
    bql_unlock();
    cpu_exec_start(cpu);
    do {
        ret = run_once(s, cpu);
        if (ret == 0 && s->cpus.n > 1 && pbkvm_turn_is_due(s)) {
            ret = EXCP_INTERRUPT;
        }
        if (ret) {
            ret = leave(s, cpu, ret);
        }
    } while (ret == 0);
    cpu_exec_end(cpu);
    bql_lock();
    pbkvm_rest_begin(s);
    if (ret < 0) {
        cpu_dump_state(cpu, stderr, CPU_DUMP_CODE);
        vm_stop(RUN_STATE_INTERNAL_ERROR);
    }
    if (s->stepped) {
        s->stepped = false;
        pbkvm_primary_update_debug(cpu);
    }
    if (s->panic.stop) {
        stop_panicked(s);
    }
    qatomic_set(&cpu->exit_request, 0);
    return ret;
}

/* A panicked guest that has stopped amid a delivery, say, goes on a little. */
static void rest_at_position(PbkvmState *s, CPUState *cpu)
{
    if (s->recording && !s->ended && !s->standing) {
        qatomic_set(&cpu->exit_request, 1);
        if (pbkvm_cpu_exec(s, cpu) == EXCP_DEBUG) {
            cpu_handle_guest_debug(cpu);
        }
    }
    pbkvm_rest_recorded(s);
}

static void record_reset(CPUState *cpu, run_on_cpu_data unused)
{
    PbkvmState *s = pbkvm_state();
    g_autofree PbState *state = g_new(PbState, 1);
    int ret;

    pbkvm_note_put(s, cpu);
    if (!s->recording || s->ended) {
        return;
    }
    ret = pb_state_get(pbkvm_vcpu(s, cpu), state);
    if (ret < 0) {
        pbkvm_end(s, "the CPU's state after its reset cannot be read");
        return;
    }
    pb_record_state(s->rec, pbkvm_cpu_number(s, cpu), state);
}

void pbkvm_synchronize_post_reset(CPUState *cpu)
{
    if (pbkvm_is_backup(cpu)) {
        pbkvm_inspect_post_reset(cpu);
        return;
    }
    kvm_cpu_synchronize_post_reset(cpu);
    run_on_cpu(cpu, record_reset, RUN_ON_CPU_NULL);
}

/*
 * In a replay there is nothing to run, also when a debugger that leaves
 * starts the machine: it would be looked for without end, the BQL held.
 */
static void stay_idle(PbkvmState *s)
{
    unsigned i;

    for (i = 0; i < s->cpus.n; i++) {
        s->each[i]->halted = 1;
        s->each[i]->interrupt_request = 0;
    }
}

/* The one whose turn it is, until something else is to be done. */
static void run(PbkvmState *s, CPUState *cpu)
{
    Error *err = NULL;

    if (!s->recording && !pbkvm_start(s, &err)) {
        error_report_err(err);
        exit(1);
    }
    s->inspect->machine_ran = true;
    if (pbkvm_cpu_exec(s, cpu) == EXCP_DEBUG) {
        cpu_handle_guest_debug(cpu);
    }
}

static void *primary_thread(void *arg)
{
    CPUState *cpu = arg;
    PbkvmState *s = pbkvm_state();

    rcu_register_thread();
    bql_lock();
    qemu_thread_get_self(cpu->thread);
    cpu->thread_id = qemu_get_thread_id();
    current_cpu = cpu;
    kvm_init_vcpu(cpu, &error_fatal);
    pb_vm_vcpu_policy(cpu->kvm_fd);
    kvm_init_cpu_signals(cpu);
    cpu_thread_signal_created(cpu);
    qemu_guest_random_seed_thread_part2(cpu->random_seed);
    do {
        cpu = s->cpu;
        if (cpu_can_run(cpu) && !s->replay.file) {
            run(s, cpu);
        }
        if (s->replay.file) {
            stay_idle(s);
        }
        if (cpu->stop) {
            rest_at_position(s, cpu);
        }
        pbkvm_cpus_wait(s);
    } while (!cpu->unplug || cpu_can_run(cpu));
    kvm_destroy_vcpu(cpu);
    cpu_thread_signal_destroyed(cpu);
    bql_unlock();
    rcu_unregister_thread();
    return NULL;
}

void pbkvm_start_vcpu_thread(CPUState *cpu)
{
    if (pbkvm_is_backup(cpu)) {
        pbkvm_inspect_start_thread(cpu);
        return;
    }
    pbkvm_cpus_add(pbkvm_state(), cpu);
    if (!cpu->created) {
        qemu_thread_create(cpu->thread, "CPU 0/pbkvm", primary_thread, cpu,
                           QEMU_THREAD_JOINABLE);
    }
}
