/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-ring-impl.h: the engine of pb-spsc.h with slots that are events.
 *
 * Private to pb-ring.h, which includes it so that the fast paths are inlined.
 * Nobody but ring/, its tests and its bench uses what only pb-spsc.h declares.
 */
#ifndef PB_RING_IMPL_H
#define PB_RING_IMPL_H

#include "pb-spsc.h"

static inline PbEvent *pb_ring_reserve(PbRing *r, uint32_t n)
{
    return pb_ring_reserve_of(r, n, PB_EVENT_SIZE);
}

static inline PbEvent *pb_ring_slot(PbRing *r, uint32_t i)
{
    return pb_ring_slot_of(r, i, PB_EVENT_SIZE);
}

static inline void pb_ring_publish(PbRing *r, uint32_t n)
{
    pb_ring_publish_of(r, n, PB_EVENT_SIZE);
}

static inline const PbEvent *pb_ring_peek(PbRing *r, uint32_t i)
{
    return pb_ring_peek_of(r, i, PB_EVENT_SIZE);
}

static inline void pb_ring_release(PbRing *r, uint32_t n)
{
    pb_ring_release_of(r, n, PB_EVENT_SIZE);
}

static inline PbEvent *pb_ring_slot_run(PbRing *r, uint32_t i, uint32_t *n)
{
    return pb_ring_slot_run_of(r, i, n, PB_EVENT_SIZE);
}

static inline const PbEvent *pb_ring_peek_run(PbRing *r, uint32_t i,
                                              uint32_t *n)
{
    return pb_ring_peek_run_of(r, i, n, PB_EVENT_SIZE);
}

#endif /* PB_RING_IMPL_H */
