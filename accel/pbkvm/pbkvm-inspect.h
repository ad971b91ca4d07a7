/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-inspect.h: the Backup as CPUs of QEMU (pbkvm-inspect-cpus.c), and what
 * is done with them (pbkvm-inspect.c).
 *
 * All with the BQL held.  The functions named after AccelOps members are
 * called for the Backup's CPUs alone.
 */
#ifndef PBKVM_INSPECT_H
#define PBKVM_INSPECT_H

#include "exec/memory.h"
#include "hw/core/cpu.h"

#include "backup-inspect.h"

/* Which way the Backup goes when one of its CPUs is resumed next. */
typedef enum PbkvmBack {
    PBKVM_FORWARDS,
    PBKVM_BACK_STEP,
    PBKVM_BACK_RUN,
} PbkvmBack;

typedef struct PbkvmInspect {
    MemoryRegion memory;      /* the Backup's, as its guest sees it */
    CPUState *cpu[PB_MAX_CPUS];   /* one for each of the Backup's vCPUs; the
                                     first has a thread, for all */
    struct kvm_regs loaded[PB_MAX_CPUS];  /* what each was given last */
    bool froze;               /* the last look has frozen the Backup */
    bool walking;             /* gdb has it resumed */
    bool machine_ran;         /* the Primary ran since what gdb, or the
                                 monitor, resumed last */
    PbkvmBack back;           /* gdb has asked for it */
    PbTrail trail;            /* stepped through on the way to a place */
    CPUWatchpoint watch;      /* the one that was hit, for gdb */
} PbkvmInspect;

typedef struct PbkvmState PbkvmState;

/* The machine is made: give QEMU a CPU for each of the Backup's. */
void pbkvm_inspect_init(PbkvmState *s);

bool pbkvm_is_backup(const CPUState *cpu);

/* A debugger changes @what of the Backup. */
void pbkvm_detach(PbkvmState *s, const char *what);

/*
 * What a debugger has changed in the registers goes into the Backup, and those
 * it was given are looked at no more: before the Backup goes on, and before
 * somebody asks whether it is changed.
 */
void pbkvm_inspect_flush(PbkvmState *s);

/*
 * Walk the frozen Backup for gdb, on its CPU's thread; the BQL is not held
 * meanwhile.  False: it is not frozen.
 */
bool pbkvm_inspect_walk(PbkvmState *s, const PbWalk *w, PbStop *stop);

/* This Backup is made, and its thread starts next: it is seen from now on. */
void pbkvm_inspect_meet(PbkvmState *s);

/* This Backup goes: so does what was seen of it. */
void pbkvm_inspect_forget(PbkvmState *s);

/* What the CPU object shows, and what it shows now.  pbkvm-inspect-regs.c */
void pbkvm_inspect_load(CPUState *cpu, const PbState *p);
struct kvm_regs pbkvm_inspect_regs(CPUState *cpu);

/* AccelOps */
void pbkvm_inspect_start_thread(CPUState *cpu);
bool pbkvm_inspect_is_idle(CPUState *cpu);
void pbkvm_inspect_kick(CPUState *cpu);
void pbkvm_inspect_synchronize(CPUState *cpu);
void pbkvm_inspect_post_reset(CPUState *cpu);
void pbkvm_inspect_pre_resume(bool step);
/* In pbkvm-breaks.c. */
int pbkvm_inspect_insert(CPUState *cpu, int type, vaddr addr, vaddr len);
int pbkvm_inspect_remove(CPUState *cpu, int type, vaddr addr, vaddr len);
void pbkvm_inspect_remove_all(CPUState *cpu);

#endif /* PBKVM_INSPECT_H */
