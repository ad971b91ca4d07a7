/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pbkvm-qmp.c: the accelerator over QMP; main thread, BQL held. */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-pbkvm-target.h"
#include "hw/core/cpu.h"
#include "system/cpus.h"
#include "system/runstate.h"
#include "system/runstate-action.h"

#include "backup-inspect.h"
#include "pbkvm.h"
#include "pbkvm-reverse.h"

#define VERIFY_TIMEOUT_MS 120000

/* Bytes of a reason that pbkvm-panic is told. */
#define REASON_MAX 500

PbkvmState *pbkvm_get_state(Error **errp)
{
    PbkvmState *s = pbkvm_state();

    if (!s) {
        error_setg(errp, "the accelerator is not pbkvm: start with -accel "
                   "pbkvm");
    }
    return s;
}

PbkvmState *pbkvm_get_backup(Error **errp)
{
    PbkvmState *s = pbkvm_get_state(errp);

    if (s && !s->backup) {
        error_setg(errp, "there is no Backup: %s",
                   s->recording ? "pbkvm-start makes one"
                   : s->with_backup ? "the guest has not started yet"
                   : "backup=off");
        return NULL;
    }
    return s;
}

static PbkvmStatus get_status(const PbkvmState *s)
{
    static const PbkvmStatus map[] = {
        [PB_BACKUP_RUNNING] = PBKVM_STATUS_RUNNING,
        [PB_BACKUP_FROZEN] = PBKVM_STATUS_FROZEN,
        [PB_BACKUP_DIVERGED] = PBKVM_STATUS_DIVERGED,
        [PB_BACKUP_FAILED] = PBKVM_STATUS_FAILED,
        [PB_BACKUP_ENDED] = PBKVM_STATUS_ENDED,
    };

    return s->backup ? map[pb_backup_status(s->backup)] : PBKVM_STATUS_OFF;
}

static PbkvmDivergence *get_divergence(const PbBackup *b)
{
    const PbDivergence *d = pb_backup_divergence(b);
    PbkvmDivergence *q = g_new0(PbkvmDivergence, 1);
    strList **tail = &q->last_events;
    char line[200];
    unsigned i;

    q->event = d->event.seq;
    q->kind = g_strdup(pb_event_kind_name(d->event.kind));
    q->expected = g_strdup(d->expected);
    q->got = g_strdup(d->got);
    pb_position_print(&d->at, line, sizeof(line));
    q->position = g_strdup(line);
    for (i = 0; i < d->lasts; i++) {
        pb_event_print(&d->last[i], line, sizeof(line));
        QAPI_LIST_APPEND(tail, g_strdup(line));
    }
    return q;
}

/* The smallest number of exits that @share of all landings kept to. */
static uint32_t exits_quantile(const PbBackupStats *b, double share)
{
    uint64_t seen = 0;
    uint32_t i;

    for (i = 0; i < ARRAY_SIZE(b->landing_exits) - 1; i++) {
        seen += b->landing_exits[i];
        if (seen >= b->landings * share) {
            break;
        }
    }
    return i;
}

static PbkvmLandings *get_landings(const PbBackupStats *b)
{
    PbkvmLandings *q = g_new0(PbkvmLandings, 1);

    q->count = b->landings;
    if (b->landings) {
        q->exits_median = exits_quantile(b, 0.5);
        q->exits_p99 = exits_quantile(b, 0.99);
    }
    q->exits_max = b->landing_exits_max;
    q->steps = b->steps;
    return q;
}

static PbkvmCounter *get_counter(const PbkvmState *s, const PbBackupStats *b)
{
    PbkvmCounter *q = g_new0(PbkvmCounter, 1);

    q->kind = g_strdup(pb_counter_kind_name(s->counter));
    if (s->check.uarch) {
        q->microarchitecture = g_strdup(s->check.uarch->name);
    }
    q->rdpmc = s->check.rdpmc;
    q->margin = s->check.margin;
    q->skid_measured = s->check.skid_max;
    q->skid_seen = b->skid_max;
    return q;
}

static PbkvmKindList *get_kinds(const PbRecordStats *r)
{
    PbkvmKindList *list = NULL, **tail = &list;
    unsigned i;

    for (i = 0; i < PB_EVENT_KINDS; i++) {
        if (r->by_kind[i]) {
            PbkvmKind *q = g_new0(PbkvmKind, 1);

            q->kind = g_strdup(pb_event_kind_name(i));
            q->count = r->by_kind[i];
            QAPI_LIST_APPEND(tail, q);
        }
    }
    return list;
}

PbkvmInfo *qmp_query_pbkvm(Error **errp)
{
    PbkvmState *s = pbkvm_get_state(errp);
    PbBackupStats b = { .events = 0 };
    PbRecordStats r = { .events = 0 };
    uint64_t now = pbkvm_now(NULL);
    PbBackupStart at = { .seq = 0 };
    PbkvmInfo *q;

    if (!s) {
        return NULL;
    }
    q = g_new0(PbkvmInfo, 1);
    pbkvm_inspect_flush(s);
    q->status = get_status(s);
    q->cpus = s->cpus.n;
    q->chaos = s->chaos;
    /* In this order the distance never looks shorter than it is. */
    if (s->backup) {
        pb_backup_stats(s->backup, &b);
        q->lag_now = now > b.time_ns ? (now - b.time_ns) / SCALE_MS : 0;
    }
    if (s->rec) {
        pb_record_stats(s->rec, &r);
        q->ring_used = pb_ring_used(s->ring);
    }
    if (s->replay.evidence) {
        r.events = s->replay.evidence->last_seq;
        r.time_ns = s->replay.evidence->last_time_ns;
        q->ring_used = pb_ring_used(s->ring);
        q->replay = g_strdup(s->replay.file);
    }
    q->events_written = r.events;
    q->events_by_kind = get_kinds(&r);
    q->events_read = b.events;
    q->ring_size = s->ring_events;
    q->primary_time = r.time_ns;
    q->primary_branches = r.branches;
    q->backup_time = b.time_ns;
    q->backup_branches = b.branches;
    q->backup_rip = b.rip;
    q->backup_cpu = s->backup ? pb_backup_cpu(s->backup) : 0;
    q->lag_wanted = s->lag.ms;
    q->lag_events_wanted = s->lag.events;
    q->lag_branches_wanted = s->lag.branches;
    q->lag_max = s->lag.max_ms;
    q->lag_max_time = qatomic_read(&s->lag.held_ns);
    q->counter = get_counter(s, &b);
    q->tsc = pbkvm_tsc_info(s, &b);
    q->landings = get_landings(&b);
    q->ring_full = qatomic_read(&s->full.count);
    q->ring_full_time = qatomic_read(&s->full.ns);
    q->ring_policy = pbkvm_ring_policy(s);
    q->spill = pbkvm_spill_info(s);
    q->slices = pbkvm_slices_info(s, &b);
    q->live = pbkvm_live_info(s);
    q->zero_pages = b.zero_pages;
    q->detached = s->backup && pb_backup_detached(s->backup);
    q->has_back_to = s->backup && pbkvm_way_back(s, &at, NULL);
    q->back_to = at.seq;
    q->has_panic = s->panic.seen;
    q->panic = s->panic.source;
    q->restarts = s->recovery.restarts;
    q->history_ended = g_strdup(s->ended);
    if (q->status == PBKVM_STATUS_DIVERGED ||
        q->status == PBKVM_STATUS_FAILED) {
        q->divergence = get_divergence(s->backup);
    }
    return q;
}

void qmp_pbkvm_freeze(Error **errp)
{
    PbkvmState *s = pbkvm_get_backup(errp);

    if (s && !pb_backup_freeze(s->backup)) {
        error_setg(errp, "the Backup cannot be frozen: expected it running, "
                   "it is %s", PbkvmStatus_str(get_status(s)));
    }
}

void qmp_pbkvm_thaw(Error **errp)
{
    PbkvmState *s = pbkvm_get_backup(errp);

    if (s) {
        pbkvm_inspect_flush(s);
    }
    if (s && pb_backup_detached(s->backup)) {
        error_setg(errp, "the Backup cannot be thawed: a debugger has changed "
                   "it, so it cannot follow the record any more");
        return;
    }
    if (s && !pb_backup_thaw(s->backup)) {
        error_setg(errp, "the Backup cannot be thawed: expected it frozen, "
                   "it is %s", PbkvmStatus_str(get_status(s)));
    }
}

/* ---- verify ---- */

static PbkvmVerifyResult *make_result(const PbkvmState *s, const PbVerify *v)
{
    PbkvmVerifyResult *q = g_new0(PbkvmVerifyResult, 1);

    q->equal = v->equal;
    q->event = v->event;
    q->branches = v->at.branches;
    q->rip = v->at.rip;
    q->ram_bytes = v->mem.bytes;
    q->ram_differences = v->mem.differences - v->mem.accessed_bits;
    q->accessed_bits = v->mem.accessed_bits;
    if (v->what[0]) {
        q->first_difference = s->cpus.n > 1
                            ? g_strdup_printf("CPU %u: %s", v->cpu, v->what)
                            : g_strdup(v->what);
    } else if (q->ram_differences) {
        q->first_difference =
            g_strdup_printf("RAM block %s offset 0x%" PRIx64 ": 0x%08x and "
                            "0x%08x", s->mem.block[v->mem.block].name,
                            v->mem.offset, v->mem.a, v->mem.b);
    }
    return q;
}

PbkvmVerifyResult *qmp_pbkvm_verify(Error **errp)
{
    PbkvmState *s = pbkvm_get_backup(errp);
    g_autofree PbState *state = g_new0(PbState, PB_MAX_CPUS);
    bool was_running = runstate_is_running();
    PbVerify v;
    int ret;

    if (!s) {
        return NULL;
    }
    if (s->replay.file) {
        error_setg(errp, "cannot verify: this is a replay of %s, there is no "
                   "Primary to compare with", s->replay.file);
        return NULL;
    }
    if (s->ended || pb_backup_walks(s->backup) ||
        pb_backup_status(s->backup) != PB_BACKUP_RUNNING) {
        error_setg(errp, "cannot verify: expected a running Backup, it is "
                   "%s", pb_backup_walks(s->backup) ? "walked by a debugger"
                   : s->ended ?: PbkvmStatus_str(get_status(s)));
        return NULL;
    }
    ret = -EAGAIN;
    if (pbkvm_stop_at_position(s, PB_EVENT_VERIFY, RUN_STATE_PAUSED, state,
                               errp)) {
        while (!pb_record_flush(s->rec, 20) &&
               pb_backup_status(s->backup) == PB_BACKUP_RUNNING) {
            /* The Backup makes room. */
        }
        ret = pb_backup_verify(s->backup, state, &v, VERIFY_TIMEOUT_MS);
        if (ret < 0) {
            error_setg(errp, "the Backup did not reach the Primary's "
                       "position: %s", ret == -ETIMEDOUT ? "time is up"
                       : PbkvmStatus_str(get_status(s)));
        }
    }
    if (was_running) {
        vm_start();
    }
    return ret < 0 ? NULL : make_result(s, &v);
}

/* ---- panic ---- */

/* It is told in messages of one line. */
static bool check_reason(const char *reason, Error **errp)
{
    size_t n = 0;

    while (n < REASON_MAX && reason[n] && !g_ascii_iscntrl(reason[n])) {
        n++;
    }
    if (reason[n]) {
        error_setg(errp, "pbkvm-panic: reason: expected one line of at most "
                   "%d bytes", REASON_MAX);
    }
    return !reason[n];
}

void qmp_pbkvm_panic(const char *reason, Error **errp)
{
    PbkvmState *s = pbkvm_get_state(errp);
    g_autofree PbState *state = g_new0(PbState, PB_MAX_CPUS);

    if (!s || (reason && !check_reason(reason, errp))) {
        return;
    }
    if (s->panic.seen || !s->recording) {
        error_setg(errp, s->panic.seen ? "a panic was detected before: %s"
                   : "the guest has not started yet", s->panic.detail);
        return;
    }
    if (s->backup) {
        pb_backup_freeze_soon(s->backup);
    }
    if (s->ended ||
        pbkvm_stop_at_position(s, PB_EVENT_POINT, RUN_STATE_GUEST_PANICKED,
                               state, errp)) {
        pbkvm_panic(s, PBKVM_PANIC_SOURCE_QMP, reason ?: "no reason given");
        s->panic.stop = false;            /* it has */
        pbkvm_hand_over(s);
        if (panic_action == PANIC_ACTION_NONE) {
            vm_start();
        }
    }
}
