/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * evidence-check.h: whether what stands in an evidence file makes sense,
 * its checksums apart.  Pure; each returns NULL, or what is wrong.
 */
#ifndef EVIDENCE_CHECK_H
#define EVIDENCE_CHECK_H

#include "evidence.h"

/* Magic, checksum, version, sizes. */
const char *pb_evidence_check_head(const PbEvidenceHead *h);

const char *pb_evidence_check_info(const PbEvidenceInfo *info);

/*
 * Payload of a MEMORY block, @len bytes: take it over into @mem, whose
 * blocks get no memory yet (host NULL).
 */
const char *pb_evidence_check_memory(const uint8_t *payload, uint64_t len,
                                     PbMem *mem);

const char *pb_evidence_check_disk(const PbEvidenceDisk *d);

/*
 * Payload of an UNDO block, @len bytes: take it over into @u, which points into
 * it; of one of so many @disks at @disk.
 */
const char *pb_evidence_check_undo(const uint8_t *payload, uint64_t len,
                                   const PbEvidenceDisk *disk, unsigned disks,
                                   PbUndoData *u);

/*
 * Payload of a POINT block, likewise.  The Backup, or the point before it,
 * stands behind event @from; up to @undos lead back there.
 */
const char *pb_evidence_check_point(const uint8_t *payload, uint64_t len,
                                    uint64_t from, unsigned undos,
                                    PbPointData *p);

const char *pb_evidence_check_pages(const PbEvidencePages *p, uint64_t len,
                                    const PbMem *mem);

/*
 * An event, which pb_event_check() passed, with its @payload, of a guest with
 * that many @cpus and @mem.
 */
const char *pb_evidence_check_payload(const PbEvent *e, const void *payload,
                                      uint32_t cpus, const PbMem *mem);

#endif /* EVIDENCE_CHECK_H */
