/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-spsc.h: the ring's engine, for slots of any size: its memory layout and
 * its fast paths.
 *
 * Private to ring/ and to what measures or tests it; pb-ring.h includes it
 * after its own declarations.  Each function does what the one of pb-ring.h
 * with the same name does; @size, the same in every call on one ring, is a
 * power of two of bytes from 4 to 64, and must be a constant where speed
 * matters: all of this is inlined (a call per event halves the throughput).
 * pb-ring-impl.h gives it the size of an event.
 */
#ifndef PB_SPSC_H
#define PB_SPSC_H

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PB_RING_LINE 64

/*
 * The consumer stores one word into each line it has read.  The producer's
 * next store then finds the line modified in one cache, instead of shared by
 * two.  -DPB_RING_TOUCH=0 shows what that brings on a given machine.
 */
#ifndef PB_RING_TOUCH
#define PB_RING_TOUCH 1
#endif

/* Two lines: the adjacent-line prefetcher fetches them in pairs. */
#define PB_RING_APART 128

/*
 * A sleeper looks at the index again by itself after this time, because a
 * wake-up may be missed while it falls asleep (see pb_ring_sleeps()); then
 * after doubling times up to PB_RING_NAP_GROWTH times this one, so that an
 * idle side costs next to nothing.
 */
#define PB_RING_NAP_NS      1000000ull
#define PB_RING_NAP_GROWTH  16

/* What a side that sleeps tells the other one.  Written rarely. */
typedef struct PbRingSleeper {
    _Atomic uint32_t sleeping;     /* futex: 1 = wake me at @wanted */
    _Atomic uint32_t woken;        /* a pb_ring_wake() not yet answered */
    _Atomic uint64_t wanted;       /* value of the other side's index */
} PbRingSleeper;

struct PbRing {
    /* Constant after pb_ring_new(). */
    alignas(PB_RING_APART) uint64_t mask;
    uint32_t slots;
    size_t bytes;                              /* mapped, with this struct */
    uint64_t nap_ns;                           /* PB_RING_NAP_NS */

    /*
     * Producer's own: the other side never looks at this line.  Its index is
     * @published: a copy here would cost one more store for each event.
     */
    alignas(PB_RING_APART) uint64_t room_end;  /* <= released + slots */
    uint64_t trimmed;          /* released, at the last pb_ring_trim() */

    /*
     * Consumer's own.  pb_ring_used() reads @tail too, so it is stored to as
     * an atomic; the consumer itself needs none to read it.
     */
    alignas(PB_RING_APART) uint64_t tail;
    uint64_t head_seen;                        /* <= published */
    uint32_t pauses;           /* of the next wait before its first look */
    uint64_t tell_at;          /* released + slots / 8: a @tail to tell of */

    /* Shared, each written by one side, and read by the other when needed. */
    alignas(PB_RING_APART) _Atomic uint64_t published;
    alignas(PB_RING_APART) _Atomic uint64_t released;

    /* Read at each publish and release, written when a side goes to sleep. */
    alignas(PB_RING_APART) PbRingSleeper consumer;
    alignas(PB_RING_APART) PbRingSleeper producer;

    alignas(PB_RING_APART) _Atomic uint32_t closed;

    alignas(PB_RING_APART) uint8_t slot[];
};

/* A new ring of slots of @size bytes; else as pb_ring_new_at(). */
PbRing *pb_ring_new_of(uint32_t slots, size_t size, uint64_t first);

/* The one that sleeps, if the other's index has reached what it waits for. */
void pb_ring_wake_consumer(PbRing *r);
void pb_ring_wake_producer(PbRing *r);

static inline void *pb_ring_at(PbRing *r, uint64_t index, size_t size)
{
    return r->slot + (index & r->mask) * size;
}

/* The producer's own index, which only it writes. */
static inline uint64_t pb_ring_head(const PbRing *r)
{
    return atomic_load_explicit(&r->published, memory_order_relaxed);
}

/* Slots known to be free, without asking the consumer. */
static inline uint64_t pb_ring_room_seen(const PbRing *r)
{
    return r->room_end - pb_ring_head(r);
}

static inline void *pb_ring_reserve_of(PbRing *r, uint32_t n, size_t size)
{
    uint64_t head = pb_ring_head(r);

    assert(n <= PB_RING_MIN_SLOTS / 2 || n <= r->slots / 2);
    if (__builtin_expect(n > r->room_end - head, 0)) {
        /* Slots before this index are ours: the consumer has done with them. */
        r->room_end = atomic_load_explicit(&r->released,
                                           memory_order_acquire) + r->slots;
        if (n > r->room_end - head) {
            return NULL;
        }
    }
    return pb_ring_at(r, head, size);
}

static inline void *pb_ring_slot_of(PbRing *r, uint32_t i, size_t size)
{
    assert(i < pb_ring_room_seen(r));
    return pb_ring_at(r, pb_ring_head(r) + i, size);
}

static inline uint32_t pb_ring_piece(const PbRing *r, uint64_t index,
                                     uint64_t n)
{
    uint64_t piece = r->slots - (index & r->mask);

    return n < piece ? n : piece;
}

static inline void *pb_ring_slot_run_of(PbRing *r, uint32_t i, uint32_t *n,
                                        size_t size)
{
    assert((uint64_t)i + *n <= pb_ring_room_seen(r));
    *n = pb_ring_piece(r, pb_ring_head(r) + i, *n);
    return pb_ring_at(r, pb_ring_head(r) + i, size);
}

/*
 * True if the other side sleeps, or is about to look at our index again.
 *
 * The index is stored before the sleeper is looked at, but without a fence
 * (it would cost more than all the rest) the processor may look first: then
 * the other side, going to sleep in that very moment, is not woken.  The
 * store becomes visible at once all the same, and a sleeper looks again by
 * itself after PB_RING_NAP_NS; so it costs that sleeper a
 * delay, once, and never an event.  The signal fence keeps the compiler from
 * widening the window.
 */
static inline bool pb_ring_sleeps(PbRingSleeper *s)
{
    atomic_signal_fence(memory_order_seq_cst);
    return __builtin_expect(atomic_load_explicit(&s->sleeping,
                                                 memory_order_acquire), 0);
}

static inline void pb_ring_publish(PbRing *r, uint32_t n)
{
    uint64_t head = pb_ring_head(r);

    assert(n <= r->room_end - head);
    head += n;
    /* From here on the consumer may read and overwrite these slots. */
    atomic_store_explicit(&r->published, head, memory_order_release);
    if (pb_ring_sleeps(&r->consumer)) {
        pb_ring_wake_consumer(r);
    }
}

/* Let the producer have all that has been released. */
static inline void pb_ring_flush(PbRing *r)
{
    uint64_t tail = r->tail;

    if (tail != r->tell_at - r->slots / 8) {
        r->tell_at = tail + r->slots / 8;
        /* From here on the producer may overwrite these slots. */
        atomic_store_explicit(&r->released, tail, memory_order_release);
        if (pb_ring_sleeps(&r->producer)) {
            pb_ring_wake_producer(r);
        }
    }
}

static inline const void *pb_ring_peek_of(PbRing *r, uint32_t i, size_t size)
{
    uint64_t tail = r->tail;

    if (__builtin_expect(i >= r->head_seen - tail, 0)) {
        /* Slots before this index are ours: the producer has filled them. */
        r->head_seen = atomic_load_explicit(&r->published,
                                            memory_order_acquire);
        if (i >= r->head_seen - tail) {
            pb_ring_flush(r);
            return NULL;
        }
    }
    return pb_ring_at(r, tail + i, size);
}

static inline const void *pb_ring_peek_run_of(PbRing *r, uint32_t i,
                                              uint32_t *n, size_t size)
{
    uint64_t tail = r->tail;
    uint64_t seen = r->head_seen - tail;

    if ((uint64_t)i + *n > seen) {
        if (!pb_ring_peek_of(r, i + *n - 1, size) && i >= r->head_seen - tail) {
            return NULL;
        }
        seen = r->head_seen - tail;
    }
    *n = pb_ring_piece(r, tail + i, *n < seen - i ? *n : seen - i);
    return pb_ring_at(r, tail + i, size);
}

/*
 * The store that PB_RING_TOUCH stands for, into each line whose last slot is
 * among the @n from @at on: the line has then been read to its end, and that
 * slot is still the consumer's.
 */
static inline void pb_ring_touch(PbRing *r, uint64_t at, uint32_t n,
                                 size_t size)
{
    const uint64_t per_line = PB_RING_LINE / size;
    uint64_t i = per_line - 1 - (at & (per_line - 1));

    for (; PB_RING_TOUCH && i < n; i += per_line) {
        memset(pb_ring_at(r, at + i, size), 0, size < 8 ? size : 8);
    }
}

static inline void pb_ring_release_of(PbRing *r, uint32_t n, size_t size)
{
    uint64_t tail = r->tail;

    assert(n <= r->head_seen - tail);
    tail += n;
    /* Release: whoever sees this sees a @published that is not below it. */
    __atomic_store_n(&r->tail, tail, __ATOMIC_RELEASE);
    if ((tail & (PB_RING_LINE / size - 1)) >= n) {
        return;                    /* not at, nor past, the end of a line */
    }
    pb_ring_touch(r, tail - n, n, size);
    if (__builtin_expect((int64_t)(tail - r->tell_at) >= 0 ||
                         atomic_load_explicit(&r->producer.sleeping,
                                              memory_order_relaxed), 0)) {
        pb_ring_flush(r);
    }
}

#endif /* PB_SPSC_H */
