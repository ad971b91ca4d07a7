/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * primary-record.h: everything that comes to the Primary's guest from
 * outside becomes an event in the ring.
 *
 * No QEMU.  All functions belong to the thread that runs the Primary's vCPU;
 * those that record a change also to another while that vCPU rests, at a
 * position or in an exit, and cannot go on (the two never at once).  None of
 * them waits for the Backup: what the full ring cannot take is staged in
 * memory, in order, and the vCPU must not enter the guest before
 * pb_record_flush() has emptied the stage.
 */
#ifndef PRIMARY_RECORD_H
#define PRIMARY_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "pb-position.h"
#include "pb-state.h"
#include "primary-spill.h"
#include "ring/pb-ring.h"

typedef struct PbRecorder PbRecorder;

/*
 * A recorder of @primary into @ring, and into @spill (or NULL) what that
 * cannot take; @now tells Primary time in ns and must be callable from any
 * thread that records.  All of them outlive the recorder.
 */
PbRecorder *pb_record_new(PbRing *ring, PbSpill *spill, PbVcpu *primary,
                          uint64_t (*now)(void *opaque), void *opaque);
void pb_record_free(PbRecorder *r);

/*
 * Move staged events to the ring, or to the spill if its file takes them;
 * else wait up to @timeout_ms for room.  True when nothing is staged any more.
 * Before each entry: a Backup that sleeps for want of events is woken.
 */
bool pb_record_flush(PbRecorder *r, int timeout_ms);
bool pb_record_staged(const PbRecorder *r);

/*
 * The Primary rests, and nobody flushes: what is staged goes to the spill,
 * without a file too, so that the Backup gets all that was recorded, and is
 * woken.
 */
void pb_record_rest(PbRecorder *r);

/* The vCPU is going to wait: wake a Backup that sleeps for want of events. */
void pb_record_kick(PbRecorder *r);

/*
 * How far the Primary has come: seq and branches of what it recorded last.
 * False once the history has ended.  Any thread.
 */
bool pb_record_last(const PbRecorder *r, uint64_t *seq, uint64_t *branches);

/* Figures, any thread; a moment's view. */
typedef struct PbRecordStats {
    uint64_t events;          /* seq of the last event */
    uint64_t time_ns;         /* its Primary time */
    uint64_t branches;        /* at the last event that tells them */
    uint64_t by_kind[PB_EVENT_KINDS];
    uint64_t staged;          /* slots that ever had to be staged */
    uint64_t digest;          /* of what the guest wrote; exact for those who */
    uint32_t writes;          /* may record */
} PbRecordStats;
void pb_record_stats(const PbRecorder *r, PbRecordStats *s);

/* Primary time of the last event, ns. */
uint64_t pb_record_last_time(const PbRecorder *r);

/*
 * The clock was set back, and the guest with it: events are dated by what it
 * says now.  Nobody follows the history yet.
 */
void pb_record_time_went_back(PbRecorder *r);

/*
 * KVM_RUN returned 0: note what the guest wrote or did (PIO OUT, MMIO write,
 * HLT, shutdown).  Before a device model sees the exit.
 */
void pb_record_exit_begin(PbRecorder *r);

/* The device model has answered: note what the guest gets (PIO IN, MMIO
 * read, MSRs).  Before the next KVM_RUN. */
void pb_record_exit_end(PbRecorder *r);

/*
 * The vCPU is going to rest: know where it stands, so that changes have a
 * place; that is recorded only with the first of them.  Results as
 * pb_record_nmi().
 */
int pb_record_stand(PbRecorder *r);

/* Record that now, changes or not. */
void pb_record_stood(PbRecorder *r);

/* The vCPU goes on: it stands there no more. */
void pb_record_leave(PbRecorder *r);

/* @len bytes at @offset of RAM block @block now are what memory holds. */
void pb_record_mem_write(PbRecorder *r, uint32_t block, uint64_t offset,
                         uint64_t len);

/* KVM's memory slot @slot of the Primary is now @c. */
void pb_record_mem_slot(PbRecorder *r, unsigned slot, const PbSlotChange *c);

/* The whole state of vCPU @cpu was replaced by @s. */
void pb_record_state(PbRecorder *r, unsigned cpu, const PbState *s);

/*
 * Whether pb_record_irq() would be taken now: 0, or what it would return.  For
 * who loses an interrupt by asking which one it is.
 */
int pb_record_may_irq(PbRecorder *r);

/*
 * Inject external interrupt @vector, and record it.  The vCPU must be ready
 * (run->ready_for_interrupt_injection, IF set); a pending exit is completed
 * first.  0, 1: KVM wants a further exit answered first, nothing was
 * injected; -EAGAIN: the instruction so completed has left the vCPU unable
 * to take one, nothing was injected; or -errno.
 */
int pb_record_irq(PbRecorder *r, uint8_t vector);

/* Inject an NMI likewise; -EAGAIN when the vCPU is half way through the
 * delivery of something else: run on and try again. */
int pb_record_nmi(PbRecorder *r);

/*
 * Record where the Primary stands: PB_EVENT_POINT (changes follow) or
 * PB_EVENT_VERIFY.  Results as pb_record_nmi().
 */
int pb_record_point(PbRecorder *r, PbEventKind kind);

/*
 * Record that vCPU @to goes on from here.  The caller has it be the recorder's
 * @primary then.  Results as pb_record_nmi().
 */
int pb_record_turn(PbRecorder *r, unsigned to);

/*
 * Before each entry: a guest that waits for its time stamp counter to go on
 * has no exit; it leaves at each tick, and more often where it was seen to
 * wait.  An event moves the counter on then, or the time alone once the
 * history has ended.  0, 1 or -errno, as pb_record_nmi().
 */
int pb_record_tsc(PbRecorder *r);

/*
 * Record where the Primary stands, and the checksum of the next @most bytes of
 * its RAM, so that pass follows pass over all of it; a slice ends with its
 * block.  @most is a multiple of 8.  Results as pb_record_nmi().
 */
int pb_record_slice(PbRecorder *r, uint32_t most);

/* Progress mark: the Backup may run up to here. */
void pb_record_mark(PbRecorder *r);

/* Mark of no effect: PB_EVENT_PANIC or PB_EVENT_END with its @arg. */
void pb_record_note(PbRecorder *r, PbEventKind kind, uint16_t arg);

#endif /* PRIMARY_RECORD_H */
