/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-uarch.h: which perf event counts retired conditional branches, by CPU.
 *
 * A table and a pure lookup; pb_uarch_find() in branch-counter.h applies it
 * to the CPU it runs on.  Any thread.
 */
#ifndef PB_UARCH_H
#define PB_UARCH_H

#include "branch-counter.h"

/* Who a CPU says it is (CPUID leaves 0, 1 and 0x40000000). */
typedef struct PbCpuId {
    char vendor[13];      /* "GenuineIntel", "AuthenticAMD", ... */
    char hypervisor[13];  /* "" on bare metal */
    unsigned family;      /* with the extended family added */
    unsigned model;       /* with the extended model */
} PbCpuId;

void pb_cpuid_read(PbCpuId *id);

/*
 * The entry for @id, with type PERF_TYPE_RAW, or NULL with @why: the CPU and
 * what to do.  Depends on nothing but @id.
 */
const PbUarch *pb_uarch_lookup(const PbCpuId *id, char *why, size_t len);

/* Larger margins make a landing too expensive to be of use. */
#define PB_MARGIN_MAX 131072u

/*
 * The margin for a measured @skid_max: twice that, as the worst case is
 * seldom seen in a short measurement, 16 for the instructions around it, and
 * @min_period, which perf makes of any smaller distance; but at least what
 * the table asks for.  0 if that is more than PB_MARGIN_MAX.
 */
uint32_t pb_margin(const PbUarch *uarch, uint32_t skid_max,
                   uint32_t min_period);

#endif /* PB_UARCH_H */
