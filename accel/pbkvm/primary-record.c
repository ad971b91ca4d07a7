/* SPDX-License-Identifier: GPL-2.0-or-later */
/* primary-record.c: the recorder's life and figures; marks. */
#include <stdlib.h>
#include <string.h>

#include "primary-internal.h"

/* Fewer events in so long: there is time to give memory back. */
#define QUIET_NS 1000000000ull
#define QUIET_EVENTS 4096

PbRecorder *pb_record_new(PbRing *ring, PbSpill *spill, PbVcpu *primary,
                          uint64_t (*now)(void *opaque), void *opaque)
{
    PbRecorder *r = calloc(1, sizeof(*r));

    if (r) {
        r->out.stage.ring = ring;
        r->out.stage.spill = spill;
        r->out.tsc = primary->tsc;
        r->v = primary;
        pb_clock_init(&r->out.clock, now, opaque);
        r->out.digest = PB_DIGEST_START;
    }
    return r;
}

void pb_record_free(PbRecorder *r)
{
    if (r) {
        pb_stage_free(&r->out.stage);
        free(r);
    }
}

bool pb_record_staged(const PbRecorder *r)
{
    return r->out.stage.used != 0;
}

bool pb_record_last(const PbRecorder *r, uint64_t *seq, uint64_t *branches)
{
    *seq = __atomic_load_n(&r->out.seq, __ATOMIC_RELAXED);
    *branches = __atomic_load_n(&r->out.last_branches, __ATOMIC_RELAXED);
    return !__atomic_load_n(&r->out.ended, __ATOMIC_RELAXED);
}

uint64_t pb_record_last_time(const PbRecorder *r)
{
    return __atomic_load_n(&r->out.last_time, __ATOMIC_RELAXED);
}

void pb_record_time_went_back(PbRecorder *r)
{
    PbClock *c = &r->out.clock;
    uint64_t now;

    pb_clock_init(c, c->exact, c->opaque);
    now = pb_clock_now(c);
    __atomic_store_n(&r->out.last_time, now, __ATOMIC_RELAXED);
    r->quiet_time = now;
    if (r->out.tsc) {
        pb_tsc_event(r->out.tsc, now);
    }
}

void pb_record_stats(const PbRecorder *r, PbRecordStats *s)
{
    s->events = __atomic_load_n(&r->out.seq, __ATOMIC_RELAXED);
    s->time_ns = pb_record_last_time(r);
    s->branches = __atomic_load_n(&r->out.last_branches, __ATOMIC_RELAXED);
    s->staged = __atomic_load_n(&r->out.stage.total, __ATOMIC_RELAXED);
    s->digest = r->out.digest;
    s->writes = r->out.writes;
    memcpy(s->by_kind, r->out.by_kind, sizeof(s->by_kind));
}

bool pb_record_flush(PbRecorder *r, int timeout_ms)
{
    bool moved = pb_stage_move(&r->out.stage, timeout_ms, false);

    pb_record_kick(r);
    return moved;
}

void pb_record_rest(PbRecorder *r)
{
    if (r->out.stage.spill) {
        pb_stage_move(&r->out.stage, 0, true);
    }
    pb_record_kick(r);
}

void pb_record_kick(PbRecorder *r)
{
    pb_ring_kick(r->out.stage.ring);
}

/*
 * The guest rests, or nothing was recorded for a while.  Memory that is given
 * back costs a page fault when it is used again, so that is for times of few
 * events.
 */
void pb_record_trim(PbRecorder *r)
{
    uint64_t begun = r->quiet_time, events = r->out.seq - r->quiet_seq;

    if (r->out.last_time - begun < QUIET_NS) {
        return;
    }
    r->quiet_time = r->out.last_time;
    r->quiet_seq = r->out.seq;
    if (events < QUIET_EVENTS && !pb_stage_spills(&r->out.stage)) {
        pb_ring_trim(r->out.stage.ring);
    }
}

void pb_record_mark(PbRecorder *r)
{
    PbEvent e = sync_event(r, PB_EVENT_MARK);

    pb_emit(&r->out, &e, NULL);
    pb_record_trim(r);
}

void pb_record_note(PbRecorder *r, PbEventKind kind, uint16_t arg)
{
    PbEvent e = change_event(r, kind);

    e.arg = arg;
    pb_emit(&r->out, &e, NULL);
    if (kind == PB_EVENT_END) {
        __atomic_store_n(&r->out.ended, true, __ATOMIC_RELAXED);
    }
}
