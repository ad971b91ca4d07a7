/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-ring-impl.h: the ring's memory layout and its fast paths.
 *
 * Private to pb-ring.h, which includes it so that the fast paths are inlined
 * (a call per event halves the throughput).  Nobody but ring/ and its tests
 * uses a field or a name that only this file declares.
 */
#ifndef PB_RING_IMPL_H
#define PB_RING_IMPL_H

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>

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
 * wake-up may be missed while it falls asleep (see pb_ring_tell()); then
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
    alignas(PB_RING_APART) PbEvent *slot;
    uint32_t slots;
    uint64_t mask;
    uint64_t nap_ns;                           /* PB_RING_NAP_NS */

    /* Producer's own: the other side never looks at this line. */
    alignas(PB_RING_APART) uint64_t head;      /* = published */
    uint64_t tail_seen;                        /* <= released */

    /* Consumer's own. */
    alignas(PB_RING_APART) uint64_t tail;      /* = released */
    uint64_t head_seen;                        /* <= published */

    /* Shared, each written by one side, and read by the other when needed. */
    alignas(PB_RING_APART) _Atomic uint64_t published;
    alignas(PB_RING_APART) _Atomic uint64_t released;

    /* Read at each publish (release), written when a side goes to sleep. */
    alignas(PB_RING_APART) PbRingSleeper consumer;
    alignas(PB_RING_APART) PbRingSleeper producer;

    alignas(PB_RING_APART) _Atomic uint32_t closed;
};

/* Wake @s if @index has reached what it waits for. */
void pb_ring_wake_sleeper(PbRingSleeper *s, uint64_t index);

/* Slots known to be free, without asking the consumer. */
static inline uint64_t pb_ring_room_seen(const PbRing *r)
{
    return r->slots - (r->head - r->tail_seen);
}

static inline PbEvent *pb_ring_reserve(PbRing *r, uint32_t n)
{
    assert(n <= r->slots / 2);
    if (n > pb_ring_room_seen(r)) {
        /* Slots before this index are ours: the consumer has done with them. */
        r->tail_seen = atomic_load_explicit(&r->released,
                                            memory_order_acquire);
        if (n > pb_ring_room_seen(r)) {
            return NULL;
        }
    }
    return &r->slot[r->head & r->mask];
}

static inline PbEvent *pb_ring_slot(PbRing *r, uint32_t i)
{
    assert(i < pb_ring_room_seen(r));
    return &r->slot[(r->head + i) & r->mask];
}

/*
 * The index is stored before the sleeper is looked at, but without a fence
 * (it would cost more than all the rest) the processor may look first: then
 * the other side, going to sleep in that very moment, is not woken.  The
 * store becomes visible at once all the same, and a sleeper looks again by
 * itself after PB_RING_NAP_NS; so it costs that sleeper a
 * delay, once, and never an event.  The signal fence keeps the compiler from
 * widening the window.
 */
static inline void pb_ring_tell(PbRingSleeper *s, uint64_t index)
{
    atomic_signal_fence(memory_order_seq_cst);
    /* 1: the other side sleeps, or is about to look at our index again. */
    if (atomic_load_explicit(&s->sleeping, memory_order_acquire)) {
        pb_ring_wake_sleeper(s, index);
    }
}

static inline void pb_ring_publish(PbRing *r, uint32_t n)
{
    assert(n <= pb_ring_room_seen(r));
    r->head += n;
    /* From here on the consumer may read and overwrite these slots. */
    atomic_store_explicit(&r->published, r->head, memory_order_release);
    pb_ring_tell(&r->consumer, r->head);
}

static inline const PbEvent *pb_ring_peek(PbRing *r, uint32_t i)
{
    if (i >= r->head_seen - r->tail) {
        /* Slots before this index are ours: the producer has filled them. */
        r->head_seen = atomic_load_explicit(&r->published,
                                            memory_order_acquire);
        if (i >= r->head_seen - r->tail) {
            return NULL;
        }
    }
    return &r->slot[(r->tail + i) & r->mask];
}

static inline void pb_ring_release(PbRing *r, uint32_t n)
{
    assert(n <= r->head_seen - r->tail);
    for (uint32_t i = 0; PB_RING_TOUCH && i < n; i++) {
        r->slot[(r->tail + i) & r->mask].seq = 0;
    }
    r->tail += n;
    /* From here on the producer may overwrite these slots. */
    atomic_store_explicit(&r->released, r->tail, memory_order_release);
    pb_ring_tell(&r->producer, r->tail);
}

#endif /* PB_RING_IMPL_H */
