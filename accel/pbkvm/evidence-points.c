/* SPDX-License-Identifier: GPL-2.0-or-later */
/* evidence-points.c: from where an evidence file's machine can live on. */
#include <stdlib.h>
#include <string.h>

#include "evidence-blocks.h"
#include "evidence-check.h"

/* The block looked at: what is @wrong with it, or whether it was @kept. */
static bool end_block(PbBlocks *r, const char *wrong, bool kept)
{
    if (wrong) {
        return pb_blocks_bad(r, "%s: %s", pb_evidence_kind_name(r->head.kind),
                             wrong);
    }
    if (!kept) {
        return pb_blocks_bad_file(r, "no memory");
    }
    pb_blocks_pass(r);
    return true;
}

static bool read_disk(PbBlocks *r)
{
    PbEvidence *e = r->e;
    PbEvidenceDisk *d = &e->disk[e->disks];
    const char *wrong;

    if (e->disks == PB_EVIDENCE_MAX_DISKS) {
        return end_block(r, "too many", false);
    }
    if (!pb_blocks_fits(r, sizeof(*d))) {
        return false;
    }
    memcpy(d, e->payload, sizeof(*d));
    wrong = pb_evidence_check_disk(d);
    e->disks += !wrong;
    return end_block(r, wrong, true);
}

/* A copy: @u points into the block.  The list grows by doubling. */
static bool keep_undo(PbEvidence *e, const PbUndoData *u)
{
    bool full = !(e->undos & (e->undos - 1));
    PbUndoData *list = full ? realloc(e->undo, (2 * e->undos + 1) *
                                               sizeof(*list)) : e->undo;
    uint8_t *data = u->head.data ? malloc(u->head.data) : NULL;

    e->undo = list ? list : e->undo;
    if (!list || (u->head.data && !data)) {
        free(data);
        return false;
    }
    if (data) {
        memcpy(data, u->data, u->head.data);
    }
    list[e->undos++] = (PbUndoData) { .head = u->head, .data = data };
    return true;
}

static bool read_undo(PbBlocks *r)
{
    PbEvidence *e = r->e;
    PbUndoData u;
    const char *wrong = pb_evidence_check_undo(e->payload, r->head.len, e->disk,
                                               e->disks, &u);

    if (!wrong && e->undos == PB_EVIDENCE_MAX_UNDOS) {
        wrong = "too many";
    }
    return end_block(r, wrong, !wrong && keep_undo(e, &u));
}

/* A copy: @p points into the block. */
static bool keep_point(PbEvidence *e, const PbPointData *p)
{
    PbPointData *to = &e->point[e->points];
    size_t len = (size_t)p->head.list + p->head.devices;
    uint8_t *data = malloc(len);

    if (data) {
        memcpy(data, p->list, len);
        *to = (PbPointData) { .head = p->head, .list = data,
                              .devices = data + p->head.list };
        e->points++;
    }
    return data;
}

static bool read_point(PbBlocks *r)
{
    PbEvidence *e = r->e;
    const PbEvidencePoint *last = e->points ? &e->point[e->points - 1].head
                                            : NULL;
    uint64_t from = last ? last->event + 1 : e->info.at.seq;
    unsigned undos = last ? last->undo : e->undos;
    const char *wrong;
    PbPointData p;

    wrong = pb_evidence_check_point(e->payload, r->head.len, from, undos, &p);
    if (!wrong && e->points == PB_EVIDENCE_MAX_POINTS) {
        wrong = "too many";
    }
    return end_block(r, wrong, !wrong && keep_point(e, &p));
}

bool pb_points_read(PbBlocks *r)
{
    return pb_blocks_each(r, PB_EVIDENCE_DISK, read_disk) &&
           pb_blocks_each(r, PB_EVIDENCE_UNDO, read_undo) &&
           pb_blocks_each(r, PB_EVIDENCE_POINT, read_point);
}

void pb_points_free(PbEvidence *e)
{
    unsigned i;

    for (i = 0; i < e->points; i++) {
        free((void *)e->point[i].list);
    }
    for (i = 0; i < e->undos; i++) {
        free((void *)e->undo[i].data);
    }
    free(e->undo);
}
