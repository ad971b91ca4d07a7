/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-refuse.c: what cannot be recorded is refused by name, at start and when
 * a device is added.
 *
 * A device acts with the BQL held, and writes guest RAM so that a migration
 * would notice: then it is recorded (pbkvm-rest.c, pbkvm-memory.c).  Refused is
 * what does not.
 */
#include "qemu/osdep.h"
#include "qemu/datadir.h"
#include "qemu/option.h"
#include "qemu/option_int.h"
#include "qemu/config-file.h"
#include "qapi/error.h"
#include "hw/boards.h"
#include "hw/i386/pc.h"
#include "hw/mem/pc-dimm.h"
#include "hw/pci/pci_device.h"
#include "hw/qdev-core.h"
#include "qom/object.h"
#include "qom/object_interfaces.h"
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

/* A card is there without its boot ROM, if that is not installed. */
static void leave_out_rom(ObjectClass *oc, void *unused)
{
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(oc);
    g_autofree char *file = NULL;

    if (pc->romfile &&
        test_bit(DEVICE_CATEGORY_NETWORK, DEVICE_CLASS(oc)->categories)) {
        file = qemu_find_file(QEMU_FILE_TYPE_BIOS, pc->romfile);
        if (!file) {
            pc->romfile = NULL;
        }
    }
}

bool pbkvm_check_options(PbkvmState *s, MachineState *ms, Error **errp)
{
    if (count_accels() > 1) {
        error_setg(errp, "pbkvm: %u -accel options: expected -accel pbkvm "
                   "alone, for another accelerator would not record",
                   count_accels());
        return false;
    }
    if (ms->smp.max_cpus > PB_MAX_CPUS || ms->smp.cpus != ms->smp.max_cpus) {
        error_setg(errp, "pbkvm: -smp %u,maxcpus=%u: expected 1 to %u CPUs, "
                   "all there from the start", ms->smp.cpus,
                   ms->smp.max_cpus, PB_MAX_CPUS);
        return false;
    }
    if (s->chaos && !pbkvm_chaos_check(ms->smp.cpus, errp)) {
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
    object_class_foreach(leave_out_rom, TYPE_PCI_DEVICE, false, NULL);
    return tame_machine(ms, errp);
}

/* What changes guest memory unseen, or not with the BQL held. */
typedef struct Refused {
    const char *type;
    const char *what;
} Refused;

static const Refused refused[] = {
    { "vfio-pci", "a passed-through device" },
    { "ivshmem-common", "memory shared with others" },
    { "megasas-base", "a disk controller that writes memory unseen" },
    { "vmware-svga", "a display that writes memory unseen" },
    { "ati-vga", "a display that writes memory unseen" },
    { "acpi-erst", "a device that writes memory unseen" },
    { "virtio-balloon-device", "a device that takes memory away" },
    { "virtio-mem", "a device that takes memory away" },
    { "virtio-pmem", "memory shared with others" },
    { "virtio-gpu-base", "a display with memory of its own" },
    { "pci-qxl", "a display with a thread of its own" },
    { "intel-iommu", "an IOMMU" },
    { "amd-iommu", "an IOMMU" },
    { "virtio-iommu-device", "an IOMMU" },
    { TYPE_IOTHREAD, "a thread of devices" },
    { "kvmvapic", "a ROM that patches the guest's code" },
};

/* A disk controller may do without. */
static int refuse_pmr(Object *obj, Error **errp)
{
    if (!object_property_find(obj, "pmrdev") ||
        !object_property_get_link(obj, "pmrdev", NULL)) {
        return 0;
    }
    error_setg(errp, "pbkvm: pmrdev=, of %s, is memory that is written "
               "unseen, which cannot be recorded yet",
               object_get_typename(obj));
    error_append_hint(errp, "Leave it out.\n");
    return 1;
}

static int refuse_object(Object *obj, void *opaque)
{
    Error **errp = opaque;
    size_t i;

    for (i = 0; i < ARRAY_SIZE(refused); i++) {
        if (object_dynamic_cast(obj, refused[i].type)) {
            error_setg(errp, "pbkvm: %s is %s, which cannot be recorded yet",
                       object_get_typename(obj), refused[i].what);
            error_append_hint(errp, "Leave it out.\n");
            return 1;
        }
    }
    return refuse_pmr(obj, errp);
}

/* @obj and all that is in it. */
static bool check_objects(Object *obj, Error **errp)
{
    return !refuse_object(obj, errp) &&
           !object_child_foreach_recursive(obj, refuse_object, errp);
}

/* Memory of its own that a display has. */
static bool has_memory(Object *obj)
{
    return object_property_find(obj, "vgamem_mb") ||
           object_property_find(obj, "vgamem");
}

static bool (*machine_allows)(MachineState *ms, DeviceState *dev,
                              Error **errp);

/* The same for a device that is added to the running machine. */
static bool allow_hotplug(MachineState *ms, DeviceState *dev, Error **errp)
{
    Object *obj = OBJECT(dev);

    if (object_dynamic_cast(obj, TYPE_PC_DIMM) || has_memory(obj)) {
        error_setg(errp, "pbkvm: %s: memory cannot be added to a machine "
                   "while it is recorded", object_get_typename(obj));
        error_append_hint(errp, "Give it on the command line.\n");
        return false;
    }
    return check_objects(obj, errp) &&
           (!machine_allows || machine_allows(ms, dev, errp));
}

static void refuse_new(UserCreatable *uc, Error **errp)
{
    refuse_object(OBJECT(uc), errp);
}

bool pbkvm_check_devices(Error **errp)
{
    MachineClass *mc = MACHINE_GET_CLASS(current_machine);
    ObjectClass *iothread = object_class_by_name(TYPE_IOTHREAD);

    /* By object-add: a device could be given it behind its own checks. */
    USER_CREATABLE_CLASS(iothread)->complete = refuse_new;

    machine_allows = mc->hotplug_allowed;
    mc->hotplug_allowed = allow_hotplug;
    return check_objects(object_get_root(), errp);
}
