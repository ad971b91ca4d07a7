/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * branch-counter.h: how many conditional branches a vCPU's guest has
 * retired, and a wake-up when it nears a number.
 *
 * Two perf events on the vCPU's thread (see perf_event_open(2)), both
 * counting guest mode only: a counter that never samples, whose value is the
 * position, and a sampler whose overflow signal stops KVM_RUN.  They are two
 * because perf may throttle a sampling event and lose counts
 * (kernel/events/core.c, __perf_event_account_interrupt).
 *
 * Where there is no PMU, `step` single-steps the whole guest and counts by
 * decoding: slow, for tiny guests, and the oracle for `pmu`.
 *
 * Everything here belongs to the vCPU's own thread (rdpmc reads only that
 * thread's counters), but for pb_counter_kick().
 */
#ifndef BRANCH_COUNTER_H
#define BRANCH_COUNTER_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pb-vcpu.h"

/*
 * Sent by the sampler, pb_counter_kick() and pb_counter_kick_in() to the vCPU's
 * thread; nothing else uses it.  Not a real-time signal: those queue, and when
 * the queue is full perf would send SIGIO instead.
 */
#define PB_COUNTER_SIGNAL SIGSTKFLT
/* The thread has lost its CPU: of its own, so that it merges with no kick. */
#define PB_SWITCH_SIGNAL SIGURG

typedef enum PbCounterKind {
    PB_COUNTER_AUTO,      /* pmu when its self-check passes, else refuse */
    PB_COUNTER_PMU,
    PB_COUNTER_STEP,
} PbCounterKind;

/* A micro-architecture whose conditional branches can be counted. */
typedef struct PbUarch {
    const char *name;     /* as shown by query-pbkvm */
    uint32_t type;        /* perf_event_attr.type */
    uint64_t config;      /* perf_event_attr.config: event | umask << 8 */
    uint32_t margin;      /* least margin worth trying, in branches */
} PbUarch;

/*
 * The host's entry of the table, or NULL with @why saying which CPU was
 * found and what to do.
 */
const PbUarch *pb_uarch_find(char *why, size_t len);

/*
 * A counter for @v's thread, which must be the calling thread, started at 0.
 * For PB_COUNTER_PMU @uarch is needed.  NULL with @why (one sentence: which
 * requirement failed, what was found, what to do).  Both signals are unblocked
 * on this thread; their handler sets run->immediate_exit of the vCPU.  One
 * counter per thread.  On hybrid CPUs the thread is kept on the big cores.
 * Sets v->counter.
 */
PbCounter *pb_counter_new(PbVcpu *v, PbCounterKind kind,
                          const PbUarch *uarch, char *why, size_t len);
void pb_counter_free(PbCounter *c);

PbCounterKind pb_counter_kind(const PbCounter *c);

/* "auto", "pmu", "step". */
const char *pb_counter_kind_name(PbCounterKind kind);

/* Any thread: whether it is the vCPU's, which alone may read the counter. */
bool pb_counter_is_mine(const PbCounter *c);

/* Branches retired since pb_counter_new(), or since pb_counter_set(). */
uint64_t pb_counter_read(PbCounter *c);

/* Count on from @branches.  Nothing may be armed. */
void pb_counter_set(PbCounter *c, uint64_t branches);

/* Whether reads go through rdpmc (else read(2)). */
bool pb_counter_uses_rdpmc(const PbCounter *c);

/*
 * Make pb_vcpu_run() return -EINTR soon after @branches more have retired
 * (at least 1): late by the skid, never early.  Once; 0 or -errno.
 */
int pb_counter_arm(PbCounter *c, uint64_t branches);
void pb_counter_disarm(PbCounter *c);

/* Whether the armed number was reached: then it is disarmed. */
bool pb_counter_fired(PbCounter *c);

/*
 * Any thread: make the vCPU's pb_vcpu_run() return -EINTR soon, now or the
 * next time.  The caller has said before, elsewhere, what it wants.
 */
void pb_counter_kick(PbCounter *c);

/*
 * The vCPU's thread: have it kicked in @us microseconds, whoever holds which
 * lock then.  0 or -errno.
 */
int pb_counter_kick_in(PbCounter *c, uint32_t us);

/*
 * Whether perf ever lost time on the counter (multiplexed, throttled): a
 * position would be wrong.  NULL or the reason.
 */
const char *pb_counter_check(PbCounter *c);

/*
 * pb_step() of the vCPU, counted: a step made past the counter would be lost
 * with `step`.  Returns and @branch (may be NULL) as there.
 */
int pb_counter_step(PbCounter *c, bool *branch);

/*
 * Run the guest until something is to be done: KVM_RUN, or with `step`
 * steps until an exit, a fired arm, a breakpoint or a signal.  Returns like
 * pb_vcpu_enter(); with -EINTR immediate_exit is clear again, so whoever sets
 * it says before, elsewhere, what it wants.
 *
 * With `step` the breakpoints of pb_vcpu_debug() hit before an instruction
 * is executed, the very first one too, whatever EFLAGS.RF says.  A single
 * step (KVM_GUESTDBG_SINGLESTEP) is not for here, but for pb_counter_step().
 */
int pb_vcpu_run(PbVcpu *v);

/* ---- self-check ---- */

typedef struct PbSelfCheck {
    const PbUarch *uarch;
    uint32_t margin;          /* to use, in branches */
    uint32_t skid_max;        /* measured, in branches */
    uint32_t skid_median;
    uint32_t stops;           /* overflow stops it was measured with */
    uint32_t step_ns;         /* one single step */
    uint32_t break_ns;        /* one breakpoint exit */
    uint32_t read_ns;         /* one read of the counter */
    bool rdpmc;
    uint32_t took_ms;
    char warning[256];        /* "" or what may go wrong on this host */
} PbSelfCheck;

/*
 * Prove on a small guest of its own that this host counts exactly: known
 * loops, port I/O exits, an interrupt, single steps; then measure skid and
 * costs.  Takes below 200 ms.  @kvm_fd is /dev/kvm.  True, or false with
 * @why naming the requirement that failed, what was found and the command
 * that mends it.
 */
bool pb_self_check(int kvm_fd, PbSelfCheck *result, char *why, size_t len);

#endif /* BRANCH_COUNTER_H */
