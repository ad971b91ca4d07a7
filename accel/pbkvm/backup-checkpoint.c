/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backup-checkpoint.c: what a Backup needs to go back: its state of then, and
 * the events it has consumed since, which it reads first, then the ring.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backup-internal.h"

/* In a replay, moments are forgotten then: the file has it all. */
#define REPLAY_SLOTS (1u << 20)

/*
 * A walk that takes longer can be gone back a part of; unless that would take
 * more than one part of PACE_PARTS of its time.
 */
#define PACE_NS 500000000ull
#define PACE_PARTS 16

/* ---- what it reads ---- */

const PbEvent *pb_backup_peek_run(PbBackup *b, uint32_t i, uint32_t *run)
{
    uint32_t left = pb_backup_left(b);

    if (i >= left) {
        return pb_ring_peek_run(b->c.ring, i - left, run);
    }
    *run = *run < left - i ? *run : left - i;
    return &b->cp->slot[b->cp_at + i];
}

static bool make_room(PbCheckpoint *cp, size_t slots)
{
    PbEvent *more;

    if (slots <= cp->room) {
        return true;
    }
    more = realloc(cp->slot, 2 * slots * sizeof(*more));
    if (more) {
        cp->slot = more;
        cp->room = 2 * slots;
    }
    return more != NULL;
}

static bool keeps(const PbBackup *b)
{
    return b->cp && b->cp->moment[PB_MOMENT_FIRST].valid;
}

void pb_checkpoint_free(PbBackup *b)
{
    if (b->cp) {
        pb_moments_drop(b);
        free(b->cp->slot);
        free(b->cp);
        b->cp = NULL;
        b->cp_at = 0;
    }
}

/* Unless something is to be read or gone back to. */
static void free_unused(PbBackup *b)
{
    if (!keeps(b) && !pb_backup_left(b)) {
        pb_checkpoint_free(b);
    }
}

/* What the ring's first @n slots hold. */
static bool append(PbBackup *b, uint32_t n)
{
    PbCheckpoint *cp = b->cp;
    const PbEvent *from;
    uint32_t i, run;

    if (!make_room(cp, cp->used + n)) {
        snprintf(b->cp_why, sizeof(b->cp_why), "no memory for %zu events",
                 cp->used + n);
        return false;
    }
    for (i = 0; i < n; i += run) {
        run = n - i;
        from = pb_ring_peek_run(b->c.ring, i, &run);
        memcpy(cp->slot + cp->used + i, from, run * sizeof(PbEvent));
    }
    cp->used += n;
    b->cp_at = cp->used;
    return b->c.keeps || cp->used < REPLAY_SLOTS;
}

void pb_backup_release_kept(PbBackup *b, uint32_t n)
{
    bool keep = true;

    if (pb_backup_left(b)) {
        b->cp_at += n;
    } else {
        keep = !keeps(b) || append(b, n);
        pb_ring_release(b->c.ring, n);
    }
    if (!keep) {
        pb_checkpoint_free(b);
    }
    free_unused(b);
}

/* ---- keeping ---- */

/* What is to be read of an earlier one stays so.  False: no memory. */
static bool begin(PbBackup *b)
{
    PbCheckpoint *cp = b->cp ? b->cp : calloc(1, sizeof(*cp));

    b->cp = cp;
    if (cp && cp->used) {
        cp->used -= b->cp_at;
        memmove(cp->slot, cp->slot + b->cp_at, cp->used * sizeof(PbEvent));
        b->cp_at = 0;
    }
    return cp;
}

/* The first one, or, if that is there already, @which. */
static void note(PbBackup *b, unsigned which, char *why, size_t len)
{
    if (keeps(b)) {
        pb_moment_note(b, &b->cp->moment[which], why, len);
    } else if (begin(b)) {
        pb_moment_note(b, &b->cp->moment[PB_MOMENT_FIRST], why, len);
    } else {
        snprintf(why, len, "no memory");
    }
    free_unused(b);
}

void pb_backup_keep_here(PbBackup *b)
{
    if (!b->detached && !keeps(b)) {
        b->cp_why[0] = '\0';
        note(b, PB_MOMENT_FIRST, b->cp_why, sizeof(b->cp_why));
    }
}

/* Whether a moment is kept between these events. */
static bool keeps_between(const PbBackup *b, uint64_t from, uint64_t to)
{
    unsigned i;

    for (i = 0; keeps(b) && i < PB_MOMENT_NEAREST; i++) {
        const PbMoment *m = &b->cp->moment[i];

        if (m->valid && m->at.seq >= from && m->at.seq < to) {
            return true;
        }
    }
    return false;
}

void pb_backup_keep_near(PbBackup *b)
{
    uint64_t to = b->walk.place->event;
    uint64_t from = to > b->walk.keep ? to - b->walk.keep : 0;
    char why[sizeof(b->cp_why)];      /* if not, it takes longer */

    if (b->walk.keep && !b->detached && b->seq >= from && b->seq < to &&
        !keeps_between(b, from, to)) {
        note(b, PB_MOMENT_NEAR, why, sizeof(why));
    }
}

void pb_backup_keep_later(PbBackup *b)
{
    b->cp_due = pb_backup_clock() + PACE_NS;
}

void pb_backup_keep_pace(PbBackup *b)
{
    char why[sizeof(b->cp_why)];
    uint64_t begun = pb_backup_clock(), took;

    if (!b->detached && begun >= b->cp_due) {
        note(b, PB_MOMENT_NEAR, why, sizeof(why));
        took = (pb_backup_clock() - begun) * PACE_PARTS;
        b->cp_due = pb_backup_clock() + (took > PACE_NS ? took : PACE_NS);
    }
}

void pb_backup_keep_nearest(PbBackup *b)
{
    char why[sizeof(b->cp_why)];

    if (b->walk.keep && !b->detached && keeps(b)) {
        note(b, PB_MOMENT_NEAREST, why, sizeof(why));
    }
}

void pb_backup_keep_no_more(PbBackup *b)
{
    b->cp_why[0] = '\0';
    if (b->cp) {
        pb_moments_drop(b);
    }
    free_unused(b);
}

/* ---- any thread ---- */

static void keep(PbBackup *b, void *opaque)
{
    pb_backup_keep_here(b);
}

void pb_backup_keep(PbBackup *b)
{
    pb_backup_do(b, keep, NULL);
}

bool pb_backup_kept(PbBackup *b, PbBackupStart *at, char *why, size_t len)
{
    bool ok;

    pthread_mutex_lock(&b->lock);
    ok = b->status == PB_BACKUP_FROZEN && keeps(b);
    if (ok && at) {
        *at = b->cp->moment[PB_MOMENT_FIRST].at;
    } else if (!ok) {
        snprintf(why, len, "%s", b->status == PB_BACKUP_FROZEN
                                 ? b->cp_why : "it is not frozen");
    }
    pthread_mutex_unlock(&b->lock);
    return ok;
}

/* ---- back ---- */

/* False: it is not sure. */
static bool is_before(const PbMoment *m, const PbPlace *to)
{
    return m->at.seq < to->event ||
           (m->noted == to->event && m->at.branches < to->at.branches);
}

/*
 * The last before @to, if there is a place; else the first, unless it is the
 * file that a replay can begin with.  NULL: there is none.
 */
static PbMoment *moment_before(PbBackup *b, const PbPlace *to)
{
    PbMoment *last = NULL;
    unsigned i;

    if (!keeps(b)) {
        return NULL;
    }
    for (i = 0; to && i < PB_MOMENTS; i++) {
        PbMoment *m = &b->cp->moment[i];

        if (m->valid && is_before(m, to) &&
            (!last || m->at.branches > last->at.branches)) {
            last = m;
        }
    }
    return last || !b->c.keeps ? last : &b->cp->moment[PB_MOMENT_FIRST];
}

PbReplayEnd pb_backup_go_back(PbBackup *b)
{
    PbMoment *m = moment_before(b, b->walk.place);

    if (!m) {
        return PB_REPLAY_STOPPED;
    }
    b->stop.reason = PB_STOP_REACHED;
    return pb_moment_put(b, m);
}

bool pb_backup_back(PbBackup *b, const PbPlace *to)
{
    PbWalk w = { .place = to, .back = true };
    PbStop stop;

    return pb_backup_walk(b, &w) && pb_backup_await(b, &stop, -1) &&
           stop.reason == PB_STOP_REACHED;
}
