/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pbkvm-accel.c: the accelerator object, its options, its start. */
#include "qemu/osdep.h"
#include "qemu/accel.h"
#include "qemu/error-report.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "qemu/config-file.h"
#include "qemu/option.h"
#include "exec/address-spaces.h"
#include "hw/boards.h"
#include "hw/i386/apic.h"
#include "hw/qdev-properties.h"
#include "migration/blocker.h"
#include "migration/snapshot.h"
#include "system/runstate-action.h"
#include "system/system.h"

#include "pb-host.h"
#include "pb-vm.h"
#include "pbkvm.h"
#include "pbkvm-options.h"

#define PANIC_TEXT_DEFAULT "Kernel panic - not syncing"

#define RING_DEFAULT   (1u << 18)

PbkvmState *pbkvm_state(void)
{
    Object *accel = current_machine ? OBJECT(current_machine->accelerator)
                                    : NULL;

    return (PbkvmState *)(accel ? object_dynamic_cast(accel,
                                                      TYPE_PBKVM_ACCEL)
                                : NULL);
}

uint64_t pbkvm_now(void *opaque)
{
    return qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
}

static bool self_check(PbkvmState *s, Error **errp)
{
    char why[512];
    bool ok = true;
    int fd = pb_kvm_open(why, sizeof(why));

    if (fd < 0) {
        error_setg(errp, "pbkvm cannot use KVM here: %s", why);
        error_append_hint(errp, "Or use the lab: lab/run -- COMMAND\n");
        return false;
    }
    if (s->counter != PB_COUNTER_STEP) {
        ok = pb_self_check(fd, &s->check, why, sizeof(why));
        s->counter = PB_COUNTER_PMU;
    }
    close(fd);
    if (!ok) {
        error_setg(errp, "pbkvm cannot count branches here: %s", why);
        error_append_hint(errp, "lab/run -- COMMAND runs the same command "
                          "where it can; counter=step needs no PMU, but is "
                          "for guests of a few thousand instructions.\n");
    } else if (s->check.warning[0]) {
        warn_report("pbkvm: %s", s->check.warning);
    }
    return ok;
}

/* The parent's init_machine; kept because ours takes its place. */
static int (*kvm_init_machine)(MachineState *ms);

static void devices_ready(Notifier *n, void *unused)
{
    Error *err = NULL;

    if (!pbkvm_check_devices(&err) ||
        !pbkvm_replay_start(pbkvm_state(), &err)) {
        error_report_err(err);
        exit(1);
    }
    /* One that went would take the thread of all with it. */
    DEVICE_GET_CLASS(first_cpu)->hotpluggable = false;
    pbkvm_inspect_init(pbkvm_state());
}

static Notifier machine_done = { .notify = devices_ready };

/*
 * QEMU's own default, to end, would take the Backup with it just when it is
 * wanted.
 */
static void keep_panicked_machine(void)
{
    QemuOpts *opts = qemu_find_opts_singleton("action");

    if (!qemu_opt_get(opts, "panic")) {
        panic_action = PANIC_ACTION_PAUSE;
    }
}

/* Notifications of a device that KVM would take, without an exit. */
static void take_no_notifications(AddressSpace *as)
{
    MemoryListener *l;

    QTAILQ_FOREACH(l, &as->listeners, link_as) {
        l->eventfd_add = NULL;
        l->eventfd_del = NULL;
    }
}

/* -loadvm comes before all history, and is none of these. */
static bool refuse_snapshot(Error **errp)
{
    error_setg(errp, "pbkvm: a snapshot cannot be loaded into a machine that "
               "is recorded: its history cannot jump");
    error_append_hint(errp, "Start it with -loadvm instead.\n");
    return false;
}

static bool refuse_jumps(Error **errp)
{
    Error *blocker = NULL;

    load_snapshot_hook = refuse_snapshot;
    error_setg(&blocker, "pbkvm cannot migrate or save a recorded machine");
    return migrate_add_blocker(&blocker, errp) == 0;
}

static int pbkvm_init_machine(MachineState *ms)
{
    PbkvmState *s = PBKVM_ACCEL(ms->accelerator);
    Error *err = NULL;
    const char *what;
    int ret;

    if (!pbkvm_check_options(s, ms, &err) || !self_check(s, &err) ||
        !pbkvm_panic_check(s, &err) || !pbkvm_replay_open(s, ms, &err) ||
        !pbkvm_evidence_check(s, &err) || !pbkvm_lag_check(s, &err) ||
        !pbkvm_spill_open(s, &err) || !refuse_jumps(&err)) {
        error_report_err(err);
        /* No falling back: another accelerator would not record. */
        exit(1);
    }
    apic_beside_kvm = true;
    keep_panicked_machine();
    pbkvm_memory_init(s);
    pbkvm_rest_init(s);
    ret = kvm_init_machine(ms);
    if (ret < 0) {
        return ret;
    }
    ret = pb_vm_policy(s->parent_obj.vmfd, &what);
    if (ret < 0) {
        error_report("pbkvm: this Linux lacks %s", what);
        exit(1);
    }
    /* Accesses that KVM would gather and report late. */
    s->parent_obj.coalesced_mmio = 0;
    s->parent_obj.coalesced_pio = 0;
    take_no_notifications(&address_space_memory);
    take_no_notifications(&address_space_io);
    qemu_add_machine_init_done_notifier(&machine_done);
    return 0;
}

/* ---- options ---- */

bool pbkvm_not_yet_running(Error **errp)
{
    if (pbkvm_state() && pbkvm_state()->recording) {
        error_setg(errp, "pbkvm's options cannot change while it runs");
        return false;
    }
    return true;
}

static void set_ring(Object *obj, Visitor *v, const char *name, void *opaque,
                     Error **errp)
{
    uint32_t value;

    if (!visit_type_uint32(v, name, &value, errp) ||
        !pbkvm_not_yet_running(errp)) {
        return;
    }
    if (value < PB_RING_MIN_SLOTS || value > PB_RING_MAX_SLOTS ||
        !is_power_of_2(value)) {
        error_setg(errp, "pbkvm: ring-size=%" PRIu32 ": expected a power of "
                   "two from %u to %u events", value, PB_RING_MIN_SLOTS,
                   PB_RING_MAX_SLOTS);
        return;
    }
    PBKVM_ACCEL(obj)->ring_events = value;
}

static char *get_counter(Object *obj, Error **errp)
{
    return g_strdup(pb_counter_kind_name(PBKVM_ACCEL(obj)->counter));
}

static void set_counter(Object *obj, const char *value, Error **errp)
{
    PbCounterKind kind;

    if (!pbkvm_not_yet_running(errp)) {
        return;
    }
    for (kind = PB_COUNTER_AUTO; kind <= PB_COUNTER_STEP; kind++) {
        if (!strcmp(value, pb_counter_kind_name(kind))) {
            PBKVM_ACCEL(obj)->counter = kind;
            return;
        }
    }
    error_setg(errp, "pbkvm: counter=%s: expected auto, pmu or step", value);
}

static bool get_backup(Object *obj, Error **errp)
{
    return PBKVM_ACCEL(obj)->with_backup;
}

static void set_backup(Object *obj, bool value, Error **errp)
{
    if (pbkvm_not_yet_running(errp)) {
        PBKVM_ACCEL(obj)->with_backup = value;
    }
}

static char *get_panic_text(Object *obj, Error **errp)
{
    return g_strdup(PBKVM_ACCEL(obj)->panic.text);
}

static void set_panic_text(Object *obj, const char *value, Error **errp)
{
    if (pbkvm_not_yet_running(errp)) {
        pbkvm_panic_set_text(&PBKVM_ACCEL(obj)->panic, value);
    }
}

static char *get_panic_at(Object *obj, Error **errp)
{
    return g_strdup(PBKVM_ACCEL(obj)->panic.at_name);
}

static void set_panic_at(Object *obj, const char *value, Error **errp)
{
    if (pbkvm_not_yet_running(errp)) {
        g_free(PBKVM_ACCEL(obj)->panic.at_name);
        PBKVM_ACCEL(obj)->panic.at_name = g_strdup(value);
    }
}

static char *get_symbols(Object *obj, Error **errp)
{
    return g_strdup(PBKVM_ACCEL(obj)->panic.symbols);
}

static void set_symbols(Object *obj, const char *value, Error **errp)
{
    if (pbkvm_not_yet_running(errp)) {
        g_free(PBKVM_ACCEL(obj)->panic.symbols);
        PBKVM_ACCEL(obj)->panic.symbols = g_strdup(value);
    }
}

static void pbkvm_instance_init(Object *obj)
{
    PbkvmState *s = PBKVM_ACCEL(obj);

    pbkvm_panic_set_text(&s->panic, PANIC_TEXT_DEFAULT);

    s->lag.ms = PBKVM_LAG_MS_DEFAULT;
    s->lag.heading = UINT64_MAX;
    s->full.fd = -1;
    s->ring_events = RING_DEFAULT;
    s->live.interval_ms = PBKVM_LIVE_MS_DEFAULT;
    s->undo.max = PBKVM_UNDO_DEFAULT;
    s->with_backup = true;
    /* An interrupt controller in the kernel would act unseen. */
    s->parent_obj.kernel_irqchip_allowed = false;
    s->parent_obj.kernel_irqchip_required = false;
    s->parent_obj.kernel_irqchip_split = ON_OFF_AUTO_OFF;
}

/* It would come with each local APIC. */
static GlobalProperty no_vapic[] = {
    { "apic-common", "vapic", "off" },
};

static void pbkvm_accel_class_init(ObjectClass *oc, void *data)
{
    AccelClass *ac = ACCEL_CLASS(oc);

    kvm_init_machine = ac->init_machine;
    ac->name = "pbkvm";
    ac->init_machine = pbkvm_init_machine;
    ac->compat_props = g_ptr_array_new();
    compat_props_add(ac->compat_props, no_vapic, ARRAY_SIZE(no_vapic));

    pbkvm_lag_class_init(oc);
    object_class_property_add(oc, "ring-size", "uint32", pbkvm_get_u32,
                              set_ring, NULL,
                              (void *)offsetof(PbkvmState, ring_events));
    object_class_property_set_description(oc, "ring-size",
        "Events between Primary and Backup, 64 bytes each (a power of two, "
        "4096 to 67108864, default: 262144)");
    object_class_property_add_str(oc, "counter", get_counter, set_counter);
    object_class_property_set_description(oc, "counter",
        "How branches are counted: pmu, step (no PMU needed, for tiny "
        "guests) or auto (pmu if its self-check passes, default)");
    object_class_property_add_str(oc, "panic-text", get_panic_text,
                                  set_panic_text);
    object_class_property_set_description(oc, "panic-text",
        "The guest has panicked when this appears on a serial port (default: "
        PANIC_TEXT_DEFAULT "; empty: do not look)");
    object_class_property_add_str(oc, "panic-at", get_panic_at, set_panic_at);
    object_class_property_set_description(oc, "panic-at",
        "The guest has panicked when it gets to this address (0x...) or "
        "symbol (with symbols=)");
    object_class_property_add_str(oc, "symbols", get_symbols, set_symbols);
    object_class_property_set_description(oc, "symbols",
        "The guest's vmlinux or System.map, to find panic-at in");
    pbkvm_spill_class_init(oc);
    pbkvm_evidence_class_init(oc);
    pbkvm_recover_class_init(oc);
    pbkvm_slices_class_init(oc);
    pbkvm_live_class_init(oc);
    pbkvm_undo_class_init(oc);
    pbkvm_chaos_class_init(oc);
    object_class_property_add_bool(oc, "backup", get_backup, set_backup);
    object_class_property_set_description(oc, "backup",
        "Run a Backup from the start on; off: QMP's pbkvm-start may make one "
        "later (default: on)");
}

static const TypeInfo pbkvm_accel_type = {
    .name = TYPE_PBKVM_ACCEL,
    .parent = TYPE_KVM_ACCEL,
    .instance_size = sizeof(PbkvmState),
    .instance_init = pbkvm_instance_init,
    .class_init = pbkvm_accel_class_init,
};

static void pbkvm_register_types(void)
{
    type_register_static(&pbkvm_accel_type);
}
type_init(pbkvm_register_types);
