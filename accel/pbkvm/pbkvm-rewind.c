/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-rewind.c: a Backup begins where another one once stood, and takes its
 * place: at the beginning of an evidence file, or where the live one was
 * frozen and then walked.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "system/dump.h"

#include "backup-checkpoint.h"
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

static bool begin_again(PbkvmState *s, const PbPlace *to, Error **errp)
{
    PbBackupConfig c = s->replay.file ? pbkvm_replay_config(s)
                                      : pbkvm_backup_config(s);

    c.frozen = true;
    if (pb_backup_config_again(s->backup, to, &c)) {
        pbkvm_make_rest(s);
        pbkvm_backup_drop(s);
        return pbkvm_backup_start(s, &c, errp);
    }
    if (s->replay.file) {
        return pbkvm_replay_again(s, errp);
    }
    pbkvm_way_back(s, NULL, errp);         /* which says why there is none */
    return false;
}

bool pbkvm_rewind(PbkvmState *s, const PbPlace *to, Error **errp)
{
    g_autofree PbBreakpoints *all = g_new(PbBreakpoints, 1);

    if (qemu_system_dump_in_progress()) {
        error_setg(errp, "the Backup is being dumped: expected that to end "
                   "first");
        return false;
    }
    pb_backup_get_breaks(s->backup, all);
    if (!begin_again(s, to, errp)) {
        return false;
    }
    pb_backup_set_breaks(s->backup, all);
    return true;
}
