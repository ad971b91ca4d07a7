/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pbkvm-enter.c: what goes into the Primary, and its KVM_RUN or step. */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qapi/error.h"
#include "cpu.h"

#include "branch-counter.h"
#include "pb-step.h"
#include "pbkvm.h"

void pbkvm_note_put(PbkvmState *s, CPUState *cpu)
{
    pb_vcpu_forget(pbkvm_vcpu(s, cpu));
    if (s->primary.tsc) {
        pb_tsc_forget(s->primary.tsc);      /* a reset puts it, too */
    }
    cpu->kvm_run->if_flag = (cpu_env(cpu)->eflags & IF_MASK) != 0;
    cpu->kvm_run->cr8 = cpu_get_apic_tpr(X86_CPU(cpu)->apic_state);
    if (cpu == s->cpu) {
        s->cr8 = cpu->kvm_run->cr8;
    }
}

/* QEMU changed registers: if the guest could tell, so must the Backup. */
static int put_registers(PbkvmState *s, CPUState *cpu)
{
    g_autofree PbState *old = g_new(PbState, 1);
    g_autofree PbState *new = g_new(PbState, 1);
    Error *err = NULL;
    char what[160];
    int ret;

    ret = s->recording ? pb_state_get(&s->primary, old) : 0;
    if (ret == 0) {
        ret = kvm_arch_put_registers(cpu, KVM_PUT_RUNTIME_STATE, &err);
    }
    if (ret < 0) {
        error_reportf_err(err, "Putting registers: ");
        return ret;
    }
    cpu->vcpu_dirty = false;
    pbkvm_note_put(s, cpu);
    if (!s->recording || s->ended) {
        return 0;
    }
    ret = pb_state_get(&s->primary, new);
    if (ret == 0 && !pb_state_equal(old, new, what, sizeof(what))) {
        pb_record_state(s->rec, s->cpus.now, new);
    }
    return ret;
}

static bool takes_interrupts(const struct kvm_run *run)
{
    return run->ready_for_interrupt_injection && run->if_flag;
}

static int inject_nmi(PbkvmState *s, CPUState *cpu)
{
    int ret = pb_record_nmi(s->rec);

    if (ret == 0) {
        s->standing = false;
        cpu_reset_interrupt(cpu, CPU_INTERRUPT_NMI);
    }
    return ret == -EAGAIN ? 0 : ret;
}

static int inject_irq(PbkvmState *s, CPUState *cpu)
{
    int irq, ret = pb_record_may_irq(s->rec);

    /*
     * The PIC is asked only once.  KVM says it is ready, too, when it was given
     * an NMI and has returned before it entered: that one is first.
     */
    if (ret) {
        return ret == -EAGAIN ? 0 : ret;
    }
    cpu_reset_interrupt(cpu, CPU_INTERRUPT_HARD);
    irq = cpu_get_pic_interrupt(cpu_env(cpu));
    if (irq < 0) {
        return 0;
    }
    s->standing = false;
    return pb_record_irq(s->rec, irq);
}

/* An NMI or interrupt that waits, recorded and handed to KVM. BQL held. */
static int inject_waiting(PbkvmState *s, CPUState *cpu)
{
    bool nmi = cpu->interrupt_request & CPU_INTERRUPT_NMI;
    int ret = nmi ? inject_nmi(s, cpu) : 0;
    bool injected = nmi && !(cpu->interrupt_request & CPU_INTERRUPT_NMI);

    /* An NMI that must wait holds up no interrupt: its window stays open. */
    if (ret == 0 && !injected &&
        (cpu->interrupt_request & CPU_INTERRUPT_HARD) &&
        takes_interrupts(cpu->kvm_run)) {
        ret = inject_irq(s, cpu);
    }
    return ret;
}

/* The same, BQL not held: others may have it first, and change memory. */
static int inject(PbkvmState *s, CPUState *cpu)
{
    int ret = pbkvm_stand(s);

    if (ret == 0) {
        bql_lock();
        ret = inject_waiting(s, cpu);
        bql_unlock();
    } else if (ret == -EAGAIN) {
        ret = 0;        /* half way through a delivery nothing is injected */
    }
    cpu->kvm_run->request_interrupt_window =
        (cpu->interrupt_request & CPU_INTERRUPT_HARD) != 0;
    return ret;
}

/* A counter that lost time has made every position since then wrong. */
static void mark(PbkvmState *s)
{
    const char *lost = pb_counter_check(s->primary.counter);

    pb_record_mark(s->rec);
    if (lost && !s->ended) {
        bql_lock();
        pbkvm_end(s, lost);
        bql_unlock();
    }
}

int pbkvm_before_run(PbkvmState *s, CPUState *cpu)
{
    int ret;

    if (cpu->vcpu_dirty) {
        ret = put_registers(s, cpu);
        if (ret < 0) {
            return ret;
        }
    }
    if (qatomic_read(&s->mark_due)) {
        qatomic_set(&s->mark_due, false);
        mark(s);
    }
    ret = pbkvm_slices_record(s);
    ret = ret ? ret : pb_record_tsc(s->rec);
    if (ret) {
        return ret;
    }
    if (cpu->interrupt_request &&
        !(cpu->singlestep_enabled & SSTEP_NOIRQ)) {
        ret = inject(s, cpu);
        if (ret) {
            return ret;
        }
        if (cpu->interrupt_request & CPU_INTERRUPT_INIT) {
            cpu->exit_request = 1;
        }
    } else {
        cpu->kvm_run->request_interrupt_window = 0;
    }
    return 0;
}

/* ---- the guest runs ---- */

/* A debugger's step of the Primary. 1: it is done; else as pb_vcpu_run(). */
static int step(PbkvmState *s)
{
    int ret = pb_counter_step(s->primary.counter, NULL), off;
    char why[240];

    s->stepped = true;
    off = pb_vcpu_debug_off(&s->primary);
    if (off < 0) {
        return off;
    }
    switch (ret) {
    case PB_STEP_DONE:
        return 1;
    case PB_STEP_EXIT:
        return 0;
    case PB_STEP_INTERRUPTED:
        return -EINTR;
    case -EOPNOTSUPP:
        pb_step_explain(&s->primary, ret, why, sizeof(why));
        error_report("pbkvm: the Primary stays where it is: %s", why);
        return 1;
    default:
        return ret;
    }
}

int pbkvm_enter(PbkvmState *s, CPUState *cpu)
{
    struct kvm_run *run = cpu->kvm_run;
    char why[240];
    int ret;

    if (s->standing) {
        s->standing = false;
        pb_record_leave(s->rec);
    }
    /* exit_request is read before KVM_RUN reads immediate_exit. */
    smp_rmb();
    ret = cpu->singlestep_enabled ? step(s) : pb_vcpu_run(&s->primary);
    if (ret == -EINTR) {
        qatomic_set(&run->immediate_exit, 0);
        /* Before exit_request is cleared in pbkvm_cpu_exec(). */
        smp_wmb();
    } else if (ret < 0) {
        pb_step_explain(&s->primary, ret, why, sizeof(why));
        error_report("pbkvm: the Primary cannot go on: %s", why);
    }
    return ret;
}
