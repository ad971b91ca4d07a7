/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pbkvm-recover.c: a Backup in the middle of the Primary's life. */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-pbkvm-target.h"
#include "qapi/qapi-events-pbkvm-target.h"
#include "system/runstate.h"

#include "backup-inspect.h"
#include "pbkvm.h"

/* A Backup that does not last so long does not count as recovered. */
#define SOON_NS (10 * NANOSECONDS_PER_SECOND)

/* As often in a row, and the next will not last either. */
#define IN_A_ROW 3

/* ---- option ---- */

static int get_policy(Object *obj, Error **errp)
{
    return PBKVM_ACCEL(obj)->recovery.policy;
}

static void set_policy(Object *obj, int value, Error **errp)
{
    if (pbkvm_not_yet_running(errp)) {
        PBKVM_ACCEL(obj)->recovery.policy = value;
    }
}

void pbkvm_recover_class_init(ObjectClass *oc)
{
    object_class_property_add_enum(oc, "on-divergence", "PbkvmOnDivergence",
                                   &PbkvmOnDivergence_lookup, get_policy,
                                   set_policy);
    object_class_property_set_description(oc, "on-divergence",
        "What happens when the Backup has diverged or failed: stop, it stands "
        "there, or resync, a new one follows the Primary (default: stop)");
}

/* ---- a new Backup ---- */

/* Whether the Backup there is, if any, may go. */
static bool replaceable(PbBackup *b, Error **errp)
{
    PbBackupStatus status = b ? pb_backup_status(b) : PB_BACKUP_ENDED;
    bool walks = b && pb_backup_walks(b);

    if (!walks && status != PB_BACKUP_RUNNING &&
        (status != PB_BACKUP_FROZEN || pb_backup_detached(b))) {
        return true;
    }
    error_setg(errp, "a new Backup cannot start: expected none, or one that "
               "has diverged, failed or was changed by a debugger; there is "
               "one, and it is %s", walks ? "walked by a debugger"
               : pb_backup_status_name(status));
    return false;
}

static bool may_start(PbkvmState *s, Error **errp)
{
    if (s->replay.file) {
        error_setg(errp, "a new Backup cannot start: this is a replay of %s, "
                   "there is no Primary to follow", s->replay.file);
    } else if (!s->recording) {
        error_setg(errp, "a new Backup cannot start: the guest has not "
                   "started yet");
    } else if (s->ended) {
        error_setg(errp, "a new Backup cannot start: the history has ended: "
                   "%s", s->ended);
    } else if (pbkvm_backup_is_busy(s)) {
        error_setg(errp, "a new Backup cannot start: another command is "
                   "busy with the one there is");
    } else {
        return replaceable(s->backup, errp);
    }
    return false;
}

/* The Primary stands at its last event. */
static bool follow_from_here(PbkvmState *s, const PbState *state,
                             PbkvmStarted *q, Error **errp)
{
    PbBackupStart at = { .seq = 0 };
    PbRecordStats r;

    pb_record_stats(s->rec, &r);
    at.seq = q->event = r.events;
    at.time_ns = q->time = r.time_ns;
    at.branches = q->branches = r.branches;
    at.digest = r.digest;
    at.writes = r.writes;
    at.cpu = s->cpus.now;
    at.tsc = pbkvm_tsc_here(s);
    s->with_backup = true;
    s->recovery.restarts++;
    return pbkvm_backup_follow(s, state, &at, errp);
}

PbkvmStarted *pbkvm_new_backup(PbkvmState *s, const PbState *state,
                               int64_t since, Error **errp)
{
    g_autoptr(PbkvmStarted) q = g_new0(PbkvmStarted, 1);

    pbkvm_backup_drop(s);
    pbkvm_drop_history(s);
    pbkvm_live_forget(s);
    if (!follow_from_here(s, state, q, errp)) {
        return NULL;
    }
    q->stopped_time = get_clock() - since;
    qapi_event_send_pbkvm_started(q);
    return g_steal_pointer(&q);
}

static PbkvmStarted *restart(PbkvmState *s, Error **errp)
{
    g_autofree PbState *state = g_new0(PbState, PB_MAX_CPUS);
    bool was_running = runstate_is_running();
    int64_t since = get_clock();
    PbkvmStarted *q = NULL;

    if (pbkvm_stop_at_position(s, PB_EVENT_POINT, RUN_STATE_PAUSED, state,
                               errp)) {
        q = pbkvm_new_backup(s, state, since, errp);
    }
    if (was_running) {
        vm_start();
    }
    return q;
}

PbkvmStarted *qmp_pbkvm_start(Error **errp)
{
    PbkvmState *s = pbkvm_get_state(errp);

    return s && may_start(s, errp) ? restart(s, errp) : NULL;
}

/* Whether another attempt is worth it. */
static bool worth_it(PbkvmRecovery *r)
{
    int64_t now = get_clock();

    r->in_a_row = r->last && now - r->last < SOON_NS ? r->in_a_row + 1 : 1;
    r->last = now;
    return r->in_a_row <= IN_A_ROW;
}

void pbkvm_recover(PbkvmState *s)
{
    PbkvmStarted *q = NULL;
    Error *err = NULL;

    /* After a panic the past is what counts. */
    if (s->recovery.policy != PBKVM_ON_DIVERGENCE_RESYNC || s->panic.seen ||
        s->replay.file) {
        return;
    }
    if (!worth_it(&s->recovery)) {
        error_report("pbkvm: on-divergence=resync: the Backup has diverged "
                     "%d times, each soon after its start; it stays as it "
                     "is, and the Primary goes on (pbkvm-start tries again)",
                     IN_A_ROW + 1);
        s->recovery.last = 0;
        return;
    }
    if (may_start(s, &err)) {
        q = restart(s, &err);
    }
    if (!q) {
        error_reportf_err(err, "pbkvm: on-divergence=resync: ");
        return;
    }
    info_report("pbkvm: on-divergence=resync: a new Backup follows from event "
                "%" PRIu64 " on; the Primary stood still for %" PRIu64 " ms",
                q->event, q->stopped_time / SCALE_MS);
    qapi_free_PbkvmStarted(q);
}
