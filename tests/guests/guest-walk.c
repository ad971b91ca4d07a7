/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guest-walk.c: somebody who debugs the Backup all the time: freezes it,
 * steps, sets breakpoints and watchpoints, runs to this and that, thaws it.
 * The verify at the end of the run says whether the guest has noticed.
 */
#include <errno.h>
#include <stdlib.h>

#include "backup-inspect.h"
#include "guests.h"
#include "pb-linear.h"

/* A walk that finds nothing ends after this. */
#define PATIENCE_MS 50

#define DR7_ENABLED 0xffull

static void bad_end(GuestRun *r, const char *what, const PbStop *s,
                    uint64_t want)
{
    guest_fail(r, "walk: %s 0x%llx: ended by %s at 0x%llx", what,
               (unsigned long long)want, pb_stop_reason_name(s->reason),
               (unsigned long long)s->addr);
}

/* Walk; false when it was ended by nothing it was looking for. */
static bool walk(GuestRun *r, PbWalk w, PbStop *s)
{
    if (!pb_backup_walk(r->backup, &w)) {
        return false;
    }
    if (!pb_backup_await(r->backup, s, PATIENCE_MS)) {
        pb_backup_halt(r->backup);
        pb_backup_await(r->backup, s, -1);
    }
    return s->reason != PB_STOP_ASKED && s->reason != PB_STOP_HISTORY &&
           s->reason != PB_STOP_FAILED && s->reason != PB_STOP_CANNOT;
}

/* At the vCPU whose turn it is: 0 or -errno. */
static int look(GuestRun *r, PbState *s)
{
    return pb_backup_get_state(r->backup, pb_backup_cpu(r->backup), s);
}

static uint64_t where(GuestRun *r)
{
    PbState s;

    return look(r, &s) < 0 ? 0 : pb_linear(&s.sregs, s.regs.rip);
}

static void some_steps(GuestRun *r)
{
    PbStop s;
    PbWalk w = { .instructions = 1 + guest_random(&r->walk_random) % 12 };

    if (walk(r, w, &s)) {
        r->result->walks[WALK_STEPS]++;
        if (s.reason != PB_STOP_STEPPED) {
            bad_end(r, "steps", &s, w.instructions);
        }
    }
}

static void to_event(GuestRun *r)
{
    PbBackupStats now;
    PbStop s;

    pb_backup_stats(r->backup, &now);
    if (walk(r, (PbWalk) {
                 .event = now.events + 1 + guest_random(&r->walk_random) % 4,
             }, &s)) {
        r->result->walks[WALK_EVENT]++;
        if (s.reason != PB_STOP_REACHED) {
            bad_end(r, "event after", &s, now.events);
        }
    }
}

static void to_branches(GuestRun *r)
{
    PbBackupStats now, then;
    uint64_t want;
    PbStop s;

    pb_backup_stats(r->backup, &now);
    want = now.branches + 1 + guest_random(&r->walk_random) % 300;
    if (walk(r, (PbWalk) { .branches = want }, &s)) {
        r->result->walks[WALK_BRANCHES]++;
        pb_backup_stats(r->backup, &then);
        if (s.reason != PB_STOP_REACHED || then.branches != want) {
            bad_end(r, "branches", &s, want);
        }
    }
}

/* Break where it comes by now and then: at a place it has been before. */
static void to_break(GuestRun *r, PbBreakKind kind)
{
    uint64_t at = r->walk_seen[guest_random(&r->walk_random) % WALK_SEEN];
    PbStop s;

    if (!at || pb_backup_set_break(r->backup, kind, at, 1) < 0) {
        return;
    }
    if (walk(r, (PbWalk) { .event = 0 }, &s)) {
        r->result->walks[WALK_BREAK]++;
        if (s.reason != PB_STOP_BREAK || s.addr != at || where(r) != at) {
            bad_end(r, "breakpoint", &s, at);
        }
    }
    pb_backup_clear_breaks(r->backup);
}

/* INT3s: more breakpoints than there are debug registers. */
static void to_many(GuestRun *r)
{
    PbStop s;
    unsigned i;

    for (i = 0; i < WALK_SEEN; i++) {
        if (r->walk_seen[i]) {
            pb_backup_set_break(r->backup, PB_BREAK_SOFT, r->walk_seen[i], 1);
        }
    }
    if (walk(r, (PbWalk) { .event = 0 }, &s)) {
        r->result->walks[WALK_MANY]++;
        if (s.reason != PB_STOP_BREAK || where(r) != s.addr) {
            bad_end(r, "many breakpoints at", &s, where(r));
        }
    }
    pb_backup_clear_breaks(r->backup);
}

/* What the guest pushes next. */
static void to_watch(GuestRun *r)
{
    PbState state;
    unsigned len;
    uint64_t at;
    PbStop s;

    if (look(r, &state) < 0) {
        return;
    }
    len = pb_code_bits(&state.sregs) == 64 ? 8 : 4;
    at = pb_stack(&state.sregs, state.regs.rsp - len) & -(uint64_t)len;
    if (pb_backup_set_break(r->backup, PB_WATCH_WRITE, at, len) < 0) {
        return;
    }
    if (walk(r, (PbWalk) { .event = 0 }, &s)) {
        r->result->walks[WALK_WATCH]++;
        if (s.reason != PB_STOP_WATCH || s.addr != at) {
            bad_end(r, "watchpoint", &s, at);
        }
    }
    pb_backup_clear_breaks(r->backup);
}

/* Not while the guest is about to set its own: docs/caveats.md. */
static bool may_break(GuestRun *r)
{
    PbState s;

    return !r->guest->sets_breaks ||
           (look(r, &s) == 0 && (s.debugregs.dr7 & DR7_ENABLED));
}

static void one_walk(GuestRun *r)
{
    unsigned kinds = may_break(r) ? 7 : 3;

    r->walk_seen[guest_random(&r->walk_random) % WALK_SEEN] = where(r);
    switch (guest_random(&r->walk_random) % kinds) {
    case 0:
        some_steps(r);
        break;
    case 1:
        to_event(r);
        break;
    case 2:
        to_branches(r);
        break;
    case 3:
        to_break(r, PB_BREAK_SOFT);
        break;
    case 4:
        to_break(r, PB_BREAK_HARD);
        break;
    case 5:
        if (!r->guest->computes_code) {
            to_many(r);
        }
        break;
    default:
        to_watch(r);
        break;
    }
}

static void *debugger(void *opaque)
{
    GuestRun *r = opaque;

    while (!__atomic_load_n(&r->walk_end, __ATOMIC_ACQUIRE)) {
        pthread_mutex_lock(&r->walk_lock);
        if (pb_backup_freeze(r->backup)) {
            one_walk(r);
            one_walk(r);
            pb_backup_thaw(r->backup);
        }
        pthread_mutex_unlock(&r->walk_lock);
        guest_pause(200 + guest_random(&r->walk_random) % 2000);
    }
    return NULL;
}

void guest_walk_start(GuestRun *r)
{
    if (r->o->walk) {
        r->walk_random = r->o->seed * 77 + 5;
        r->walk_started = pthread_create(&r->walk_thread, NULL, debugger,
                                         r) == 0;
    }
}

void guest_walk_stop(GuestRun *r)
{
    if (r->walk_started) {
        __atomic_store_n(&r->walk_end, true, __ATOMIC_RELEASE);
        pthread_join(r->walk_thread, NULL);
        r->walk_started = false;
    }
}
