/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-ring.h: the one-way queue of events, from the Primary to the Backup.
 *
 * C11 only: no QEMU, no KVM, no GLib.  Single producer, single consumer,
 * in place: the producer writes an event where the consumer will read it.
 * Each function names the thread that may call it.  A slot belongs to the
 * producer from release to publish, and to the consumer from publish to
 * release; nobody else touches it.  Its owner may write to it: the content
 * of a slot is lost when it is released.  Indices are 64 bits, run freely and
 * never wrap in practice; the tests start them just below 2^64.
 *
 * The ring never blocks and never drops: the caller decides what full means
 * (policy `block`: pb_ring_wait_room()).  No call makes a system call, except
 * a wait that finds too little, and what wakes a side that sleeps (kick, flush,
 * a peek).  Broken
 * rules (asking for more than half the ring, publishing what was not reserved,
 * releasing what was not published) are caught by assert(), the last two when
 * slots are reserved or peeked at next: a test in each publish and each release
 * would cost a tenth of it.
 *
 * Speed: publish and release many slots with one call where that is possible;
 * a producer that found the ring full does best to wait for room for slots / 8.
 * What the consumer releases reaches the producer as it peeks on, slots / 8 at
 * a time, or sooner: with the first call that finds less published than it
 * asked for, or with pb_ring_flush(); a producer that sleeps finds by itself
 * within 16 ms all but the last few.
 * So a consumer that polls or waits on the ring holds nothing back; one that
 * stops for anything else calls pb_ring_flush() first.
 */
#ifndef PB_RING_H
#define PB_RING_H

#include "pb-event.h"

#define PB_RING_MIN_SLOTS  4096u          /* > the largest payload's slots */
#define PB_RING_MAX_SLOTS  (1u << 26)     /* 4 GiB */
#define PB_RING_TRIM       4096u          /* 256 KiB */

typedef struct PbRing PbRing;   /* opaque: pb-ring-impl.h is for inlining */

/*
 * A new, empty ring of @slots events: a power of two from PB_RING_MIN_SLOTS
 * to PB_RING_MAX_SLOTS.  Pages are touched when first used.  NULL with errno
 * EINVAL or ENOMEM.  Owned by the caller; pb_ring_free(NULL) is allowed.
 * Both threads must have finished with the ring before it is freed.
 */
PbRing *pb_ring_new(uint32_t slots);
void pb_ring_free(PbRing *r);

/* For tests: both indices start at @first. */
PbRing *pb_ring_new_at(uint32_t slots, uint64_t first);

/*
 * Any thread: a moment's view, exact when the other sides are at rest.  Used
 * are the slots published and not released, whether the producer knows or not.
 */
uint32_t pb_ring_slots(const PbRing *r);
uint32_t pb_ring_used(const PbRing *r);

/* ---- producer thread only ---- */

/*
 * The first of @n free slots (they are found by pb_ring_slot() with 0..n-1),
 * or NULL when fewer are free.  Reserving again without publishing returns
 * the same slots.  @n is at most slots / 2.  The slots hold old bytes: write
 * every field.
 */
static inline PbEvent *pb_ring_reserve(PbRing *r, uint32_t n);

/* The @i-th slot after the last published one; must be reserved. */
static inline PbEvent *pb_ring_slot(PbRing *r, uint32_t i);

/*
 * The same, for reserved slots @i to @i + *n - 1: *n becomes how many of them,
 * from @i on, lie in one piece.
 */
static inline PbEvent *pb_ring_slot_run(PbRing *r, uint32_t i, uint32_t *n);

/* Hand the first @n reserved slots to the consumer. */
static inline void pb_ring_publish(PbRing *r, uint32_t n);

/*
 * Wake the consumer if it sleeps and waits for no more than what is published
 * now.  To be called after the last of some publishes, before the producer
 * turns to anything else: without it a sleeper finds them by itself, within
 * 16 ms.
 */
static inline void pb_ring_kick(PbRing *r);

/*
 * Publish a copy of the event with its payload that stands in the @n slots at
 * @slots, all of it at once, and kick.  False, and nothing has happened, when
 * fewer are free.  For events made elsewhere: what is made here is made in
 * place.
 */
bool pb_ring_put(PbRing *r, const PbEvent *slots, uint32_t n);

/*
 * Give memory of free slots back to the kernel, if PB_RING_TRIM slots came free
 * since the last time: a ring that was full once would keep it for good.
 * Slots that are soon to be used stay; small rings stay whole.  Costs a
 * system call per PB_RING_TRIM slots, and a page fault per page used again.
 */
void pb_ring_trim(PbRing *r);

/*
 * Sleep until @n slots are free, pb_ring_close() or @timeout_ms (-1: none).
 * Returns true when there is room.  @n is at most slots / 2: so at least one
 * of the two sides can always go on.  Signals do not end the wait.
 */
bool pb_ring_wait_room(PbRing *r, uint32_t n, int timeout_ms);

/* ---- consumer thread only ---- */

/*
 * The @i-th published and unreleased slot, or NULL when there is none yet.
 * Costs no access to shared memory when the slot has been seen before.
 */
static inline const PbEvent *pb_ring_peek(PbRing *r, uint32_t i);

/*
 * The same for up to *n (not 0) slots from the @i-th on: *n becomes how many
 * of them lie in one piece, one at least unless the result is NULL.  There may
 * be more behind them.
 */
static inline const PbEvent *pb_ring_peek_run(PbRing *r, uint32_t i,
                                              uint32_t *n);

/*
 * Give the first @n slots back to the producer.  All of them must have been
 * seen by pb_ring_peek() or pb_ring_wait_events().  They are kept from it until
 * the next peek, and less than slots / 8 of them longer: see pb_ring_flush().
 */
static inline void pb_ring_release(PbRing *r, uint32_t n);

/*
 * Let the producer have all that was released, now, and wake it if it waits
 * for no more.  For a consumer that will not soon look for events again.
 */
void pb_ring_flush(PbRing *r);

/*
 * Sleep until at least @n slots are published, pb_ring_close(), a
 * pb_ring_wake(), or @timeout_ms (-1: none).  Returns true when they are.
 * @n is at most slots / 2.  Signals do not end the wait.
 */
bool pb_ring_wait_events(PbRing *r, uint32_t n, int timeout_ms);

/* ---- any thread ---- */

/*
 * Let pb_ring_wait_events() return early, once: the one that sleeps now, or
 * else the next one that would sleep.
 */
void pb_ring_wake(PbRing *r);

/*
 * Both waits return at once from now on.  What is published stays readable,
 * and both sides may go on without waiting.
 */
void pb_ring_close(PbRing *r);

#include "pb-ring-impl.h"

#endif /* PB_RING_H */
