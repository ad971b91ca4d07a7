/* SPDX-License-Identifier: GPL-2.0-or-later */
/* evidence-blocks.c: an evidence file as a sequence of checked blocks. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "evidence-blocks.h"
#include "evidence-check.h"
#include "pb-crc.h"

uint64_t pb_evidence_max_len(uint32_t kind)
{
    switch (kind) {
    case PB_EVIDENCE_INFO:
        return sizeof(PbEvidenceInfo);
    case PB_EVIDENCE_CPUID:
        return PB_EVIDENCE_MAX_CPUID * sizeof(struct kvm_cpuid_entry2);
    case PB_EVIDENCE_MEMORY:
        return sizeof(PbEvidenceMemory) +
               PB_MEM_MAX_BLOCKS * sizeof(PbEvidenceRamBlock) +
               PB_MEM_MAX_SLOTS * sizeof(PbSlotChange);
    case PB_EVIDENCE_STATE:
        return sizeof(PbState);
    case PB_EVIDENCE_DISK:
        return sizeof(PbEvidenceDisk);
    case PB_EVIDENCE_UNDO:
    case PB_EVIDENCE_POINT:
        return PB_EVIDENCE_MAX_POINT;
    case PB_EVIDENCE_PAGES:
        return sizeof(PbEvidencePages) +
               PB_EVIDENCE_MAX_PAGES * PB_EVIDENCE_PAGE;
    case PB_EVIDENCE_EVENTS:
        return sizeof(PbEvidenceEvents) +
               PB_EVIDENCE_MAX_SLOTS * (sizeof(uint32_t) + sizeof(PbEvent));
    case PB_EVIDENCE_START:
    case PB_EVIDENCE_END:
        return sizeof(PbEvidenceTotals);
    default:
        return 0;
    }
}

const char *pb_evidence_kind_name(uint32_t kind)
{
    static const char *const names[] = {
        [PB_EVIDENCE_INFO] = "info", [PB_EVIDENCE_CPUID] = "cpuid",
        [PB_EVIDENCE_MEMORY] = "memory", [PB_EVIDENCE_STATE] = "state",
        [PB_EVIDENCE_PAGES] = "pages", [PB_EVIDENCE_START] = "start",
        [PB_EVIDENCE_EVENTS] = "events", [PB_EVIDENCE_END] = "end",
        [PB_EVIDENCE_POINT] = "point", [PB_EVIDENCE_DISK] = "disk",
        [PB_EVIDENCE_UNDO] = "undo",
    };

    return kind >= 1 && kind < sizeof(names) / sizeof(names[0]) ? names[kind]
                                                                : "unknown";
}

bool pb_blocks_bad(PbBlocks *r, const char *fmt, ...)
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

bool pb_blocks_bad_file(PbBlocks *r, const char *what)
{
    snprintf(r->why, r->len, "%s: %s", r->e->file, what);
    return false;
}

ssize_t pb_blocks_get(const PbEvidence *e, void *to, size_t len,
                      uint64_t offset)
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

static bool check_block_head(PbBlocks *r)
{
    const PbEvidenceBlock *h = &r->head;

    if (h->mark != PB_EVIDENCE_MARK ||
        h->head_crc != pb_crc(0, h, offsetof(PbEvidenceBlock, head_crc))) {
        return pb_blocks_bad(r, "the block's head is damaged: wrong checksum");
    }
    if (h->number != r->number + 1) {
        return pb_blocks_bad(r, "it says that it is block %u", h->number);
    }
    if (pb_evidence_max_len(h->kind) == 0 || h->zero) {
        return pb_blocks_bad(r, "a block of unknown kind %u", h->kind);
    }
    if (h->len > pb_evidence_max_len(h->kind)) {
        return pb_blocks_bad(r, "%s: %llu bytes, expected at most %llu",
                             pb_evidence_kind_name(h->kind),
                             (unsigned long long)h->len,
                             (unsigned long long)
                             pb_evidence_max_len(h->kind));
    }
    return true;
}

PbFound pb_blocks_look(PbBlocks *r)
{
    static const PbEvidenceBlock none;
    ssize_t n = pb_blocks_get(r->e, &r->head, sizeof(r->head), r->offset);

    if (n >= 0 && n < (ssize_t)sizeof(r->head)) {
        return PB_FOUND_END;
    }
    /* A file system may have made room that was never written. */
    if (n >= 0 && !memcmp(&r->head, &none, sizeof(none))) {
        return PB_FOUND_END;
    }
    if (n >= 0 && !check_block_head(r)) {
        return PB_FOUND_BAD;
    }
    if (n >= 0) {
        n = pb_blocks_get(r->e, r->e->payload, r->head.len,
                          r->offset + sizeof(r->head));
    }
    if (n < 0) {
        pb_blocks_bad(r, "reading: %s", strerror(-n));
        return PB_FOUND_BAD;
    }
    r->got = n;
    if (r->got < r->head.len) {
        return PB_FOUND_PART;
    }
    if (r->head.crc != pb_crc(0, r->e->payload, r->got)) {
        pb_blocks_bad(r, "%s: damaged: wrong checksum",
                      pb_evidence_kind_name(r->head.kind));
        return PB_FOUND_BAD;
    }
    return PB_FOUND_BLOCK;
}

void pb_blocks_pass(PbBlocks *r)
{
    r->offset += sizeof(r->head) + r->head.len;
    r->number = r->head.number;
}

bool pb_blocks_fits(PbBlocks *r, size_t size)
{
    return r->head.len == size ||
           pb_blocks_bad(r, "%s: %llu bytes, expected %zu",
                         pb_evidence_kind_name(r->head.kind),
                         (unsigned long long)r->head.len, size);
}

bool pb_blocks_totals(PbBlocks *r, uint64_t count, uint64_t last_seq)
{
    PbEvidenceTotals t;

    if (!pb_blocks_fits(r, sizeof(t))) {
        return false;
    }
    memcpy(&t, r->e->payload, sizeof(t));
    if (t.count != count || t.last_seq != last_seq) {
        return pb_blocks_bad(r, "%s: expected %llu blocks' contents up to "
                             "%llu, got %llu up to %llu",
                             pb_evidence_kind_name(r->head.kind),
                             (unsigned long long)t.count,
                             (unsigned long long)t.last_seq,
                             (unsigned long long)count,
                             (unsigned long long)last_seq);
    }
    return true;
}

bool pb_blocks_each(PbBlocks *r, PbEvidenceKind kind,
                    bool (*one)(PbBlocks *r))
{
    while (pb_blocks_look(r) == PB_FOUND_BLOCK && r->head.kind == kind) {
        if (!one(r)) {
            return false;
        }
    }
    return true;
}
