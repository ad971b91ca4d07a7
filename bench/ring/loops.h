/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * loops.h: the loops of a peer with records of SIZE bytes, from what it
 * defines for them; included once per size, by C and C++.
 *
 *   REC, Q               types of a record (SIZE bytes) and of a queue
 *   PUT(q, rec)          true: the queue took a copy of *rec
 *   GET(q, rec)          true: *rec is the next record
 *   PUT_MANY(q, rec, n)  how many of n were taken; GET_MANY the same
 *                        (both or none are defined)
 */
#define PASTE_(a, b) a##_##b
#define PASTE(a, b) PASTE_(a, b)
#define F(name) PASTE(name, SIZE)

static uint64_t F(produce)(void *opaque, uint64_t first, uint64_t n)
{
    Q *q = (Q *)opaque;

    for (uint64_t i = first; i < first + n; i++) {
        unsigned pauses = bench_pauses;
        REC rec;

        bench_fill(&rec, i, SIZE);
        while (!PUT(q, &rec)) {
            bench_relax(&pauses);
        }
    }
    return 0;
}

static uint64_t F(consume)(void *opaque, uint64_t first, uint64_t n)
{
    Q *q = (Q *)opaque;
    BenchBad bad = { 0 };

    for (uint64_t i = first; i < first + n; i++) {
        unsigned pauses = bench_pauses;
        REC rec;

        while (!GET(q, &rec)) {
            bench_relax(&pauses);
        }
        bench_check(&bad, &rec, i, SIZE);
    }
    return bench_bad(&bad);
}

#ifdef PUT_MANY
static uint64_t F(produce_many)(void *opaque, uint64_t first, uint64_t n)
{
    Q *q = (Q *)opaque;
    unsigned pauses = bench_pauses;

    while (n) {
        unsigned want = n < BENCH_BATCH ? n : BENCH_BATCH, done = 0;
        REC rec[BENCH_BATCH];

        for (unsigned i = 0; i < want; i++) {
            bench_fill(&rec[i], first + i, SIZE);
        }
        while (done < want) {
            unsigned some = PUT_MANY(q, rec + done, want - done);

            done += some;
            if (some) {
                pauses = bench_pauses;
            } else {
                bench_relax(&pauses);
            }
        }
        first += want;
        n -= want;
    }
    return 0;
}

static uint64_t F(consume_many)(void *opaque, uint64_t first, uint64_t n)
{
    Q *q = (Q *)opaque;
    BenchBad bad = { 0 };
    unsigned pauses = bench_pauses;

    while (n) {
        REC rec[BENCH_BATCH];
        unsigned want = n < BENCH_BATCH ? n : BENCH_BATCH;
        unsigned some = GET_MANY(q, rec, want);

        for (unsigned i = 0; i < some; i++) {
            bench_check(&bad, &rec[i], first + i, SIZE);
        }
        first += some;
        n -= some;
        if (some) {
            pauses = bench_pauses;
        } else {
            bench_relax(&pauses);
        }
    }
    return bench_bad(&bad);
}
#endif
