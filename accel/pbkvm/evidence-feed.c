/* SPDX-License-Identifier: GPL-2.0-or-later */
/* evidence-feed.c: the events of an evidence file go into a ring. */
#include <pthread.h>
#include <stdlib.h>

#include "evidence-feed.h"
#include "pb-crc.h"

/* A full ring is looked at again, and so is whether to stop. */
#define ROOM_WAIT_MS 20

struct PbFeed {
    PbEvidence *e;
    PbRing *ring;
    pthread_t thread;
    bool stop;                /* atomic */
    bool done;                /* atomic; error is fixed before it */
    bool failed;
    char error[300];
};

/* False: told to stop. */
static bool publish(PbFeed *f, const PbEvent *slots, uint32_t n)
{
    while (!pb_ring_put(f->ring, slots, n)) {
        if (__atomic_load_n(&f->stop, __ATOMIC_ACQUIRE)) {
            return false;
        }
        pb_ring_wait_room(f->ring, n, ROOM_WAIT_MS);
    }
    return !__atomic_load_n(&f->stop, __ATOMIC_ACQUIRE);
}

static void *feed(void *opaque)
{
    PbFeed *f = opaque;
    PbEvent end = { .seq = f->e->info.at.seq, .kind = PB_EVENT_END,
                    .time_ns = f->e->info.at.time_ns };
    const PbEvent *slots;
    bool ended = false;
    int n;

    while ((n = pb_evidence_next(f->e, &slots, f->error,
                                 sizeof(f->error))) > 0) {
        end.seq = slots->seq;
        end.time_ns = slots->time_ns;
        ended = slots->kind == PB_EVENT_END;
        if (!publish(f, slots, n)) {
            return NULL;
        }
    }
    f->failed = n < 0;
    if (!ended) {
        end.seq++;
        end.arg = f->failed ? PB_END_UNRECORDED : PB_END_QUIT;
        end.crc = pb_crc_event(&end, NULL);
        publish(f, &end, 1);
    }
    __atomic_store_n(&f->done, true, __ATOMIC_RELEASE);
    return NULL;
}

PbFeed *pb_evidence_feed(PbEvidence *e, PbRing *ring)
{
    PbFeed *f = calloc(1, sizeof(*f));

    if (!f) {
        return NULL;
    }
    f->e = e;
    f->ring = ring;
    pb_evidence_rewind(e);
    if (pthread_create(&f->thread, NULL, feed, f)) {
        free(f);
        return NULL;
    }
    return f;
}

bool pb_feed_done(const PbFeed *f)
{
    return __atomic_load_n(&f->done, __ATOMIC_ACQUIRE);
}

const char *pb_feed_error(const PbFeed *f)
{
    return pb_feed_done(f) && f->failed ? f->error : NULL;
}

void pb_feed_stop(PbFeed *f)
{
    if (f) {
        __atomic_store_n(&f->stop, true, __ATOMIC_RELEASE);
        pthread_join(f->thread, NULL);
        free(f);
    }
}
