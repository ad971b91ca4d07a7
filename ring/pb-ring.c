/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-ring.c: making a ring, and what is not worth inlining. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE             /* MAP_ANONYMOUS */
#endif
#include "pb-ring.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

PbRing *pb_ring_new_of(uint32_t slots, size_t size, uint64_t first)
{
    size_t bytes = sizeof(PbRing) + slots * size;
    PbRing *r;

    if (slots < PB_RING_MIN_SLOTS || slots > PB_RING_MAX_SLOTS ||
        (slots & (slots - 1))) {
        errno = EINVAL;
        return NULL;
    }
    r = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (r == MAP_FAILED) {
        errno = ENOMEM;
        return NULL;
    }
    r->slots = slots;
    r->mask = slots - 1;
    r->bytes = bytes;
    r->nap_ns = PB_RING_NAP_NS;
    r->room_end = first + slots;
    r->trimmed = first;
    r->tail = r->head_seen = first;
    r->pauses = 1;
    r->tell_at = first + slots / 8;
    atomic_init(&r->published, first);
    atomic_init(&r->released, first);
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
        munmap(r, r->bytes);
    }
}

uint32_t pb_ring_slots(const PbRing *r)
{
    return r->slots;
}

uint32_t pb_ring_used(const PbRing *r)
{
    /* In this order the difference cannot fall below zero. */
    uint64_t tail = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
    uint64_t used = atomic_load_explicit(&r->published,
                                         memory_order_acquire) - tail;

    return used < r->slots ? used : r->slots;
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
    return true;
}

/* The pages that lie wholly in @n slots from @first on, which do not wrap. */
static void drop_pages(const PbEvent *first, uint32_t n)
{
    uintptr_t page = sysconf(_SC_PAGESIZE);
    uintptr_t from = ((uintptr_t)first + page - 1) & -page;
    uintptr_t end = (uintptr_t)(first + n) & -page;

    if (from < end) {
        /* Without effect at worst. */
        madvise((void *)from, end - from, MADV_DONTNEED);
    }
}

void pb_ring_trim(PbRing *r)
{
    /* Slots before this index are ours: the consumer has done with them. */
    uint64_t end = atomic_load_explicit(&r->released, memory_order_acquire);
    uint64_t at = pb_ring_head(r) + PB_RING_TRIM;
    uint32_t n;

    if (end - r->trimmed < PB_RING_TRIM || r->slots < 4 * PB_RING_TRIM) {
        return;
    }
    r->trimmed = end;
    end += r->slots;
    for (; (int64_t)(end - at) > 0; at += n) {
        n = pb_ring_piece(r, at, end - at);
        drop_pages(pb_ring_at(r, at, PB_EVENT_SIZE), n);
    }
}
