/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-refuse.c: what cannot be recorded is refused by name, at start and when
 * a device is added.
 *
 * A device is refused when it can write guest memory or raise work outside
 * the vCPU's exits (disks, network cards, USB, virtio, passthrough).
 */
#include "qemu/osdep.h"
#include "qemu/option.h"
#include "qemu/option_int.h"
#include "qemu/config-file.h"
#include "qapi/error.h"
#include "hw/boards.h"
#include "hw/i386/pc.h"
#include "hw/mem/pc-dimm.h"
#include "hw/qdev-core.h"
#include "qom/object.h"
#include "system/block-backend.h"
#include "system/iothread.h"
#include "system/runstate.h"
#include "system/system.h"

#include "pbkvm.h"

static unsigned count_accels(void)
{
    QemuOptsList *list = qemu_find_opts("accel");
    QemuOpts *opts;
    unsigned n = 0;

    QTAILQ_FOREACH(opts, &list->head, next) {
        /* libqtest adds one of these to every command line. */
        n += g_strcmp0(qemu_opt_get(opts, "accel"), "qtest") != 0;
    }
    return n;
}

/* Before a card's boot ROM is looked for. @which: "net" or "nic". */
static bool wants_nic(const char *which)
{
    QemuOpts *opts;

    QTAILQ_FOREACH(opts, &qemu_find_opts(which)->head, next) {
        const char *type = qemu_opt_get(opts, "type");

        if (!strcmp(which, "nic") ? g_strcmp0(type, "none") != 0
                                  : g_strcmp0(type, "nic") == 0) {
            return true;
        }
    }
    return false;
}

/*
 * Switch off what a pc machine turns on by itself; refuse it when asked for.
 */
static bool tame_machine(MachineState *ms, Error **errp)
{
    X86MachineState *x86 = X86_MACHINE(ms);
    PCMachineState *pc;

    if (x86->smm == ON_OFF_AUTO_ON) {
        error_setg(errp, "pbkvm: -machine smm=on: system management mode "
                   "cannot be recorded; use smm=off");
        return false;
    }
    x86->smm = ON_OFF_AUTO_OFF;
    if (!object_dynamic_cast(OBJECT(ms), TYPE_PC_MACHINE)) {
        return true;
    }
    pc = PC_MACHINE(ms);
    if (pc->vmport == ON_OFF_AUTO_ON) {
        error_setg(errp, "pbkvm: -machine vmport=on: the VMware port changes "
                   "registers behind the guest's back; use vmport=off");
        return false;
    }
    pc->vmport = ON_OFF_AUTO_OFF;
    return true;
}

bool pbkvm_check_options(PbkvmState *s, MachineState *ms, Error **errp)
{
    if (count_accels() > 1) {
        error_setg(errp, "pbkvm: %u -accel options: expected -accel pbkvm "
                   "alone, for another accelerator would not record",
                   count_accels());
        return false;
    }
    if (ms->smp.max_cpus > 1) {
        error_setg(errp, "pbkvm: -smp %u: expected 1 CPU; the order of "
                   "several CPUs' memory accesses cannot be recorded",
                   ms->smp.max_cpus);
        return false;
    }
    if (s->parent_obj.kernel_irqchip_allowed ||
        s->parent_obj.kernel_irqchip_required) {
        error_setg(errp, "pbkvm: kernel-irqchip=%s: expected off; the "
                   "kernel's interrupt controller acts unseen",
                   s->parent_obj.kernel_irqchip_split == ON_OFF_AUTO_ON
                   ? "split" : "on");
        return false;
    }
    if (s->parent_obj.msr_energy.enable) {
        error_setg(errp, "pbkvm: rapl=on: expected off; how much energy the "
                   "host takes cannot be recorded");
        return false;
    }
    if (s->parent_obj.kvm_dirty_ring_size) {
        error_setg(errp, "pbkvm: dirty-ring-size: expected 0; dirty pages "
                   "are found by bitmap");
        return false;
    }
    if (enable_cpu_pm) {
        error_setg(errp, "pbkvm: -overcommit cpu-pm=on: expected off; a guest "
                   "that halts unseen cannot be recorded");
        return false;
    }
    if (wants_nic("net") || wants_nic("nic")) {
        error_setg(errp, "pbkvm: a network card, which QEMU adds unless told "
                   "otherwise, cannot be recorded yet");
        error_append_hint(errp, "Add -nic none.\n");
        return false;
    }
    if (runstate_check(RUN_STATE_INMIGRATE)) {
        error_setg(errp, "pbkvm: -incoming: a history cannot start in the "
                   "middle of a migration");
        return false;
    }
    if (!object_dynamic_cast(OBJECT(ms), TYPE_X86_MACHINE)) {
        error_setg(errp, "pbkvm: -machine %s: expected a pc machine",
                   object_get_typename(OBJECT(ms)));
        return false;
    }
    return tame_machine(ms, errp);
}

/* What acts on its own: a type, or (NULL) a whole kind of devices. */
typedef struct Refused {
    const char *type;
    const char *what;
    const char *hint;                 /* NULL: "Leave it out." */
    DeviceCategory kind;
} Refused;

static const Refused refused[] = {
    { "virtio-device", "a virtio device" },
    { "vfio-pci", "a passed-through device" },
    { "ivshmem-common", "memory shared with others" },
    { "nvme", "a disk controller" },
    { "megasas-base", "a disk controller" },
    { "mptsas1068", "a disk controller" },
    { "pvscsi", "a disk controller" },
    { "ufs", "a disk controller" },
    { "sysbus-ahci", "a disk controller" },
    { "ich9-ahci", "a disk controller",
      "Leave it out; -machine q35 needs sata=off for that." },
    { "intel-iommu", "an IOMMU" },
    { "edu", "a DMA device" },
    { "sb16", "a DMA device" },
    { "cs4231a", "a DMA device" },
    { "gus", "a DMA device" },
    { "ES1370", "a DMA device" },
    { "AC97", "a DMA device" },
    { "intel-hda-generic", "a DMA device" },
    { TYPE_IOTHREAD, "a thread of devices" },
    { NULL, "a network card", .kind = DEVICE_CATEGORY_NETWORK },
    { NULL, "a USB controller", .kind = DEVICE_CATEGORY_USB },
};

static bool matches(Object *obj, const Refused *r)
{
    if (r->type) {
        return object_dynamic_cast(obj, r->type);
    }
    return object_dynamic_cast(obj, TYPE_DEVICE) &&
           test_bit(r->kind, DEVICE_GET_CLASS(obj)->categories);
}

static int refuse_object(Object *obj, void *opaque)
{
    Error **errp = opaque;
    size_t i;

    for (i = 0; i < ARRAY_SIZE(refused); i++) {
        const Refused *r = &refused[i];

        if (matches(obj, r)) {
            error_setg(errp, "pbkvm: %s is %s, which cannot be recorded yet",
                       object_get_typename(obj), r->what);
            error_append_hint(errp, "%s\n", r->hint ?: "Leave it out.");
            return 1;
        }
    }
    return 0;
}

/* @obj and all that is in it. */
static bool check_objects(Object *obj, Error **errp)
{
    return !refuse_object(obj, errp) &&
           !object_child_foreach_recursive(obj, refuse_object, errp);
}

static bool check_disks(Error **errp)
{
    BlockBackend *blk;

    for (blk = blk_all_next(NULL); blk; blk = blk_all_next(blk)) {
        if (blk_is_inserted(blk) && blk_get_attached_dev(blk)) {
            error_setg(errp, "pbkvm: %s is a disk, which cannot be recorded "
                       "yet", blk_name(blk)[0] ? blk_name(blk)
                       : object_get_typename(OBJECT(
                             blk_get_attached_dev(blk))));
            error_append_hint(errp, "Boot with -kernel and -initrd "
                              "instead.\n");
            return false;
        }
    }
    return true;
}

static bool (*machine_allows)(MachineState *ms, DeviceState *dev,
                              Error **errp);

/* The same for a device that is added to the running machine. */
static bool allow_hotplug(MachineState *ms, DeviceState *dev, Error **errp)
{
    Object *obj = OBJECT(dev);

    if (object_dynamic_cast(obj, TYPE_PC_DIMM)) {
        error_setg(errp, "pbkvm: %s: memory cannot be added to a machine "
                   "while it is recorded", object_get_typename(obj));
        error_append_hint(errp, "Give it on the command line.\n");
        return false;
    }
    return check_objects(obj, errp) &&
           (!machine_allows || machine_allows(ms, dev, errp));
}

bool pbkvm_check_devices(Error **errp)
{
    MachineClass *mc = MACHINE_GET_CLASS(current_machine);

    machine_allows = mc->hotplug_allowed;
    mc->hotplug_allowed = allow_hotplug;
    return check_disks(errp) && check_objects(object_get_root(), errp);
}
