/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backup-stuck.h: a Backup that will never get to where it is going.
 *
 * A guest that should have been interrupted elsewhere may run for ever: in a
 * loop without a conditional branch its count never passes the target, and
 * nothing else would tell.  Two cases:
 *
 * - It comes to the same place again and again, and is looked at there.  An
 *   honest loop may do that millions of times, but something moves.  If the
 *   whole guest, every register and every byte, is as it was in an earlier
 *   round, nothing ever will: that is proof, not a limit.
 * - It is not looked at but for kicks.  Then the time it ran is the limit.
 *
 * The Backup's thread.
 */
#ifndef BACKUP_STUCK_H
#define BACKUP_STUCK_H

#include "backup-internal.h"

/* The looks of one landing; starts as all zero. */
typedef struct PbRounds {
    PbPosition at;            /* is waited for, to come again, */
    uint64_t most, looks;     /* for so many looks; this many were */
    uint64_t same;            /* of these: saw @at */
    uint64_t digest;          /* of the whole guest, when it was taken last */
} PbRounds;

/* The guest stands at @now, not at its target.  1: in a circle; or -errno. */
int pb_stuck_round(PbBackup *b, PbRounds *r, const PbPosition *now);

/* A kick came before the guest could move: the next look may be the same. */
void pb_stuck_not_yet(PbRounds *r);

/* After each run: see PbIdle.stuck. */
void pb_stuck_note_run(PbBackup *b, PbRunEnd end);

/* Report that, on the way to @e. */
PbReplayEnd pb_stuck_idle(PbBackup *b, const PbEvent *e);

#endif /* BACKUP_STUCK_H */
