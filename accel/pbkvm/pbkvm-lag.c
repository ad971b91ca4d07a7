/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pbkvm-lag.c: how far the Backup stays behind. */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-pbkvm-target.h"
#include "qapi/visitor.h"
#include "system/cpu-timers.h"

#include "pbkvm.h"
#include "pbkvm-options.h"

/* What a guest busy with port I/O makes; for a warning. */
#define BUSY_EVENTS_PER_MS        50
#define BUSY_BRANCHES_PER_EVENT   200

PbLag pbkvm_lag_wanted(const PbkvmState *s)
{
    return (PbLag) {
        .ns = s->lag.ms * (uint64_t)SCALE_MS,
        .events = s->lag.events,
        .branches = s->lag.branches,
    };
}

bool pbkvm_lag_primary(void *opaque, uint64_t *seq, uint64_t *branches)
{
    PbkvmState *s = opaque;

    return pb_record_last(s->rec, seq, branches);
}

/* ---- the Primary waits ---- */

/* In Primary time, from one look at how late the Backup is to the next. */
#define LOOK_NS  SCALE_MS

/* Between two looks while the Primary waits. */
#define HOLD_NS  SCALE_MS

static bool is_later_than_max(PbkvmState *s, uint64_t now)
{
    uint64_t max = qatomic_read(&s->lag.max_ms) * (uint64_t)SCALE_MS;
    uint64_t heading = max ? qatomic_read(&s->lag.heading) : UINT64_MAX;

    return heading < now && now - heading > max;
}

/* Primary time goes on, unless the whole machine has stopped meanwhile. */
static void stop_time(bool stop)
{
    bql_lock();
    if (stop) {
        cpu_disable_ticks();
    } else if (runstate_is_running()) {
        cpu_enable_ticks();
    }
    bql_unlock();
}

int pbkvm_lag_hold(PbkvmState *s, CPUState *cpu)
{
    const struct timespec nap = { .tv_nsec = HOLD_NS };
    uint64_t begun, now = pb_record_last_time(s->rec);
    int ret;

    if (now < s->lag.look_ns || cpu->stop) {
        return 0;
    }
    if (!is_later_than_max(s, now)) {
        s->lag.look_ns = now + LOOK_NS;
        return 0;
    }
    /* An interrupt just given is delivered first, and then this comes again. */
    ret = pbkvm_rest(s);
    if (ret || !s->standing) {
        return ret == -EAGAIN ? 0 : ret;
    }
    /* Whoever is kicked out of this looks again before the guest runs on. */
    begun = get_clock();
    stop_time(true);
    pbkvm_rest_here(s);
    while (is_later_than_max(s, now) && !s->ended &&
           !qatomic_read(&cpu->exit_request) && !cpu->stop) {
        nanosleep(&nap, NULL);        /* a kick ends it */
    }
    stop_time(false);
    qatomic_set(&s->lag.held_ns, s->lag.held_ns + get_clock() - begun);
    return 0;
}

/* ---- the ring's size ---- */

static void warn_small(const PbkvmState *s, const char *what, uint64_t wanted,
                       uint64_t holds, const char *how)
{
    if (wanted > holds) {
        warn_report("pbkvm: %s=%" PRIu64 " is more than ring-size=%" PRIu32
                    " holds %s: when the ring fills, the Backup comes closer; "
                    "a larger ring or spill=FILE prevents that", what, wanted,
                    s->ring_events, how);
    }
}

static void warn_of_ring(const PbkvmState *s)
{
    /* With less than 1/8 free, the lag gives way. */
    uint64_t events = s->ring_events - s->ring_events / 8;
    uint64_t ms = s->ring_events / BUSY_EVENTS_PER_MS;
    uint64_t branches = events * BUSY_BRANCHES_PER_EVENT;
    g_autofree char *ms_how = g_strdup_printf(
        "of a busy guest (about %" PRIu64 " ms at %d events per ms)", ms,
        BUSY_EVENTS_PER_MS);
    g_autofree char *events_how = g_strdup_printf(
        "(at most %" PRIu64 " events while the Backup keeps its lag)",
        events);
    g_autofree char *branches_how = g_strdup_printf(
        "of a busy guest (about %" PRIu64 " branches at %d per event)",
        branches, BUSY_BRANCHES_PER_EVENT);

    if (s->with_backup && !s->full.file) {
        warn_small(s, "lag", s->lag.ms, ms, ms_how);
        warn_small(s, "lag-events", s->lag.events, events, events_how);
        warn_small(s, "lag-branches", s->lag.branches, branches,
                   branches_how);
    }
}

static bool max_fits(uint32_t lag, uint32_t lag_max, Error **errp)
{
    if (lag_max && lag_max < lag) {
        error_setg(errp, "pbkvm: lag-max=%" PRIu32 ": expected 0 (the Primary "
                   "never waits) or at least lag=%" PRIu32, lag_max, lag);
        return false;
    }
    return true;
}

bool pbkvm_lag_check(PbkvmState *s, Error **errp)
{
    if (!max_fits(s->lag.ms, s->lag.max_ms, errp)) {
        return false;
    }
    if (s->lag.min_ms > s->lag.ms) {
        error_setg(errp, "pbkvm: lag-min=%" PRIu32 ": expected at most "
                   "lag=%" PRIu32, s->lag.min_ms, s->lag.ms);
        return false;
    }
    warn_of_ring(s);
    return true;
}

/* ---- options ---- */

static void get_count(Object *obj, Visitor *v, const char *name, void *opaque,
                      Error **errp)
{
    uint64_t value = *(uint64_t *)((char *)obj + (size_t)opaque);

    visit_type_uint64(v, name, &value, errp);
}

static void set_count(Object *obj, Visitor *v, const char *name, void *opaque,
                      Error **errp)
{
    uint64_t value;

    if (!visit_type_uint64(v, name, &value, errp) ||
        !pbkvm_not_yet_running(errp)) {
        return;
    }
    if (value > PBKVM_LAG_COUNT_MAX) {
        error_setg(errp, "pbkvm: %s=%" PRIu64 ": expected 0 to %llu", name,
                   value, PBKVM_LAG_COUNT_MAX);
        return;
    }
    *(uint64_t *)((char *)obj + (size_t)opaque) = value;
}

static void add_count(ObjectClass *oc, const char *name, size_t offset,
                      const char *text)
{
    object_class_property_add(oc, name, "uint64", get_count, set_count, NULL,
                              (void *)offset);
    object_class_property_set_description(oc, name, text);
}

void pbkvm_lag_class_init(ObjectClass *oc)
{
    pbkvm_add_ms(oc, "lag", offsetof(PbkvmState, lag.ms),
        "How far the Backup stays behind, in ms of Primary time "
        "(0 to 3600000, default: 2000)");
    add_count(oc, "lag-events", offsetof(PbkvmState, lag.events),
        "And at least so many events behind (default: 0)");
    add_count(oc, "lag-branches", offsetof(PbkvmState, lag.branches),
        "And at least so many conditional branches behind (default: 0)");
    pbkvm_add_ms(oc, "lag-min", offsetof(PbkvmState, lag.min_ms),
        "Stay at least this far behind even when the ring is nearly full, in "
        "ms (default: 0); the Primary then waits");
    pbkvm_add_ms(oc, "lag-max", offsetof(PbkvmState, lag.max_ms),
        "When the Backup is further behind than this, in ms, the Primary and "
        "its time wait for it (default: 0, never)");
}

/* ---- QMP ---- */

static bool in_range(const char *name, uint64_t value, uint64_t most,
                     const char *unit, Error **errp)
{
    if (value <= most) {
        return true;
    }
    error_setg(errp, "pbkvm-set-lag: %s %" PRIu64 ": expected 0 to %" PRIu64
               "%s", name, value, most, unit);
    return false;
}

void qmp_pbkvm_set_lag(bool has_lag, uint32_t lag, bool has_lag_events,
                       uint64_t lag_events, bool has_lag_branches,
                       uint64_t lag_branches, bool has_lag_max,
                       uint32_t lag_max, Error **errp)
{
    PbkvmState *s = pbkvm_get_backup(errp);
    PbLag wanted;

    if (!s) {
        return;
    }
    if (!has_lag && !has_lag_events && !has_lag_branches && !has_lag_max) {
        error_setg(errp, "pbkvm-set-lag: expected lag, lag-events, "
                   "lag-branches or lag-max");
        return;
    }
    if ((has_lag && !in_range("lag", lag, PBKVM_MS_MAX, " ms", errp)) ||
        (has_lag_events && !in_range("lag-events", lag_events,
                                     PBKVM_LAG_COUNT_MAX, "", errp)) ||
        (has_lag_branches && !in_range("lag-branches", lag_branches,
                                       PBKVM_LAG_COUNT_MAX, "", errp)) ||
        (has_lag_max && !in_range("lag-max", lag_max, PBKVM_MS_MAX, " ms",
                                  errp))) {
        return;
    }
    lag = has_lag ? lag : s->lag.ms;
    lag_max = has_lag_max ? lag_max : s->lag.max_ms;
    if (!max_fits(lag, lag_max, errp)) {
        return;
    }
    s->lag.ms = lag;
    s->lag.events = has_lag_events ? lag_events : s->lag.events;
    s->lag.branches = has_lag_branches ? lag_branches : s->lag.branches;
    qatomic_set(&s->lag.max_ms, lag_max);
    warn_of_ring(s);
    wanted = pbkvm_lag_wanted(s);
    pb_backup_set_lag(s->backup, &wanted);
}
