/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backup-save.h: write a frozen Backup and the history before it into an
 * evidence file.
 *
 * No QEMU.  The work is done on the Backup's thread, which alone may look
 * into the ring; it consumes nothing.  The Primary may run meanwhile.
 */
#ifndef BACKUP_SAVE_H
#define BACKUP_SAVE_H

#include "backup-replay.h"
#include "evidence-write.h"

typedef struct PbSaveOptions {
    const char *program;      /* what writes, with its version; or NULL */
    const char *machine;      /* QEMU's machine; or NULL */
    const PbPointData *point; /* live points, in order; those that @b has not */
    unsigned points;          /* passed are saved */
    const PbEvidenceDisk *disk;
    unsigned disks;
    const PbUndoData *undo;   /* what they held, for all these points */
    unsigned undos;
} PbSaveOptions;

/*
 * Any thread; waits until it is done.  @b must be frozen.  What is in the
 * ring, and in its spill, when it begins is saved.  The instruction @b stands
 * in is finished first, where the history has all it needs for that.  False
 * with @why; see pb_evidence_finish() about what is left of the file then.
 */
bool pb_backup_save(PbBackup *b, const char *file, const PbSaveOptions *o,
                    PbEvidenceWritten *written, char *why, size_t len);

#endif /* BACKUP_SAVE_H */
