/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * evidence-put.h: an evidence file that is being made, as a sequence of blocks;
 * what goes into them is for evidence-write.c.
 *
 * One thread per writer.  What has failed stays so: nothing is written then.
 */
#ifndef EVIDENCE_PUT_H
#define EVIDENCE_PUT_H

#include "evidence-write.h"

/* The largest block is one of pages. */
#define PB_PUT_BUFFER (sizeof(PbEvidenceBlock) + sizeof(PbEvidencePages) + \
                       PB_EVIDENCE_MAX_PAGES * PB_EVIDENCE_PAGE)

struct PbEvidenceWriter {
    int fd;
    char *file;
    bool remove;              /* made here: may be removed */
    bool failed;
    bool complete;            /* the Backup's state is */
    char error[160];
    uint32_t number;          /* of the last block */
    PbEvidenceWritten written;

    uint8_t *block;           /* PB_PUT_BUFFER: head and payload */
    size_t used;              /* bytes of payload in it */

    uint32_t page_block;      /* pages that wait in @block */
    uint64_t page_next;       /* the offset after the last of them */

    PbEvent *slot;            /* events that wait, PB_EVIDENCE_MAX_SLOTS */
    uint32_t slots;
    uint32_t *crc;            /* and their checksums, as many */
    uint32_t events;
};

/* It has failed, for @what and @err (errno, or 0); false. */
bool pb_put_failed(PbEvidenceWriter *w, const char *what, int err);

/* How much of @len was written; less: the writer has failed. */
size_t pb_put_bytes(PbEvidenceWriter *w, const void *data, size_t len);

/* To the block that comes next, which has room for it. */
void pb_put_add(PbEvidenceWriter *w, const void *data, size_t len);

/* Write what was added, in one go; returns the bytes of payload written. */
size_t pb_put_block(PbEvidenceWriter *w, PbEvidenceKind kind);

/* The same of @data alone; and of totals, which go to the disk with all. */
bool pb_put_one(PbEvidenceWriter *w, PbEvidenceKind kind, const void *data,
                size_t len);
bool pb_put_totals(PbEvidenceWriter *w, PbEvidenceKind kind, uint64_t count,
                   uint64_t last_seq);

#endif /* EVIDENCE_PUT_H */
