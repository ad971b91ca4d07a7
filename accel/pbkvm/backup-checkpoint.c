/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backup-checkpoint.c: what a Backup needs to go back: its state of then, and
 * the events it has consumed since, which it reads first, then the ring.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backup-internal.h"
#include "pb-mem-log.h"

/* In a replay, a near moment is forgotten then: the file has it all. */
#define NEAR_SLOTS (1u << 20)

/* Device accesses that one instruction still has to make, at most. */
#define MOST_PARTS 65536

/* Of the memory that is free, what a copy of the RAM may not take. */
#define SPARE (64ull << 20)

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
    return b->cp && (b->cp->first.valid || b->cp->near.valid);
}

/* Nobody asks any more what is written to; if KVM logs on, it is but slower. */
static void stop_log(PbBackup *b)
{
    if (b->mem.blocks && b->mem.block[0].log) {
        pb_mem_log_free(&b->mem);
        pb_mem_log_tell(&b->mem, b->v.vm_fd);
    }
}

static void forget(PbBackup *b)
{
    stop_log(b);
    pb_checkpoint_free(b->cp);
    b->cp = NULL;
    b->cp_at = 0;
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
    return cp->first.valid || cp->used < NEAR_SLOTS;
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
    if (!keep || (!keeps(b) && !pb_backup_left(b))) {
        forget(b);
    }
}

/* ---- keeping ---- */

void pb_checkpoint_free(PbCheckpoint *cp)
{
    if (cp) {
        pb_mem_destroy(&cp->first.ram);
        pb_mem_destroy(&cp->near.ram);
        free(cp->slot);
        free(cp);
    }
}

/* Bytes of memory that are free, or can be freed, on this host. */
static uint64_t available(void)
{
    uint64_t kib = UINT64_MAX >> 10;
    FILE *f = fopen("/proc/meminfo", "re");
    char line[128];

    while (f && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "MemAvailable: %" SCNu64, &kib) == 1) {
            break;
        }
    }
    if (f) {
        fclose(f);
    }
    return kib << 10;
}

/* What was written since the last time, into the logs of all copies. */
static void collect(PbBackup *b)
{
    pb_mem_log_collect(&b->mem, b->v.vm_fd);
    pb_mem_log_add(&b->cp->first.ram, &b->mem);
    pb_mem_log_add(&b->cp->near.ram, &b->mem);
    pb_mem_log_clear(&b->mem);
}

static int start_log(PbBackup *b)
{
    int ret;

    if (b->mem.blocks && b->mem.block[0].log) {
        collect(b);
        return 0;
    }
    ret = pb_mem_log_new(&b->mem) ? pb_mem_log_tell(&b->mem, b->v.vm_fd)
                                  : -ENOMEM;
    if (ret < 0) {
        stop_log(b);
    }
    return ret;
}

static bool copy_ram(PbBackup *b, PbMem *ram, char *why, size_t len)
{
    uint64_t has = available(), needs = pb_mem_touched(&b->mem) + SPARE;
    int ret = start_log(b);

    if (ret < 0) {
        snprintf(why, len, "to log what its guest writes: %s", strerror(-ret));
        return false;
    }

    if (needs > has) {
        snprintf(why, len, "a copy of its RAM needs %" PRIu64 " MiB, %" PRIu64
                 " MiB are available", needs >> 20, has >> 20);
        return false;
    }
    ret = pb_mem_twin(ram, &b->mem);
    if (ret == 0 && !pb_mem_log_new(ram)) {
        pb_mem_destroy(ram);
        ret = -ENOMEM;
    }
    if (ret < 0) {
        snprintf(why, len, "a copy of its RAM: %s", strerror(-ret));
    }
    return ret == 0;
}

static void drop(PbMoment *m)
{
    if (m->valid) {
        m->valid = false;
        pb_mem_destroy(&m->ram);
    }
}

static void note(PbBackup *b, PbMoment *m, char *why, size_t len)
{
    drop(m);
    m->noted = b->noted;
    m->slot = b->cp_at;
    m->valid = pb_backup_where(b, &m->at, &m->state, why, len) &&
               copy_ram(b, &m->ram, why, len);
}

/* What is to be read of an earlier one stays so.  NULL: no memory. */
static PbCheckpoint *begin(PbBackup *b)
{
    PbCheckpoint *cp = b->cp ? b->cp : calloc(1, sizeof(*cp));

    b->cp = cp;
    if (cp && cp->used) {
        drop(&cp->near);
        cp->used -= b->cp_at;
        memmove(cp->slot, cp->slot + b->cp_at, cp->used * sizeof(PbEvent));
        b->cp_at = 0;
    }
    return cp;
}

static void keep_from_here(PbBackup *b, bool first, char *why, size_t len)
{
    PbCheckpoint *cp = b->cp;

    if (!cp || !cp->first.valid) {
        cp = begin(b);
    }
    if (cp) {
        note(b, first ? &cp->first : &cp->near, why, len);
    } else {
        snprintf(why, len, "no memory");
    }
    if (!keeps(b) && !pb_backup_left(b)) {
        forget(b);
    }
}

void pb_backup_keep_here(PbBackup *b)
{
    if (!b->detached && !(b->cp && b->cp->first.valid)) {
        b->cp_why[0] = '\0';
        keep_from_here(b, true, b->cp_why, sizeof(b->cp_why));
    }
}

static bool is_between(const PbMoment *m, uint64_t from, uint64_t to)
{
    return m->valid && m->at.seq >= from && m->at.seq < to;
}

void pb_backup_keep_near(PbBackup *b)
{
    uint64_t to = b->walk.place->event;
    uint64_t from = to > b->walk.keep ? to - b->walk.keep : 0;
    char why[sizeof(b->cp_why)];      /* if not, it takes longer */

    if (!b->detached && b->seq >= from && b->seq < to &&
        !(b->cp && (is_between(&b->cp->near, from, to) ||
                    is_between(&b->cp->first, from, to)))) {
        keep_from_here(b, false, why, sizeof(why));
    }
}

void pb_backup_keep_no_more(PbBackup *b)
{
    b->cp_why[0] = '\0';
    if (b->cp) {
        drop(&b->cp->first);
        drop(&b->cp->near);
        stop_log(b);
    }
    if (b->cp && !pb_backup_left(b)) {
        forget(b);
    }
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
    ok = b->status == PB_BACKUP_FROZEN && b->cp && b->cp->first.valid;
    if (ok && at) {
        *at = b->cp->first.at;
    } else if (!ok) {
        snprintf(why, len, "%s", b->status == PB_BACKUP_FROZEN
                                 ? b->cp_why : "it is not frozen");
    }
    pthread_mutex_unlock(&b->lock);
    return ok;
}

/* ---- back ---- */

/* The last before @to, or the first; NULL: there is none. */
static PbMoment *moment_before(PbBackup *b, const PbPlace *to)
{
    PbCheckpoint *cp = b->cp;

    if (cp && to && cp->near.valid && cp->near.at.seq < to->event) {
        return &cp->near;
    }
    return cp && cp->first.valid ? &cp->first : NULL;
}

/*
 * What KVM still has to finish of an exit it finishes with any answer: all of
 * it is undone.
 */
static int abandon_exit(PbBackup *b)
{
    unsigned i;
    int ret = 1;

    for (i = 0; ret == 1 && i < MOST_PARTS; i++) {
        ret = pb_vcpu_complete(&b->v);
    }
    b->v.io_pending = false;
    return ret == 1 ? -ELOOP : ret;
}

/* None, so that KVM knows nothing of what was in the guest's page tables. */
static int take_slots(PbBackup *b)
{
    static const PbSlotChange gone;
    unsigned i;
    int ret = 0;

    for (i = 0; i < PB_MEM_MAX_SLOTS && ret == 0; i++) {
        ret = pb_mem_apply_slot(&b->mem, b->v.vm_fd, i, &gone);
    }
    return ret;
}

static int put_slots(PbBackup *b, const PbMem *then)
{
    unsigned i;
    int ret = 0;

    for (i = 0; i < PB_MEM_MAX_SLOTS && ret == 0; i++) {
        ret = pb_mem_apply_slot(&b->mem, b->v.vm_fd, i, &then->slot[i]);
    }
    return ret;
}

/* RAM and where it is seen are what they were at @m. */
static int put_ram(PbBackup *b, PbMoment *m)
{
    PbCheckpoint *cp = b->cp;
    PbMoment *other = m == &cp->first ? &cp->near : &cp->first;
    int ret = take_slots(b);

    if (ret < 0) {
        return ret;
    }
    collect(b);
    pb_mem_log_add(&other->ram, &m->ram);
    pb_mem_restore(&b->mem, &m->ram);
    return put_slots(b, &m->ram);
}

PbReplayEnd pb_backup_go_back(PbBackup *b)
{
    PbMoment *m = moment_before(b, b->walk.place);
    int ret;

    if (!m) {
        return PB_REPLAY_STOPPED;
    }
    ret = abandon_exit(b);
    if (ret < 0) {
        return pb_backup_fail(b, "abandoning an exit", ret);
    }
    ret = put_ram(b, m);
    if (ret < 0) {
        return pb_backup_fail(b, "KVM_SET_USER_MEMORY_REGION", ret);
    }
    b->start = m->state;
    b->cp_at = m->slot;
    pb_backup_begin_at(b, &m->at);
    b->noted = m->noted;
    b->stop.reason = PB_STOP_REACHED;
    return pb_backup_begin(b);
}

bool pb_backup_back(PbBackup *b, const PbPlace *to)
{
    PbWalk w = { .place = to, .back = true };
    PbStop stop;

    return pb_backup_walk(b, &w) && pb_backup_await(b, &stop, -1) &&
           stop.reason == PB_STOP_REACHED;
}
