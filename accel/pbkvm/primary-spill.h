/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * primary-spill.h: where events go that the full ring cannot take, and how
 * they come back into it.
 *
 * No QEMU, no KVM.  A spill is a first-in first-out queue of whole events:
 * a block in memory that the Primary fills, then the file, then a block in
 * memory that the Backup empties into the ring.  Short spills never reach
 * the file.
 *
 * The invariant.  While the spill is *active* (it holds events, or may),
 *
 *   every event in the ring is older than every event in the spill, and
 *   the ring's producer is the Backup's thread, by pb_spill_refill(); the
 *   Primary's may touch only the spill.
 *
 * Only the Primary's thread makes it active, by pb_spill_put(); only the
 * Backup's thread ends that, when it finds the spill empty.  So at any time
 * the ring has one producer, and the order of the history is ring, then spill.
 * The Backup sees nothing but the ring.
 *
 * Neither thread holds the lock while the Backup's reads the file; the
 * Primary's writes a block (256 KiB) at a time, into the page cache.
 *
 * The file is temporary data of this process.  Its name is gone as soon as
 * it is made, so nobody else can change it, and the kernel frees its blocks
 * when the process ends in whatever way.  Blocks that were read back are
 * freed on the way, where the file system can.
 */
#ifndef PRIMARY_SPILL_H
#define PRIMARY_SPILL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring/pb-ring.h"

typedef struct PbSpill PbSpill;

/*
 * An empty spill beside @ring, which must outlive it.  @fd, a file that can
 * be read and written (spill-file.h), belongs to it from now on; -1: in
 * memory alone, for what pb_spill_put() must take.  NULL: no memory.
 */
PbSpill *pb_spill_new(PbRing *ring, int fd);

/* Both threads have finished with it; NULL is allowed. */
void pb_spill_free(PbSpill *s);

/* ---- any thread ---- */

/* Whether the ring belongs to the Backup's thread alone; see above. */
bool pb_spill_active(const PbSpill *s);

/* Whether the file takes what comes: there is one, and no write failed. */
bool pb_spill_usable(const PbSpill *s);

typedef struct PbSpillStats {
    uint64_t events, bytes;         /* in the spill now */
    uint64_t all_events, all_bytes; /* that ever were */
    uint64_t file_bytes;            /* in the file now */
    uint64_t times;                 /* it became active */
    int error;                      /* errno of the write that failed, or 0 */
} PbSpillStats;
void pb_spill_stats(const PbSpill *s, PbSpillStats *t);

/* PbSpillStats.times alone. */
uint64_t pb_spill_times(const PbSpill *s);

/* ---- the Primary's thread, or who records in its place ---- */

/*
 * Append one event with its payload, @n slots.  False, and nothing is taken:
 * the file does not take it (see pb_spill_usable()).  With @must, memory
 * takes it then.
 */
bool pb_spill_put(PbSpill *s, const PbEvent *slots, uint32_t n, bool must);

/*
 * Sleep until it is not active, or @timeout_ms have passed.  True: it is not.
 */
bool pb_spill_wait(PbSpill *s, int timeout_ms);

/* ---- the Backup's thread ---- */

/*
 * If less than half the ring is in use, move events from the spill to the
 * ring while there is room.  Costs next to nothing while it is not active.
 * 0, or -errno: the file cannot be read, and the rest of the history is lost.
 */
int pb_spill_refill(PbSpill *s);

/*
 * Forget all events in the spill, which is not active then.  Nobody else uses
 * it meanwhile: for a history that no Backup follows.
 */
void pb_spill_drop(PbSpill *s);

/*
 * Call @each for every event in the spill, oldest first, with its @n slots,
 * until it returns false; consume nothing.  What the Primary adds meanwhile
 * is left out.  Look at the ring after this has begun to be sure that its
 * last event is followed by the first one here: pb_spill_mark().
 */
typedef bool PbSpillEach(void *opaque, const PbEvent *slots, uint32_t n);

typedef struct PbSpillMark {
    uint64_t file_end;        /* in bytes */
    PbEvent *in;              /* a copy of the youngest events */
    size_t in_slots;
} PbSpillMark;

/* Note what is in the spill; false: no memory. */
bool pb_spill_mark(PbSpill *s, PbSpillMark *m);

/* 0, or -errno: the file cannot be read. */
int pb_spill_each(PbSpill *s, const PbSpillMark *m, PbSpillEach *each,
                  void *opaque);
void pb_spill_unmark(PbSpillMark *m);

#endif /* PRIMARY_SPILL_H */
