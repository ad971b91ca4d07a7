/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backup-land.c: bring the Backup to a position, exactly.
 *
 * FAR:  the sampler is armed `margin` branches early and the guest runs.
 * NEAR: a hardware breakpoint on the target's RIP; every hit is compared,
 *       and left behind when it is another pass of the same place.
 * HERE: done.  PAST: reported, never continued.
 *
 * A breakpoint does not stop the first instruction after an IRET that loads
 * RF (after a fault, SDM 3B 19.3.1.1).  If the Primary had RF set at the
 * target, the last `margin` branches are single-stepped instead.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "backup-internal.h"
#include "backup-rep.h"
#include "backup-resume.h"
#include "backup-stuck.h"
#include "pb-exit.h"
#include "pb-inject.h"
#include "pb-remedy.h"
#include "pb-step.h"

typedef struct PbLanding {
    const PbEvent *e;
    PbPosition target;
    bool armed;               /* the sampler is, for this landing */
    uint64_t armed_for;       /* the number of branches it should stop at */
    uint64_t first_exit;      /* pb_backup_own_exits() when it began */
    PbRep rep;
    PbResume resume;
    PbRounds rounds;
    bool passes;              /* may pass over writes: can_pass() */
    bool may_miss;            /* a walk's: who walks looks where it ended */
    uint64_t passed;          /* branches at the last one */
} PbLanding;

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

static int break_at(PbBackup *b, uint64_t linear)
{
    return pb_breaks_arm(b, &linear);
}

/*
 * On from the target's place.  A debugger's breakpoints are not to be passed
 * over, and what counts by steps takes one anyhow.  1: run; 0: step.
 */
static int resume(PbBackup *b, PbLanding *l, const PbPosition *now)
{
    int ret;

    if (l->target.resumed || b->breaks ||
        b->c.counter == PB_COUNTER_STEP) {
        return 0;
    }
    ret = pb_resume_prepare(&l->resume, &b->v, now);
    if (ret == 1) {
        ret = break_at(b, l->target.rip);
        ret = ret < 0 ? ret : 1;
    }
    return ret;
}

/*
 * What KVM holds is delivered at the next entry.  A target with the very same
 * position must not be compared before that: a handler without a conditional
 * branch comes back to the same RIP, branches and registers.  Tell where it
 * goes; 0: that cannot be told, the target's breakpoint has to do.
 */
static int entry_of_injected(PbBackup *b, PbPosition *now, uint64_t *entry)
{
    struct kvm_sregs sregs;
    int ret = pb_vcpu_get_sregs(&b->v, &sregs);

    *entry = ret < 0 ? 0 : pb_handler_entry(&b->v, &sregs,
                                            now->injected & 0xff);
    return ret;
}

/*
 * Both in the handler of an NMI, behind which another one waits: that comes
 * after the target.
 */
static bool waits_on(const PbBackup *b, const PbPosition *now,
                     const PbPosition *target)
{
    const struct kvm_vcpu_events *e = &b->v.run->s.regs.events;

    return now->injected == target->injected && e->nmi.masked &&
           !e->nmi.injected;
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

#define PB_NEAR_CIRCLE 3

/* One step; as near(). */
static int step_near(PbBackup *b, PbLanding *l)
{
    bool branch;
    int ret;

    b->stats.steps++;
    ret = pb_counter_step(b->v.counter, &branch);
    if (ret < 0) {
        return ret;
    }
    if (ret == PB_STEP_INTERRUPTED) {
        /* Reasons for a kick are looked at after this, so none is lost. */
        b->v.run->immediate_exit = 0;
        pb_stuck_not_yet(&l->rounds);
    }
    if (ret == PB_STEP_EXIT) {
        return 2;
    }
    ret = ret == PB_STEP_DONE ? pb_breaks_after_step(b) : 0;
    return ret < 0 ? ret : 1;
}

/*
 * NEAR: what to do next.  0: run (a breakpoint is set); 1: a step was made;
 * 2: a step ended in an exit; PB_NEAR_CIRCLE: nothing helps; or -errno.
 */
static int near(PbBackup *b, PbLanding *l, PbPosition *now)
{
    PbGuestDebug own;
    uint64_t entry;
    bool due;
    int ret;

    if (b->v.io_pending) {
        return break_at(b, l->target.rip);
    }
    ret = pb_stuck_round(b, &l->rounds, now);
    if (ret) {
        return ret < 0 ? ret : PB_NEAR_CIRCLE;
    }
    ret = pb_guest_db_at(b, now, &own);
    if (ret) {
        return ret;
    }
    due = now->injected && !waits_on(b, now, &l->target);
    ret = due ? 0 : pb_guest_db_uses(b);
    if (ret) {
        return ret < 0 ? ret : step_near(b, l);
    }
    if (due) {
        ret = entry_of_injected(b, now, &entry);
        if (ret < 0) {
            return ret;
        }
        /* A second NMI waits while the first one's handler is entered. */
        if (now->rip != entry) {
            return break_at(b, entry ? entry : l->target.rip);
        }
    } else if (now->rip != l->target.rip && !l->target.resumed) {
        return break_at(b, l->target.rip);
    }
    /* It may have a #DB after each iteration. */
    if (!own.steps && !own.breaks) {
        ret = pb_rep_prepare(&l->rep, &b->v, now, &l->target);
    }
    if (ret == 0 && now->rip == l->target.rip && !own.steps) {
        ret = resume(b, l, now);
    }
    return ret == 1 ? 0 : ret < 0 ? ret : step_near(b, l);
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

/* Run; nobody may look at ECX before a REP string has it back, nor at RF. */
static PbRunEnd run_near(PbBackup *b, PbLanding *l)
{
    PbRunEnd end = pb_backup_run_guest(b);
    int ended = pb_resume_end(&l->resume, &b->v);

    if (ended < 0) {
        pb_backup_fail(b, "taking RF back", ended);
        return PB_RUN_FAILED;
    }
    if (end == PB_RUN_KICKED) {
        pb_stuck_not_yet(&l->rounds);
    }
    while (l->rep.active && end != PB_RUN_ASKED && end != PB_RUN_FAILED) {
        int ret = pb_rep_restore(&l->rep, &b->v);

        if (ret < 0) {
            pb_backup_fail(b, "ending a REP string", ret);
            return PB_RUN_FAILED;
        }
        if (ret == 1) {
            end = pb_backup_note_exit(b);
        }
    }
    return end;
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
                                       : near(b, &l, &now);
            if (ret == PB_NEAR_CIRCLE) {
                return in_a_circle(b, &l, &now);
            }
            if (ret < 0) {
                return pb_backup_fail(b, "preparing to land", ret);
            }
            end = ret == 0 ? run_near(b, &l)
                : ret == 1 ? PB_RUN_DEBUG : pb_backup_note_exit(b);
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
