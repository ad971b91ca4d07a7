/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * primary-emit.h: the Primary's events on their way out: numbered, dated and
 * summed, into the ring, or where they wait for it (primary-stage.h).
 *
 * No QEMU.  All belongs to who records (primary-record.h); other threads read
 * what is marked atomic.
 */
#ifndef PRIMARY_EMIT_H
#define PRIMARY_EMIT_H

#include "pb-clock.h"
#include "pb-tsc.h"
#include "primary-stage.h"

typedef struct PbEmitter {
    PbStage stage;        /* the ring, and what it could not take */
    PbClock clock;
    PbTsc *tsc;           /* the guest's, or NULL */

    uint64_t seq;         /* atomic, as the next two */
    uint64_t last_time;
    uint64_t last_branches;
    uint64_t digest;      /* of what the guest has written, */
    uint32_t writes;      /* in so many writes */

    bool ended;           /* atomic: PB_EVENT_END is recorded */
    uint64_t by_kind[PB_EVENT_KINDS];
} PbEmitter;

/*
 * Complete @e and hand it on; @payload is pb_event_payload_len() bytes, NULL if
 * there are none.  Nothing once the history has ended.
 */
void pb_emit(PbEmitter *m, const PbEvent *e, const void *payload);

#endif /* PRIMARY_EMIT_H */
