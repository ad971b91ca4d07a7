/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-ring.c: making a ring, and what is not worth inlining. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE             /* MAP_ANONYMOUS, sched_getcpu() */
#endif
#include "pb-ring.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Where the part of the ring that @index is in ends: what is released is told a
 * part at a time.  An eighth, for a producer that is at work beside; a half for
 * one that has no CPU meanwhile.
 */
static uint8_t *part_end(PbRing *r, uint64_t index)
{
    return (uint8_t *)pb_ring_at(r, index |
                                 (r->mask >> (r->beside ? 1 : 3))) + 1;
}

PbRing *pb_ring_new_of(uint32_t slots, size_t size, uint64_t first)
{
    uint64_t bytes = slots * size, index = first * size;
    PbRing *r;

    if (slots < PB_RING_MIN_SLOTS || slots > PB_RING_MAX_SLOTS ||
        (slots & (slots - 1))) {
        errno = EINVAL;
        return NULL;
    }
    r = mmap(NULL, sizeof(PbRing) + bytes, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (r == MAP_FAILED) {
        errno = ENOMEM;
        return NULL;
    }
    r->slots = slots;
    r->mask = bytes - 1;
    r->size = size;
    r->bytes = bytes;
    r->nap_ns = PB_RING_NAP_NS;
    r->room_end = index + bytes;
    r->trimmed = index;
    r->head_seen = index;
    r->pauses = 1;
    r->tell = part_end(r, index);
    r->stop = r->limit = pb_ring_at(r, index);
    atomic_init(&r->at, r->stop);
    atomic_init(&r->done, r->stop);
    atomic_init(&r->published, index);
    atomic_init(&r->released, index);
    return r;
}

PbRing *pb_ring_new_at(uint32_t slots, uint64_t first)
{
    return pb_ring_new_of(slots, PB_EVENT_SIZE, first);
}

PbRing *pb_ring_new(uint32_t slots)
{
    return pb_ring_new_at(slots, 0);
}

void pb_ring_free(PbRing *r)
{
    if (r) {
        munmap(r, sizeof(PbRing) + r->bytes);
    }
}

uint32_t pb_ring_slots(const PbRing *r)
{
    return r->slots;
}

/* The index of the consumer's slot at @place; @told was released before. */
static uint64_t index_after(const PbRing *r, uint64_t told,
                            const uint8_t *place)
{
    int64_t more = place - (r->slot + (told & r->mask));

    /* The place is in the next lap already, told only in a moment. */
    return told + more + (more < 0 ? r->bytes : 0);
}

/* The same, when the consumer may move it on. */
static uint64_t index_of(const PbRing *r, const PbRingPlace *place)
{
    uint64_t told, index;

    do {
        told = atomic_load_explicit(&r->released, memory_order_acquire);
        index = index_after(r, told, atomic_load_explicit(place,
                                                  memory_order_acquire));
    } while (atomic_load_explicit(&r->released, memory_order_relaxed) != told);
    return index;
}

uint64_t pb_ring_tail(const PbRing *r)
{
    return index_of(r, &r->at);
}

uint64_t pb_ring_done(const PbRing *r)
{
    return index_of(r, &r->done);
}

uint32_t pb_ring_used(const PbRing *r)
{
    /* In this order the difference cannot fall below zero. */
    uint64_t tail = pb_ring_tail(r);
    uint64_t used = atomic_load_explicit(&r->published,
                                         memory_order_acquire) - tail;

    return used < r->bytes ? used / r->size : r->slots;
}

/* ---- producer ---- */

/* Where we are now; a hint, which may be wrong in a moment. */
static uint32_t this_cpu(void)
{
    return sched_getcpu() + 1;      /* 0: it cannot be told */
}

static void note_cpu(PbRing *r)
{
    uint32_t now = this_cpu();

    if (now != atomic_load_explicit(&r->cpu, memory_order_relaxed)) {
        atomic_store_explicit(&r->cpu, now, memory_order_relaxed);
    }
}

void pb_ring_take_room(PbRing *r, uint64_t done)
{
    uint64_t end = done + r->bytes, head = pb_ring_head(r);

    note_cpu(r);
    /* More may be known already. */
    if ((int64_t)(end - r->room_end) > 0) {
        r->room_end = end;
    }
    /* A publish may have reached the ring's end: on from its begin. */
    r->lap = (uintptr_t)r->slot - (head & ~r->mask);
    r->stop_at = head + pb_ring_piece(r, head, r->room_end - head);
}

void *pb_ring_ask_room(PbRing *r, uint32_t n)
{
    assert((int64_t)pb_ring_room_seen(r) >= 0);
    /* Slots before this index are ours: the consumer has done with them. */
    pb_ring_take_room(r, atomic_load_explicit(&r->released,
                                              memory_order_acquire));
    return (uint64_t)n * r->size <= pb_ring_room_seen(r)
           ? pb_ring_at(r, pb_ring_head(r)) : NULL;
}

bool pb_ring_put(PbRing *r, const PbEvent *slots, uint32_t n)
{
    uint32_t i, run;

    if (!pb_ring_reserve(r, n)) {
        return false;
    }
    for (i = 0; i < n; i += run) {
        PbEvent *to;

        run = n - i;
        to = pb_ring_slot_run(r, i, &run);
        memcpy(to, slots + i, run * sizeof(*slots));
    }
    pb_ring_publish(r, n);
    pb_ring_kick(r);
    return true;
}

/* The pages that lie wholly in @bytes from @first on, which do not wrap. */
static void drop_pages(const uint8_t *first, uint64_t bytes)
{
    uintptr_t page = sysconf(_SC_PAGESIZE);
    uintptr_t from = ((uintptr_t)first + page - 1) & -page;
    uintptr_t end = (uintptr_t)(first + bytes) & -page;

    if (from < end) {
        /* Without effect at worst. */
        madvise((void *)from, end - from, MADV_DONTNEED);
    }
}

void pb_ring_trim(PbRing *r)
{
    /* Slots before this index are ours: the consumer has done with them. */
    uint64_t end = atomic_load_explicit(&r->released, memory_order_acquire);
    uint64_t trim = (uint64_t)PB_RING_TRIM * r->size;
    uint64_t at = pb_ring_head(r) + trim, piece;

    if (end - r->trimmed < trim || r->bytes < 4 * trim) {
        return;
    }
    r->trimmed = end;
    end += r->bytes;
    for (; (int64_t)(end - at) > 0; at += piece) {
        piece = pb_ring_piece(r, at, end - at);
        drop_pages(pb_ring_at(r, at), piece);
    }
}

/* ---- consumer ---- */

/* Fast paths go on until nothing was seen, or the ring ends. */
static void set_limit(PbRing *r, uint64_t tail)
{
    uint8_t *at = pb_ring_at(r, tail);

    r->limit = at + pb_ring_piece(r, tail, r->head_seen - tail);
    r->stop = pb_ring_stop(r, at);
}

/* Let the producer have the slots before @tail, with which all is done. */
static void tell(PbRing *r, uint64_t tail)
{
    r->tell = part_end(r, tail);
    /* From here on the producer may overwrite these slots. */
    atomic_store_explicit(&r->released, tail, memory_order_release);
    if (pb_ring_sleeps(&r->producer)) {
        pb_ring_wake_producer(r);
    }
}

void pb_ring_tell(PbRing *r, uint8_t *at)
{
    tell(r, index_after(r, atomic_load_explicit(&r->released,
                                                memory_order_relaxed), at));
}

/* What was released before @tail, and not stored to yet; @told was before. */
static void touch_before(PbRing *r, uint64_t told, uint64_t tail)
{
    uint8_t *from = atomic_load_explicit(&r->done, memory_order_relaxed);
    uint64_t done = index_after(r, told, from), bytes = tail - done;
    uint64_t piece = pb_ring_piece(r, done, bytes);

    /* A few that were all there is may be answered at once. */
    if (tail != r->head_seen || bytes >= PB_RING_GROUP) {
        pb_ring_touch_run(from, from + piece, r->size);
        pb_ring_touch_run(r->slot, r->slot + (bytes - piece), r->size);
    }
}

uint64_t pb_ring_settle(PbRing *r)
{
    uint64_t told = atomic_load_explicit(&r->released, memory_order_relaxed);
    uint64_t tail = index_after(r, told, atomic_load_explicit(&r->at,
                                                  memory_order_relaxed));
    uint8_t *at = pb_ring_at(r, tail);
    bool due = atomic_load_explicit(&r->at, memory_order_relaxed) >= r->tell;

    assert((int64_t)(r->head_seen - tail) >= 0);
    if (!r->beside) {
        touch_before(r, told, tail);
    }
    /* From here on a producer that slept may overwrite these slots. */
    atomic_store_explicit(&r->done, at, memory_order_release);
    atomic_store_explicit(&r->at, at, memory_order_release);
    if (due) {
        tell(r, tail);
    }
    set_limit(r, tail);
    return tail;
}

void pb_ring_give_back(PbRing *r, uint64_t tail)
{
    if (tail != atomic_load_explicit(&r->released, memory_order_relaxed)) {
        tell(r, tail);
        r->stop = pb_ring_stop(r, pb_ring_at(r, tail));
    }
}

void pb_ring_flush(PbRing *r)
{
    pb_ring_give_back(r, pb_ring_settle(r));
}

void pb_ring_saw(PbRing *r, uint64_t tail, uint64_t published)
{
    r->head_seen = published;
    if (published - tail >= PB_RING_GROUP) {
        uint32_t its = atomic_load_explicit(&r->cpu, memory_order_relaxed);

        r->beside = its && its == this_cpu();
    }
    set_limit(r, tail);
}

const void *pb_ring_look(PbRing *r, uint32_t i)
{
    uint64_t tail = pb_ring_settle(r), at = (uint64_t)i * r->size;

    if (at >= r->head_seen - tail) {
        /* Slots before this index are ours: the producer has filled them. */
        pb_ring_saw(r, tail, atomic_load_explicit(&r->published,
                                                  memory_order_acquire));
        if (at >= r->head_seen - tail) {
            pb_ring_give_back(r, tail);
            return NULL;
        }
    }
    return pb_ring_at(r, tail + at);
}

const void *pb_ring_look_run(PbRing *r, uint32_t i, uint32_t *n)
{
    uint64_t at = pb_ring_tail(r) + (uint64_t)i * r->size;
    uint64_t wanted = (uint64_t)*n * r->size, there;

    if (!pb_ring_look(r, i + *n - 1) && !pb_ring_look(r, i)) {
        return NULL;
    }
    there = r->head_seen - at;
    *n = pb_ring_piece(r, at, wanted < there ? wanted : there) / r->size;
    return pb_ring_at(r, at);
}
