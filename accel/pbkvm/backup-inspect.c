/* SPDX-License-Identifier: GPL-2.0-or-later */
/* backup-inspect.c: a frozen Backup is walked, looked at and changed. */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "backup-internal.h"
#include "pb-mem-log.h"

static const char *const stop_names[] = {
    [PB_STOP_NONE] = "none",
    [PB_STOP_ASKED] = "asked",
    [PB_STOP_STEPPED] = "stepped",
    [PB_STOP_REACHED] = "reached",
    [PB_STOP_PAST] = "past",
    [PB_STOP_BREAK] = "breakpoint",
    [PB_STOP_WATCH] = "watchpoint",
    [PB_STOP_PANIC] = "panic",
    [PB_STOP_HISTORY] = "end-of-history",
    [PB_STOP_CANNOT] = "cannot-step",
    [PB_STOP_FAILED] = "failed",
};

const char *pb_stop_reason_name(PbStopReason r)
{
    return stop_names[r];
}

bool pb_backup_walk(PbBackup *b, const PbWalk *w)
{
    bool ok;

    pthread_mutex_lock(&b->lock);
    ok = b->status == PB_BACKUP_FROZEN && b->want_freeze;
    if (ok) {
        b->walk = *w;
        b->stop = (PbStop) { .reason = PB_STOP_NONE };
        b->halt = false;
        b->walking = true;
        b->status = PB_BACKUP_RUNNING;
        pthread_cond_broadcast(&b->changed);
    }
    pthread_mutex_unlock(&b->lock);
    return ok;
}

bool pb_backup_walks(PbBackup *b)
{
    bool walks;

    pthread_mutex_lock(&b->lock);
    walks = b->walking;
    pthread_mutex_unlock(&b->lock);
    return walks;
}

void pb_backup_halt(PbBackup *b)
{
    pthread_mutex_lock(&b->lock);
    if (b->walking) {
        __atomic_store_n(&b->halt, true, __ATOMIC_RELEASE);
        pb_backup_poke(b);
        pb_ring_wake(b->c.ring);
    }
    pthread_mutex_unlock(&b->lock);
}

static bool wait_until(PbBackup *b, int timeout_ms)
{
    struct timespec until = pb_backup_after(timeout_ms * 1000000ll);
    int ret = 0;

    while (b->walking && ret == 0) {
        ret = timeout_ms < 0
            ? pthread_cond_wait(&b->changed, &b->lock)
            : pthread_cond_timedwait(&b->changed, &b->lock, &until);
    }
    return !b->walking;
}

bool pb_backup_await(PbBackup *b, PbStop *stop, int timeout_ms)
{
    bool ok;

    pthread_mutex_lock(&b->lock);
    ok = wait_until(b, timeout_ms);
    if (ok && stop) {
        *stop = b->stop;
    }
    pthread_mutex_unlock(&b->lock);
    return ok;
}

bool pb_backup_is_at(PbBackup *b, uint64_t seq)
{
    bool is;

    pthread_mutex_lock(&b->lock);
    is = b->status == PB_BACKUP_FROZEN && b->seq == seq &&
         !pb_backup_exits_since(b);
    pthread_mutex_unlock(&b->lock);
    return is;
}

unsigned pb_backup_cpu(const PbBackup *b)
{
    return b->cpus.now;
}

int pb_backup_get_state(PbBackup *b, unsigned cpu, PbState *s)
{
    int ret = -EBUSY;

    pthread_mutex_lock(&b->lock);
    if (b->status != PB_BACKUP_RUNNING) {
        ret = pb_state_get(pb_cpus_at(&b->cpus, cpu), s);
    }
    pthread_mutex_unlock(&b->lock);
    return ret;
}

int pb_backup_set_regs(PbBackup *b, unsigned cpu, const struct kvm_regs *regs)
{
    int ret = -EBUSY;

    pthread_mutex_lock(&b->lock);
    if (b->status != PB_BACKUP_RUNNING) {
        ret = pb_vcpu_set_regs(pb_cpus_at(&b->cpus, cpu), regs);
        b->detached |= ret == 0;
    }
    pthread_mutex_unlock(&b->lock);
    return ret;
}

void pb_backup_detach(PbBackup *b)
{
    __atomic_store_n(&b->detached, true, __ATOMIC_RELAXED);
}

bool pb_backup_detached(const PbBackup *b)
{
    return __atomic_load_n(&b->detached, __ATOMIC_RELAXED);
}

bool pb_backup_write(PbBackup *b, uint64_t gpa, const void *data, unsigned len)
{
    void *at = pb_mem_at(&b->mem, gpa, len);

    if (at) {
        memcpy(at, data, len);
        pb_mem_log_write(&b->mem, at, len);
    }
    return at;
}

const PbMem *pb_backup_mem(const PbBackup *b)
{
    return &b->mem;
}

int pb_backup_open_stats(PbBackup *b, unsigned cpu)
{
    return ioctl(pb_cpus_at(&b->cpus, cpu)->fd, KVM_GET_STATS_FD, 0);
}
