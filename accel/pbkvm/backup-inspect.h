/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backup-inspect.h: walk a frozen Backup through the recorded past:
 * breakpoints, steps, runs to a given point.
 *
 * No QEMU.  Any thread but the Backup's own; the Backup must be frozen
 * (pb_backup_freeze()), and is frozen again when a walk has ended.  What the
 * guest sees and where events take place stays as recorded: breakpoints live
 * in the debug registers of the Backup's VM, or as INT3 in its memory only
 * while it runs.
 */
#ifndef BACKUP_INSPECT_H
#define BACKUP_INSPECT_H

#include "backup-replay.h"

/* Debug registers left to a debugger: one is for landing. */
#define PB_DEBUG_REGISTERS 3

#define PB_MAX_BREAKS 64

typedef enum PbBreakKind {
    PB_BREAK_SOFT,        /* before an instruction, as many as one likes */
    PB_BREAK_HARD,        /* the same, in a debug register; an INT3 while the
                             guest uses those itself */
    PB_WATCH_WRITE,       /* after a write; in a debug register, or by steps
                             that look for changes */
    PB_WATCH_ACCESS,      /* after a read or write; likewise */
} PbBreakKind;

/*
 * Set or clear a breakpoint at linear address @addr; @len is 1, 2, 4 or 8 for a
 * watchpoint (aligned to it).  0; -ENOSPC: no debug register, or too many;
 * -EINVAL: bad length or alignment; -ENOENT: none such to clear; -EBUSY: the
 * Backup is not frozen.
 */
int pb_backup_set_break(PbBackup *b, PbBreakKind kind, uint64_t addr,
                        unsigned len);
int pb_backup_clear_break(PbBackup *b, PbBreakKind kind, uint64_t addr,
                          unsigned len);
void pb_backup_clear_breaks(PbBackup *b);

/*
 * All of them, for another Backup that takes its place, where they are in the
 * place of those it has.
 */
typedef struct PbBreakpoints {
    unsigned n;
    struct {
        PbBreakKind kind;
        uint64_t addr;
        unsigned len;
    } at[PB_MAX_BREAKS];
} PbBreakpoints;

void pb_backup_get_breaks(PbBackup *b, PbBreakpoints *all);
void pb_backup_set_breaks(PbBackup *b, const PbBreakpoints *all);

/* A moment in the Backup's life: between two instructions. */
typedef struct PbPlace {
    uint64_t event;         /* the last one before it, but for marks */
    PbPosition at;
} PbPlace;

/* Where the frozen Backup stands; 0, or -errno: -EBUSY if it is not frozen. */
int pb_backup_place(PbBackup *b, PbPlace *p);
bool pb_place_same(const PbPlace *a, const PbPlace *b);

/*
 * Whether it is frozen right behind event @seq and has executed nothing since,
 * whatever a debugger has changed.
 */
bool pb_backup_is_at(PbBackup *b, uint64_t seq);

/*
 * Places that were stepped through, one instruction after the other: the last
 * PB_TRAIL of them.  All zero: none.
 */
#define PB_TRAIL 2048u

typedef struct PbTrail {
    PbPlace at[PB_TRAIL];
    uint64_t begin, end;    /* numbers of the first, and behind the last */
} PbTrail;

void pb_trail_add(PbTrail *t, const PbPlace *p);

/* What is added next does not follow. */
void pb_trail_clear(PbTrail *t);

/* The one before @p, where it came from by one instruction; NULL: not known. */
const PbPlace *pb_trail_before(const PbTrail *t, const PbPlace *p);

/* Where a walk shall end, if nothing ends it before; 0: no such limit. */
typedef struct PbWalk {
    uint64_t instructions;  /* after so many */
    uint64_t event;         /* once this event has happened */
    uint64_t branches;      /* where this many have retired */
    uint64_t time_ns;       /* before the first event later than that */
    const PbPlace *place;   /* there.  The caller's, until the walk's end */
    PbTrail *trail;         /* by steps from the last branch before it on, which
                               become this one's; NULL: by landing, if nobody
                               has set a breakpoint.  The caller's, too */
    uint64_t keep;          /* it may come to that place again: keep a moment
                               at most so many events before it */
    bool back;              /* pb_backup_back(), alone */
} PbWalk;

typedef enum PbStopReason {
    PB_STOP_NONE,         /* has not walked yet, or is walking */
    PB_STOP_ASKED,        /* pb_backup_halt(), a freeze */
    PB_STOP_STEPPED,      /* PbWalk.instructions */
    PB_STOP_REACHED,      /* PbWalk.event, .branches, .time_ns, .place, .back */
    PB_STOP_PAST,         /* PbWalk.place lies behind it */
    PB_STOP_BREAK,
    PB_STOP_WATCH,
    PB_STOP_PANIC,        /* the moment the Primary's guest panicked */
    PB_STOP_HISTORY,      /* nothing more is recorded (yet) */
    PB_STOP_CANNOT,       /* the next instruction cannot be stepped unseen */
    PB_STOP_FAILED,       /* diverged or failed: see the status */
} PbStopReason;

/* "breakpoint", "end-of-history", ... */
const char *pb_stop_reason_name(PbStopReason r);

typedef struct PbStop {
    PbStopReason reason;
    PbBreakKind kind;     /* STOP_BREAK, STOP_WATCH: which one, */
    uint64_t addr;        /* and its address */
} PbStop;

/*
 * Start a walk; false when the Backup is not frozen.  PbBackupConfig.stopped
 * is called at its end.
 */
bool pb_backup_walk(PbBackup *b, const PbWalk *w);

/* Whether it is on a walk. */
bool pb_backup_walks(PbBackup *b);

/* End it where it is; does not wait. */
void pb_backup_halt(PbBackup *b);

/*
 * Wait for the end of a walk, @timeout_ms at most (-1: for ever).  False: it
 * is not at its end yet.
 */
bool pb_backup_await(PbBackup *b, PbStop *stop, int timeout_ms);

/* ---- registers; the Backup frozen ---- */

/* Which vCPU's turn it is; of one that does not stand, a moment's view. */
unsigned pb_backup_cpu(const PbBackup *b);

/* What vCPU @cpu's registers are, an exit on its way completed. 0 or -errno. */
int pb_backup_get_state(PbBackup *b, unsigned cpu, PbState *s);

/*
 * A debugger changes registers or memory: from here on the Backup's life is
 * its own, and no longer the record's.
 */
int pb_backup_set_regs(PbBackup *b, unsigned cpu, const struct kvm_regs *regs);
void pb_backup_detach(PbBackup *b);
bool pb_backup_detached(const PbBackup *b);

/* To its RAM at guest physical address @gpa; false: there is none. */
bool pb_backup_write(PbBackup *b, uint64_t gpa, const void *data, unsigned len);

/* Its RAM and where the guest sees it. */
const PbMem *pb_backup_mem(const PbBackup *b);

/*
 * KVM's statistics of vCPU @cpu (KVM_GET_STATS_FD): a new fd, to be closed by
 * the caller, or -1 with errno.  Before its thread starts: KVM would answer
 * when the guest has an exit.
 */
int pb_backup_open_stats(PbBackup *b, unsigned cpu);

#endif /* BACKUP_INSPECT_H */
