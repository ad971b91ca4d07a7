/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The device which switches the lab's PMU on. See pmu-device.h. */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "hw/qdev-properties.h"
#include "qemu/module.h"
#include "system/tcg.h"
#include "pmu-device.h"

#define SKID_MAX        1000000ULL
#define PERIOD_MIN      16ULL
#define PERIOD_MAX      (1ULL << 40)
#define TSC_SHIFT_MAX   16u

PbkvmLabPmu *pbkvm_lab_pmu;

static bool check_period(const char *name, uint64_t val, Error **errp)
{
    if (val != 0 && (val < PERIOD_MIN || val > PERIOD_MAX)) {
        error_setg(errp, TYPE_PBKVM_LAB_PMU ": %s must be 0 (off) or "
                   "%llu..%llu, not %" PRIu64, name, PERIOD_MIN,
                   PERIOD_MAX, val);
        return false;
    }
    return true;
}

static void pmu_device_realize(DeviceState *dev, Error **errp)
{
    PbkvmLabPmu *s = PBKVM_LAB_PMU(dev);

    if (!tcg_enabled()) {
        error_setg(errp, TYPE_PBKVM_LAB_PMU " needs -accel tcg");
        return;
    }
    if (pbkvm_lab_pmu) {
        error_setg(errp, "only one " TYPE_PBKVM_LAB_PMU " is possible");
        return;
    }
    if (s->skid > SKID_MAX) {
        error_setg(errp, TYPE_PBKVM_LAB_PMU ": skid must be 0..%llu branches, "
                   "not %" PRIu64, SKID_MAX, s->skid);
        return;
    }
    if (s->tsc_shift > TSC_SHIFT_MAX) {
        error_setg(errp, TYPE_PBKVM_LAB_PMU ": tsc-shift must be 0..%u, not "
                   "%u", TSC_SHIFT_MAX, s->tsc_shift);
        return;
    }
    if (!check_period("miscount", s->miscount, errp) ||
        !check_period("spurious", s->spurious, errp) ||
        !check_period("lose", s->lose, errp)) {
        return;
    }
    pbkvm_lab_pmu = s;
}

static const Property pmu_device_properties[] = {
    DEFINE_PROP_UINT64("skid", PbkvmLabPmu, skid, 0),
    DEFINE_PROP_UINT64("miscount", PbkvmLabPmu, miscount, 0),
    DEFINE_PROP_UINT64("spurious", PbkvmLabPmu, spurious, 0),
    DEFINE_PROP_UINT64("lose", PbkvmLabPmu, lose, 0),
    DEFINE_PROP_BOOL("rf", PbkvmLabPmu, rf, false),
    DEFINE_PROP_BOOL("mov-ss", PbkvmLabPmu, mov_ss, false),
    DEFINE_PROP_BOOL("count-vmrun", PbkvmLabPmu, count_vmrun, false),
    DEFINE_PROP_UINT32("tsc-shift", PbkvmLabPmu, tsc_shift, 0),
    DEFINE_PROP_UINT64("seed", PbkvmLabPmu, seed, 1),
};

static void pmu_device_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);

    dc->desc = "AMD K7 style PMU model for TCG (pbkvm's lab)";
    dc->realize = pmu_device_realize;
    dc->user_creatable = true;
    dc->hotpluggable = false;
    device_class_set_props(dc, pmu_device_properties);
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
}

static const TypeInfo pmu_device_info = {
    .name = TYPE_PBKVM_LAB_PMU,
    .parent = TYPE_DEVICE,
    .instance_size = sizeof(PbkvmLabPmu),
    .class_init = pmu_device_class_init,
};

static void pmu_device_register(void)
{
    type_register_static(&pmu_device_info);
}

type_init(pmu_device_register)
