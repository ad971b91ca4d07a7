/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backup-thread.c: the Backup's life: wait for the lag, take the next event,
 * live through it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backup-internal.h"
#include "pb-crc.h"
#include "pb-vm.h"

/* With less than 1/8 of the ring free, the lag gives way to the Primary. */
#define RING_PRESSURE(slots) ((slots) - (slots) / 8)

/* Shortest wait for the lag: a wake-up costs more than some events. */
#define LAG_SLICE_NS 1000000

static int keep_cpuid(PbBackup *b, const struct kvm_cpuid2 *cpuid)
{
    size_t len = sizeof(*cpuid) + cpuid->nent * sizeof(cpuid->entries[0]);

    b->cpuid = malloc(len);
    if (!b->cpuid) {
        return -ENOMEM;
    }
    memcpy(b->cpuid, cpuid, len);
    return 0;
}

PbBackup *pb_backup_new(const PbBackupConfig *c, char *why, size_t len)
{
    PbBackup *b = calloc(1, sizeof(*b));
    const char *what = "no memory";
    pthread_condattr_t attr;
    int ret;

    if (!b) {
        snprintf(why, len, "%s", what);
        return NULL;
    }
    pthread_mutex_init(&b->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&b->changed, &attr);
    pthread_condattr_destroy(&attr);
    b->c = *c;
    b->start = *c->state;
    b->lag = c->lag;
    b->want_freeze = c->frozen;
    b->margin = c->counter == PB_COUNTER_STEP ? 0 : c->margin;
    b->digest = PB_DIGEST_START;
    b->heading = UINT64_MAX;
    if (c->at) {
        b->at = *c->at;
        b->branches = b->at.branches;
        b->seq = b->stats.events = b->at.seq;
        b->digest = b->at.digest;
        b->writes = b->at.writes;
        b->stats.time_ns = b->at.time_ns;
    }
    b->v.role = PB_BACKUP;
    b->v.mem = &b->mem;
    b->v.vm_fd = b->v.fd = -1;
    ret = keep_cpuid(b, c->cpuid);
    if (ret == 0) {
        ret = pb_mem_twin(&b->mem, c->primary_mem);
    }
    if (ret < 0) {
        what = "memory for its RAM";
    } else {
        ret = pb_vm_create(&b->v, c->kvm_fd, c->cpuid, &what);
    }
    if (ret < 0) {
        snprintf(why, len, "the Backup's VM cannot be made: %s: %s", what,
                 strerror(-ret));
        pb_backup_free(b);
        return NULL;
    }
    return b;
}

void pb_backup_free(PbBackup *b)
{
    if (b) {
        pb_vm_destroy(&b->v);
        pb_mem_destroy(&b->mem);
        free(b->cpuid);
        pthread_cond_destroy(&b->changed);
        pthread_mutex_destroy(&b->lock);
        free(b);
    }
}

void pb_backup_set_status(PbBackup *b, PbBackupStatus status)
{
    pthread_mutex_lock(&b->lock);
    b->status = status;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
}

/* ---- the thread ---- */

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
        from = pb_ring_peek_run(b->c.ring, i + 1, &run);
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

static void head_for(PbBackup *b, uint64_t time_ns)
{
    __atomic_store_n(&b->heading, time_ns, __ATOMIC_RELAXED);
}

/*
 * The next event that may be lived through now, or NULL: look again.  One
 * nap lets many events come due, and no lock is taken for those.
 */
static const PbEvent *next_event(PbBackup *b, uint8_t *buf)
{
    const PbEvent *e = pb_ring_peek(b->c.ring, 0);
    uint64_t left;

    if (!e) {
        head_for(b, UINT64_MAX);
        pb_ring_wait_events(b->c.ring, 1, PB_BACKUP_NAP_MS);
        return NULL;
    }
    left = lag_left(b, e);
    /* The time of a damaged event may be wrong, too: report it now. */
    if (!left || check(b, e, buf)) {
        head_for(b, e->time_ns);
        return e;
    }
    head_for(b, UINT64_MAX);
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
    b->stats.tsc_late = pb_tsc_late(&b->tsc);
}

static void consume(PbBackup *b, const PbEvent *e)
{
    b->last[b->lasts++ % PB_LAST_EVENTS] = *e;
    if (b->lasts == 2 * PB_LAST_EVENTS) {
        b->lasts = PB_LAST_EVENTS;
    }
    b->seq = e->seq;
    if (e->branches) {
        b->branches = e->branches;
    }
    if (b->v.tsc && pb_tsc_moves(e->kind)) {
        pb_tsc_event(b->v.tsc, e->time_ns);
    }
    publish_stats(b, e);
    pb_ring_release(b->c.ring, 1 + pb_event_extra_slots(e));
}

/*
 * A progress mark tells how far to go while nothing else does.  A Backup that
 * is late, and may go on to what comes after the mark, need not stop there.
 */
static bool is_moot(PbBackup *b, const PbEvent *e, uint8_t *buf)
{
    const PbEvent *after = e->kind == PB_EVENT_MARK
                           ? pb_ring_peek(b->c.ring, 1) : NULL;

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

/* Called locked. */
static void do_work(PbBackup *b)
{
    pthread_mutex_unlock(&b->lock);
    b->work(b, b->work_opaque);
    pthread_mutex_lock(&b->lock);
    b->work_done = true;
    b->work = NULL;
    pthread_cond_broadcast(&b->changed);
}

/* A walk, with @lock held at both ends. */
static PbReplayEnd walk(PbBackup *b, uint8_t *buf)
{
    PbReplayEnd end;
    int ret;

    pthread_mutex_unlock(&b->lock);
    end = pb_backup_go(b, buf);
    if (end != PB_REPLAY_FAILED) {
        end = pb_backup_settle(b);
    }
    pb_ring_flush(b->c.ring);
    ret = pb_vcpu_debug_off(&b->v);
    if (ret < 0 && end != PB_REPLAY_FAILED) {
        end = pb_backup_fail(b, "KVM_SET_GUEST_DEBUG", ret);
    }
    b->stats.branches = pb_counter_read(b->v.counter);
    pthread_mutex_lock(&b->lock);
    if (end == PB_REPLAY_FAILED) {
        b->stop.reason = PB_STOP_FAILED;
    } else {
        b->status = PB_BACKUP_FROZEN;
    }
    b->walking = false;
    pthread_cond_broadcast(&b->changed);
    if (b->c.stopped) {
        b->c.stopped(b->c.opaque);
    }
    return end;
}

static PbReplayEnd freeze_here(PbBackup *b, uint8_t *buf)
{
    PbReplayEnd end = pb_backup_settle(b);

    pb_ring_flush(b->c.ring);
    if (end == PB_REPLAY_FAILED) {
        return end;
    }
    b->stats.branches = pb_counter_read(b->v.counter);
    pthread_mutex_lock(&b->lock);
    b->status = PB_BACKUP_FROZEN;
    pthread_cond_broadcast(&b->changed);
    while ((b->want_freeze || b->work) && !b->quit &&
           end != PB_REPLAY_FAILED) {
        if (b->work) {
            do_work(b);
        } else if (b->walking) {
            end = walk(b, buf);
        } else {
            pthread_cond_wait(&b->changed, &b->lock);
        }
    }
    b->work = NULL;           /* whoever waits for it is told: not done */
    if (end != PB_REPLAY_FAILED) {
        b->status = PB_BACKUP_RUNNING;
    }
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
    return end;
}

static bool start_tsc(PbBackup *b)
{
    const char *what;
    int ret = pb_tsc_start(&b->tsc, b->v.fd, b->c.tsc, &b->at.tsc, &what);

    if (ret < 0) {
        pb_backup_fail(b, what, ret);
        return false;
    }
    b->v.tsc = &b->tsc;
    return true;
}

static bool start(PbBackup *b)
{
    char why[160];

    if (!pb_counter_new(&b->v, b->c.counter, b->c.uarch, why, sizeof(why))) {
        pb_backup_fail(b, why, 0);
        return false;
    }
    b->stats.rdpmc = pb_counter_uses_rdpmc(b->v.counter);
    if (pb_backup_put_state(b, &b->start, "setting the vCPU's first state") !=
        PB_REPLAY_DONE) {
        return false;
    }
    if (b->at.tsc.on && !start_tsc(b)) {
        return false;
    }
    pb_counter_set(b->v.counter, b->at.branches);
    b->stats.branches = b->at.branches;
    return pb_backup_stand(b, &b->at) == PB_REPLAY_DONE;
}

static void wait_for_quit(PbBackup *b)
{
    head_for(b, UINT64_MAX);
    pb_ring_flush(b->c.ring);
    __atomic_store_n(&b->over, true, __ATOMIC_RELEASE);
    pthread_mutex_lock(&b->lock);
    while (!b->quit) {
        pthread_cond_wait(&b->changed, &b->lock);
    }
    pthread_mutex_unlock(&b->lock);
}

void pb_backup_run(PbBackup *b)
{
    uint8_t *buf = malloc(PB_EVENT_MAX_PAYLOAD);
    PbReplayEnd end = PB_REPLAY_DONE;

    if (!buf) {
        pb_backup_fail(b, "no memory", 0);
    } else if (start(b)) {
        while (!b->quit && end != PB_REPLAY_FAILED) {
            const PbEvent *e;

            if (b->want_freeze) {
                head_for(b, UINT64_MAX);
                end = freeze_here(b, buf);
                continue;
            }
            end = pb_backup_refill(b);
            e = end == PB_REPLAY_DONE ? next_event(b, buf) : NULL;
            if (e && is_moot(b, e, buf)) {
                PbEvent mark = *e;

                consume(b, &mark);
            } else if (e) {
                end = pb_backup_live(b, e, buf);
            }
        }
    }
    wait_for_quit(b);
    if (b->v.tsc) {
        pb_tsc_stop(b->v.tsc);
    }
    if (b->v.counter) {
        pb_counter_free(b->v.counter);
        b->v.counter = NULL;
    }
    free(buf);
}
