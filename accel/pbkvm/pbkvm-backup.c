/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-backup.c: the start and the end of a history: the recorder, the
 * Backup and its thread, the ticker.
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qapi/error.h"
#include "qapi/qapi-events-pbkvm-target.h"
#include "hw/core/cpu.h"
#include "cpu.h"
#include "kvm/kvm_i386.h"
#include "system/runstate.h"
#include "system/system.h"

#include "pbkvm-hw.h"
#include "pbkvm.h"

/* Primary time without an event after which a progress mark is due. */
#define TICK_NS (10 * SCALE_MS)

/* A Backup on its way, and this thread's own signals: looked after so often. */
#define POKE_TICKS 10

#define CPUID_ENTRIES 256

#define ERROR_LEN 640

static void tick(void *opaque)
{
    static unsigned ticks;
    PbkvmState *s = opaque;
    uint64_t now = pbkvm_now(NULL);
    uint64_t due = pb_record_last_time(s->rec) + TICK_NS;

    if (s->ended || !s->in_exec || now >= due) {
        due = now + TICK_NS;
        if (!s->ended && s->in_exec) {
            qatomic_set(&s->mark_due, true);
            qemu_cpu_kick(s->cpu);
        }
    }
    if (++ticks % POKE_TICKS == 0) {
        /* To wait for them is to be woken by the Backup's at each landing. */
        qemu_take_signals();
        if (s->backup) {
            pb_backup_poke(s->backup);
        }
    }
    /* Every event puts the next mark off: a busy guest needs none. */
    timer_mod(s->ticker, due);
}

/* A device's timer has ticked. Main thread. */
static void device_tick(void *opaque)
{
    PbkvmState *s = opaque;

    if (!s->ended && s->in_exec) {
        qatomic_set(&s->mark_due, true);
        qemu_cpu_kick(s->cpu);
    }
}

static void report_divergence(void *opaque)
{
    PbkvmState *s = pbkvm_state();
    g_autofree char *at = g_malloc(160);
    g_autofree char *line = g_malloc(640);
    const PbDivergence *d;

    if (GPOINTER_TO_UINT(opaque) != s->backups) {
        return;               /* another Backup is there by now */
    }
    d = pb_backup_divergence(s->backup);
    pb_divergence_print(d, line, 640);
    error_report("pbkvm: %s", line);
    pbkvm_tsc_explain(s, d->event.time_ns);
    pb_position_print(&d->at, at, 160);
    qapi_event_send_pbkvm_diverged(d->event.seq,
                                   pb_event_kind_name(d->event.kind),
                                   d->expected, d->got, at);
    pbkvm_recover(s);
}

/* Backup's thread: QMP belongs to the main loop. */
static void diverged(void *opaque)
{
    PbkvmState *s = opaque;

    aio_bh_schedule_oneshot(qemu_get_aio_context(), report_divergence,
                            GUINT_TO_POINTER(s->backups));
}

/* Backup's thread. */
static void wrote(void *opaque, const struct kvm_run *run)
{
    if (run->exit_reason == KVM_EXIT_IO) {
        pbkvm_backup_wrote_port(run->io.port, run->io.size, run->io.count,
                                (const uint8_t *)run + run->io.data_offset);
    }
}

static void *backup_thread(void *opaque)
{
    pb_backup_run(opaque);
    return NULL;
}

struct kvm_cpuid2 *pbkvm_get_cpuid(CPUState *cpu, Error **errp)
{
    struct kvm_cpuid2 *c = g_malloc0(sizeof(*c) + CPUID_ENTRIES *
                                     sizeof(struct kvm_cpuid_entry2));
    int ret;

    c->nent = CPUID_ENTRIES;
    ret = kvm_vcpu_ioctl(cpu, KVM_GET_CPUID2, c);
    if (ret < 0) {
        error_setg_errno(errp, -ret, "pbkvm: KVM_GET_CPUID2");
        g_free(c);
        return NULL;
    }
    return c;
}

PbRing *pbkvm_ring_new(const PbkvmState *s, Error **errp)
{
    PbRing *ring = pb_ring_new(s->ring_events);

    if (!ring) {
        error_setg_errno(errp, errno, "pbkvm: a ring of %" PRIu32 " events",
                         s->ring_events);
    }
    return ring;
}

static bool stands_frozen(PbkvmState *s, Error **errp)
{
    g_autofree char *line = g_malloc0(ERROR_LEN);

    if (pb_backup_await_start(s->backup)) {
        return true;
    }
    pb_divergence_print(pb_backup_divergence(s->backup), line, ERROR_LEN);
    error_setg(errp, "pbkvm: the Backup cannot stand where it was "
               "left: %s", line);
    return false;
}

bool pbkvm_backup_start(PbkvmState *s, PbBackupConfig *c, Error **errp)
{
    char why[200];

    c->kvm_fd = s->parent_obj.fd;
    c->ring = s->ring;
    c->spill = s->full.spill;
    c->counter = s->counter;
    c->uarch = s->check.uarch;
    c->margin = s->check.margin;
    c->tsc = &s->tsc_model;
    c->diverged = diverged;
    c->stopped = pbkvm_walk_stopped;
    c->wrote = wrote;
    c->opaque = s;
    s->backup = pb_backup_new(c, why, sizeof(why));
    if (!s->backup) {
        error_setg(errp, "pbkvm: %s", why);
        return false;
    }
    s->backups++;
    pbkvm_backup_starts();
    pbkvm_inspect_meet(s);
    qemu_thread_create(&s->backup_thread, "Backup/pbkvm", backup_thread,
                       s->backup, QEMU_THREAD_JOINABLE);
    return !c->frozen || stands_frozen(s, errp);
}

bool pbkvm_is_followed(const PbkvmState *s)
{
    PbBackupStatus status = s->backup ? pb_backup_status(s->backup)
                                      : PB_BACKUP_ENDED;

    return !s->ended &&
           (status == PB_BACKUP_RUNNING || status == PB_BACKUP_FROZEN);
}

void pbkvm_backup_drop(PbkvmState *s)
{
    if (s->backup) {
        pb_backup_quit(s->backup);
        qemu_thread_join(&s->backup_thread);
        pbkvm_inspect_forget(s);
        pb_backup_free(s->backup);
        s->backup = NULL;
    }
}

/*
 * Primary time as far as the history has it: an event may be dated a little
 * after the clock, which may have been stopped meanwhile.
 */
static uint64_t time_recorded(void *opaque)
{
    PbkvmState *s = opaque;
    uint64_t now = pbkvm_now(NULL), last = pb_record_last_time(s->rec);

    return now > last ? now : last;
}

bool pbkvm_backup_follow(PbkvmState *s, const PbState *state,
                         const PbBackupStart *at, Error **errp)
{
    struct kvm_cpuid2 *cpuid[PB_MAX_CPUS] = { NULL };
    PbBackupConfig c = {
        .cpus = s->cpus.n,
        .primary_mem = &s->mem,
        .state = state,
        .at = at,
        .keeps = true,
        .lag = pbkvm_lag_wanted(s),
        .lag_min_ns = s->lag.min_ms * (uint64_t)SCALE_MS,
        .heading = &s->lag.heading,
        .now = time_recorded,
        .primary = pbkvm_lag_primary,
    };
    bool ok = true;
    unsigned i;

    for (i = 0; ok && i < c.cpus; i++) {
        c.cpuid[i] = cpuid[i] = pbkvm_get_cpuid(s->each[i], errp);
        ok = cpuid[i] != NULL;
    }
    ok = ok && pbkvm_backup_start(s, &c, errp);
    for (i = 0; i < c.cpus; i++) {
        g_free(cpuid[i]);
    }
    return ok;
}

static bool start_recorder(PbkvmState *s, Error **errp)
{
    char why[256];

    pbkvm_cpus_start(s);
    if (!pb_counter_new(&s->primary, s->counter, s->check.uarch, why,
                        sizeof(why))) {
        error_setg(errp, "pbkvm: %s", why);
        return false;
    }
    if (s->tsc_wanted && !pbkvm_tsc_start(s, errp)) {
        return false;
    }
    s->ring = pbkvm_ring_new(s, errp);
    if (!s->ring) {
        return false;
    }
    if (!pbkvm_spill_start(s, errp)) {
        return false;
    }
    s->rec = pb_record_new(s->ring, s->full.spill, &s->primary, pbkvm_now,
                           NULL);
    return true;
}

static void process_ends(Notifier *n, void *unused)
{
    pbkvm_shutdown(container_of(n, PbkvmState, exit));
}

/*
 * What somebody has looked at before the start, or changed.  All of it: that
 * also sets the speed of the guest's TSC, which only then is ours to set.
 */
static bool put_all(PbkvmState *s, Error **errp)
{
    unsigned i;

    for (i = 0; i < s->cpus.n; i++) {
        CPUState *cpu = s->each[i];

        if (cpu->vcpu_dirty &&
            kvm_arch_put_registers(cpu, KVM_PUT_FULL_STATE, errp) < 0) {
            return false;
        }
        cpu->vcpu_dirty = false;
        pbkvm_note_put(s, cpu);       /* a snapshot's APIC has a priority */
    }
    return true;
}

bool pbkvm_start(PbkvmState *s, Error **errp)
{
    g_autofree PbState *state = g_new(PbState, PB_MAX_CPUS);
    PbBackupStart first = { .digest = PB_DIGEST_START };
    int ret;

    if (!pbkvm_memory_start(s, errp) || !put_all(s, errp) ||
        !start_recorder(s, errp) || !pbkvm_live_start(s, errp)) {
        return false;
    }
    first.cpu = s->cpus.now;
    first.tsc = pbkvm_tsc_here(s);
    ret = pb_cpus_get_state(&s->cpus, state);
    if (ret < 0) {
        error_setg_errno(errp, -ret, "pbkvm: reading the vCPU's state");
        return false;
    }
    pbkvm_apic_check(s->cpu, state->regs.rip);
    if (s->with_backup && !pbkvm_backup_follow(s, state, &first, errp)) {
        return false;
    }
    pbkvm_panic_start(s);
    s->recording = true;
    s->standing = true;
    pbkvm_on_tick(device_tick, s);
    s->exit.notify = process_ends;
    qemu_add_exit_notifier(&s->exit);
    s->ticker = timer_new_ns(QEMU_CLOCK_VIRTUAL, tick, s);
    pbkvm_ticker_restart(s);
    pbkvm_slices_start(s);
    return true;
}

void pbkvm_ticker_restart(PbkvmState *s)
{
    timer_mod(s->ticker, pbkvm_now(NULL) + TICK_NS);
}

void pbkvm_end(PbkvmState *s, const char *why)
{
    if (s->ended) {
        return;
    }
    pbkvm_make_rest(s);
    s->ended = g_strdup(why);
    pb_record_note(s->rec, PB_EVENT_END, PB_END_UNRECORDED);
    pbkvm_hand_over(s);
    error_report("pbkvm: the history ends here: %s", why);
    error_printf("The guest runs on; the Backup stops at this point.\n");
}

void pbkvm_shutdown(PbkvmState *s)
{
    if (s->backup) {
        pb_backup_quit(s->backup);
        qemu_thread_join(&s->backup_thread);
        pbkvm_replay_end(s);
    }
}
