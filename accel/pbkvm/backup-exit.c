/* SPDX-License-Identifier: GPL-2.0-or-later */
/* backup-exit.c: run the Backup's guest to its next exit, and say which. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "backup-internal.h"
#include "backup-stuck.h"
#include "pb-exit.h"

void pb_backup_describe_exit(const PbBackup *b, char *buf, size_t len)
{
    const struct kvm_run *run = b->v.run;

    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        snprintf(buf, len, "%s of port 0x%x, %u x %u bytes",
                 run->io.direction == KVM_EXIT_IO_OUT ? "write" : "read",
                 run->io.port, run->io.count, run->io.size);
        break;
    case KVM_EXIT_MMIO:
        snprintf(buf, len, "%s of address 0x%llx, %u bytes",
                 run->mmio.is_write ? "write" : "read",
                 (unsigned long long)run->mmio.phys_addr, run->mmio.len);
        break;
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR:
        snprintf(buf, len, "%s of MSR 0x%x",
                 run->exit_reason == KVM_EXIT_X86_RDMSR ? "read" : "write",
                 run->msr.index);
        break;
    case KVM_EXIT_HLT:
        snprintf(buf, len, "HLT");
        break;
    case KVM_EXIT_SHUTDOWN:
        snprintf(buf, len, "triple fault");
        break;
    case KVM_EXIT_INTERNAL_ERROR:
        snprintf(buf, len, "KVM internal error %u", run->internal.suberror);
        break;
    case KVM_EXIT_FAIL_ENTRY:
        snprintf(buf, len, "entry failed, hardware reason 0x%llx",
                 (unsigned long long)
                 run->fail_entry.hardware_entry_failure_reason);
        break;
    default:
        snprintf(buf, len, "KVM exit %u", run->exit_reason);
    }
}

PbRunEnd pb_backup_note_exit(PbBackup *b)
{
    const struct kvm_run *run = b->v.run;
    char text[120];

    switch (run->exit_reason) {
    case KVM_EXIT_IO:
    case KVM_EXIT_MMIO:
        if (pb_exit_is_write(run)) {
            b->digest = pb_digest_exit(b->digest, run);
            b->writes++;
            pb_exit_mind_cr8(b->v.run);
            if (b->c.wrote) {
                b->c.wrote(b->c.opaque, run);
            }
            return PB_RUN_WROTE;
        }
        b->asking = true;
        return PB_RUN_ASKED;
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR:
    case KVM_EXIT_HLT:
    case KVM_EXIT_SHUTDOWN:
        b->asking = true;
        return PB_RUN_ASKED;
    case KVM_EXIT_DEBUG:
        return PB_RUN_DEBUG;
    case KVM_EXIT_IRQ_WINDOW_OPEN:
    case KVM_EXIT_INTR:
    case KVM_EXIT_SET_TPR:            /* CR8 was written */
        return PB_RUN_KICKED;
    default:
        pb_backup_describe_exit(b, text, sizeof(text));
        pb_backup_fail(b, text, 0);
        return PB_RUN_FAILED;
    }
}

/*
 * An instruction may ask for more than one answer before any register
 * changes.  Who executes it again needs those it has got: backup-stand.c.
 */
static void keep_answer(PbBackup *b, const struct kvm_regs *before)
{
    struct kvm_regs now;

    if (pb_vcpu_get_regs(&b->v, &now) < 0 ||
        memcmp(before, &now, sizeof(now))) {
        b->partials = 0;      /* the next element of a REP string */
    } else if (b->partials < PB_MAX_PARTIAL) {
        b->partial[b->partials++] = b->answered;
    } else {
        b->partials = PB_MAX_PARTIAL + 1;
    }
}

static bool mmio_read_answered(const PbVcpu *v)
{
    return v->io_pending && v->run->exit_reason == KVM_EXIT_MMIO &&
           !v->run->mmio.is_write;
}

int pb_backup_complete(PbBackup *b, PbRunEnd *end)
{
    bool read = mmio_read_answered(&b->v);
    struct kvm_regs before;
    int ret = read ? pb_vcpu_get_regs(&b->v, &before) : 0;

    if (ret == 0) {
        ret = pb_vcpu_complete(&b->v);
    }
    if (ret == 1) {
        *end = pb_backup_note_exit(b);
        if (*end == PB_RUN_ASKED && read) {
            keep_answer(b, &before);
        }
    }
    return ret;
}

PbReplayEnd pb_backup_settle(PbBackup *b)
{
    int ret = 0;

    while (ret == 0 && !b->asking && b->v.io_pending) {
        PbRunEnd end = PB_RUN_KICKED;

        ret = pb_backup_complete(b, &end);
        if (end == PB_RUN_FAILED) {
            return PB_REPLAY_FAILED;
        }
        ret = ret == 1 ? 0 : ret;
    }
    return ret < 0 ? pb_backup_fail(b, "completing an exit", ret)
                   : PB_REPLAY_DONE;
}

/* KVM_RUN with the breakpoints in place; 0 or -errno. */
static int run_once(PbBackup *b, PbRunEnd *end)
{
    int ret = pb_breaks_insert(b);

    if (ret == 0) {
        ret = pb_vcpu_run(&b->v);
    }
    pb_breaks_remove(b);
    if (ret == -EINTR) {
        /* Reasons for a kick are looked at after this, so none is lost. */
        b->v.run->immediate_exit = 0;
        return 0;
    }
    if (ret == 0) {
        *end = pb_backup_note_exit(b);
    }
    return ret;
}

PbRunEnd pb_backup_run_guest(PbBackup *b)
{
    PbRunEnd end = PB_RUN_KICKED;
    int ret = mmio_read_answered(&b->v) ? pb_backup_complete(b, &end) : 0;

    if (ret == 0) {
        b->partials = 0;
        ret = run_once(b, &end);
    }
    if (ret >= 0 && end == PB_RUN_DEBUG) {
        ret = pb_guest_db_take(b);
    }
    if (ret >= 0 && end != PB_RUN_FAILED) {
        ret = pb_breaks_after_run(b, end);
    }
    if (ret < 0) {
        pb_backup_fail(b, "running the guest", ret);
        return PB_RUN_FAILED;
    }
    pb_stuck_note_run(b, end);
    return end;
}
