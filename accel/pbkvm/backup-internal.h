/* SPDX-License-Identifier: GPL-2.0-or-later */
/* backup-internal.h: the Backup's own state, shared by its source files. */
#ifndef BACKUP_INTERNAL_H
#define BACKUP_INTERNAL_H

#include <pthread.h>
#include <time.h>

#include "backup-checkpoint.h"
#include "backup-inspect.h"
#include "backup-replay.h"
#include "pb-cpus.h"

/* What a run of the guest ended with. */
typedef enum PbRunEnd {
    PB_RUN_KICKED,        /* a signal: the sampler's, or somebody's */
    PB_RUN_WROTE,         /* a write exit, folded into the digest */
    PB_RUN_ASKED,         /* a read exit, HLT, shutdown: b->asking is set */
    PB_RUN_DEBUG,         /* breakpoint or step */
    PB_RUN_FAILED,        /* reported; do not go on */
} PbRunEnd;

/* How replaying one event ended. */
typedef enum PbReplayEnd {
    PB_REPLAY_DONE,       /* consumed */
    PB_REPLAY_STOPPED,    /* asked to freeze or quit: the same event again */
    PB_REPLAY_FAILED,     /* diverged or failed, reported */
} PbReplayEnd;

/* A debugger's breakpoint. backup-breaks.c */
typedef struct PbBreak {
    PbBreakKind kind;
    uint64_t addr;
    unsigned len;
    int reg;              /* debug register while armed; -1: an INT3 */
    uint8_t *patched;     /* while the INT3 is in place: where, */
    uint8_t byte;         /* and what was there */
    bool known;           /* watchpoint: what it held last */
    uint8_t value[8];
} PbBreak;

static inline bool pb_break_is_watch(PbBreakKind kind)
{
    return kind == PB_WATCH_WRITE || kind == PB_WATCH_ACCESS;
}

/* Runs that ended with nothing but a kick. backup-stuck.c */
typedef struct PbIdle {
    uint64_t since;           /* the thread's own time; 0: none seen */
    uint64_t branches;        /* all that time */
    bool stuck;               /* for too long: report it */
} PbIdle;

/* backup-tidy.c */
typedef struct PbTidy {
    bool passing;             /* over its RAM, which has come to */
    PbMemAt at;
    uint64_t took;            /* so long it has taken, ns */
    uint64_t due;             /* the next one: wall clock, ns */
    uint64_t faults;          /* of the thread, when the last one began */
} PbTidy;

/* backup-moment.c */
typedef struct PbMoment {
    bool valid;
    PbBackupStart at;
    PbState state[PB_MAX_CPUS];
    PbMem ram;                /* what has changed since the first's, whole
                                 one; with a log: where the Backup's may
                                 differ now */
    uint64_t noted;           /* PbBackup.noted */
    uint64_t exits_since;     /* pb_backup_exits_since() */
    size_t slot;              /* the first that comes after it */
} PbMoment;

enum {
    PB_MOMENT_FIRST,          /* once not valid, only unread events count */
    PB_MOMENT_NEAR,           /* some events before a place */
    PB_MOMENT_NEAREST,        /* some branches before it */
    PB_MOMENTS,
};

/* backup-checkpoint.c */
typedef struct PbCheckpoint {
    PbMoment moment[PB_MOMENTS];      /* one after the other */
    PbEvent *slot;            /* consumed since, payloads among them */
    size_t used, room;
} PbCheckpoint;

struct PbBackup {
    PbBackupConfig c;
    PbVcpu v;                 /* the one whose turn it is */
    PbCpus cpus;
    PbTsc tsc;                /* v.tsc, if that is repeated */
    PbMem mem;
    PbState start[PB_MAX_CPUS];
    PbBackupStart at;
    struct kvm_cpuid2 *cpuid[PB_MAX_CPUS];  /* copies: some KVMs tell the
                                               host's own */
    uint32_t margin;

    /* Where it is in the history; the Backup's thread alone. */
    uint64_t seq;             /* last event consumed */
    uint64_t noted;           /* the same, but for progress marks */
    uint64_t digest;
    uint32_t writes;
    bool asking;              /* stands at an exit that awaits its event */
    PbEvent answered;         /* the last MMIO read that was answered */
    PbEvent partial[PB_MAX_PARTIAL];  /* answers to the instruction that */
    uint32_t partials;        /* asks again; more than that: too many */
    PbEvent last[PB_LAST_EVENTS];
    unsigned lasts;           /* events ever noted there */
    uint64_t now;             /* Primary time when it was looked at last */
    uint64_t branches;        /* of the last event that tells them */
    uint64_t pass_begun;      /* Primary time of this pass's first slice */

    PbIdle idle;
    PbTidy tidy;

    PbCheckpoint *cp;         /* or NULL; changed under @lock unless running */
    size_t cp_at;             /* its slots that it has lived through */
    char cp_why[120];         /* why there is none, or "" */
    uint64_t cp_due;          /* a long walk's next moment: wall clock, ns */

    PbGuestDrs guest_drs;     /* the guest's own, armed beside ours */

    /* Steering; under @lock. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    PbBackupStatus status;
    bool want_freeze;
    bool quit;
    bool over;                /* atomic; set once: pb_backup_is_over() */
    void (*work)(PbBackup *b, void *opaque);  /* to be done while frozen */
    void *work_opaque;
    bool work_done;
    PbLag lag;                /* atomic, each member by itself */
    const PbState *verify_state;  /* atomic; set: somebody waits for one */
    PbVerify *verify_result;
    bool verify_done;

    /* A debugger's walk; begun and ended under @lock, else the thread's. */
    bool walking;
    bool halt;                /* atomic: end it */
    PbWalk walk;
    PbStop stop;
    PbBreak brk[PB_MAX_BREAKS];
    unsigned breaks;
    bool detached;            /* atomic: changed by a debugger */

    PbDivergence divergence;
    PbBackupStats stats;
};

/* Longest sleep without looking again. */
#define PB_BACKUP_NAP_MS 10

/* Wall clock, ns; and that long from now, for waits on PbBackup.changed. */
uint64_t pb_backup_clock(void);
struct timespec pb_backup_after(int64_t ns);

/*
 * Sleep until something is changed, or for @ns or PB_BACKUP_NAP_MS at most.
 * Called locked.
 */
void pb_backup_nap(PbBackup *b, uint64_t ns);

/* Tell everybody. */
void pb_backup_set_status(PbBackup *b, PbBackupStatus status);

/* Whether the thread is wanted elsewhere (freeze, quit). */
bool pb_backup_wanted(PbBackup *b);

/* Run the guest until one thing happens. */
PbRunEnd pb_backup_run_guest(PbBackup *b);

/*
 * pb_vcpu_complete().  1: KVM came with a further exit, which is noted: @end
 * says what it means.
 */
int pb_backup_complete(PbBackup *b, PbRunEnd *end);

/*
 * A write or an answer that KVM has not completed yet belongs to the past:
 * finish it, so that registers are those behind it.  At a question that is
 * not answered KVM has changed nothing yet.
 */
PbReplayEnd pb_backup_settle(PbBackup *b);

/*
 * Any thread: let the frozen Backup's thread do @work, and wait until it has.
 * False: it is not frozen, or quits. backup-steer.c
 */
bool pb_backup_do(PbBackup *b, void (*work)(PbBackup *b, void *opaque),
                  void *opaque);

/* Whether the exit the Backup stands at is the one that @e answers. */
bool pb_backup_question_is(const PbBackup *b, const PbEvent *e);

/* Answer it; @payload as for pb_backup_replay(). */
void pb_backup_answer(PbBackup *b, const PbEvent *e, const void *payload);

/*
 * backup-stand.c.  Where: where the frozen Backup stands, with the @state of
 * each vCPU, for another to stand there; false with @why.  It finishes the
 * instruction it is in, where the history has all it needs for that.  Stand:
 * with the vCPUs' states of @at put, at the exit that was told, if it was one.
 */
bool pb_backup_where(PbBackup *b, PbBackupStart *at, PbState *state, char *why,
                     size_t len);
PbReplayEnd pb_backup_stand(PbBackup *b, const PbBackupStart *at);

/* What an exit of a step or a run means; the digest is kept. */
PbRunEnd pb_backup_note_exit(PbBackup *b);

/*
 * Bring the Backup to the position of @e (PB_REPLAY_DONE), or report.
 * backup-land.c
 */
PbReplayEnd pb_backup_land(PbBackup *b, const PbEvent *e);

/* Whether it stands at the position of @e, or past it; or -errno. */
int pb_backup_at(PbBackup *b, const PbEvent *e);

/*
 * Whether the guest has written to devices what @e does not know of.  A walk
 * to a branch count makes an event of its own, without a number: it may pass
 * writes.
 */
static inline bool pb_backup_wrote_more(const PbBackup *b, const PbEvent *e)
{
    return e->seq && (int32_t)(b->writes - e->writes) > 0;
}

/* KVM exits since its last event took place; 0: it stands right behind that. */
static inline uint64_t pb_backup_exits_since(const PbBackup *b)
{
    return b->v.exits - b->stats.exits;
}

/* Compare what it has written there so far with @e, and report. */
PbReplayEnd pb_backup_check_outputs(PbBackup *b, const PbEvent *e);

/* Run until the Backup is near @branches, without landing. backup-land.c */
PbReplayEnd pb_backup_approach(PbBackup *b, const PbEvent *e);

/*
 * Live through @e, whose payload (pb_event_payload_len() bytes) is at
 * @payload. backup-replay.c
 */
PbReplayEnd pb_backup_replay(PbBackup *b, const PbEvent *e,
                             const void *payload);

/*
 * What comes next, from a checkpoint or else from the ring, as pb_ring_peek(),
 * pb_ring_peek_run() and pb_ring_release() have it. backup-checkpoint.c
 */
static inline uint32_t pb_backup_left(const PbBackup *b)
{
    return b->cp ? b->cp->used - b->cp_at : 0;
}

static inline const PbEvent *pb_backup_peek(PbBackup *b, uint32_t i)
{
    uint32_t left = pb_backup_left(b);

    return i < left ? &b->cp->slot[b->cp_at + i]
                    : pb_ring_peek(b->c.ring, i - left);
}

const PbEvent *pb_backup_peek_run(PbBackup *b, uint32_t i, uint32_t *run);
void pb_backup_release_kept(PbBackup *b, uint32_t n);

static inline void pb_backup_release(PbBackup *b, uint32_t n)
{
    if (b->cp) {
        pb_backup_release_kept(b, n);
    } else {
        pb_ring_release(b->c.ring, n);
    }
}

/*
 * The Backup's thread: begin a checkpoint here, unless there is one; note this
 * moment, too, on the way to PbWalk.place, as PbWalk.keep says, or now and then
 * on another walk; or where it begins to step to that place; and keep nothing
 * any more, but for what is to be read.  What was peeked at has moved.
 */
void pb_backup_keep_here(PbBackup *b);
void pb_backup_keep_near(PbBackup *b);
void pb_backup_keep_later(PbBackup *b);   /* such a walk begins */
void pb_backup_keep_pace(PbBackup *b);
void pb_backup_keep_nearest(PbBackup *b);
void pb_backup_keep_no_more(PbBackup *b);
void pb_checkpoint_free(PbBackup *b);

/* The Backup's thread: PbWalk.back. */
PbReplayEnd pb_backup_go_back(PbBackup *b);

/*
 * backup-moment.c, the Backup's thread, with a PbBackup.cp.  Note this moment
 * as @m, or leave that not valid with @why; drop all; stand at @m again.
 */
void pb_moment_note(PbBackup *b, PbMoment *m, char *why, size_t len);
void pb_moments_drop(PbBackup *b);
PbReplayEnd pb_moment_put(PbBackup *b, PbMoment *m);

/*
 * backup-thread.c.  The history goes on from @at; and the vCPU stands there,
 * with PbBackup.start and .at.
 */
void pb_backup_begin_at(PbBackup *b, const PbBackupStart *at);
PbReplayEnd pb_backup_begin(PbBackup *b);

/*
 * Events, lived through. backup-take.c
 *
 * Refill: move what was spilled into the ring, so that it holds what comes
 * next; PB_REPLAY_DONE, or it cannot be read, reported.  Live: through the
 * ring's first event, whatever the lag, and consume it.  Take: that, if it is
 * due; if not, sleep no longer than a nap.  @buf has room for
 * PB_EVENT_MAX_PAYLOAD bytes.
 */
PbReplayEnd pb_backup_refill(PbBackup *b);
PbReplayEnd pb_backup_live(PbBackup *b, const PbEvent *slot, uint8_t *buf);
PbReplayEnd pb_backup_take(PbBackup *b, uint8_t *buf);

/*
 * The Backup's thread, which has nothing to do for a while: give Linux back
 * some of its RAM's pages that are all zero. backup-tidy.c
 */
void pb_backup_tidy(PbBackup *b);

/* PbBackupConfig.heading: an event's Primary time, or UINT64_MAX. */
void pb_backup_head_for(PbBackup *b, uint64_t time_ns);

/* pb_backup_place(), on the Backup's thread. backup-place.c */
int pb_backup_here(PbBackup *b, PbPlace *p);

/* The walk that was asked for. backup-walk.c */
PbReplayEnd pb_backup_go(PbBackup *b, uint8_t *buf);

/*
 * Breakpoints in force. backup-breaks.c
 *
 * Arm: before the guest runs freely, with the landing's breakpoint at *@own
 * if not NULL.  Insert and remove: around KVM_RUN itself.  After a run or a
 * step: end the walk if one was hit.  0 or -errno.
 */
int pb_breaks_arm(PbBackup *b, const uint64_t *own);
int pb_breaks_insert(PbBackup *b);
void pb_breaks_remove(PbBackup *b);
int pb_breaks_after_run(PbBackup *b, PbRunEnd end);
int pb_breaks_after_step(PbBackup *b);

/*
 * Whether data breakpoints have to be looked for by steps: nothing runs freely
 * (counter=step), or the guest's own leave too few registers.  Or -errno.
 */
int pb_breaks_need_steps(PbBackup *b);

/* Compare with the stopped Primary, for who waits. backup-steer.c */
PbReplayEnd pb_backup_compare(PbBackup *b, const PbEvent *e);

/* KVM exits so far, but for the guest's own writes to devices. */
static inline uint64_t pb_backup_own_exits(const PbBackup *b)
{
    return b->v.exits - b->writes;
}

/* PB_EVENT_SLICE: what the Primary had there.  backup-slice.c */
PbReplayEnd pb_backup_compare_slice(PbBackup *b, const PbEvent *e);

/* Report the first difference; always PB_REPLAY_FAILED. */
PbReplayEnd pb_backup_diverge(PbBackup *b, const PbEvent *e,
                              const char *expected, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/*
 * #DB of the guest's own.  backup-guest-db.c
 *
 * Add: the guest's breakpoints to the *@n of ours at @dr, as far as there are
 * registers.  Take: after KVM_EXIT_DEBUG of a run; 1: it was the guest's, who
 * gets it next.  At: before it goes on from @now; tells whether and how it
 * debugs itself; 1: it stands at a breakpoint of its own, whose #DB it gets
 * next.  Leave: the same, where no event is due.  Each: 0 or -errno.
 */
typedef struct PbGuestDebug {
    bool steps, breaks;       /* by TF; by debug registers */
} PbGuestDebug;

int pb_guest_db_add(PbBackup *b, PbDebugRegister *dr, unsigned *n);
int pb_guest_db_take(PbBackup *b);
int pb_guest_db_at(PbBackup *b, const PbPosition *now, PbGuestDebug *g);
int pb_guest_db_leave(PbBackup *b);

/*
 * 1: it has run freely up to a MOV DR.  KVM lets a guest have the debug
 * registers from its first MOV DR to the next VM exit, when it takes what is in
 * them for the guest's; if a signal came between the two, and then we put ours
 * in, ours as well (Linux 6.12, KVM_DEBUGREG_WONT_EXIT).  So that instruction
 * is stepped first, by TF alone.
 */
int pb_guest_db_uses(PbBackup *b);

/*
 * At the place of a target with RF set, without RF: 1: a breakpoint of the
 * guest's own is hit first, whose handler comes back with RF.
 */
int pb_guest_db_first(PbBackup *b, const PbPosition *now);

/* Report that the Backup itself failed; always PB_REPLAY_FAILED. */
PbReplayEnd pb_backup_fail(PbBackup *b, const char *what, int err);

/* The state of vCPU @cpu becomes @s; @doing says why, in a report. */
PbReplayEnd pb_backup_put_state(PbBackup *b, unsigned cpu, const PbState *s,
                                const char *doing);

/* Describe the exit the Backup stands at. */
void pb_backup_describe_exit(const PbBackup *b, char *buf, size_t len);

#endif /* BACKUP_INTERNAL_H */
