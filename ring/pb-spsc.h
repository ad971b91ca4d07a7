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
 *
 * An index here counts bytes, not slots: so a slot's address is one addition
 * away from it, up to the ring's end.
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
 * two.  It does so for PB_RING_GROUP bytes together, for nothing may come
 * between two such stores; and not into what it had read of a group when it
 * had seen all there is: who answers at once would wait for those lines.  Nor
 * does it where both are on one CPU, whose cache has them anyhow.
 * -DPB_RING_TOUCH=0 shows what that brings on a given machine.
 */
#define PB_RING_GROUP 512
#ifndef PB_RING_TOUCH
#define PB_RING_TOUCH 1
#endif

/* Two lines: the adjacent-line prefetcher fetches them in pairs. */
#define PB_RING_APART 128

/*
 * A sleeper looks by itself after this time, because a wake-up may be missed
 * while it falls asleep (see pb_ring_sleeps()); then after doubling times up
 * to PB_RING_NAP_GROWTH times this one, so that an idle side costs next to
 * nothing.
 */
#define PB_RING_NAP_NS      1000000ull
#define PB_RING_NAP_GROWTH  16

/* What a side that sleeps tells the other one.  Written rarely. */
typedef struct PbRingSleeper {
    _Atomic uint32_t sleeping;     /* futex: 1 = wake me at @wanted */
    _Atomic uint32_t woken;        /* a pb_ring_wake() not yet answered */
    _Atomic uint64_t wanted;       /* value of the other side's index */
} PbRingSleeper;

/* A place in the ring that others read, too. */
typedef uint8_t *_Atomic PbRingPlace;

struct PbRing {
    /* Constant after pb_ring_new(). */
    alignas(PB_RING_APART) uint64_t mask;      /* @bytes - 1 */
    uint64_t bytes;                            /* of all slots */
    uint32_t slots;
    uint32_t size;                             /* bytes of a slot */
    uint64_t nap_ns;                           /* PB_RING_NAP_NS */

    /*
     * The producer's index, which the consumer polls; and the CPU it was on
     * when it last asked for room, counted from 1.
     */
    alignas(PB_RING_APART) _Atomic uint64_t published;
    _Atomic uint32_t cpu;

    /*
     * The producer's own.  Its index is @published: a copy here would cost one
     * more store for each event.  The slot of an index below @stop_at lies @lap
     * from it.
     */
    alignas(PB_RING_APART) uint64_t room_end;  /* <= what is free + @bytes */
    uint64_t stop_at;          /* @room_end, or the ring's end before it */
    uintptr_t lap;
    uint64_t trimmed;          /* released, at the last pb_ring_trim() */

    alignas(PB_RING_APART) PbRingSleeper consumer;

    /*
     * The consumer's own; only @at and @done are read by others.  What lies
     * from @at to @limit was seen and has no end of the ring in it.  What lies
     * from @done to @at was released, but waits for a peek that reaches @stop:
     * the end of its group, or @tell if no line is to move, or @limit if that
     * comes first.  Until then @at may lie beyond all of them, and beyond the
     * end of the ring.
     */
    alignas(PB_RING_APART) PbRingPlace at;
    uint8_t *stop;
    uint8_t *limit;
    PbRingPlace done;
    uint8_t *tell;             /* the next part's end, which is to be told */
    uint64_t head_seen;                        /* <= published */
    uint32_t pauses;           /* of the next wait before its first look */
    uint32_t answers;          /* waits that are taken for waits for answers */
    bool beside;               /* on the producer's CPU: no line is to move */

    /* The consumer's index as far as it was told, which the producer polls. */
    alignas(PB_RING_APART) _Atomic uint64_t released;

    alignas(PB_RING_APART) PbRingSleeper producer;

    alignas(PB_RING_APART) _Atomic uint32_t closed;

    alignas(PB_RING_GROUP) uint8_t slot[];
};

/*
 * A new ring of slots of @size bytes; else as pb_ring_new_at(), whose @first
 * counts slots.
 */
PbRing *pb_ring_new_of(uint32_t slots, size_t size, uint64_t first);

/*
 * What the fast paths below leave to others, far from their loops.  Producer:
 * reserve slots that the consumer is to be asked for; what lies up to @done +
 * @bytes is ours now.  Consumer: peeks at what lies beyond @limit.
 */
#define PB_RING_COLD __attribute__((cold))
PB_RING_COLD void *pb_ring_ask_room(PbRing *r, uint32_t n);
PB_RING_COLD void pb_ring_take_room(PbRing *r, uint64_t done);
PB_RING_COLD const void *pb_ring_look(PbRing *r, uint32_t i);
PB_RING_COLD const void *pb_ring_look_run(PbRing *r, uint32_t i, uint32_t *n);

/*
 * Consumer: do what remains to be done with what was released, and go on from
 * there, its index.
 */
PB_RING_COLD uint64_t pb_ring_settle(PbRing *r);

/* Consumer: let the producer have what was released, up to @at. */
PB_RING_COLD void pb_ring_tell(PbRing *r, uint8_t *at);

/*
 * Consumer, settled at @tail.  Give back: the producer is to have all before
 * that, if it has not.  Saw: its index was seen to be @published, and slots
 * before that are ours.
 */
PB_RING_COLD void pb_ring_give_back(PbRing *r, uint64_t tail);
PB_RING_COLD void pb_ring_saw(PbRing *r, uint64_t tail, uint64_t published);

/* The one that sleeps, if the other's index has reached what it waits for. */
PB_RING_COLD void pb_ring_wake_consumer(PbRing *r);
PB_RING_COLD void pb_ring_wake_producer(PbRing *r);

/*
 * Consumer: how many pauses the next wait begins with.  One that is faster than
 * the producer would take the line with the index away from it for each event;
 * so it comes back less and less often, up to PB_RING_LONG_PAUSE, until it
 * finds PB_RING_MANY events at once.  An answer looks the same at first, but
 * it does not become more by waiting: who tried for PB_RING_TRY pauses and
 * found fewer events than pauses takes the next PB_RING_ANSWERS for answers.
 */
#define PB_RING_LONG_PAUSE  256
#define PB_RING_MANY        1024
#define PB_RING_TRY         64
#define PB_RING_ANSWERS     1024

/*
 * Learn from a wait whose first look came after @r->pauses: it found what was
 * wanted and @more than that, or else (@found is false) came too early.
 */
PB_RING_COLD void pb_ring_learn(PbRing *r, bool found, uint64_t more);

/*
 * Any thread: the consumer's index, whether the producer was told or not; and
 * the one that it may go by, told or not.
 */
uint64_t pb_ring_tail(const PbRing *r);
uint64_t pb_ring_done(const PbRing *r);

/*
 * The ring, by way of a pointer to its field at @offset, which the compiler
 * cannot see through: so it reaches what is up to 128 bytes away by offsets of
 * one byte.  Zen 5 takes fewer instructions with longer ones in a cycle; an
 * 8-byte read took 0.71 ns instead of 0.95.
 */
static inline PbRing *pb_ring_by(PbRing *r, size_t offset)
{
    char *field = (char *)r + offset;

    __asm__("" : "+r"(field));
    return (PbRing *)(field - offset);
}

#define PB_RING_PRODUCER(r)  pb_ring_by(r, offsetof(PbRing, room_end))
#define PB_RING_CONSUMER(r)  pb_ring_by(r, offsetof(PbRing, at))

static inline void *pb_ring_at(PbRing *r, uint64_t index)
{
    return r->slot + (index & r->mask);
}

/* PbRing.stop of who peeks at @at. */
static inline uint8_t *pb_ring_stop(const PbRing *r, const uint8_t *at)
{
    uint8_t *end = (uint8_t *)((uintptr_t)at | (PB_RING_GROUP - 1)) + 1;

    end = r->beside ? r->tell : end;
    return end < r->limit ? end : r->limit;
}

/* The producer's own index, which only it writes. */
static inline uint64_t pb_ring_head(const PbRing *r)
{
    return atomic_load_explicit(&r->published, memory_order_relaxed);
}

/* Bytes known to be free, without asking the consumer. */
static inline uint64_t pb_ring_room_seen(const PbRing *r)
{
    return r->room_end - pb_ring_head(r);
}

/*
 * True also where the ring ends, where the index is about to wrap, and when
 * more was published than there was room for: pb_ring_ask_room() tells these
 * apart.
 */
static inline bool pb_ring_lacks_room(const PbRing *r, uint64_t head,
                                      uint32_t n, size_t size)
{
    /* Of whole slots one is missing when none is left: one instruction less. */
    return __builtin_constant_p(n) && n == 1 ? head >= r->stop_at
                                             : head + n * size > r->stop_at;
}

static inline void *pb_ring_reserve_of(PbRing *r, uint32_t n, size_t size)
{
    PbRing *p = PB_RING_PRODUCER(r);
    uint64_t head = pb_ring_head(p);
    void *slot;

    assert(n <= PB_RING_MIN_SLOTS / 2 || n <= r->slots / 2);
    if (__builtin_expect(pb_ring_lacks_room(p, head, n, size), 0)) {
        return pb_ring_ask_room(r, n);
    }
    slot = (void *)(p->lap + head);
    if (!slot) {
        __builtin_unreachable();   /* spares the caller a test of it */
    }
    return slot;
}

static inline void *pb_ring_slot_of(PbRing *r, uint32_t i, size_t size)
{
    assert(i * size < pb_ring_room_seen(r));
    return pb_ring_at(r, pb_ring_head(r) + i * size);
}

/* How many of @bytes from @index on lie in one piece. */
static inline uint64_t pb_ring_piece(const PbRing *r, uint64_t index,
                                     uint64_t bytes)
{
    uint64_t piece = r->bytes - (index & r->mask);

    return bytes < piece ? bytes : piece;
}

static inline void *pb_ring_slot_run_of(PbRing *r, uint32_t i, uint32_t *n,
                                        size_t size)
{
    uint64_t at = pb_ring_head(r) + i * size;

    assert(((uint64_t)i + *n) * size <= pb_ring_room_seen(r));
    *n = pb_ring_piece(r, at, *n * size) / size;
    return pb_ring_at(r, at);
}

/* That @n slots were reserved is asserted by the next reserve. */
static inline void pb_ring_publish_of(PbRing *r, uint32_t n, size_t size)
{
    PbRing *p = PB_RING_PRODUCER(r);

    /* From here on the consumer may read and overwrite these slots. */
    atomic_store_explicit(&p->published, pb_ring_head(p) + n * size,
                          memory_order_release);
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

static inline void pb_ring_kick(PbRing *r)
{
    if (pb_ring_sleeps(&r->consumer)) {
        pb_ring_wake_consumer(r);
    }
}

/* The store that PB_RING_TOUCH stands for; never a call, whatever @size. */
static inline void pb_ring_touch(uint8_t *slot, size_t size)
{
    if (PB_RING_TOUCH && size >= 8) {
        memset(slot, 0, 8);
    } else if (PB_RING_TOUCH) {
        memset(slot, 0, 4);
    }
}

/*
 * The same into each line whose last slot is among those from @at to @end: the
 * line has then been read to its end, and that slot is still the consumer's.
 */
static inline void pb_ring_touch_run(uint8_t *at, uint8_t *end, size_t size)
{
    at = (uint8_t *)((uintptr_t)at | (PB_RING_LINE - size));
#pragma GCC unroll 4
    for (; at < end; at += PB_RING_LINE) {
        pb_ring_touch(at, size);
    }
}

/*
 * The @i-th slot, NULL if it was not seen yet; and what is due where a group
 * ends.
 */
static inline uint8_t *pb_ring_known(PbRing *r, uint32_t i, size_t size)
{
    PbRing *c = PB_RING_CONSUMER(r);
    uint8_t *at = atomic_load_explicit(&c->at, memory_order_relaxed);
    uint8_t *slot = at + i * size;

    if (__builtin_expect(slot >= c->stop, 0)) {
        if (slot >= c->limit) {
            return NULL;
        }
        if (!c->beside) {
            pb_ring_touch_run(atomic_load_explicit(&c->done,
                                                   memory_order_relaxed),
                              at, size);
        }
        /* From here on a producer that slept may overwrite these slots. */
        atomic_store_explicit(&c->done, at, memory_order_release);
        if (at >= c->tell) {
            pb_ring_tell(r, at);
        }
        c->stop = pb_ring_stop(c, slot);
    }
    if (!slot) {
        __builtin_unreachable();   /* spares the caller a test of it */
    }
    return slot;
}

static inline const void *pb_ring_peek_of(PbRing *r, uint32_t i, size_t size)
{
    uint8_t *slot = pb_ring_known(r, i, size);

    return slot ? slot : pb_ring_look(r, i);
}

static inline const void *pb_ring_peek_run_of(PbRing *r, uint32_t i,
                                              uint32_t *n, size_t size)
{
    const void *slot = pb_ring_known(r, i, size);
    uint32_t there = *n;       /* not the caller's, which is in a register */

    if (!slot) {
        slot = pb_ring_look_run(r, i, &there);
    } else {
        size_t seen = (PB_RING_CONSUMER(r)->limit - (uint8_t *)slot) / size;

        there = there < seen ? there : seen;
    }
    *n = there;
    return slot;
}

/*
 * The next peek does what is to be done with them, and asserts that they had
 * been published.
 */
static inline void pb_ring_release_of(PbRing *r, uint32_t n, size_t size)
{
    PbRing *c = PB_RING_CONSUMER(r);
    uint8_t *at = atomic_load_explicit(&c->at, memory_order_relaxed);

    /* Release: whoever sees this sees a @published that is not below it. */
    atomic_store_explicit(&c->at, at + n * size, memory_order_release);
}

#endif /* PB_SPSC_H */
