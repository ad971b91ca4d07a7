/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * landing-bench.c: a Backup lives through an evidence file, and each of its
 * landings is measured.
 *
 *   landing-bench FILE
 *
 * One line for each: KVM exits without those of the guest's device writes,
 * single steps, ns since the sampler's stop (or since the beginning, if none
 * was needed) and ns since the event before.
 * Needs KVM and a PMU: bench/landing runs it in the lab.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "backup-internal.h"
#include "evidence-feed.h"

#define LOOK_NS 10000000

/* The Backup's thread alone. */
static uint64_t stopped_at;       /* the sampler's stop; 0: not yet */

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static uint64_t end_of_time(void *unused)
{
    return UINT64_MAX / 2;
}

/* ---- the Backup's own calls ---- */

PbReplayEnd __real_pb_backup_land(PbBackup *b, const PbEvent *e);
PbReplayEnd __wrap_pb_backup_land(PbBackup *b, const PbEvent *e);
bool __real_pb_counter_fired(PbCounter *c);
bool __wrap_pb_counter_fired(PbCounter *c);

bool __wrap_pb_counter_fired(PbCounter *c)
{
    bool fired = __real_pb_counter_fired(c);

    if (fired && !stopped_at) {
        stopped_at = now_ns();
    }
    return fired;
}

PbReplayEnd __wrap_pb_backup_land(PbBackup *b, const PbEvent *e)
{
    uint64_t exits = pb_backup_own_exits(b), steps = b->stats.steps;
    uint64_t start = now_ns(), end_ns;
    PbReplayEnd end;

    stopped_at = 0;
    end = __real_pb_backup_land(b, e);
    end_ns = now_ns();
    if (end == PB_REPLAY_DONE) {
        printf("%llu %llu %llu %llu\n",
               (unsigned long long)(pb_backup_own_exits(b) - exits),
               (unsigned long long)(b->stats.steps - steps),
               (unsigned long long)(end_ns - (stopped_at ? stopped_at
                                                         : start)),
               (unsigned long long)(end_ns - start));
    }
    return end;
}

/* ---- the run ---- */

static void *backup_thread(void *b)
{
    pb_backup_run(b);
    return NULL;
}

static int wait_for_end(PbBackup *b)
{
    static const struct timespec nap = { .tv_nsec = LOOK_NS };
    char text[600];

    while (pb_backup_status(b) == PB_BACKUP_RUNNING) {
        pb_backup_poke(b);
        nanosleep(&nap, NULL);
    }
    if (pb_backup_status(b) == PB_BACKUP_ENDED) {
        return 0;
    }
    pb_divergence_print(pb_backup_divergence(b), text, sizeof(text));
    printf("error: %s\n", text);
    return 1;
}

static int replay(PbEvidence *e, const PbBackupConfig *c)
{
    char why[300];
    PbBackup *b = pb_backup_new(c, why, sizeof(why));
    PbFeed *feed;
    pthread_t thread;
    int ret;

    if (!b) {
        printf("error: %s\n", why);
        return 1;
    }
    feed = pb_evidence_feed(e, c->ring);
    if (!feed || pthread_create(&thread, NULL, backup_thread, b)) {
        printf("error: no thread\n");
        return 1;
    }
    ret = wait_for_end(b);
    pb_backup_quit(b);
    pthread_join(thread, NULL);
    pb_feed_stop(feed);
    pb_backup_free(b);
    return ret;
}

int main(int argc, char **argv)
{
    int kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC), ret;
    PbBackupConfig c = {
        .kvm_fd = kvm_fd, .counter = PB_COUNTER_PMU, .now = end_of_time,
        .ring = pb_ring_new(PB_RING_MIN_SLOTS),
    };
    PbSelfCheck check;
    PbEvidence *e;
    char why[400];

    if (argc != 2 || !c.ring) {
        printf("error: expected one evidence file\n");
        return 2;
    }
    if (kvm_fd < 0 || !pb_self_check(kvm_fd, &check, why, sizeof(why))) {
        printf("error: %s\n", kvm_fd < 0 ? "no /dev/kvm" : why);
        return 1;
    }
    e = pb_evidence_open(argv[1], why, sizeof(why));
    if (!e) {
        printf("error: %s\n", why);
        return 1;
    }
    printf("check skid %u margin %u step_ns %u break_ns %u\n", check.skid_max,
           check.margin, check.step_ns, check.break_ns);
    c.uarch = check.uarch;
    c.margin = check.margin;
    pb_evidence_config(e, &c);
    ret = replay(e, &c);
    pb_evidence_close(e);
    pb_ring_free(c.ring);
    close(kvm_fd);
    return ret;
}
