/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backup-replay.h: the Backup, a second KVM VM that lives through the events
 * of the ring and so through exactly what the Primary's guest lived through.
 *
 * No QEMU.  One thread, the Backup's, calls pb_backup_run() and is the ring's
 * consumer; other threads steer it with the functions marked "any thread".
 * Nothing here writes to the Primary; pb_backup_verify() reads its memory
 * while it is stopped.
 */
#ifndef BACKUP_REPLAY_H
#define BACKUP_REPLAY_H

#include "branch-counter.h"
#include "divergence.h"
#include "pb-state.h"
#include "pb-tsc.h"
#include "primary-spill.h"
#include "ring/pb-ring.h"

typedef struct PbBackup PbBackup;

typedef enum PbBackupStatus {
    PB_BACKUP_RUNNING,    /* follows the Primary, or waits for the lag */
    PB_BACKUP_FROZEN,     /* stands still, on request */
    PB_BACKUP_DIVERGED,   /* stands where the first difference was found */
    PB_BACKUP_FAILED,     /* its VM or counter failed: see the report */
    PB_BACKUP_ENDED,      /* has consumed PB_EVENT_END */
} PbBackupStatus;

/* Answered questions of one instruction: KVM asks for MMIO in pieces. */
#define PB_MAX_PARTIAL 8

/* Where in a history a Backup starts that does not start with it. */
typedef struct PbBackupStart {
    uint64_t seq;             /* last event consumed */
    uint64_t digest;
    uint64_t branches;
    uint64_t time_ns;         /* Primary time of that event */
    uint32_t writes;
    uint32_t partials;
    PbTscStart tsc;
    uint32_t cpu;             /* whose turn it is */
    uint32_t zero;
    PbEvent question;         /* the exit it stands at, as the event that
                                 answers it, without answer; of the kind
                                 PB_EVENT_INVALID: at none */
    PbEvent partial[PB_MAX_PARTIAL];  /* its instruction's first answers */
} PbBackupStart;

/*
 * How far to stay behind the Primary: at least all three, 0 not counting.
 * Primary time passes by itself; events and branches only while the
 * Primary records some.
 */
typedef struct PbLag {
    uint64_t ns;              /* of Primary time */
    uint64_t events;
    uint64_t branches;        /* told by the Primary's last event */
} PbLag;

typedef struct PbBackupConfig {
    int kvm_fd;
    unsigned cpus;                    /* vCPUs, 1 to PB_MAX_CPUS, and */
    const struct kvm_cpuid2 *cpuid[PB_MAX_CPUS];  /* the Primary's of each;
                                         used during _new() */
    const PbMem *primary_mem;         /* copied during _new(), compared by
                                         pb_backup_verify() */
    const PbState *state;             /* of each, where the history starts */
    const PbBackupStart *at;          /* or where it goes on; else NULL.
                                         Used during _new() */
    bool keeps;                       /* walks: pb_backup_keep() */
    PbRing *ring;
    PbSpill *spill;                   /* the ring's, or NULL */
    PbCounterKind counter;
    const PbUarch *uarch;             /* for PB_COUNTER_PMU */
    uint32_t margin;                  /* branches */
    const PbTscModel *tsc;            /* if @at says that it is repeated */
    PbLag lag;
    uint64_t lag_min_ns;              /* kept even when the ring is full */
    bool frozen;                      /* begins so: pb_backup_await_start() */
    bool fed;                         /* the ring will get an END: a walk waits
                                         for what is not in it yet */
    /* Or NULL; the caller's, atomic, written by the Backup's thread: Primary
       time, ns, of the event that it is on its way to; UINT64_MAX while it has
       nothing to do: it waits for the lag or for events, is frozen, walks, or
       is over. */
    uint64_t *heading;
    uint64_t (*now)(void *opaque);    /* Primary time, any thread */
    /* pb_record_last() of the Primary, for a lag in events or branches; or
       NULL: there is no such lag. Any thread. */
    bool (*primary)(void *opaque, uint64_t *seq, uint64_t *branches);
    /* On the Backup's thread, once, when it diverges or fails. */
    void (*diverged)(void *opaque);
    /* Or NULL. On the Backup's thread: its guest has written to a port or
       to a device's memory; see @run. It must not wait. */
    void (*wrote)(void *opaque, const struct kvm_run *run);
    /* Or NULL. On the Backup's thread: a walk has ended (backup-inspect.h). */
    void (*stopped)(void *opaque);
    void *opaque;
} PbBackupConfig;

/* A Backup that stands where @c->state says; NULL with @why. */
PbBackup *pb_backup_new(const PbBackupConfig *c, char *why, size_t len);

/* After its thread has returned from pb_backup_run(). */
void pb_backup_free(PbBackup *b);

/* The Backup's thread: returns after pb_backup_quit(). */
void pb_backup_run(PbBackup *b);

/* ---- any thread ---- */

void pb_backup_quit(PbBackup *b);

/*
 * Stop where it stands, at the latest after one landing; wait until it does.
 * Thaw lets it go on.  False when it is not running (not frozen): see
 * pb_backup_status().
 */
bool pb_backup_freeze(PbBackup *b);
void pb_backup_freeze_soon(PbBackup *b);    /* asks, does not wait */
bool pb_backup_thaw(PbBackup *b);

/*
 * With PbBackupConfig.frozen: wait until it stands where it starts.  False:
 * it cannot, see pb_backup_divergence().
 */
bool pb_backup_await_start(PbBackup *b);

PbBackupStatus pb_backup_status(const PbBackup *b);

/*
 * Whether it has diverged, failed or ended, and its thread will not touch the
 * ring or the spill again: another may take its place as their consumer.
 */
bool pb_backup_is_over(const PbBackup *b);
const char *pb_backup_status_name(PbBackupStatus s);

void pb_backup_set_lag(PbBackup *b, const PbLag *lag);

/* The report; only once the status is DIVERGED or FAILED. */
const PbDivergence *pb_backup_divergence(const PbBackup *b);

/*
 * Interrupt a run that went on too long, to look whether it is still on the
 * record's path.  Call it now and then.
 */
void pb_backup_poke(PbBackup *b);

typedef struct PbBackupStats {
    uint64_t events;          /* seq of the last event consumed */
    uint64_t time_ns;         /* its Primary time */
    uint64_t branches;        /* at the last event */
    uint64_t rip;             /* at the last asynchronous event */
    uint64_t writes;          /* PIO OUT and MMIO write exits */
    uint64_t exits;           /* KVM_RUN calls that returned */
    uint64_t steps;
    uint64_t landings;
    uint64_t landing_exits_max;
    uint32_t landing_exits[32];   /* landings by exits; the last: or more */
    uint32_t skid_max;        /* branches, seen while landing */
    uint32_t margin;
    uint64_t slices;          /* of RAM that were compared */
    uint64_t passes;          /* over all RAM, */
    uint64_t pass_ns;         /* and how long the last took the Primary */
    uint64_t zero_pages;      /* given back to Linux, in all */
    PbLag lag;                /* wanted */
    bool rdpmc;
    uint64_t tsc_late;        /* pb_tsc_late(), */
    int64_t tsc_late_at;      /* and when for the last time */
} PbBackupStats;
void pb_backup_stats(const PbBackup *b, PbBackupStats *s);

/* ---- verify ---- */

typedef struct PbVerify {
    bool equal;               /* registers and all memory, but for... */
    unsigned cpu;             /* the first one whose registers differ, */
    char what[160];           /* and how; "": none */
    PbMemDiff mem;            /* ...mem.accessed_bits */
    PbPosition at;
    uint64_t event;
} PbVerify;

/*
 * Any thread, with the Primary stopped, the PB_EVENT_VERIFY published and
 * @primary the state of each of its vCPUs there: let the Backup run to that
 * very position, whatever the lag, compare, and go on.  Waits up to
 * @timeout_ms.
 * 0: @result is valid; -ETIMEDOUT; -EINVAL: not running (status tells).
 */
int pb_backup_verify(PbBackup *b, const PbState *primary, PbVerify *result,
                     int timeout_ms);

#endif /* BACKUP_REPLAY_H */
