/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * evidence.h: the evidence file: a Backup's whole state and the history it
 * has not consumed yet.  docs/evidence.md says what that is good for.
 *
 * Little endian, no pointers, no paths.  PbEvidenceHead, then blocks: each a
 * PbEvidenceBlock and `len` bytes of payload, one after the other without
 * gaps.  The blocks, in this order (each: one for each vCPU):
 *
 *   INFO    one   PbEvidenceInfo: where the Backup stands, what it needs
 *   CPUID   each  struct kvm_cpuid_entry2, 1 to PB_EVIDENCE_MAX_CPUID
 *   MEMORY  one   PbEvidenceMemory, its RAM blocks, its slots
 *   STATE   each  PbState
 *   DISK    any   PbEvidenceDisk
 *   UNDO    any   PbEvidenceUndo and bytes, in the order they were overwritten
 *   POINT   any   PbEvidencePoint, the machine's devices, their state
 *   PAGES   any   PbEvidencePages and its pages; pages not told are zero
 *   START   one   PbEvidenceTotals of the pages: the state is complete
 *   EVENTS  any   PbEvidenceEvents, a CRC for each event, the events
 *   END     one   PbEvidenceTotals of the events: nothing was lost
 *
 * Up to START a file is whole or of no use.  After it, it may end anywhere:
 * in the last EVENTS block every event with its payload has a checksum of
 * its own, so that what was written of a torn block still counts.
 *
 * All checksums are CRC-32C (pb-crc.h).  Any change of this layout, of
 * PbState or of the meaning of a field bumps PB_EVIDENCE_VERSION; magic,
 * version and crc of PbEvidenceHead stay where they are in all versions.
 */
#ifndef EVIDENCE_H
#define EVIDENCE_H

#include "backup-replay.h"
#include "pb-mem.h"
#include "pb-state.h"
#include "ring/pb-event.h"

#define PB_EVIDENCE_VERSION 6

/* The high bit and the line ends show what a transfer as text has done. */
#define PB_EVIDENCE_MAGIC "\x89PBKVM\r\n"
#define PB_EVIDENCE_MARK  0x42454250u     /* "PBEB" */

typedef struct PbEvidenceHead {
    uint8_t magic[8];
    uint32_t version;
    uint32_t event_version;       /* PB_EVENT_VERSION */
    uint32_t event_size;          /* of PbEvent, */
    uint32_t state_size;          /* of PbState, */
    uint32_t info_size;           /* and of PbEvidenceInfo, in bytes */
    uint32_t zero[8];
    uint32_t crc;                 /* of all before it */
} PbEvidenceHead;

typedef enum PbEvidenceKind {
    PB_EVIDENCE_INFO = 1,
    PB_EVIDENCE_CPUID,
    PB_EVIDENCE_MEMORY,
    PB_EVIDENCE_STATE,
    PB_EVIDENCE_PAGES,
    PB_EVIDENCE_START,
    PB_EVIDENCE_EVENTS,
    PB_EVIDENCE_END,
    PB_EVIDENCE_POINT,
    PB_EVIDENCE_DISK,
    PB_EVIDENCE_UNDO,
} PbEvidenceKind;

typedef struct PbEvidenceBlock {
    uint32_t mark;                /* PB_EVIDENCE_MARK */
    uint32_t kind;
    uint64_t len;                 /* bytes of payload */
    uint32_t number;              /* 1, 2, ... */
    uint32_t crc;                 /* of the payload */
    uint32_t zero;
    uint32_t head_crc;            /* of all before it */
} PbEvidenceBlock;

/* Texts are for people: cut, padded with zeros, the last byte is zero. */
typedef struct PbEvidenceInfo {
    PbBackupStart at;
    uint64_t created;             /* seconds since 1970, UTC */
    uint32_t counter;             /* PbCounterKind of the Backup */
    uint32_t cpus;                /* vCPUs, 1 to PB_MAX_CPUS */
    char vendor[16];              /* of the host's CPU: "AuthenticAMD" */
    char uarch[48];               /* PbUarch.name, "" with step */
    char cpu[64];                 /* the host's CPU by name */
    char kernel[64];              /* the host's Linux */
    char program[64];             /* what wrote this */
    char machine[64];             /* QEMU's machine, or "" */
} PbEvidenceInfo;

typedef struct PbEvidenceRamBlock {
    char name[48];
    uint64_t size;                /* a multiple of the page size */
} PbEvidenceRamBlock;

/* Followed by blocks x PbEvidenceRamBlock, PB_MEM_MAX_SLOTS x PbSlotChange. */
typedef struct PbEvidenceMemory {
    uint32_t blocks;
    uint32_t slots;               /* PB_MEM_MAX_SLOTS */
} PbEvidenceMemory;

/* A disk of the machine's that can be written, as it is now. */
typedef struct PbEvidenceDisk {
    char device[96];              /* QEMU's name of its device; a text */
    uint64_t size;                /* bytes */
    uint32_t sample;              /* CRC of some of them: pbkvm-undo-file.c */
    uint32_t zero;
} PbEvidenceDisk;

/*
 * What a disk held, at @offset, before it was written.  Followed by @data
 * bytes; none: it held zeroes.  Now: when the file is written.
 */
typedef struct PbEvidenceUndo {
    uint64_t offset;
    uint32_t bytes;
    uint32_t disk;                /* number of its DISK block, from 0 */
    uint32_t now;                 /* CRC of what is there now */
    uint32_t data;                /* @bytes, or 0 */
} PbEvidenceUndo;

/* One, with what follows it. */
typedef struct PbUndoData {
    PbEvidenceUndo head;
    const uint8_t *data;
} PbUndoData;

typedef enum PbPointDisks {
    PB_POINT_NO_DISK,             /* that can be written */
    PB_POINT_DISKS,               /* what they held is told */
    PB_POINT_DISKS_UNKNOWN,       /* it is not */
} PbPointDisks;

/*
 * A live point: from there the machine can go on.  Followed by @list bytes,
 * which name its devices, a line for each, and @devices bytes, their state as
 * QEMU saves it.
 */
typedef struct PbEvidencePoint {
    uint64_t event;               /* it is behind this one, */
    uint64_t time_ns;             /* at this Primary time */
    uint32_t list;
    uint32_t devices;
    uint32_t disks;               /* PbPointDisks */
    uint32_t undo;                /* so many UNDO blocks, the last ones, lead
                                     back there */
} PbEvidencePoint;

/* One, with what follows it. */
typedef struct PbPointData {
    PbEvidencePoint head;
    const uint8_t *list;
    const uint8_t *devices;
} PbPointData;

/* Followed by pages x PB_EVIDENCE_PAGE bytes. */
typedef struct PbEvidencePages {
    uint32_t block;
    uint32_t pages;               /* 1 to PB_EVIDENCE_MAX_PAGES */
    uint64_t offset;              /* in the RAM block */
} PbEvidencePages;

/* Followed by events x uint32_t, slots x PbEvent. */
typedef struct PbEvidenceEvents {
    uint64_t first_seq;
    uint32_t events;              /* 1 to PB_EVIDENCE_MAX_SLOTS */
    uint32_t slots;               /* events and their payloads */
    uint32_t zero;
    uint32_t crc;                 /* of all before it, and of the table */
} PbEvidenceEvents;

typedef struct PbEvidenceTotals {
    uint64_t count;               /* pages, or events */
    uint64_t last_seq;            /* 0, or the last event's */
} PbEvidenceTotals;

#define PB_EVIDENCE_PAGE      4096u
#define PB_EVIDENCE_MAX_CPUID 256u
#define PB_EVIDENCE_MAX_PAGES 256u
#define PB_EVIDENCE_MAX_POINTS 256u
#define PB_EVIDENCE_MAX_POINT (1u << 20)  /* bytes, with what follows it */
#define PB_EVIDENCE_MAX_DISKS 64u
#define PB_EVIDENCE_MAX_UNDO  PB_EVIDENCE_MAX_POINT
#define PB_EVIDENCE_MAX_UNDOS (1u << 20)
#define PB_EVIDENCE_MAX_SLOTS 2048u   /* > a largest event's slots */
#define PB_EVIDENCE_MAX_RAM   (1ull << 36)

/* No payload is longer; 0 for a kind that is not known. */
uint64_t pb_evidence_max_len(uint32_t kind);

/* "info", "events", ... */
const char *pb_evidence_kind_name(uint32_t kind);

_Static_assert(sizeof(PbEvidenceHead) == 64, "evidence layout is fixed");
_Static_assert(sizeof(PbEvidenceBlock) == 32, "evidence layout is fixed");
_Static_assert(sizeof(PbEvidenceRamBlock) == 56, "evidence layout is fixed");
_Static_assert(sizeof(PbEvidencePoint) == 32, "evidence layout is fixed");
_Static_assert(sizeof(PbEvidenceDisk) == 112, "evidence layout is fixed");
_Static_assert(sizeof(PbEvidenceUndo) == 24, "evidence layout is fixed");
_Static_assert(sizeof(PbEvidenceEvents) == 24, "evidence layout is fixed");

#endif /* EVIDENCE_H */
