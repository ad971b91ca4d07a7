/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guests.h: a small VM monitor that runs tiny guests as Primary and as
 * Backup, to prove the replay core without QEMU.
 *
 * Threads: the one that calls guest_run() is the Primary's vCPU; a second is
 * the Backup; a third, the source, says at random times that something came
 * from outside (where a guest is single-stepped, the Primary's own thread
 * does, after a random number of steps or branches).  GuestRun belongs to the
 * Primary's thread but for the fields marked "any thread".
 */
#ifndef GUESTS_H
#define GUESTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "backup-replay.h"
#include "branch-counter.h"
#include "pb-cpus.h"
#include "primary-record.h"
#include "ring/pb-ring.h"

/* ---- what the guests see; the same numbers are in ports.inc ---- */

enum {
    PORT_ROUNDS = 0xf0, PORT_RANDOM, PORT_CONSOLE, PORT_LENGTH, PORT_END,
    PORT_VERIFY, PORT_DMA, PORT_DMA_IN, PORT_SLOT, PORT_MODE, PORT_CPUS,
};

typedef enum GuestMode {
    MODE_IRQ, MODE_BURST, MODE_NMI, MODE_BOTH, MODE_DMA, MODE_OFF,
} GuestMode;

enum { SLOT_NONE, SLOT_RAM, SLOT_READONLY, SLOT_HIGH };

#define GUEST_CODE      0x8000u
#define GUEST_STACK     0x80000u
#define GUEST_DMA_AREA  0x70000u
#define GUEST_RAM_SIZE  0x100000u
#define GUEST_ROM       0x200000u
#define GUEST_ROM_SIZE  0x10000u
#define GUEST_EXTRA     0x300000u
#define GUEST_EXTRA_SIZE 0x20000u     /* the slot shows half of it */
#define GUEST_MMIO      0x400000u
#define GUEST_SLICE     0x20000u      /* bytes compared at a time, */
#define GUEST_SLICES    (GUEST_RAM_SIZE / GUEST_SLICE + 2)   /* in a pass */

#define GUEST_VECTOR    32

/* ---- one guest ---- */

typedef struct Guest {
    const char *name;
    const char *claim;
    const uint8_t *code, *code_end;
    bool real_mode;
    bool shuts_down;          /* it ends with a triple fault */
    bool no_branches;         /* its loop has none: CLOCK_BRANCHES stands */
    bool sets_breaks;         /* in DR7, where a debugger's would hide them */
    bool has_tsc;             /* which is repeated */
    bool two_cpus;            /* which take turns */
    bool computes_code;       /* new instructions from old: an INT3 shows */
    GuestMode mode;           /* of the source, until the guest changes it */
    uint32_t step_length;     /* answer of PORT_LENGTH for counter=step */
    uint32_t pmu_length;      /* and for counter=pmu, */
    uint32_t walk_length;     /* or 0; then if the way back is walked: a step
                                 may take 100 us */
    const char *slow;         /* run only with counter=step: why */
} Guest;

extern const Guest guests[];
extern const unsigned guests_count;

/* The guest called @name, which there must be. */
const Guest *guest_named(const char *name);

/* ---- one run ---- */

typedef struct GuestOptions {
    int kvm_fd;
    PbCounterKind counter;    /* the Primary's */
    PbCounterKind backup_counter;
    const PbUarch *uarch;
    uint32_t margin;
    const PbTscModel *tsc;    /* this host's, for guests that have one */
    uint64_t seed;
    uint32_t rounds;          /* interrupts a guest waits for */
    uint32_t rate;            /* of the source, per second */
    PbLag lag;
    bool spill;               /* a file beside the ring, which is small */
    uint32_t marks;           /* more progress marks at each tick */
    bool verify_all;          /* at every tick, to see where it begins */
    bool slices;              /* compare RAM in the background, one slice
                                 before every entry */
    bool walk;                /* debug the Backup all the time */
    uint32_t kicks;           /* signals per second to both vCPUs */
    uint32_t evidence;        /* save the Backup, and replays of the file at
                                 this many events; 0: no such test */
    uint32_t timeout_s;       /* of one run */
    const char *refusal;      /* with generated guests: what a report may
                                 say instead of an equal end; or NULL */
    struct GuestFault *fault; /* to be made; or NULL: guest-fault.h */
} GuestOptions;

/* What the debugger of guest-walk.c does. */
enum {
    WALK_STEPS, WALK_EVENT, WALK_BRANCHES, WALK_BREAK, WALK_MANY, WALK_WATCH,
    WALK_KINDS
};
#define WALK_SEEN 8           /* places it remembers */

typedef struct GuestResult {
    bool ok;
    bool skipped;             /* this host's KVM cannot run the guest */
    char why[2048];           /* if not; may have several lines */
    uint64_t events, ticks, tsc_late;
    unsigned verifies;
    unsigned walks[WALK_KINDS];   /* that found what they looked for */
    PbBackupStats backup;
    uint64_t spills, spilled; /* with `spill`: how often, and events */
    uint64_t lag_checks;      /* that saw the Backup go on */
    uint64_t saved_events;    /* with `evidence`: in the first file, */
    unsigned questions;       /* files of a Backup at an exit, */
    unsigned partials;        /* and of these, in the middle of an access */
    unsigned back;            /* places that were gone back to, */
    unsigned near;            /* and of these, from a moment kept near; */
    unsigned missed;          /* landings there that missed */
} GuestResult;

/* Xorshift; the state is never 0. */
uint64_t guest_random(uint64_t *state);

typedef struct GuestRun GuestRun;

/* What makes the time pass until something comes from outside. */
typedef enum GuestClock {
    CLOCK_TIME,           /* a thread that sleeps */
    CLOCK_STEPS,          /* single steps of the Primary */
    CLOCK_BRANCHES,       /* the Primary's sampler */
} GuestClock;

typedef struct GuestSource {
    GuestRun *run;
    GuestClock clock;
    pthread_t thread;
    bool started;
    uint64_t random;
    uint32_t countdown;       /* steps to the next tick */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stop;
    unsigned due;             /* any thread, locked: ticks not yet taken */
} GuestSource;

struct GuestRun {
    const Guest *guest;
    const GuestOptions *o;
    GuestResult *result;
    PbMem mem;
    PbVcpu v;                 /* the one whose turn it is */
    PbCpus cpus;
    PbTsc tsc;                /* v.tsc, if the guest has one */
    PbRing *ring;             /* the recorder's, */
    PbRing *backup_ring;      /* and the Backup's: the same, but for a fault */
    PbSpill *spill;
    PbRecorder *rec;
    PbBackup *backup;
    pthread_t backup_thread;
    bool backup_started;
    GuestSource source;
    uint64_t random;          /* of the devices */
    GuestMode mode;
    unsigned irqs, nmis, dmas;    /* due to be delivered */
    bool want_verify;
    bool takes_turns, turn_due;
    bool halted[PB_MAX_CPUS];
    bool done;
    bool failed;
    int end_code;
    uint64_t deadline_ns;
    uint64_t next_mark_ns;
    uint64_t lag_seen;        /* events the Backup had lived through */

    pthread_t kicks_thread;
    bool kicks_started, kicks_end;    /* kicks_end: atomic */

    pthread_mutex_t walk_lock;    /* the Backup is the debugger's, or not */
    pthread_t walk_thread;
    bool walk_started, walk_end;  /* walk_end: atomic */
    uint64_t walk_random;
    uint64_t walk_seen[WALK_SEEN];
    uint32_t flood;           /* `marks`: so many so far */
    uint64_t freeze_at;       /* with `evidence`: ticks until the Backup is */
    bool frozen;
    PbState *final;           /* the Primary's at its end, of each vCPU */
    uint64_t last_seq;
};

/* Run @g once. */
void guest_run(const Guest *g, const GuestOptions *o, GuestResult *result);

/* The run failed; keeps the first reason. */
void guest_fail(GuestRun *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

uint64_t guest_now(void *unused);     /* monotonic, ns */
void guest_set_deadline(GuestRun *r); /* GuestOptions.timeout_s from now */
void guest_pause(unsigned us);        /* sleep */

/* ---- guest-walk.c: if GuestOptions.walk ---- */

void guest_walk_start(GuestRun *r);
void guest_walk_stop(GuestRun *r);

/* Whether one of the two is single-stepped: then guests are short. */
static inline bool guest_is_stepped(const GuestOptions *o)
{
    return o->counter == PB_COUNTER_STEP ||
           o->backup_counter == PB_COUNTER_STEP;
}

/* ---- guest-kicks.c: if GuestOptions.kicks ---- */

bool guest_kicks_start(GuestRun *r);
void guest_kicks_stop(GuestRun *r);

/* ---- guest-evidence.c ---- */

/* The Primary has ended, its Backup is frozen: save and replay it. */
void guest_evidence(GuestRun *r);

/* ---- guest-spill.c ---- */

/* The spill, if GuestOptions.spill; and its figures, and its end. */
bool guest_spill_start(GuestRun *r);
void guest_spill_stop(GuestRun *r);

/* GuestOptions.marks: events of no effect that fill the ring. */
void guest_marks(GuestRun *r);

/* PbBackupConfig.primary; @opaque is the GuestRun. */
bool guest_primary(void *opaque, uint64_t *seq, uint64_t *branches);

/*
 * A lag in events or branches must hold, if the Backup has gone on since
 * the last look.  @verified: it was let closer.
 */
void guest_check_lag(GuestRun *r, bool verified);

/* ---- guest-random.c ---- */

/*
 * Run @n generated guests, from seed o->seed on, each @runs times, of the
 * items named in @only (NULL: all); how many failed.
 */
unsigned guest_random_runs(const GuestOptions *o, unsigned n,
                           unsigned runs, const char *only);

/* ---- guest-remedy.c ---- */

/*
 * TAP: leave out one remedy of pb-remedy.h at a time; some run without it
 * must fail.  How many did not.
 */
unsigned guest_remedies(const GuestOptions *o);

/* ---- guest-vm.c ---- */

/* The Primary's VM with the guest loaded, or a reason. */
bool guest_vm_new(GuestRun *r, struct kvm_cpuid2 *cpuid);
void guest_vm_free(GuestRun *r);
struct kvm_cpuid2 *guest_cpuid(int kvm_fd);

/* ---- guest-devices.c ---- */

/* Answer the exit the Primary stands at. */
void guest_devices(GuestRun *r);

/* A device writes random bytes to @gpa and above, and says so. */
void guest_dma(GuestRun *r, uint32_t gpa);

/* ---- guest-source.c ---- */

bool guest_source_start(GuestRun *r);
void guest_source_stop(GuestRun *r);

/* Before the Primary runs, and after it was interrupted. */
void guest_source_arm(GuestRun *r);
void guest_source_look(GuestRun *r);

/* Take a tick if one is due. */
bool guest_source_take(GuestRun *r);

/* HLT: wait for a tick, at most @ms. */
void guest_source_wait(GuestRun *r, int ms);

#endif /* GUESTS_H */
