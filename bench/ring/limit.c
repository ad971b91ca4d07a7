/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * limit.c: how many lines the machine hands from core to core, with plain
 * loads and stores: an index each way per eighth of the buffer, nothing per
 * line.  The consumer reads each line whole; it stores one word into it, or
 * does not.
 */
#include <stdatomic.h>
#include <stdbool.h>

#include "bench.h"

typedef struct Lines {
    _Alignas(128) _Atomic uint64_t written;
    _Alignas(128) _Atomic uint64_t given_back;
    _Alignas(128) uint64_t at_producer;
    _Alignas(128) uint64_t at_consumer;
    _Alignas(128) uint32_t slots;
    char *line;
} Lines;

static void *make(uint32_t slots)
{
    Lines *q = aligned_alloc(128, sizeof(*q));

    *q = (Lines) { .slots = slots };
    q->line = aligned_alloc(4096, (size_t)slots * 64);
    return q;
}

static void destroy(void *q)
{
    free(((Lines *)q)->line);
    free(q);
}

static uint64_t produce(void *opaque, uint64_t first, uint64_t n)
{
    Lines *q = opaque;

    while (n) {
        uint64_t room = q->slots / 8, at = q->at_producer;
        char *line = q->line + at % q->slots * 64;

        room = n < room ? n : room;
        while (at + room - atomic_load_explicit(&q->given_back,
                                                memory_order_acquire) >
               q->slots) {
            __builtin_ia32_pause();
        }
        for (uint64_t i = 0; i < room; i++) {
            bench_fill(line + i * 64, first + i, 64);
        }
        q->at_producer += room;
        atomic_store_explicit(&q->written, q->at_producer,
                              memory_order_release);
        first += room;
        n -= room;
    }
    return 0;
}

static inline __attribute__((always_inline))
uint64_t take(Lines *q, uint64_t first, uint64_t n, bool touch)
{
    BenchBad bad = { 0 };

    while (n) {
        uint64_t some = q->slots / 8, at = q->at_consumer;
        char *line = q->line + at % q->slots * 64;

        some = n < some ? n : some;
        while (atomic_load_explicit(&q->written, memory_order_acquire) - at <
               some) {
            __builtin_ia32_pause();
        }
        for (uint64_t i = 0; i < some; i++) {
            bench_check(&bad, line + i * 64, first + i, 64);
            if (touch) {
                *(BenchWord *)(line + i * 64) = 0;
            }
        }
        q->at_consumer += some;
        atomic_store_explicit(&q->given_back, q->at_consumer,
                              memory_order_release);
        first += some;
        n -= some;
    }
    return bench_bad(&bad);
}

static uint64_t consume(void *q, uint64_t first, uint64_t n)
{
    return take(q, first, n, true);
}

static uint64_t consume_read(void *q, uint64_t first, uint64_t n)
{
    return take(q, first, n, false);
}

const BenchQueue bench_limit = {
    "limit", { [BENCH_64] = { make, destroy, { produce }, { consume } } },
};
const BenchQueue bench_limit_read = {
    "limit-read",
    { [BENCH_64] = { make, destroy, { produce }, { consume_read } } },
};
