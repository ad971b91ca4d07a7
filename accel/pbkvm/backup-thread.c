/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backup-thread.c: the Backup's life, from its VM and its thread to their end.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backup-internal.h"
#include "pb-vm.h"

void pb_backup_begin_at(PbBackup *b, const PbBackupStart *at)
{
    b->at = *at;
    b->branches = at->branches;
    b->seq = b->noted = b->stats.events = at->seq;
    b->digest = at->digest;
    b->writes = at->writes;
    b->stats.time_ns = at->time_ns;
    b->asking = false;
    b->partials = b->lasts = 0;
    b->pass_begun = 0;
    b->idle = (PbIdle) { .since = 0 };
    __atomic_store_n(&b->detached, false, __ATOMIC_RELAXED);
}

static int copy_cpuid(PbBackup *b)
{
    unsigned i;

    for (i = 0; i < b->cpus.n; i++) {
        b->cpuid[i] = pb_vm_copy_cpuid(b->c.cpuid[i]);
        if (!b->cpuid[i]) {
            return -ENOMEM;
        }
    }
    return 0;
}

/* Its RAM and its VM; pb_backup_free() undoes what was done. */
static int make_machine(PbBackup *b, const char **what)
{
    int ret = copy_cpuid(b);
    unsigned i;

    *what = "memory for its RAM";
    if (ret == 0) {
        ret = pb_mem_twin(&b->mem, b->c.primary_mem);
    }
    if (ret == 0) {
        ret = pb_vm_create(&b->v, b->c.kvm_fd, b->cpuid[0], what);
    }
    for (i = 1; ret == 0 && i < b->cpus.n; i++) {
        ret = pb_vm_add_vcpu(&b->cpus.rest[i], &b->v, i, b->c.kvm_fd,
                             b->cpuid[i], what);
    }
    return ret;
}

PbBackup *pb_backup_new(const PbBackupConfig *c, char *why, size_t len)
{
    PbBackup *b = calloc(1, sizeof(*b));
    const char *what = "no memory";
    pthread_condattr_t attr;
    unsigned i;
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
    memcpy(b->start, c->state, c->cpus * sizeof(*c->state));
    b->lag = c->lag;
    b->want_freeze = c->frozen;
    b->margin = c->counter == PB_COUNTER_STEP ? 0 : c->margin;
    b->digest = PB_DIGEST_START;
    if (c->at) {
        pb_backup_begin_at(b, c->at);
    }
    b->v.role = PB_BACKUP;
    b->v.mem = &b->mem;
    b->v.vm_fd = b->v.fd = -1;
    b->cpus = (PbCpus) { .n = c->cpus, .v = &b->v };
    for (i = 0; i < b->cpus.n; i++) {
        b->cpus.rest[i].fd = -1;
    }
    ret = make_machine(b, &what);
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
    unsigned i;

    if (b) {
        pb_checkpoint_free(b);
        pb_cpus_select(&b->cpus, 0);
        for (i = 1; i < b->cpus.n; i++) {
            pb_vm_remove_vcpu(&b->cpus.rest[i]);
        }
        pb_vm_destroy(&b->v);
        pb_mem_destroy(&b->mem);
        for (i = 0; i < b->cpus.n; i++) {
            free(b->cpuid[i]);
        }
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
    if (b->c.keeps && !b->walk.back) {
        pb_backup_keep_here(b);
    }
    end = b->walk.back ? pb_backup_go_back(b) : pb_backup_go(b, buf);
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
    if (b->c.stopped && !b->walk.back) {
        b->c.stopped(b->c.opaque);
    }
    return end;
}

static PbReplayEnd freeze_here(PbBackup *b, uint8_t *buf)
{
    PbReplayEnd end;

    pb_backup_head_for(b, UINT64_MAX);
    end = pb_backup_settle(b);
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
        pb_backup_keep_no_more(b);
        b->status = PB_BACKUP_RUNNING;
    }
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
    return end;
}

static bool start_tsc(PbBackup *b)
{
    const char *what;
    int ret;

    if (b->v.tsc) {
        pb_tsc_stop(b->v.tsc);
        b->v.tsc = NULL;
    }
    if (!b->at.tsc.on) {
        return true;
    }
    ret = pb_cpus_start_tsc(&b->cpus, &b->tsc, b->c.tsc, &b->at.tsc, &what);
    if (ret < 0) {
        pb_backup_fail(b, what, ret);
        return false;
    }
    return true;
}

PbReplayEnd pb_backup_begin(PbBackup *b)
{
    unsigned i;

    pb_cpus_select(&b->cpus, b->at.cpu);
    for (i = 0; i < b->cpus.n; i++) {
        if (pb_backup_put_state(b, i, &b->start[i],
                                "setting the vCPU's first state") !=
            PB_REPLAY_DONE) {
            return PB_REPLAY_FAILED;
        }
    }
    if (!start_tsc(b)) {
        return PB_REPLAY_FAILED;
    }
    pb_counter_set(b->v.counter, b->at.branches);
    b->stats.branches = b->at.branches;
    return pb_backup_stand(b, &b->at);
}

static bool start(PbBackup *b)
{
    char why[160];

    if (!pb_counter_new(&b->v, b->c.counter, b->c.uarch, why, sizeof(why))) {
        pb_backup_fail(b, why, 0);
        return false;
    }
    b->stats.rdpmc = pb_counter_uses_rdpmc(b->v.counter);
    return pb_backup_begin(b) == PB_REPLAY_DONE;
}

static void wait_for_quit(PbBackup *b)
{
    pb_backup_head_for(b, UINT64_MAX);
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
            end = b->want_freeze ? freeze_here(b, buf)
                                 : pb_backup_take(b, buf);
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
