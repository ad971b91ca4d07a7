/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * evidence-fuzz.c: the input is a program that writes an evidence file.
 *
 * All bytes of such a file are under checksums, which no mutation would get
 * past.  So the input is not the file.  Its operations add good blocks and
 * events, then change any byte, any length and any order; only then the
 * checksums are made (sample_reseal() of the unit tests), of blocks, of
 * their heads, of the events and of their table.  DAMAGE comes after that,
 * and spoils what stands under a checksum; CHANGE comes when the file has
 * been opened already.
 *
 * What is opened is read twice, directly and through the feed into a ring,
 * and both must show the same events, each of them valid.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE             /* memfd_create() */
#endif
#include <sys/mman.h>
#include <unistd.h>

#include "evidence-feed.h"
#include "evidence-host.h"
#include "evidence-sample.h"
#include "fuzz.h"

#define MAX_FILE   (1u << 20)
#define MAX_LATER  16

enum { BLOCK, EVENT, POKE, POKE_EVENT, RESIZE, HEAD, LATER, CUT };

/* A byte to be changed once the file is there. */
typedef struct Change {
    uint32_t at;
    uint8_t value;
    bool opened;              /* CHANGE, not DAMAGE */
} Change;

typedef struct Program {
    Sample file;              /* its bytes, size and blocks */
    uint64_t seq;
    uint64_t pages, events;
    size_t event;             /* where the last one is */
    Change change[MAX_LATER];
    unsigned changes;
    uint32_t cut;             /* bytes at the end that are missing */
} Program;

static Sample *good;          /* where good blocks come from */
static PbRing *ring;
static int fd;
static char path[40];

static SampleBlock *last(Program *p)
{
    return p->file.blocks ? &p->file.block[p->file.blocks - 1] : NULL;
}

/* The last block is now that long, and says so. */
static void set_len(Program *p, size_t len)
{
    SampleBlock *b = last(p);
    uint64_t told = b->len = len;

    memcpy(p->file.bytes + b->at + offsetof(PbEvidenceBlock, len), &told,
           sizeof(told));
}

/* Zeros at @at, in the last block if there is one; NULL: too large a file. */
static uint8_t *insert(Program *p, size_t at, size_t len)
{
    Sample *f = &p->file;

    if (f->size + len > MAX_FILE) {
        return NULL;
    }
    memmove(f->bytes + at + len, f->bytes + at, f->size - at);
    memset(f->bytes + at, 0, len);
    f->size += len;
    if (f->blocks) {
        set_len(p, last(p)->len + len);
    }
    return f->bytes + at;
}

static void append(Program *p, const void *data, size_t len)
{
    uint8_t *to = insert(p, p->file.size, len);

    if (to) {
        memcpy(to, data, len);
    }
}

/* ---- good parts ---- */

static void add_payload(Program *p, uint32_t kind)
{
    const SampleBlock *b = sample_block(good, kind);
    PbEvidencePages pages = { .pages = 1 };
    PbEvidenceTotals totals = { .count = kind == PB_EVIDENCE_START ? p->pages
                                                                   : p->events,
                                .last_seq = kind == PB_EVIDENCE_START
                                            ? 0 : p->seq };
    PbEvidenceEvents events = { .first_seq = p->seq + 1 };
    uint8_t page[PB_EVIDENCE_PAGE] = { 1 };

    switch (kind) {
    case PB_EVIDENCE_INFO ... PB_EVIDENCE_STATE:
    case PB_EVIDENCE_POINT ... PB_EVIDENCE_UNDO:
        append(p, good->bytes + b->at + sizeof(PbEvidenceBlock), b->len);
        break;
    case PB_EVIDENCE_PAGES:
        append(p, &pages, sizeof(pages));
        append(p, page, sizeof(page));
        p->pages++;
        break;
    case PB_EVIDENCE_EVENTS:
        append(p, &events, sizeof(events));
        p->event = p->file.size;
        break;
    default:
        append(p, &totals, sizeof(totals));
    }
}

static void add_block(Program *p, uint32_t kind)
{
    Sample *f = &p->file;
    PbEvidenceBlock h = { .mark = PB_EVIDENCE_MARK, .kind = kind,
                          .number = f->blocks + 1 };

    if (f->blocks == SAMPLE_MAX_BLOCKS || f->size > MAX_FILE / 2) {
        return;
    }
    f->block[f->blocks++] = (SampleBlock) { .at = f->size, .kind = kind };
    append(p, &h, sizeof(h));
    set_len(p, 0);
    add_payload(p, kind);
}

static uint32_t make_event(Program *p, uint8_t kind, uint16_t len, PbEvent *e)
{
    *e = (PbEvent) { .seq = ++p->seq, .kind = kind };
    switch (kind) {
    case PB_EVENT_PIO_IN:
        e->size = 1;
        e->body.pio.count = 1 + len;
        break;
    case PB_EVENT_MMIO_READ:
        e->size = 4;
        break;
    case PB_EVENT_MEM_WRITE:
        e->body.mem.len = 1 + len;
        break;
    case PB_EVENT_STATE:
        e->body.blob.len = sizeof(PbState);
        memcpy(e + 1, &good->state, sizeof(PbState));
        break;
    case PB_EVENT_END:
        e->arg = PB_END_QUIT;
        break;
    default:
        break;
    }
    return 1 + pb_event_extra_slots(e);
}

/* Its slots at the block's end, its checksum's place at the table's. */
static void add_event(Program *p, uint8_t kind, uint16_t len)
{
    static PbEvent slots[2 + PB_EVENT_MAX_PAYLOAD / PB_EVENT_SIZE];
    PbEvidenceEvents ev;
    uint32_t n;
    size_t at;

    if (!last(p) || last(p)->kind != PB_EVIDENCE_EVENTS) {
        add_block(p, PB_EVIDENCE_EVENTS);
    }
    if (!last(p) || last(p)->kind != PB_EVIDENCE_EVENTS ||
        last(p)->len < sizeof(ev) || p->file.size > MAX_FILE / 2) {
        return;
    }
    memset(slots, 0, sizeof(slots));
    n = make_event(p, kind, len, slots);
    at = last(p)->at + sizeof(PbEvidenceBlock);
    memcpy(&ev, p->file.bytes + at, sizeof(ev));
    if (ev.events * 4ull + sizeof(ev) > last(p)->len) {
        return;
    }
    insert(p, at + sizeof(ev) + ev.events * 4, 4);
    ev.events++;
    ev.slots += n;
    memcpy(p->file.bytes + at, &ev, sizeof(ev));
    p->event = p->file.size;
    append(p, slots, n * sizeof(PbEvent));
    p->events++;
}

/* ---- operations ---- */

static void poke(Program *p, size_t at, FuzzIn *in, unsigned n)
{
    uint8_t bytes[8];

    fuzz_bytes(in, bytes, n);
    if (at < p->file.size && n <= p->file.size - at) {
        memcpy(p->file.bytes + at, bytes, n);
    }
}

static void resize(Program *p, uint16_t len)
{
    SampleBlock *b = last(p);

    if (b && len < b->len) {
        p->file.size -= b->len - len;
        set_len(p, len);
    } else if (b) {
        insert(p, p->file.size, len - b->len);
    }
}

static void note(Program *p, FuzzIn *in, bool opened)
{
    Change c = { .at = fuzz_u16(in) * 8u, .opened = opened };

    c.at += fuzz_u8(in);
    c.value = fuzz_u8(in);
    if (p->changes < MAX_LATER) {
        p->change[p->changes++] = c;
    }
}

static void act(Program *p, FuzzIn *in)
{
    uint8_t op = fuzz_u8(in), more = op >> 3;
    size_t block = last(p) ? last(p)->at : 0;

    switch (op & 7) {
    case BLOCK:
        add_block(p, more);
        break;
    case EVENT:
        add_event(p, more, fuzz_u16(in));
        break;
    case POKE:
        poke(p, block + sizeof(PbEvidenceBlock) + fuzz_u16(in), in,
             1 + more % 8);
        break;
    case POKE_EVENT:
        poke(p, p->event + fuzz_u8(in), in, 1 + more % 8);
        break;
    case RESIZE:
        resize(p, fuzz_u16(in));
        break;
    case HEAD:
        poke(p, (more & 8 ? 0 : block) + fuzz_u8(in) % 64, in, 1 + more % 8);
        break;
    case LATER:
        note(p, in, more & 1);
        break;
    default:
        p->cut = fuzz_u16(in) << more % 4;
    }
}

static void store(const Program *p)
{
    uint32_t i;

    fuzz_check(ftruncate(fd, 0) == 0);
    fuzz_check(pwrite(fd, p->file.bytes, p->file.size, 0) >= 0);
    fuzz_check(ftruncate(fd, p->file.size - (p->cut < p->file.size
                                             ? p->cut : 0)) == 0);
    for (i = 0; i < p->changes; i++) {
        if (!p->change[i].opened && p->change[i].at < p->file.size) {
            fuzz_check(pwrite(fd, &p->change[i].value, 1,
                              p->change[i].at) == 1);
        }
    }
}

/* Whether there was one. */
static bool change_opened(const Program *p)
{
    bool any = false;
    uint32_t i;

    for (i = 0; i < p->changes; i++) {
        if (p->change[i].opened) {
            fuzz_check(pwrite(fd, &p->change[i].value, 1,
                              p->change[i].at) == 1);
            any = true;
        }
    }
    return any;
}

/* ---- what is opened ---- */

static void check_opened(const PbEvidence *e)
{
    PbEvidenceHost host = { .supported = good->cpuid, .vendor = "other" };
    char text[300];
    unsigned i;

    fuzz_check(e->mem.blocks >= 1 && e->mem.blocks <= PB_MEM_MAX_BLOCKS);
    fuzz_check(e->cpuid[0]->nent >= 1 &&
               e->cpuid[0]->nent <= PB_EVIDENCE_MAX_CPUID);
    fuzz_check(e->state[0].msrs <= PB_MSRS_MAX);
    fuzz_check(e->info.at.partials <= PB_MAX_PARTIAL);
    for (i = 0; i < e->undos; i++) {
        const PbEvidenceUndo *u = &e->undo[i].head;

        fuzz_check(u->disk < e->disks);
        fuzz_check(u->offset + u->bytes <= e->disk[u->disk].size);
        fuzz_check(!u->data == !e->undo[i].data);
    }
    for (i = 0; i < e->points; i++) {
        const PbPointData *p = &e->point[i];

        fuzz_check(p->head.event >= e->info.at.seq + i);
        fuzz_check(p->list[p->head.list - 1] == '\n');
        fuzz_check(p->devices == p->list + p->head.list);
        fuzz_check(p->head.undo <= e->undos);
    }
    fuzz_check(e->last_seq - e->info.at.seq == e->events);
    pb_evidence_check_host(&e->info, e->cpuid[0], &host, NULL, text,
                           sizeof(text));
}

/* Events that come out of the feed, each of them valid. */
static uint64_t drain(PbFeed *feed, uint64_t seq, bool *ended)
{
    uint64_t events = 0;
    const PbEvent *e;

    for (;;) {
        bool done = pb_feed_done(feed);

        while ((e = pb_ring_peek(ring, 0))) {
            uint32_t n = 1 + pb_event_extra_slots(e);

            fuzz_check(!pb_event_check(e, seq));
            fuzz_check(pb_ring_peek(ring, n - 1));
            *ended = e->kind == PB_EVENT_END;
            seq = e->seq;
            events++;
            pb_ring_release(ring, n);
        }
        pb_ring_flush(ring);
        if (done) {
            return events;
        }
        pb_ring_wait_events(ring, 1, 1);
    }
}

static void check_events(PbEvidence *e, bool changed)
{
    char why[400];
    int n = sample_read_events(e, why, sizeof(why));
    bool ended = false;
    uint64_t fed;
    PbFeed *feed;

    fuzz_check(changed || (n >= 0 && (uint64_t)n == e->events));
    feed = pb_evidence_feed(e, ring);
    fed = drain(feed, e->info.at.seq, &ended);
    fuzz_check(ended && fed >= (n < 0 ? 1 : n) && fed <= e->events + 1);
    fuzz_check((pb_feed_error(feed) != NULL) == (n < 0));
    pb_feed_stop(feed);
}

static void start(void)
{
    good = sample_new();
    sample_clean_up();
    ring = pb_ring_new(PB_RING_MIN_SLOTS);
    fd = memfd_create("evidence", 0);
    fuzz_check(good && ring && fd >= 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[MAX_FILE + sizeof(PbEvidenceEvents)];
    FuzzIn in = { data, size };
    Program p = { .file.bytes = bytes };
    PbEvidence *e;
    char why[400];

    if (!good) {
        start();
    }
    p.seq = good->info.at.seq;
    append(&p, good->bytes, sizeof(PbEvidenceHead));
    while (in.left) {
        act(&p, &in);
    }
    sample_reseal(&p.file);
    store(&p);
    e = pb_evidence_open(path, why, sizeof(why));
    fuzz_check(e || memchr(why, 0, sizeof(why)));
    if (e) {
        check_opened(e);
        check_events(e, change_opened(&p));
        pb_evidence_close(e);
    }
    return 0;
}
