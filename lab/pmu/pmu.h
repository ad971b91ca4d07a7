/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pmu.h: the lab's performance monitoring unit, a model of AMD's K7 counters
 * for TCG.
 *
 * Four 48-bit counters (MSRs C001_0000..3 select, C001_0004..7 count). One
 * event is modelled: 0xd1, retired conditional branches (Jcc, LOOPcc, JCXZ;
 * taken or not). Everything else counts nothing. The model exists only when
 * the machine has a pbkvm-lab-pmu device; without it nothing changes in TCG.
 *
 * How it counts: a conditional branch is translated into one decrement of
 * left[mode], where mode is known at translation (SVM guest or host, CPL 0 or
 * not). When that reaches 0, pbkvm_pmu_branch() is called: it folds the
 * branches since the last look into all counters and plans the next look so
 * that no counter can overflow unseen.
 *
 * Thread: all functions run on the vCPU's own thread. No function fails,
 * except those which return false: "not mine, go on as without a PMU".
 */
#ifndef PBKVM_PMU_H
#define PBKVM_PMU_H

#define PBKVM_PMU_COUNTERS 4

/* Where a branch can retire; bits of a mode set are 1 << PbkvmPmuMode. */
typedef enum PbkvmPmuMode {
    PBKVM_PMU_HOST_USER,
    PBKVM_PMU_HOST_OS,
    PBKVM_PMU_GUEST_USER,
    PBKVM_PMU_GUEST_OS,
    PBKVM_PMU_MODES,
} PbkvmPmuMode;

/* Part of CPUX86State; all zero = reset: every counter stopped. */
typedef struct PbkvmPmu {
    uint64_t left[PBKVM_PMU_MODES];     /* branches until the next look */
    uint64_t planned[PBKVM_PMU_MODES];  /* left[] at the last look */
    uint64_t select[PBKVM_PMU_COUNTERS];    /* PerfEvtSel as written */
    uint64_t counter[PBKVM_PMU_COUNTERS];   /* value at the last look */
    uint8_t modes[PBKVM_PMU_COUNTERS];      /* mode set, 0 = stopped */
    bool late;              /* an overflow waits for its skid to pass */
    uint64_t late_left;     /* branches (any mode) until it is delivered */
    uint64_t miscount_left; /* guest branches until one is miscounted */
    uint64_t spurious_left; /* guest branches until a needless #VMEXIT */
    uint64_t random;        /* generator state, 0 = not yet seeded */
    uint64_t behind_mov_ss; /* EIP, if the last shadow was one of MOV SS */
} PbkvmPmu;

#endif /* PBKVM_PMU_H */
