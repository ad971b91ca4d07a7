/* SPDX-License-Identifier: GPL-2.0-or-later */
/* backup-stand.c: where a Backup stands, so that another can stand there. */
#include <stdio.h>
#include <string.h>

#include "backup-internal.h"

/* ---- where it stands ---- */

/* The exit it stands at, as the event that will answer it. */
static PbEvent question_of(const PbBackup *b)
{
    const struct kvm_run *run = b->v.run;
    PbEvent q = { .seq = b->seq + 1 };

    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        q.kind = PB_EVENT_PIO_IN;
        q.arg = run->io.port;
        q.size = run->io.size;
        q.body.pio.count = run->io.count;
        break;
    case KVM_EXIT_MMIO:
        q.kind = PB_EVENT_MMIO_READ;
        q.size = run->mmio.len;
        q.body.mmio.gpa = run->mmio.phys_addr;
        break;
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR:
        q.kind = run->exit_reason == KVM_EXIT_X86_RDMSR ? PB_EVENT_RDMSR
                                                        : PB_EVENT_WRMSR;
        q.body.msr.index = run->msr.index;
        q.body.msr.value = q.kind == PB_EVENT_WRMSR ? run->msr.data : 0;
        break;
    case KVM_EXIT_HLT:
        q.kind = PB_EVENT_HLT;
        break;
    default:
        q.kind = PB_EVENT_SHUTDOWN;
        break;
    }
    return q;
}

/* NULL, or why nobody else can stand here. */
static const char *no_stand(PbBackup *b)
{
    if (b->detached) {
        return "a debugger has changed the Backup: it is no evidence any more";
    }
    if (pb_backup_settle(b) != PB_REPLAY_DONE) {
        return "the Backup has failed: see its report";
    }
    if (b->asking && b->partials > PB_MAX_PARTIAL) {
        return "the Backup stands in the middle of an instruction with more "
               "than 8 device accesses: thaw it, freeze it again";
    }
    return NULL;
}

_Static_assert(PB_MAX_PARTIAL == 8, "the text says so");

bool pb_backup_where(PbBackup *b, PbBackupStart *at, PbState *state, char *why,
                     size_t len)
{
    const char *no = no_stand(b);
    int ret;

    if (no) {
        snprintf(why, len, "%s", no);
        return false;
    }
    memset(at, 0, sizeof(*at));       /* files hold it, holes and all */
    at->seq = b->seq;
    at->digest = b->digest;
    at->branches = pb_counter_read(b->v.counter);
    at->time_ns = b->stats.time_ns;
    at->writes = b->writes;
    at->tsc = b->at.tsc;
    if (b->v.tsc) {
        at->tsc.value = b->tsc.value;
    }
    if (b->asking) {
        at->question = question_of(b);
        at->partials = b->partials;
        memcpy(at->partial, b->partial, b->partials * sizeof(PbEvent));
    }
    at->cpu = b->cpus.now;
    ret = pb_cpus_get_state(&b->cpus, state);
    if (ret < 0) {
        snprintf(why, len, "reading the Backup's vCPU: %s", strerror(-ret));
    }
    return ret == 0;
}

/* ---- standing there again ---- */

static PbReplayEnd elsewhere(PbBackup *b, const PbEvent *q)
{
    char want[160], have[120];

    pb_event_print(q, want, sizeof(want));
    pb_backup_describe_exit(b, have, sizeof(have));
    return pb_backup_diverge(b, q, want, "%s", b->asking ? have : "no exit");
}

/* Execute until the exit that @q names; nothing else may come before it. */
static PbReplayEnd meet(PbBackup *b, const PbEvent *q)
{
    uint64_t branches = pb_counter_read(b->v.counter);

    while (!b->asking) {
        PbRunEnd end = pb_backup_run_guest(b);

        if (end == PB_RUN_FAILED) {
            return PB_REPLAY_FAILED;
        }
        if (__atomic_load_n(&b->quit, __ATOMIC_ACQUIRE)) {
            return PB_REPLAY_STOPPED;
        }
        if (end == PB_RUN_WROTE ||
            pb_counter_read(b->v.counter) != branches) {
            return elsewhere(b, q);
        }
    }
    return pb_backup_question_is(b, q) ? PB_REPLAY_DONE : elsewhere(b, q);
}

PbReplayEnd pb_backup_stand(PbBackup *b, const PbBackupStart *at)
{
    PbReplayEnd end;
    uint32_t i;

    switch (at->question.kind) {
    case PB_EVENT_INVALID:
        return PB_REPLAY_DONE;
    case PB_EVENT_HLT:
    case PB_EVENT_SHUTDOWN:
        /* These are over when they exit: nothing is pending in KVM. */
        b->v.run->exit_reason = at->question.kind == PB_EVENT_HLT
                                ? KVM_EXIT_HLT : KVM_EXIT_SHUTDOWN;
        b->asking = true;
        return PB_REPLAY_DONE;
    }
    for (i = 0; i < at->partials; i++) {
        end = meet(b, &at->partial[i]);
        if (end != PB_REPLAY_DONE) {
            return end;
        }
        pb_backup_answer(b, &at->partial[i], NULL);
    }
    return meet(b, &at->question);
}
