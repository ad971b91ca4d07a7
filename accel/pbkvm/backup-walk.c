/* SPDX-License-Identifier: GPL-2.0-or-later */
/* backup-walk.c: the walks of a frozen Backup, on its own thread. */
#include <errno.h>

#include "backup-internal.h"
#include "pb-step.h"

static PbReplayEnd stop(PbBackup *b, PbStopReason reason)
{
    if (b->stop.reason == PB_STOP_NONE) {
        b->stop.reason = reason;
    }
    return PB_REPLAY_STOPPED;
}

/* Whether @e takes place before the guest's next instruction. */
static bool is_due(PbBackup *b, const PbEvent *e, PbReplayEnd *end)
{
    int ret;

    *end = PB_REPLAY_DONE;
    if (pb_event_is_sync(e->kind)) {
        return b->asking;
    }
    if (pb_event_is_async(e->kind)) {
        ret = b->asking ? 1 : pb_backup_at(b, e);
        if (ret < 0) {
            *end = pb_backup_fail(b, "reading where the Backup stands", ret);
        }
        return ret != 0;
    }
    if (pb_event_is_change(e->kind) || e->kind == PB_EVENT_PANIC) {
        return (int32_t)(b->writes - e->writes) >= 0;
    }
    /* The end is always due, and so is what is no event: it is refused. */
    return e->kind != PB_EVENT_MARK ||
           e->branches <= pb_counter_read(b->v.counter) + b->margin;
}

/* Live through @e, and say if a walk ends with it. */
static PbReplayEnd live(PbBackup *b, const PbEvent *e, uint8_t *buf)
{
    PbEventKind kind = e->kind;
    PbReplayEnd end;

    if (kind == PB_EVENT_END) {
        return stop(b, PB_STOP_HISTORY);
    }
    end = pb_backup_live(b, e, buf);
    if (end == PB_REPLAY_DONE && kind == PB_EVENT_PANIC) {
        return stop(b, PB_STOP_PANIC);
    }
    return end;
}

/* The next event; NULL, and the walk is at its end, when there is none. */
static const PbEvent *next(PbBackup *b, PbReplayEnd *end)
{
    const PbEvent *e;

    *end = pb_backup_refill(b);
    if (*end != PB_REPLAY_DONE) {
        return NULL;
    }
    e = pb_backup_peek(b, 0);
    if (!e && b->c.fed) {
        pb_ring_wait_events(b->c.ring, 1, PB_BACKUP_NAP_MS);
        e = pb_backup_peek(b, 0);
    } else if (!e) {
        *end = stop(b, PB_STOP_HISTORY);
    }
    return e;
}

static PbReplayEnd step_guest(PbBackup *b, bool *done)
{
    int ret = pb_guest_db_leave(b);

    if (ret < 0) {
        return pb_backup_fail(b, "giving the guest its #DB", ret);
    }
    ret = pb_counter_step(b->v.counter, NULL);
    b->stats.steps++;
    *done = ret == PB_STEP_DONE;
    switch (ret) {
    case PB_STEP_DONE:
        return PB_REPLAY_DONE;
    case PB_STEP_INTERRUPTED:
        b->v.run->immediate_exit = 0;
        return PB_REPLAY_DONE;
    case PB_STEP_EXIT:
        switch (pb_backup_note_exit(b)) {
        case PB_RUN_FAILED:
            return PB_REPLAY_FAILED;
        case PB_RUN_WROTE:
            *done = true;
            return pb_backup_settle(b);
        default:
            return PB_REPLAY_DONE;    /* asks: its event answers */
        }
    case -EOPNOTSUPP:
        return stop(b, PB_STOP_CANNOT);
    default:
        return pb_backup_fail(b, "stepping one instruction", ret);
    }
}

/* On the way to a place: whether this is it; @first: a step begins here. */
static PbReplayEnd look_for_place(PbBackup *b, bool first)
{
    const PbPlace *to = b->walk.place;
    PbPlace now;
    int ret = pb_backup_here(b, &now);
    bool there;

    if (ret < 0) {
        return pb_backup_fail(b, "reading where the Backup stands", ret);
    }
    there = pb_place_same(&now, to);
    if (b->walk.trail && (there || first)) {
        pb_trail_add(b->walk.trail, &now);
    }
    if (there) {
        return stop(b, PB_STOP_REACHED);
    }
    return now.at.branches > to->at.branches || now.event > to->event
           ? stop(b, PB_STOP_PAST) : PB_REPLAY_DONE;
}

/* One instruction, after whatever takes place before it. */
static PbReplayEnd step(PbBackup *b, uint8_t *buf)
{
    /* A run on the way here may have ended in the middle of an access. */
    PbReplayEnd end = pb_backup_settle(b);
    bool done = false, first = true;
    int ret;

    while (end == PB_REPLAY_DONE && !done && !pb_backup_wanted(b)) {
        const PbEvent *e = next(b, &end);
        bool asked = b->asking;

        if (!e) {
            continue;
        }
        end = b->walk.place ? look_for_place(b, first) : end;
        first = false;
        if (end != PB_REPLAY_DONE) {
            continue;
        }
        if (is_due(b, e, &end)) {
            end = live(b, e, buf);
            if (end == PB_REPLAY_DONE && asked && !b->asking) {
                done = true;
                end = pb_backup_settle(b);
            }
        } else if (end == PB_REPLAY_DONE) {
            end = step_guest(b, &done);
        }
    }
    ret = end == PB_REPLAY_DONE && done ? pb_breaks_after_step(b) : 0;
    return ret < 0 ? pb_backup_fail(b, "looking at the breakpoints", ret)
                   : end;
}

/* The first of the steps to a place: others may begin here, too. */
static void begin_trail(PbBackup *b)
{
    const PbTrail *t = b->walk.trail;

    if (t && t->begin == t->end) {
        pb_backup_keep_nearest(b);
    }
}

/* What comes now are more instructions than one. */
static void no_step(PbBackup *b)
{
    if (b->walk.trail) {
        pb_trail_clear(b->walk.trail);
    }
}

/* On to the wanted count, which lies before the next event. */
static PbReplayEnd to_branches(PbBackup *b, uint8_t *buf)
{
    PbEvent mark = { .kind = PB_EVENT_MARK, .branches = b->walk.branches };
    PbReplayEnd end;

    no_step(b);
    end = pb_backup_approach(b, &mark);
    if (end == PB_REPLAY_DONE) {
        begin_trail(b);
    }
    while (end == PB_REPLAY_DONE && !pb_backup_wanted(b) &&
           pb_counter_read(b->v.counter) < b->walk.branches) {
        end = step(b, buf);
    }
    return end;
}

/* Whether it is to land at a place. */
static bool lands(const PbBackup *b)
{
    return b->walk.place && !b->walk.trail && !b->breaks;
}

/* Whether the walk's limits end it before @e. */
static bool at_limit(PbBackup *b, const PbEvent *e)
{
    const PbWalk *w = &b->walk;

    if (w->place) {
        return !lands(b) && pb_counter_read(b->v.counter) >= w->branches;
    }
    return (w->event && b->seq >= w->event) ||
           (w->time_ns && e && e->time_ns > w->time_ns) ||
           (w->branches &&
            pb_counter_read(b->v.counter) >= w->branches);
}

static PbReplayEnd on(PbBackup *b, const PbEvent *e, uint8_t *buf)
{
    const PbWalk *w = &b->walk;
    int ret = w->instructions ? 1 : pb_breaks_need_steps(b);

    if (ret < 0) {
        return pb_backup_fail(b, "reading the guest's debug registers", ret);
    }
    if (ret) {
        return step(b, buf);
    }
    /* No event before the wanted count: a change has its count, too. */
    if (w->branches && !b->asking && e->branches > w->branches) {
        return to_branches(b, buf);
    }
    no_step(b);
    return live(b, e, buf);
}

/* To the wanted place, whose events have taken place. */
static PbReplayEnd land_there(PbBackup *b)
{
    PbEvent point = { .kind = PB_EVENT_POINT };
    PbReplayEnd end;

    pb_position_to_event(&b->walk.place->at, &point);
    end = pb_backup_land(b, &point);
    if (end == PB_REPLAY_FAILED || pb_backup_wanted(b)) {
        return end;
    }
    end = look_for_place(b, true);
    return end == PB_REPLAY_DONE ? stop(b, PB_STOP_PAST) : end;
}

PbReplayEnd pb_backup_go(PbBackup *b, uint8_t *buf)
{
    uint64_t left = b->walk.instructions;
    PbReplayEnd end = PB_REPLAY_DONE;

    if (b->walk.place && b->walk.place->at.branches && !lands(b)) {
        b->walk.branches = b->walk.place->at.branches - 1;
    }
    pb_backup_keep_later(b);
    /* A breakpoint where it stands has been seen: off it first. */
    if (!left && b->breaks && !at_limit(b, pb_backup_peek(b, 0))) {
        end = step(b, buf);
    }
    while (end == PB_REPLAY_DONE && !pb_backup_wanted(b)) {
        const PbEvent *e;

        if (b->walk.place) {
            pb_backup_keep_near(b);
        } else {
            pb_backup_keep_pace(b);
        }
        if (lands(b) && b->noted >= b->walk.place->event) {
            end = land_there(b);
            break;
        }
        e = next(b, &end);
        if (end == PB_REPLAY_FAILED) {
            break;
        }
        if (at_limit(b, e)) {
            /* A place is a branch away or less: each step may be the last. */
            begin_trail(b);
            end = b->walk.place ? step(b, buf) : stop(b, PB_STOP_REACHED);
        } else if (e) {
            end = on(b, e, buf);
            if (left && end == PB_REPLAY_DONE && --left == 0) {
                end = stop(b, PB_STOP_STEPPED);
            }
        }
    }
    return end == PB_REPLAY_FAILED ? end : stop(b, PB_STOP_ASKED);
}
