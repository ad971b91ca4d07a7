/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-rewind.c: a Backup goes back to a moment that it has kept, or begins
 * anew at the beginning of an evidence file.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "system/dump.h"

#include "backup-checkpoint.h"
#include "pbkvm-hw.h"
#include "pbkvm.h"
#include "pbkvm-reverse.h"

bool pbkvm_way_back(PbkvmState *s, PbBackupStart *at, Error **errp)
{
    char why[160] = "";

    if (s->replay.file) {
        if (at) {
            *at = s->replay.evidence->info.at;
        }
        return true;
    }
    if (pb_backup_kept(s->backup, at, why, sizeof(why))) {
        return true;
    }
    error_setg(errp, "the Backup has no way back from here: %s",
               why[0] ? why : "it has not moved since it was frozen");
    return false;
}

static bool file_again(PbkvmState *s, Error **errp)
{
    g_autofree PbBreakpoints *all = g_new(PbBreakpoints, 1);

    pb_backup_get_breaks(s->backup, all);
    if (!pbkvm_replay_again(s, errp)) {
        return false;
    }
    pb_backup_set_breaks(s->backup, all);
    return true;
}

bool pbkvm_rewind(PbkvmState *s, const PbPlace *to, Error **errp)
{
    if (qemu_system_dump_in_progress()) {
        error_setg(errp, "the Backup is being dumped: expected that to end "
                   "first");
        return false;
    }
    if (pb_backup_back(s->backup, to)) {
        pbkvm_backup_starts();
        return true;
    }
    if (s->replay.file) {
        return file_again(s, errp);
    }
    pbkvm_way_back(s, NULL, errp);         /* which says why there is none */
    return false;
}
