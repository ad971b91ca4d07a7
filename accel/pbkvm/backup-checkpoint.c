/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backup-checkpoint.c: what a Backup needs to be taken back: its state of
 * then, and the events it has consumed since.
 *
 * A Backup that was taken back reads those first, then the ring.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backup-internal.h"
#include "pb-vm.h"

/* First room for events, in slots. */
#define ROOM 1024u

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
    size_t room = cp->room ? cp->room : ROOM;
    PbEvent *more;

    while (room < slots) {
        room *= 2;
    }
    more = room == cp->room ? cp->slot
                            : realloc(cp->slot, room * sizeof(*more));
    if (more) {
        cp->slot = more;
        cp->room = room;
    }
    return more != NULL;
}

static void forget(PbBackup *b)
{
    pb_checkpoint_free(b->cp);
    b->cp = NULL;
    b->cp_at = 0;
}

/* The ring's first @n slots. */
static void append(PbBackup *b, uint32_t n)
{
    PbCheckpoint *cp = b->cp;
    uint32_t i, run;

    if (!make_room(cp, cp->used + n)) {
        snprintf(b->cp_why, sizeof(b->cp_why), "no memory for %zu events",
                 cp->used + n);
        forget(b);
        return;
    }
    for (i = 0; i < n; i += run) {
        run = n - i;
        memcpy(cp->slot + cp->used + i, pb_ring_peek_run(b->c.ring, i, &run),
               run * sizeof(PbEvent));
    }
    cp->used += n;
    b->cp_at = cp->used;
}

void pb_backup_release(PbBackup *b, uint32_t n)
{
    if (pb_backup_left(b)) {
        b->cp_at += n;
    } else {
        if (b->cp && b->cp->valid) {
            append(b, n);
        }
        pb_ring_release(b->c.ring, n);
    }
    if (b->cp && !b->cp->valid && !pb_backup_left(b)) {
        forget(b);
    }
}

/* ---- keeping ---- */

void pb_checkpoint_free(PbCheckpoint *cp)
{
    if (cp) {
        pb_mem_destroy(&cp->ram);
        free(cp->cpuid);
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

static bool copy_ram(PbBackup *b, PbCheckpoint *cp)
{
    uint64_t has = available(), needs = pb_mem_touched(&b->mem) + SPARE;
    int ret;

    if (needs > has) {
        snprintf(b->cp_why, sizeof(b->cp_why), "a copy of its RAM needs %"
                 PRIu64 " MiB, %" PRIu64 " MiB are available", needs >> 20,
                 has >> 20);
        return false;
    }
    ret = pb_mem_twin(&cp->ram, &b->mem);
    if (ret < 0) {
        snprintf(b->cp_why, sizeof(b->cp_why), "a copy of its RAM: %s",
                 strerror(-ret));
    }
    return ret == 0;
}

/* What was left to be read from an earlier one stays so. */
static PbCheckpoint *begin(PbBackup *b)
{
    PbCheckpoint *cp = b->cp ? b->cp : calloc(1, sizeof(*cp));

    if (cp && cp->used) {
        cp->used -= b->cp_at;
        memmove(cp->slot, cp->slot + b->cp_at, cp->used * sizeof(PbEvent));
        b->cp_at = 0;
    }
    b->cp = cp;
    return cp;
}

void pb_backup_keep_here(PbBackup *b)
{
    PbCheckpoint *cp = b->cp;

    if (b->detached || (cp && cp->valid)) {
        return;
    }
    b->cp_why[0] = '\0';
    cp = begin(b);
    if (!cp || (!cp->cpuid && !(cp->cpuid = pb_vm_copy_cpuid(b->cpuid)))) {
        snprintf(b->cp_why, sizeof(b->cp_why), "no memory");
    } else {
        cp->valid = pb_backup_where(b, &cp->at, &cp->state, b->cp_why,
                                    sizeof(b->cp_why)) && copy_ram(b, cp);
    }
    if (cp && !cp->valid && !cp->used) {
        forget(b);
    }
}

void pb_backup_keep_no_more(PbBackup *b)
{
    if (b->cp && b->cp->valid) {
        b->cp->valid = false;
        pb_mem_destroy(&b->cp->ram);
    }
    b->cp_why[0] = '\0';
    if (b->cp && !pb_backup_left(b)) {
        forget(b);
    }
}

/* ---- any thread ---- */

/* Called locked. */
static bool keeps(const PbBackup *b)
{
    return b->status == PB_BACKUP_FROZEN && b->cp && b->cp->valid;
}

static void keep(PbBackup *b, void *opaque)
{
    pb_backup_keep_here(b);
}

bool pb_backup_keep(PbBackup *b, char *why, size_t len)
{
    PbBackupStart at;

    pb_backup_do(b, keep, NULL);
    return pb_backup_kept(b, &at, why, len);
}

bool pb_backup_kept(PbBackup *b, PbBackupStart *at, char *why, size_t len)
{
    bool ok;

    pthread_mutex_lock(&b->lock);
    ok = keeps(b);
    if (ok) {
        *at = b->cp->at;
    } else {
        snprintf(why, len, "%s", b->status == PB_BACKUP_FROZEN
                                 ? b->cp_why : "it is not frozen");
    }
    pthread_mutex_unlock(&b->lock);
    return ok;
}

bool pb_backup_config_again(PbBackup *b, PbBackupConfig *c)
{
    PbCheckpoint *cp = NULL;

    pthread_mutex_lock(&b->lock);
    if (keeps(b)) {
        cp = b->cp;
        b->cp = NULL;
        b->cp_at = 0;
        c->checkpoint = cp;
        c->cpuid = cp->cpuid;
        c->ram = &cp->ram;
        c->state = &cp->state;
        c->at = &cp->at;
    }
    pthread_mutex_unlock(&b->lock);
    return cp != NULL;
}
