/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-reverse.h: the Backup goes back.
 *
 * With the BQL held.
 */
#ifndef PBKVM_REVERSE_H
#define PBKVM_REVERSE_H

#include "pbkvm-inspect.h"

/*
 * Where a Backup can be taken back to: the beginning of the file in a replay;
 * else where it began to walk after it was frozen, of which it keeps a
 * checkpoint (backup-checkpoint.h).  @at may be NULL.  False, with an error:
 * nowhere.
 */
bool pbkvm_way_back(PbkvmState *s, PbBackupStart *at, Error **errp);

/*
 * The Backup, which does not run, is taken back to there, with the breakpoints
 * it has; or not so far, if @to is not NULL and a walk has kept a moment before
 * that.  False: it stands where it stood, or has failed, or there is none any
 * more.  Main thread, or the Backup's CPU's.
 */
bool pbkvm_rewind(PbkvmState *s, const PbPlace *to, Error **errp);

/* gdb may ask for it from now on.  Main thread. */
void pbkvm_reverse_init(void);

/*
 * Take the frozen Backup back: one instruction, or to the last breakpoint or
 * watchpoint before where it stands.  @stop says what it came to, as at the
 * end of a walk; PB_STOP_HISTORY: where the way back begins.  The Backup's own
 * CPU thread; gives the BQL away while it waits.
 */
void pbkvm_reverse(PbkvmState *s, PbkvmBack back, PbStop *stop);

#endif /* PBKVM_REVERSE_H */
