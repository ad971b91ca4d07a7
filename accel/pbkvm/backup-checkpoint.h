/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backup-checkpoint.h: a moment in the Backup's life, and all that it has
 * lived through since: it can go back there, and live it again.
 *
 * No QEMU.  It holds a copy of the Backup's RAM, and 64 bytes for each event
 * and each 64 bytes of payload.  The Backup forgets it once it follows the
 * Primary again.
 */
#ifndef BACKUP_CHECKPOINT_H
#define BACKUP_CHECKPOINT_H

#include "backup-inspect.h"

/*
 * Any thread; the Backup frozen.  Keep what it lives through from here on, if
 * it does not since an earlier moment.  Before each walk it does so by itself,
 * with PbBackupConfig.keeps.  It keeps nothing if it was changed by a debugger,
 * stands where nobody else can, or there is no memory for another copy:
 * pb_backup_kept() then says so.
 */
void pb_backup_keep(PbBackup *b);

/*
 * Any thread: where what the frozen Backup keeps begins (*@at, if not NULL).
 * False: it is not frozen, or keeps nothing; @why then says why not, or is "":
 * nobody has walked it.  Of one that has diverged, the ring does not go on
 * where it stands.
 */
bool pb_backup_kept(PbBackup *b, PbBackupStart *at, char *why, size_t len);

/*
 * Any thread; the Backup frozen.  Have it stand there again, or, if @to is not
 * NULL, at the moment near and before @to that a walk (PbWalk.keep) has noted.
 * What a debugger has changed is undone; its breakpoints stay.  False: it keeps
 * no such moment and stands where it stood, or has failed on its way.
 */
bool pb_backup_back(PbBackup *b, const PbPlace *to);

#endif /* BACKUP_CHECKPOINT_H */
