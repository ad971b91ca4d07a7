/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * evidence-read.h: open an evidence file (evidence.h).
 *
 * No QEMU, no KVM calls.  One thread at a time.  The file is not trusted:
 * no field is used before it is checked, nothing is allocated that is not
 * bounded, and it names no other file.  It is read with pread(2), so that one
 * that is cut while it is open is an error and no SIGBUS.
 */
#ifndef EVIDENCE_READ_H
#define EVIDENCE_READ_H

#include "evidence.h"

typedef struct PbEvidence {
    PbEvidenceInfo info;
    struct kvm_cpuid2 *cpuid[PB_MAX_CPUS];
    PbMem mem;                /* owned */
    PbState state[PB_MAX_CPUS];
    PbEvidenceDisk disk[PB_EVIDENCE_MAX_DISKS];
    PbUndoData *undo;         /* an array */
    PbPointData point[PB_EVIDENCE_MAX_POINTS];
    unsigned disks, undos, points;
    uint64_t pages;
    uint64_t events;          /* whole ones, in all */
    uint64_t last_seq;        /* of the last one; info.at.seq: there is none */
    uint64_t last_time_ns;    /* its Primary time */
    uint64_t panic_seq;       /* the event of the guest's panic, or 0 */
    char cut[160];            /* "" or why the history may be longer than the
                                 file: it was not written to its end */

    /* Private to evidence-read.c. */
    int fd;
    char *file;
    uint64_t size;
    uint64_t history;         /* offset of the first block of events, */
    uint32_t history_number;  /* and what its number is */
    uint8_t *payload;         /* of one block */
    PbEvent *event;           /* one, with its payload */
    struct {
        uint64_t offset;
        uint32_t number;
        uint64_t seq;         /* of the last event handed out */
        uint32_t slot, slots; /* in @payload: the next one, and how many */
        const uint8_t *first;
    } at;
} PbEvidence;

/*
 * Check all of @file and read the state.  NULL with @why: what is wrong, and
 * where.  A file that only ends too early, after the Backup's state, is
 * opened, with @cut saying so.
 */
PbEvidence *pb_evidence_open(const char *file, char *why, size_t len);
void pb_evidence_close(PbEvidence *e);

/*
 * The next event and its payload in @slots: how many slots there are, 0 at
 * the end, or -1 with @why when the file has changed since it was opened.
 * Valid until the next call.  pb_evidence_rewind(): from the first one again.
 */
int pb_evidence_next(PbEvidence *e, const PbEvent **slots, char *why,
                     size_t len);
void pb_evidence_rewind(PbEvidence *e);

/* Fill in what the file says: cpus, cpuid, primary_mem, state, at. */
void pb_evidence_config(const PbEvidence *e, PbBackupConfig *c);

#endif /* EVIDENCE_READ_H */
