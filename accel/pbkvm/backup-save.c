/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backup-save.c: write a frozen Backup into an evidence file, and let
 * another one stand where it stood.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backup-internal.h"
#include "backup-save.h"
#include "evidence-host.h"

typedef struct Save {
    const char *file;
    const PbSaveOptions *o;
    PbEvidenceWriter *w;
    PbEvidenceWritten *written;
    uint32_t slots;           /* in the ring, */
    PbSpillMark spilled;      /* and after those */
    bool ok;
    char *why;
    size_t len;
} Save;

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

/*
 * Registers are those before the instruction it stands at: at a question that
 * is not answered yet KVM has changed nothing, and executes it again.
 */
static bool where(PbBackup *b, Save *s, PbBackupStart *at)
{
    if (b->detached) {
        snprintf(s->why, s->len, "a debugger has changed the Backup: it is "
                 "no evidence any more");
        return false;
    }
    if (pb_backup_settle(b) != PB_REPLAY_DONE) {
        snprintf(s->why, s->len, "the Backup has failed: see its report");
        return false;
    }
    if (b->asking && b->partials > PB_MAX_PARTIAL) {
        snprintf(s->why, s->len, "the Backup stands in the middle of an "
                 "instruction with more than %d device accesses: thaw it, "
                 "freeze it again", PB_MAX_PARTIAL);
        return false;
    }
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
    return true;
}

/* ---- writing ---- */

static bool fill_info(PbBackup *b, Save *s, PbEvidenceInfo *info)
{
    PbEvidenceHost host;
    int ret = pb_evidence_host(b->c.kvm_fd, &host);

    if (ret < 0) {
        snprintf(s->why, s->len, "KVM_GET_SUPPORTED_CPUID: %s",
                 strerror(-ret));
        return false;
    }
    info->created = time(NULL);
    pb_evidence_note_host(info, &host, pb_counter_kind(b->v.counter),
                          b->c.uarch);
    pb_evidence_host_free(&host);
    snprintf(info->program, sizeof(info->program), "%s",
             s->o->program ? s->o->program : "");
    snprintf(info->machine, sizeof(info->machine), "%s",
             s->o->machine ? s->o->machine : "");
    return true;
}

/* What of the ring comes next, and its payload. */
typedef struct RingAt {
    PbRing *ring;
    uint32_t at;
} RingAt;

static const PbEvent *ring_slot(void *opaque, uint32_t i)
{
    RingAt *a = opaque;

    return pb_ring_peek(a->ring, a->at + i);
}

static const PbEvent *spilled_slot(void *opaque, uint32_t i)
{
    return (const PbEvent *)opaque + i;
}

static bool write_spilled(void *opaque, const PbEvent *e, uint32_t n)
{
    Save *s = opaque;

    return pb_evidence_write_event(s->w, e, spilled_slot, (void *)e);
}

static void write_history(PbBackup *b, Save *s)
{
    RingAt a = { .ring = b->c.ring };
    bool ok = true;
    int ret;

    while (ok && a.at < s->slots) {
        PbEvent e = *pb_ring_peek(a.ring, a.at);

        ok = pb_evidence_write_event(s->w, &e, ring_slot, &a);
        a.at += 1 + pb_event_extra_slots(&e);
    }
    if (ok && b->c.spill) {
        ret = pb_spill_each(b->c.spill, &s->spilled, write_spilled, s);
        if (ret < 0) {
            pb_evidence_cut(s->w, "reading the spilled events", -ret);
        }
    }
}

/*
 * What there is to save.  The spill first: if it is not empty the ring only
 * changes by us; else what the ring gets meanwhile just follows.
 */
static bool note_history(PbBackup *b, Save *s)
{
    if (b->c.spill && !pb_spill_mark(b->c.spill, &s->spilled)) {
        snprintf(s->why, s->len, "no memory");
        return false;
    }
    /* Whole events: they are published whole. */
    s->slots = pb_ring_used(b->c.ring);
    return true;
}

static bool write_all(PbBackup *b, Save *s, PbEvidenceInfo *info,
                      PbState *state)
{
    int ret;

    if (!note_history(b, s) || !where(b, s, &info->at) ||
        !fill_info(b, s, info)) {
        return false;
    }
    ret = pb_state_get(&b->v, state);
    if (ret < 0) {
        snprintf(s->why, s->len, "reading the Backup's vCPU: %s",
                 strerror(-ret));
        return false;
    }
    s->w = pb_evidence_create(s->file, s->why, s->len);
    if (!s->w) {
        return false;
    }
    if (pb_evidence_write_state(s->w, info, b->cpuid, &b->mem, state) &&
        pb_evidence_write_ram(s->w, &b->mem)) {
        write_history(b, s);
    }
    return pb_evidence_finish(s->w, s->written, s->why, s->len);
}

static void save(PbBackup *b, void *opaque)
{
    Save *s = opaque;
    PbEvidenceInfo *info = calloc(1, sizeof(*info));
    PbState *state = calloc(1, sizeof(*state));

    if (info && state) {
        s->ok = write_all(b, s, info, state);
    } else {
        snprintf(s->why, s->len, "no memory");
    }
    pb_spill_unmark(&s->spilled);
    free(info);
    free(state);
}

bool pb_backup_save(PbBackup *b, const char *file, const PbSaveOptions *o,
                    PbEvidenceWritten *written, char *why, size_t len)
{
    static const PbSaveOptions none;
    Save s = { .file = file, .o = o ? o : &none, .written = written,
               .why = why, .len = len };

    memset(written, 0, sizeof(*written));
    if (!pb_backup_do(b, save, &s)) {
        snprintf(why, len, "the Backup must be frozen to be saved, it is %s",
                 pb_backup_status_name(pb_backup_status(b)));
    }
    return s.ok;
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
