/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * evidence-blocks.h: an evidence file as a sequence of checked blocks; what is
 * in them is for evidence-read.c and evidence-history.c.
 *
 * The thread that opens or reads the file.  A reason is a text in @why that
 * begins with the file's name.
 */
#ifndef EVIDENCE_BLOCKS_H
#define EVIDENCE_BLOCKS_H

#include "evidence-read.h"

/* What there is at an offset of the file. */
typedef enum PbFound {
    PB_FOUND_BLOCK,       /* head and payload are whole and have not changed */
    PB_FOUND_PART,        /* the file ends in the payload */
    PB_FOUND_END,         /* the file ends before the payload */
    PB_FOUND_BAD,         /* the reason is told */
} PbFound;

typedef struct PbBlocks {
    PbEvidence *e;
    uint64_t offset;      /* of the block looked at */
    PbEvidenceBlock head;
    uint32_t number;      /* of the block before it */
    uint64_t got;         /* bytes of its payload that there are */
    char *why;
    size_t len;
} PbBlocks;

/* The block looked at, or the file, is not as it must be; false. */
bool pb_blocks_bad(PbBlocks *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
bool pb_blocks_bad_file(PbBlocks *r, const char *what);

/* Up to @len bytes at @offset: fewer at the end of the file; or -errno. */
ssize_t pb_blocks_get(const PbEvidence *e, void *to, size_t len,
                      uint64_t offset);

/* Look at the block at r->offset; its payload is then in e->payload. */
PbFound pb_blocks_look(PbBlocks *r);

/* On to the block behind the one looked at. */
void pb_blocks_pass(PbBlocks *r);

/* Whether the block looked at is of @size bytes. */
bool pb_blocks_fits(PbBlocks *r, size_t size);

/* It tells totals: whether they are these. */
bool pb_blocks_totals(PbBlocks *r, uint64_t count, uint64_t last_seq);

/* All blocks of @kind that come next: each is passed by @one. */
bool pb_blocks_each(PbBlocks *r, PbEvidenceKind kind,
                    bool (*one)(PbBlocks *r));

/* ---- evidence-points.c ---- */

/* Disks, what they held, live points; and to free them. */
bool pb_points_read(PbBlocks *r);
void pb_points_free(PbEvidence *e);

/* ---- evidence-history.c ---- */

/* The rest of the file: every event, up to the last whole one. */
bool pb_history_check(PbBlocks *r);

#endif /* EVIDENCE_BLOCKS_H */
