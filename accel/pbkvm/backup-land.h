/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backup-land.h: one landing, for backup-land.c and backup-near.c alone.
 * The Backup's thread.
 */
#ifndef BACKUP_LAND_H
#define BACKUP_LAND_H

#include "backup-internal.h"
#include "backup-rep.h"
#include "backup-resume.h"
#include "backup-stuck.h"

typedef struct PbLanding {
    const PbEvent *e;
    PbPosition target;
    bool armed;               /* the sampler is, for this landing */
    uint64_t armed_for;       /* the number of branches it should stop at */
    uint64_t first_exit;      /* pb_backup_own_exits() when it began */
    PbRep rep;
    PbResume resume;
    PbRounds rounds;
    bool passes;              /* may pass over writes: can_pass() */
    bool may_miss;            /* a walk's: who walks looks where it ended */
    uint64_t passed;          /* branches at the last one */
} PbLanding;

/* What pb_land_near() did. */
enum {
    PB_NEAR_RUN,              /* nothing yet: pb_land_run() */
    PB_NEAR_LOOK,             /* a step, or a #DB of its own is due: again */
    PB_NEAR_EXIT,             /* a step, which ended in an exit */
    PB_NEAR_CIRCLE,           /* nothing: no way leads to the target */
};

/*
 * The Backup stands at @now, less than the margin before the target or at
 * another pass of it: what to do next; or -errno.
 */
int pb_land_near(PbBackup *b, PbLanding *l, PbPosition *now);

/* Run towards it. */
PbRunEnd pb_land_run(PbBackup *b, PbLanding *l);

#endif /* BACKUP_LAND_H */
