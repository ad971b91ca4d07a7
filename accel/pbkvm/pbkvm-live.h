/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-live.h: option live-interval: moments of which the Primary's devices
 * are kept, so that it can live on from there.
 *
 * The Backup has the guest's memory and registers of some time ago, but no
 * devices.  So now and then the Primary's are saved, as QEMU saves them for a
 * migration, at an event of the history: a live point.  Where the Backup
 * stands at one, the Primary can be put there (pbkvm-golive.c).
 *
 * BQL held, where nothing else is said.
 */
#ifndef PBKVM_LIVE_H
#define PBKVM_LIVE_H

#include "evidence.h"
#include "qapi/qapi-types-pbkvm-target.h"
#include "qemu/timer.h"
#include "qom/object.h"

#define PBKVM_LIVE_MS_DEFAULT 500

typedef struct PbkvmPoint {
    uint64_t event;           /* it is behind this one, */
    uint64_t time;            /* at this Primary time, ns */
    uint64_t disks;           /* pbkvm_undo_disks() of then; not in a replay */
    uint64_t place;           /* pbkvm_undo_place() */
    bool writable;            /* one of them could be written */
    GBytes *devices;
} PbkvmPoint;

typedef struct PbkvmLiveState {
    uint32_t interval_ms;     /* 0: off */
    bool wanted;              /* somebody has asked for it */
    char *why;                /* there are none, or NULL */
    QEMUTimer *timer;
    bool asked;               /* the Primary's thread is about to take one */
    bool saving;              /* atomic: it looks at all of QEMU's CPUs */
    GArray *points;           /* PbkvmPoint, in order */
    uint64_t bytes;           /* of their devices */
    uint64_t taken;
    uint64_t stop_ns;         /* that the Primary stood for all of them, */
    uint64_t stop_max_ns;     /* and for one at most */
} PbkvmLiveState;

typedef struct PbkvmState PbkvmState;

void pbkvm_live_class_init(ObjectClass *oc);

/* The history begins.  False: a device cannot be saved, and somebody wanted
 * them to be.  Primary's thread. */
bool pbkvm_live_start(PbkvmState *s, Error **errp);

/* The clock was set back: when the next one is due. */
void pbkvm_live_restart(PbkvmState *s);

/*
 * The point behind @event; the one that the Backup stands at, or else the last
 * before it that it can go back to, or else the first after it.  NULL: there
 * is none.  Until points are forgotten.
 */
const PbkvmPoint *pbkvm_live_point(PbkvmState *s, uint64_t event);
const PbkvmPoint *pbkvm_live_nearest(PbkvmState *s);

/* All points are forgotten; the first of those there are: its event. */
void pbkvm_live_forget(PbkvmState *s);
uint64_t pbkvm_live_forget_first(PbkvmState *s);

/* For points; and one more, which is the list's from now on. */
void pbkvm_live_init(PbkvmState *s);
void pbkvm_live_add(PbkvmState *s, const PbkvmPoint *p);

/* ---- pbkvm-live-file.c ---- */

/*
 * All points for an evidence file; how many.  @disks: what those held is told
 * there.  @points and @list are the caller's to free, what they point to is
 * good until points are forgotten.
 */
unsigned pbkvm_live_save(PbkvmState *s, bool disks, PbPointData **points,
                         char **list);

/* A replay begins: its points are those of the file. */
void pbkvm_live_open(PbkvmState *s);

/*
 * Whether this machine of a replay is as the one that was saved, so that it can
 * go on from its point behind @event.  From then on s->mem tells of its memory.
 */
bool pbkvm_live_fits(PbkvmState *s, uint64_t event, Error **errp);

/* What query-pbkvm tells, or NULL when it is off. */
PbkvmLiveInfo *pbkvm_live_info(PbkvmState *s);

#endif /* PBKVM_LIVE_H */
