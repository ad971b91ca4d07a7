/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * evidence-write.h: make an evidence file (evidence.h), piece by piece, in
 * the order of the functions here.
 *
 * No QEMU, no KVM calls.  One thread per writer.  Every function returns
 * true, or false with the writer's error set; after that all of them do
 * nothing.  pb_evidence_finish() then tells what is wrong.
 *
 * What was told before a kill, a full disk or an end of the power is in the
 * file: every call writes through to the kernel, and the complete state and
 * the end are flushed to the disk.
 */
#ifndef EVIDENCE_WRITE_H
#define EVIDENCE_WRITE_H

#include "evidence.h"

typedef struct PbEvidenceWriter PbEvidenceWriter;

/*
 * A new file with access for its owner alone.  An existing one is never
 * touched: NULL with @why.
 */
PbEvidenceWriter *pb_evidence_create(const char *file, char *why, size_t len);

/*
 * All but the pages: @info, the CPUID table of each vCPU (as many as that
 * says), layout of @mem, each one's state.
 */
bool pb_evidence_write_state(PbEvidenceWriter *w, const PbEvidenceInfo *info,
                             struct kvm_cpuid2 *const *cpuid,
                             const PbMem *mem, const PbState *state);

/*
 * A disk; then what disks held, none larger than PB_EVIDENCE_MAX_UNDO.  Up to
 * PB_EVIDENCE_MAX_DISKS and PB_EVIDENCE_MAX_UNDOS.
 */
bool pb_evidence_write_disk(PbEvidenceWriter *w, const PbEvidenceDisk *d);
bool pb_evidence_write_undo(PbEvidenceWriter *w, const PbUndoData *u);

/*
 * A live point, any number of them, in the order of their events; none is
 * behind one that the Backup has lived through.  One that is larger than
 * PB_EVIDENCE_MAX_POINT is left out.
 */
bool pb_evidence_write_point(PbEvidenceWriter *w, const PbPointData *p);

/* Every page of @mem that is not all zero; then the state is complete. */
bool pb_evidence_write_ram(PbEvidenceWriter *w, const PbMem *mem);

/*
 * The next event: @e and, for its payload, pb_event_extra_slots(e) more
 * slots, each of them asked for by @slot(opaque, i), i from 1.  Written when
 * a block is full.
 */
bool pb_evidence_write_event(PbEvidenceWriter *w, const PbEvent *e,
                             const PbEvent *(*slot)(void *opaque, uint32_t i),
                             void *opaque);

/*
 * The rest of the history cannot be told, for reason @what and @err (errno,
 * or 0): the file ends with the last event told.
 */
void pb_evidence_cut(PbEvidenceWriter *w, const char *what, int err);

typedef struct PbEvidenceWritten {
    uint64_t bytes;
    uint64_t points;
    uint64_t pages;
    uint64_t events;
    uint64_t last_seq;
} PbEvidenceWritten;

/*
 * Write the end, flush, close and free.  True: the file is complete.  False
 * with @why: a file whose state is not complete has been removed; another one
 * is kept, ends with the last event that went in, and opens.  @written
 * tells how far it goes.
 */
bool pb_evidence_finish(PbEvidenceWriter *w, PbEvidenceWritten *written,
                        char *why, size_t len);

/*
 * For tests: write to @fd, which is closed at the end; @file is its name in
 * messages, and nothing is ever removed.
 */
PbEvidenceWriter *pb_evidence_create_fd(int fd, const char *file);

#endif /* EVIDENCE_WRITE_H */
