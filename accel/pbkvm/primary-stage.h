/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * primary-stage.h: events that the full ring cannot take wait here, in order,
 * until the ring or the spill's file takes them.
 *
 * No QEMU.  All belongs to who records (primary-record.h); only @total may be
 * read by other threads.
 */
#ifndef PRIMARY_STAGE_H
#define PRIMARY_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "primary-spill.h"
#include "ring/pb-ring.h"

/* All zero but the first two: nothing waits. */
typedef struct PbStage {
    PbRing *ring;
    PbSpill *spill;       /* or NULL */
    PbEvent *slots;
    size_t used, size;
    size_t out;           /* of the used ones, already moved on */
    uint64_t total;       /* atomic: slots that ever had to wait */
} PbStage;

void pb_stage_free(PbStage *s);

/* The ring's producer is somebody else: see primary-spill.h. */
static inline bool pb_stage_spills(const PbStage *s)
{
    return s->spill && pb_spill_active(s->spill);
}

/* Room for @n slots behind all that waits, to be filled at once. */
PbEvent *pb_stage_add(PbStage *s, uint32_t n);

/*
 * Move what waits to the ring or the spill's file, waiting up to @timeout_ms
 * for room; with @must, what nobody else takes waits in the spill's memory.
 * True when nothing is left.
 */
bool pb_stage_move(PbStage *s, int timeout_ms, bool must);

#endif /* PRIMARY_STAGE_H */
