/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guest-replay.c: a Backup made from an evidence file. */
#include <stdio.h>
#include <time.h>

#include "evidence-host.h"
#include "guest-replay.h"

#define LOOK_NS 200000

static uint64_t end_of_time(void *unused)
{
    (void)unused;
    return UINT64_MAX / 2;
}

static void *replay_thread(void *opaque)
{
    GuestReplay *p = opaque;

    pb_backup_run(p->b);
    return NULL;
}

static bool check_host(GuestReplay *p)
{
    PbEvidenceHost host;
    char text[300];
    bool ok;

    if (pb_evidence_host(p->r->o->kvm_fd, &host) < 0) {
        guest_fail(p->r, "this host's CPUID cannot be read");
        return false;
    }
    ok = pb_evidence_check_host(&p->e->info, p->e->cpuid[0], &host,
                                p->r->o->uarch, text, sizeof(text));
    if (!ok || text[0]) {
        guest_fail(p->r, "%s: the host that wrote the file is refused: %s",
                   p->name, text);
    }
    pb_evidence_host_free(&host);
    return ok;
}

static PbBackupConfig config(const GuestRun *r, bool frozen)
{
    return (PbBackupConfig) {
        .kvm_fd = r->o->kvm_fd, .counter = r->o->backup_counter,
        .uarch = r->o->uarch, .margin = r->o->margin, .now = end_of_time,
        .tsc = r->o->tsc, .frozen = frozen, .fed = frozen,
    };
}

static bool start(GuestReplay *p, PbBackupConfig *c)
{
    char why[400];

    c->ring = p->ring;
    p->b = pb_backup_new(c, why, sizeof(why));
    if (!p->b) {
        guest_fail(p->r, "%s: %s", p->name, why);
        return false;
    }
    p->started = pthread_create(&p->thread, NULL, replay_thread, p) == 0;
    return p->started;
}

static void stop(GuestReplay *p)
{
    if (p->started) {
        pb_backup_quit(p->b);
        pthread_join(p->thread, NULL);
        p->started = false;
    }
    pb_backup_free(p->b);
    p->b = NULL;
}

bool guest_replay_open(GuestReplay *p, GuestRun *r, const char *file,
                       const char *name, bool frozen)
{
    PbBackupConfig c = config(r, frozen);
    char why[400];

    *p = (GuestReplay) { .r = r, .name = name };
    p->e = pb_evidence_open(file, why, sizeof(why));
    if (!p->e) {
        guest_fail(r, "%s: %s", name, why);
        return false;
    }
    p->ring = pb_ring_new(PB_RING_MIN_SLOTS);
    if (!p->ring || !check_host(p)) {
        guest_fail(r, "%s: no ring", name);
        return false;
    }
    pb_evidence_config(p->e, &c);
    return start(p, &c);
}

void guest_replay_close(GuestReplay *p)
{
    stop(p);
    pb_ring_free(p->ring);
    pb_evidence_close(p->e);
}

bool guest_replay_wait(GuestReplay *p, uint64_t seq)
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
