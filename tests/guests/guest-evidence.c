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
#include <time.h>
#include <unistd.h>

#include "backup-internal.h"
#include "backup-save.h"
#include "evidence-feed.h"
#include "evidence-host.h"
#include "guests.h"

#define LOOK_NS 200000

/* A Backup made from a file. */
typedef struct Replay {
    GuestRun *r;
    PbEvidence *e;
    PbRing *ring;
    PbBackup *b;
    pthread_t thread;
    bool started;
    const char *name;         /* in messages */
} Replay;

static uint64_t end_of_time(void *unused)
{
    (void)unused;
    return UINT64_MAX / 2;
}

static void *replay_thread(void *opaque)
{
    Replay *p = opaque;

    pb_backup_run(p->b);
    return NULL;
}

static bool check_host(Replay *p)
{
    PbEvidenceHost host;
    char text[300];
    bool ok;

    if (pb_evidence_host(p->r->o->kvm_fd, &host) < 0) {
        guest_fail(p->r, "this host's CPUID cannot be read");
        return false;
    }
    ok = pb_evidence_check_host(&p->e->info, p->e->cpuid, &host,
                                p->r->o->uarch, text, sizeof(text));
    if (!ok || text[0]) {
        guest_fail(p->r, "%s: the host that wrote the file is refused: %s",
                   p->name, text);
    }
    pb_evidence_host_free(&host);
    return ok;
}

static bool replay_open(Replay *p, GuestRun *r, const char *file,
                        const char *name)
{
    char why[400];
    PbBackupConfig c = {
        .kvm_fd = r->o->kvm_fd, .counter = r->o->backup_counter,
        .uarch = r->o->uarch, .margin = r->o->margin, .now = end_of_time,
        .tsc = r->o->tsc,
    };

    *p = (Replay) { .r = r, .name = name };
    p->e = pb_evidence_open(file, why, sizeof(why));
    if (!p->e) {
        guest_fail(r, "%s: %s", name, why);
        return false;
    }
    p->ring = c.ring = pb_ring_new(PB_RING_MIN_SLOTS);
    if (!p->ring || !check_host(p)) {
        guest_fail(r, "%s: no ring", name);
        return false;
    }
    pb_evidence_config(p->e, &c);
    p->b = pb_backup_new(&c, why, sizeof(why));
    if (!p->b) {
        guest_fail(r, "%s: %s", name, why);
        return false;
    }
    p->started = pthread_create(&p->thread, NULL, replay_thread, p) == 0;
    return p->started;
}

static void replay_close(Replay *p)
{
    if (p->started) {
        pb_backup_quit(p->b);
        pthread_join(p->thread, NULL);
    }
    pb_backup_free(p->b);
    pb_ring_free(p->ring);
    pb_evidence_close(p->e);
}

/* Let it come to event @seq; false with a reason. */
static bool replay_wait(Replay *p, uint64_t seq)
{
    static const struct timespec nap = { .tv_nsec = LOOK_NS };
    char text[600];

    while (__atomic_load_n(&p->b->stats.events, __ATOMIC_ACQUIRE) < seq) {
        PbBackupStatus s = pb_backup_status(p->b);

        if (s == PB_BACKUP_DIVERGED || s == PB_BACKUP_FAILED) {
            pb_divergence_print(pb_backup_divergence(p->b), text,
                                sizeof(text));
            guest_fail(p->r, "%s: %s", p->name, text);
            return false;
        }
        if (guest_now(NULL) > p->r->deadline_ns) {
            guest_fail(p->r, "%s: event %llu is not reached in time", p->name,
                       (unsigned long long)seq);
            return false;
        }
        pb_backup_poke(p->b);
        nanosleep(&nap, NULL);
    }
    return true;
}

/* Publish the events of @from after @after, up to @upto. */
static bool feed_some(Replay *p, PbEvidence *from, uint64_t after,
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
            if (!replay_wait(p, 0) || guest_now(NULL) > p->r->deadline_ns) {
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
static bool same_as_primary(Replay *p)
{
    PbState mine;
    PbMemDiff diff;
    char what[160];

    if (!replay_wait(p, p->r->last_seq)) {
        return false;
    }
    while (pb_backup_status(p->b) == PB_BACKUP_RUNNING) {
        replay_wait(p, 0);
    }
    if (pb_backup_status(p->b) != PB_BACKUP_ENDED ||
        pb_state_get(&p->b->v, &mine) < 0) {
        guest_fail(p->r, "%s: expected an end, the Backup is %s", p->name,
                   pb_backup_status_name(pb_backup_status(p->b)));
        return false;
    }
    if (!pb_state_equal(p->r->final, &mine, what, sizeof(what))) {
        guest_fail(p->r, "%s: registers differ at the end: %s", p->name,
                   what);
        return false;
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
    Replay p;
    PbFeed *feed = NULL;
    bool ok = replay_open(&p, r, file, name);

    if (ok) {
        feed = pb_evidence_feed(p.e, p.ring);
        ok = feed && same_as_primary(&p) && !pb_feed_error(feed);
        pb_feed_stop(feed);
    }
    replay_close(&p);
    return ok;
}

/* ---- saved at any event ---- */

static bool save(Replay *p, const char *file)
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

static bool go_on(Replay *p, PbEvidence *all, uint64_t after)
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
    Replay first, second = { 0 };
    char name[80], other[300];
    bool ok;

    snprintf(name, sizeof(name), "the Backup to be saved at event %llu",
             (unsigned long long)seq);
    snprintf(other, sizeof(other), "%s-%llu", file, (unsigned long long)seq);
    ok = replay_open(&first, r, file, name) &&
         feed_some(&first, all, 0, seq) && replay_wait(&first, seq) &&
         save(&first, other) && pb_backup_thaw(first.b) &&
         go_on(&first, all, seq);
    replay_close(&first);
    if (ok) {
        char again[80];

        snprintf(again, sizeof(again), "the Backup saved at event %llu",
                 (unsigned long long)seq);
        ok = replay_open(&second, r, other, again);
        r->result->questions += ok && second.e->info.at.question.kind != 0;
        r->result->partials += ok && second.e->info.at.partials != 0;
        ok = ok && go_on(&second, all, seq);
        replay_close(&second);
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
               replay_file(r, file, "the file's second replay")) {
        saved_at_some(r, file);
    }
    r->result->saved_events = written.events;
    unlink(file);
    rmdir(dir);
}
