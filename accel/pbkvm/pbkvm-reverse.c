/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-reverse.c: gdb's reverse-stepi and reverse-continue.
 *
 * A Backup knows no way back, but moments that it can begin at again.  From one
 * of these it walks to where it stood: what it meets on the way, or comes from
 * with its last step, is where it then walks to, from such a moment.  It steps
 * through some more places before that one, the trail: as long as it goes back
 * to these, it lands there at once.
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qapi/error.h"
#include "exec/gdbstub.h"

#include "pbkvm.h"
#include "pbkvm-reverse.h"

/* Before a place: what leads there from a moment kept so near is quick. */
#define NEAR_EVENTS 16

/*
 * One more walk on the way to @to, by steps if it leaves a @trail; false:
 * nobody wants to go on.
 */
static bool walk_on(PbkvmState *s, const PbPlace *to, PbTrail *trail,
                    PbStop *stop)
{
    PbWalk w = { .place = to, .trail = trail, .keep = NEAR_EVENTS };

    *stop = (PbStop) { .reason = PB_STOP_FAILED };
    return pbkvm_inspect_walk(s, &w, stop) && stop->reason != PB_STOP_ASKED &&
           stop->reason != PB_STOP_FAILED;
}

/* Somewhere before @to, or at the beginning; *@place, if not NULL: where. */
static bool rewound(PbkvmState *s, const PbPlace *to, PbPlace *place)
{
    Error *err = NULL;

    if (!pbkvm_rewind(s, to, &err)) {
        error_report_err(err);
        return false;
    }
    return !place || pb_backup_place(s->backup, place) == 0;
}

static bool stands_at(PbkvmState *s, const PbPlace *p)
{
    PbPlace now;

    return pb_backup_place(s->backup, &now) == 0 && pb_place_same(&now, p);
}

/* From before @to there, past all breakpoints. */
static bool walk_to(PbkvmState *s, const PbPlace *to, PbTrail *trail,
                    PbStop *stop)
{
    *stop = (PbStop) { .reason = PB_STOP_FAILED };
    if (!rewound(s, to, NULL)) {
        return false;
    }
    pb_backup_clear_breaks(s->backup);
    while (walk_on(s, to, trail, stop)) {
        if (stands_at(s, to)) {
            if (trail && stop->reason != PB_STOP_REACHED) {
                pb_trail_add(trail, to);      /* the panic, or the end */
            }
            return true;
        }
        if (stop->reason != PB_STOP_PANIC) {
            return false;             /* it was on its way, and goes on */
        }
    }
    return false;
}

/* By steps; then it is known where it comes from. */
static bool step_to(PbkvmState *s, const PbPlace *to, PbStop *stop)
{
    pb_trail_clear(&s->inspect->trail);
    return walk_to(s, to, &s->inspect->trail, stop);
}

/* By landing, unless it is not known where it comes from, or that misses. */
static bool go_to(PbkvmState *s, const PbPlace *to, PbStop *stop)
{
    if (!pb_trail_before(&s->inspect->trail, to)) {
        return step_to(s, to, stop);
    }
    return walk_to(s, to, NULL, stop) ||
           (stop->reason == PB_STOP_PAST && step_to(s, to, stop));
}

/* One instruction back from @from. */
static bool step_back(PbkvmState *s, const PbPlace *from, PbStop *stop)
{
    const PbTrail *trail = &s->inspect->trail;
    PbPlace to = *from;

    do {
        const PbPlace *before = pb_trail_before(trail, &to);

        if (!before && !step_to(s, &to, stop)) {
            return false;
        }
        before = before ?: pb_trail_before(trail, &to);
        if (!before) {
            stop->reason = PB_STOP_HISTORY;
            return true;
        }
        to = *before;
        /* An event alone, the panic's, say, is no instruction. */
    } while (pb_position_same(&to.at, &from->at));
    if (!go_to(s, &to, stop)) {
        return false;
    }
    stop->reason = PB_STOP_STEPPED;
    return true;
}

/*
 * The last thing met from where the Backup stands, not counting what it stands
 * at, to @end.  A watchpoint stops behind the instruction, so that one of @end
 * itself counts: it is the first to be gone back over.  A breakpoint there
 * counts if gdb does not stand at it: if @end is not where it comes from.
 */
static bool find_between(PbkvmState *s, const PbPlace *end, bool comes_from,
                         PbStop *hit, PbPlace *at)
{
    PbStop stop;
    bool there = false;

    pb_trail_clear(&s->inspect->trail);
    while (!there && walk_on(s, end, &s->inspect->trail, &stop)) {
        there = stands_at(s, end);
        if (stop.reason == PB_STOP_WATCH ||
            (stop.reason == PB_STOP_BREAK && !(there && comes_from))) {
            *hit = stop;
            if (pb_backup_place(s->backup, at) < 0) {
                return false;
            }
        } else if (!there && stop.reason != PB_STOP_PANIC) {
            return false;
        }
    }
    return there;
}

/* The last before @from, looked for from moment to moment back. */
static bool find_last(PbkvmState *s, const PbPlace *from, PbStop *hit,
                      PbPlace *at)
{
    PbPlace begin, end = *from;
    bool comes_from = true;

    *hit = (PbStop) { .reason = PB_STOP_NONE };
    while (hit->reason == PB_STOP_NONE) {
        if (!rewound(s, &end, &begin)) {
            return false;
        }
        if (pb_place_same(&begin, &end)) {
            return true;
        }
        if (!find_between(s, &end, comes_from, hit, at)) {
            return false;
        }
        end = begin;
        comes_from = false;
    }
    return true;
}

/* On to the last breakpoint, or to before what a watchpoint saw. */
static bool run_back(PbkvmState *s, const PbPlace *from, PbStop *stop)
{
    PbStop hit;
    PbPlace at;
    bool ok;

    if (!find_last(s, from, &hit, &at)) {
        return false;
    }
    if (hit.reason == PB_STOP_NONE) {
        *stop = (PbStop) { .reason = PB_STOP_HISTORY };
        return true;
    }
    ok = hit.reason == PB_STOP_WATCH ? step_back(s, &at, stop)
                                     : go_to(s, &at, stop);
    if (ok) {
        *stop = hit;
    }
    return ok;
}

void pbkvm_reverse(PbkvmState *s, PbkvmBack back, PbStop *stop)
{
    g_autofree PbBreakpoints *all = g_new(PbBreakpoints, 1);
    Error *err = NULL;
    PbPlace from;

    *stop = (PbStop) { .reason = PB_STOP_NONE };
    if (pb_backup_detached(s->backup)) {
        warn_report("pbkvm: a debugger has changed the Backup, which has no "
                    "way back on record; pbkvm-run-to an event in its past "
                    "begins anew");
        return;
    }
    if (!pbkvm_way_back(s, NULL, &err)) {
        warn_reportf_err(err, "pbkvm: ");
        *stop = (PbStop) { .reason = PB_STOP_HISTORY };
        return;
    }
    if (pb_backup_place(s->backup, &from) < 0) {
        return;
    }
    pb_backup_get_breaks(s->backup, all);
    if (back == PBKVM_BACK_STEP ? !step_back(s, &from, stop)
                                : !run_back(s, &from, stop)) {
        warn_report("pbkvm: the Backup did not get all the way back (%s): "
                    "it stands somewhere before",
                    pb_stop_reason_name(stop->reason));
    }
    if (s->backup) {
        pb_backup_set_breaks(s->backup, all);
    }
}

/* gdb, in the main thread: what the Backup does when it is resumed. */
static bool wanted(CPUState *cpu, bool step)
{
    PbkvmState *s = pbkvm_state();

    if (!pbkvm_is_backup(cpu) || !s->backup ||
        pb_backup_status(s->backup) != PB_BACKUP_FROZEN) {
        return false;
    }
    s->inspect->back = step ? PBKVM_BACK_STEP : PBKVM_BACK_RUN;
    return true;
}

void pbkvm_reverse_init(void)
{
    gdb_reverse_hook = wanted;
}
