/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-timer.c: an i8254 timer with a PC's port 0x61, pbkvm's own.
 *
 *   -machine pc,pit=off -device pb-timer
 *
 * Ports 0x40 to 0x43; counter 0 is IRQ 0, counter 2's gate and output are in
 * port 0x61.  Every tick of counter 0 has pbkvm record the Primary's time.
 * There is no sound.
 *
 * Ticks are counted: `ticks` are all that were due, `ticks-coalesced` those
 * that reached the guest as no interrupt of their own (the one before was
 * still pending, or several were due at once), `ticks-late` those that came
 * LATE_CLOCKS or more after they were due.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/host-utils.h"
#include "qemu/timer.h"
#include "hw/intc/i8259.h"
#include "hw/irq.h"
#include "hw/isa/i8259_internal.h"
#include "hw/isa/isa.h"
#include "hw/timer/hpet.h"
#include "migration/vmstate.h"

#include "accel/pbkvm/pbkvm-hw.h"
#include "pb-pit.h"

#define TYPE_PB_TIMER "pb-timer"
OBJECT_DECLARE_SIMPLE_TYPE(PbTimer, PB_TIMER)

#define PIT_PORT 0x40
#define PIT_PORTS 4
#define CONTROL 3
#define SPEAKER_PORT 0x61

/* Port 0x61. */
#define SPEAKER_GATE 0x01
#define SPEAKER_DATA 0x02
#define SPEAKER_NMI_OFF 0x0c      /* parity and channel check, off */
#define SPEAKER_REFRESH 0x10
#define SPEAKER_OUT 0x20

/* Memory is refreshed, and its bit toggles, this often (15 us). */
#define REFRESH_CLOCKS 18

#define LATE_CLOCKS (PB_PIT_HZ / 1000)

/* A guest's faster ticks are handled together: the host has more to do. */
#define TICK_MIN_NS (50 * SCALE_US)

struct PbTimer {
    ISADevice parent_obj;

    PbPitCounter counter[PB_PIT_COUNTERS];
    uint8_t speaker;              /* the bits of port 0x61 that are written */
    bool level;                   /* of IRQ 0 */
    bool connected;               /* to IRQ 0; not while the HPET has it */
    int64_t seen;                 /* edges up to here are dealt with */
    uint64_t fired;               /* ns */
    uint64_t ticks, coalesced, late;

    QEMUTimer *timer;
    qemu_irq irq;
    MemoryRegion pit_io, speaker_io;
};

static uint64_t now_ns(void)
{
    return qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
}

static int64_t now_clocks(void)
{
    return muldiv64(now_ns(), PB_PIT_HZ, NANOSECONDS_PER_SECOND);
}

/* ---- IRQ 0 ---- */

static void set_level(PbTimer *s, bool level)
{
    s->level = level;
    qemu_set_irq(s->irq, level && s->connected);
}

/* Has the guest not yet taken the last one, though it wants them? */
static bool still_pending(const PbTimer *s)
{
    return isa_pic && !(isa_pic->imr & 1) && (isa_pic->irr & 1);
}

/* @n rising edges until now, the first at @first: one interrupt. */
static void tick(PbTimer *s, uint64_t n, int64_t first, int64_t now)
{
    s->ticks += n;
    s->coalesced += n - 1 + still_pending(s);
    s->late += now - first >= LATE_CLOCKS;
    s->fired = now_ns();
    set_level(s, false);
    set_level(s, true);
    pbkvm_tick();
}

/* Deal with what has happened since the last time. */
static void catch_up(PbTimer *s, int64_t now)
{
    PbPitCounter *c = &s->counter[0];
    int64_t rise, first = 0;
    uint64_t n = 0, more;
    uint32_t period;

    while ((rise = pb_pit_next_rise(c, s->seen, &period)) <= now) {
        first = n++ ? first : rise;
        s->seen = rise;
        if (period && c->next_at == PB_PIT_NEVER) {
            more = (now - rise) / period;
            n += more;
            s->seen += more * period;
        }
    }
    s->seen = now;
    if (n && s->connected) {
        tick(s, n, first, now);
    }
}

static void schedule(PbTimer *s, int64_t now)
{
    uint32_t period;
    int64_t rise = pb_pit_next_rise(&s->counter[0], now, &period);
    uint64_t at;

    if (rise == PB_PIT_NEVER) {
        timer_del(s->timer);
        return;
    }
    at = muldiv64_round_up(rise, NANOSECONDS_PER_SECOND, PB_PIT_HZ);
    if (period && s->fired) {
        at = MAX(at, s->fired + TICK_MIN_NS);
    }
    timer_mod_ns(s->timer, at);
}

/* The guest has changed something: the pin follows at once. */
static void update(PbTimer *s, int64_t now)
{
    bool out = pb_pit_out(&s->counter[0], now);

    if (out != s->level) {
        set_level(s, out);
    }
    schedule(s, now);
}

static void due(void *opaque)
{
    PbTimer *s = opaque;
    int64_t now = now_clocks();

    catch_up(s, now);
    update(s, now);
}

static void hpet_takes_irq(void *opaque, int n, int level)
{
    PbTimer *s = opaque;
    int64_t now = now_clocks();

    catch_up(s, now);
    s->connected = level;
    set_level(s, s->level);
}

/* ---- ports ---- */

static uint64_t pit_read(void *opaque, hwaddr addr, unsigned size)
{
    PbTimer *s = opaque;
    int64_t now = now_clocks();

    if (addr == CONTROL) {
        return 0xff;              /* nobody drives the bus */
    }
    catch_up(s, now);
    return pb_pit_read(&s->counter[addr], now);
}

static void pit_write(void *opaque, hwaddr addr, uint64_t value,
                      unsigned size)
{
    PbTimer *s = opaque;
    int64_t now = now_clocks();

    catch_up(s, now);
    if (addr == CONTROL) {
        pb_pit_write_control(s->counter, value, now);
    } else {
        pb_pit_write(&s->counter[addr], value, now);
    }
    update(s, now);
}

static uint64_t speaker_read(void *opaque, hwaddr addr, unsigned size)
{
    PbTimer *s = opaque;
    int64_t now = now_clocks();

    return s->speaker |
           (now / REFRESH_CLOCKS % 2 ? SPEAKER_REFRESH : 0) |
           (pb_pit_out(&s->counter[2], now) ? SPEAKER_OUT : 0);
}

static void speaker_write(void *opaque, hwaddr addr, uint64_t value,
                          unsigned size)
{
    PbTimer *s = opaque;

    s->speaker = value & (SPEAKER_GATE | SPEAKER_DATA | SPEAKER_NMI_OFF);
    pb_pit_set_gate(&s->counter[2], value & SPEAKER_GATE, now_clocks());
}

static const MemoryRegionOps pit_ops = {
    .read = pit_read,
    .write = pit_write,
    .impl = { .min_access_size = 1, .max_access_size = 1 },
    .valid = { .unaligned = true },
    .endianness = DEVICE_LITTLE_ENDIAN,
};

static const MemoryRegionOps speaker_ops = {
    .read = speaker_read,
    .write = speaker_write,
    .impl = { .min_access_size = 1, .max_access_size = 1 },
    .endianness = DEVICE_LITTLE_ENDIAN,
};

/* ---- the device ---- */

static void pb_timer_reset(DeviceState *dev)
{
    PbTimer *s = PB_TIMER(dev);
    int i;

    timer_del(s->timer);
    for (i = 0; i < PB_PIT_COUNTERS; i++) {
        s->counter[i].gate = i != 2;
        pb_pit_reset(&s->counter[i]);
    }
    s->speaker = 0;
    s->fired = 0;
    s->seen = now_clocks();
    s->ticks = s->coalesced = s->late = 0;
    set_level(s, true);
}

static bool check_port(PbTimer *s, unsigned port, unsigned ports,
                       Error **errp)
{
    MemoryRegion *space = isa_address_space_io(ISA_DEVICE(s));
    MemoryRegionSection taken = memory_region_find(space, port, ports);
    bool is_free = !taken.mr || taken.mr == space;

    if (!is_free) {
        error_setg(errp, "pb-timer: port 0x%x: expected a free port, it is "
                   "%s's", port, memory_region_name(taken.mr));
        error_append_hint(errp, "-machine pit=off leaves QEMU's own timer "
                          "out; one pb-timer is enough.\n");
    }
    memory_region_unref(taken.mr);
    return is_free;
}

static void pb_timer_realize(DeviceState *dev, Error **errp)
{
    PbTimer *s = PB_TIMER(dev);
    ISADevice *isa = ISA_DEVICE(dev);
    Object *hpet = object_resolve_path_type("", TYPE_HPET, NULL);

    if (!check_port(s, PIT_PORT, PIT_PORTS, errp) ||
        !check_port(s, SPEAKER_PORT, 1, errp)) {
        return;
    }
    s->timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, due, s);
    s->connected = true;
    s->irq = isa_get_irq(isa, 0);
    qdev_init_gpio_in(dev, hpet_takes_irq, 1);
    if (hpet) {
        /* It passes IRQ 0 on, or replaces it. */
        s->irq = qdev_get_gpio_in(DEVICE(hpet), HPET_LEGACY_PIT_INT);
        qdev_connect_gpio_out(DEVICE(hpet), 0, qdev_get_gpio_in(dev, 0));
    }
    memory_region_init_io(&s->pit_io, OBJECT(s), &pit_ops, s, TYPE_PB_TIMER,
                          PIT_PORTS);
    isa_register_ioport(isa, &s->pit_io, PIT_PORT);
    memory_region_init_io(&s->speaker_io, OBJECT(s), &speaker_ops, s,
                          TYPE_PB_TIMER "-speaker", 1);
    isa_register_ioport(isa, &s->speaker_io, SPEAKER_PORT);
    qdev_set_legacy_instance_id(dev, PIT_PORT, 1);
}

static int pb_timer_post_load(void *opaque, int version)
{
    PbTimer *s = opaque;
    int i;

    for (i = 0; i < PB_PIT_COUNTERS; i++) {
        if (!pb_pit_valid(&s->counter[i])) {
            return -EINVAL;
        }
    }
    schedule(s, s->seen);
    return 0;
}

static const VMStateDescription vmstate_counter = {
    .name = "pb-timer/counter",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT8(control, PbPitCounter),
        VMSTATE_BOOL(gate, PbPitCounter),
        VMSTATE_UINT16(count, PbPitCounter),
        VMSTATE_BOOL(second_byte, PbPitCounter),
        VMSTATE_BOOL(unloaded, PbPitCounter),
        VMSTATE_BOOL(loaded, PbPitCounter),
        VMSTATE_BOOL(paused, PbPitCounter),
        VMSTATE_INT64(start, PbPitCounter),
        VMSTATE_INT64(held, PbPitCounter),
        VMSTATE_UINT32(n, PbPitCounter),
        VMSTATE_INT64(next_at, PbPitCounter),
        VMSTATE_INT64(next_start, PbPitCounter),
        VMSTATE_UINT32(next_n, PbPitCounter),
        VMSTATE_BOOL(read_second, PbPitCounter),
        VMSTATE_UINT16(latch, PbPitCounter),
        VMSTATE_UINT8(latched, PbPitCounter),
        VMSTATE_UINT8(status, PbPitCounter),
        VMSTATE_BOOL(status_latched, PbPitCounter),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_pb_timer = {
    .name = TYPE_PB_TIMER,
    .version_id = 1,
    .minimum_version_id = 1,
    .post_load = pb_timer_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_STRUCT_ARRAY(counter, PbTimer, PB_PIT_COUNTERS, 1,
                             vmstate_counter, PbPitCounter),
        VMSTATE_UINT8(speaker, PbTimer),
        VMSTATE_BOOL(level, PbTimer),
        VMSTATE_BOOL(connected, PbTimer),
        VMSTATE_INT64(seen, PbTimer),
        VMSTATE_UINT64(fired, PbTimer),
        VMSTATE_UINT64(ticks, PbTimer),
        VMSTATE_UINT64(coalesced, PbTimer),
        VMSTATE_UINT64(late, PbTimer),
        VMSTATE_END_OF_LIST()
    },
};

static void pb_timer_instance_init(Object *obj)
{
    PbTimer *s = PB_TIMER(obj);

    object_property_add_uint64_ptr(obj, "ticks", &s->ticks,
                                   OBJ_PROP_FLAG_READ);
    object_property_add_uint64_ptr(obj, "ticks-coalesced", &s->coalesced,
                                   OBJ_PROP_FLAG_READ);
    object_property_add_uint64_ptr(obj, "ticks-late", &s->late,
                                   OBJ_PROP_FLAG_READ);
}

static void pb_timer_class_init(ObjectClass *oc, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(oc);

    dc->desc = "i8254 timer whose ticks are recorded (-machine pit=off)";
    dc->realize = pb_timer_realize;
    dc->vmsd = &vmstate_pb_timer;
    device_class_set_legacy_reset(dc, pb_timer_reset);
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
}

static const TypeInfo pb_timer_info = {
    .name = TYPE_PB_TIMER,
    .parent = TYPE_ISA_DEVICE,
    .instance_size = sizeof(PbTimer),
    .instance_init = pb_timer_instance_init,
    .class_init = pb_timer_class_init,
};

static void pb_timer_register_types(void)
{
    type_register_static(&pb_timer_info);
}

type_init(pb_timer_register_types)
