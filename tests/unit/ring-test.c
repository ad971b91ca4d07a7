/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ring-test.c: the ring seen by one thread, which plays both sides. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE                     /* mincore() */
#endif
#include "pb-ring.h"
#include "pb-tap.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define SLOTS  PB_RING_MIN_SLOTS
#define HALF   (SLOTS / 2)
#define GROUP  (PB_RING_GROUP / PB_EVENT_SIZE)

/* Where the indices pass 2^64 after three slots. */
#define NEAR_WRAP  (UINT64_MAX - 2)

/* The producer is on another CPU, as far as the consumer can know. */
static void far_away(PbRing *r)
{
    atomic_store(&r->cpu, UINT32_MAX);
}

/* Publish @n events with seq @first, @first + 1, ... */
static void push(PbRing *r, uint64_t first, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        PbEvent *e = pb_ring_reserve(r, 1);

        if (!e) {
            pb_check(!"there is room");
            return;
        }
        *e = (PbEvent) { .seq = first + i, .kind = PB_EVENT_MARK };
        pb_ring_publish(r, 1);
    }
    far_away(r);
}

/* Take @n events with seq @first, @first + 1, ... */
static void pop(PbRing *r, uint64_t first, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const PbEvent *e = pb_ring_peek(r, 0);

        if (!e) {
            pb_check(!"there is an event");
            return;
        }
        pb_check_u64(e->seq, first + i);
        pb_ring_release(r, 1);
    }
}

static void test_bad_sizes_are_refused(void)
{
    static const uint32_t bad[] = {
        0, 1, 64, PB_RING_MIN_SLOTS / 2, PB_RING_MIN_SLOTS - 1,
        PB_RING_MIN_SLOTS + 1, PB_RING_MIN_SLOTS * 3, PB_RING_MAX_SLOTS - 1,
        PB_RING_MAX_SLOTS * 2, UINT32_MAX,
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        errno = 0;
        pb_check(pb_ring_new(bad[i]) == NULL);
        pb_check_u64(errno, EINVAL);
    }
}

static void test_good_sizes_work_to_the_last_slot(void)
{
    for (uint32_t slots = SLOTS; slots <= SLOTS * 16; slots *= 2) {
        PbRing *r = pb_ring_new(slots);

        pb_check_u64(pb_ring_slots(r), slots);
        push(r, 1, slots);
        pb_check(pb_ring_reserve(r, 1) == NULL);
        pop(r, 1, slots);
        pb_ring_free(r);
    }
}

/* Pages of the slots that have memory. */
static unsigned resident(PbRing *r)
{
    uintptr_t page = sysconf(_SC_PAGESIZE);
    uintptr_t from = (uintptr_t)r->slot & -page;
    size_t pages = r->slots * PB_EVENT_SIZE / page, i;
    unsigned char *in = calloc(pages, 1);
    unsigned n = 0;

    pb_check(mincore((void *)from, pages * page, in) == 0);
    for (i = 0; i < pages; i++) {
        n += in[i] & 1;
    }
    free(in);
    return n;
}

static void test_trimmed_ring_keeps_what_is_in_it(void)
{
    const uint32_t slots = 16 * PB_RING_TRIM, pages = slots / 64, few = 1000;
    PbRing *r = pb_ring_new_at(slots, NEAR_WRAP - slots / 2);
    unsigned round, before;

    for (round = 0; round < 5; round++) {
        uint64_t seq = 1 + (uint64_t)round * slots;

        push(r, seq, slots);
        pb_ring_trim(r);                    /* nothing is free */
        pb_check(resident(r) >= pages - 1);
        pop(r, seq, slots - few);
        pb_ring_flush(r);
        pb_ring_trim(r);
        /* What is used, what soon will be, and pages at the ends. */
        pb_check(resident(r) <= (few + PB_RING_TRIM) / 64 + 3);
        pb_check(resident(r) >= (few + PB_RING_TRIM) / 64 - 3);
        pop(r, seq + slots - few, few);
        push(r, seq, PB_RING_TRIM / 2);
        pop(r, seq, PB_RING_TRIM / 2);
        pb_check(pb_ring_peek(r, 0) == NULL);
        before = resident(r);
        pb_ring_trim(r);                    /* not again so soon */
        pb_check_u64(resident(r), before);
    }
    pb_ring_free(r);
}

static void test_small_ring_is_not_trimmed(void)
{
    PbRing *r = pb_ring_new(SLOTS);
    unsigned before;

    push(r, 1, SLOTS);
    pop(r, 1, SLOTS);
    pb_check(pb_ring_peek(r, 0) == NULL);
    before = resident(r);
    pb_ring_trim(r);
    pb_check_u64(resident(r), before);
    pb_ring_free(r);
}

static void test_free_of_null_is_allowed(void)
{
    pb_ring_free(NULL);
}

static void test_slots_are_cache_lines(void)
{
    PbRing *r = pb_ring_new(SLOTS);
    PbEvent *first = pb_ring_reserve(r, 2);

    pb_check_u64((uintptr_t)first % 64, 0);
    pb_check_u64((uintptr_t)pb_ring_slot(r, 1) - (uintptr_t)first, 64);
    pb_ring_free(r);
}

static void test_sides_are_two_lines_apart(void)
{
    static const size_t offsets[] = {
        offsetof(struct PbRing, mask), offsetof(struct PbRing, published),
        offsetof(struct PbRing, room_end), offsetof(struct PbRing, consumer),
        offsetof(struct PbRing, at),
        offsetof(struct PbRing, released), offsetof(struct PbRing, producer),
        offsetof(struct PbRing, closed), offsetof(struct PbRing, slot),
    };
    PbRing *r = pb_ring_new(SLOTS);

    pb_check_u64((uintptr_t)r % 128, 0);
    for (size_t i = 1; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        pb_check_u64(offsets[i] % 128, 0);
        pb_check(offsets[i] >= offsets[i - 1] + 128);
    }
    pb_check(offsetof(struct PbRing, pauses) <
             offsetof(struct PbRing, at) + 64);
    pb_ring_free(r);
}

static void test_new_ring_is_empty(void)
{
    PbRing *r = pb_ring_new(SLOTS);

    pb_check(pb_ring_peek(r, 0) == NULL);
    pb_check_u64(pb_ring_used(r), 0);
    pb_ring_free(r);
}

static void test_full_ring_has_no_slot(void)
{
    PbRing *r = pb_ring_new(SLOTS);

    push(r, 1, SLOTS - 2);
    pb_check(pb_ring_reserve(r, 3) == NULL);
    pb_check(pb_ring_reserve(r, 2) != NULL);
    push(r, SLOTS - 1, 2);
    pb_check(pb_ring_reserve(r, 1) == NULL);
    pb_check_u64(pb_ring_used(r), SLOTS);
    pb_ring_free(r);
}

static void test_release_makes_room(void)
{
    PbRing *r = pb_ring_new(SLOTS);

    push(r, 1, SLOTS);
    pop(r, 1, 5);
    pb_check_u64(pb_ring_used(r), SLOTS - 5);
    pb_ring_flush(r);
    pb_check_u64(pb_ring_used(r), SLOTS - 5);
    pb_check(pb_ring_reserve(r, 6) == NULL);
    pb_check(pb_ring_reserve(r, 5) != NULL);
    pb_ring_free(r);
}

static void test_an_eighth_released_needs_no_flush(void)
{
    PbRing *r = pb_ring_new(SLOTS);

    push(r, 1, SLOTS);
    pop(r, 1, SLOTS / 8 - 1);
    pb_check(pb_ring_reserve(r, 1) == NULL);
    pop(r, SLOTS / 8, 1);
    pb_check(pb_ring_peek(r, 0) != NULL);
    pb_check(pb_ring_reserve(r, SLOTS / 8) != NULL);
    pb_check(pb_ring_reserve(r, SLOTS / 8 + 1) == NULL);
    pb_ring_free(r);
}

static void test_looking_for_more_than_there_is_flushes(void)
{
    for (int how = 0; how < 2; how++) {
        PbRing *r = pb_ring_new_at(SLOTS, 0 - (uint64_t)SLOTS / 2);

        push(r, 1, SLOTS);
        pop(r, 1, 5);
        pb_check(pb_ring_peek(r, 0) != NULL);
        pb_check(pb_ring_reserve(r, 1) == NULL);
        if (how == 0) {
            pb_check(pb_ring_peek(r, SLOTS - 5) == NULL);
        } else {
            pop(r, 6, SLOTS / 2);
            pb_check(!pb_ring_wait_events(r, SLOTS / 2, 0));
        }
        pb_check_u64(atomic_load(&r->released), pb_ring_tail(r));
        pb_check(pb_ring_reserve(r, 5) != NULL);
        pb_ring_free(r);
    }
}

static uint32_t touched(const uint8_t *slot, size_t size, uint32_t slots)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < slots; i++) {
        n += slot[i * size] == 0;
    }
    return n;
}

/* Of slots smaller than a line only a line's last is stored to. */
static void test_lines_are_touched_a_group_at_a_time(void)
{
    if (!PB_RING_TOUCH) {
        pb_skip("built with PB_RING_TOUCH=0");
        return;
    }
    for (size_t size = 4; size <= 64; size *= 2) {
        PbRing *r = pb_ring_new_of(SLOTS, size, 0);
        uint32_t per_line = 64 / size, group = PB_RING_GROUP / size;

        memset(r->slot, 0xff, SLOTS * size);
        pb_check(pb_ring_reserve_of(r, HALF, size) != NULL);
        pb_ring_publish_of(r, HALF, size);
        pb_check(pb_ring_reserve_of(r, 1, size) != NULL);
        pb_ring_publish_of(r, 1, size);
        far_away(r);
        pb_check(pb_ring_peek_of(r, HALF, size) != NULL);
        for (uint32_t i = 0; i < HALF; i += i % 7 + 1) {
            uint32_t n = i + i % 7 + 1 > HALF ? HALF - i : i % 7 + 1;
            uint32_t lines;

            pb_ring_release_of(r, n, size);
            pb_check(pb_ring_peek_of(r, 0, size) != NULL);
            lines = touched(r->slot, size, SLOTS);
            pb_check(lines <= (i + n) / per_line);
            pb_check(lines >= (i + n) / group * (group / per_line));
        }
        pb_check_u64(r->slot[(per_line - 1) * size], 0);
        pb_check_u64(touched(r->slot, size, SLOTS), HALF / per_line);
        pb_ring_free(r);
    }
}

static void test_reserve_twice_gives_the_same_slots(void)
{
    PbRing *r = pb_ring_new(SLOTS);
    PbEvent *first = pb_ring_reserve(r, 1);

    pb_check(pb_ring_reserve(r, 1) == first);
    pb_check(pb_ring_reserve(r, HALF) == first);
    pb_check(pb_ring_slot(r, 0) == first);
    pb_ring_publish(r, 1);
    pb_check(pb_ring_reserve(r, 1) == first + 1);
    pb_ring_free(r);
}

static void test_reserved_slot_is_not_seen(void)
{
    PbRing *r = pb_ring_new(SLOTS);

    *pb_ring_reserve(r, 1) = (PbEvent) { .seq = 1 };
    pb_check(pb_ring_peek(r, 0) == NULL);
    pb_check_u64(pb_ring_used(r), 0);
    pb_ring_free(r);
}

static void test_publish_of_a_part_keeps_the_rest(void)
{
    PbRing *r = pb_ring_new(SLOTS);

    pb_ring_reserve(r, 3);
    for (int i = 0; i < 3; i++) {
        *pb_ring_slot(r, i) = (PbEvent) { .seq = 1 + i };
    }
    pb_ring_publish(r, 2);
    pb_check_u64(pb_ring_peek(r, 1)->seq, 2);
    pb_check(pb_ring_peek(r, 2) == NULL);
    pb_check_u64(pb_ring_slot(r, 0)->seq, 3);
    pb_ring_publish(r, 1);
    pb_check_u64(pb_ring_peek(r, 2)->seq, 3);
    pb_ring_free(r);
}

static void test_peek_reads_in_place_and_keeps(void)
{
    PbRing *r = pb_ring_new(SLOTS);
    PbEvent *written = pb_ring_reserve(r, 1);

    push(r, 1, 2);
    pb_check(pb_ring_peek(r, 0) == written);
    pb_check(pb_ring_peek(r, 1) == written + 1);
    pb_check(pb_ring_peek(r, 2) == NULL);
    pb_check(pb_ring_peek(r, UINT32_MAX) == NULL);
    pb_check(pb_ring_peek(r, 0) == written);
    pb_check_u64(pb_ring_used(r), 2);
    pb_ring_free(r);
}

static void test_known_slots_need_no_shared_index(void)
{
    PbRing *r = pb_ring_new(SLOTS);

    push(r, 1, 2);
    pb_check(pb_ring_peek(r, 1) != NULL);
    atomic_store(&r->published, 0);       /* must not be looked at */
    pb_check_u64(pb_ring_peek(r, 0)->seq, 1);
    pb_check_u64(pb_ring_peek(r, 1)->seq, 2);
    atomic_store(&r->released, UINT64_MAX / 2);
    pb_check(pb_ring_reserve(r, HALF) != NULL);
    pb_check_u64(r->room_end, SLOTS * PB_EVENT_SIZE);
    pb_ring_free(r);
}

static void test_released_slots_were_stored_to(void)
{
    PbRing *r = pb_ring_new(SLOTS);
    const PbEvent *e;

    if (!PB_RING_TOUCH) {
        pb_skip("built with PB_RING_TOUCH=0");
    } else {
        push(r, 1, GROUP + 2);
        e = pb_ring_peek(r, 0);
        pb_ring_release(r, GROUP - 1);
        pb_check_u64(e[0].seq, 1);
        pb_ring_release(r, 2);
        pb_check(pb_ring_peek(r, 0) == e + GROUP + 1);
        pb_check_u64(touched((const uint8_t *)e, 64, GROUP + 2), GROUP + 1);
        pb_check_u64(e[GROUP + 1].seq, GROUP + 2);   /* still to be read */
    }
    pb_ring_free(r);
}

/* Stay on the CPU that we are on. */
static bool stay_here(cpu_set_t *before)
{
    cpu_set_t here;

    CPU_ZERO(&here);
    CPU_SET(sched_getcpu(), &here);
    return sched_getaffinity(0, sizeof(*before), before) == 0 &&
           sched_setaffinity(0, sizeof(here), &here) == 0;
}

/* One, or at most *@n at a time. */
static bool is_there(PbRing *r, uint32_t *n)
{
    return *n == 1 ? pb_ring_peek(r, 0) : pb_ring_peek_run(r, 0, n);
}

static uint32_t touched_on_one_cpu(uint32_t run)
{
    PbRing *r = pb_ring_new(SLOTS);
    const PbEvent *first = pb_ring_reserve(r, 1);
    uint32_t n, lines;

    for (int lap = 0; lap < 2; lap++) {
        pb_check(pb_ring_reserve(r, HALF) != NULL);
        for (uint32_t i = 0; i < HALF; i++) {
            pb_ring_slot(r, i)->seq = 1;
        }
        pb_ring_publish(r, HALF);
        for (n = run; is_there(r, &n); n = run) {
            pb_ring_release(r, n);
        }
    }
    pb_check_u64(pb_ring_used(r), 0);
    lines = touched((const uint8_t *)first, 64, SLOTS);
    pb_ring_free(r);
    return lines;
}

static void test_one_cpu_has_its_lines_anyhow(void)
{
    cpu_set_t before;

    pb_check(stay_here(&before));
    pb_check_u64(touched_on_one_cpu(1), 0);
    pb_check_u64(touched_on_one_cpu(64), 0);
    pb_check(sched_setaffinity(0, sizeof(before), &before) == 0);
}

/* It may be answered at once: see pb_ring_settle(). */
static void test_line_of_the_last_seen_event_is_left_alone(void)
{
    for (int n = 1; n <= GROUP + 1; n++) {
        PbRing *r = pb_ring_new(SLOTS);
        const PbEvent *e;

        push(r, 1, n);
        e = pb_ring_peek(r, 0);
        for (int i = 0; i < n; i++) {
            pb_check(pb_ring_peek(r, 0) == e + i);
            pb_ring_release(r, 1);
        }
        pb_check(pb_ring_peek(r, 0) == NULL);
        pb_check_u64(touched((const uint8_t *)e, 64, n),
                     PB_RING_TOUCH && n >= GROUP ? GROUP : 0);
        pb_ring_free(r);
    }
}

/* Nothing is stored to a slot that the producer was told of. */
static void test_flush_leaves_nothing_to_be_stored(void)
{
    PbRing *r = pb_ring_new(SLOTS);

    push(r, 1, SLOTS);
    pop(r, 1, GROUP - 2);
    pb_ring_flush(r);
    push(r, SLOTS + 1, GROUP - 2);
    pop(r, GROUP - 1, SLOTS - (GROUP - 2));
    pop(r, SLOTS + 1, GROUP - 2);
    pb_check(pb_ring_peek(r, 0) == NULL);
    pb_ring_free(r);
}

/* Pauses of @waits waits, when each finds @more and @each for a pause. */
static uint64_t pauses_of(PbRing *r, int waits, uint64_t more, uint64_t each)
{
    uint64_t sum = 0;

    for (int i = 0; i < waits; i++) {
        sum += r->pauses;
        pb_ring_learn(r, true, more + each * r->pauses);
    }
    return sum;
}

static void test_stream_is_waited_for_longer_than_an_answer(void)
{
    PbRing *r = pb_ring_new(SLOTS);

    /* It goes on by itself, at so many events in a pause. */
    pauses_of(r, 100, 0, 16);
    pb_check_u64(r->pauses, PB_RING_MANY / 16);
    pauses_of(r, 100, 0, 1);
    pb_check_u64(r->pauses, PB_RING_LONG_PAUSE);
    /* One that is slow is seen soon again. */
    for (int i = 0; i < 8; i++) {
        pb_ring_learn(r, false, 0);
    }
    pb_check_u64(r->pauses, 1);
    /* Each wait finds the same few events: the other side waits for us. */
    pauses_of(r, 100, 10, 0);
    pb_check_u64(r->pauses, 1);
    pb_check(pauses_of(r, PB_RING_ANSWERS, 10, 0) <
             PB_RING_ANSWERS + 2 * PB_RING_TRY);
    /* It may have become a stream. */
    pauses_of(r, 2 * PB_RING_ANSWERS, 0, 1);
    pb_check_u64(r->pauses, PB_RING_LONG_PAUSE);
    pb_ring_free(r);
}

static void test_release_of_nothing_changes_nothing(void)
{
    PbRing *r = pb_ring_new(SLOTS);

    push(r, 1, 2);
    pb_check(pb_ring_peek(r, 1) != NULL);
    pb_ring_release(r, 0);
    pb_check_u64(pb_ring_peek(r, 0)->seq, 1);
    pb_check_u64(pb_ring_used(r), 2);
    pb_ring_free(r);
}

/* The consumer's place in memory alone does not tell an empty from a full. */
static void test_whole_ring_is_released_at_once(void)
{
    PbRing *r = pb_ring_new_at(SLOTS, NEAR_WRAP);

    for (int i = 0; i < 2; i++) {
        push(r, 1 + i * SLOTS, SLOTS);
        pb_check(pb_ring_peek(r, SLOTS - 1) != NULL);
        pb_ring_release(r, SLOTS);
        pb_check_u64(pb_ring_used(r), 0);
        pb_check(pb_ring_peek(r, 0) == NULL);
    }
    push(r, 1, SLOTS);
    pop(r, 1, SLOTS / 8 - 1);
    pb_ring_release(r, SLOTS - (SLOTS / 8 - 1));
    pb_check_u64(pb_ring_used(r), 0);
    pb_ring_free(r);
}

/* Beyond the end of the ring, and of what the producer was told. */
static void test_many_are_released_one_by_one_without_a_peek(void)
{
    PbRing *r = pb_ring_new_at(SLOTS, NEAR_WRAP);

    for (int i = 0; i < 2; i++) {
        push(r, 1, SLOTS);
        pb_check(pb_ring_peek(r, SLOTS - 1) != NULL);
        for (uint32_t n = 0; n < SLOTS - 3; n++) {
            pb_ring_release(r, 1);
            pb_check_u64(pb_ring_used(r), SLOTS - 1 - n);
        }
        pop(r, SLOTS - 2, 3);
        pb_check(pb_ring_peek(r, 0) == NULL);
        pb_check_u64(pb_ring_used(r), 0);
    }
    pb_ring_free(r);
}

static void test_order_survives_index_wrap(void)
{
    PbRing *r = pb_ring_new_at(SLOTS, NEAR_WRAP);

    for (uint64_t seq = 1; seq < 3 * SLOTS; seq += 5) {
        push(r, seq, 5);
        pb_check_u64(pb_ring_used(r), 5);
        pop(r, seq, 5);
    }
    pb_check(pb_ring_head(r) < (3 * SLOTS + 5) * PB_EVENT_SIZE);  /* it did */
    pb_ring_free(r);
}

/* A number that is known when it is compiled is compared in another way. */
static void test_one_slot_is_found_across_index_wrap(void)
{
    PbRing *r = pb_ring_new_at(SLOTS, NEAR_WRAP - SLOTS / 2);

    for (int lap = 0; lap < 2; lap++) {
        for (uint64_t i = 0; i < SLOTS; i++) {
            pb_check(pb_ring_reserve(r, 1) != NULL);
            pb_ring_publish(r, 1);
        }
        pb_check(pb_ring_reserve(r, 1) == NULL);
        pb_check(pb_ring_peek(r, SLOTS - 1) != NULL);
        pb_ring_release(r, SLOTS);
        pb_check(pb_ring_peek(r, 0) == NULL);
    }
    pb_check(pb_ring_head(r) < 2 * SLOTS * PB_EVENT_SIZE);        /* it did */
    pb_ring_free(r);
}

static void test_full_and_empty_hold_across_index_wrap(void)
{
    for (uint64_t before = 0; before <= 4; before++) {
        PbRing *r = pb_ring_new_at(SLOTS, 0 - before);

        pb_check(pb_ring_peek(r, 0) == NULL);
        pb_check(!pb_ring_wait_events(r, 1, 0));
        pb_check(pb_ring_wait_room(r, HALF, 0));
        push(r, 1, SLOTS);
        pb_check(pb_ring_reserve(r, 1) == NULL);
        pb_check(!pb_ring_wait_room(r, 1, 0));
        pb_check(pb_ring_wait_events(r, HALF, 0));
        pb_check_u64(pb_ring_used(r), SLOTS);
        pop(r, 1, SLOTS);
        pb_check(pb_ring_peek(r, 0) == NULL);
        pb_check_u64(pb_ring_used(r), 0);
        pb_ring_free(r);
    }
}

static void test_payload_across_the_end_is_whole(void)
{
    enum { LEN = 1000, EXTRA = 16 };      /* 16 slots, 24 bytes of padding */
    PbRing *r = pb_ring_new_at(SLOTS, SLOTS - 5);
    uint8_t got[EXTRA * 64];
    PbEvent *e = pb_ring_reserve(r, 1 + EXTRA);

    *e = (PbEvent) { .seq = 1, .kind = PB_EVENT_MEM_WRITE };
    e->body.mem.len = LEN;
    pb_check_u64(pb_event_extra_slots(e), EXTRA);
    for (int i = 0; i < EXTRA; i++) {
        uint8_t *line = (uint8_t *)pb_ring_slot(r, 1 + i);

        for (int j = 0; j < 64; j++) {
            line[j] = i * 64 + j < LEN ? (i * 64 + j) % 251 : 0;
        }
    }
    pb_check(pb_ring_slot(r, EXTRA) < e);         /* it did turn round */
    pb_ring_publish(r, 1 + EXTRA);

    pb_check_str(pb_event_check(pb_ring_peek(r, 0), 0), NULL);
    for (int i = 0; i < EXTRA; i++) {
        memcpy(got + i * 64, pb_ring_peek(r, 1 + i), 64);
    }
    for (int i = 0; i < EXTRA * 64; i++) {
        pb_check_u64(got[i], i < LEN ? i % 251 : 0);
    }
    pb_ring_release(r, 1 + EXTRA);
    pb_check_u64(pb_ring_used(r), 0);
    pb_ring_free(r);
}

static void test_runs_end_at_the_end_and_begin_again(void)
{
    PbRing *r = pb_ring_new_at(SLOTS, SLOTS - 5);
    PbEvent *first = pb_ring_reserve(r, 12);
    uint32_t n = 12;

    pb_check(pb_ring_slot_run(r, 0, &n) == first);
    pb_check_u64(n, 5);
    n = 7;
    pb_check(pb_ring_slot_run(r, 5, &n) == (void *)r->slot);
    pb_check_u64(n, 7);
    push(r, 1, 12);
    n = 12;
    pb_check(pb_ring_peek_run(r, 0, &n) == first);
    pb_check_u64(n, 5);
    n = UINT32_MAX / 2;
    pb_check(pb_ring_peek_run(r, 3, &n) == first + 3);
    pb_check_u64(n, 2);
    n = 100;
    pb_check(pb_ring_peek_run(r, 5, &n) == (void *)r->slot);
    pb_check_u64(n, 7);
    n = 1;
    pb_check(pb_ring_peek_run(r, 12, &n) == NULL);
    n = 100;
    pb_check(pb_ring_peek_run(r, 12, &n) == NULL);
    n = 100;
    pb_ring_release(r, 6);               /* beyond the ring's end */
    pb_check(pb_ring_peek_run(r, 0, &n) == (PbEvent *)r->slot + 1);
    pb_check_u64(n, 6);
    pb_ring_free(r);
}

static void test_put_is_whole_or_nothing(void)
{
    PbRing *r = pb_ring_new_at(SLOTS, SLOTS - 3);
    PbEvent of[8];

    memset(of, 0, sizeof(of));
    for (uint32_t i = 0; i < 8; i++) {
        of[i].seq = 1 + i;
    }
    pb_check(pb_ring_put(r, of, 8));
    pb_check_u64(pb_ring_used(r), 8);
    for (uint32_t i = 0; i < 8; i++) {
        pb_check_u64(pb_ring_peek(r, i)->seq, 1 + i);
    }
    push(r, 9, SLOTS - 15);
    pb_check_u64(pb_ring_used(r), SLOTS - 7);
    pb_check(!pb_ring_put(r, of, 8));
    pb_check_u64(pb_ring_used(r), SLOTS - 7);
    pb_check(pb_ring_put(r, of, 7));
    pb_check_u64(pb_ring_used(r), SLOTS);
    pb_ring_free(r);
}

static void test_largest_payload_fits_the_smallest_ring(void)
{
    PbRing *r = pb_ring_new(PB_RING_MIN_SLOTS);
    PbEvent e = { .kind = PB_EVENT_STATE };

    e.body.blob.len = PB_EVENT_MAX_PAYLOAD;
    pb_check(pb_ring_reserve(r, 1 + pb_event_extra_slots(&e)) != NULL);
    pb_ring_free(r);
}

/* ---- broken rules ---- */

static void publish_unreserved(PbRing *r)
{
    push(r, 1, SLOTS);
    pb_ring_publish(r, 1);
    pb_ring_reserve(r, 1);
}

static void publish_many_unreserved(PbRing *r)
{
    push(r, 1, SLOTS - 5);
    pb_ring_publish(r, 7);
    pb_ring_reserve(r, HALF);
}

static void release_unseen(PbRing *r)
{
    push(r, 1, 2);
    pb_ring_peek(r, 0);
    pb_ring_release(r, 3);
    pb_ring_peek(r, 0);
}

static void release_more_than_there_is(PbRing *r)
{
    push(r, 1, 1);
    pb_ring_peek(r, 0);
    pb_ring_release(r, 1);
    pb_ring_release(r, 1);
    pb_ring_flush(r);
}

static void reserve_too_much(PbRing *r)
{
    pb_ring_reserve(r, HALF + 1);
}

static void use_slot_of_the_consumer(PbRing *r)
{
    push(r, 1, SLOTS - 1);
    pb_ring_slot(r, 1);
}

static void wait_for_too_much(PbRing *r)
{
    pb_ring_wait_events(r, HALF + 1, 0);
}

/* Whether @act in a child of ours ends by abort(). */
static bool aborts(void (*act)(PbRing *r))
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
        act(pb_ring_new(SLOTS));
        _exit(0);
    }
    waitpid(pid, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void test_broken_rules_abort(void)
{
#ifdef NDEBUG
    pb_skip("built without assertions");
#else
    pb_check(aborts(publish_unreserved));
    pb_check(aborts(publish_many_unreserved));
    pb_check(aborts(release_unseen));
    pb_check(aborts(release_more_than_there_is));
    pb_check(aborts(reserve_too_much));
    pb_check(aborts(use_slot_of_the_consumer));
    pb_check(aborts(wait_for_too_much));
#endif
}

int main(void)
{
    static const PbTest tests[] = {
        PB_TEST(bad_sizes_are_refused),
        PB_TEST(good_sizes_work_to_the_last_slot),
        PB_TEST(trimmed_ring_keeps_what_is_in_it),
        PB_TEST(small_ring_is_not_trimmed),
        PB_TEST(free_of_null_is_allowed),
        PB_TEST(slots_are_cache_lines),
        PB_TEST(sides_are_two_lines_apart),
        PB_TEST(new_ring_is_empty),
        PB_TEST(full_ring_has_no_slot),
        PB_TEST(release_makes_room),
        PB_TEST(an_eighth_released_needs_no_flush),
        PB_TEST(looking_for_more_than_there_is_flushes),
        PB_TEST(lines_are_touched_a_group_at_a_time),
        PB_TEST(reserve_twice_gives_the_same_slots),
        PB_TEST(reserved_slot_is_not_seen),
        PB_TEST(publish_of_a_part_keeps_the_rest),
        PB_TEST(peek_reads_in_place_and_keeps),
        PB_TEST(known_slots_need_no_shared_index),
        PB_TEST(released_slots_were_stored_to),
        PB_TEST(one_cpu_has_its_lines_anyhow),
        PB_TEST(line_of_the_last_seen_event_is_left_alone),
        PB_TEST(flush_leaves_nothing_to_be_stored),
        PB_TEST(stream_is_waited_for_longer_than_an_answer),
        PB_TEST(release_of_nothing_changes_nothing),
        PB_TEST(whole_ring_is_released_at_once),
        PB_TEST(many_are_released_one_by_one_without_a_peek),
        PB_TEST(order_survives_index_wrap),
        PB_TEST(one_slot_is_found_across_index_wrap),
        PB_TEST(full_and_empty_hold_across_index_wrap),
        PB_TEST(payload_across_the_end_is_whole),
        PB_TEST(runs_end_at_the_end_and_begin_again),
        PB_TEST(put_is_whole_or_nothing),
        PB_TEST(largest_payload_fits_the_smallest_ring),
        PB_TEST(broken_rules_abort),
    };

    return pb_tap_run(tests, sizeof(tests) / sizeof(tests[0]));
}
