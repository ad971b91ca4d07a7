/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-undo.h: option live-undo: what disks held before they were written, so
 * that they can be put back with the machine.
 *
 * While there is a live point, what a device is about to overwrite is read
 * first.  Undone in reverse order, up to where a point was taken, the disks
 * hold what they held there.  What is older than the first point is forgotten.
 *
 * BQL held.
 */
#ifndef PBKVM_UNDO_H
#define PBKVM_UNDO_H

#include "evidence.h"
#include "qom/object.h"

#define PBKVM_UNDO_DEFAULT (64u << 20)

/* What a disk held before it was written. */
typedef struct PbkvmOld {
    BlockBackend *blk;        /* a reference */
    int64_t offset;
    int64_t bytes;
    void *data;               /* NULL: zeroes */
} PbkvmOld;

typedef struct PbkvmUndoState {
    uint64_t max;             /* bytes that may be kept: live-undo */
    GQueue *old;              /* PbkvmOld, in the order it was overwritten */
    uint64_t first;           /* the number of the first of these */
    uint64_t bytes;           /* that they take */
    uint64_t strange;         /* changes that cannot be undone */
    uint64_t forgot;          /* points up to this event: live-undo was full */
    bool undoing;
    bool saving;              /* nothing may be forgotten */
} PbkvmUndoState;

typedef struct PbkvmState PbkvmState;

void pbkvm_undo_class_init(ObjectClass *oc);

/* From now on; again is harmless. */
void pbkvm_undo_start(PbkvmState *s);

/*
 * Another number when a disk was changed so that this cannot be undone: written
 * by somebody else than the guest, another medium or size.
 */
uint64_t pbkvm_undo_disks(const PbkvmState *s);

/*
 * Where what is kept ends now; @o, whose data is taken over, is kept, too, with
 * a reference; what is kept from before @place is not needed any
 * more; and all that was written since @place is undone, while nothing runs.
 * False: a disk could not be written; they hold what they held when what is
 * kept ends now, and cont is refused until this has been done.
 */
uint64_t pbkvm_undo_place(const PbkvmState *s);
void pbkvm_undo_add(PbkvmState *s, const PbkvmOld *o);
void pbkvm_undo_forget(PbkvmState *s, uint64_t place);
bool pbkvm_undo_to(PbkvmState *s, uint64_t place, Error **errp);

/* ---- pbkvm-undo-file.c ---- */

typedef struct PbkvmUndoSaved {
    GArray *disk;             /* PbEvidenceDisk */
    GArray *undo;             /* PbUndoData */
} PbkvmUndoSaved;

/*
 * For an evidence file, as disks are now: all that is kept.  False: it cannot
 * be told.  pbkvm_undo_saved() in any case; what @to points to is good until
 * then.  Main thread.
 */
bool pbkvm_undo_save(PbkvmState *s, PbkvmUndoSaved *to);
void pbkvm_undo_saved(PbkvmState *s, PbkvmUndoSaved *to);

/*
 * What a replay's file tells is kept, from place 0 on; once.  False: a disk of
 * this machine is not as it was when the file was written.
 */
bool pbkvm_undo_open(PbkvmState *s, Error **errp);

#endif /* PBKVM_UNDO_H */
