/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * peer-rte.c: DPDK's rte_ring, single producer and single consumer.  Only its
 * headers are used: its functions are inline, and DPDK's memory zones would
 * want the whole of its environment.
 */
#include <rte_config.h>
#include <rte_ring.h>
#include <rte_ring_peek_zc.h>

#include "bench.h"

static void *make(uint32_t slots, size_t size)
{
    struct rte_ring *r = aligned_alloc(128, sizeof(*r) + slots * size);

    if (r) {
        memset(r, 0, sizeof(*r));
        r->size = slots;
        r->mask = r->capacity = slots - 1;
        r->prod.sync_type = r->cons.sync_type = RTE_RING_SYNC_ST;
    }
    return r;
}

static inline __attribute__((always_inline))
uint64_t produce_place(struct rte_ring *r, uint64_t first, uint64_t n,
                       size_t size)
{
    unsigned pauses = bench_pauses;

    while (n) {
        struct rte_ring_zc_data z;
        unsigned some = rte_ring_enqueue_zc_burst_elem_start(
            r, size, n < BENCH_BATCH ? n : BENCH_BATCH, &z, NULL);

        if (!some) {
            bench_relax(&pauses);
            continue;
        }
        pauses = bench_pauses;
        for (unsigned i = 0; i < z.n1; i++) {
            bench_fill((char *)z.ptr1 + i * size, first + i, size);
        }
        for (unsigned i = z.n1; i < some; i++) {
            bench_fill((char *)z.ptr2 + (i - z.n1) * size, first + i, size);
        }
        rte_ring_enqueue_zc_elem_finish(r, some);
        first += some;
        n -= some;
    }
    return 0;
}

static inline __attribute__((always_inline))
uint64_t consume_place(struct rte_ring *r, uint64_t first, uint64_t n,
                       size_t size)
{
    BenchBad bad = { 0 };
    unsigned pauses = bench_pauses;

    while (n) {
        struct rte_ring_zc_data z;
        unsigned some = rte_ring_dequeue_zc_burst_elem_start(
            r, size, n < BENCH_BATCH ? n : BENCH_BATCH, &z, NULL);

        if (!some) {
            bench_relax(&pauses);
            continue;
        }
        pauses = bench_pauses;
        for (unsigned i = 0; i < z.n1; i++) {
            bench_check(&bad, (char *)z.ptr1 + i * size, first + i, size);
        }
        for (unsigned i = z.n1; i < some; i++) {
            bench_check(&bad, (char *)z.ptr2 + (i - z.n1) * size,
                                 first + i, size);
        }
        rte_ring_dequeue_zc_elem_finish(r, some);
        first += some;
        n -= some;
    }
    return bench_bad(&bad);
}

#define PEER(size) \
    BENCH_REC(size) \
    static void *make_##size(uint32_t slots) \
    { \
        return make(slots, size); \
    } \
    static uint64_t produce_place_##size(void *q, uint64_t first, uint64_t n) \
    { \
        return produce_place(q, first, n, size); \
    } \
    static uint64_t consume_place_##size(void *q, uint64_t first, uint64_t n) \
    { \
        return consume_place(q, first, n, size); \
    }
#define OPS(size) { \
        make_##size, free, \
        { produce_##size, produce_many_##size, produce_place_##size }, \
        { consume_##size, consume_many_##size, consume_place_##size }, \
    }

#define PUT(q, rec) (rte_ring_sp_enqueue_elem(q, rec, SIZE) == 0)
#define GET(q, rec) (rte_ring_sc_dequeue_elem(q, rec, SIZE) == 0)
#define PUT_MANY(q, rec, n) \
    rte_ring_sp_enqueue_burst_elem(q, rec, SIZE, n, NULL)
#define GET_MANY(q, rec, n) \
    rte_ring_sc_dequeue_burst_elem(q, rec, SIZE, n, NULL)
#define Q struct rte_ring
PEER(4)
PEER(8)
PEER(16)
PEER(32)
PEER(64)
#define REC BENCH_NAME(Rec, SIZE)
#include "each-size.h"

const BenchQueue bench_rte = {
    "rte_ring", { OPS(4), OPS(8), OPS(16), OPS(32), OPS(64) },
};
