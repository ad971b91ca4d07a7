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

#include "qom/object.h"

#define PBKVM_UNDO_DEFAULT (64u << 20)

typedef struct PbkvmUndoState {
    uint64_t max;             /* bytes that may be kept: live-undo */
    GQueue *old;              /* what was overwritten, in order */
    uint64_t first;           /* the number of the first of these */
    uint64_t bytes;           /* that they take */
    uint64_t strange;         /* changes that cannot be undone */
    uint64_t forgot;          /* points up to this event: live-undo was full */
    bool undoing;
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
 * Where what is kept ends now; what is kept from before @place is not needed any
 * more; and all that was written since @place is undone, while nothing runs.
 * False: a disk could not be written; they hold what they held when what is
 * kept ends now, and cont is refused until this has been done.
 */
uint64_t pbkvm_undo_place(const PbkvmState *s);
void pbkvm_undo_forget(PbkvmState *s, uint64_t place);
bool pbkvm_undo_to(PbkvmState *s, uint64_t place, Error **errp);

#endif /* PBKVM_UNDO_H */
