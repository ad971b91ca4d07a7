/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guest-back.c: a replay steps a little way from somewhere on; others go to
 * the places on that way, by steps or by landing, and must find the same
 * registers and RAM there, and, if they stepped, that they came from the place
 * before; and so again when they have gone back to the moment that they have
 * kept on their way; from there they live on to the end.
 */
#include <stdio.h>
#include <stdlib.h>

#include "guest-replay.h"
#include "pb-crc.h"

#define WAYS 2
#define STEPS 8
#define MOST_KEEP 6
#define LOOK_MS 100
#define PATIENCE 1200
/* Further than that it is not gone by steps, of which each takes 100 us. */
#define MOST_BRANCHES 5000

typedef struct Way {
    unsigned n;
    uint64_t before;          /* branches at the event before */
    PbPlace place[STEPS];
    PbState state[STEPS];
    uint32_t ram[STEPS];      /* its CRC */
    PbTrail trail;
} Way;

/* A frozen one, with all events on their way to it. */
static bool begin(GuestReplay *p, GuestRun *r, const char *file,
                  const char *name, PbFeed **feed)
{
    bool ok = guest_replay_open(p, r, file, name, true) &&
              pb_backup_await_start(p->b);

    *feed = ok ? pb_evidence_feed(p->e, p->ring) : NULL;
    if (!*feed) {
        guest_fail(r, "%s: it does not begin", name);
    }
    return *feed;
}

static void end(GuestReplay *p, PbFeed *feed)
{
    pb_feed_stop(feed);
    guest_replay_close(p);
}

static void too_long(GuestReplay *p, const PbWalk *w, PbStop *stop)
{
    PbPlace now = { 0 };
    char want[160] = "", have[160];

    pb_backup_halt(p->b);
    pb_backup_await(p->b, stop, -1);
    pb_backup_place(p->b, &now);
    pb_position_print(&now.at, have, sizeof(have));
    if (w->place) {
        pb_position_print(&w->place->at, want, sizeof(want));
    }
    guest_fail(p->r, "%s: a walk by %s to event %llu %s takes too long: it "
               "has come to event %llu %s with %llu steps", p->name,
               w->trail ? "steps" : "landing",
               (unsigned long long)(w->place ? w->place->event : w->event),
               want, (unsigned long long)now.event, have,
               (unsigned long long)p->b->stats.steps);
}

static PbStopReason walk(GuestReplay *p, PbWalk w, PbStop *stop)
{
    unsigned looks = 0;

    *stop = (PbStop) { .reason = PB_STOP_NONE };
    if (pb_backup_walk(p->b, &w)) {
        while (!pb_backup_await(p->b, stop, LOOK_MS)) {
            if (++looks == PATIENCE) {
                too_long(p, &w, stop);
                break;
            }
            pb_backup_poke(p->b);
        }
    }
    return stop->reason;
}

static bool look(GuestReplay *p, PbPlace *place, PbState *state, uint32_t *ram)
{
    const PbMem *m = pb_backup_mem(p->b);
    unsigned i;

    if (pb_backup_place(p->b, place) < 0 ||
        pb_backup_get_state(p->b, pb_backup_cpu(p->b), state) < 0) {
        guest_fail(p->r, "%s: it cannot be looked at", p->name);
        return false;
    }
    for (i = 0, *ram = 0; i < m->blocks; i++) {
        *ram = pb_crc(*ram, m->block[i].host, m->block[i].size);
    }
    return true;
}

static bool walk_to_event(GuestReplay *p, uint64_t event)
{
    PbStop stop;

    return walk(p, (PbWalk) { .event = event }, &stop) == PB_STOP_REACHED;
}

/* Some steps from event @from on, as far as they go. */
static bool step_along(GuestRun *r, const char *file, uint64_t from, Way *w)
{
    GuestReplay p;
    PbFeed *feed;
    PbPlace before = { 0 };
    PbStop stop;
    bool ok = begin(&p, r, file, "the one that steps", &feed);

    if (ok && walk_to_event(&p, from - 1) &&
        pb_backup_place(p.b, &before) < 0) {
        guest_fail(r, "%s: it cannot be looked at", p.name);
    }
    w->n = 0;
    w->before = before.at.branches;
    if (ok && walk_to_event(&p, from)) {
        while (ok && w->n < STEPS &&
               walk(&p, (PbWalk) { .instructions = 1 }, &stop) ==
               PB_STOP_STEPPED) {
            ok = look(&p, &w->place[w->n], &w->state[w->n], &w->ram[w->n]);
            w->n += ok;
        }
    }
    end(&p, feed);
    return ok;
}

static void wrong(GuestReplay *p, const Way *w, unsigned i, const PbWalk *to,
                  const PbStop *s, const char *what)
{
    const PbPlace *before = to->trail
                            ? pb_trail_before(to->trail, to->place) : NULL;
    char want[160], from[160] = "nowhere", report[640] = "";

    pb_position_print(&w->place[i].at, want, sizeof(want));
    if (before) {
        pb_position_print(&before->at, from, sizeof(from));
    }
    if (s->reason == PB_STOP_FAILED) {
        pb_divergence_print(pb_backup_divergence(p->b), report,
                            sizeof(report));
    }
    guest_fail(p->r, "%s: %s: to event %llu %s by %s: ended by %s, came from "
               "event %llu %s; %s", p->name, what,
               (unsigned long long)w->place[i].event, want,
               to->trail ? "steps" : "landing",
               pb_stop_reason_name(s->reason),
               (unsigned long long)(before ? before->event : 0), from, report);
}

/*
 * A landing there may miss, which is no divergence: then by steps, as gdb goes
 * back.  It seldom does.
 */
static bool seldom(const GuestResult *r)
{
    return r->missed <= 1 + r->back / 8;
}

/* To place @i of @w, by steps or by landing. */
static bool go_to(GuestReplay *p, Way *w, unsigned i)
{
    bool near = w->place[i].at.branches - w->before <= MOST_BRANCHES;
    PbTrail *trail = near && guest_random(&p->r->random) % 2 ? &w->trail
                                                             : NULL;
    const PbPlace *before;
    PbState state;
    PbPlace place;
    PbStop stop;
    uint32_t ram;
    char what[160];
    PbWalk to = { .place = &w->place[i], .trail = trail,
                  .keep = 1 + guest_random(&p->r->random) % MOST_KEEP };

    pb_trail_clear(&w->trail);
    if (walk(p, to, &stop) == PB_STOP_PAST && !trail) {
        p->r->result->missed++;
        to.trail = trail = &w->trail;
        if (seldom(p->r->result) && pb_backup_back(p->b, &w->place[i])) {
            walk(p, to, &stop);
        }
    }
    if (stop.reason != PB_STOP_REACHED) {
        wrong(p, w, i, &to, &stop, "not reached");
        return false;
    }
    if (!look(p, &place, &state, &ram)) {
        return false;
    }
    if (ram != w->ram[i]) {
        wrong(p, w, i, &to, &stop, "other RAM");
        return false;
    }
    if (!pb_state_equal(&w->state[i], &state, what, sizeof(what))) {
        wrong(p, w, i, &to, &stop, what);
        return false;
    }
    before = trail ? pb_trail_before(trail, &w->place[i]) : NULL;
    if (i && trail &&
        !(before && pb_place_same(before, &w->place[i - 1]))) {
        wrong(p, w, i, &to, &stop, "from elsewhere");
        return false;
    }
    p->r->result->back++;
    return true;
}

/* A new one goes to place @i of @w, back to near there, and to place @j. */
static bool go_back(GuestRun *r, const char *file, Way *w, unsigned i,
                    unsigned j)
{
    GuestReplay p;
    PbFeed *feed;
    bool ok = begin(&p, r, file, "the one that goes back", &feed) &&
              go_to(&p, w, i);

    /* From there again: it may be a question amid an access. */
    if (ok && pb_backup_back(p.b, &w->place[j]) &&
        pb_backup_back(p.b, &w->place[j])) {
        p.name = "the one that goes back from near";
        ok = go_to(&p, w, j);
        guest_set_deadline(r);
        ok = ok && pb_backup_thaw(p.b) &&
             guest_replay_wait(&p, p.e->last_seq);
        r->result->near += ok;
    }
    end(&p, feed);
    return ok;
}

bool guest_back(GuestRun *r, const char *file)
{
    Way *w = calloc(1, sizeof(*w));
    char why[300];
    PbEvidence *e = pb_evidence_open(file, why, sizeof(why));
    bool ok = w && e;
    unsigned i;

    for (i = 0; ok && i < WAYS && e->events; i++) {
        uint64_t from = e->info.at.seq + 1 +
                        guest_random(&r->random) % e->events;

        ok = step_along(r, file, from, w);
        if (ok && w->n) {
            ok = go_back(r, file, w, w->n - 1,
                         guest_random(&r->random) % w->n);
        }
    }
    pb_evidence_close(e);
    free(w);
    return ok;
}
