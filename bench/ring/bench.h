/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench.h: what the ring's bench knows of a queue: how one is made, and loops
 * that put records into it and take them out.
 *
 * The loops are compiled beside the queue (loops.h), so that each queue is
 * inlined as its users would have it.  Every record's content is checked.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BENCH_BATCH 64

enum { BENCH_4, BENCH_8, BENCH_16, BENCH_32, BENCH_64, BENCH_SIZES };

/* One at a time; a batch by one call, copied; a batch where it lies. */
enum { BENCH_ONE, BENCH_MANY, BENCH_PLACE, BENCH_MODES };

/*
 * Move the @n records with numbers @first, @first + 1, ...; waits as long as
 * needed.  The consumer's returns zero when all contents were as written.
 */
typedef uint64_t BenchLoop(void *q, uint64_t first, uint64_t n);

typedef struct BenchOps {
    void *(*make)(uint32_t slots);       /* NULL: no memory */
    void (*destroy)(void *q);
    BenchLoop *produce[BENCH_MODES];     /* NULL: it has no such call */
    BenchLoop *consume[BENCH_MODES];
} BenchOps;

typedef struct BenchQueue {
    const char *name;
    BenchOps of[BENCH_SIZES];
} BenchQueue;

/* Those that were there when the bench was built. */
extern const BenchQueue bench_ours;
extern const BenchQueue bench_limit;
extern const BenchQueue bench_limit_read;
extern const BenchQueue bench_ck __attribute__((weak));
extern const BenchQueue bench_rte __attribute__((weak));
extern const BenchQueue bench_boost __attribute__((weak));
extern const BenchQueue bench_urcu __attribute__((weak));

/* ---- records: every word of one is its number, scrambled ---- */

/* The type Rec<size> of peers in C, and a name that ends with its size. */
#define BENCH_REC(size) \
    typedef struct Rec##size { \
        _Alignas(size < 16 ? size : 16) unsigned char byte[size]; \
    } Rec##size;
#define BENCH_NAME(a, size) BENCH_NAME_(a, size)
#define BENCH_NAME_(a, size) a##size

typedef uint64_t BenchPair __attribute__((vector_size(16), may_alias));
typedef uint64_t BenchWord __attribute__((may_alias));
typedef uint32_t BenchHalf __attribute__((may_alias));

static inline __attribute__((always_inline))
void bench_fill(void *to, uint64_t number, size_t size)
{
    uint64_t word = number ^ 0x9e3779b97f4a7c15ull;
    BenchPair pair = { word, word };

    if (size == 4) {
        *(BenchHalf *)to = word;
    } else if (size == 8) {
        *(BenchWord *)to = word;
    } else {
        for (size_t i = 0; i < size / 16; i++) {
            ((BenchPair *)to)[i] = pair;
        }
    }
}

/*
 * What differed so far from what was written, of records that are words and of
 * those that are pairs: moving words to a vector register took a reader longer
 * than all the rest.
 */
typedef struct BenchBad {
    uint64_t word;
    BenchPair pair;
} BenchBad;

/* Compare the record at @from with what bench_fill() wrote. */
static inline __attribute__((always_inline))
void bench_check(BenchBad *bad, const void *from, uint64_t number, size_t size)
{
    uint64_t word = number ^ 0x9e3779b97f4a7c15ull;
    BenchPair pair = { word, word };

    if (size == 4) {
        bad->word |= *(const BenchHalf *)from ^ (uint32_t)word;
    } else if (size == 8) {
        bad->word |= *(const BenchWord *)from ^ word;
    } else {
#pragma GCC unroll 4
        for (size_t i = 0; i < size / 16; i++) {
            bad->pair |= ((const BenchPair *)from)[i] ^ pair;
        }
    }
}

/* Not zero when a record was not what had been written. */
static inline uint64_t bench_bad(const BenchBad *bad)
{
    return bad->word | bad->pair[0] | bad->pair[1];
}

/*
 * How peers wait: pauses, doubling from bench_pauses to bench_most_pauses,
 * which for each kind of sample are what suits the peers best.
 */
extern unsigned bench_pauses, bench_most_pauses;

static inline void bench_relax(unsigned *pauses)
{
    for (unsigned i = 0; i < *pauses; i++) {
        __builtin_ia32_pause();
    }
    if (*pauses < bench_most_pauses) {
        *pauses *= 2;
    }
}

#ifdef __cplusplus
}
#endif

#endif /* BENCH_H */
