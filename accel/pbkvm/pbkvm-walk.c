/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-walk.c: pbkvm-step and pbkvm-run-to: a walk of the Backup for which
 * the monitor waits without stopping the main loop.
 */
#include "qemu/osdep.h"
#include "qemu/coroutine.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-pbkvm-target.h"
#include "system/dump.h"

#include "backup-checkpoint.h"
#include "pb-linear.h"
#include "pbkvm.h"
#include "pbkvm-reverse.h"

void pbkvm_backup_place(PbkvmState *s, PbkvmPlace *q)
{
    g_autofree PbState *p = g_new0(PbState, 1);
    PbBackupStats b;

    pb_backup_stats(s->backup, &b);
    q->event = b.events;
    q->time = b.time_ns;
    q->branches = b.branches;
    q->has_cpu = true;
    q->cpu = pb_backup_cpu(s->backup);
    if (pb_backup_get_state(s->backup, q->cpu, p) == 0) {
        q->has_rip = true;
        q->rip = pb_linear(&p->sregs, p->regs.rip);
    }
}

bool pbkvm_backup_is_busy(const PbkvmState *s)
{
    return s->walker || s->inspect->walking || qemu_system_dump_in_progress();
}

static void walk_ended(void *opaque)
{
    PbkvmState *s = opaque;
    Coroutine *co = s->walker;

    s->walker = NULL;
    if (co) {
        aio_co_wake(co);
    }
}

/* The Backup's thread. */
void pbkvm_walk_stopped(void *opaque)
{
    aio_bh_schedule_oneshot(qemu_get_aio_context(), walk_ended, opaque);
}

static PbkvmStopReason reason_of(PbStopReason r)
{
    static const PbkvmStopReason map[] = {
        [PB_STOP_NONE] = PBKVM_STOP_REASON_ASKED,
        [PB_STOP_ASKED] = PBKVM_STOP_REASON_ASKED,
        [PB_STOP_STEPPED] = PBKVM_STOP_REASON_STEPPED,
        [PB_STOP_REACHED] = PBKVM_STOP_REASON_REACHED,
        [PB_STOP_PAST] = PBKVM_STOP_REASON_FAILED,    /* no such walk here */
        [PB_STOP_BREAK] = PBKVM_STOP_REASON_BREAKPOINT,
        [PB_STOP_WATCH] = PBKVM_STOP_REASON_WATCHPOINT,
        [PB_STOP_PANIC] = PBKVM_STOP_REASON_PANIC,
        [PB_STOP_HISTORY] = PBKVM_STOP_REASON_END_OF_HISTORY,
        [PB_STOP_CANNOT] = PBKVM_STOP_REASON_CANNOT_STEP,
        [PB_STOP_FAILED] = PBKVM_STOP_REASON_FAILED,
    };

    return map[r];
}

static PbkvmStop *stop_here(PbkvmState *s, PbkvmStopReason reason)
{
    PbkvmStop *q = g_new0(PbkvmStop, 1);

    q->reason = reason;
    q->place = g_new0(PbkvmPlace, 1);
    pbkvm_backup_place(s, q->place);
    return q;
}

static PbkvmStop *walk(PbkvmState *s, const PbWalk *w, Error **errp)
{
    PbStop stop;

    pbkvm_inspect_flush(s);
    pbkvm_hand_over(s);
    if (s->walker || !pb_backup_walk(s->backup, w)) {
        error_setg(errp, "the Backup cannot walk: expected it frozen, it is "
                   "%s", s->walker ? "on its way already"
                   : pb_backup_status_name(pb_backup_status(s->backup)));
        return NULL;
    }
    s->walker = qemu_coroutine_self();
    qemu_coroutine_yield();
    pb_backup_await(s->backup, &stop, -1);
    return stop_here(s, reason_of(stop.reason));
}

PbkvmStop *coroutine_fn qmp_pbkvm_step(bool has_instructions,
                                       uint64_t instructions,
                                       bool has_events, uint64_t events,
                                       Error **errp)
{
    PbkvmState *s = pbkvm_get_backup(errp);
    PbWalk w = { .instructions = has_instructions ? instructions : 0 };
    PbBackupStats b;

    if (!s) {
        return NULL;
    }
    if (has_instructions == has_events ||
        (has_instructions ? instructions : events) == 0) {
        error_setg(errp, "pbkvm-step: expected either instructions or "
                   "events, 1 or more");
        return NULL;
    }
    if (has_events) {
        pb_backup_stats(s->backup, &b);
        w.event = events > UINT64_MAX - b.events ? UINT64_MAX
                                                 : b.events + events;
    }
    return walk(s, &w, errp);
}

/* Something that grows in a history. */
typedef struct Along {
    const char *what;
    uint64_t to, now;
    uint64_t first;           /* where the way back begins */
    bool events;              /* these numbers are those of events */
} Along;

/* It has moved on, and kept nothing to go back to. */
static bool keeps_nothing(PbkvmState *s)
{
    char why[160] = "";

    return !s->replay.file &&
           !pb_backup_kept(s->backup, NULL, why, sizeof(why)) && why[0];
}

/* To a place in its past it gets from before it.  False: not that far. */
static bool go_back(PbkvmState *s, const Along *a, Error **errp)
{
    const PbPlace before = { .event = a->to };

    if (a->to > a->now ||
        pb_backup_status(s->backup) == PB_BACKUP_RUNNING || s->walker) {
        return true;          /* the walk refuses one that is not frozen */
    }
    if (keeps_nothing(s)) {
        return pbkvm_way_back(s, NULL, errp);       /* which says why */
    }
    if (a->to < a->first || !a->to) {
        error_setg(errp, "pbkvm-run-to: %s %" PRIu64 " lies in the Backup's "
                   "past, before %s%s: expected %" PRIu64 " or more", a->what,
                   a->to, s->replay.file ? "the beginning of "
                          : "where it was frozen",
                   s->replay.file ?: "", a->first);
        return false;
    }
    pbkvm_inspect_flush(s);
    return pbkvm_rewind(s, a->events ? &before : NULL, errp);
}

/* Its number, 0: none was detected. */
static uint64_t panic_event(const PbkvmState *s)
{
    if (s->replay.evidence) {
        return s->replay.evidence->panic_seq;
    }
    return s->panic.seen ? s->panic.place.events : 0;
}

/* Where it stands, and where its way back begins: there, if it has none. */
static void look_back(PbkvmState *s, PbBackupStats *now, PbBackupStart *first)
{
    pb_backup_stats(s->backup, now);
    if (!pbkvm_way_back(s, first, NULL)) {
        *first = (PbBackupStart) { .seq = now->events,
                                   .branches = now->branches,
                                   .time_ns = now->time_ns };
    }
}

PbkvmStop *coroutine_fn pbkvm_run_to_event(PbkvmState *s, uint64_t event,
                                           Error **errp)
{
    const PbWalk w = { .event = event };
    PbBackupStart first;
    PbBackupStats now;
    Along a;

    look_back(s, &now, &first);
    a = (Along) { "event", event, now.events, first.seq, true };
    return go_back(s, &a, errp) ? walk(s, &w, errp) : NULL;
}

static PbkvmStop *coroutine_fn run_to_live(PbkvmState *s, Error **errp)
{
    const PbkvmPoint *p = s->live.points ? pbkvm_live_nearest(s) : NULL;

    if (!p) {
        error_setg(errp, "pbkvm-run-to: there is no live point that the Backup "
                   "can get to%s%s", s->live.why ? ": " : "",
                   s->live.why ?: "");
        return NULL;
    }
    return pb_backup_is_at(s->backup, p->event)
         ? stop_here(s, PBKVM_STOP_REASON_REACHED)
         : pbkvm_run_to_event(s, p->event, errp);
}

PbkvmStop *coroutine_fn qmp_pbkvm_run_to(bool has_event, uint64_t event,
                                         bool has_branches, uint64_t branches,
                                         bool has_time, uint64_t time,
                                         bool has_panic, bool panic,
                                         bool has_live, bool live,
                                         Error **errp)
{
    PbkvmState *s = pbkvm_get_backup(errp);
    PbWalk w = { .branches = has_branches ? branches : 0,
                 .time_ns = has_time ? time : 0 };
    PbBackupStart at;
    PbBackupStats b;
    Along a;

    if (!s) {
        return NULL;
    }
    if (has_event + has_branches + has_time + (has_panic && panic) +
        (has_live && live) != 1) {
        error_setg(errp, "pbkvm-run-to: expected exactly one of event, "
                   "branches, time, panic and live");
        return NULL;
    }
    if (has_event) {
        return pbkvm_run_to_event(s, event, errp);
    }
    if (has_live && live) {
        return run_to_live(s, errp);
    }
    if (has_panic && panic && !panic_event(s)) {
        error_setg(errp, "pbkvm-run-to: no panic was detected");
        return NULL;
    }
    look_back(s, &b, &at);
    a = has_branches
      ? (Along) { "branches", branches, b.branches, at.branches }
      : has_time ? (Along) { "time", time, b.time_ns, at.time_ns }
      : (Along) { "the panic's event", panic_event(s), b.events, at.seq,
                  true };
    return go_back(s, &a, errp) ? walk(s, &w, errp) : NULL;
}
