/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ours.c: the ring of ring/, through the calls that carry the events. */
#include "bench.h"
#include "pb-ring.h"


/*
 * The next @n slots: a producer that finds the ring full waits for an eighth.
 * Both wait as the Primary and the Backup do, and the producer kicks as the
 * Primary does, which kicks before each entry into the guest.
 */
static inline __attribute__((always_inline))
uint8_t *room(PbRing *r, uint32_t n, size_t size)
{
    uint8_t *slot = pb_ring_reserve_of(r, n, size);

    while (__builtin_expect(!slot, 0)) {
        pb_ring_wait_room(r, r->slots / 8, -1);
        slot = pb_ring_reserve_of(r, n, size);
    }
    return slot;
}

static inline __attribute__((always_inline))
const void *next(PbRing *r, size_t size)
{
    const void *slot = pb_ring_peek_of(r, 0, size);

    while (__builtin_expect(!slot, 0)) {
        pb_ring_wait_events(r, 1, -1);
        slot = pb_ring_peek_of(r, 0, size);
    }
    return slot;
}

static inline __attribute__((always_inline))
uint64_t produce(PbRing *r, uint64_t first, uint64_t n, size_t size)
{
    for (uint64_t i = first; i < first + n; i++) {
        bench_fill(room(r, 1, size), i, size);
        pb_ring_publish_of(r, 1, size);
    }
    pb_ring_kick(r);
    return 0;
}

static inline __attribute__((always_inline))
uint64_t consume(PbRing *r, uint64_t first, uint64_t n, size_t size)
{
    BenchBad bad = { 0 };

    for (uint64_t i = first; i < first + n; i++) {
        bench_check(&bad, next(r, size), i, size);
        pb_ring_release_of(r, 1, size);
    }
    return bench_bad(&bad);
}

static inline __attribute__((always_inline))
uint64_t produce_many(PbRing *r, uint64_t first, uint64_t n, size_t size)
{
    while (n) {
        uint32_t some = n < BENCH_BATCH ? n : BENCH_BATCH;
        uint8_t *slot;

        room(r, some, size);
        slot = pb_ring_slot_run_of(r, 0, &some, size);
        for (uint32_t i = 0; i < some; i++) {
            bench_fill(slot + i * size, first + i, size);
        }
        pb_ring_publish_of(r, some, size);
        first += some;
        n -= some;
    }
    pb_ring_kick(r);
    return 0;
}

static inline __attribute__((always_inline))
uint64_t consume_many(PbRing *r, uint64_t first, uint64_t n, size_t size)
{
    BenchBad bad = { 0 };

    while (n) {
        uint32_t some = n < BENCH_BATCH ? n : BENCH_BATCH;
        const uint8_t *slot;

        while (!(slot = pb_ring_peek_run_of(r, 0, &some, size))) {
            pb_ring_wait_events(r, 1, -1);
        }
        for (uint32_t i = 0; i < some; i++) {
            bench_check(&bad, slot + i * size, first + i, size);
        }
        pb_ring_release_of(r, some, size);
        first += some;
        n -= some;
    }
    return bench_bad(&bad);
}

static void destroy(void *q)
{
    pb_ring_free(q);
}

#define LOOP(name, size) \
    static uint64_t name##_##size(void *q, uint64_t first, uint64_t n) \
    { \
        return name(q, first, n, size); \
    }
#define LOOPS(size) \
    static void *make_##size(uint32_t slots) \
    { \
        return pb_ring_new_of(slots, size, 0); \
    } \
    LOOP(produce, size) \
    LOOP(consume, size) \
    LOOP(produce_many, size) \
    LOOP(consume_many, size)
/* A batch is always in place: there is no call that copies. */
#define OPS(size) { \
        make_##size, destroy, \
        { produce_##size, produce_many_##size, produce_many_##size }, \
        { consume_##size, consume_many_##size, consume_many_##size }, \
    }

LOOPS(4)
LOOPS(8)
LOOPS(16)
LOOPS(32)
LOOPS(64)

const BenchQueue bench_ours = {
    "pbkvm", { OPS(4), OPS(8), OPS(16), OPS(32), OPS(64) },
};
