/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guest-spill.c: with `spill`, a file beside the ring; with a lag in events
 * or branches, a look at whether the Backup keeps it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guests.h"
#include "spill-file.h"

/*
 * As many more marks in one run.  Were there no end, a machine that needs
 * longer for a tick's marks than for the tick would never come to one.
 */
#define FLOOD (1u << 16)
#define FLOOD_FROZEN (PB_RING_MIN_SLOTS + 500)

bool guest_spill_start(GuestRun *r)
{
    char dir[] = "/tmp/pb-guests-XXXXXX", file[64], why[200];
    int fd;

    if (!r->o->spill) {
        return true;
    }
    if (!mkdtemp(dir)) {
        guest_fail(r, "%s: %s", dir, strerror(errno));
        return false;
    }
    snprintf(file, sizeof(file), "%s/spill", dir);
    fd = pb_spill_file_open(file, why, sizeof(why));
    rmdir(dir);               /* the file in it has no name */
    if (fd < 0) {
        guest_fail(r, "%s: %s", file, why);
        return false;
    }
    r->spill = pb_spill_new(r->ring, fd);
    if (!r->spill) {
        guest_fail(r, "no memory for a spill");
    }
    return r->spill != NULL;
}

void guest_spill_stop(GuestRun *r)
{
    PbSpillStats s;

    if (r->spill) {
        pb_spill_stats(r->spill, &s);
        r->result->spills = s.times;
        r->result->spilled = s.all_events;
        /* Who walks takes the Backup past its lag, now and then all the way. */
        if (!r->failed && !r->o->walk && s.all_events == 0) {
            guest_fail(r, "nothing was spilled: more --marks, more --lag");
        }
        if (!r->failed && (r->o->lag.events || r->o->lag.branches) &&
            r->result->lag_checks == 0) {
            guest_fail(r, "the lag was never looked at: more --rounds");
        }
        if (s.error) {
            guest_fail(r, "the spill's file: %s", strerror(s.error));
        }
        pb_spill_free(r->spill);
    }
}

void guest_marks(GuestRun *r)
{
    uint32_t i, most = r->o->evidence ? FLOOD_FROZEN : FLOOD;

    /* Behind a Backup that will be frozen, they are sure to fill the ring. */
    if (r->o->evidence && !r->frozen) {
        return;
    }
    for (i = 0; i < r->o->marks && r->flood < most; i++, r->flood++) {
        pb_record_mark(r->rec);
    }
}

bool guest_primary(void *opaque, uint64_t *seq, uint64_t *branches)
{
    GuestRun *r = opaque;

    return pb_record_last(r->rec, seq, branches);
}

void guest_check_lag(GuestRun *r, bool verified)
{
    const PbLag *lag = &r->o->lag;
    uint64_t seq, branches;
    PbBackupStats b;

    if (!lag->events && !lag->branches) {
        return;
    }
    /* In this order the distance looks too large rather than too small. */
    pb_backup_stats(r->backup, &b);
    pb_record_last(r->rec, &seq, &branches);
    if (!verified && b.events > r->lag_seen) {
        r->result->lag_checks++;
        if (seq < b.events + lag->events) {
            guest_fail(r, "lag: expected at least %llu events, the Backup has "
                       "lived through %llu of %llu",
                       (unsigned long long)lag->events,
                       (unsigned long long)b.events, (unsigned long long)seq);
        }
        if (branches < b.branches + lag->branches) {
            guest_fail(r, "lag: expected at least %llu branches, the Backup is "
                       "at %llu, the Primary at %llu",
                       (unsigned long long)lag->branches,
                       (unsigned long long)b.branches,
                       (unsigned long long)branches);
        }
    }
    r->lag_seen = b.events;
}
