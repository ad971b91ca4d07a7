/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * evidence-feed.h: the events of an evidence file go into a ring, as if a
 * Primary recorded them now.
 *
 * No QEMU.  A thread of its own reads the file and is the ring's producer;
 * the evidence belongs to it from start to stop.
 */
#ifndef EVIDENCE_FEED_H
#define EVIDENCE_FEED_H

#include "evidence-read.h"
#include "ring/pb-ring.h"

typedef struct PbFeed PbFeed;

/*
 * Start to publish @e's events, from the first one.  At the end comes
 * PB_EVENT_END, if the file has none.  NULL: no memory or thread.
 */
PbFeed *pb_evidence_feed(PbEvidence *e, PbRing *ring);

/* Any thread: whether all events are in the ring. */
bool pb_feed_done(const PbFeed *f);

/*
 * Any thread, once done: NULL, or why the file could not be read any
 * further.  The history then ends with PB_END_UNRECORDED.
 */
const char *pb_feed_error(const PbFeed *f);

/* Stop at once, wherever it is, and free it. */
void pb_feed_stop(PbFeed *f);

#endif /* EVIDENCE_FEED_H */
