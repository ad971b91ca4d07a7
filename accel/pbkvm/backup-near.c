/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backup-near.c: the last branches before a position, with a breakpoint on its
 * RIP; every hit that is another pass of the same place is left behind.
 */
#include <errno.h>

#include "backup-land.h"
#include "pb-inject.h"
#include "pb-step.h"

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

/* One step. */
static int step(PbBackup *b, PbLanding *l)
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
        return PB_NEAR_EXIT;
    }
    ret = ret == PB_STEP_DONE ? pb_breaks_after_step(b) : 0;
    return ret < 0 ? ret : PB_NEAR_LOOK;
}

/*
 * On from @now, by a run if that ends where it should, else by a step.  @own:
 * how the guest debugs itself there.
 */
static int on_from(PbBackup *b, PbLanding *l, const PbPosition *now,
                   const PbGuestDebug *own)
{
    int ret = 0;

    /* It may have a #DB after each iteration. */
    if (!own->steps && !own->breaks) {
        ret = pb_rep_prepare(&l->rep, &b->v, now, &l->target);
    }
    if (ret == 0 && now->rip == l->target.rip && !own->steps) {
        ret = resume(b, l, now);
    }
    return ret == 1 ? PB_NEAR_RUN : ret < 0 ? ret : step(b, l);
}

/* What KVM holds is delivered first. */
static int into_handler(PbBackup *b, PbLanding *l, PbPosition *now,
                        const PbGuestDebug *own)
{
    uint64_t entry;
    int ret = entry_of_injected(b, now, &entry);

    if (ret < 0) {
        return ret;
    }
    /* A second NMI waits while the first one's handler is entered. */
    return now->rip == entry ? on_from(b, l, now, own)
                             : break_at(b, entry ? entry : l->target.rip);
}

int pb_land_near(PbBackup *b, PbLanding *l, PbPosition *now)
{
    PbGuestDebug own;
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
        return ret < 0 ? ret : PB_NEAR_LOOK;
    }
    if (now->injected && !waits_on(b, now, &l->target)) {
        return into_handler(b, l, now, &own);
    }
    ret = pb_guest_db_uses(b);
    if (ret) {
        return ret < 0 ? ret : step(b, l);
    }
    if (now->rip != l->target.rip && !l->target.resumed) {
        return break_at(b, l->target.rip);
    }
    return on_from(b, l, now, &own);
}

/* Nobody may look at ECX before a REP string has it back, nor at RF. */
PbRunEnd pb_land_run(PbBackup *b, PbLanding *l)
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
