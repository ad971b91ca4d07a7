/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * spill-fuzz.c: the input is what the two sides of a spill do by turns, and
 * what a bad disk does to its file meanwhile.
 *
 * As long as the disk is good, every event comes back, in order and whole.
 * Whatever it does, the Backup's side comes to an end: all events, or an
 * error.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE             /* memfd_create() */
#endif
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "primary-spill.h"
#include "ring/pb-ring.h"

#define MAX_SLOTS (1 + PB_EVENT_MAX_PAYLOAD / PB_EVENT_SIZE)
#define MAX_OPS   64

typedef struct Bench {
    PbRing *ring;
    PbSpill *spill;
    int fd;                   /* a second descriptor of the file */
    uint64_t made, seen;      /* events */
    bool bad;                 /* the disk was */
    bool failed;              /* the spill said so */
} Bench;

/* Event number @seq; the payload tells it, too. */
static uint32_t make_event(uint64_t seq, uint32_t len, PbEvent *slots)
{
    uint32_t i, n;

    slots[0] = (PbEvent) { .seq = seq, .kind = PB_EVENT_MARK };
    if (len) {
        slots[0].kind = PB_EVENT_MEM_WRITE;
        slots[0].body.mem.len = len;
    }
    n = 1 + pb_event_extra_slots(slots);
    for (i = 1; i < n; i++) {
        slots[i] = (PbEvent) { .seq = ~seq };
    }
    return n;
}

static void put(Bench *b, uint32_t len, bool must)
{
    static PbEvent slots[MAX_SLOTS];
    uint32_t n = make_event(b->made + 1, len, slots);
    bool taken = (!pb_spill_active(b->spill) &&
                  pb_ring_put(b->ring, slots, n)) ||
                 pb_spill_put(b->spill, slots, n, must);

    fuzz_check(taken || !must);
    b->made += taken;
}

static void check_event(Bench *b, uint32_t n)
{
    const PbEvent *e = pb_ring_peek(b->ring, 0);
    uint32_t i;

    fuzz_check(e->seq == b->seen + 1);
    for (i = 1; i < n; i++) {
        fuzz_check(pb_ring_peek(b->ring, i)->seq == ~(b->seen + 1));
    }
}

/* As the Backup does, which checks an event before it asks for its payload. */
static bool take(Bench *b)
{
    const PbEvent *e = pb_ring_peek(b->ring, 0);
    uint32_t n;

    if (!e) {
        return false;
    }
    n = 1 + pb_event_extra_slots(e);
    fuzz_check(n <= pb_ring_slots(b->ring) / 2);
    fuzz_check(pb_ring_peek(b->ring, n - 1));
    if (!b->bad) {
        check_event(b, n);
    }
    b->seen++;
    pb_ring_release(b->ring, n);
    return true;
}

static void refill(Bench *b)
{
    int ret = pb_spill_refill(b->spill);

    fuzz_check(ret <= 0);
    fuzz_check(ret == 0 || b->bad);
    b->failed = b->failed || ret < 0;
}

static bool look_at(void *opaque, const PbEvent *slots, uint32_t n)
{
    Bench *b = opaque;

    fuzz_check(n == 1 + pb_event_extra_slots(slots));
    return slots[n - 1].seq || b->bad;
}

static void look(Bench *b)
{
    PbSpillMark mark;
    int ret;

    fuzz_check(pb_spill_mark(b->spill, &mark));
    ret = pb_spill_each(b->spill, &mark, look_at, b);
    fuzz_check(ret == 0 || (ret < 0 && b->bad));
    pb_spill_unmark(&mark);
}

static void damage(Bench *b, off_t at, uint8_t value)
{
    b->bad = true;
    if (value) {
        fuzz_check(pwrite(b->fd, &value, 1, at) >= 0);
    } else {
        fuzz_check(ftruncate(b->fd, at) == 0);
    }
}

static void act(Bench *b, FuzzIn *in)
{
    uint8_t op = fuzz_u8(in);
    unsigned times = 1 + (op >> 4) * 4;

    switch (op & 7) {
    case 0 ... 2:
        for (uint16_t len = fuzz_u16(in); times--; ) {
            put(b, op & 8 ? len * 2u % (PB_EVENT_MAX_PAYLOAD + 1) : 0,
                (op & 7) == 0);
        }
        break;
    case 3:
        while (times-- && take(b)) {
        }
        break;
    case 4:
        refill(b);
        break;
    case 5:
        look(b);
        break;
    case 6:
        damage(b, (fuzz_u32(in) & 0xffffff) * (op & 8 ? 1 : 64) + (op >> 4),
               fuzz_u8(in));
        break;
    default:
        while (take(b)) {
        }
    }
}

static void finish(Bench *b)
{
    bool more = true;

    while (more && !b->failed) {
        refill(b);
        more = false;
        while (take(b)) {
            more = true;
        }
        pb_ring_flush(b->ring);
    }
    fuzz_check(b->failed || !pb_spill_active(b->spill));
    fuzz_check(b->bad || b->seen == b->made);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzIn in = { data, size };
    Bench b = { .ring = pb_ring_new(PB_RING_MIN_SLOTS),
                .fd = memfd_create("spill", 0) };
    unsigned ops = 0;

    b.spill = pb_spill_new(b.ring, dup(b.fd));
    fuzz_check(b.ring && b.spill);
    while (in.left && ops++ < MAX_OPS) {
        act(&b, &in);
    }
    finish(&b);
    pb_spill_free(b.spill);
    pb_ring_free(b.ring);
    close(b.fd);
    return 0;
}
