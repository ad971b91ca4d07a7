/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * record-stream.h: what a Primary went through, from an evidence file, to be
 * given to the recorder again: exits and interrupts, in their order.
 */
#ifndef RECORD_STREAM_H
#define RECORD_STREAM_H

#include "evidence-read.h"
#include "primary-record.h"

/* What one action stands for: a kind of event, or a write exit. */
#define STREAM_WRITE PB_EVENT_KINDS
#define STREAM_KINDS (PB_EVENT_KINDS + 1)

typedef struct Action {
    unsigned kind;
    PbEvent e;                /* not for STREAM_WRITE */
    const uint8_t *payload;   /* of @e, or NULL */
} Action;

typedef struct Stream {
    Action *action;
    size_t actions;
    uint64_t of_kind[STREAM_KINDS];
} Stream;

/*
 * All actions of @file, or exit(1) with the reason.  What the guest wrote is
 * not in a history: each write is an OUT of one byte.
 */
void stream_read(Stream *s, const char *file);

/*
 * Those of one kind alone, which go on belonging to @all; repeated until they
 * are @least, if there are any.
 */
void stream_of_kind(Stream *s, const Stream *all,
                    unsigned kind, size_t least);

/* Let @r record @a, the exit being in @run (io data at one page). */
void stream_play(PbRecorder *r, struct kvm_run *run, const Action *a,
                 const PbState *state);

/* "pio-in", ..., and "write". */
const char *stream_kind_name(unsigned kind);

#endif /* RECORD_STREAM_H */
