/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backup-take.c: take events from the ring, whole and valid, once the lag lets
 * them pass.
 */
#include <string.h>

#include "backup-internal.h"
#include "pb-crc.h"

/* With less than 1/8 of the ring free, the lag gives way to the Primary. */
#define RING_PRESSURE(slots) ((slots) - (slots) / 8)

/* Shortest wait for the lag: a wake-up costs more than some events. */
#define LAG_SLICE_NS 1000000

PbReplayEnd pb_backup_refill(PbBackup *b)
{
    int ret = b->c.spill ? pb_spill_refill(b->c.spill) : 0;

    return ret < 0 ? pb_backup_fail(b, "reading the spilled events", ret)
                   : PB_REPLAY_DONE;
}

static uint64_t relaxed(const uint64_t *value)
{
    return __atomic_load_n(value, __ATOMIC_RELAXED);
}

/* What comes is not for the spill's file: soon the Primary must wait. */
static bool ring_is_short(PbBackup *b)
{
    return !(b->c.spill && pb_spill_usable(b->c.spill)) &&
           pb_ring_used(b->c.ring) > RING_PRESSURE(pb_ring_slots(b->c.ring));
}

/* Primary time until @due, ns; 0: it has come. */
static uint64_t time_left(PbBackup *b, uint64_t due)
{
    if (due > b->now) {
        b->now = b->c.now(b->c.opaque);
    }
    return due > b->now ? due - b->now : 0;
}

/* Whether the Primary is that many events and branches ahead of @e. */
static bool is_far(PbBackup *b, const PbEvent *e)
{
    uint64_t events = relaxed(&b->lag.events);
    uint64_t branches = relaxed(&b->lag.branches);
    uint64_t mine = e->branches ? e->branches : b->branches;
    uint64_t seq, retired;

    if (!(events | branches) || !b->c.primary ||
        !b->c.primary(b->c.opaque, &seq, &retired)) {
        return true;
    }
    return seq >= e->seq + events && retired >= mine + branches;
}

/* How long @e must still wait for the lag, ns; 0: now. */
static uint64_t lag_left(PbBackup *b, const PbEvent *e)
{
    uint64_t left = time_left(b, e->time_ns + relaxed(&b->lag.ns));

    if (!left && !is_far(b, e)) {
        left = PB_BACKUP_NAP_MS * 1000000ull;
    }
    if (!left || __atomic_load_n(&b->verify_state, __ATOMIC_ACQUIRE)) {
        return 0;
    }
    if (ring_is_short(b)) {
        uint64_t least = time_left(b, e->time_ns + b->c.lag_min_ns);

        return least < left ? least : left;
    }
    return left;
}

/*
 * The payload of the ring's first event, which is @e, gathered from the slots
 * after it; NULL if it is not there, which only a damaged event comes to.
 */
static const void *gather(PbBackup *b, const PbEvent *e,
                          uint8_t buf[PB_EVENT_MAX_PAYLOAD])
{
    uint32_t i, run, slots = pb_event_extra_slots(e);

    for (i = 0; i < slots; i += run) {
        const PbEvent *from;

        run = slots - i;
        from = pb_backup_peek_run(b, i + 1, &run);
        if (!from) {
            return NULL;
        }
        memcpy(buf + i * PB_EVENT_SIZE, from, run * PB_EVENT_SIZE);
    }
    return buf;
}

/* What is wrong with the ring's first event, which is @e, or NULL. */
static const char *check(PbBackup *b, const PbEvent *e, uint8_t *buf)
{
    const char *bad = pb_event_check(e, b->seq);
    const void *payload = bad ? NULL : gather(b, e, buf);

    if (!bad && !payload) {
        bad = "payload is missing";
    } else if (!bad && pb_crc_event(e, payload) != e->crc) {
        bad = "crc does not match";
    }
    return bad;
}

void pb_backup_head_for(PbBackup *b, uint64_t time_ns)
{
    if (b->c.heading) {
        __atomic_store_n(b->c.heading, time_ns, __ATOMIC_RELAXED);
    }
}

/*
 * The next event that may be lived through now, or NULL: look again.  One
 * nap lets many events come due, and no lock is taken for those.
 */
static const PbEvent *next_event(PbBackup *b, uint8_t *buf)
{
    const PbEvent *e = pb_backup_peek(b, 0);
    uint64_t left;

    if (!e) {
        pb_backup_head_for(b, UINT64_MAX);
        pb_ring_wait_events(b->c.ring, 1, PB_BACKUP_NAP_MS);
        return NULL;
    }
    left = lag_left(b, e);
    /* The time of a damaged event may be wrong, too: report it now. */
    if (!left || check(b, e, buf)) {
        pb_backup_head_for(b, e->time_ns);
        return e;
    }
    pb_backup_head_for(b, UINT64_MAX);
    pb_backup_tidy(b);
    pthread_mutex_lock(&b->lock);
    if (!b->want_freeze && !b->quit && !b->verify_state) {
        pb_ring_flush(b->c.ring);
        pb_backup_nap(b, left < LAG_SLICE_NS ? LAG_SLICE_NS : left);
    }
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

static void publish_stats(PbBackup *b, const PbEvent *e)
{
    __atomic_store_n(&b->stats.events, e->seq, __ATOMIC_RELAXED);
    __atomic_store_n(&b->stats.time_ns, e->time_ns, __ATOMIC_RELAXED);
    b->stats.branches = pb_counter_read(b->v.counter);
    b->stats.writes = b->writes;
    b->stats.exits = b->v.exits;
}

static void consume(PbBackup *b, const PbEvent *e)
{
    b->last[b->lasts++ % PB_LAST_EVENTS] = *e;
    if (b->lasts == 2 * PB_LAST_EVENTS) {
        b->lasts = PB_LAST_EVENTS;
    }
    b->seq = e->seq;
    if (e->kind != PB_EVENT_MARK) {
        b->noted = e->seq;
    }
    if (e->branches) {
        b->branches = e->branches;
    }
    if (b->v.tsc && pb_tsc_moves(e->kind)) {
        pb_tsc_event(b->v.tsc, e->time_ns);
    }
    publish_stats(b, e);
    pb_backup_release(b, 1 + pb_event_extra_slots(e));
}

/*
 * A progress mark tells how far to go while nothing else does.  A Backup that
 * is late, and may go on to what comes after the mark, need not stop there.
 */
static bool is_moot(PbBackup *b, const PbEvent *e, uint8_t *buf)
{
    const PbEvent *after = e->kind == PB_EVENT_MARK
                           ? pb_backup_peek(b, 1) : NULL;

    return after && lag_left(b, after) == 0 && !check(b, e, buf);
}

PbReplayEnd pb_backup_live(PbBackup *b, const PbEvent *slot, uint8_t *buf)
{
    PbEvent e = *slot;            /* copied, checked, then used */
    const char *bad = check(b, &e, buf);
    PbReplayEnd end;

    if (bad) {
        return pb_backup_diverge(b, &e, "a valid event", "%s", bad);
    }
    end = pb_backup_replay(b, &e, buf);
    if (end == PB_REPLAY_DONE) {
        consume(b, &e);
        if (e.kind == PB_EVENT_END) {
            pb_backup_set_status(b, PB_BACKUP_ENDED);
            end = PB_REPLAY_FAILED;
        }
    }
    return end;
}

PbReplayEnd pb_backup_take(PbBackup *b, uint8_t *buf)
{
    PbReplayEnd end = pb_backup_refill(b);
    const PbEvent *e = end == PB_REPLAY_DONE ? next_event(b, buf) : NULL;

    if (e && is_moot(b, e, buf)) {
        PbEvent mark = *e;

        consume(b, &mark);
    } else if (e) {
        end = pb_backup_live(b, e, buf);
    }
    return end;
}
