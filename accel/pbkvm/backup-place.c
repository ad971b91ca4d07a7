/* SPDX-License-Identifier: GPL-2.0-or-later */
/* backup-place.c: moments in the Backup's life, to come back to. */
#include <errno.h>

#include "backup-internal.h"

/*
 * A progress mark is over when the Backup has come near its count, by steps
 * sooner than by the sampler: it does not tell a place.
 */
int pb_backup_here(PbBackup *b, PbPlace *p)
{
    p->event = b->noted;
    return pb_position_take_whole(&b->v, &p->at);
}

typedef struct Look {
    PbPlace *place;
    int ret;
} Look;

static void look(PbBackup *b, void *opaque)
{
    Look *l = opaque;

    l->ret = pb_backup_here(b, l->place);
}

int pb_backup_place(PbBackup *b, PbPlace *p)
{
    Look l = { .place = p };

    return pb_backup_do(b, look, &l) ? l.ret : -EBUSY;
}

bool pb_place_same(const PbPlace *a, const PbPlace *b)
{
    return a->event == b->event && pb_position_same(&a->at, &b->at);
}

/* ---- those that were stepped through ---- */

void pb_trail_add(PbTrail *t, const PbPlace *p)
{
    t->at[t->end++ % PB_TRAIL] = *p;
    if (t->end - t->begin > PB_TRAIL) {
        t->begin++;
    }
}

void pb_trail_clear(PbTrail *t)
{
    t->begin = t->end;
}

const PbPlace *pb_trail_before(const PbTrail *t, const PbPlace *p)
{
    uint64_t i;

    for (i = t->end; i > t->begin + 1; i--) {
        if (pb_place_same(&t->at[(i - 1) % PB_TRAIL], p)) {
            return &t->at[(i - 2) % PB_TRAIL];
        }
    }
    return NULL;
}
