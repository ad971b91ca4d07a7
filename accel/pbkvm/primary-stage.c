/* SPDX-License-Identifier: GPL-2.0-or-later */
/* primary-stage.c: what the full ring cannot take. */
#include <stdlib.h>

#include "primary-stage.h"

void pb_stage_free(PbStage *s)
{
    free(s->slots);
}

PbEvent *pb_stage_add(PbStage *s, uint32_t n)
{
    PbEvent *at;

    if (s->used + n > s->size) {
        size_t size = (s->used + n) * 2;
        PbEvent *bigger = realloc(s->slots, size * sizeof(*bigger));

        if (!bigger) {
            abort();    /* losing an event silently would be worse */
        }
        s->slots = bigger;
        s->size = size;
    }
    at = s->slots + s->used;
    s->used += n;
    __atomic_store_n(&s->total, s->total + n, __ATOMIC_RELAXED);
    return at;
}

/* Whole events only: the consumer may see an event with its payload. */
static bool to_ring(PbStage *s, const PbEvent *e, uint32_t n)
{
    return !pb_stage_spills(s) && pb_ring_put(s->ring, e, n);
}

static bool wait_room(PbStage *s, uint32_t n, int timeout_ms)
{
    return pb_stage_spills(s) ? pb_spill_wait(s->spill, timeout_ms)
                              : pb_ring_wait_room(s->ring, n, timeout_ms);
}

bool pb_stage_move(PbStage *s, int timeout_ms, bool must)
{
    while (s->out < s->used) {
        const PbEvent *e = s->slots + s->out;
        uint32_t n = 1 + pb_event_extra_slots(e);

        if (!to_ring(s, e, n) &&
            !(s->spill && pb_spill_put(s->spill, e, n, must)) &&
            !(wait_room(s, n, timeout_ms) && to_ring(s, e, n))) {
            return false;
        }
        s->out += n;
    }
    s->used = s->out = 0;
    return true;
}
