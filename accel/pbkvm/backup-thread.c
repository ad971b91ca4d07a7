/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backup-thread.c: the Backup's life: wait for the lag, take the next event,
 * live through it; freeze, thaw and verify on request.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backup-internal.h"
#include "pb-vm.h"

/* Longest sleep without looking again, in ms. */
#define NAP_MS 10

/* With less than 1/8 of the ring free, the lag gives way to the Primary. */
#define RING_PRESSURE(slots) ((slots) - (slots) / 8)

static const char *const status_names[] = {
    [PB_BACKUP_RUNNING] = "running",
    [PB_BACKUP_FROZEN] = "frozen",
    [PB_BACKUP_DIVERGED] = "diverged",
    [PB_BACKUP_FAILED] = "failed",
    [PB_BACKUP_ENDED] = "ended",
};

const char *pb_backup_status_name(PbBackupStatus s)
{
    return status_names[s];
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
    b->lag_ns = c->lag_ns;
    b->margin = c->counter == PB_COUNTER_STEP ? 0 : c->margin;
    b->digest = PB_DIGEST_START;
    b->v.role = PB_BACKUP;
    b->v.mem = &b->mem;
    b->v.vm_fd = b->v.fd = -1;
    ret = pb_mem_twin(&b->mem, c->primary_mem);
    if (ret < 0) {
        what = "memory for the Backup's RAM";
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
        pthread_cond_destroy(&b->changed);
        pthread_mutex_destroy(&b->lock);
        free(b);
    }
}

static void set_status(PbBackup *b, PbBackupStatus status)
{
    pthread_mutex_lock(&b->lock);
    b->status = status;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
}

PbBackupStatus pb_backup_status(const PbBackup *b)
{
    return __atomic_load_n(&b->status, __ATOMIC_ACQUIRE);
}

const PbDivergence *pb_backup_divergence(const PbBackup *b)
{
    return &b->divergence;
}

bool pb_backup_wanted(PbBackup *b)
{
    return __atomic_load_n(&b->want_freeze, __ATOMIC_ACQUIRE) ||
           __atomic_load_n(&b->quit, __ATOMIC_ACQUIRE);
}

static void keep_last_events(PbBackup *b)
{
    PbDivergence *d = &b->divergence;
    unsigned first = b->lasts > PB_LAST_EVENTS ? b->lasts - PB_LAST_EVENTS
                                               : 0;
    unsigned i;

    for (i = first; i < b->lasts; i++) {
        d->last[d->lasts++] = b->last[i % PB_LAST_EVENTS];
    }
}

static PbReplayEnd report(PbBackup *b, PbBackupStatus status)
{
    /* Best effort: a failed vCPU may not tell. */
    pb_position_take(&b->v, &b->divergence.at);
    pb_vcpu_debug_off(&b->v);
    keep_last_events(b);
    set_status(b, status);
    if (b->c.diverged) {
        b->c.diverged(b->c.opaque);
    }
    return PB_REPLAY_FAILED;
}

PbReplayEnd pb_backup_diverge(PbBackup *b, const PbEvent *e,
                              const char *expected, const char *fmt, ...)
{
    PbDivergence *d = &b->divergence;
    va_list ap;

    d->event = *e;
    snprintf(d->expected, sizeof(d->expected), "%s", expected);
    va_start(ap, fmt);
    vsnprintf(d->got, sizeof(d->got), fmt, ap);
    va_end(ap);
    return report(b, PB_BACKUP_DIVERGED);
}

PbReplayEnd pb_backup_fail(PbBackup *b, const char *what, int err)
{
    PbDivergence *d = &b->divergence;

    d->event.seq = b->seq + 1;
    snprintf(d->expected, sizeof(d->expected), "the Backup to go on");
    snprintf(d->got, sizeof(d->got), "%s%s%s", what, err ? ": " : "",
             err ? strerror(-err) : "");
    return report(b, PB_BACKUP_FAILED);
}

/* ---- the thread ---- */

/* Sleep until something is changed, or NAP_MS, or @ns. Called locked. */
static void nap(PbBackup *b, uint64_t ns)
{
    struct timespec t;

    if (ns > NAP_MS * 1000000ull) {
        ns = NAP_MS * 1000000ull;
    }
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += ns;
    if (t.tv_nsec >= 1000000000) {
        t.tv_nsec -= 1000000000;
        t.tv_sec++;
    }
    pthread_cond_timedwait(&b->changed, &b->lock, &t);
}

/* How long the next event must still wait for the lag; 0: now. */
static uint64_t lag_left(PbBackup *b, const PbEvent *e)
{
    uint64_t now;

    if (b->verify_state ||
        pb_ring_used(b->c.ring) > RING_PRESSURE(pb_ring_slots(b->c.ring))) {
        return 0;
    }
    now = b->c.now(b->c.opaque);
    return now >= e->time_ns + b->lag_ns ? 0 : e->time_ns + b->lag_ns - now;
}

/* The next event that may be lived through now, or NULL: look again. */
static const PbEvent *next_event(PbBackup *b)
{
    const PbEvent *e = pb_ring_peek(b->c.ring, 0);
    uint64_t left;

    if (!e) {
        pb_ring_wait_events(b->c.ring, 1, NAP_MS);
        return NULL;
    }
    pthread_mutex_lock(&b->lock);
    left = lag_left(b, e);
    if (left && !b->want_freeze && !b->quit) {
        nap(b, left);
    }
    pthread_mutex_unlock(&b->lock);
    return left ? NULL : e;
}

static void freeze_here(PbBackup *b)
{
    pthread_mutex_lock(&b->lock);
    b->status = PB_BACKUP_FROZEN;
    pthread_cond_broadcast(&b->changed);
    while (b->want_freeze && !b->quit) {
        pthread_cond_wait(&b->changed, &b->lock);
    }
    b->status = PB_BACKUP_RUNNING;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
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
    publish_stats(b, e);
    pb_ring_release(b->c.ring, 1 + pb_event_extra_slots(e));
}

/* The payload of the first event, gathered from the slots after it. */
static const void *gather(PbBackup *b, const PbEvent *e,
                          uint8_t buf[PB_EVENT_MAX_PAYLOAD])
{
    uint32_t i, slots = pb_event_extra_slots(e);

    for (i = 0; i < slots; i++) {
        memcpy(buf + i * PB_EVENT_SIZE, pb_ring_peek(b->c.ring, i + 1),
               PB_EVENT_SIZE);
    }
    return buf;
}

static PbReplayEnd live_one(PbBackup *b, const PbEvent *slot, uint8_t *buf)
{
    PbEvent e = *slot;            /* copied, checked, then used */
    const char *bad = pb_event_check(&e, b->seq);
    PbReplayEnd end;

    if (bad) {
        return pb_backup_diverge(b, &e, "a valid event", "%s", bad);
    }
    end = pb_backup_replay(b, &e, gather(b, &e, buf));
    if (end == PB_REPLAY_DONE) {
        consume(b, &e);
        if (e.kind == PB_EVENT_END) {
            set_status(b, PB_BACKUP_ENDED);
            end = PB_REPLAY_FAILED;
        }
    }
    return end;
}

static bool start(PbBackup *b)
{
    char why[160];
    int ret;

    if (!pb_counter_new(&b->v, b->c.counter, b->c.uarch, why, sizeof(why))) {
        pb_backup_fail(b, why, 0);
        return false;
    }
    b->stats.rdpmc = pb_counter_uses_rdpmc(b->v.counter);
    ret = pb_state_put(&b->v, &b->start);
    if (ret < 0) {
        pb_backup_fail(b, "setting the vCPU's first state", ret);
        return false;
    }
    return true;
}

static void wait_for_quit(PbBackup *b)
{
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
                freeze_here(b);
                continue;
            }
            e = next_event(b);
            if (e) {
                end = live_one(b, e, buf);
            }
        }
    }
    wait_for_quit(b);
    if (b->v.counter) {
        pb_counter_free(b->v.counter);
        b->v.counter = NULL;
    }
    free(buf);
}

/* ---- steering, any thread ---- */

void pb_backup_poke(PbBackup *b)
{
    PbCounter *c = __atomic_load_n(&b->v.counter, __ATOMIC_ACQUIRE);

    if (c) {
        pb_counter_kick(c);
    }
}

void pb_backup_quit(PbBackup *b)
{
    pthread_mutex_lock(&b->lock);
    __atomic_store_n(&b->quit, true, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&b->changed);
    pb_backup_poke(b);
    pthread_mutex_unlock(&b->lock);
    pb_ring_wake(b->c.ring);
}

bool pb_backup_freeze(PbBackup *b)
{
    bool ok;

    pthread_mutex_lock(&b->lock);
    ok = b->status == PB_BACKUP_RUNNING && !b->want_freeze;
    if (ok) {
        __atomic_store_n(&b->want_freeze, true, __ATOMIC_RELEASE);
        pthread_cond_broadcast(&b->changed);
        pb_backup_poke(b);
        pb_ring_wake(b->c.ring);
        while (b->status == PB_BACKUP_RUNNING) {
            pthread_cond_wait(&b->changed, &b->lock);
        }
        ok = b->status == PB_BACKUP_FROZEN;
    }
    pthread_mutex_unlock(&b->lock);
    return ok;
}

bool pb_backup_thaw(PbBackup *b)
{
    bool ok;

    pthread_mutex_lock(&b->lock);
    ok = b->status == PB_BACKUP_FROZEN;
    if (ok) {
        __atomic_store_n(&b->want_freeze, false, __ATOMIC_RELEASE);
        pthread_cond_broadcast(&b->changed);
        while (b->status == PB_BACKUP_FROZEN) {
            pthread_cond_wait(&b->changed, &b->lock);
        }
    }
    pthread_mutex_unlock(&b->lock);
    return ok;
}

void pb_backup_set_lag(PbBackup *b, uint64_t lag_ns)
{
    pthread_mutex_lock(&b->lock);
    b->lag_ns = lag_ns;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
}

void pb_backup_stats(const PbBackup *b, PbBackupStats *s)
{
    *s = b->stats;
    s->margin = b->margin;
    s->lag_ns = b->lag_ns;
}

/* ---- verify ---- */

/*
 * The event is published before its verifier can wait for it, so the Backup
 * may be here first.  The Primary stands still for a verify: once there is a
 * further event, whoever asked has given up.  0: somebody waits; -ENOENT:
 * nobody will; -EAGAIN: the thread is wanted elsewhere.
 */
static int wait_for_verifier(PbBackup *b)
{
    int ret = 0;

    pthread_mutex_lock(&b->lock);
    while (!b->verify_state && ret == 0) {
        if (b->want_freeze || b->quit) {
            ret = -EAGAIN;
        } else if (pb_ring_peek(b->c.ring, 1)) {
            ret = -ENOENT;
        } else {
            nap(b, NAP_MS * 1000000ull);
        }
    }
    pthread_mutex_unlock(&b->lock);
    return ret;
}

PbReplayEnd pb_backup_compare(PbBackup *b, const PbEvent *e)
{
    PbVerify v = { .event = e->seq, .at = pb_position_of(e) };
    PbState mine;
    int ret;

    switch (wait_for_verifier(b)) {
    case -EAGAIN:
        return PB_REPLAY_STOPPED;
    case -ENOENT:
        return PB_REPLAY_DONE;
    }
    ret = pb_state_get(&b->v, &mine);
    if (ret < 0) {
        return pb_backup_fail(b, "reading the vCPU's state", ret);
    }
    pthread_mutex_lock(&b->lock);
    if (b->verify_state) {
        v.equal = pb_state_equal(b->verify_state, &mine, v.what,
                                 sizeof(v.what));
        pb_mem_compare(b->c.primary_mem, &b->mem, &v.mem);
        v.equal &= v.mem.differences == v.mem.accessed_bits;
        *b->verify_result = v;
        b->verify_state = NULL;
        b->verify_done = true;
        pthread_cond_broadcast(&b->changed);
    }
    pthread_mutex_unlock(&b->lock);
    return PB_REPLAY_DONE;
}

int pb_backup_verify(PbBackup *b, const PbState *primary, PbVerify *result,
                     int timeout_ms)
{
    struct timespec until;
    int ret = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (timeout_ms % 1000) * 1000000l;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&b->lock);
    b->verify_state = primary;
    b->verify_result = result;
    b->verify_done = false;
    pthread_cond_broadcast(&b->changed);
    while (!b->verify_done && b->status == PB_BACKUP_RUNNING && ret == 0) {
        ret = -pthread_cond_timedwait(&b->changed, &b->lock, &until);
    }
    b->verify_state = NULL;
    if (b->verify_done) {
        ret = 0;
    } else if (ret == 0) {
        ret = -EINVAL;
    }
    pthread_mutex_unlock(&b->lock);
    return ret;
}
