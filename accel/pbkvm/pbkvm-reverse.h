/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-reverse.h: the Backup of a replay goes back, for gdb.
 *
 * With the BQL held.
 */
#ifndef PBKVM_REVERSE_H
#define PBKVM_REVERSE_H

#include "pbkvm-inspect.h"

/* gdb may ask for it from now on, if this is a replay.  Main thread. */
void pbkvm_reverse_init(PbkvmState *s);

/*
 * Take the frozen Backup back: one instruction, or to the last breakpoint or
 * watchpoint before where it stands.  @stop says what it came to, as at the
 * end of a walk; PB_STOP_HISTORY: the beginning.  The Backup's own CPU thread;
 * gives the BQL away while it waits.
 */
void pbkvm_reverse(PbkvmState *s, PbkvmBack back, PbStop *stop);

#endif /* PBKVM_REVERSE_H */
