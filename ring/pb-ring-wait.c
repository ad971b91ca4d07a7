/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-ring-wait.c: looking again and again, sleeping, and waking the other. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE             /* syscall() */
#endif
#include "pb-ring.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/*
 * Looks a pause apart, for an answer that is under way, then pauses doubling
 * up to these before the last look without a system call: some microseconds.
 */
#define PB_RING_QUICK_LOOKS 64
#define PB_RING_MAX_PAUSES  256

static bool reached(uint64_t index, uint64_t wanted)
{
    return (int64_t)(index - wanted) >= 0;
}

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static void futex_wait_until(_Atomic uint32_t *word, uint32_t value,
                             uint64_t time_ns)
{
    struct timespec ts = {
        .tv_sec = time_ns / 1000000000,
        .tv_nsec = time_ns % 1000000000,
    };

    /* Whatever it returns, the caller looks again. */
    syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, value,
            &ts, NULL, FUTEX_BITSET_MATCH_ANY);
}

static void rouse(PbRingSleeper *s)
{
    /* From here on it does not fall asleep without a look at what changed. */
    if (atomic_exchange(&s->sleeping, 0)) {
        syscall(SYS_futex, &s->sleeping, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1);
    }
}

static void wake_at(PbRingSleeper *s, const _Atomic uint64_t *index)
{
    uint64_t wanted = atomic_load_explicit(&s->wanted, memory_order_relaxed);

    if (reached(atomic_load_explicit(index, memory_order_relaxed), wanted)) {
        rouse(s);
    }
}

void pb_ring_wake_consumer(PbRing *r)
{
    wake_at(&r->consumer, &r->published);
}

void pb_ring_wake_producer(PbRing *r)
{
    wake_at(&r->producer, &r->released);
}

static void pause_cpu(unsigned times)
{
    while (times--) {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#else
        atomic_signal_fence(memory_order_seq_cst);
#endif
    }
}

/* What @index is in the end: @wanted or more, unless that took too long. */
static uint64_t spin(const _Atomic uint64_t *index, uint64_t wanted)
{
    unsigned looks = 0, pauses = 1;
    uint64_t seen;

    for (;;) {
        seen = atomic_load_explicit(index, memory_order_acquire);
        if (reached(seen, wanted) || pauses > PB_RING_MAX_PAUSES) {
            return seen;
        }
        pause_cpu(pauses);
        pauses *= ++looks > PB_RING_QUICK_LOOKS ? 2 : 1;
    }
}

void pb_ring_learn(PbRing *r, bool found, uint64_t more)
{
    if (!found) {
        r->pauses = r->pauses > 1 ? r->pauses / 2 : 1;
    } else if (r->answers) {
        r->answers--;
    } else if (more < r->pauses && r->pauses >= PB_RING_TRY) {
        r->pauses = 1;
        r->answers = PB_RING_ANSWERS;
    } else if (more < PB_RING_MANY && r->pauses < PB_RING_LONG_PAUSE) {
        r->pauses *= 2;
    }
}

/*
 * The consumer's spin().  Only a first look that finds something says that the
 * producer is at work: who has to look twice waits for a slow one, and is
 * then to see its next event soon.
 */
static uint64_t spin_for_events(PbRing *r, uint64_t wanted)
{
    uint64_t seen;

    pause_cpu(r->pauses);
    seen = atomic_load_explicit(&r->published, memory_order_acquire);
    pb_ring_learn(r, reached(seen, wanted), (seen - wanted) / r->size);
    return reached(seen, wanted) ? seen : spin(&r->published, wanted);
}

/* The index that @s waits for: the producer's sleeper asks for what is done. */
static uint64_t index_for(const PbRing *r, const PbRingSleeper *s)
{
    return s == &r->producer ? pb_ring_done(r) : atomic_load(&r->published);
}

/* Sleep as @s until the other side's index reaches @wanted. */
static void sleep_until(PbRing *r, PbRingSleeper *s, uint64_t wanted,
                        int timeout_ms)
{
    uint64_t now = now_ns();
    uint64_t deadline = timeout_ms < 0 ? UINT64_MAX
                        : now + timeout_ms * 1000000ull;
    uint64_t nap = r->nap_ns;

    atomic_store_explicit(&s->wanted, wanted, memory_order_relaxed);
    for (;;) {
        /* From here on the other side wakes us when it passes @wanted. */
        if (!atomic_exchange(&s->sleeping, 1)) {
            nap = r->nap_ns;
        }
        if (reached(index_for(r, s), wanted) || atomic_load(&r->closed) ||
            atomic_exchange(&s->woken, 0) || now >= deadline) {
            break;
        }
        futex_wait_until(&s->sleeping, 1,
                         now + (nap < deadline - now ? nap : deadline - now));
        if (nap < r->nap_ns * PB_RING_NAP_GROWTH) {
            nap *= 2;
        }
        now = now_ns();
    }
    /* From here on the other side makes no system call for us. */
    atomic_store_explicit(&s->sleeping, 0, memory_order_relaxed);
}

bool pb_ring_wait_room(PbRing *r, uint32_t n, int timeout_ms)
{
    uint64_t wanted = pb_ring_head(r) + (uint64_t)n * r->size - r->bytes;

    pb_ring_kick(r);
    if (pb_ring_reserve(r, n) || (reached(spin(&r->released, wanted),
                                          wanted) &&
                                  pb_ring_ask_room(r, n))) {
        return true;
    }
    sleep_until(r, &r->producer, wanted, timeout_ms);
    /* Slots before this index are ours: the consumer has done with them. */
    pb_ring_take_room(r, pb_ring_done(r));
    return pb_ring_reserve(r, n) != NULL;
}

bool pb_ring_wait_events(PbRing *r, uint32_t n, int timeout_ms)
{
    uint64_t tail = pb_ring_settle(r), wanted = tail + (uint64_t)n * r->size;
    uint64_t seen = atomic_load_explicit(&r->published, memory_order_acquire);

    assert(n <= r->slots / 2);
    if (!reached(seen, wanted)) {
        pb_ring_give_back(r, tail);
        seen = spin_for_events(r, wanted);
        if (!reached(seen, wanted)) {
            sleep_until(r, &r->consumer, wanted, timeout_ms);
            seen = atomic_load_explicit(&r->published, memory_order_acquire);
        }
    }
    /* Looking again would take the line from a producer that goes on. */
    pb_ring_saw(r, tail, seen);
    return reached(seen, wanted);
}

void pb_ring_wake(PbRing *r)
{
    /* From here on the consumer may take this as its reason to return. */
    atomic_store(&r->consumer.woken, 1);
    rouse(&r->consumer);
}

void pb_ring_close(PbRing *r)
{
    /* From here on neither side falls asleep again. */
    atomic_store(&r->closed, 1);
    rouse(&r->consumer);
    rouse(&r->producer);
}
