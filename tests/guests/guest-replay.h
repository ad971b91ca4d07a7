/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guest-replay.h: a Backup made from an evidence file. */
#ifndef GUEST_REPLAY_H
#define GUEST_REPLAY_H

#include "backup-internal.h"
#include "evidence-feed.h"
#include "guests.h"

/* A Backup made from a file. */
typedef struct GuestReplay {
    GuestRun *r;
    PbEvidence *e;
    PbRing *ring;
    PbBackup *b;
    pthread_t thread;
    bool started;
    const char *name;         /* in messages */
} GuestReplay;

/*
 * A Backup from @file, its thread started; its ring is empty.  It fails the
 * run, and is to be closed, if false.
 */
bool guest_replay_open(GuestReplay *p, GuestRun *r, const char *file,
                       const char *name, bool frozen);
void guest_replay_close(GuestReplay *p);

/* Let it come to event @seq; false with a reason. */
bool guest_replay_wait(GuestReplay *p, uint64_t seq);

/* ---- guest-back.c ---- */

/* Replays of @file go to places where others have been before. */
bool guest_back(GuestRun *r, const char *file);

#endif /* GUEST_REPLAY_H */
