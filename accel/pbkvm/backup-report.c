/* SPDX-License-Identifier: GPL-2.0-or-later */
/* backup-report.c: the Backup says once what went wrong, and stands still. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "backup-internal.h"

static void keep_last_events(PbBackup *b)
{
    PbDivergence *d = &b->divergence;
    unsigned first = b->lasts > PB_LAST_EVENTS ? b->lasts - PB_LAST_EVENTS
                                               : 0;
    unsigned i;

    for (i = first; i < b->lasts; i++) {
        d->last[d->lasts++] = b->last[i % PB_LAST_EVENTS];
    }
}

static PbReplayEnd report(PbBackup *b, PbBackupStatus status)
{
    /* Best effort: a failed vCPU may not tell. */
    pb_position_take(&b->v, &b->divergence.at);
    pb_vcpu_debug_off(&b->v);
    keep_last_events(b);
    pb_backup_set_status(b, status);
    if (b->c.diverged) {
        b->c.diverged(b->c.opaque);
    }
    return PB_REPLAY_FAILED;
}

PbReplayEnd pb_backup_diverge(PbBackup *b, const PbEvent *e,
                              const char *expected, const char *fmt, ...)
{
    PbDivergence *d = &b->divergence;
    va_list ap;

    d->event = *e;
    snprintf(d->expected, sizeof(d->expected), "%s", expected);
    va_start(ap, fmt);
    vsnprintf(d->got, sizeof(d->got), fmt, ap);
    va_end(ap);
    return report(b, PB_BACKUP_DIVERGED);
}

PbReplayEnd pb_backup_fail(PbBackup *b, const char *what, int err)
{
    PbDivergence *d = &b->divergence;

    d->event.seq = b->seq + 1;
    snprintf(d->expected, sizeof(d->expected), "the Backup to go on");
    snprintf(d->got, sizeof(d->got), "%s%s%s", what, err ? ": " : "",
             err ? strerror(-err) : "");
    return report(b, PB_BACKUP_FAILED);
}
