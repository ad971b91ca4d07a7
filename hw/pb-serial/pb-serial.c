/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-serial.c: a 16550A serial port on the ISA bus, pbkvm's own.
 *
 *   -device pb-serial,chardev=A[,backup-chardev=B][,throttle=on|off]
 *           [,index=0..3][,iobase=PORT][,irq=N]
 *
 * chardev is the guest's line; backup-chardev shows what the Backup's guest
 * sends (pb-console.h).  throttle=on: characters take their time at the
 * programmed speed, and input that the guest does not fetch is overrun.
 * throttle=off: characters take no time, and input waits for the guest.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "hw/acpi/acpi_aml_interface.h"
#include "hw/core/cpu.h"
#include "hw/qdev-properties.h"
#include "hw/qdev-properties-system.h"
#include "migration/vmstate.h"
#include "qapi/visitor.h"

#include "pb-serial.h"

#define UNSET UINT32_MAX
#define PORTS 8

static const struct {
    uint32_t iobase, irq;
} com[] = {
    { 0x3f8, 4 }, { 0x2f8, 3 }, { 0x3e8, 4 }, { 0x2e8, 3 },
};

/* ---- the ports ---- */

static uint64_t port_read(void *opaque, hwaddr addr, unsigned size)
{
    PbSerial *s = opaque;

    if (addr == PB_UART_MSR) {
        pb_line_poll_modem(s);
    }
    return pb_uart_read(&s->uart, addr);
}

static void port_write(void *opaque, hwaddr addr, uint64_t value,
                       unsigned size)
{
    PbSerial *s = opaque;
    uint8_t ier = s->uart.ier;
    uint64_t tag = 0;

    /* The monitor's writes have no counterpart in the Backup. */
    if (current_cpu) {
        tag = ++s->writes | (pb_uart_tx_outside(&s->uart) ? 0
                                                          : PB_TAG_INSIDE);
    }
    pb_uart_write(&s->uart, addr, value, tag);
    if (s->uart.ier & ~ier & PB_IER_MODEM) {
        pb_line_poll_modem(s);
    }
}

static const MemoryRegionOps port_ops = {
    .read = port_read,
    .write = port_write,
    .impl = { .min_access_size = 1, .max_access_size = 1 },
    .valid = { .unaligned = true },
    .endianness = DEVICE_LITTLE_ENDIAN,
};

/* ---- the device ---- */

static void pb_serial_reset(DeviceState *dev)
{
    pb_line_reset(PB_SERIAL(dev));
}

/* Which port this is; each unset number follows from the others. */
static bool choose_place(PbSerial *s, Error **errp)
{
    static uint32_t next;
    MemoryRegion *space = isa_address_space_io(ISA_DEVICE(s));
    MemoryRegionSection taken;
    bool is_free;

    if (s->index == UNSET) {
        s->index = s->iobase == UNSET || s->irq_number == UNSET ? next++ : 0;
    }
    if (s->index >= ARRAY_SIZE(com)) {
        error_setg(errp, "pb-serial: index=%" PRIu32 ": expected 0 to 3, or "
                   "iobase and irq", s->index);
        return false;
    }
    s->iobase = s->iobase == UNSET ? com[s->index].iobase : s->iobase;
    s->irq_number = s->irq_number == UNSET ? com[s->index].irq
                                           : s->irq_number;
    if (s->iobase > 0x10000 - PORTS || s->irq_number >= ISA_NUM_IRQS) {
        error_setg(errp, "pb-serial: iobase=0x%" PRIx32 ",irq=%" PRIu32
                   ": expected at most 0xfff8 and 15", s->iobase,
                   s->irq_number);
        return false;
    }
    taken = memory_region_find(space, s->iobase, PORTS);
    is_free = !taken.mr || taken.mr == space;
    if (!is_free) {
        error_setg(errp, "pb-serial: ports 0x%" PRIx32 " to 0x%" PRIx32
                   ": expected free ports, they are %s's", s->iobase,
                   s->iobase + PORTS - 1, memory_region_name(taken.mr));
        error_append_hint(errp, "-serial none leaves QEMU's own serial port "
                          "out; index= or iobase= chooses another place.\n");
    }
    memory_region_unref(taken.mr);
    return is_free;
}

static void backup_starts(void *opaque)
{
    PbSerial *s = container_of(opaque, PbSerial, console);

    pb_console_start(&s->console, s->writes, &s->uart);
}

static void pb_serial_realize(DeviceState *dev, Error **errp)
{
    PbSerial *s = PB_SERIAL(dev);
    ISADevice *isa = ISA_DEVICE(dev);

    if (!choose_place(s, errp)) {
        return;
    }
    if (qemu_chr_fe_backend_connected(&s->console.chr) &&
        !pb_console_init(&s->console, s->iobase, backup_starts)) {
        error_setg(errp, "pb-serial: too many backup-chardevs");
        return;
    }
    s->irq = isa_get_irq(isa, s->irq_number);
    pb_line_init(s);
    qdev_set_legacy_instance_id(dev, s->iobase, 1);
    memory_region_init_io(&s->io, OBJECT(s), &port_ops, s, TYPE_PB_SERIAL,
                          PORTS);
    isa_register_ioport(isa, &s->io, s->iobase);
}

static void pb_serial_build_aml(AcpiDevAmlIf *adev, Aml *scope)
{
    PbSerial *s = PB_SERIAL(adev);
    Aml *dev = aml_device("PBS%" PRIX32, s->index);
    Aml *res = aml_resource_template();

    aml_append(dev, aml_name_decl("_HID", aml_eisaid("PNP0501")));
    aml_append(dev, aml_name_decl("_UID", aml_int(0x10 + s->index)));
    aml_append(res, aml_io(AML_DECODE16, s->iobase, s->iobase, 0, PORTS));
    aml_append(res, aml_irq_no_flags(s->irq_number));
    aml_append(dev, aml_name_decl("_CRS", res));
    aml_append(scope, dev);
}

static void get_count(Object *obj, Visitor *v, const char *name,
                      void *opaque, Error **errp)
{
    PbSerial *s = PB_SERIAL(obj);
    uint64_t count[3] = { 0 };

    if (s->console.flush) {
        pb_console_count(&s->console, &count[0], &count[1], &count[2]);
    }
    visit_type_uint64(v, name, &count[(uintptr_t)opaque], errp);
}

/* A state has arrived: the guest's chip goes on from there. */
static int pb_serial_post_load(void *opaque, int version)
{
    PbSerial *s = opaque;

    if (!pb_uart_valid(&s->uart)) {
        return -EINVAL;
    }
    pb_uart_update_irq(&s->uart);
    pb_line_resume(s);
    return 0;
}

static const VMStateDescription vmstate_pb_serial = {
    .name = TYPE_PB_SERIAL,
    .version_id = 1,
    .minimum_version_id = 1,
    .post_load = pb_serial_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT8(uart.ier, PbSerial),
        VMSTATE_UINT8(uart.fcr, PbSerial),
        VMSTATE_UINT8(uart.lcr, PbSerial),
        VMSTATE_UINT8(uart.mcr, PbSerial),
        VMSTATE_UINT8(uart.scr, PbSerial),
        VMSTATE_UINT8(uart.lsr, PbSerial),
        VMSTATE_UINT8(uart.lines, PbSerial),
        VMSTATE_UINT8(uart.msr, PbSerial),
        VMSTATE_UINT16(uart.divisor, PbSerial),
        VMSTATE_BOOL(uart.lcr_set, PbSerial),
        VMSTATE_BOOL(uart.tx_irq, PbSerial),
        VMSTATE_BOOL(uart.rx_timeout, PbSerial),
        VMSTATE_UINT8_ARRAY(uart.rx, PbSerial, PB_UART_FIFO),
        VMSTATE_UINT8_ARRAY(uart.rx_error, PbSerial, PB_UART_FIFO),
        VMSTATE_UINT8(uart.rx_head, PbSerial),
        VMSTATE_UINT8(uart.rx_count, PbSerial),
        VMSTATE_UINT8_ARRAY(uart.tx, PbSerial, PB_UART_FIFO),
        VMSTATE_UINT8(uart.tx_head, PbSerial),
        VMSTATE_UINT8(uart.tx_count, PbSerial),
        VMSTATE_UINT8(uart.shift, PbSerial),
        VMSTATE_BOOL(uart.shifting, PbSerial),
        VMSTATE_UINT64(tx_free, PbSerial),
        VMSTATE_TIMER_PTR(rx_timer, PbSerial),
        VMSTATE_TIMER_PTR(idle_timer, PbSerial),
        VMSTATE_END_OF_LIST()
    },
};

static const Property pb_serial_properties[] = {
    DEFINE_PROP_CHR("chardev", PbSerial, chr),
    DEFINE_PROP_CHR("backup-chardev", PbSerial, console.chr),
    DEFINE_PROP_BOOL("throttle", PbSerial, throttle, false),
    DEFINE_PROP_UINT32("index", PbSerial, index, UNSET),
    DEFINE_PROP_UINT32("iobase", PbSerial, iobase, UNSET),
    DEFINE_PROP_UINT32("irq", PbSerial, irq_number, UNSET),
};

static void add_count(ObjectClass *oc, const char *name, uintptr_t which,
                      const char *what)
{
    object_class_property_add(oc, name, "uint64", get_count, NULL, NULL,
                              (void *)which);
    object_class_property_set_description(oc, name, what);
}

static void pb_serial_class_init(ObjectClass *oc, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(oc);

    dc->desc = "16550A serial port that also shows the Backup's output";
    dc->realize = pb_serial_realize;
    dc->vmsd = &vmstate_pb_serial;
    device_class_set_legacy_reset(dc, pb_serial_reset);
    device_class_set_props(dc, pb_serial_properties);
    set_bit(DEVICE_CATEGORY_INPUT, dc->categories);
    ACPI_DEV_AML_IF_CLASS(oc)->build_dev_aml = pb_serial_build_aml;
    add_count(oc, "backup-shown", 0, "Bytes backup-chardev has taken");
    add_count(oc, "backup-waiting", 1, "Bytes it has yet to take");
    add_count(oc, "backup-dropped", 2, "Bytes it did not take for too long");
}

static const TypeInfo pb_serial_info = {
    .name = TYPE_PB_SERIAL,
    .parent = TYPE_ISA_DEVICE,
    .instance_size = sizeof(PbSerial),
    .class_init = pb_serial_class_init,
    .interfaces = (InterfaceInfo[]) {
        { TYPE_ACPI_DEV_AML_IF },
        { },
    },
};

static void pb_serial_register_types(void)
{
    type_register_static(&pb_serial_info);
}

type_init(pb_serial_register_types)
