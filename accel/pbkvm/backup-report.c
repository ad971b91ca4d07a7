/* SPDX-License-Identifier: GPL-2.0-or-later */
/* backup-report.c: the Backup says once what went wrong, and stands still. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "backup-internal.h"
#include "pb-step.h"

#define DR7_ENABLED 0xffull

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

/* Which is not replayed in all cases: docs/caveats.md. */
static void tell_of_guest_debug(PbBackup *b, PbDivergence *d)
{
    struct kvm_debugregs debug = { 0 };
    struct kvm_regs regs = { 0 };
    size_t at = strlen(d->got);

    pb_vcpu_get_regs(&b->v, &regs);
    pb_vcpu_ioctl(&b->v, KVM_GET_DEBUGREGS, &debug);
    if ((regs.rflags & PB_RFLAGS_TF) || (debug.dr7 & DR7_ENABLED)) {
        snprintf(d->got + at, sizeof(d->got) - at, " (the guest debugs itself: "
                 "EFLAGS 0x%llx, DR7 0x%llx)",
                 (unsigned long long)regs.rflags,
                 (unsigned long long)debug.dr7);
    }
}

static void tell_of_lost_counter(const PbBackup *b, PbDivergence *d)
{
    const char *lost = b->v.counter ? pb_counter_check(b->v.counter) : NULL;
    size_t at = strlen(d->got);

    if (lost) {
        snprintf(d->got + at, sizeof(d->got) - at, " (%s)", lost);
    }
}

static PbReplayEnd report(PbBackup *b, PbBackupStatus status)
{
    /* Best effort: a failed vCPU may not tell. */
    pb_position_take(&b->v, &b->divergence.at);
    tell_of_guest_debug(b, &b->divergence);
    pb_vcpu_debug_off(&b->v);
    tell_of_lost_counter(b, &b->divergence);
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
    char why[240] = "";

    if (err) {
        pb_step_explain(&b->v, err, why, sizeof(why));
    }
    d->event.seq = b->seq + 1;
    snprintf(d->expected, sizeof(d->expected), "the Backup to go on");
    snprintf(d->got, sizeof(d->got), "%s%s%s", what, err ? ": " : "", why);
    return report(b, PB_BACKUP_FAILED);
}
