/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-refuse.c: what cannot be recorded is refused at start, by name.
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
#include "hw/qdev-core.h"
#include "net/net.h"
#include "qom/object.h"
#include "system/block-backend.h"
#include "system/iothread.h"
#include "system/runstate.h"

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

/* Types that act on their own; the first match names the reason. */
static const struct {
    const char *type;
    const char *reason;
} refused[] = {
    { "virtio-device", "a virtio device" },
    { "vfio-pci", "a passed-through device" },
    { "ivshmem-plain", "memory shared with others" },
    { "pci-ohci", "a USB controller" },
    { "pci-uhci-usb", "a USB controller" },
    { "usb-host-controller", "a USB controller" },
    { "usb-device", "a USB device" },
    { "nvme", "a disk controller" },
    { "megasas-base", "a disk controller" },
    { "sysbus-ahci", "a disk controller" },
    { "ich9-ahci", "a disk controller" },
    { "intel-iommu", "an IOMMU" },
    { "edu", "a DMA device" },
    { "sb16", "a DMA device" },
    { "intel-hda-generic", "a DMA device" },
    { "AC97", "a DMA device" },
};

static int refuse_object(Object *obj, void *opaque)
{
    Error **errp = opaque;
    size_t i;

    for (i = 0; i < ARRAY_SIZE(refused); i++) {
        if (object_dynamic_cast(obj, refused[i].type)) {
            error_setg(errp, "pbkvm: %s is %s, which cannot be recorded yet",
                       object_get_typename(obj), refused[i].reason);
            error_append_hint(errp, "Leave it out of the command line.\n");
            return 1;
        }
    }
    if (object_dynamic_cast(obj, TYPE_IOTHREAD)) {
        error_setg(errp, "pbkvm: iothread: devices must not act beside the "
                   "vCPU");
        return 1;
    }
    return 0;
}

static bool check_nics(Error **errp)
{
    NetClientState *nic[8];
    int n = qemu_find_net_clients_except(NULL, nic, NET_CLIENT_DRIVER_NONE,
                                         ARRAY_SIZE(nic));
    int i;

    for (i = 0; i < MIN(n, (int)ARRAY_SIZE(nic)); i++) {
        if (nic[i]->info->type == NET_CLIENT_DRIVER_NIC) {
            error_setg(errp, "pbkvm: %s is a network card, which cannot be "
                       "recorded yet", nic[i]->model);
            error_append_hint(errp, "Add -nic none.\n");
            return false;
        }
    }
    return true;
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

bool pbkvm_check_devices(Error **errp)
{
    return check_nics(errp) && check_disks(errp) &&
           !object_child_foreach_recursive(object_get_root(), refuse_object,
                                           errp);
}
