/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * evidence-sample.h: an evidence file of known contents for the unit tests,
 * as a file and as bytes that a test may damage.
 */
#ifndef EVIDENCE_SAMPLE_H
#define EVIDENCE_SAMPLE_H

#include "evidence-read.h"
#include "evidence-write.h"

#define SAMPLE_FIRST_SEQ 1000u
#define SAMPLE_EVENTS    240u
#define SAMPLE_MAX_BLOCKS 64
#define SAMPLE_DISKS     2u
#define SAMPLE_UNDOS     3u
#define SAMPLE_POINTS    2u

/* Of each disk; of each piece that was not zeroes. */
#define SAMPLE_DISK      "/machine/disk"
#define SAMPLE_HELD      "what it held"

/* Of each point. */
#define SAMPLE_LIST      "a-card at /machine/one\nb at /machine/two\n"
#define SAMPLE_DEVICES   "their state"

typedef struct SampleBlock {
    size_t at, len;           /* of its head; of its payload */
    uint32_t kind;
} SampleBlock;

typedef struct Sample {
    PbMem mem;
    PbState state, other;     /* of its two vCPUs */
    PbEvidenceInfo info;
    struct kvm_cpuid2 *cpuid;
    PbEvent *slot;            /* all events with their payloads */
    uint32_t slots;
    uint32_t at[SAMPLE_EVENTS];   /* the first slot of each event */

    /* The file, and where its blocks are. */
    uint8_t *bytes;
    size_t size;
    SampleBlock block[SAMPLE_MAX_BLOCKS];
    unsigned blocks;
} Sample;

/* The folder for files of this test; removed by sample_clean_up(). */
const char *sample_path(const char *name);
void sample_clean_up(void);

/* A sample, written to sample_path("good") and read as bytes. */
Sample *sample_new(void);
void sample_free(Sample *s);

/* The disk, the piece that was overwritten, the live point number @i. */
PbEvidenceDisk sample_disk(unsigned i);
PbUndoData sample_undo(unsigned i);
PbPointData sample_point(unsigned i);

/* Write it all with @w, or as far as that goes. */
void sample_write(const Sample *s, PbEvidenceWriter *w);

/* The first block of @kind, or the last one. */
SampleBlock *sample_block(Sample *s, uint32_t kind);
SampleBlock *sample_last_block(Sample *s, uint32_t kind);

/* Where in the file event number @i (from 0) ends. */
size_t sample_event_end(Sample *s, unsigned i);

/* Make all checksums right again after bytes were changed. */
void sample_reseal(Sample *s);

/* Store @len bytes as a file, and open that. */
PbEvidence *sample_open(const uint8_t *bytes, size_t len, char *why,
                        size_t why_len);

/* Read all events of @e; how many, or -1. */
int sample_read_events(PbEvidence *e, char *why, size_t len);

/* xorshift */
uint64_t sample_random(void);

#endif /* EVIDENCE_SAMPLE_H */
