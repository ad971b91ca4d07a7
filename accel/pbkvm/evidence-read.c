/* SPDX-License-Identifier: GPL-2.0-or-later */
/* evidence-read.c: open an evidence file. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "evidence-check.h"
#include "evidence-read.h"
#include "pb-crc.h"

/* What there is at an offset of the file. */
typedef enum Found {
    FOUND_BLOCK,          /* head and payload are whole and have not changed */
    FOUND_PART,           /* the file ends in the payload */
    FOUND_END,            /* the file ends before the payload */
    FOUND_BAD,            /* the reason is told */
} Found;

typedef struct Reader {
    PbEvidence *e;
    uint64_t offset;      /* of the block looked at */
    PbEvidenceBlock head;
    uint32_t number;      /* of the block before it */
    uint64_t got;         /* bytes of its payload that there are */
    char *why;
    size_t len;
} Reader;

static bool bad(Reader *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static bool bad(Reader *r, const char *fmt, ...)
{
    char what[200];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    snprintf(r->why, r->len, "%s: block %u at byte %llu: %s", r->e->file,
             r->number + 1, (unsigned long long)r->offset, what);
    return false;
}

static bool bad_file(Reader *r, const char *what)
{
    snprintf(r->why, r->len, "%s: %s", r->e->file, what);
    return false;
}

/* Up to @len bytes: fewer at the end of the file; -errno. */
static ssize_t get(const PbEvidence *e, void *to, size_t len, uint64_t offset)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = pread(e->fd, (uint8_t *)to + done, len - done,
                          offset + done);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        if (n == 0) {
            break;
        }
        done += n;
    }
    return done;
}

static bool check_block_head(Reader *r)
{
    const PbEvidenceBlock *h = &r->head;

    if (h->mark != PB_EVIDENCE_MARK ||
        h->head_crc != pb_crc(0, h, offsetof(PbEvidenceBlock, head_crc))) {
        return bad(r, "the block's head is damaged: wrong checksum");
    }
    if (h->number != r->number + 1) {
        return bad(r, "it says that it is block %u", h->number);
    }
    if (pb_evidence_max_len(h->kind) == 0 || h->zero) {
        return bad(r, "a block of unknown kind %u", h->kind);
    }
    if (h->len > pb_evidence_max_len(h->kind)) {
        return bad(r, "%s: %llu bytes, expected at most %llu",
                   pb_evidence_kind_name(h->kind),
                   (unsigned long long)h->len,
                   (unsigned long long)pb_evidence_max_len(h->kind));
    }
    return true;
}

/* Look at the block at r->offset; its payload is then in e->payload. */
static Found look(Reader *r)
{
    static const PbEvidenceBlock none;
    ssize_t n = get(r->e, &r->head, sizeof(r->head), r->offset);

    if (n >= 0 && n < (ssize_t)sizeof(r->head)) {
        return FOUND_END;
    }
    /* A file system may have made room that was never written. */
    if (n >= 0 && !memcmp(&r->head, &none, sizeof(none))) {
        return FOUND_END;
    }
    if (n >= 0 && !check_block_head(r)) {
        return FOUND_BAD;
    }
    if (n >= 0) {
        n = get(r->e, r->e->payload, r->head.len, r->offset + sizeof(r->head));
    }
    if (n < 0) {
        bad(r, "reading: %s", strerror(-n));
        return FOUND_BAD;
    }
    r->got = n;
    if (r->got < r->head.len) {
        return FOUND_PART;
    }
    if (r->head.crc != pb_crc(0, r->e->payload, r->got)) {
        bad(r, "%s: damaged: wrong checksum",
            pb_evidence_kind_name(r->head.kind));
        return FOUND_BAD;
    }
    return FOUND_BLOCK;
}

static void pass(Reader *r)
{
    r->offset += sizeof(r->head) + r->head.len;
    r->number = r->head.number;
}

/* ---- the state ---- */

static bool read_head(Reader *r)
{
    PbEvidenceHead h;
    ssize_t n = get(r->e, &h, sizeof(h), 0);
    const char *wrong;

    if (n < 0) {
        return bad_file(r, strerror(-n));
    }
    if (n < (ssize_t)sizeof(h)) {
        return bad_file(r, "this is no evidence file of pbkvm: too short");
    }
    wrong = pb_evidence_check_head(&h);
    if (wrong && h.crc == pb_crc(0, &h, offsetof(PbEvidenceHead, crc))) {
        snprintf(r->why, r->len, "%s: %s: version %u with events of version "
                 "%u, expected %u and %u; open it with the pbkvm that wrote "
                 "it", r->e->file, wrong, h.version, h.event_version,
                 PB_EVIDENCE_VERSION, PB_EVENT_VERSION);
        return false;
    }
    r->offset = sizeof(h);
    return wrong ? bad_file(r, wrong) : true;
}

/* The one block of @kind that comes next. */
static bool expect(Reader *r, PbEvidenceKind kind)
{
    switch (look(r)) {
    case FOUND_BLOCK:
        break;
    case FOUND_BAD:
        return false;
    default:
        return bad_file(r, "the file ends before the Backup's state is "
                        "complete: it cannot be opened");
    }
    if (r->head.kind != kind) {
        return bad(r, "expected %s, got %s", pb_evidence_kind_name(kind),
                   pb_evidence_kind_name(r->head.kind));
    }
    return true;
}

static bool fits(Reader *r, size_t size)
{
    return r->head.len == size ||
           bad(r, "%s: %llu bytes, expected %zu",
               pb_evidence_kind_name(r->head.kind),
               (unsigned long long)r->head.len, size);
}

static bool read_info(Reader *r)
{
    PbEvidence *e = r->e;
    const char *wrong;

    if (!expect(r, PB_EVIDENCE_INFO) || !fits(r, sizeof(e->info))) {
        return false;
    }
    memcpy(&e->info, e->payload, sizeof(e->info));
    wrong = pb_evidence_check_info(&e->info);
    pass(r);
    return wrong ? bad(r, "info: %s", wrong) : true;
}

static bool read_cpuid(Reader *r)
{
    PbEvidence *e = r->e;
    size_t one = sizeof(e->cpuid->entries[0]);

    if (!expect(r, PB_EVIDENCE_CPUID)) {
        return false;
    }
    if (r->head.len == 0 || r->head.len % one) {
        return bad(r, "cpuid: not a whole number of entries");
    }
    e->cpuid = calloc(1, sizeof(*e->cpuid) + r->head.len);
    if (!e->cpuid) {
        return bad_file(r, "no memory");
    }
    e->cpuid->nent = r->head.len / one;
    memcpy(e->cpuid->entries, e->payload, r->head.len);
    pass(r);
    return true;
}

static bool read_memory(Reader *r)
{
    PbEvidence *e = r->e;
    const char *wrong;
    PbMem mem;
    unsigned i;

    if (!expect(r, PB_EVIDENCE_MEMORY)) {
        return false;
    }
    wrong = pb_evidence_check_memory(e->payload, r->head.len, &mem);
    if (wrong) {
        return bad(r, "memory: %s", wrong);
    }
    e->mem.owned = true;
    for (i = 0; i < mem.blocks; i++) {
        const PbBlock *b = &mem.block[i];
        void *host = mmap(NULL, b->size, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (host == MAP_FAILED) {
            return bad(r, "memory: %llu bytes of RAM for %s: %s",
                       (unsigned long long)b->size, b->name, strerror(errno));
        }
        pb_mem_add_block(&e->mem, b->name, host, b->size);
        e->mem.block[i].sparse = true;
    }
    memcpy(e->mem.slot, mem.slot, sizeof(mem.slot));
    pass(r);
    return true;
}

static bool read_state(Reader *r)
{
    PbEvidence *e = r->e;
    const char *wrong;

    if (!expect(r, PB_EVIDENCE_STATE) || !fits(r, sizeof(e->state))) {
        return false;
    }
    memcpy(&e->state, e->payload, sizeof(e->state));
    wrong = pb_state_check(&e->state);
    if (wrong) {
        return bad(r, "state: %s", wrong);
    }
    pass(r);
    return true;
}

static bool read_pages(Reader *r)
{
    PbEvidence *e = r->e;
    const char *wrong = "too short";
    PbEvidencePages p;

    if (r->head.len >= sizeof(p)) {
        memcpy(&p, e->payload, sizeof(p));
        wrong = pb_evidence_check_pages(&p, r->head.len, &e->mem);
    }
    if (wrong) {
        return bad(r, "pages: %s", wrong);
    }
    memcpy(e->mem.block[p.block].host + p.offset, e->payload + sizeof(p),
           (size_t)p.pages * PB_EVIDENCE_PAGE);
    e->pages += p.pages;
    pass(r);
    return true;
}

static bool check_totals(Reader *r, uint64_t count, uint64_t last_seq)
{
    PbEvidenceTotals t;

    if (!fits(r, sizeof(t))) {
        return false;
    }
    memcpy(&t, r->e->payload, sizeof(t));
    if (t.count != count || t.last_seq != last_seq) {
        return bad(r, "%s: expected %llu blocks' contents up to %llu, got "
                   "%llu up to %llu", pb_evidence_kind_name(r->head.kind),
                   (unsigned long long)t.count,
                   (unsigned long long)t.last_seq,
                   (unsigned long long)count, (unsigned long long)last_seq);
    }
    return true;
}

static bool read_ram(Reader *r)
{
    for (;;) {
        Found found = look(r);

        if (found == FOUND_BLOCK && r->head.kind == PB_EVIDENCE_PAGES) {
            if (!read_pages(r)) {
                return false;
            }
        } else {
            break;
        }
    }
    if (!expect(r, PB_EVIDENCE_START) || !check_totals(r, r->e->pages, 0)) {
        return false;
    }
    pass(r);
    return true;
}

/* ---- events ---- */

/* Where checking or reading of the history is. */
typedef struct History {
    uint64_t seq;         /* of the last event */
    uint64_t time_ns;
    uint64_t events;
    uint32_t slots;       /* of this block that hold whole events */
    const uint8_t *first; /* its first slot */
} History;

static bool check_event(Reader *r, History *h, const uint8_t *slot,
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
        wrong = pb_evidence_check_payload(&e, slot + sizeof(e), &r->e->mem);
    }
    if (wrong) {
        return bad(r, "event %llu: %s", (unsigned long long)h->seq + 1,
                   wrong);
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
static bool check_events(Reader *r, History *h)
{
    const uint8_t *p = r->e->payload, *table = p + sizeof(PbEvidenceEvents);
    PbEvidenceEvents ev;
    uint64_t first;
    uint32_t i, slots, crc, there;

    h->slots = 0;
    if (r->got < sizeof(ev)) {
        return r->got < r->head.len || bad(r, "events: too short");
    }
    memcpy(&ev, p, sizeof(ev));
    first = sizeof(ev) + (uint64_t)ev.events * sizeof(crc);
    if (ev.events == 0 || ev.slots < ev.events || ev.zero ||
        ev.slots > PB_EVIDENCE_MAX_SLOTS ||
        r->head.len != first + (uint64_t)ev.slots * sizeof(PbEvent)) {
        return bad(r, "events: the length does not match the contents");
    }
    if (r->got < first) {
        return true;
    }
    crc = pb_crc(0, &ev, offsetof(PbEvidenceEvents, crc));
    if (ev.crc != pb_crc(crc, table, first - sizeof(ev))) {
        return bad(r, "events: the table is damaged: wrong checksum");
    }
    if (ev.first_seq != h->seq + 1) {
        return bad(r, "events: expected event %llu, got %llu",
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
           bad(r, "events: the number of slots does not match");
}

static void cut(Reader *r, const History *h)
{
    snprintf(r->e->cut, sizeof(r->e->cut), "the file was not written to its "
             "end: its history ends with event %llu",
             (unsigned long long)h->seq);
}

static bool check_end(Reader *r, const History *h)
{
    if (!check_totals(r, h->events, h->seq)) {
        return false;
    }
    pass(r);
    return r->offset == r->e->size ||
           bad(r, "the file goes on after its end");
}

static bool check_history(Reader *r)
{
    PbEvidence *e = r->e;
    History h = { .seq = e->info.at.seq, .time_ns = e->info.at.time_ns };
    bool ok = true, more = true;

    e->history = r->offset;
    e->history_number = r->number;
    while (ok && more) {
        Found found = look(r);

        if (found == FOUND_BAD) {
            return false;
        }
        more = found == FOUND_BLOCK && r->head.kind == PB_EVIDENCE_EVENTS;
        if (more || (found == FOUND_PART &&
                     r->head.kind == PB_EVIDENCE_EVENTS)) {
            ok = check_events(r, &h);
        } else if (found == FOUND_BLOCK) {
            ok = r->head.kind == PB_EVIDENCE_END
                 ? check_end(r, &h)
                 : bad(r, "expected events, got %s",
                       pb_evidence_kind_name(r->head.kind));
        }
        if (!more && found != FOUND_BLOCK) {
            cut(r, &h);
        }
        if (ok && more) {
            pass(r);
        }
    }
    e->events = h.events;
    e->last_seq = h.seq;
    e->last_time_ns = h.time_ns;
    return ok;
}

/* ---- opening ---- */

static bool open_file(Reader *r)
{
    PbEvidence *e = r->e;
    struct stat st;

    /* Not blocking: somebody may have named a pipe. */
    e->fd = open(e->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (e->fd < 0 || fstat(e->fd, &st) < 0) {
        return bad_file(r, strerror(errno));
    }
    if (!S_ISREG(st.st_mode)) {
        return bad_file(r, "this is no regular file");
    }
    e->size = st.st_size;
    return true;
}

PbEvidence *pb_evidence_open(const char *file, char *why, size_t len)
{
    PbEvidence *e = calloc(1, sizeof(*e));
    Reader r = { .e = e, .why = why, .len = len };

    snprintf(why, len, "no memory");
    if (!e) {
        return NULL;
    }
    e->fd = -1;
    e->file = strdup(file);
    e->payload = malloc(pb_evidence_max_len(PB_EVIDENCE_PAGES));
    e->event = malloc(PB_EVIDENCE_MAX_SLOTS * sizeof(*e->event));
    if (!e->file || !e->payload || !e->event || !open_file(&r) ||
        !read_head(&r) || !read_info(&r) || !read_cpuid(&r) ||
        !read_memory(&r) || !read_state(&r) || !read_ram(&r) ||
        !check_history(&r)) {
        pb_evidence_close(e);
        return NULL;
    }
    pb_evidence_rewind(e);
    return e;
}

void pb_evidence_close(PbEvidence *e)
{
    if (e) {
        pb_mem_destroy(&e->mem);
        if (e->fd >= 0) {
            close(e->fd);
        }
        free(e->cpuid);
        free(e->payload);
        free(e->event);
        free(e->file);
        free(e);
    }
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
    Reader r = { .e = e, .offset = e->at.offset, .number = e->at.number,
                 .why = why, .len = len };
    History h = { .seq = e->at.seq };
    Found found = look(&r);

    if (found == FOUND_BAD) {
        return false;
    }
    if (found == FOUND_END || r.head.kind != PB_EVIDENCE_EVENTS) {
        return bad(&r, "the file has changed since it was opened");
    }
    if (!check_events(&r, &h)) {
        return false;
    }
    if (!h.slots) {
        return bad(&r, "the file has changed since it was opened");
    }
    pass(&r);
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

void pb_evidence_config(const PbEvidence *e, PbBackupConfig *c)
{
    c->cpuid = e->cpuid;
    c->primary_mem = &e->mem;
    c->state = &e->state;
    c->at = &e->info.at;
}
