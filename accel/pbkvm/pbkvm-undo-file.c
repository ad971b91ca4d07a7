/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-undo-file.c: what disks held goes into an evidence file, and comes out
 * of one, for disks that are as they were when it was written.
 *
 * Whether they are is seen by some of their contents: samples, and all places
 * that were written within the history.
 */
#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qapi/error.h"
#include "block/block-io.h"
#include "system/block-backend.h"

#include "pb-crc.h"
#include "pbkvm.h"

#define SAMPLES     64
#define SAMPLE_SIZE 4096

/* ---- what there is now ---- */

/* Disks that a device has, and may write. */
static BlockBackend *next_disk(BlockBackend *blk)
{
    do {
        blk = blk_all_next(blk);
    } while (blk && !(blk_get_attached_dev(blk) && blk_bs(blk) &&
                      blk_is_writable(blk)));
    return blk;
}

static bool read_crc(BlockBackend *blk, int64_t offset, int64_t bytes,
                     uint32_t *crc)
{
    g_autofree void *data = g_malloc(bytes);

    if (blk_pread(blk, offset, bytes, data, 0) < 0) {
        return false;
    }
    *crc = pb_crc(*crc, data, bytes);
    return true;
}

static bool describe(BlockBackend *blk, PbEvidenceDisk *d)
{
    g_autofree char *device = blk_get_attached_dev_id(blk);
    int64_t size = blk_getlength(blk);
    bool ok = size >= 0 && strlen(device) < sizeof(d->device);
    int64_t part = MAX(size / SAMPLES, SAMPLE_SIZE), at;

    memset(d, 0, sizeof(*d));
    d->size = size;
    for (at = 0; ok && at < size; at += part) {
        ok = read_crc(blk, at, MIN(SAMPLE_SIZE, size - at), &d->sample);
    }
    pstrcpy(d->device, sizeof(d->device), device);
    return ok;
}

/* ---- into a file ---- */

static bool save_disks(PbkvmUndoSaved *to, GPtrArray *blks)
{
    BlockBackend *blk = NULL;

    while ((blk = next_disk(blk))) {
        PbEvidenceDisk d;

        if (blks->len == PB_EVIDENCE_MAX_DISKS || !describe(blk, &d)) {
            return false;
        }
        g_ptr_array_add(blks, blk);
        g_array_append_val(to->disk, d);
    }
    return true;
}

static bool save_one(PbkvmUndoSaved *to, GPtrArray *blks, const PbkvmOld *o)
{
    PbUndoData u = {
        .head = { .offset = o->offset, .bytes = o->bytes,
                  .data = o->data ? o->bytes : 0 },
        .data = o->data,
    };

    if (!g_ptr_array_find(blks, o->blk, &u.head.disk) ||
        !read_crc(o->blk, o->offset, o->bytes, &u.head.now)) {
        return false;
    }
    g_array_append_val(to->undo, u);
    return true;
}

bool pbkvm_undo_save(PbkvmState *s, PbkvmUndoSaved *to)
{
    g_autoptr(GPtrArray) blks = g_ptr_array_new();
    bool ok;
    GList *i;

    /* While a disk is read here a write of the guest's may go on. */
    s->undo.saving = true;
    to->disk = g_array_new(false, false, sizeof(PbEvidenceDisk));
    to->undo = g_array_new(false, false, sizeof(PbUndoData));
    /* Without a point nobody will ask for them. */
    ok = !s->live.points || !s->live.points->len || save_disks(to, blks);
    for (i = s->undo.old ? s->undo.old->head : NULL; ok && i; i = i->next) {
        ok = to->undo->len < PB_EVIDENCE_MAX_UNDOS &&
             save_one(to, blks, i->data);
    }
    if (!ok) {
        g_array_set_size(to->disk, 0);
        g_array_set_size(to->undo, 0);
    }
    return ok;
}

void pbkvm_undo_saved(PbkvmState *s, PbkvmUndoSaved *to)
{
    s->undo.saving = false;
    g_array_unref(to->disk);
    g_array_unref(to->undo);
}

/* ---- out of one ---- */

static bool is_another(const PbEvidenceDisk *d, const char *what, Error **errp)
{
    error_setg(errp, "pbkvm-go-live: %s %s when the file was written: open it "
               "with the disk as it was then, or a copy of that", d->device,
               what);
    return false;
}

static BlockBackend *find_disk(const PbEvidenceDisk *saved, Error **errp)
{
    BlockBackend *blk = NULL;
    PbEvidenceDisk d;

    while ((blk = next_disk(blk))) {
        g_autofree char *device = blk_get_attached_dev_id(blk);

        if (!strcmp(device, saved->device)) {
            break;
        }
    }
    if (!blk) {
        is_another(saved, "had a disk that could be written", errp);
    } else if (!describe(blk, &d) || memcmp(&d, saved, sizeof(d))) {
        is_another(saved, "had another disk, or other contents", errp);
        blk = NULL;
    }
    return blk;
}

static bool find_disks(const PbEvidence *e, BlockBackend **blk, Error **errp)
{
    unsigned i;

    for (i = 0; i < e->disks; i++) {
        blk[i] = find_disk(&e->disk[i], errp);
        if (!blk[i]) {
            return false;
        }
    }
    for (i = 0; i < e->undos; i++) {
        const PbEvidenceUndo *u = &e->undo[i].head;
        uint32_t now = 0;

        if (!read_crc(blk[u->disk], u->offset, u->bytes, &now) ||
            now != u->now) {
            return is_another(&e->disk[u->disk], "had other contents", errp);
        }
    }
    return true;
}

bool pbkvm_undo_open(PbkvmState *s, Error **errp)
{
    const PbEvidence *e = s->replay.evidence;
    BlockBackend *blk[PB_EVIDENCE_MAX_DISKS];
    unsigned i;

    if (s->undo.old) {
        return true;
    }
    if (!find_disks(e, blk, errp)) {
        return false;
    }
    for (i = 0; i < e->undos; i++) {
        const PbEvidenceUndo *u = &e->undo[i].head;
        PbkvmOld o = {
            .blk = blk[u->disk], .offset = u->offset, .bytes = u->bytes,
            .data = u->data ? g_memdup2(e->undo[i].data, u->data) : NULL,
        };

        pbkvm_undo_add(s, &o);
    }
    return true;
}
