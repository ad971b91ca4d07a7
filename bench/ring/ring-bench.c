/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ring-bench.c: the same work through each queue, in many short samples that
 * take turns.  bench/ring/run starts it and reads what it prints, one sample
 * per line:
 *
 *   KIND QUEUE SIZE MODE SLOTS PLACE VALUE
 *
 * KIND: stream and lag (million records per second), latency (ns one way),
 * write and read (ns per record, one thread, the paper's method), memcpy
 * (GB/s; SIZE: bytes copied at once).  PLACE: smt, near, far.  Samples in
 * which a thread was preempted or the place changed are counted, not printed.
 * A record with another content than was written ends the bench.
 */
#include <errno.h>
#include <stdio.h>

#include "bench.h"
#include "place.h"

#define SLOTS         4096u
#define SAMPLE_NS     1.5e6
#define ROUND_TRIPS   300
#define PAPER_RECORDS 1000
#define PAPER_TIMES   10

static const BenchQueue *const queues[] = {
    &bench_ours, &bench_ck, &bench_rte, &bench_boost, &bench_urcu,
    &bench_limit, &bench_limit_read,
};
#define QUEUES (sizeof(queues) / sizeof(queues[0]))

/* Measured: a stream wants long waits, an answer short ones. */
#define STREAM_PAUSES       16
#define STREAM_MOST_PAUSES  64
#define LATENCY_PAUSES      1

unsigned bench_pauses = STREAM_PAUSES;
unsigned bench_most_pauses = STREAM_MOST_PAUSES;

static const char *const place_name[] = { "smt", "near", "far" };
static const char *const mode_name[] = { "one", "batch", "place" };
static unsigned long dropped_moved, dropped_preempted;
static long preempted_before, preempted_after;

/* What a sample measures; @value is filled in by @run. */
typedef struct Sample {
    const BenchQueue *queue;
    const BenchOps *ops;
    const char *kind;
    int size, mode;              /* BENCH_... */
    uint32_t slots;
    double value;
} Sample;

typedef void SampleRun(Sample *s);

typedef struct Half {
    BenchLoop *loop;
    void *q, *back;
    uint64_t first, n;
    const BenchOps *ops;
} Half;

static void check(uint64_t bad, const Sample *s)
{
    if (bad) {
        printf("error: %s %s, records of %d bytes: a record is not what was "
               "written\n", s->kind, s->queue->name, 4 << s->size);
        exit(EXIT_FAILURE);
    }
}

static void run_half(void *opaque)
{
    Half *h = opaque;

    h->loop(h->q, h->first, h->n);
}

/* As many records as fit SAMPLE_NS, from what was seen before. */
static uint64_t *records(const Sample *s)
{
    static uint64_t n[QUEUES][BENCH_SIZES][BENCH_MODES];

    for (size_t i = 0; i < QUEUES; i++) {
        if (queues[i] == s->queue) {
            return &n[i][s->size][s->mode];
        }
    }
    abort();
}

static void run_stream(Sample *s)
{
    uint64_t *n = records(s), bad;
    void *q = s->ops->make(s->slots);
    Half h = { s->ops->produce[s->mode], q, NULL, SLOTS, 0, s->ops };
    double ns;

    if (!*n) {
        *n = 4 * SLOTS;
    }
    h.n = *n;
    /* Each page and each line of it was seen before. */
    for (int i = 0; i < 8; i++) {
        h.loop(q, i * SLOTS / 8, SLOTS / 8);
        check(s->ops->consume[s->mode](q, i * SLOTS / 8, SLOTS / 8), s);
    }
    place_run(run_half, &h);
    ns = place_now();
    bad = s->ops->consume[s->mode](q, h.first, h.n);
    ns = place_now() - ns;
    place_wait();
    check(bad, s);
    s->ops->destroy(q);
    s->value = h.n / ns * 1e3;
    *n = SAMPLE_NS / ns * h.n;
    *n = *n < 4 * SLOTS ? 4 * SLOTS : *n / SLOTS * SLOTS;
}

/* All of the queue's memory has been used once; returns the next number. */
static uint64_t warm_up(const Sample *s, void *q)
{
    uint64_t i;

    for (i = 0; i < s->slots; i += SLOTS / 2) {
        s->ops->produce[s->mode](q, i, SLOTS / 2);
        check(s->ops->consume[s->mode](q, i, SLOTS / 2), s);
    }
    return i;
}

/* The queue three quarters full; both sides move a quarter at once. */
static void run_lag(Sample *s)
{
    void *q = s->ops->make(s->slots);
    uint64_t quarter = s->slots / 4, bad;
    uint64_t at = warm_up(s, q);
    Half h = { s->ops->produce[s->mode], q, NULL, at, 3 * quarter, s->ops };
    double ns;

    place_run(run_half, &h);
    place_wait();
    h.first += h.n;
    h.n = quarter;
    preempted_before = place_preempted();
    place_run(run_half, &h);
    ns = place_now();
    bad = s->ops->consume[s->mode](q, at, quarter);
    place_wait();
    ns = place_now() - ns;
    preempted_after = place_preempted();
    check(bad | s->ops->consume[s->mode](q, at + quarter, 3 * quarter), s);
    s->ops->destroy(q);
    s->value = quarter / ns * 1e3;
}

static void run_echo(void *opaque)
{
    Half *h = opaque;

    for (uint64_t i = 0; i < h->n; i++) {
        if (h->ops->consume[BENCH_ONE](h->q, i, 1)) {
            h->first = 1;        /* so that the other side sees it */
        }
        h->ops->produce[BENCH_ONE](h->back, i, 1);
    }
}

static void run_latency(Sample *s)
{
    Half h = { NULL, s->ops->make(s->slots), s->ops->make(s->slots), 0,
               ROUND_TRIPS, s->ops };
    uint64_t bad = 0;
    double ns;

    warm_up(s, h.q);
    warm_up(s, h.back);
    preempted_before = place_preempted();
    place_run(run_echo, &h);
    ns = place_now();
    for (uint64_t i = 0; i < ROUND_TRIPS; i++) {
        s->ops->produce[BENCH_ONE](h.q, i, 1);
        bad |= s->ops->consume[BENCH_ONE](h.back, i, 1);
    }
    ns = place_now() - ns;
    place_wait();
    check(bad | h.first, s);
    s->ops->destroy(h.q);
    s->ops->destroy(h.back);
    s->value = ns / ROUND_TRIPS / 2;
}

/* The paper's method; @kind says which half is told. */
static void run_paper(Sample *s)
{
    void *q = s->ops->make(s->slots);
    double write = 0, read = 0;
    uint64_t at = 0;

    for (int i = 0; i <= SLOTS / PAPER_RECORDS + PAPER_TIMES; i++) {
        bool warm = i > (int)(SLOTS / PAPER_RECORDS);
        double start = place_now(), middle, end;
        uint64_t bad;

        s->ops->produce[s->mode](q, at, PAPER_RECORDS);
        middle = place_now();
        bad = s->ops->consume[s->mode](q, at, PAPER_RECORDS);
        end = place_now();
        check(bad, s);
        at += PAPER_RECORDS;
        write += warm ? middle - start : 0;
        read += warm ? end - middle : 0;
    }
    s->ops->destroy(q);
    s->value = (s->kind[0] == 'w' ? write : read) /
               (PAPER_RECORDS * PAPER_TIMES);
}

static void run_memcpy(Sample *s)
{
    static char *from, *to;
    size_t bytes = s->slots, times = (16u << 20) / bytes;
    double start;

    if (!from) {
        from = aligned_alloc(4096, 32u << 20);
        to = aligned_alloc(4096, 32u << 20);
        memset(from, 1, 32u << 20);
        memset(to, 2, 32u << 20);
    }
    times = times ? times : 1;
    memcpy(to, from, bytes);
    start = place_now();
    for (size_t i = 0; i < times; i++) {
        memcpy(to, from, bytes);
        __asm__ volatile("" ::: "memory");
    }
    s->value = times * bytes / (place_now() - start);
}

/* One sample between two looks at the place. */
static void sample(Sample s, SampleRun *run)
{
    Place before = place_measure(), after;

    preempted_after = 0;
    preempted_before = place_preempted();
    run(&s);
    if (!preempted_after) {
        preempted_after = place_preempted();
    }
    after = place_measure();
    if (preempted_after != preempted_before) {
        dropped_preempted++;
    } else if (after != before) {
        dropped_moved++;
    } else {
        printf("%s %s %d %s %u %s %.4f\n", s.kind, s.queue->name,
               4 << s.size, mode_name[s.mode], s.slots, place_name[after],
               s.value);
    }
}

static void samples_of(const BenchQueue *q, int size, int round)
{
    Sample s = { .queue = q, .ops = &q->of[size], .size = size,
                 .slots = SLOTS };
    bool limit = q == &bench_limit || q == &bench_limit_read;

    s.kind = "stream";
    for (s.mode = 0; s.mode < BENCH_MODES; s.mode++) {
        if (s.ops->produce[s.mode] && size != BENCH_4) {
            sample(s, run_stream);
        }
    }
    s.mode = BENCH_ONE;
    if (limit) {
        return;
    }
    s.kind = "latency";
    bench_pauses = bench_most_pauses = LATENCY_PAUSES;
    sample(s, run_latency);
    bench_pauses = STREAM_PAUSES;
    bench_most_pauses = STREAM_MOST_PAUSES;
    for (s.mode = 0; s.mode < BENCH_MODES; s.mode++) {
        if (s.ops->produce[s.mode]) {
            s.kind = "write";
            sample(s, run_paper);
            s.kind = "read";
            sample(s, run_paper);
        }
    }
    if (size == BENCH_64 && round % 4 == 0) {
        s.kind = "lag";
        s.mode = BENCH_ONE;
        for (s.slots = 1u << 16; s.slots <= 1u << 20; s.slots *= 4) {
            sample(s, run_lag);
        }
    }
}

int main(int argc, char **argv)
{
    double end;
    int round = 0;

    if (argc != 4) {
        fprintf(stderr, "usage: ring-bench CPU CPU SECONDS\n");
        return EXIT_FAILURE;
    }
    if (!place_start(atoi(argv[1]), atoi(argv[2]))) {
        fprintf(stderr, "ring-bench: cannot run on CPU %s: %s\n", argv[1],
                strerror(errno));
        return EXIT_FAILURE;
    }
    end = place_now() + atof(argv[3]) * 1e9;
    do {
        Sample copy = { .queue = &bench_limit, .kind = "memcpy" };

        for (int size = 0; size < BENCH_SIZES; size++) {
            for (size_t i = 0; i < QUEUES; i++) {
                if (queues[i] && queues[i]->of[size].make) {
                    samples_of(queues[i], size, round);
                }
            }
        }
        copy.slots = 256u << 10;
        sample(copy, run_memcpy);
        copy.slots = 32u << 20;
        sample(copy, run_memcpy);
        fflush(stdout);
        round++;
    } while (place_now() < end);
    printf("rounds %d dropped-moved %lu dropped-preempted %lu\n", round,
           dropped_moved, dropped_preempted);
    return EXIT_SUCCESS;
}
