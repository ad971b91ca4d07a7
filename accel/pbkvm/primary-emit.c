/* SPDX-License-Identifier: GPL-2.0-or-later */
/* primary-emit.c: an event is completed, and goes to the ring or the stage. */
#include <string.h>

#include "pb-crc.h"
#include "primary-emit.h"

/* Where @n slots may be filled: in the ring, or in the stage (*@staged). */
static PbEvent *place(PbEmitter *m, uint32_t n, bool *staged)
{
    PbEvent *to = m->stage.used || pb_stage_spills(&m->stage)
                  ? NULL : pb_ring_reserve(m->stage.ring, n);

    *staged = !to;
    return to ? to : pb_stage_add(&m->stage, n);
}

static void put_payload(PbEmitter *m, PbEvent *staged, uint32_t slots,
                        const uint8_t *data, uint32_t len)
{
    uint32_t i, n, size, used;

    for (i = 1; i <= slots; i += n) {
        uint8_t *to;

        n = slots + 1 - i;
        to = (uint8_t *)(staged ? staged + i
                                : pb_ring_slot_run(m->stage.ring, i, &n));
        size = n * PB_EVENT_SIZE;
        used = len < size ? len : size;
        memcpy(to, data, used);
        memset(to + used, 0, size - used);
        data += used;
        len -= used;
    }
}

/*
 * One word of an event.  Atomic, so that no compiler makes one store of two:
 * the checksum loads words, and a processor makes a load wait that does not lie
 * in one store just made.
 */
static inline void put_word(PbEvent *to, unsigned i, uint64_t word)
{
    typedef uint64_t Word __attribute__((may_alias));

    __atomic_store_n((Word *)to + i, word, __ATOMIC_RELAXED);
}

/* @e with what each event has. */
static inline void complete(PbEmitter *m, const PbEvent *e, PbEvent *to,
                            uint64_t seq, uint64_t time_ns)
{
    uint64_t body[sizeof(e->body) / 8];

    memcpy(body, &e->body, sizeof(body));
    put_word(to, 0, seq);
    put_word(to, 1, time_ns);
    put_word(to, 2, e->branches);
    put_word(to, 3, (uint32_t)m->digest);            /* crc: 0 */
    put_word(to, 4, e->kind | (uint32_t)e->size << 8 |
             (uint32_t)e->arg << 16 | (uint64_t)m->writes << 32);
    put_word(to, 5, body[0]);
    put_word(to, 6, body[1]);
    put_word(to, 7, body[2]);
}

void pb_emit(PbEmitter *m, const PbEvent *e, const void *payload)
{
    uint32_t extra = payload ? pb_event_extra_slots(e) : 0;
    uint64_t seq = m->seq + 1, now;
    PbEvent *to;
    bool staged;

    if (m->ended) {
        return;
    }
    now = pb_clock_now(&m->clock);
    __atomic_store_n(&m->seq, seq, __ATOMIC_RELAXED);
    __atomic_store_n(&m->last_time, now, __ATOMIC_RELAXED);
    if (e->branches) {
        __atomic_store_n(&m->last_branches, e->branches, __ATOMIC_RELAXED);
    }
    m->by_kind[e->kind]++;
    if (m->tsc && pb_tsc_moves(e->kind)) {
        pb_tsc_event(m->tsc, now);
    }
    to = place(m, 1 + extra, &staged);
    complete(m, e, to, seq, now);
    to->crc = pb_crc_event(to, payload);
    if (extra) {
        put_payload(m, staged ? to : NULL, extra, payload,
                    pb_event_payload_len(e));
    }
    if (!staged) {
        pb_ring_publish(m->stage.ring, 1 + extra);
    }
}
