/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pbkvm-tsc.c: a guest that has a time stamp counter. */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qapi/error.h"
#include "cpu.h"

#include "pb-host.h"
#include "pbkvm.h"

bool pbkvm_tsc_want(PbkvmState *s, Error **errp)
{
    char why[240];
    int fd;

    if (s->tsc_wanted) {
        return true;
    }
    fd = pb_kvm_open(why, sizeof(why));
    if (fd >= 0) {
        s->tsc_wanted = pb_tsc_check(fd, &s->tsc_model, why, sizeof(why));
        close(fd);
    }
    if (!s->tsc_wanted) {
        error_setg(errp, "pbkvm cannot repeat the guest's TSC here: %s", why);
        error_append_hint(errp, "Leave tsc out of -cpu, for a kernel without "
                          "CONFIG_X86_TSC.\n");
    }
    return s->tsc_wanted;
}

bool pbkvm_tsc_start(PbkvmState *s, Error **errp)
{
    /* -loadvm brings one, with a Primary time that is not 0. */
    uint64_t here = cpu_env(s->cpu)->tsc;
    PbTscStart at = s->tsc_from.on ? s->tsc_from : (PbTscStart) {
        .base = here - pbkvm_now(NULL), .value = here, .on = 1,
    };
    int64_t khz = cpu_env(s->cpu)->tsc_khz;
    const char *what;
    int ret;

    if (khz != PB_TSC_HZ / 1000) {
        error_setg(errp, "pbkvm: the snapshot's guest has a TSC of %" PRId64
                   " kHz: expected %u", khz, PB_TSC_HZ / 1000);
        error_append_hint(errp, "Save it from a machine with "
                          "-cpu ...,tsc-frequency=%u.\n", PB_TSC_HZ);
        return false;
    }
    ret = pb_cpus_start_tsc(&s->cpus, &s->tsc, &s->tsc_model, &at, &what);
    if (ret < 0) {
        error_setg_errno(errp, -ret, "pbkvm: %s", what);
        return false;
    }
    return true;
}

PbkvmTsc *pbkvm_tsc_info(const PbkvmState *s, const PbBackupStats *b)
{
    PbkvmTsc *q;

    if (!s->tsc_wanted) {
        return NULL;
    }
    q = g_new0(PbkvmTsc, 1);
    q->frequency = PB_TSC_HZ;
    q->late = pb_tsc_late(&s->tsc);
    q->backup_late = b->tsc_late;
    return q;
}

static void explain(const char *who, uint64_t late, int64_t at,
                    int64_t here)
{
    if (late) {
        error_printf("It may be the guest's TSC: the %s left the guest after "
                     "a tick %" PRIu64 " times", who, late);
        if (at >= 0 && at <= here) {
            error_printf(", last in a run that began %" PRIu64 " us before "
                         "this event", (here - at) / SCALE_US);
        }
        error_printf(".\n");
    }
}

void pbkvm_tsc_explain(const PbkvmState *s, uint64_t here)
{
    PbBackupStats b;

    if (s->tsc_wanted) {
        pb_backup_stats(s->backup, &b);
        explain("Primary", pb_tsc_late(&s->tsc),
                pb_tsc_late_at(&s->tsc, here), here);
        explain("Backup", b.tsc_late, b.tsc_late_at, here);
    }
}

PbTscStart pbkvm_tsc_here(const PbkvmState *s)
{
    if (!s->primary.tsc) {
        return (PbTscStart) { 0 };
    }
    return (PbTscStart) { .base = s->tsc.base, .value = s->tsc.value,
                          .on = 1 };
}
