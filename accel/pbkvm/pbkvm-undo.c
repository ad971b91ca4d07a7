/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pbkvm-undo.c: what disks held before they were written. */
#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/main-loop.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "block/block-io.h"
#include "block/block_int-io.h"
#include "block/block_int-common.h"
#include "system/block-backend.h"
#include "system/runstate.h"

#include "pbkvm.h"

/* So much is read, or found to be zero, in one piece: a file takes it. */
#define PIECE_MAX (512 * KiB)

/* ---- option ---- */

static void get_undo(Object *obj, Visitor *v, const char *name, void *opaque,
                     Error **errp)
{
    visit_type_size(v, name, &PBKVM_ACCEL(obj)->undo.max, errp);
}

static void set_undo(Object *obj, Visitor *v, const char *name, void *opaque,
                     Error **errp)
{
    uint64_t value;

    if (visit_type_size(v, name, &value, errp) && pbkvm_not_yet_running(errp)) {
        PBKVM_ACCEL(obj)->undo.max = value;
    }
}

void pbkvm_undo_class_init(ObjectClass *oc)
{
    object_class_property_add(oc, "live-undo", "size", get_undo, set_undo,
                              NULL, NULL);
    object_class_property_set_description(oc, "live-undo",
        "Keep what disks held before the guest wrote to them, so many bytes, "
        "for pbkvm-go-live (0: it cannot go to before a write; default: 64M)");
}

/* ---- what is kept ---- */

uint64_t pbkvm_undo_place(const PbkvmState *s)
{
    return s->undo.first + (s->undo.old ? s->undo.old->length : 0);
}

static uint64_t size_of(const PbkvmOld *o)
{
    return sizeof(*o) + (o->data ? o->bytes : 0);
}

static void drop(PbkvmState *s, PbkvmOld *o)
{
    s->undo.bytes -= size_of(o);
    blk_unref(o->blk);
    g_free(o->data);
    g_free(o);
}

void pbkvm_undo_add(PbkvmState *s, const PbkvmOld *o)
{
    if (!s->undo.old) {
        s->undo.old = g_queue_new();
    }
    g_queue_push_tail(s->undo.old, g_memdup2(o, sizeof(*o)));
    blk_ref(o->blk);
    s->undo.bytes += size_of(o);
}

void pbkvm_undo_forget(PbkvmState *s, uint64_t place)
{
    while (s->undo.old && s->undo.old->length && s->undo.first < place) {
        drop(s, g_queue_pop_head(s->undo.old));
        s->undo.first++;
    }
}

/* Points as far back as needed are forgotten. */
static void make_room(PbkvmState *s)
{
    while (!s->undo.saving && s->undo.bytes > s->undo.max &&
           s->live.points->len) {
        s->undo.forgot = pbkvm_live_forget_first(s);
    }
}

/* ---- before it is written ---- */

static bool coroutine_fn GRAPH_RDLOCK
keep_piece(PbkvmState *s, BlockBackend *blk, BdrvChild *root, int64_t offset,
           int64_t bytes)
{
    g_autofree void *data = NULL;
    PbkvmOld o = { .blk = blk, .offset = offset, .bytes = bytes };

    if (bdrv_co_is_zero_fast(root->bs, offset, bytes) <= 0) {
        data = g_try_malloc(bytes);
        if (!data || bdrv_co_pread(root, offset, bytes, data, 0) < 0) {
            return false;
        }
        if (buffer_is_zero(data, bytes)) {
            g_free(g_steal_pointer(&data));
        }
    }
    o.data = g_steal_pointer(&data);
    pbkvm_undo_add(s, &o);
    make_room(s);
    return true;
}

/*
 * Until nobody needs it.  Of two requests to one place the one that read what
 * the other wrote comes behind it here, too.
 */
static bool coroutine_fn GRAPH_RDLOCK
keep(PbkvmState *s, BlockBackend *blk, BdrvChild *root, int64_t offset,
     int64_t bytes)
{
    while (bytes > 0 && s->live.points->len) {
        int64_t piece = MIN(bytes, PIECE_MAX);

        if (!keep_piece(s, blk, root, offset, piece)) {
            return false;
        }
        offset += piece;
        bytes -= piece;
    }
    return bytes >= 0;
}

/* A device of the guest's has the disk that somebody else writes. */
static bool coroutine_fn GRAPH_RDLOCK is_the_guests(BdrvChild *root)
{
    BlockDriverState *bs = bdrv_skip_filters(root->bs);
    BlockBackend *blk = NULL;

    while ((blk = blk_all_next(blk))) {
        if (blk_get_attached_dev(blk) && blk_bs(blk) &&
            bdrv_skip_filters(blk_bs(blk)) == bs) {
            return true;
        }
    }
    return false;
}

static void coroutine_fn GRAPH_RDLOCK
will_change(BlockBackend *blk, BdrvChild *root, int64_t offset, int64_t bytes)
{
    PbkvmState *s = pbkvm_state();
    bool undone;

    /* Guests' disks are nobody's who has not got the BQL. */
    if (!qemu_in_main_thread() || s->undo.undoing || !s->live.points->len) {
        return;
    }
    if (blk_get_attached_dev(blk)) {
        undone = keep(s, blk, root, offset, bytes);
    } else {
        undone = !is_the_guests(root);
    }
    if (!undone) {
        s->undo.strange++;
    }
}

void pbkvm_undo_start(PbkvmState *s)
{
    blk_change_hook = will_change;
}

/* ---- for a point ---- */

uint64_t pbkvm_undo_disks(const PbkvmState *s)
{
    BlockBackend *blk = NULL;
    uint64_t sum = s->undo.strange;

    while ((blk = blk_all_next(blk))) {
        BlockDriverState *bs = blk_bs(blk);

        if (blk_get_attached_dev(blk)) {
            sum = sum * 31 + (bs ? g_str_hash(bs->node_name) : 0);
            sum = sum * 31 + (bs ? bs->total_sectors : 0);
        }
    }
    return sum;
}

/* ---- back ---- */

static int put_back(const PbkvmOld *o)
{
    return o->data ? blk_pwrite(o->blk, o->offset, o->bytes, o->data, 0)
                   : blk_pwrite_zeroes(o->blk, o->offset, o->bytes,
                                       BDRV_REQ_MAY_UNMAP);
}

/* What runs on then would meet disks of another time. */
static bool refuse_cont(Error **errp)
{
    error_setg(errp, "pbkvm: disks were put back but in part: expected another "
               "pbkvm-go-live");
    return false;
}

static void tell(const PbkvmOld *o, int ret, Error **errp)
{
    g_autofree char *id = blk_get_attached_dev_id(o->blk);

    error_setg_errno(errp, -ret, "pbkvm-go-live: %s cannot be put back to what "
                     "it held, %" PRId64 " bytes at %" PRId64 ": mend that, "
                     "then again", id, o->bytes, o->offset);
}

bool pbkvm_undo_to(PbkvmState *s, uint64_t place, Error **errp)
{
    int ret = 0;

    s->undo.undoing = true;
    while (ret >= 0 && pbkvm_undo_place(s) > place) {
        PbkvmOld *o = g_queue_peek_tail(s->undo.old);

        ret = put_back(o);
        if (ret < 0) {
            tell(o, ret, errp);
        } else {
            drop(s, g_queue_pop_tail(s->undo.old));
        }
    }
    s->undo.undoing = false;
    s->undo.forgot = 0;
    qmp_cont_hook = ret < 0 ? refuse_cont : NULL;
    return ret >= 0;
}
