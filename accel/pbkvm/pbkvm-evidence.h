/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-evidence.h: evidence files in QEMU: the live Backup is saved
 * (pbkvm-evidence.c), a saved one is opened: -accel pbkvm,replay=FILE
 * (pbkvm-replay.c).
 *
 * Main thread, BQL held.  In a replay the machine is made, but its CPU never
 * runs: there is a Backup and no Primary.
 */
#ifndef PBKVM_EVIDENCE_H
#define PBKVM_EVIDENCE_H

#include "evidence-feed.h"
#include "evidence-write.h"
#include "hw/boards.h"

typedef struct PbkvmReplay {
    char *file;               /* replay=FILE, or NULL: a live machine */
    PbEvidence *evidence;
    PbFeed *feed;
    QEMUTimer *poker;
    VMChangeStateEntry *watch;      /* that nobody starts the machine */
} PbkvmReplay;

typedef struct PbkvmState PbkvmState;

/* The options replay and evidence. */
void pbkvm_evidence_class_init(ObjectClass *oc);

/* Whether evidence= could be made now, as it is to be when the guest panics. */
bool pbkvm_evidence_check(const PbkvmState *s, Error **errp);

/* Before the machine is made: open the file, see whether @ms and this host
   will do.  True with nothing done when there is no file to replay. */
bool pbkvm_replay_open(PbkvmState *s, MachineState *ms, Error **errp);

/* The machine is made: make the Backup, which then stands frozen. */
bool pbkvm_replay_start(PbkvmState *s, Error **errp);

/*
 * Another Backup, at the beginning of the file, takes the place of the one
 * there is: pbkvm_rewind().
 */
bool pbkvm_replay_again(PbkvmState *s, Error **errp);

/* The process ends, or the Backup is rewound; it has ended. */
void pbkvm_replay_end(PbkvmState *s);

/*
 * No replay any more, but a machine that has not run yet: its Backup and its
 * file are gone.
 */
void pbkvm_replay_leave(PbkvmState *s);

/* Save the frozen Backup, and what the Primary has recorded since. */
bool pbkvm_save(PbkvmState *s, const char *file, PbEvidenceWritten *written,
                Error **errp);

/* The guest has panicked, the Backup is frozen: save it, if evidence=FILE. */
void pbkvm_save_panicked(PbkvmState *s);

#endif /* PBKVM_EVIDENCE_H */
