/* SPDX-License-Identifier: GPL-2.0-or-later */
/* evidence-write.c: make an evidence file. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "evidence-put.h"
#include "pb-crc.h"

/* ---- the state ---- */

PbEvidenceWriter *pb_evidence_create_fd(int fd, const char *file)
{
    PbEvidenceWriter *w = calloc(1, sizeof(*w));

    if (w) {
        w->fd = fd;
        w->file = strdup(file);
        w->block = malloc(PB_PUT_BUFFER);
        w->slot = malloc(PB_EVIDENCE_MAX_SLOTS * sizeof(*w->slot));
        w->crc = malloc(PB_EVIDENCE_MAX_SLOTS * sizeof(*w->crc));
        if (!w->file || !w->block || !w->slot || !w->crc) {
            pb_put_failed(w, "no memory", 0);
        }
    }
    return w;
}

PbEvidenceWriter *pb_evidence_create(const char *file, char *why, size_t len)
{
    PbEvidenceWriter *w;
    int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                  S_IRUSR | S_IWUSR);

    if (fd < 0) {
        if (errno == EEXIST) {
            snprintf(why, len, "%s is there already and is not overwritten: "
                     "name another file", file);
        } else {
            snprintf(why, len, "%s cannot be made: %s", file,
                     strerror(errno));
        }
        return NULL;
    }
    w = pb_evidence_create_fd(fd, file);
    if (!w) {
        close(fd);
        unlink(file);
        snprintf(why, len, "no memory");
        return NULL;
    }
    w->remove = true;
    return w;
}

static bool put_head(PbEvidenceWriter *w)
{
    PbEvidenceHead h = {
        .version = PB_EVIDENCE_VERSION, .event_version = PB_EVENT_VERSION,
        .event_size = sizeof(PbEvent), .state_size = sizeof(PbState),
        .info_size = sizeof(PbEvidenceInfo),
    };

    memcpy(h.magic, PB_EVIDENCE_MAGIC, sizeof(h.magic));
    h.crc = pb_crc(0, &h, offsetof(PbEvidenceHead, crc));
    return pb_put_bytes(w, &h, sizeof(h)) == sizeof(h);
}

static bool put_memory(PbEvidenceWriter *w, const PbMem *mem)
{
    PbEvidenceMemory m = { .blocks = mem->blocks,
                           .slots = PB_MEM_MAX_SLOTS };
    unsigned i;

    pb_put_add(w, &m, sizeof(m));
    for (i = 0; i < mem->blocks; i++) {
        PbEvidenceRamBlock b = { .size = mem->block[i].size };

        if (b.size % PB_EVIDENCE_PAGE) {
            return pb_put_failed(w, "a RAM block's size is not a multiple of "
                                 "4096", 0);
        }
        snprintf(b.name, sizeof(b.name), "%s", mem->block[i].name);
        pb_put_add(w, &b, sizeof(b));
    }
    pb_put_add(w, mem->slot, sizeof(mem->slot));
    pb_put_block(w, PB_EVIDENCE_MEMORY);
    return !w->failed;
}

static bool put_cpuid(PbEvidenceWriter *w, const struct kvm_cpuid2 *c)
{
    if (c->nent == 0 || c->nent > PB_EVIDENCE_MAX_CPUID) {
        return pb_put_failed(w, "the CPUID table has no or too many entries",
                             0);
    }
    return pb_put_one(w, PB_EVIDENCE_CPUID, c->entries,
                   c->nent * sizeof(c->entries[0]));
}

bool pb_evidence_write_state(PbEvidenceWriter *w, const PbEvidenceInfo *info,
                             struct kvm_cpuid2 *const *cpuid,
                             const PbMem *mem, const PbState *state)
{
    bool ok = !w->failed && put_head(w) &&
              pb_put_one(w, PB_EVIDENCE_INFO, info, sizeof(*info));
    unsigned i;

    for (i = 0; ok && i < info->cpus; i++) {
        ok = put_cpuid(w, cpuid[i]);
    }
    ok = ok && put_memory(w, mem);
    for (i = 0; ok && i < info->cpus; i++) {
        ok = pb_put_one(w, PB_EVIDENCE_STATE, &state[i], sizeof(state[i]));
    }
    w->written.last_seq = info->at.seq;
    return ok;
}

bool pb_evidence_write_disk(PbEvidenceWriter *w, const PbEvidenceDisk *d)
{
    return pb_put_one(w, PB_EVIDENCE_DISK, d, sizeof(*d));
}

bool pb_evidence_write_undo(PbEvidenceWriter *w, const PbUndoData *u)
{
    pb_put_add(w, &u->head, sizeof(u->head));
    if (u->data) {
        pb_put_add(w, u->data, u->head.data);
    }
    pb_put_block(w, PB_EVIDENCE_UNDO);
    return !w->failed;
}

bool pb_evidence_write_point(PbEvidenceWriter *w, const PbPointData *p)
{
    const PbEvidencePoint *h = &p->head;

    if (sizeof(*h) + (uint64_t)h->list + h->devices > PB_EVIDENCE_MAX_POINT) {
        return !w->failed;
    }
    pb_put_add(w, h, sizeof(*h));
    pb_put_add(w, p->list, h->list);
    pb_put_add(w, p->devices, h->devices);
    pb_put_block(w, PB_EVIDENCE_POINT);
    w->written.points++;
    return !w->failed;
}

/* ---- RAM ---- */

static bool put_pages(PbEvidenceWriter *w)
{
    uint32_t pages = w->used / PB_EVIDENCE_PAGE;
    PbEvidencePages *p = (PbEvidencePages *)(w->block +
                                             sizeof(PbEvidenceBlock));

    if (pages) {
        p->block = w->page_block;
        p->pages = pages;
        p->offset = w->page_next - (uint64_t)pages * PB_EVIDENCE_PAGE;
        w->written.pages += pages;
        pb_put_block(w, PB_EVIDENCE_PAGES);
    }
    w->used = 0;
    return !w->failed;
}

static bool page(void *opaque, unsigned block, uint64_t offset,
                 const uint8_t *data)
{
    PbEvidenceWriter *w = opaque;
    size_t full = sizeof(PbEvidencePages) +
                  PB_EVIDENCE_MAX_PAGES * PB_EVIDENCE_PAGE;

    if (w->used && (w->used == full || block != w->page_block ||
                    offset != w->page_next) && !put_pages(w)) {
        return false;
    }
    if (w->used == 0) {
        w->used = sizeof(PbEvidencePages);
        w->page_block = block;
    }
    pb_put_add(w, data, PB_EVIDENCE_PAGE);
    w->page_next = offset + PB_EVIDENCE_PAGE;
    return true;
}

bool pb_evidence_write_ram(PbEvidenceWriter *w, const PbMem *mem)
{
    if (w->failed || !pb_mem_scan(mem, page, w) || !put_pages(w)) {
        return false;
    }
    w->complete = pb_put_totals(w, PB_EVIDENCE_START, w->written.pages, 0);
    return w->complete;
}

/* ---- events ---- */

/* @done bytes of a block's payload are in the file: count whole events. */
static void note_events(PbEvidenceWriter *w, size_t done)
{
    size_t at = sizeof(PbEvidenceEvents) + w->events * sizeof(*w->crc);
    uint32_t i, slot = 0;

    for (i = 0; i < w->events; i++) {
        uint32_t n = 1 + pb_event_extra_slots(&w->slot[slot]);

        at += n * sizeof(PbEvent);
        if (at > done) {
            break;
        }
        w->written.events++;
        w->written.last_seq = w->slot[slot].seq;
        slot += n;
    }
}

static bool put_events(PbEvidenceWriter *w)
{
    PbEvidenceEvents e = { .events = w->events, .slots = w->slots };

    if (w->failed || !w->events) {
        return !w->failed;
    }
    e.first_seq = w->slot[0].seq;
    e.crc = pb_crc(0, &e, offsetof(PbEvidenceEvents, crc));
    e.crc = pb_crc(e.crc, w->crc, w->events * sizeof(*w->crc));
    pb_put_add(w, &e, sizeof(e));
    pb_put_add(w, w->crc, w->events * sizeof(*w->crc));
    pb_put_add(w, w->slot, w->slots * sizeof(*w->slot));
    note_events(w, pb_put_block(w, PB_EVIDENCE_EVENTS));
    w->events = w->slots = 0;
    return !w->failed;
}

bool pb_evidence_write_event(PbEvidenceWriter *w, const PbEvent *e,
                             const PbEvent *(*slot)(void *opaque, uint32_t i),
                             void *opaque)
{
    uint32_t i, n = 1 + pb_event_extra_slots(e);
    PbEvent *to;

    if (w->failed) {
        return false;
    }
    if (n > PB_EVIDENCE_MAX_SLOTS) {
        return pb_put_failed(w, "an event of the history is damaged", 0);
    }
    if (n > PB_EVIDENCE_MAX_SLOTS - w->slots && !put_events(w)) {
        return false;
    }
    to = w->slot + w->slots;
    to[0] = *e;
    for (i = 1; i < n; i++) {
        to[i] = *slot(opaque, i);
    }
    w->crc[w->events++] = pb_crc(0, to, n * sizeof(*to));
    w->slots += n;
    return true;
}

void pb_evidence_cut(PbEvidenceWriter *w, const char *what, int err)
{
    put_events(w);
    pb_put_failed(w, what, err);
}

/* ---- the end ---- */

static void explain(const PbEvidenceWriter *w, char *why, size_t len)
{
    if (w->complete) {
        snprintf(why, len, "%s is not complete: %s; it ends with event %llu "
                 "and can be opened up to there", w->file, w->error,
                 (unsigned long long)w->written.last_seq);
    } else {
        snprintf(why, len, "%s could not be written: %s; nothing of it is "
                 "kept", w->file ? w->file : "the file", w->error);
    }
}

bool pb_evidence_finish(PbEvidenceWriter *w, PbEvidenceWritten *written,
                        char *why, size_t len)
{
    bool ok = w->complete && put_events(w) &&
              pb_put_totals(w, PB_EVIDENCE_END, w->written.events,
                            w->written.last_seq);

    if (!ok && !w->failed) {
        ok = pb_put_failed(w, "the Backup's state was not told", 0);
    }
    if (close(w->fd) < 0 && ok) {
        ok = pb_put_failed(w, "closing", errno);
    }
    if (!ok) {
        explain(w, why, len);
        if (!w->complete && w->remove) {
            unlink(w->file);
        }
    }
    *written = w->written;
    free(w->file);
    free(w->block);
    free(w->slot);
    free(w->crc);
    free(w);
    return ok;
}
