/* SPDX-License-Identifier: GPL-2.0-or-later */
/* backup-stuck.c: a Backup that will never get to where it is going. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "backup-stuck.h"

/*
 * Of the thread's own time: an honest guest lives through a mark or another
 * event in every 10 ms of the Primary's.
 */
#define IDLE_S 5

/* The whole guest is looked at after so many returns, twice as many, ... */
#define FIRST_LOOK 8

static uint64_t thread_time(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

void pb_stuck_note_run(PbBackup *b, PbRunEnd end)
{
    PbIdle *i = &b->idle;
    uint64_t branches;

    if (end != PB_RUN_KICKED) {
        i->since = 0;
        return;
    }
    branches = pb_counter_read(b->v.counter);
    if (i->branches != branches) {
        /* The time is a system call, and each landing comes here. */
        i->branches = branches;
        i->since = 0;
    } else if (i->since == 0) {
        i->since = thread_time();
    }
    i->stuck = i->since &&
               thread_time() - i->since > IDLE_S * 1000000000ull;
}

PbReplayEnd pb_stuck_idle(PbBackup *b, const PbEvent *e)
{
    char want[160];

    pb_event_print(e, want, sizeof(want));
    return pb_backup_diverge(b, e, want, "neither a branch nor an exit in "
                             "%u s of running", IDLE_S);
}

/* All that decides what the guest does next. */
static int whole(PbBackup *b, uint64_t *digest)
{
    PbState s;
    unsigned i;
    int ret = pb_state_get(&b->v, &s);

    s.regs.rflags &= ~PB_RFLAGS_RF;
    *digest = pb_digest_bytes(PB_DIGEST_START, (uint8_t *)&s, sizeof(s));
    for (i = 0; i < b->mem.blocks; i++) {
        *digest = pb_digest_bytes(*digest, b->mem.block[i].host,
                                  b->mem.block[i].size);
    }
    return ret;
}

int pb_stuck_round(PbBackup *b, PbRounds *r, const PbPosition *now)
{
    uint64_t digest;
    int ret;

    if (r->looks++ == r->most) {
        *r = (PbRounds) { .at = *now, .most = 2 * r->most + 1 };
        return 0;
    }
    if (!pb_position_same(now, &r->at) || ++r->same < FIRST_LOOK ||
        (r->same & (r->same - 1))) {
        return 0;
    }
    ret = whole(b, &digest);
    if (ret < 0) {
        return ret;
    }
    ret = r->same > FIRST_LOOK && digest == r->digest;
    r->digest = digest;
    return ret;
}

void pb_stuck_not_yet(PbRounds *r)
{
    r->same = 0;
}
