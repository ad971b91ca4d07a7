/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-inspect.c: what gdb and the monitor do with the Backup's CPUs.
 *
 * Registers are copied when somebody looks at them, which freezes the Backup.
 * The first CPU's thread walks the Backup while gdb has any of them resumed: it
 * goes on whose turn it was when it was recorded.
 */
#include "qemu/osdep.h"
#include <sys/ioctl.h>
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/rcu.h"
#include "cpu.h"
#include "exec/gdbstub.h"
#include "system/cpus.h"
#include "system/dump.h"
#include "system/memory_mapping.h"
#include "system/runstate.h"

#include "backup-checkpoint.h"
#include "backup-inspect.h"
#include "pbkvm.h"
#include "pbkvm-inspect.h"
#include "pbkvm-reverse.h"

/* Which of its vCPUs @cpu shows. */
static unsigned number(const PbkvmState *s, const CPUState *cpu)
{
    return cpu->cpu_index - s->cpus.n;
}

void pbkvm_detach(PbkvmState *s, const char *what)
{
    if (!pb_backup_detached(s->backup)) {
        /* If not, it has no way back, which is told when it is wanted. */
        pb_backup_keep(s->backup);
        pb_backup_detach(s->backup);
        warn_report("pbkvm: a debugger has changed %s: from here on the "
                    "Backup's life is not the recorded one", what);
    }
}

/* ---- its registers ---- */

void pbkvm_inspect_synchronize(CPUState *cpu)
{
    PbkvmState *s = pbkvm_state();
    g_autofree PbState *p = NULL;
    bool walks;

    if (number(s, cpu) == 0) {
        s->inspect->froze = false;        /* who looks at all begins here */
    }
    /* The devices are saved, and the Backup has none. */
    if (cpu->vcpu_dirty || !s->backup || qatomic_read(&s->live.saving) ||
        (qemu_system_dump_in_progress() && !dump_has_cpu(cpu))) {
        return;
    }
    p = g_new0(PbState, 1);
    /* One that walks was frozen by somebody else, and stays so. */
    walks = pb_backup_walks(s->backup);
    s->inspect->froze |= pb_backup_freeze(s->backup) && !walks;
    if (pb_backup_get_state(s->backup, number(s, cpu), p) == 0) {
        pbkvm_inspect_load(cpu, p);
        cpu->vcpu_dirty = true;
        s->inspect->loaded[number(s, cpu)] = p->regs;
    }
}

static void forget_registers(PbkvmState *s)
{
    unsigned i;

    for (i = 0; i < s->cpus.n; i++) {
        s->inspect->cpu[i]->vcpu_dirty = false;
    }
}

/*
 * A reset of the machine looks at all CPUs first; the Backup lives through
 * it at its own time.
 */
void pbkvm_inspect_post_reset(CPUState *cpu)
{
    PbkvmState *s = pbkvm_state();

    if (s->inspect->froze) {
        pb_backup_thaw(s->backup);
        s->inspect->froze = false;
        forget_registers(s);
    }
}

/* What a debugger has changed goes into the Backup. */
static void store(PbkvmState *s, unsigned i)
{
    CPUState *cpu = s->inspect->cpu[i];
    struct kvm_regs now = pbkvm_inspect_regs(cpu);

    if (cpu->vcpu_dirty && memcmp(&now, &s->inspect->loaded[i], sizeof(now))) {
        pbkvm_detach(s, "its registers");
        if (pb_backup_set_regs(s->backup, i, &now) < 0) {
            error_report("pbkvm: the Backup's registers cannot be set");
        }
    }
    cpu->vcpu_dirty = false;
}

void pbkvm_inspect_flush(PbkvmState *s)
{
    unsigned i;

    for (i = 0; s->inspect && i < s->cpus.n; i++) {
        store(s, i);
    }
}

/* Which vCPU query-stats tells of: QEMU's KVM code asks that of all CPUs. */
static void show_stats(CPUState *cpu, int fd)
{
    if (cpu->kvm_vcpu_stats_fd >= 0) {
        close(cpu->kvm_vcpu_stats_fd);    /* would keep the Backup's VM */
    }
    cpu->kvm_vcpu_stats_fd = fd;
}

void pbkvm_inspect_meet(PbkvmState *s)
{
    unsigned i;

    for (i = 0; s->inspect && i < s->cpus.n; i++) {
        show_stats(s->inspect->cpu[i], pb_backup_open_stats(s->backup, i));
    }
}

void pbkvm_inspect_forget(PbkvmState *s)
{
    unsigned i;

    if (!s->inspect) {
        return;
    }
    forget_registers(s);
    s->inspect->froze = false;
    for (i = 0; i < s->cpus.n; i++) {
        CPUState *cpu = s->inspect->cpu[i];

        show_stats(cpu, ioctl(cpu->kvm_fd, KVM_GET_STATS_FD, 0));
    }
}

/* ---- its thread ---- */

static void stopped_at(PbkvmState *s, const PbStop *stop)
{
    CPUState *cpu = s->inspect->cpu[pb_backup_cpu(s->backup)];
    RunState state = RUN_STATE_DEBUG;
    unsigned i;

    switch (stop->reason) {
    case PB_STOP_ASKED:
        return;               /* whoever asked stops the machine */
    case PB_STOP_WATCH:
        s->inspect->watch.vaddr = stop->addr;
        s->inspect->watch.flags = stop->kind == PB_WATCH_WRITE
                                ? BP_MEM_WRITE : BP_MEM_ACCESS;
        cpu->watchpoint_hit = &s->inspect->watch;
        break;
    case PB_STOP_PANIC:
        state = RUN_STATE_GUEST_PANICKED;
        break;
    case PB_STOP_HISTORY:
        state = RUN_STATE_PAUSED;
        break;
    case PB_STOP_CANNOT:
        warn_report("pbkvm: this instruction cannot be stepped without the "
                    "guest noticing; set a breakpoint behind it");
        break;
    default:
        break;
    }
    gdb_set_stop_cpu(cpu);
    for (i = 0; i < s->cpus.n; i++) {
        s->inspect->cpu[i]->stopped = true;
        s->inspect->cpu[i]->singlestep_enabled = 0;
    }
    qemu_system_vmstop_request_prepare();
    qemu_system_vmstop_request(state);
}

static bool any_cpu(PbkvmState *s, bool (*is)(CPUState *cpu))
{
    unsigned i;

    for (i = 0; i < s->cpus.n; i++) {
        if (is(s->inspect->cpu[i])) {
            return true;
        }
    }
    return false;
}

static bool steps(CPUState *cpu)
{
    return cpu->singlestep_enabled && cpu_can_run(cpu);
}

/*
 * gdb resumes a process by resuming its CPUs alone.  When the whole machine
 * goes on, a Backup that is frozen stays so: also when the Primary, at a
 * breakpoint or after a step, has stopped again before the rest.
 */
static bool wanted(PbkvmState *s)
{
    return any_cpu(s, cpu_can_run) && s->backup && s->cpu &&
           s->cpu->stopped && !s->inspect->machine_ran &&
           pb_backup_status(s->backup) == PB_BACKUP_FROZEN;
}

void pbkvm_inspect_pre_resume(bool step)
{
    pbkvm_state()->inspect->machine_ran = false;
}

bool pbkvm_inspect_is_idle(CPUState *cpu)
{
    return !wanted(pbkvm_state());
}

bool pbkvm_inspect_walk(PbkvmState *s, const PbWalk *w, PbStop *stop)
{
    if (!pb_backup_walk(s->backup, w)) {
        return false;
    }
    s->inspect->walking = true;
    bql_unlock();
    pb_backup_await(s->backup, stop, -1);
    bql_lock();
    s->inspect->walking = false;
    return true;
}

static void walk(PbkvmState *s)
{
    PbWalk w = { .instructions = any_cpu(s, steps) ? 1 : 0 };
    PbkvmBack back = s->inspect->back;
    PbStop stop;
    bool ok = true;

    s->inspect->back = PBKVM_FORWARDS;
    pbkvm_inspect_flush(s);
    pbkvm_hand_over(s);
    if (back != PBKVM_FORWARDS) {
        pbkvm_reverse(s, back, &stop);
    } else {
        ok = pbkvm_inspect_walk(s, &w, &stop);
    }
    if (ok) {
        stopped_at(s, &stop);
    }
}

/* What was asked of them. */
static void attend(PbkvmState *s)
{
    unsigned i;

    for (i = 0; i < s->cpus.n; i++) {
        CPUState *cpu = s->inspect->cpu[i];

        cpu->interrupt_request = 0;       /* the monitor's "nmi" */
        qemu_wait_io_event_common(cpu);
    }
}

static void *inspect_thread(void *opaque)
{
    CPUState *cpu = opaque;
    PbkvmState *s = pbkvm_state();

    rcu_register_thread();
    bql_lock();
    qemu_thread_get_self(cpu->thread);
    cpu->thread_id = qemu_get_thread_id();
    cpu_thread_signal_created(cpu);
    for (;;) {
        attend(s);
        if (wanted(s)) {
            walk(s);
        } else {
            pbkvm_wait_idle(s->inspect->cpu, s->cpus.n);
        }
    }
    return NULL;
}

void pbkvm_inspect_start_thread(CPUState *cpu)
{
    CPUState *first = pbkvm_state()->inspect->cpu[0];

    cpu->halted = 1;              /* nothing to do by itself */
    if (cpu == first) {
        qemu_thread_create(cpu->thread, "Inspect/pbkvm", inspect_thread, cpu,
                           QEMU_THREAD_DETACHED);
    } else {
        pbkvm_share_thread(cpu, first);
    }
}

void pbkvm_inspect_kick(CPUState *cpu)
{
    PbkvmState *s = pbkvm_state();

    if (cpu->stop && s->backup) {
        pb_backup_halt(s->backup);
    }
}
