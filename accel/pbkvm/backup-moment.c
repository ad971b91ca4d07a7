/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backup-moment.c: moments that a Backup can go back to: its state of then,
 * and its RAM.  The first has a copy of all RAM; the others have those pages
 * that have changed since.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "backup-internal.h"
#include "pb-mem-log.h"

/* Device accesses that one instruction still has to make, at most. */
#define MOST_PARTS 65536

/* Of the memory that is free, what a copy of the RAM may not take. */
#define SPARE (64ull << 20)

/* ---- what is written to ---- */

static bool logs(const PbBackup *b)
{
    return b->mem.blocks && b->mem.block[0].log;
}

/* If KVM logs on, it is but slower. */
static void stop_log(PbBackup *b)
{
    if (logs(b)) {
        pb_mem_log_free(&b->mem);
        pb_mem_log_tell(&b->mem, b->v.vm_fd);
    }
}

/* What was written since the last time, into the logs of all copies. */
static void collect(PbBackup *b)
{
    unsigned i;

    pb_mem_log_collect(&b->mem, b->v.vm_fd);
    for (i = 0; i < PB_MOMENTS; i++) {
        pb_mem_log_add(&b->cp->moment[i].ram, &b->mem);
    }
    pb_mem_log_clear(&b->mem);
}

static int start_log(PbBackup *b)
{
    int ret;

    if (logs(b)) {
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

/* ---- a moment is noted ---- */

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

static int copy_all(PbMem *ram, const PbMem *m)
{
    int ret = pb_mem_twin(ram, m);

    if (ret == 0 && !pb_mem_log_new(ram)) {
        pb_mem_destroy(ram);
        ret = -ENOMEM;
    }
    return ret;
}

static bool copy_ram(PbBackup *b, PbMoment *m, char *why, size_t len)
{
    const PbMem *whole = &b->cp->moment[PB_MOMENT_FIRST].ram;
    bool all = m == &b->cp->moment[PB_MOMENT_FIRST];
    uint64_t has = available(), needs;
    int ret = start_log(b);

    if (ret < 0) {
        snprintf(why, len, "to log what its guest writes: %s", strerror(-ret));
        return false;
    }
    needs = (all ? pb_mem_touched(&b->mem) : pb_mem_logged(whole)) + SPARE;
    if (needs > has) {
        snprintf(why, len, "a copy of its RAM needs %" PRIu64 " MiB, %" PRIu64
                 " MiB are available", needs >> 20, has >> 20);
        return false;
    }
    ret = all ? copy_all(&m->ram, &b->mem)
              : pb_mem_copy_part(&m->ram, &b->mem, whole);
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

void pb_moment_note(PbBackup *b, PbMoment *m, char *why, size_t len)
{
    drop(m);
    m->exits_since = pb_backup_exits_since(b);
    m->noted = b->noted;
    m->slot = b->cp_at;
    m->valid = pb_backup_where(b, &m->at, m->state, why, len) &&
               copy_ram(b, m, why, len);
}

void pb_moments_drop(PbBackup *b)
{
    unsigned i;

    for (i = 0; i < PB_MOMENTS; i++) {
        drop(&b->cp->moment[i]);
    }
    stop_log(b);
}

/* ---- and gone back to ---- */

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

    collect(b);
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
    PbMoment *all = b->cp->moment;
    int ret = take_slots(b);
    unsigned i;

    if (ret < 0) {
        return ret;
    }
    for (i = 0; i < PB_MOMENTS; i++) {
        if (&all[i] != m) {
            pb_mem_log_add(&all[i].ram, &m->ram);
        }
    }
    pb_mem_restore(&b->mem, &m->ram, &all[PB_MOMENT_FIRST].ram);
    return put_slots(b, &m->ram);
}

PbReplayEnd pb_moment_put(PbBackup *b, PbMoment *m)
{
    PbReplayEnd end;
    int ret = abandon_exit(b);

    if (ret < 0) {
        return pb_backup_fail(b, "abandoning an exit", ret);
    }
    ret = put_ram(b, m);
    if (ret < 0) {
        return pb_backup_fail(b, "KVM_SET_USER_MEMORY_REGION", ret);
    }
    memcpy(b->start, m->state, b->cpus.n * sizeof(m->state[0]));
    b->cp_at = m->slot;
    pb_backup_begin_at(b, &m->at);
    b->noted = m->noted;
    end = pb_backup_begin(b);
    b->stats.exits = b->v.exits - m->exits_since;
    return end;
}
