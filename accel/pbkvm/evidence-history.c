/* SPDX-License-Identifier: GPL-2.0-or-later */
/* evidence-history.c: the events of an evidence file. */
#include <stdio.h>
#include <string.h>

#include "evidence-blocks.h"
#include "evidence-check.h"
#include "pb-crc.h"

/* ---- events ---- */

/* Where checking or reading of the history is. */
typedef struct History {
    uint64_t seq;         /* of the last event */
    uint64_t time_ns;
    uint64_t events;
    uint32_t slots;       /* of this block that hold whole events */
    const uint8_t *first; /* its first slot */
} History;

static bool check_event(PbBlocks *r, History *h, const uint8_t *slot,
                        uint32_t left, uint32_t crc, uint32_t *slots)
{
    const char *wrong;
    PbEvent e;

    memcpy(&e, slot, sizeof(e));
    wrong = pb_event_check(&e, h->seq);
    *slots = wrong ? 1 : 1 + pb_event_extra_slots(&e);
    if (!wrong && *slots > left) {
        wrong = "its payload goes beyond the block";
    } else if (!wrong && crc != pb_crc(0, slot, *slots * sizeof(e))) {
        wrong = "wrong checksum";
    } else if (!wrong) {
        wrong = pb_evidence_check_payload(&e, slot + sizeof(e),
                                          r->e->info.cpus, &r->e->mem);
    }
    if (wrong) {
        return pb_blocks_bad(r, "event %llu: %s",
                             (unsigned long long)h->seq + 1, wrong);
    }
    h->seq = e.seq;
    h->time_ns = e.time_ns;
    h->events++;
    if (e.kind == PB_EVENT_PANIC) {
        r->e->panic_seq = e.seq;
    }
    return true;
}

/*
 * The events of the block looked at, of which r->got bytes are there.  An
 * event that is not there as a whole ends them; @h tells how far they go.
 */
static bool check_events(PbBlocks *r, History *h)
{
    const uint8_t *p = r->e->payload, *table = p + sizeof(PbEvidenceEvents);
    PbEvidenceEvents ev;
    uint64_t first;
    uint32_t i, slots, crc, there;

    h->slots = 0;
    if (r->got < sizeof(ev)) {
        return r->got < r->head.len || pb_blocks_bad(r, "events: too short");
    }
    memcpy(&ev, p, sizeof(ev));
    first = sizeof(ev) + (uint64_t)ev.events * sizeof(crc);
    if (ev.events == 0 || ev.slots < ev.events || ev.zero ||
        ev.slots > PB_EVIDENCE_MAX_SLOTS ||
        r->head.len != first + (uint64_t)ev.slots * sizeof(PbEvent)) {
        return pb_blocks_bad(r, "events: the length does not match the "
                             "contents");
    }
    if (r->got < first) {
        return true;
    }
    crc = pb_crc(0, &ev, offsetof(PbEvidenceEvents, crc));
    if (ev.crc != pb_crc(crc, table, first - sizeof(ev))) {
        return pb_blocks_bad(r, "events: the table is damaged: wrong "
                             "checksum");
    }
    if (ev.first_seq != h->seq + 1) {
        return pb_blocks_bad(r, "events: expected event %llu, got %llu",
                             (unsigned long long)h->seq + 1,
                             (unsigned long long)ev.first_seq);
    }
    h->first = p + first;
    there = (r->got - first) / sizeof(PbEvent);
    for (i = 0; i < ev.events && h->slots < there; i++) {
        const uint8_t *slot = h->first + h->slots * sizeof(PbEvent);
        PbEvent e;

        memcpy(&e, slot, sizeof(e));
        if (there < ev.slots && pb_event_extra_slots(&e) >=
            there - h->slots) {
            return true;          /* its payload is not there any more */
        }
        memcpy(&crc, table + i * sizeof(crc), sizeof(crc));
        if (!check_event(r, h, slot, there - h->slots, crc, &slots)) {
            return false;
        }
        h->slots += slots;
    }
    return there < ev.slots || (h->slots == ev.slots && i == ev.events) ||
           pb_blocks_bad(r, "events: the number of slots does not match");
}

static void cut(PbBlocks *r, const History *h)
{
    snprintf(r->e->cut, sizeof(r->e->cut), "the file was not written to its "
             "end: its history ends with event %llu",
             (unsigned long long)h->seq);
}

static bool check_end(PbBlocks *r, const History *h)
{
    if (!pb_blocks_totals(r, h->events, h->seq)) {
        return false;
    }
    pb_blocks_pass(r);
    return r->offset == r->e->size ||
           pb_blocks_bad(r, "the file goes on after its end");
}

bool pb_history_check(PbBlocks *r)
{
    PbEvidence *e = r->e;
    History h = { .seq = e->info.at.seq, .time_ns = e->info.at.time_ns };
    bool ok = true, more = true;

    e->history = r->offset;
    e->history_number = r->number;
    while (ok && more) {
        PbFound found = pb_blocks_look(r);

        if (found == PB_FOUND_BAD) {
            return false;
        }
        more = found == PB_FOUND_BLOCK && r->head.kind == PB_EVIDENCE_EVENTS;
        if (more || (found == PB_FOUND_PART &&
                     r->head.kind == PB_EVIDENCE_EVENTS)) {
            ok = check_events(r, &h);
        } else if (found == PB_FOUND_BLOCK) {
            ok = r->head.kind == PB_EVIDENCE_END
                 ? check_end(r, &h)
                 : pb_blocks_bad(r, "expected events, got %s",
                                 pb_evidence_kind_name(r->head.kind));
        }
        if (!more && found != PB_FOUND_BLOCK) {
            cut(r, &h);
        }
        if (ok && more) {
            pb_blocks_pass(r);
        }
    }
    e->events = h.events;
    e->last_seq = h.seq;
    e->last_time_ns = h.time_ns;
    return ok;
}

/* ---- reading ---- */

void pb_evidence_rewind(PbEvidence *e)
{
    e->at.offset = e->history;
    e->at.number = e->history_number;
    e->at.seq = e->info.at.seq;
    e->at.slot = e->at.slots = 0;
}

/* Once more all checks: the file is not locked. */
static bool next_block(PbEvidence *e, char *why, size_t len)
{
    PbBlocks r = { .e = e, .offset = e->at.offset, .number = e->at.number,
                 .why = why, .len = len };
    History h = { .seq = e->at.seq };
    PbFound found = pb_blocks_look(&r);

    if (found == PB_FOUND_BAD) {
        return false;
    }
    if (found == PB_FOUND_END || r.head.kind != PB_EVIDENCE_EVENTS) {
        return pb_blocks_bad(&r, "the file has changed since it was opened");
    }
    if (!check_events(&r, &h)) {
        return false;
    }
    if (!h.slots) {
        return pb_blocks_bad(&r, "the file has changed since it was opened");
    }
    pb_blocks_pass(&r);
    e->at.offset = r.offset;
    e->at.number = r.number;
    e->at.first = h.first;
    e->at.slot = 0;
    e->at.slots = h.slots;
    return true;
}

int pb_evidence_next(PbEvidence *e, const PbEvent **slots, char *why,
                     size_t len)
{
    PbEvent *copy = e->event;
    uint32_t n;

    if (e->at.seq == e->last_seq) {
        return 0;
    }
    if (e->at.slot == e->at.slots && !next_block(e, why, len)) {
        return -1;
    }
    memcpy(copy, e->at.first + e->at.slot * sizeof(PbEvent),
           sizeof(PbEvent));
    n = 1 + pb_event_extra_slots(copy);
    memcpy(copy, e->at.first + e->at.slot * sizeof(PbEvent),
           n * sizeof(PbEvent));
    e->at.slot += n;
    e->at.seq = copy[0].seq;
    *slots = copy;
    return n;
}
