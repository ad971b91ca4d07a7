/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guest-evidence.c: the Backup of a run is frozen on its way and saved; other
 * Backups, made from the file, must end as the Primary did.  Some of them are
 * stopped after a few events and saved again, to see a Backup saved wherever
 * one can stand.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backup-internal.h"
#include "backup-save.h"
#include "guest-replay.h"

/* Publish the events of @from after @after, up to @upto. */
static bool feed_some(GuestReplay *p, PbEvidence *from, uint64_t after,
                      uint64_t upto)
{
    const PbEvent *slots;
    char why[300];
    int n;

    pb_evidence_rewind(from);
    while ((n = pb_evidence_next(from, &slots, why, sizeof(why))) > 0 &&
           slots->seq <= upto) {
        if (slots->seq <= after) {
            continue;
        }
        while (!pb_ring_wait_room(p->ring, n, 20)) {
            if (!guest_replay_wait(p, 0) ||
                guest_now(NULL) > p->r->deadline_ns) {
                guest_fail(p->r, "%s: its ring stays full", p->name);
                return false;
            }
        }
        pb_ring_put(p->ring, slots, n);
    }
    if (n < 0) {
        guest_fail(p->r, "%s: %s", p->name, why);
    }
    return n >= 0;
}

/* It has lived through everything: is it where the Primary was? */
static bool same_as_primary(GuestReplay *p)
{
    PbState mine[2];
    PbMemDiff diff;
    char what[160];
    unsigned i;

    if (!guest_replay_wait(p, p->r->last_seq)) {
        return false;
    }
    while (pb_backup_status(p->b) == PB_BACKUP_RUNNING) {
        guest_replay_wait(p, 0);
    }
    if (pb_backup_status(p->b) != PB_BACKUP_ENDED ||
        pb_cpus_get_state(&p->b->cpus, mine) < 0) {
        guest_fail(p->r, "%s: expected an end, the Backup is %s", p->name,
                   pb_backup_status_name(pb_backup_status(p->b)));
        return false;
    }
    for (i = 0; i < p->r->cpus.n; i++) {
        if (!pb_state_equal(&p->r->final[i], &mine[i], what, sizeof(what))) {
            guest_fail(p->r, "%s: registers of vCPU %u differ at the end: %s",
                       p->name, i, what);
            return false;
        }
    }
    pb_mem_compare(&p->r->mem, &p->b->mem, &diff);
    if (diff.differences != diff.accessed_bits) {
        guest_fail(p->r, "%s: %llu words of memory differ at the end, the "
                   "first at block %u offset 0x%llx", p->name,
                   (unsigned long long)diff.differences, diff.block,
                   (unsigned long long)diff.offset);
        return false;
    }
    return true;
}

static bool replay_file(GuestRun *r, const char *file, const char *name)
{
    GuestReplay p;
    PbFeed *feed = NULL;
    bool ok = guest_replay_open(&p, r, file, name, false);

    if (ok) {
        feed = pb_evidence_feed(p.e, p.ring);
        ok = feed && same_as_primary(&p) && !pb_feed_error(feed);
        pb_feed_stop(feed);
    }
    guest_replay_close(&p);
    return ok;
}

/* ---- saved at any event ---- */

static bool save(GuestReplay *p, const char *file)
{
    PbEvidenceWritten written;
    char why[400];

    if (!pb_backup_freeze(p->b)) {
        guest_fail(p->r, "%s: it cannot be frozen", p->name);
        return false;
    }
    if (!pb_backup_save(p->b, file, NULL, &written, why, sizeof(why))) {
        guest_fail(p->r, "%s: %s", p->name, why);
        return false;
    }
    return true;
}

static bool go_on(GuestReplay *p, PbEvidence *all, uint64_t after)
{
    return feed_some(p, all, after, UINT64_MAX) && same_as_primary(p);
}

/*
 * A Backup lives from @file through the events up to @seq and is saved.  It
 * and one made from what was saved must both come to the same end.
 */
static bool saved_at(GuestRun *r, const char *file, PbEvidence *all,
                     uint64_t seq)
{
    GuestReplay first, second = { 0 };
    char name[80], other[300];
    bool ok;

    snprintf(name, sizeof(name), "the Backup to be saved at event %llu",
             (unsigned long long)seq);
    snprintf(other, sizeof(other), "%s-%llu", file, (unsigned long long)seq);
    ok = guest_replay_open(&first, r, file, name, false) &&
         feed_some(&first, all, 0, seq) && guest_replay_wait(&first, seq) &&
         save(&first, other) && pb_backup_thaw(first.b) &&
         go_on(&first, all, seq);
    guest_replay_close(&first);
    if (ok) {
        char again[80];

        snprintf(again, sizeof(again), "the Backup saved at event %llu",
                 (unsigned long long)seq);
        ok = guest_replay_open(&second, r, other, again, false);
        r->result->questions += ok && second.e->info.at.question.kind != 0;
        r->result->partials += ok && second.e->info.at.partials != 0;
        ok = ok && go_on(&second, all, seq);
        guest_replay_close(&second);
    }
    unlink(other);
    return ok;
}

/*
 * Whether one can stand after event @seq.  At VERIFY it waits for somebody
 * to compare with, until there is a further event.
 */
static bool can_stand_at(PbEvidence *all, uint64_t seq)
{
    const PbEvent *slots = NULL;
    char why[300];

    pb_evidence_rewind(all);
    while (pb_evidence_next(all, &slots, why, sizeof(why)) > 0 &&
           slots->seq < seq) {
    }
    return slots && slots->kind != PB_EVENT_VERIFY &&
           slots->kind != PB_EVENT_END;
}

static bool saved_at_some(GuestRun *r, const char *file)
{
    char why[300];
    PbEvidence *all = pb_evidence_open(file, why, sizeof(why));
    uint64_t first = all ? all->info.at.seq + 1 : 0, i, at, step;
    bool ok = all != NULL;

    if (!all) {
        guest_fail(r, "%s", why);
        return false;
    }
    step = all->events / r->o->evidence + 1;
    for (i = 0; ok && i < all->events; i += step) {
        at = first + i + guest_random(&r->random) % step;
        if (at < all->last_seq && can_stand_at(all, at)) {
            ok = saved_at(r, file, all, at);
        }
    }
    pb_evidence_close(all);
    return ok;
}

void guest_evidence(GuestRun *r)
{
    char dir[] = "/tmp/pb-guests-XXXXXX", file[64], why[400];
    PbEvidenceWritten written;
    PbRecordStats s;

    pb_record_stats(r->rec, &s);
    r->last_seq = s.events;
    if (!mkdtemp(dir)) {
        guest_fail(r, "%s: %s", dir, strerror(errno));
        return;
    }
    snprintf(file, sizeof(file), "%s/evidence", dir);
    if (!pb_backup_save(r->backup, file, NULL, &written, why, sizeof(why))) {
        guest_fail(r, "%s", why);
    } else if (written.last_seq != r->last_seq) {
        guest_fail(r, "the file ends with event %llu, the history with %llu",
                   (unsigned long long)written.last_seq,
                   (unsigned long long)r->last_seq);
    } else if (replay_file(r, file, "the file's first replay") &&
               replay_file(r, file, "the file's second replay") &&
               saved_at_some(r, file)) {
        guest_back(r, file);
    }
    r->result->saved_events = written.events;
    unlink(file);
    rmdir(dir);
}
