/* SPDX-License-Identifier: GPL-2.0-or-later */
/* backup-steer.c: freeze, thaw, lag, verify: what others ask of the Backup. */
#include <errno.h>

#include "backup-internal.h"

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

PbBackupStatus pb_backup_status(const PbBackup *b)
{
    return __atomic_load_n(&b->status, __ATOMIC_ACQUIRE);
}

bool pb_backup_is_over(const PbBackup *b)
{
    return __atomic_load_n(&b->over, __ATOMIC_ACQUIRE);
}

const PbDivergence *pb_backup_divergence(const PbBackup *b)
{
    return &b->divergence;
}

bool pb_backup_wanted(PbBackup *b)
{
    return __atomic_load_n(b->walking ? &b->halt : &b->want_freeze,
                           __ATOMIC_ACQUIRE) ||
           __atomic_load_n(&b->quit, __ATOMIC_ACQUIRE);
}

uint64_t pb_backup_clock(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

struct timespec pb_backup_after(int64_t ns)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ns / 1000000000;
    t.tv_nsec += ns % 1000000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_nsec -= 1000000000;
        t.tv_sec++;
    }
    return t;
}

void pb_backup_nap(PbBackup *b, uint64_t ns)
{
    uint64_t most = PB_BACKUP_NAP_MS * 1000000ull;
    struct timespec t = pb_backup_after(ns < most ? ns : most);

    pthread_cond_timedwait(&b->changed, &b->lock, &t);
}

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

void pb_backup_freeze_soon(PbBackup *b)
{
    pthread_mutex_lock(&b->lock);
    if (b->status == PB_BACKUP_RUNNING) {
        __atomic_store_n(&b->want_freeze, true, __ATOMIC_RELEASE);
        pthread_cond_broadcast(&b->changed);
        pb_backup_poke(b);
        pb_ring_wake(b->c.ring);
    }
    pthread_mutex_unlock(&b->lock);
}

/* Somebody has asked: wait until it stands. */
static bool frozen(PbBackup *b)
{
    bool ok;

    pthread_mutex_lock(&b->lock);
    while (b->want_freeze && b->status == PB_BACKUP_RUNNING) {
        pthread_cond_wait(&b->changed, &b->lock);
    }
    ok = b->status == PB_BACKUP_FROZEN;
    pthread_mutex_unlock(&b->lock);
    return ok;
}

bool pb_backup_freeze(PbBackup *b)
{
    if (pb_backup_status(b) != PB_BACKUP_RUNNING) {
        return false;
    }
    pb_backup_halt(b);
    pb_backup_freeze_soon(b);
    return frozen(b);
}

bool pb_backup_await_start(PbBackup *b)
{
    return frozen(b);
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

bool pb_backup_do(PbBackup *b, void (*work)(PbBackup *b, void *opaque),
                  void *opaque)
{
    bool ok;

    pthread_mutex_lock(&b->lock);
    ok = b->status == PB_BACKUP_FROZEN && !b->work && !b->quit;
    if (ok) {
        b->work_opaque = opaque;
        b->work_done = false;
        b->work = work;
        pthread_cond_broadcast(&b->changed);
        while (b->work) {
            pthread_cond_wait(&b->changed, &b->lock);
        }
        ok = b->work_done;
    }
    pthread_mutex_unlock(&b->lock);
    return ok;
}

void pb_backup_set_lag(PbBackup *b, const PbLag *lag)
{
    pthread_mutex_lock(&b->lock);
    __atomic_store_n(&b->lag.ns, lag->ns, __ATOMIC_RELAXED);
    __atomic_store_n(&b->lag.events, lag->events, __ATOMIC_RELAXED);
    __atomic_store_n(&b->lag.branches, lag->branches, __ATOMIC_RELAXED);
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
}

void pb_backup_stats(const PbBackup *b, PbBackupStats *s)
{
    *s = b->stats;
    s->margin = b->margin;
    s->lag = b->lag;
    s->tsc_late = pb_tsc_late(&b->tsc);
    s->tsc_late_at = pb_tsc_late_at(&b->tsc, UINT64_MAX);
}

/* ---- verify ---- */

/*
 * The event is published before its verifier can wait for it, so the Backup
 * may be here first.  The Primary stands still for a verify: once there is a
 * further event, whoever asked has given up; and nobody waits for a Backup
 * that walks.  0: somebody waits; -ENOENT: nobody will; -EAGAIN: the thread
 * is wanted elsewhere.
 */
static int wait_for_verifier(PbBackup *b)
{
    int ret = 0;

    pthread_mutex_lock(&b->lock);
    while (!b->verify_state && ret == 0) {
        if (b->c.spill) {
            pb_spill_refill(b->c.spill);  /* fails again at the next event */
        }
        if (pb_backup_wanted(b)) {
            ret = -EAGAIN;
        } else if (b->walking || pb_backup_peek(b, 1)) {
            ret = -ENOENT;
        } else {
            pb_backup_nap(b, PB_BACKUP_NAP_MS * 1000000ull);
        }
    }
    pthread_mutex_unlock(&b->lock);
    return ret;
}

PbReplayEnd pb_backup_compare(PbBackup *b, const PbEvent *e)
{
    PbVerify v = { .event = e->seq, .at = pb_position_of(e) };
    PbState mine[PB_MAX_CPUS];
    unsigned i;
    int ret;

    switch (wait_for_verifier(b)) {
    case -EAGAIN:
        return PB_REPLAY_STOPPED;
    case -ENOENT:
        return PB_REPLAY_DONE;
    }
    ret = pb_cpus_get_state(&b->cpus, mine);
    if (ret < 0) {
        return pb_backup_fail(b, "reading the vCPU's state", ret);
    }
    pthread_mutex_lock(&b->lock);
    if (b->verify_state) {
        for (v.equal = true, i = 0; v.equal && i < b->cpus.n; i++) {
            v.cpu = i;
            v.equal = pb_state_equal(&b->verify_state[i], &mine[i], v.what,
                                     sizeof(v.what));
        }
        pb_mem_compare(b->c.primary_mem, &b->mem, &v.mem);
        v.equal &= v.mem.differences == v.mem.accessed_bits;
        *b->verify_result = v;
        __atomic_store_n(&b->verify_state, NULL, __ATOMIC_RELAXED);
        b->verify_done = true;
        pthread_cond_broadcast(&b->changed);
    }
    pthread_mutex_unlock(&b->lock);
    return PB_REPLAY_DONE;
}

int pb_backup_verify(PbBackup *b, const PbState *primary, PbVerify *result,
                     int timeout_ms)
{
    struct timespec until = pb_backup_after(timeout_ms * 1000000ll);
    int ret = 0;

    pthread_mutex_lock(&b->lock);
    __atomic_store_n(&b->verify_state, primary, __ATOMIC_RELEASE);
    b->verify_result = result;
    b->verify_done = false;
    pthread_cond_broadcast(&b->changed);
    while (!b->verify_done && b->status == PB_BACKUP_RUNNING && ret == 0) {
        ret = -pthread_cond_timedwait(&b->changed, &b->lock, &until);
    }
    __atomic_store_n(&b->verify_state, NULL, __ATOMIC_RELAXED);
    if (b->verify_done) {
        ret = 0;
    } else if (ret == 0) {
        ret = -EINVAL;
    }
    pthread_mutex_unlock(&b->lock);
    return ret;
}
