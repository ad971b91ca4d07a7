/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pbkvm-hmp.c: the QMP commands for people, in the monitor. */
#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qapi/error.h"
#include "qobject/qdict.h"
#include "qapi/qapi-commands-pbkvm-target.h"
#include "monitor/hmp.h"
#include "monitor/hmp-target.h"
#include "monitor/monitor.h"

/* So many live points, the first and the last ones each. */
#define LIVE_SHOWN 4

static void print_divergence(Monitor *mon, const PbkvmDivergence *d)
{
    const strList *e;

    monitor_printf(mon, "divergence: event %" PRIu64 " (%s)\n"
                   "  expected: %s\n  got:      %s\n  at:       %s\n",
                   d->event, d->kind, d->expected, d->got, d->position);
    for (e = d->last_events; e; e = e->next) {
        monitor_printf(mon, "  before: %s\n", e->value);
    }
}

static void print_spill(Monitor *mon, const PbkvmSpill *p)
{
    monitor_printf(mon, "spilled:  %" PRIu64 " events now, %" PRIu64
                   " in all; %" PRIu64 " bytes in the file%s%s\n", p->events,
                   p->all_events, p->file_bytes,
                   p->error ? ", which is no longer used: " : "",
                   p->error ?: "");
}

/* All of them, or the first and the last ones. */
static void print_live(Monitor *mon, const PbkvmLiveInfo *p)
{
    const PbkvmLivePointList *i;
    unsigned n = 0, at = 0;

    for (i = p->points; i; i = i->next) {
        n++;
    }
    monitor_printf(mon, "live:     %u points, every %" PRIu32 " ms", n,
                   p->interval);
    for (i = p->points; i; i = i->next, at++) {
        if (at < LIVE_SHOWN || at + LIVE_SHOWN >= n) {
            monitor_printf(mon, "%s %" PRIu64, at ? "" : ", behind event",
                           i->value->event);
        } else if (at == LIVE_SHOWN) {
            monitor_printf(mon, " ...");
        }
    }
    monitor_printf(mon, "\n");
    if (p->disk_bytes) {
        monitor_printf(mon, "          %" PRIu64 " bytes that disks held "
                       "then\n", p->disk_bytes);
    }
}

void hmp_info_pbkvm(Monitor *mon, const QDict *qdict)
{
    Error *err = NULL;
    PbkvmInfo *q = qmp_query_pbkvm(&err);

    if (err) {
        hmp_handle_error(mon, err);
        return;
    }
    monitor_printf(mon, "Backup:   %s\n", PbkvmStatus_str(q->status));
    if (q->cpus > 1) {
        monitor_printf(mon, "CPUs:     %" PRIu32 ", one at a time%s; in the "
                       "Backup CPU %" PRIu32 " goes on\n", q->cpus,
                       q->chaos ? ", in chaos" : "", q->backup_cpu);
    }
    monitor_printf(mon, "events:   %" PRIu64 " written, %" PRIu64 " read, "
                   "%" PRIu32 " of %" PRIu32 " of the ring's entries in use\n",
                   q->events_written, q->events_read, q->ring_used,
                   q->ring_size);
    if (q->spill) {
        print_spill(mon, q->spill);
    }
    monitor_printf(mon, "lag:      %" PRIu32 " ms, wanted %" PRIu32 " ms",
                   q->lag_now, q->lag_wanted);
    if (q->lag_events_wanted || q->lag_branches_wanted) {
        monitor_printf(mon, ", %" PRIu64 " events, %" PRIu64 " branches",
                       q->lag_events_wanted, q->lag_branches_wanted);
    }
    if (q->lag_max) {
        monitor_printf(mon, ", at most %" PRIu32 " ms (the Primary waited "
                       "%" PRIu64 " ms)", q->lag_max,
                       q->lag_max_time / SCALE_MS);
    }
    monitor_printf(mon, "\n");
    monitor_printf(mon, "counter:  %s (%s), %s, margin %" PRIu32 ", skid "
                   "measured %" PRIu32 ", seen %" PRIu32 "\n",
                   q->counter->kind, q->counter->microarchitecture ?: "-",
                   q->counter->rdpmc ? "rdpmc" : "read", q->counter->margin,
                   q->counter->skid_measured, q->counter->skid_seen);
    if (q->tsc) {
        monitor_printf(mon, "tsc:      %" PRIu64 " MHz, left too late %" PRIu64
                       " times, by the Backup %" PRIu64 " times\n",
                       q->tsc->frequency / 1000000, q->tsc->late,
                       q->tsc->backup_late);
    }
    monitor_printf(mon, "landings: %" PRIu64 ", exits each: median %" PRIu32
                   ", p99 %" PRIu32 ", most %" PRIu64 "\n",
                   q->landings->count, q->landings->exits_median,
                   q->landings->exits_p99, q->landings->exits_max);
    if (q->slices) {
        monitor_printf(mon, "compared: %" PRIu64 " slices of RAM, %" PRIu64
                       " passes\n", q->slices->compared, q->slices->passes);
    }
    if (q->has_back_to) {
        monitor_printf(mon, "back to:  event %" PRIu64 "\n", q->back_to);
    }
    if (q->live) {
        print_live(mon, q->live);
    }
    if (q->history_ended) {
        monitor_printf(mon, "history:  ended: %s\n", q->history_ended);
    }
    if (q->divergence) {
        print_divergence(mon, q->divergence);
    }
    qapi_free_PbkvmInfo(q);
}

void hmp_pbkvm_freeze(Monitor *mon, const QDict *qdict)
{
    Error *err = NULL;

    qmp_pbkvm_freeze(&err);
    hmp_handle_error(mon, err);
}

void hmp_pbkvm_thaw(Monitor *mon, const QDict *qdict)
{
    Error *err = NULL;

    qmp_pbkvm_thaw(&err);
    hmp_handle_error(mon, err);
}

void hmp_pbkvm_start(Monitor *mon, const QDict *qdict)
{
    Error *err = NULL;
    PbkvmStarted *q = qmp_pbkvm_start(&err);

    if (err) {
        hmp_handle_error(mon, err);
        return;
    }
    monitor_printf(mon, "a new Backup follows from event %" PRIu64 " on\n",
                   q->event);
    qapi_free_PbkvmStarted(q);
}

void hmp_pbkvm_verify(Monitor *mon, const QDict *qdict)
{
    Error *err = NULL;
    PbkvmVerifyResult *q = qmp_pbkvm_verify(&err);

    if (err) {
        hmp_handle_error(mon, err);
        return;
    }
    monitor_printf(mon, "Primary and Backup are %s after %" PRIu64
                   " branches, at rip 0x%" PRIx64 " (event %" PRIu64 "):\n"
                   "all registers and %" PRIu64 " bytes of RAM compared, %"
                   PRIu64 " words differ (and %" PRIu64 " Accessed bits)\n",
                   q->equal ? "EQUAL" : "DIFFERENT", q->branches, q->rip,
                   q->event, q->ram_bytes, q->ram_differences,
                   q->accessed_bits);
    if (q->first_difference) {
        monitor_printf(mon, "first difference: %s\n", q->first_difference);
    }
    qapi_free_PbkvmVerifyResult(q);
}

void hmp_pbkvm_panic(Monitor *mon, const QDict *qdict)
{
    Error *err = NULL;

    qmp_pbkvm_panic(qdict_get_try_str(qdict, "reason"), &err);
    hmp_handle_error(mon, err);
}

void hmp_pbkvm_set_lag(Monitor *mon, const QDict *qdict)
{
    bool events = qdict_haskey(qdict, "events");
    bool branches = qdict_haskey(qdict, "branches");
    Error *err = NULL;

    qmp_pbkvm_set_lag(true, qdict_get_int(qdict, "lag"),
                      events, qdict_get_try_int(qdict, "events", 0),
                      branches, qdict_get_try_int(qdict, "branches", 0),
                      false, 0, &err);
    hmp_handle_error(mon, err);
}

void hmp_pbkvm_set_chaos(Monitor *mon, const QDict *qdict)
{
    Error *err = NULL;

    qmp_pbkvm_set_chaos(qdict_get_bool(qdict, "enable"), &err);
    hmp_handle_error(mon, err);
}

void hmp_pbkvm_save_evidence(Monitor *mon, const QDict *qdict)
{
    Error *err = NULL;
    PbkvmEvidence *q =
        qmp_pbkvm_save_evidence(qdict_get_str(qdict, "filename"), &err);

    hmp_handle_error(mon, err);
    qapi_free_PbkvmEvidence(q);
}

void hmp_pbkvm_dump_guest_memory(Monitor *mon, const QDict *qdict)
{
    Error *err = NULL;
    PbkvmDump *q = qmp_pbkvm_dump_guest_memory(
        qdict_get_str(qdict, "filename"), false, false, &err);

    if (!hmp_handle_error(mon, err)) {
        monitor_printf(mon, "%" PRIu64 " bytes, %s vmcoreinfo\n", q->bytes,
                       q->vmcoreinfo ? "with" : "without");
    }
    qapi_free_PbkvmDump(q);
}

static void print_stop(Monitor *mon, PbkvmStop *q, Error *err)
{
    if (hmp_handle_error(mon, err)) {
        return;
    }
    monitor_printf(mon, "%s: event %" PRIu64 ", %" PRIu64 " branches, rip 0x%"
                   PRIx64 ", Primary time %" PRIu64 " ns\n",
                   PbkvmStopReason_str(q->reason), q->place->event,
                   q->place->branches, q->place->rip, q->place->time);
    qapi_free_PbkvmStop(q);
}

void hmp_pbkvm_step(Monitor *mon, const QDict *qdict)
{
    Error *err = NULL;
    int64_t n = qdict_get_try_int(qdict, "instructions", 1);
    PbkvmStop *q = qmp_pbkvm_step(true, n, false, 0, &err);

    print_stop(mon, q, err);
}

/* "panic", "live", or the number of an event. */
void hmp_pbkvm_run_to(Monitor *mon, const QDict *qdict)
{
    const char *to = qdict_get_str(qdict, "to");
    bool panic = strcmp(to, "panic") == 0, live = strcmp(to, "live") == 0;
    bool number = !panic && !live;
    uint64_t event = 0;
    Error *err = NULL;
    PbkvmStop *q;

    if (number && qemu_strtou64(to, NULL, 0, &event) < 0) {
        monitor_printf(mon, "pbkvm_run_to: expected panic, live or the number "
                       "of an event, got %s\n", to);
        return;
    }
    q = qmp_pbkvm_run_to(number, event, false, 0, false, 0, panic, panic,
                         live, live, &err);
    print_stop(mon, q, err);
}

void hmp_pbkvm_go_live(Monitor *mon, const QDict *qdict)
{
    Error *err = NULL;
    PbkvmLive *q = qmp_pbkvm_go_live(qdict_haskey(qdict, "event"),
                                     qdict_get_try_int(qdict, "event", 0),
                                     &err);

    if (hmp_handle_error(mon, err)) {
        return;
    }
    monitor_printf(mon, "the Primary stands behind event %" PRIu64 ", at "
                   "Primary time %" PRIu64 " ns; cont lets it live on, a new "
                   "Backup follows from event %" PRIu64 " on\n", q->event,
                   q->time, q->started->event);
    qapi_free_PbkvmLive(q);
}
