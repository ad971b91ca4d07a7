/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-golive.c: pbkvm-go-live: the Primary is put where the Backup stands, in
 * the past, and lives on from there.
 *
 * Memory and registers are the Backup's, with what a debugger has changed in
 * it; the devices' state is what was saved at this live point (pbkvm-live.c),
 * and disks hold what they held there (pbkvm-undo.c).  The history goes on
 * from there, for a new Backup.  A replay's machine, which has not run, begins
 * one.
 */
#include "qemu/osdep.h"
#include "qemu/coroutine.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-pbkvm-target.h"
#include "qapi/qapi-events-pbkvm-target.h"
#include "cpu.h"
#include "io/channel-buffer.h"
#include "system/cpus.h"
#include "system/hw_accel.h"
#include "system/reset.h"
#include "system/runstate.h"
#include "migration/migration.h"
#include "migration/qemu-file.h"
#include "migration/savevm.h"

#include "backup-inspect.h"
#include "pbkvm.h"
#include "pbkvm-reverse.h"

/* ---- which point ---- */

static bool may_go(PbkvmState *s, Error **errp)
{
    const char *why = NULL;

    if (s->replay.file && !s->replay.evidence->points) {
        error_setg(errp, "pbkvm-go-live: there is no live point in %s: its "
                   "machine kept none (live-interval), or the Backup had "
                   "passed them all", s->replay.file);
        return false;
    }
    if (!s->replay.file && s->live.why) {
        error_setg(errp, "pbkvm-go-live: no live points are kept: %s",
                   s->live.why);
        return false;
    }
    if (s->ended) {
        why = "the history has ended";
    } else if (pbkvm_backup_is_busy(s)) {
        why = "another command is busy with the Backup";
    } else if (pb_backup_status(s->backup) != PB_BACKUP_FROZEN) {
        why = "expected the Backup frozen (pbkvm-freeze)";
    }
    if (why) {
        error_setg(errp, "pbkvm-go-live: %s", why);
    }
    return !why;
}

static bool disks_are_those_of(PbkvmState *s, const PbkvmPoint *p,
                               Error **errp)
{
    if (s->replay.file || (p->disks == pbkvm_undo_disks(s) &&
                           p->place <= pbkvm_undo_place(s))) {
        return true;
    }
    error_setg(errp, "pbkvm-go-live: a disk cannot be put back to what it held "
               "at event %" PRIu64 ": it was exchanged, resized, or written by "
               "somebody else than the guest, or put back further", p->event);
    return false;
}

static void no_point(const PbkvmState *s, bool has_event, Error **errp)
{
    g_autofree char *forgot = NULL;

    if (s->undo.forgot) {
        forgot = g_strdup_printf("; what was written to disks since event %"
                                 PRIu64 " was more than live-undo=%" PRIu64
                                 " bytes", s->undo.forgot, s->undo.max);
    }
    error_setg(errp, "pbkvm-go-live: there is no such live point%s: "
               "query-pbkvm lists them%s",
               has_event ? "" : " that the Backup can get to", forgot ?: "");
}

static const PbkvmPoint *choose(PbkvmState *s, bool has_event, uint64_t event,
                                Error **errp)
{
    const PbkvmPoint *p = has_event ? pbkvm_live_point(s, event)
                                    : pbkvm_live_nearest(s);

    if (!p) {
        no_point(s, has_event, errp);
    } else if (!has_event && pb_backup_detached(s->backup) &&
               !pb_backup_is_at(s->backup, p->event)) {
        error_setg(errp, "pbkvm-go-live: a debugger has changed the Backup, "
                   "which stands at no live point: expected to be told which "
                   "(event %" PRIu64 " is near; what was changed is gone "
                   "then)", p->event);
        p = NULL;
    }
    if (!p || !disks_are_those_of(s, p, errp) ||
        (s->replay.file && !pbkvm_live_fits(s, p->event, errp))) {
        return NULL;
    }
    return p;
}

/* ---- the Primary becomes what the Backup is ---- */

typedef struct GoLive {
    PbkvmState *s;
    Coroutine *co;
    uint64_t event, time, place;
    GBytes *devices;
    PbState *state;           /* of each of the Backup's vCPUs, */
    unsigned cpu;             /* and whose turn it is */
    PbkvmStarted *started;
    int ret;
    Error *err;
} GoLive;

static bool load_devices(GoLive *g)
{
    gsize len;
    const void *data = g_bytes_get_data(g->devices, &len);
    QIOChannelBuffer *ioc = qio_channel_buffer_new(len);
    QEMUFile *f;
    int ret;

    memcpy(ioc->data, data, len);
    ioc->usage = len;
    f = qemu_file_new_input(QIO_CHANNEL(ioc));
    qemu_get_be32(f);         /* magic */
    qemu_get_be32(f);         /* version: this very QEMU's */
    cpu_synchronize_all_pre_loadvm();
    ret = qemu_loadvm_state_main(f, migration_incoming_get_current());
    qemu_fclose(f);
    object_unref(OBJECT(ioc));
    if (ret < 0) {
        error_setg(&g->err, "pbkvm-go-live: a device's state cannot be loaded "
                   "(%s): the Primary cannot go on; the Backup is as it was",
                   strerror(-ret));
    }
    return ret == 0;
}

/* The Primary's thread, which rests. */
static void put_cpus(CPUState *unused, run_on_cpu_data data)
{
    GoLive *g = data.host_ptr;
    PbkvmState *s = g->s;
    uint32_t bad_msr;
    unsigned i;

    pb_cpus_select(&s->cpus, g->cpu);
    s->cpu = current_cpu = s->each[g->cpu];
    s->apic_base = g->state[g->cpu].sregs.apic_base;
    for (i = 0; g->ret == 0 && i < s->cpus.n; i++) {
        CPUState *cpu = s->each[i];

        g->ret = pb_state_put(pb_cpus_at(&s->cpus, i), &g->state[i],
                              &bad_msr);
        /* What was loaded of its registers gives way. */
        cpu->vcpu_dirty = false;
        cpu_synchronize_state(cpu);
        pbkvm_note_put(s, cpu);
    }
}

/* Primary time has gone back: whoever knew it learns it anew. */
static void set_back_time(PbkvmState *s)
{
    pb_record_time_went_back(s->rec);
    s->lag.look_ns = 0;
    pbkvm_turn_begins(s);
    pbkvm_ticker_restart(s);
    pbkvm_slices_restart(s);
    pbkvm_live_restart(s);
}

static bool put_machine(GoLive *g)
{
    PbkvmState *s = g->s;

    qemu_system_reset(SHUTDOWN_CAUSE_SNAPSHOT_LOAD);
    pb_mem_copy(&s->mem, pb_backup_mem(s->backup));
    if (!load_devices(g)) {
        return false;
    }
    if (s->replay.file) {
        if (!pbkvm_undo_to(s, g->place, &g->err)) {
            return false;
        }
        /* Now, so that its CPUs are not taken for idle. */
        pbkvm_replay_leave(s);
        pbkvm_cpus_start(s);
    }
    run_on_cpu(s->cpu, put_cpus, RUN_ON_CPU_HOST_PTR(g));
    if (g->ret < 0) {
        error_setg_errno(&g->err, -g->ret, "pbkvm-go-live: the Primary's "
                         "registers cannot be set");
    }
    return g->ret == 0;
}

static bool take_states(GoLive *g)
{
    PbBackup *b = g->s->backup;
    int ret = 0;
    unsigned i;

    pbkvm_inspect_flush(g->s);
    g->cpu = pb_backup_cpu(b);
    for (i = 0; ret == 0 && i < g->s->cpus.n; i++) {
        ret = pb_backup_get_state(b, i, &g->state[i]);
    }
    if (ret < 0) {
        error_setg_errno(&g->err, -ret, "pbkvm-go-live: reading the Backup's "
                         "registers");
    }
    return ret == 0;
}

/* The Primary may have run until now, and others may have been at work. */
static bool is_still_good(GoLive *g)
{
    const PbkvmPoint *p = pbkvm_live_point(g->s, g->event);

    if (!p || !pb_backup_is_at(g->s->backup, g->event)) {
        error_setg(&g->err, "pbkvm-go-live: the machine's devices were changed "
                   "meanwhile, or the Backup has gone on");
        return false;
    }
    return disks_are_those_of(g->s, p, &g->err);
}

/* The Primary's thread: the history of what was a replay begins. */
static void begin_history(CPUState *unused, run_on_cpu_data data)
{
    GoLive *g = data.host_ptr;

    pbkvm_start(g->s, &g->err);
}

static void go_from_file(GoLive *g)
{
    const PbTscStart *tsc = &g->s->replay.evidence->info.at.tsc;

    g->s->tsc_from = (PbTscStart) {
        .on = tsc->on, .base = tsc->base, .value = tsc->base + g->time,
    };
    if (!take_states(g) || !is_still_good(g) ||
        !pbkvm_undo_open(g->s, &g->err) || !put_machine(g)) {
        return;
    }
    run_on_cpu(g->s->cpu, begin_history, RUN_ON_CPU_HOST_PTR(g));
    if (!g->err) {
        g->started = g_new0(PbkvmStarted, 1);
        g->started->time = pbkvm_now(NULL);
        qapi_event_send_pbkvm_started(g->started);
    }
}

static void go(GoLive *g)
{
    g_autofree PbState *left = g_new0(PbState, PB_MAX_CPUS);
    PbkvmState *s = g->s;
    bool ran = runstate_is_running();
    int64_t since = get_clock();

    if (!take_states(g) ||
        !pbkvm_stop_at_position(s, PB_EVENT_POINT, RUN_STATE_PAUSED, left,
                                &g->err)) {
        return;
    }
    if (!is_still_good(g)) {
        if (ran) {
            vm_start();
        }
        return;
    }
    if (!pbkvm_undo_to(s, g->place, &g->err)) {
        return;
    }
    if (!put_machine(g)) {
        pbkvm_end(s, "pbkvm-go-live has failed");
        return;
    }
    set_back_time(s);
    pbkvm_panic_forget(s);
    /* Whatever it was stopped for has not happened. */
    runstate_set(RUN_STATE_PRELAUNCH);
    g->started = pbkvm_new_backup(s, g->state, since, &g->err);
}

/* Outside of the command's coroutine, in which no disk can be waited for. */
static void go_now(void *opaque)
{
    GoLive *g = opaque;

    if (qemu_in_vcpu_thread()) {
        /* The Primary's, which waits for a disk: it is to rest first. */
        aio_bh_schedule_oneshot(qemu_get_aio_context(), go_now, g);
        return;
    }
    if (g->s->replay.file) {
        go_from_file(g);
    } else {
        go(g);
    }
    aio_co_wake(g->co);
}

/* ---- the command ---- */

/* Have the Backup stand there. */
static bool walk_there(PbkvmState *s, uint64_t event, Error **errp)
{
    PbkvmStop *stop = pbkvm_run_to_event(s, event, errp);
    bool there = stop && pb_backup_is_at(s->backup, event);

    if (stop && !there) {
        error_setg(errp, "pbkvm-go-live: the Backup did not get to event %"
                   PRIu64 ": %s", event, PbkvmStopReason_str(stop->reason));
    }
    qapi_free_PbkvmStop(stop);
    return there;
}

PbkvmLive *coroutine_fn qmp_pbkvm_go_live(bool has_event, uint64_t event,
                                          Error **errp)
{
    PbkvmState *s = pbkvm_get_backup(errp);
    const PbkvmPoint *p = s && may_go(s, errp)
                        ? choose(s, has_event, event, errp) : NULL;
    GoLive g = { .s = s, .co = qemu_coroutine_self() };
    PbkvmLive *q;

    if (!p) {
        return NULL;
    }
    g.event = p->event;
    g.time = p->time;
    g.place = p->place;
    g.devices = g_bytes_ref(p->devices);
    if (pb_backup_is_at(s->backup, g.event) ||
        walk_there(s, g.event, errp)) {
        g.state = g_new0(PbState, PB_MAX_CPUS);
        aio_bh_schedule_oneshot(qemu_get_aio_context(), go_now, &g);
        qemu_coroutine_yield();
        g_free(g.state);
    }
    g_bytes_unref(g.devices);
    if (!g.started) {
        error_propagate(errp, g.err);
        return NULL;
    }
    q = g_new0(PbkvmLive, 1);
    q->event = g.event;
    q->time = g.time;
    q->started = g.started;
    return q;
}
