/* SPDX-License-Identifier: GPL-2.0-or-later */
/* place.c: a second thread on a CPU of its own, and how near that CPU is. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE             /* CPU_SET(), RUSAGE_THREAD */
#endif
#include "place.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <time.h>
#include <x86intrin.h>

/* One way between two cores with one L3: 29 ns; without: 155 ns (Zen 4). */
#define FAR_NS       75.0
/* Two threads of a core slow each other down by more than this. */
#define SMT_RATIO    1.4
#define ROUNDS       100
#define TRIES        5

static struct {
    _Alignas(128) _Atomic uint64_t asked;
    PlaceJob *job;
    void *opaque;
    _Alignas(128) _Atomic uint64_t done;
    _Alignas(128) _Atomic uint32_t ping;
    _Alignas(128) _Atomic uint32_t pong;
    _Alignas(128) _Atomic uint32_t busy;
    long preempted;
    double ns;
    double ns_per_tick;
} p;

static long own_preempted(void)
{
    struct rusage u;

    getrusage(RUSAGE_THREAD, &u);
    return u.ru_nivcsw;
}

static void *other_main(void *opaque)
{
    for (uint64_t i = 1; ; i++) {
        while (atomic_load_explicit(&p.asked, memory_order_acquire) < i) {
            _mm_pause();
        }
        p.job(p.opaque);
        atomic_store_explicit(&p.done, i, memory_order_release);
    }
    return opaque;
}

void place_run(PlaceJob *job, void *opaque)
{
    p.job = job;
    p.opaque = opaque;
    atomic_store_explicit(&p.asked, p.asked + 1, memory_order_release);
}

void place_wait(void)
{
    while (atomic_load_explicit(&p.done, memory_order_acquire) < p.asked) {
        _mm_pause();
    }
}

static double clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
    return ts.tv_sec * 1e9 + ts.tv_nsec;
}

double place_now(void)
{
    unsigned aux;
    double now = __rdtscp(&aux) * p.ns_per_tick;

    _mm_lfence();
    return now;
}

static void calibrate(void)
{
    double start = clock_ns(), end;
    uint64_t ticks = __rdtsc();

    do {
        end = clock_ns();
    } while (end - start < 5e7);
    p.ns_per_tick = (end - start) / (__rdtsc() - ticks);
}

bool place_start(int here, int there)
{
    pthread_attr_t attr;
    pthread_t thread;
    cpu_set_t set;
    bool ok;

    CPU_ZERO(&set);
    CPU_SET(here, &set);
    if (sched_setaffinity(0, sizeof(set), &set) < 0) {
        return false;
    }
    calibrate();
    pthread_attr_init(&attr);
    CPU_ZERO(&set);
    CPU_SET(there, &set);
    pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
    ok = pthread_create(&thread, &attr, other_main, NULL) == 0;
    pthread_attr_destroy(&attr);
    return ok;
}

static void read_preempted(void *opaque)
{
    *(long *)opaque = own_preempted();
}

long place_preempted(void)
{
    place_run(read_preempted, &p.preempted);
    place_wait();
    return p.preempted + own_preempted();
}

static void answer(void *opaque)
{
    uint32_t last = *(uint32_t *)opaque;

    for (uint32_t i = last - ROUNDS + 1; i != last + 1; i++) {
        while (atomic_load_explicit(&p.ping, memory_order_acquire) != i) {
        }
        atomic_store_explicit(&p.pong, i, memory_order_release);
    }
}

static double ping_pong(void)
{
    uint32_t at = p.ping, last = at + ROUNDS;
    double start;

    place_run(answer, &last);
    start = place_now();
    while (at != last) {
        atomic_store_explicit(&p.ping, ++at, memory_order_release);
        while (atomic_load_explicit(&p.pong, memory_order_acquire) != at) {
        }
    }
    start = place_now() - start;
    place_wait();
    return start / ROUNDS / 2;
}

/* As many additions as a core can do, and nothing else. */
static double add_up(void)
{
    uint64_t a = 1, b = 2, c = 3, d = 4, e = 5, f = 6;
    double start = place_now();

    for (int i = 0; i < 4000; i++) {
        __asm__ volatile("add $1, %0\n\tadd $1, %1\n\tadd $1, %2\n\t"
                         "add $1, %3\n\tadd $1, %4\n\tadd $1, %5"
                         : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e),
                           "+r"(f));
    }
    return place_now() - start;
}

static void be_busy(void *opaque)
{
    (void)opaque;
    while (atomic_load_explicit(&p.busy, memory_order_relaxed)) {
        add_up();
    }
}

static double least(double (*measure)(void))
{
    double best = measure();

    for (int i = 1; i < TRIES; i++) {
        double ns = measure();

        best = ns < best ? ns : best;
    }
    return best;
}

Place place_measure(void)
{
    double alone, both;

    p.ns = least(ping_pong);
    if (p.ns > FAR_NS) {
        return PLACE_FAR;
    }
    alone = least(add_up);
    atomic_store(&p.busy, 1);
    place_run(be_busy, NULL);
    add_up();
    both = least(add_up);
    atomic_store(&p.busy, 0);
    place_wait();
    return both / alone > SMT_RATIO ? PLACE_SMT : PLACE_NEAR;
}

double place_ns(void)
{
    return p.ns;
}
