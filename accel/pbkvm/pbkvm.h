/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm.h: the accelerator inside QEMU; what its files share.
 *
 * The pbkvm accelerator is QEMU's KVM accelerator (its VM is the Primary's)
 * with a recorder around the vCPU's exits and a Backup beside it.  All state
 * is one PbkvmState, the accelerator object.
 *
 * Threads.  The Primary's vCPU thread records; it holds no lock in the
 * guest, and the BQL whenever it is not in pbkvm_cpu_exec().  Other threads
 * may record with the BQL held, once it rests (pbkvm-rest.c).  The Backup's
 * thread never takes the BQL.
 */
#ifndef PBKVM_H
#define PBKVM_H

#include "qemu/notify.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "system/kvm.h"
#include "system/kvm_int.h"
#include "system/runstate.h"

#include "backup-replay.h"
#include "pb-cpus.h"
#include "pb-turns.h"
#include "pbkvm-evidence.h"
#include "pbkvm-inspect.h"
#include "pbkvm-lag.h"
#include "pbkvm-live.h"
#include "pbkvm-panic.h"
#include "pbkvm-recover.h"
#include "pbkvm-slices.h"
#include "pbkvm-spill.h"
#include "pbkvm-undo.h"
#include "primary-record.h"

#define TYPE_PBKVM_ACCEL ACCEL_CLASS_NAME("pbkvm")
OBJECT_DECLARE_SIMPLE_TYPE(PbkvmState, PBKVM_ACCEL)

typedef struct PbkvmRest {
    bool moving;              /* atomic: the vCPU's thread is in the guest, or
                                 records; set only with the BQL held */
    QemuEvent here;           /* it no longer is */
    unsigned tries;           /* its own: to get to a position */
} PbkvmRest;

struct PbkvmState {
    KVMState parent_obj;

    /* Options. */
    PbkvmLag lag;
    uint32_t ring_events;
    PbCounterKind counter;
    bool with_backup;
    bool chaos;               /* of turns; QMP's, too, with the BQL */

    /* Fixed once the machine is made. */
    PbSelfCheck check;
    CPUState *each[PB_MAX_CPUS];    /* the Primary's vCPUs */
    Notifier exit;

    /* Whose turn it is; changes with the BQL held. */
    CPUState *cpu;
    PbCpus cpus;              /* .v is @primary */
    PbTurns turns;            /* in Primary time */
    int64_t turn_end;         /* as the alarm knows it, or INT64_MAX */
    int64_t turn_armed;       /* the one that ends by branches began then; -1 */

    /* Recording, from the first entry into the guest on. */
    PbVcpu primary;
    PbTscModel tsc_model;     /* how the guest's TSC is repeated, */
    bool tsc_wanted;          /* if it is: -cpu has it */
    PbTscStart tsc_from;      /* where it begins, if that was told */
    PbTsc tsc;
    PbMem mem;                /* the Primary's RAM as QEMU has it */
    PbRing *ring;
    PbRecorder *rec;
    QEMUTimer *ticker;        /* progress marks; main thread */
    uint64_t apic_base;       /* of @cpu, as KVM last told them; its thread */
    uint8_t cr8;
    bool recording;
    bool in_exec;             /* the vCPU thread may enter the guest; BQL */
    bool at_exit;             /* it is answering an exit; its own thread, */
    bool standing;            /* it rests at a known position; or who else has
                                 the BQL */
    PbkvmRest rest;
    bool mark_due;            /* atomic */
    bool stepped;             /* a debugger's step has used debug registers */
    char *ended;              /* why the history ended, or NULL */

    PbkvmPanic panic;
    PbkvmFull full;           /* what happens when the ring is full */
    PbkvmRecovery recovery;   /* what happens when the Backup is over */
    PbkvmSlices slices;       /* what is compared in the background */
    PbkvmLiveState live;      /* from where the Primary can live on, */
    PbkvmUndoState undo;      /* and what its disks held there */

    PbBackup *backup;
    unsigned backups;         /* so many were made so far */
    QemuThread backup_thread;
    PbkvmInspect *inspect;
    Coroutine *walker;        /* the monitor command that waits for a walk */
    PbkvmReplay replay;
    char *evidence;           /* file for a panicked guest's Backup, or NULL */
};

/* The accelerator if it is pbkvm, else NULL. */
PbkvmState *pbkvm_state(void);

/* The same, with an error. */
PbkvmState *pbkvm_get_state(Error **errp);

/* The accelerator, if it has a Backup; else NULL and an error. */
PbkvmState *pbkvm_get_backup(Error **errp);

/* Whether options may still change; else an error. */
bool pbkvm_not_yet_running(Error **errp);

/* Primary time, ns: QEMU's virtual clock.  Any thread. */
uint64_t pbkvm_now(void *opaque);

/* ---- pbkvm-tsc.c ---- */

/* The guest has a TSC, which is to be repeated.  Main thread. */
bool pbkvm_tsc_want(PbkvmState *s, Error **errp);

/* The Primary's, before its first entry.  vCPU thread. */
bool pbkvm_tsc_start(PbkvmState *s, Error **errp);

/* For query-pbkvm: NULL without one. */
PbkvmTsc *pbkvm_tsc_info(const PbkvmState *s, const PbBackupStats *b);

/* Print what may have to do with a divergence at Primary time @here, in ns. */
void pbkvm_tsc_explain(const PbkvmState *s, uint64_t here);

/* What it says where the Primary stands; all zero without one. */
PbTscStart pbkvm_tsc_here(const PbkvmState *s);

/*
 * pbkvm-cpu.c: warn of a guest that begins at @rip with a local APIC that
 * nobody has set up.  vCPU thread.
 */
void pbkvm_apic_check(CPUState *cs, uint64_t rip);

/* ---- pbkvm-cpus.c, BQL held ---- */

/* A vCPU is made: the first one has a thread, which is all the others', too. */
void pbkvm_cpus_add(PbkvmState *s, CPUState *cpu);

/* The thread of @cpu is that of @first, which has one. */
void pbkvm_share_thread(CPUState *cpu, CPUState *first);

/* That thread: until one of its @n has something to do. */
void pbkvm_wait_idle(CPUState *const *cpu, unsigned n);

/* The history begins: what the replay core knows of them. */
void pbkvm_cpus_start(PbkvmState *s);

unsigned pbkvm_cpu_number(const PbkvmState *s, const CPUState *cpu);
PbVcpu *pbkvm_vcpu(PbkvmState *s, const CPUState *cpu);

/* Whether another one should go on.  Their thread, BQL or not. */
bool pbkvm_turn_is_due(PbkvmState *s);

/* Also when Primary time was set. */
void pbkvm_turn_begins(PbkvmState *s);

/*
 * Their thread, not in the guest: wait until one has something to do, see whose
 * turn it is, and do what others have asked of each.
 */
void pbkvm_cpus_wait(PbkvmState *s);

/* ---- pbkvm-chaos.c, main thread ---- */

void pbkvm_chaos_class_init(ObjectClass *oc);

/* Whether a machine of so many CPUs can have it. */
bool pbkvm_chaos_check(unsigned cpus, Error **errp);

/* ---- pbkvm-primary.c, vCPU thread ---- */

/* AccelOps.create_vcpu_thread */
void pbkvm_start_vcpu_thread(CPUState *cpu);

/* AccelOps.synchronize_post_reset: the new state is a change like others. */
void pbkvm_synchronize_post_reset(CPUState *cpu);

/* ---- pbkvm-enter.c, vCPU thread ---- */

/* QEMU has put registers: what the last KVM_RUN told holds no more. */
void pbkvm_note_put(PbkvmState *s, CPUState *cpu);

/*
 * Record and put what is to go into the guest.  0: enter; 1: answer the exit
 * in kvm_run first; or -errno.
 */
int pbkvm_before_run(PbkvmState *s, CPUState *cpu);

/*
 * Run to the next exit: 0.  1: the one step is done that a debugger wants;
 * -EINTR: a kick; or another -errno, reported.
 */
int pbkvm_enter(PbkvmState *s, CPUState *cpu);

/* ---- pbkvm-rest.c ---- */

/* From now on, who changes guest memory finds the Primary's vCPU at rest. */
void pbkvm_rest_init(PbkvmState *s);

/*
 * BQL held, any thread: until that is released the vCPU rests, and other
 * threads may record.
 */
void pbkvm_make_rest(PbkvmState *s);

/* vCPU thread, BQL held: it is about to release that and enter the guest. */
void pbkvm_rest_end(PbkvmState *s);

/* vCPU thread, BQL held: it no longer will. */
void pbkvm_rest_begin(PbkvmState *s);

/*
 * vCPU thread, where it stands: nobody need wait for it, nor kick it, until it
 * has taken the BQL again.  Until then it does not record.
 */
void pbkvm_rest_here(PbkvmState *s);

/*
 * vCPU thread, not in an exit: know where it stands, before it waits for the
 * BQL.  Results as pb_record_nmi().
 */
int pbkvm_stand(PbkvmState *s);

/*
 * vCPU thread, somebody wants it to rest.  0: it does; 1: answer the exit in
 * kvm_run first; -EAGAIN: half way through the delivery of something, it must
 * go on, and will be kicked.
 */
int pbkvm_rest(PbkvmState *s);

/* vCPU thread: it will rest for long; the history says where. */
void pbkvm_rest_recorded(PbkvmState *s);

/* ---- pbkvm-memory.c ---- */

/* Watch KVM's memory slots and every write of a device to RAM. */
void pbkvm_memory_init(PbkvmState *s);

/* All RAM blocks and the slots on them are known from here on. */
bool pbkvm_memory_start(PbkvmState *s, Error **errp);

/* ---- pbkvm-backup.c ---- */

/* vCPU thread, BQL held, before the first entry: start the history here. */
bool pbkvm_start(PbkvmState *s, Error **errp);

/*
 * Make a Backup that follows the Primary from where that stands, with each
 * vCPU's @state, its history at @at (NULL: at its start), and start its
 * thread.  The ring is empty, the Primary stopped.
 */
bool pbkvm_backup_follow(PbkvmState *s, const PbState *state,
                         const PbBackupStart *at, Error **errp);

/* The own CPUID table of one of the Primary's, as KVM has it; to be freed. */
struct kvm_cpuid2 *pbkvm_get_cpuid(CPUState *cpu, Error **errp);

/* A ring of the wanted size, the caller's; NULL: no memory. */
PbRing *pbkvm_ring_new(const PbkvmState *s, Error **errp);

/*
 * Make the Backup of @c, whose cpuid, primary_mem, state, at, now and lag the
 * caller has set, on the ring there is, and start its thread; if it begins
 * frozen, wait until it stands.
 */
bool pbkvm_backup_start(PbkvmState *s, PbBackupConfig *c, Error **errp);

/* Whether there is a Backup that lives through what is recorded now. */
bool pbkvm_is_followed(const PbkvmState *s);

/* The Backup, if there is one, and its thread are gone.  Main thread. */
void pbkvm_backup_drop(PbkvmState *s);

/* When the next progress mark is due: the clock was set back.  Main thread. */
void pbkvm_ticker_restart(PbkvmState *s);

/* End the history: nothing after this can be recorded. BQL held. */
void pbkvm_end(PbkvmState *s, const char *why);

/* The process ends. */
void pbkvm_shutdown(PbkvmState *s);

/* ---- pbkvm-stop.c ---- */

/*
 * Stop the Primary, record where with an event of @kind (PB_EVENT_POINT or
 * PB_EVENT_VERIFY); the machine's run state is then @run_state, the state of
 * each vCPU (of PB_MAX_CPUS at most) @state.  False: it runs or not, as before.
 * Main thread, BQL held.
 */
bool pbkvm_stop_at_position(PbkvmState *s, PbEventKind kind,
                            RunState run_state, PbState *state, Error **errp);

/* ---- pbkvm-walk.c ---- */

/* Where the Backup stands. BQL held. */
void pbkvm_backup_place(PbkvmState *s, PbkvmPlace *q);

/* Whether a command, gdb or a dump is at work on it. BQL held. */
bool pbkvm_backup_is_busy(const PbkvmState *s);

/* pbkvm-run-to, of the frozen Backup. */
PbkvmStop *coroutine_fn pbkvm_run_to_event(PbkvmState *s, uint64_t event,
                                           Error **errp);

/* PbBackupConfig.stopped */
void pbkvm_walk_stopped(void *opaque);

/* ---- pbkvm-refuse.c ---- */

/*
 * Refuse by name what cannot be recorded: before the machine is made
 * (options), and after (devices; from then on those that are added, too).
 */
bool pbkvm_check_options(PbkvmState *s, MachineState *ms, Error **errp);
bool pbkvm_check_devices(Error **errp);

#endif /* PBKVM_H */
