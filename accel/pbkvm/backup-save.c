/* SPDX-License-Identifier: GPL-2.0-or-later */
/* backup-save.c: write a frozen Backup into an evidence file. */
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
    uint32_t slots;           /* that were taken back, and in the ring, */
    PbSpillMark spilled;      /* and after those */
    bool ok;
    char *why;
    size_t len;
} Save;

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
    info->cpus = b->cpus.n;
    pb_evidence_note_host(info, &host, pb_counter_kind(b->v.counter),
                          b->c.uarch);
    pb_evidence_host_free(&host);
    snprintf(info->program, sizeof(info->program), "%s",
             s->o->program ? s->o->program : "");
    snprintf(info->machine, sizeof(info->machine), "%s",
             s->o->machine ? s->o->machine : "");
    return true;
}

/* What comes next, and its payload. */
typedef struct Ahead {
    PbBackup *b;
    uint32_t at;
} Ahead;

static const PbEvent *slot_ahead(void *opaque, uint32_t i)
{
    Ahead *a = opaque;

    return pb_backup_peek(a->b, a->at + i);
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
    Ahead a = { .b = b };
    bool ok = true;
    int ret;

    while (ok && a.at < s->slots) {
        PbEvent e = *slot_ahead(&a, 0);

        ok = pb_evidence_write_event(s->w, &e, slot_ahead, &a);
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
    s->slots = pb_backup_left(b) + pb_ring_used(b->c.ring);
    return true;
}

static bool write_disks(Save *s)
{
    const PbSaveOptions *o = s->o;
    unsigned i;

    for (i = 0; i < o->disks; i++) {
        if (!pb_evidence_write_disk(s->w, &o->disk[i])) {
            return false;
        }
    }
    for (i = 0; i < o->undos; i++) {
        if (!pb_evidence_write_undo(s->w, &o->undo[i])) {
            return false;
        }
    }
    return true;
}

/*
 * From the first one on that is still ahead, or where it stands: all, or as
 * many as a file takes, as far apart from each other.
 */
static bool write_points(Save *s, uint64_t event, bool there)
{
    const PbPointData *p = s->o->point;
    unsigned n = s->o->points, kept, i;

    for (; n && p->head.event < event + !there; p++) {
        n--;
    }
    kept = n < PB_EVIDENCE_MAX_POINTS ? n : PB_EVIDENCE_MAX_POINTS;
    for (i = 0; i < kept; i++) {
        if (!pb_evidence_write_point(s->w, &p[(uint64_t)i * n / kept])) {
            return false;
        }
    }
    return true;
}

static bool write_all(PbBackup *b, Save *s, PbEvidenceInfo *info,
                      PbState *states)
{
    bool there = !pb_backup_exits_since(b);

    if (!note_history(b, s) ||
        !pb_backup_where(b, &info->at, states, s->why, s->len) ||
        !fill_info(b, s, info)) {
        return false;
    }
    s->w = pb_evidence_create(s->file, s->why, s->len);
    if (!s->w) {
        return false;
    }
    if (pb_evidence_write_state(s->w, info, b->cpuid, &b->mem, states) &&
        write_disks(s) && write_points(s, info->at.seq, there) &&
        pb_evidence_write_ram(s->w, &b->mem)) {
        write_history(b, s);
    }
    return pb_evidence_finish(s->w, s->written, s->why, s->len);
}

static void save(PbBackup *b, void *opaque)
{
    Save *s = opaque;
    PbEvidenceInfo *info = calloc(1, sizeof(*info));
    PbState *states = calloc(b->cpus.n, sizeof(*states));

    if (info && states) {
        s->ok = write_all(b, s, info, states);
    } else {
        snprintf(s->why, s->len, "no memory");
    }
    pb_spill_unmark(&s->spilled);
    free(info);
    free(states);
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
