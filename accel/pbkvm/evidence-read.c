/* SPDX-License-Identifier: GPL-2.0-or-later */
/* evidence-read.c: open an evidence file: the Backup's state, and the rest. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "evidence-blocks.h"
#include "evidence-check.h"
#include "pb-crc.h"

/* ---- the state ---- */

static bool read_head(PbBlocks *r)
{
    PbEvidenceHead h;
    ssize_t n = pb_blocks_get(r->e, &h, sizeof(h), 0);
    const char *wrong;

    if (n < 0) {
        return pb_blocks_bad_file(r, strerror(-n));
    }
    if (n < (ssize_t)sizeof(h)) {
        return pb_blocks_bad_file(r, "this is no evidence file of pbkvm: too "
                                  "short");
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
    return wrong ? pb_blocks_bad_file(r, wrong) : true;
}

/* The one block of @kind that comes next. */
static bool expect(PbBlocks *r, PbEvidenceKind kind)
{
    switch (pb_blocks_look(r)) {
    case PB_FOUND_BLOCK:
        break;
    case PB_FOUND_BAD:
        return false;
    default:
        return pb_blocks_bad_file(r, "the file ends before the Backup's state "
                                  "is complete: it cannot be opened");
    }
    if (r->head.kind != kind) {
        return pb_blocks_bad(r, "expected %s, got %s",
                             pb_evidence_kind_name(kind),
                             pb_evidence_kind_name(r->head.kind));
    }
    return true;
}

static bool read_info(PbBlocks *r)
{
    PbEvidence *e = r->e;
    const char *wrong;

    if (!expect(r, PB_EVIDENCE_INFO) || !pb_blocks_fits(r, sizeof(e->info))) {
        return false;
    }
    memcpy(&e->info, e->payload, sizeof(e->info));
    wrong = pb_evidence_check_info(&e->info);
    pb_blocks_pass(r);
    return wrong ? pb_blocks_bad(r, "info: %s", wrong) : true;
}

static bool read_cpuid(PbBlocks *r, unsigned cpu)
{
    PbEvidence *e = r->e;
    struct kvm_cpuid2 *c;
    size_t one = sizeof(c->entries[0]);

    if (!expect(r, PB_EVIDENCE_CPUID)) {
        return false;
    }
    if (r->head.len == 0 || r->head.len % one) {
        return pb_blocks_bad(r, "cpuid: not a whole number of entries");
    }
    c = e->cpuid[cpu] = calloc(1, sizeof(*c) + r->head.len);
    if (!c) {
        return pb_blocks_bad_file(r, "no memory");
    }
    c->nent = r->head.len / one;
    memcpy(c->entries, e->payload, r->head.len);
    pb_blocks_pass(r);
    return true;
}

static bool read_memory(PbBlocks *r)
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
        return pb_blocks_bad(r, "memory: %s", wrong);
    }
    e->mem.owned = true;
    for (i = 0; i < mem.blocks; i++) {
        const PbBlock *b = &mem.block[i];
        void *host = mmap(NULL, b->size, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (host == MAP_FAILED) {
            return pb_blocks_bad(r, "memory: %llu bytes of RAM for %s: %s",
                                 (unsigned long long)b->size, b->name,
                                 strerror(errno));
        }
        pb_mem_add_block(&e->mem, b->name, host, b->size);
        e->mem.block[i].sparse = true;
    }
    memcpy(e->mem.slot, mem.slot, sizeof(mem.slot));
    pb_blocks_pass(r);
    return true;
}

static bool read_state(PbBlocks *r, unsigned cpu)
{
    PbState *s = &r->e->state[cpu];
    const char *wrong;

    if (!expect(r, PB_EVIDENCE_STATE) || !pb_blocks_fits(r, sizeof(*s))) {
        return false;
    }
    memcpy(s, r->e->payload, sizeof(*s));
    wrong = pb_state_check(s);
    if (wrong) {
        return pb_blocks_bad(r, "state: %s", wrong);
    }
    pb_blocks_pass(r);
    return true;
}

/* What each vCPU has one of. */
static bool read_each(PbBlocks *r, bool (*one)(PbBlocks *r, unsigned cpu))
{
    unsigned i;

    for (i = 0; i < r->e->info.cpus; i++) {
        if (!one(r, i)) {
            return false;
        }
    }
    return true;
}

static bool read_pages(PbBlocks *r)
{
    PbEvidence *e = r->e;
    const char *wrong = "too short";
    PbEvidencePages p;

    if (r->head.len >= sizeof(p)) {
        memcpy(&p, e->payload, sizeof(p));
        wrong = pb_evidence_check_pages(&p, r->head.len, &e->mem);
    }
    if (wrong) {
        return pb_blocks_bad(r, "pages: %s", wrong);
    }
    memcpy(e->mem.block[p.block].host + p.offset, e->payload + sizeof(p),
           (size_t)p.pages * PB_EVIDENCE_PAGE);
    e->pages += p.pages;
    pb_blocks_pass(r);
    return true;
}

static bool read_ram(PbBlocks *r)
{
    if (!pb_blocks_each(r, PB_EVIDENCE_PAGES, read_pages) ||
        !expect(r, PB_EVIDENCE_START) ||
        !pb_blocks_totals(r, r->e->pages, 0)) {
        return false;
    }
    pb_blocks_pass(r);
    return true;
}

/* ---- opening ---- */

static bool open_file(PbBlocks *r)
{
    PbEvidence *e = r->e;
    struct stat st;

    /* Not blocking: somebody may have named a pipe. */
    e->fd = open(e->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (e->fd < 0 || fstat(e->fd, &st) < 0) {
        return pb_blocks_bad_file(r, strerror(errno));
    }
    if (!S_ISREG(st.st_mode)) {
        return pb_blocks_bad_file(r, "this is no regular file");
    }
    e->size = st.st_size;
    return true;
}

PbEvidence *pb_evidence_open(const char *file, char *why, size_t len)
{
    PbEvidence *e = calloc(1, sizeof(*e));
    PbBlocks r = { .e = e, .why = why, .len = len };

    snprintf(why, len, "no memory");
    if (!e) {
        return NULL;
    }
    e->fd = -1;
    e->file = strdup(file);
    e->payload = malloc(pb_evidence_max_len(PB_EVIDENCE_PAGES));
    e->event = malloc(PB_EVIDENCE_MAX_SLOTS * sizeof(*e->event));
    if (!e->file || !e->payload || !e->event || !open_file(&r) ||
        !read_head(&r) || !read_info(&r) || !read_each(&r, read_cpuid) ||
        !read_memory(&r) || !read_each(&r, read_state) ||
        !pb_points_read(&r) || !read_ram(&r) ||
        !pb_history_check(&r)) {
        pb_evidence_close(e);
        return NULL;
    }
    pb_evidence_rewind(e);
    return e;
}

void pb_evidence_close(PbEvidence *e)
{
    unsigned i;

    if (e) {
        pb_mem_destroy(&e->mem);
        if (e->fd >= 0) {
            close(e->fd);
        }
        for (i = 0; i < PB_MAX_CPUS; i++) {
            free(e->cpuid[i]);
        }
        pb_points_free(e);
        free(e->payload);
        free(e->event);
        free(e->file);
        free(e);
    }
}

void pb_evidence_config(const PbEvidence *e, PbBackupConfig *c)
{
    unsigned i;

    c->cpus = e->info.cpus;
    for (i = 0; i < c->cpus; i++) {
        c->cpuid[i] = e->cpuid[i];
    }
    c->primary_mem = &e->mem;
    c->state = e->state;
    c->at = &e->info.at;
}
