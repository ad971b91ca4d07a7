/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pmu-device.h: "-device pbkvm-lab-pmu" switches the PMU model on and holds
 * its knobs. Created once, before any vCPU runs; read-only from then on.
 */
#ifndef PBKVM_PMU_DEVICE_H
#define PBKVM_PMU_DEVICE_H

#include "hw/qdev-core.h"

#define TYPE_PBKVM_LAB_PMU "pbkvm-lab-pmu"
OBJECT_DECLARE_SIMPLE_TYPE(PbkvmLabPmu, PBKVM_LAB_PMU)

struct PbkvmLabPmu {
    DeviceState parent_obj;

    uint64_t skid;      /* overflow late by 0..skid branches; 0 = exact */
    uint64_t miscount;  /* +-1 every so many guest branches; 0 = never */
    uint64_t spurious;  /* #VMEXIT(INTR) every so many; 0 = never */
    uint64_t lose;      /* each so-many-th overflow is not told of; 0 = none */
    bool rf;            /* #VMEXIT(NPF) saves RF = 1 */
    bool mov_ss;        /* no breakpoint right behind MOV SS */
    bool count_vmrun;   /* VMRUN counts as the guest's branch */
    uint32_t tsc_shift; /* a scaled guest's TSC is slower by 2^this */
    uint64_t seed;      /* of all the randomness above */

    uint64_t overflows; /* atomic; of all vCPUs, so far */
};

/* NULL: the machine has no PMU model. */
extern PbkvmLabPmu *pbkvm_lab_pmu;

#endif /* PBKVM_PMU_DEVICE_H */
