/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backup-break-list.c: which breakpoints a debugger has set.  Any thread; the
 * Backup is frozen.
 */
#include <errno.h>

#include "backup-internal.h"

static PbBreak *find(PbBackup *b, PbBreakKind kind, uint64_t addr,
                     unsigned len)
{
    unsigned i;

    for (i = 0; i < b->breaks; i++) {
        if (b->brk[i].kind == kind && b->brk[i].addr == addr &&
            (!pb_break_is_watch(kind) || b->brk[i].len == len)) {
            return &b->brk[i];
        }
    }
    return NULL;
}

static unsigned registers_used(const PbBackup *b)
{
    unsigned i, n = 0;

    for (i = 0; i < b->breaks; i++) {
        n += b->brk[i].kind != PB_BREAK_SOFT;
    }
    return n;
}

static int add(PbBackup *b, PbBreakKind kind, uint64_t addr, unsigned len)
{
    if (pb_break_is_watch(kind) &&
        ((len != 1 && len != 2 && len != 4 && len != 8) || addr % len)) {
        return -EINVAL;
    }
    if (find(b, kind, addr, len)) {
        return 0;
    }
    if (b->breaks == PB_MAX_BREAKS ||
        (kind != PB_BREAK_SOFT && registers_used(b) == PB_DEBUG_REGISTERS)) {
        return -ENOSPC;
    }
    b->brk[b->breaks++] = (PbBreak) {
        .kind = kind, .addr = addr,
        .len = pb_break_is_watch(kind) ? len : 1,
    };
    return 0;
}

int pb_backup_set_break(PbBackup *b, PbBreakKind kind, uint64_t addr,
                        unsigned len)
{
    int ret = -EBUSY;

    pthread_mutex_lock(&b->lock);
    if (b->status != PB_BACKUP_RUNNING) {
        ret = add(b, kind, addr, len);
    }
    pthread_mutex_unlock(&b->lock);
    return ret;
}

int pb_backup_clear_break(PbBackup *b, PbBreakKind kind, uint64_t addr,
                          unsigned len)
{
    PbBreak *at;
    int ret = -EBUSY;

    pthread_mutex_lock(&b->lock);
    if (b->status != PB_BACKUP_RUNNING) {
        at = find(b, kind, addr, len);
        ret = at ? 0 : -ENOENT;
        if (at) {
            *at = b->brk[--b->breaks];
        }
    }
    pthread_mutex_unlock(&b->lock);
    return ret;
}

void pb_backup_get_breaks(PbBackup *b, PbBreakpoints *all)
{
    unsigned i;

    pthread_mutex_lock(&b->lock);
    all->n = b->breaks;
    for (i = 0; i < all->n; i++) {
        all->at[i].kind = b->brk[i].kind;
        all->at[i].addr = b->brk[i].addr;
        all->at[i].len = b->brk[i].len;
    }
    pthread_mutex_unlock(&b->lock);
}

void pb_backup_set_breaks(PbBackup *b, const PbBreakpoints *all)
{
    unsigned i;

    pb_backup_clear_breaks(b);
    for (i = 0; i < all->n; i++) {
        pb_backup_set_break(b, all->at[i].kind, all->at[i].addr,
                            all->at[i].len);
    }
}

void pb_backup_clear_breaks(PbBackup *b)
{
    pthread_mutex_lock(&b->lock);
    if (b->status != PB_BACKUP_RUNNING) {
        b->breaks = 0;
    }
    pthread_mutex_unlock(&b->lock);
}
