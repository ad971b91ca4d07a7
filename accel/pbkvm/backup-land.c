/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backup-land.c: bring the Backup to a position, exactly.
 *
 * FAR:  the sampler is armed `margin` branches early and the guest runs.
 * NEAR: a hardware breakpoint on the target's RIP; every hit is compared,
 *       and left behind when it is another pass of the same place
 *       (backup-near.c).
 * HERE: done.  PAST: reported, never continued.
 *
 * A breakpoint does not stop the first instruction after an IRET that loads
 * RF (after a fault, SDM 3B 19.3.1.1).  If the Primary had RF set at the
 * target, the last `margin` branches are single-stepped instead.
 */
#include <string.h>

#include "backup-land.h"
#include "pb-exit.h"
#include "pb-remedy.h"

static PbReplayEnd leave(PbBackup *b, PbLanding *l, PbReplayEnd end)
{
    int ret;

    if (l->armed) {
        pb_counter_disarm(b->v.counter);
    }
    ret = pb_vcpu_debug_off(&b->v);
    return ret < 0 ? pb_backup_fail(b, "KVM_SET_GUEST_DEBUG", ret) : end;
}

/* It does not come by the target, but @have. */
static PbReplayEnd miss(PbBackup *b, PbLanding *l, const char *have)
{
    char want[120];

    if (l->may_miss) {
        return leave(b, l, PB_REPLAY_STOPPED);
    }
    pb_position_print(&l->target, want, sizeof(want));
    return pb_backup_diverge(b, l->e, want, "%s", have);
}

static PbReplayEnd past(PbBackup *b, PbLanding *l)
{
    char have[120];
    PbPosition now;
    int ret = pb_position_take(&b->v, &now);

    if (ret < 0) {
        return pb_backup_fail(b, "reading where the Backup stands", ret);
    }
    pb_position_print(&now, have, sizeof(have));
    return miss(b, l, have);
}

/* Whatever else shows behind the target comes from being there. */
static bool is_past(PbBackup *b, PbLanding *l)
{
    return pb_counter_read(b->v.counter) > l->target.branches;
}

static PbReplayEnd unexpected_exit(PbBackup *b, PbLanding *l)
{
    char have[120];

    if (is_past(b, l)) {
        return past(b, l);
    }
    pb_backup_describe_exit(b, have, sizeof(have));
    return miss(b, l, have);
}

static PbReplayEnd in_a_circle(PbBackup *b, PbLanding *l,
                               const PbPosition *now)
{
    static const char same[] = "for ever the same: ";
    char have[sizeof(same) + 120];

    memcpy(have, same, sizeof(same));
    pb_position_print(now, have + sizeof(same) - 1, 120);
    return miss(b, l, have);
}

/* Note how late the sampler's stop came. */
static void note_skid(PbBackup *b, PbLanding *l, uint64_t now)
{
    if (pb_counter_fired(b->v.counter)) {
        l->armed = false;
        if (now > l->armed_for && now - l->armed_for > b->stats.skid_max) {
            b->stats.skid_max = now - l->armed_for;
        }
    }
}

/* FAR: run, with the sampler armed once. */
static int far(PbBackup *b, PbLanding *l, uint64_t now)
{
    int ret = pb_breaks_arm(b, NULL);

    if (ret == 0 && !l->armed) {
        l->armed_for = l->target.branches -
                       (pb_remedy(PB_REMEDY_MARGIN) ? b->margin : 0);
        ret = pb_counter_arm(b->v.counter, l->armed_for - now);
        l->armed = ret == 0;
    }
    return ret;
}

static void note_landing(PbBackup *b, PbLanding *l)
{
    uint64_t exits = pb_backup_own_exits(b) - l->first_exit;
    unsigned most = sizeof(b->stats.landing_exits) /
                    sizeof(b->stats.landing_exits[0]) - 1;

    b->stats.landings++;
    b->stats.landing_exits[exits < most ? exits : most]++;
    if (exits > b->stats.landing_exits_max) {
        b->stats.landing_exits_max = exits;
    }
}

/*
 * A write on the way needs no look of its own: with the breakpoint set KVM
 * finishes it, and stops at the target all the same.  At most one for each
 * branch, so that a circle of writes is found.
 */
static bool can_pass(PbBackup *b, PbLanding *l, uint64_t branches)
{
    if (!l->passes || !b->v.io_pending || !pb_exit_is_write(b->v.run) ||
        l->target.resumed || branches == l->passed) {
        return false;
    }
    l->passed = branches;
    return true;
}

/* Close enough to compare: finish the pending exit, then look. */
static int look(PbBackup *b, PbLanding *l, PbPosition *now,
                PbLandState *state)
{
    int ret;

    memset(now, 0, sizeof(*now));
    now->branches = pb_counter_read(b->v.counter);
    note_skid(b, l, now->branches);
    *state = pb_land_classify(now, &l->target, b->margin);
    if (*state != PB_LAND_NEAR || can_pass(b, l, now->branches)) {
        return 0;
    }
    ret = pb_vcpu_complete(&b->v);
    if (ret == 0) {
        ret = pb_position_take(&b->v, now);
    }
    if (ret == 0 && pb_position_same_place(now, &l->target)) {
        ret = pb_position_add_loop(&b->v, now);
    }
    if (ret == 0) {
        *state = pb_land_classify(now, &l->target, b->margin);
    }
    if (ret == 0 && *state == PB_LAND_HERE && l->target.resumed &&
        !now->resumed) {
        ret = pb_guest_db_first(b, now);
        *state = ret == 1 ? PB_LAND_NEAR : PB_LAND_HERE;
        ret = ret < 0 ? ret : 0;
    }
    return ret;
}

/* Whether there is another reason to end than to be there. */
static bool must_end(PbBackup *b, PbLanding *l, PbReplayEnd *end)
{
    if (pb_backup_wanted(b)) {
        *end = leave(b, l, PB_REPLAY_STOPPED);
    } else if (b->idle.stuck) {
        *end = pb_stuck_idle(b, l->e);
    } else if (pb_backup_wrote_more(b, l->e)) {
        *end = is_past(b, l) ? past(b, l) : pb_backup_check_outputs(b, l->e);
    } else {
        return false;
    }
    return true;
}

PbReplayEnd pb_backup_land(PbBackup *b, const PbEvent *e)
{
    PbLanding l = {
        .e = e, .target = pb_position_of(e),
        .first_exit = pb_backup_own_exits(b), .passes = true,
        .may_miss = !e->seq,
    };
    PbReplayEnd over;
    PbRunEnd end;
    PbPosition now;
    PbLandState state;
    int ret;

    for (;;) {
        if (must_end(b, &l, &over)) {
            return over;
        }
        ret = look(b, &l, &now, &state);
        if (ret == 1) {
            end = pb_backup_note_exit(b);   /* a further MMIO fragment */
        } else if (ret < 0) {
            return pb_backup_fail(b, "reading where the Backup stands", ret);
        } else if (state == PB_LAND_HERE) {
            note_landing(b, &l);
            return leave(b, &l, PB_REPLAY_DONE);
        } else if (state == PB_LAND_PAST) {
            return past(b, &l);
        } else {
            ret = state == PB_LAND_FAR ? far(b, &l, now.branches)
                                       : pb_land_near(b, &l, &now);
            if (ret == PB_NEAR_CIRCLE) {
                return in_a_circle(b, &l, &now);
            }
            if (ret < 0) {
                return pb_backup_fail(b, "preparing to land", ret);
            }
            end = ret == PB_NEAR_RUN ? pb_land_run(b, &l)
                : ret == PB_NEAR_LOOK ? PB_RUN_DEBUG
                : pb_backup_note_exit(b);
        }
        if (end == PB_RUN_ASKED) {
            return unexpected_exit(b, &l);
        }
        if (end == PB_RUN_FAILED) {
            return PB_REPLAY_FAILED;
        }
    }
}

int pb_backup_at(PbBackup *b, const PbEvent *e)
{
    PbLanding l = { .e = e, .target = pb_position_of(e) };
    PbPosition now;
    PbLandState state;
    int ret = look(b, &l, &now, &state);

    /* 1: a further fragment of an exit, so not there yet. */
    return ret < 0 ? ret : ret == 0 && state >= PB_LAND_HERE;
}

PbReplayEnd pb_backup_approach(PbBackup *b, const PbEvent *e)
{
    PbLanding l = { .e = e, .target.branches = e->branches };
    PbReplayEnd over;
    uint64_t now;
    int ret;

    for (;;) {
        now = pb_counter_read(b->v.counter);
        if (now > e->branches) {
            return past(b, &l);
        }
        note_skid(b, &l, now);
        if (e->branches - now <= b->margin) {
            return leave(b, &l, PB_REPLAY_DONE);
        }
        if (must_end(b, &l, &over)) {
            return over;
        }
        ret = far(b, &l, now);
        if (ret < 0) {
            return pb_backup_fail(b, "preparing to land", ret);
        }
        switch (pb_backup_run_guest(b)) {
        case PB_RUN_ASKED:
            return unexpected_exit(b, &l);
        case PB_RUN_FAILED:
            return PB_REPLAY_FAILED;
        default:
            break;
        }
    }
}
