// SPDX-License-Identifier: GPL-2.0-or-later
// peer-boost.cc: boost::lockfree::spsc_queue.
#include <boost/lockfree/spsc_queue.hpp>

#include "bench.h"

template <size_t size> struct Rec {
    alignas(size < 16 ? size : 16) unsigned char byte[size];
};
template <size_t size> using Queue = boost::lockfree::spsc_queue<Rec<size>>;

template <size_t size> static void *make(uint32_t slots)
{
    return new Queue<size>(slots);
}

template <size_t size> static void destroy(void *q)
{
    delete static_cast<Queue<size> *>(q);
}

// The consumer reads where the records lie, all that are there at once.
template <size_t size>
static uint64_t consume_place(void *q, uint64_t first, uint64_t n)
{
    BenchBad bad = { 0 };
    uint64_t end = first + n;
    unsigned pauses = bench_pauses;

    while (first < end) {
        if (static_cast<Queue<size> *>(q)->consume_all(
                [&](const Rec<size> &rec) {
                    bench_check(&bad, &rec, first++, size);
                })) {
            pauses = bench_pauses;
        } else {
            bench_relax(&pauses);
        }
    }
    return bench_bad(&bad);
}

#define OPS(size) { \
        make<size>, destroy<size>, \
        { produce_##size, produce_many_##size, produce_many_##size }, \
        { consume_##size, consume_many_##size, consume_place<size> }, \
    }
#define REC Rec<SIZE>
#define Q Queue<SIZE>
#define PUT(q, rec) (q)->push(*(rec))
#define GET(q, rec) (q)->pop(*(rec))
#define PUT_MANY(q, rec, n) (q)->push(rec, n)
#define GET_MANY(q, rec, n) (q)->pop(rec, n)
#include "each-size.h"

extern "C" const BenchQueue bench_boost = {
    "boost", { OPS(4), OPS(8), OPS(16), OPS(32), OPS(64) },
};
