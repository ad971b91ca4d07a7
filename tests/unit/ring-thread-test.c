/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ring-thread-test.c: the ring between two threads: sleeping and waking, and
 * streams whose every byte is checked.
 *
 * PB_STREAM_EVENTS and PB_DENSE_EVENTS in the environment set the lengths of
 * the long streams; `make soak-ring` sets the latter to 10^9.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE             /* CPU_SET() */
#endif
#include "pb-ring.h"
#include "pb-tap.h"

#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define SLOTS      PB_RING_MIN_SLOTS
#define NEAR_WRAP  (UINT64_MAX - 2)

#ifdef __SANITIZE_THREAD__
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN 0
#endif

/* Far above what a wake-up takes; a wait this long has failed. */
#define LONG_MS    20000

static uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000ull + ts.tv_nsec / 1000000;
}

/* A ring whose sleepers do not look again by themselves. */
static PbRing *ring_without_naps(uint64_t first)
{
    PbRing *r = pb_ring_new_at(SLOTS, first);

    r->nap_ns = 1000000ull * LONG_MS;
    return r;
}

static void publish_marks(PbRing *r, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        *pb_ring_reserve(r, 1) = (PbEvent) { .kind = PB_EVENT_MARK };
        pb_ring_publish(r, 1);
    }
    pb_ring_kick(r);
}

/* With a peek after each one, which gives back what was released. */
static void release_marks(PbRing *r, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        pb_ring_release(r, 1);
        pb_check(pb_ring_peek(r, 0) != NULL);
    }
}

/* ---- a thread that waits, as one side ---- */

typedef struct Waiter {
    PbRing *r;
    bool (*wait)(PbRing *r, uint32_t n, int timeout_ms);
    uint32_t n;
    int timeout_ms;
    pthread_t thread;
    atomic_int tid;
    bool result;
    uint64_t took_ms;
} Waiter;

static void *waiter_main(void *opaque)
{
    Waiter *w = opaque;
    uint64_t start = now_ms();

    atomic_store(&w->tid, syscall(SYS_gettid));
    w->result = w->wait(w->r, w->n, w->timeout_ms);
    w->took_ms = now_ms() - start;
    return NULL;
}

/* Whether the kernel says that thread @tid of ours sleeps. */
static bool is_asleep(int tid)
{
    char path[64], state = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
    f = fopen(path, "r");
    if (f) {
        pb_check(fscanf(f, "%*d (%*[^)]) %c", &state) == 1);
        fclose(f);
    }
    return state == 'S';
}

/* Returns once the thread has announced that it sleeps, and does. */
static void waiter_start(Waiter *w, PbRing *r, bool producer, uint32_t n,
                         int timeout_ms)
{
    PbRingSleeper *s = producer ? &r->producer : &r->consumer;

    *w = (Waiter) {
        .r = r, .n = n, .timeout_ms = timeout_ms,
        .wait = producer ? pb_ring_wait_room : pb_ring_wait_events,
    };
    pthread_create(&w->thread, NULL, waiter_main, w);
    while (!atomic_load(&s->sleeping) || !is_asleep(atomic_load(&w->tid))) {
        sched_yield();
    }
}

static void waiter_join(Waiter *w)
{
    pthread_join(w->thread, NULL);
}

static void test_waits_end_at_their_timeout(void)
{
    PbRing *r = pb_ring_new(SLOTS);
    uint64_t start = now_ms();

    pb_check(!pb_ring_wait_events(r, 1, 30));
    pb_check(now_ms() - start >= 29);
    publish_marks(r, SLOTS);
    start = now_ms();
    pb_check(!pb_ring_wait_room(r, 1, 30));
    pb_check(now_ms() - start >= 29);
    pb_ring_free(r);
}

static void test_waits_return_at_once_when_there_is_enough(void)
{
    PbRing *r = pb_ring_new(SLOTS);

    pb_check(pb_ring_wait_room(r, SLOTS / 2, -1));
    publish_marks(r, 3);
    pb_check(pb_ring_wait_events(r, 3, -1));
    pb_check(pb_ring_wait_events(r, 0, -1));
    pb_ring_free(r);
}

static void test_kick_wakes_the_consumer(void)
{
    PbRing *r = ring_without_naps(0);
    Waiter w;

    waiter_start(&w, r, false, 1, LONG_MS);
    pb_ring_kick(r);
    pb_check(pb_ring_reserve(r, 1) != NULL);
    pb_ring_publish(r, 1);
    pb_check_u64(atomic_load(&r->consumer.sleeping), 1);
    pb_ring_kick(r);
    waiter_join(&w);
    pb_check(w.result);
    pb_check(w.took_ms < LONG_MS / 2);
    pb_ring_free(r);
}

static void test_release_wakes_the_producer(void)
{
    PbRing *r = ring_without_naps(0);
    Waiter w;

    publish_marks(r, SLOTS);
    waiter_start(&w, r, true, 1, LONG_MS);
    pb_check(pb_ring_peek(r, SLOTS - 1) != NULL);
    release_marks(r, SLOTS / 8);
    waiter_join(&w);
    pb_check(w.result);
    pb_check(w.took_ms < LONG_MS / 2);
    pb_ring_free(r);
}

/* What the consumer keeps back for a while, a sleeper finds by itself. */
static void test_small_releases_reach_a_sleeping_producer(void)
{
    enum { GROUP = PB_RING_GROUP / 64 };
    PbRing *r = pb_ring_new_at(SLOTS, GROUP - 3);
    Waiter w;

    publish_marks(r, SLOTS);
    atomic_store(&r->cpu, 0);         /* as if it was on another CPU */
    pb_check(pb_ring_peek(r, SLOTS - 1) != NULL);
    release_marks(r, 3);
    pb_check(pb_ring_reserve(r, 1) == NULL);
    waiter_start(&w, r, true, 3 + GROUP, LONG_MS);
    release_marks(r, GROUP - 1);
    pb_check_u64(pb_ring_done(r), GROUP * PB_EVENT_SIZE);
    pb_check_u64(atomic_load(&r->producer.sleeping), 1);
    release_marks(r, 1);
    waiter_join(&w);
    pb_check(w.result);
    pb_check(w.took_ms < LONG_MS / 2);
    /* What it knows does not shrink when less is told. */
    publish_marks(r, 5);
    pb_check(pb_ring_reserve(r, GROUP - 1) == NULL);
    pb_check(pb_ring_reserve(r, GROUP - 2) != NULL);
    pb_ring_flush(r);
    pb_check(pb_ring_reserve(r, GROUP - 1) == NULL);
    pb_ring_free(r);
}

static void test_flush_wakes_the_producer(void)
{
    PbRing *r = ring_without_naps(0);
    Waiter w;

    publish_marks(r, SLOTS);
    pb_check(pb_ring_peek(r, SLOTS - 1) != NULL);
    waiter_start(&w, r, true, 1, LONG_MS);
    pb_ring_release(r, 1);
    pb_ring_flush(r);
    waiter_join(&w);
    pb_check(w.result);
    pb_check(w.took_ms < LONG_MS / 2);
    pb_ring_free(r);
}

static void test_consumer_sleeps_until_there_are_n(void)
{
    PbRing *r = ring_without_naps(NEAR_WRAP);
    Waiter w;

    waiter_start(&w, r, false, 8, LONG_MS);
    publish_marks(r, 7);
    pb_check_u64(atomic_load(&r->consumer.sleeping), 1);
    publish_marks(r, 1);
    waiter_join(&w);
    pb_check(w.result);
    pb_check(w.took_ms < LONG_MS / 2);
    pb_ring_free(r);
}

static void test_producer_sleeps_until_n_are_free(void)
{
    PbRing *r = ring_without_naps(0 - (uint64_t)SLOTS / 8);
    Waiter w;

    publish_marks(r, SLOTS);
    waiter_start(&w, r, true, SLOTS / 8, LONG_MS);
    pb_check(pb_ring_peek(r, SLOTS - 1) != NULL);
    release_marks(r, SLOTS / 8 - 1);
    pb_check_u64(atomic_load(&r->producer.sleeping), 1);
    release_marks(r, 1);
    waiter_join(&w);
    pb_check(w.result);
    pb_check(w.took_ms < LONG_MS / 2);
    pb_ring_free(r);
}

static void test_wake_ends_the_wait_that_sleeps(void)
{
    PbRing *r = ring_without_naps(0);
    Waiter w;

    waiter_start(&w, r, false, 1, LONG_MS);
    pb_ring_wake(r);
    waiter_join(&w);
    pb_check(!w.result);
    pb_check(w.took_ms < LONG_MS / 2);
    pb_ring_free(r);
}

static void test_wake_is_kept_for_one_later_wait(void)
{
    PbRing *r = pb_ring_new(SLOTS);
    uint64_t start = now_ms();

    pb_ring_wake(r);
    pb_check(!pb_ring_wait_events(r, 1, LONG_MS));
    pb_check(now_ms() - start < LONG_MS / 2);
    start = now_ms();
    pb_check(!pb_ring_wait_events(r, 1, 30));
    pb_check(now_ms() - start >= 29);
    pb_ring_free(r);
}

static void test_close_ends_waits_that_sleep(void)
{
    for (int side = 0; side < 2; side++) {
        PbRing *r = ring_without_naps(0);
        Waiter w;

        publish_marks(r, side ? SLOTS : 0);
        waiter_start(&w, r, side, 1, LONG_MS);
        pb_ring_close(r);
        waiter_join(&w);
        pb_check(!w.result);
        pb_check(w.took_ms < LONG_MS / 2);
        pb_ring_free(r);
    }
}

static void test_closed_ring_does_not_sleep_but_is_readable(void)
{
    PbRing *r = pb_ring_new(SLOTS);

    publish_marks(r, SLOTS);
    pb_ring_close(r);
    pb_check(!pb_ring_wait_room(r, 1, -1));
    pb_check(pb_ring_wait_events(r, SLOTS / 2, -1));
    pb_check(pb_ring_peek(r, SLOTS - 1) != NULL);
    pb_ring_release(r, SLOTS);
    pb_check(!pb_ring_wait_events(r, 1, -1));
    pb_check(pb_ring_wait_room(r, SLOTS / 2, -1));
    pb_ring_free(r);
}

/*
 * What happens when a kick looks for a sleeper before the index is visible
 * (see pb_ring_sleeps()), made here by storing the index and nothing else.
 */
static void test_missed_wake_up_costs_a_moment_only(void)
{
    for (int side = 0; side < 2; side++) {
        PbRing *r = pb_ring_new(SLOTS);
        Waiter w;

        publish_marks(r, side ? SLOTS : 0);
        waiter_start(&w, r, side, 1, LONG_MS);
        atomic_store_explicit(side ? &r->released : &r->published,
                              PB_EVENT_SIZE, memory_order_release);
        waiter_join(&w);
        pb_check(w.result);
        pb_check(w.took_ms < LONG_MS / 2);
        pb_ring_free(r);
    }
}

/* From here on the kernel kills this thread at any system call but exit. */
static void stream_without_system_calls(void)
{
    PbRing *r = pb_ring_new(SLOTS);

    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT)) {
        _exit(77);
    }
    for (int i = 0; i < 10 * (int)SLOTS; i++) {
        pb_ring_reserve(r, 2)->seq = i;
        pb_ring_publish(r, 2);
        if (pb_ring_wait_events(r, 2, -1) && pb_ring_peek(r, 1)) {
            pb_ring_release(r, 2);
        }
    }
    syscall(SYS_exit, 0);
}

static void test_fast_path_makes_no_system_call(void)
{
    int status = -1;
    pid_t pid;

    if (UNDER_TSAN) {
        pb_skip("ThreadSanitizer's own thread would outlive the exit");
        return;
    }
    pid = fork();
    if (pid == 0) {
        stream_without_system_calls();
    }
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        pb_skip("seccomp is not allowed here");
        return;
    }
    pb_check_u64(status, 0);
}

/* ---- streams ---- */

typedef struct Stream {
    PbRing *r;
    uint64_t events;
    int cpu;                     /* both threads run there, or -1: anywhere */
    uint32_t batch;              /* slots given back, and waited for, at once */
} Stream;

static void stay_on(int cpu)
{
    cpu_set_t set;

    if (cpu >= 0) {
        CPU_ZERO(&set);
        CPU_SET(cpu, &set);
        pb_check(sched_setaffinity(0, sizeof(set), &set) == 0);
    }
}

/* A pseudo-random number that both sides make from seq and an index. */
static uint64_t noise(uint64_t seq, uint64_t i)
{
    return pb_digest_mix(seq * 0x9e3779b97f4a7c15ull, i);
}

/* Mostly none, often a few slots, rarely the most there can be. */
static uint32_t payload_of(uint64_t seq)
{
    uint64_t n = noise(seq, 1000000);

    if (n % 4096 == 0) {
        return PB_EVENT_MAX_PAYLOAD - (n >> 12) % 100;
    }
    return (n >> 20) % 4 == 0 ? 1 + (n >> 30) % 600 : 0;
}

static PbEvent event_of(uint64_t seq)
{
    PbEvent e = {
        .seq = seq, .time_ns = noise(seq, 1), .branches = noise(seq, 2),
        .digest = noise(seq, 3), .writes = seq, .kind = PB_EVENT_IRQ,
        .arg = seq & 255,
    };
    uint32_t len = payload_of(seq);

    if (len) {
        e.kind = PB_EVENT_MEM_WRITE;
        e.arg = 0;
        e.body.mem.len = len;
        e.body.mem.offset = noise(seq, 4);
    } else {
        e.body.pos = (PbEventPosition) {
            .rip = noise(seq, 4), .cx = seq, .sp = ~seq, .hash = noise(seq, 5),
        };
    }
    return e;
}

static void *produce(void *opaque)
{
    Stream *s = opaque;

    stay_on(s->cpu);
    for (uint64_t seq = 1; seq <= s->events; seq++) {
        PbEvent e = event_of(seq);
        uint32_t slots = 1 + pb_event_extra_slots(&e);

        if (!pb_ring_reserve(s->r, slots)) {
            pb_check(pb_ring_wait_room(s->r, slots > SLOTS / 8 ? slots
                                                   : SLOTS / 8, -1));
        }
        *pb_ring_reserve(s->r, slots) = e;
        for (uint32_t i = 1; i < slots; i++) {
            uint64_t word[8];

            for (int j = 0; j < 8; j++) {
                word[j] = noise(seq, i * 8 + j);
            }
            memcpy(pb_ring_slot(s->r, i), word, sizeof(word));
        }
        pb_ring_publish(s->r, slots);
    }
    return NULL;
}

/* Compare an event and its payload; returns its slots, 0: not complete yet. */
static uint32_t consume_one(Stream *s, uint64_t seq, uint32_t at)
{
    const PbEvent *e = pb_ring_peek(s->r, at);
    PbEvent expected = event_of(seq);
    uint32_t slots = 1 + pb_event_extra_slots(&expected);

    if (!e) {
        return 0;
    }
    pb_check_u64(e->seq, seq);
    pb_check(memcmp(e, &expected, sizeof(expected)) == 0);
    pb_check(pb_event_check(e, seq - 1) == NULL);
    /* An event and its payload are published together. */
    for (uint32_t i = 1; i < slots; i++) {
        const PbEvent *line = pb_ring_peek(s->r, at + i);
        uint64_t word[8];

        pb_check(line != NULL);
        if (line) {
            memcpy(word, line, sizeof(word));
            for (int j = 0; j < 8; j++) {
                pb_check_u64(word[j], noise(seq, i * 8 + j));
            }
        }
    }
    return slots;
}

static void *consume(void *opaque)
{
    Stream *s = opaque;
    uint32_t done = 0;           /* slots read and not given back */

    stay_on(s->cpu);
    for (uint64_t seq = 1; seq <= s->events; ) {
        uint32_t slots = consume_one(s, seq, done);

        done += slots;
        seq += slots > 0;
        if (done >= s->batch || (!slots && done)) {
            pb_ring_release(s->r, done);
            done = 0;
        } else if (!slots) {
            pb_check(pb_ring_wait_events(s->r, 1, -1));
        }
        if (atomic_load_explicit(&pb_tap_failures, memory_order_relaxed) >
            1000) {
            exit(EXIT_FAILURE);  /* out of step: nothing more to learn */
        }
    }
    pb_ring_release(s->r, done);
    return NULL;
}

static void run_stream(uint64_t events, int cpu, uint32_t batch)
{
    Stream s = { pb_ring_new_at(SLOTS, NEAR_WRAP), events, cpu, batch };
    pthread_t producer, consumer;

    pthread_create(&producer, NULL, produce, &s);
    pthread_create(&consumer, NULL, consume, &s);
    pthread_join(producer, NULL);
    pthread_join(consumer, NULL);
    pb_check_u64(pb_ring_used(s.r), 0);
    pb_ring_free(s.r);
}

static void test_stream_arrives_whole_and_in_order(void)
{
    const char *wanted = getenv("PB_STREAM_EVENTS");

    run_stream(wanted ? strtoull(wanted, NULL, 0) : 2000000, -1, SLOTS / 8);
}

static void test_stream_released_one_by_one_arrives_whole(void)
{
    run_stream(200000, -1, 1);
}

/* There each side is preempted anywhere, and waits often. */
static void test_stream_on_one_cpu_arrives_whole(void)
{
    run_stream(200000, sched_getcpu(), SLOTS / 8);
}

/* ---- as fast as it goes: events that are cheap to make and to compare ---- */

static void *produce_dense(void *opaque)
{
    Stream *s = opaque;

    stay_on(s->cpu);
    for (uint64_t seq = 1; seq <= s->events; seq++) {
        uint64_t *word;

        if (!pb_ring_reserve(s->r, 1)) {
            pb_check(pb_ring_wait_room(s->r, SLOTS / 8, -1));
        }
        word = (uint64_t *)pb_ring_reserve(s->r, 1);
        for (int i = 0; i < 8; i++) {
            word[i] = seq * 0x9e3779b97f4a7c15ull + i;
        }
        pb_ring_publish(s->r, 1);
    }
    return NULL;
}

/* Each is released by itself, as the Backup does it. */
static void *consume_dense(void *opaque)
{
    Stream *s = opaque;
    uint64_t wrong = 0;

    stay_on(s->cpu);
    for (uint64_t seq = 1; seq <= s->events; seq++) {
        const uint64_t *word = (const uint64_t *)pb_ring_peek(s->r, 0);

        if (!word) {
            pb_check(pb_ring_wait_events(s->r, 1, -1));
            word = (const uint64_t *)pb_ring_peek(s->r, 0);
        }
        for (int i = 0; i < 8; i++) {
            wrong |= word[i] ^ (seq * 0x9e3779b97f4a7c15ull + i);
        }
        pb_ring_release(s->r, 1);
    }
    pb_check_u64(wrong, 0);
    return NULL;
}

static void run_dense(uint64_t events, int cpu)
{
    Stream s = { pb_ring_new_at(SLOTS, NEAR_WRAP), events, cpu, 1 };
    pthread_t producer, consumer;

    pthread_create(&producer, NULL, produce_dense, &s);
    pthread_create(&consumer, NULL, consume_dense, &s);
    pthread_join(producer, NULL);
    pthread_join(consumer, NULL);
    pb_check_u64(pb_ring_used(s.r), 0);
    pb_check(pb_ring_peek(s.r, 0) == NULL);
    pb_check_u64(atomic_load(&s.r->released),
                 (NEAR_WRAP + events) * PB_EVENT_SIZE);
    pb_ring_free(s.r);
}

static void test_dense_stream_arrives_whole(void)
{
    const char *wanted = getenv("PB_DENSE_EVENTS");

    run_dense(wanted ? strtoull(wanted, NULL, 0)
              : UNDER_TSAN ? 500000 : 10000000, -1);
}

static void test_dense_stream_on_one_cpu_arrives_whole(void)
{
    run_dense(1000000, sched_getcpu());
}

/* ---- each hand-over needs a wake-up: none may be lost ---- */

static void *answer(void *opaque)
{
    PbRing **ring = opaque;

    for (int i = 0; i < 20000; i++) {
        pb_check(pb_ring_wait_events(ring[0], 1, -1));
        pb_ring_release(ring[0], 1);
        publish_marks(ring[1], 1);
    }
    return NULL;
}

static void test_every_question_is_answered(void)
{
    PbRing *ring[2] = { pb_ring_new(SLOTS), pb_ring_new(SLOTS) };
    pthread_t thread;

    pthread_create(&thread, NULL, answer, ring);
    for (int i = 0; i < 20000; i++) {
        publish_marks(ring[0], 1);
        pb_check(pb_ring_wait_events(ring[1], 1, -1));
        pb_ring_release(ring[1], 1);
    }
    pthread_join(thread, NULL);
    pb_ring_free(ring[0]);
    pb_ring_free(ring[1]);
}

int main(void)
{
    static const PbTest tests[] = {
        PB_TEST(waits_end_at_their_timeout),
        PB_TEST(waits_return_at_once_when_there_is_enough),
        PB_TEST(kick_wakes_the_consumer),
        PB_TEST(release_wakes_the_producer),
        PB_TEST(small_releases_reach_a_sleeping_producer),
        PB_TEST(flush_wakes_the_producer),
        PB_TEST(consumer_sleeps_until_there_are_n),
        PB_TEST(producer_sleeps_until_n_are_free),
        PB_TEST(wake_ends_the_wait_that_sleeps),
        PB_TEST(wake_is_kept_for_one_later_wait),
        PB_TEST(close_ends_waits_that_sleep),
        PB_TEST(closed_ring_does_not_sleep_but_is_readable),
        PB_TEST(missed_wake_up_costs_a_moment_only),
        PB_TEST(fast_path_makes_no_system_call),
        PB_TEST(every_question_is_answered),
        PB_TEST(stream_on_one_cpu_arrives_whole),
        PB_TEST(dense_stream_on_one_cpu_arrives_whole),
        PB_TEST(dense_stream_arrives_whole),
        PB_TEST(stream_released_one_by_one_arrives_whole),
        PB_TEST(stream_arrives_whole_and_in_order),
    };

    return pb_tap_run(tests, sizeof(tests) / sizeof(tests[0]));
}
