/* SPDX-License-Identifier: GPL-2.0-or-later */
/* peer-ck.c: Concurrency Kit's ring; it has no call for a batch. */
#include <ck_ring.h>

#include "bench.h"

#define PEER(size) \
    BENCH_REC(size) \
    CK_RING_PROTOTYPE(r##size, Rec##size) \
    typedef struct Queue##size { \
        ck_ring_t ring; \
        Rec##size *slot; \
    } Queue##size; \
    static void destroy_##size(void *q) \
    { \
        free(((Queue##size *)q)->slot); \
        free(q); \
    } \
    static void *make_##size(uint32_t slots) \
    { \
        Queue##size *q = aligned_alloc(64, (sizeof(*q) + 63) / 64 * 64); \
        q->slot = aligned_alloc(64, (size_t)slots * size); \
        ck_ring_init(&q->ring, slots); \
        return q; \
    }
#define OPS(size) { \
        make_##size, destroy_##size, \
        { produce_##size }, { consume_##size }, \
    }

/* Their names end with what CK_RING_PROTOTYPE() was given. */
#define Q BENCH_NAME(Queue, SIZE)
#define REC BENCH_NAME(Rec, SIZE)
#define PUT(q, rec) \
    BENCH_NAME(ck_ring_enqueue_spsc_r, SIZE)(&(q)->ring, (q)->slot, rec)
#define GET(q, rec) \
    BENCH_NAME(ck_ring_dequeue_spsc_r, SIZE)(&(q)->ring, (q)->slot, rec)
PEER(4)
PEER(8)
PEER(16)
PEER(32)
PEER(64)
#include "each-size.h"

const BenchQueue bench_ck = {
    "ck_ring", { OPS(4), OPS(8), OPS(16), OPS(32), OPS(64) },
};
