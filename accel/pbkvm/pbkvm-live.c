/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pbkvm-live.c: the Primary's devices are saved now and then. */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "block/aio.h"
#include "block/block.h"
#include "hw/core/cpu.h"
#include "io/channel-buffer.h"
#include "system/cpu-timers.h"
#include "migration/global_state.h"
#include "migration/qemu-file.h"
#include "migration/savevm.h"

#include "backup-inspect.h"
#include "pbkvm.h"
#include "pbkvm-options.h"
#include "pbkvm-reverse.h"

/* Amid a delivery no point is taken: tried again after so long. */
#define AGAIN_MS 1

/* So often is looked for what devices still have to do. */
#define SETTLE_MOST 4

/* More is not kept, however long the Backup is frozen. */
#define BYTES_MAX (64u << 20)

/* ---- option ---- */

static void set_interval(Object *obj, Visitor *v, const char *name,
                         void *opaque, Error **errp)
{
    ERRP_GUARD();

    pbkvm_set_ms(obj, v, name, opaque, errp);
    PBKVM_ACCEL(obj)->live.wanted = !*errp;
}

void pbkvm_live_class_init(ObjectClass *oc)
{
    object_class_property_add(oc, "live-interval", "uint32", pbkvm_get_u32,
                              set_interval, NULL,
                              (void *)offsetof(PbkvmState, live.interval_ms));
    object_class_property_set_description(oc, "live-interval",
        "Keep the devices' state every so many ms, so that pbkvm-go-live can "
        "put the Primary there (0, never, to 3600000; default: 500, if QEMU "
        "can save all devices)");
}

/* ---- the points there are ---- */

static void clear_point(gpointer data)
{
    g_bytes_unref(((PbkvmPoint *)data)->devices);
}

static const PbkvmPoint *point(const PbkvmState *s, unsigned i)
{
    return &g_array_index(s->live.points, PbkvmPoint, i);
}

static void forget_first(PbkvmState *s, unsigned n)
{
    PbkvmLiveState *p = &s->live;
    unsigned i;

    for (i = 0; i < n; i++) {
        p->bytes -= g_bytes_get_size(point(s, i)->devices);
    }
    if (n) {
        g_array_remove_range(p->points, 0, n);
        pbkvm_undo_forget(s, p->points->len ? point(s, 0)->place
                                             : pbkvm_undo_place(s));
    }
}

uint64_t pbkvm_live_forget_first(PbkvmState *s)
{
    uint64_t event = point(s, 0)->event;

    forget_first(s, 1);
    return event;
}

void pbkvm_live_forget(PbkvmState *s)
{
    if (s->live.points) {
        forget_first(s, s->live.points->len);
    }
}

void pbkvm_live_init(PbkvmState *s)
{
    if (!s->live.points) {
        s->live.points = g_array_new(false, false, sizeof(PbkvmPoint));
        g_array_set_clear_func(s->live.points, clear_point);
    }
}

void pbkvm_live_add(PbkvmState *s, const PbkvmPoint *p)
{
    g_array_append_val(s->live.points, *p);
    s->live.bytes += g_bytes_get_size(p->devices);
}

/* Where the Backup stands, or how far it can be taken back; 0: not known. */
static uint64_t reach(PbkvmState *s)
{
    PbBackupStart at;
    PbBackupStats b;

    if (!s->backup || pb_backup_walks(s->backup)) {
        return 0;
    }
    if (pbkvm_way_back(s, &at, NULL)) {
        return at.seq;
    }
    pb_backup_stats(s->backup, &b);
    return b.events;
}

/* Points that the Backup cannot come to any more are forgotten. */
static void prune(PbkvmState *s)
{
    uint64_t first = reach(s);
    unsigned n = 0;

    while (n < s->live.points->len && point(s, n)->event < first) {
        n++;
    }
    forget_first(s, n);
}

const PbkvmPoint *pbkvm_live_point(PbkvmState *s, uint64_t event)
{
    unsigned i;

    prune(s);
    for (i = 0; i < s->live.points->len; i++) {
        if (point(s, i)->event == event) {
            return point(s, i);
        }
    }
    return NULL;
}

const PbkvmPoint *pbkvm_live_nearest(PbkvmState *s)
{
    bool back = pbkvm_way_back(s, NULL, NULL);
    const PbkvmPoint *found = NULL;
    PbBackupStats b;
    unsigned i;

    prune(s);
    pb_backup_stats(s->backup, &b);
    for (i = 0; i < s->live.points->len; i++) {
        const PbkvmPoint *p = point(s, i);

        if (pb_backup_is_at(s->backup, p->event)) {
            return p;
        }
        if (p->event <= b.events ? back : !found) {
            found = p;
        }
    }
    return found;
}

/* ---- one more ---- */

/* Whether there is one that the guest can write. */
static bool can_write_disks(void)
{
    BlockDriverState *bs = NULL;
    bool can = false;

    while ((bs = bdrv_next_node(bs))) {
        can |= !bdrv_is_read_only(bs);
    }
    return can;
}

/* All devices, without RAM; NULL with a message. */
static GBytes *save_devices(PbkvmState *s)
{
    QIOChannelBuffer *ioc = qio_channel_buffer_new(64 * KiB);
    QEMUFile *f = qemu_file_new_output(QIO_CHANNEL(ioc));
    GBytes *bytes = NULL;

    global_state_store();
    qatomic_set(&s->live.saving, true);
    /* So it is, though nobody has been told: a debugger, say. */
    runstate_set(RUN_STATE_SAVE_VM);
    if (qemu_save_device_state(f) == 0 && qemu_fflush(f) == 0) {
        bytes = g_bytes_new(ioc->data, ioc->usage);
    }
    runstate_set(RUN_STATE_RUNNING);
    qatomic_set(&s->live.saving, false);
    qemu_fclose(f);
    object_unref(OBJECT(ioc));
    return bytes;
}

/*
 * What disks are about to write to memory belongs before a point, and so does
 * what their controllers make of it: some do that in a bottom half, of which
 * their state knows nothing (pvscsi asserts that there is none).  A controller
 * that looks for requests after each drain (virtio-scsi) is never done, but
 * finds none: the guest stands.
 */
static void settle_devices(void)
{
    unsigned i = 0;

    do {
        bdrv_drain_all();
    } while (aio_poll(qemu_get_aio_context(), false) && ++i < SETTLE_MOST);
}

/* The Primary's thread, at rest.  False: not here. */
static bool take(PbkvmState *s)
{
    PbkvmPoint p = { .event = 0 };
    PbRecordStats r;

    settle_devices();
    if (!s->standing || pb_record_point(s->rec, PB_EVENT_POINT)) {
        return false;
    }
    pb_record_stats(s->rec, &r);
    p.event = r.events;
    p.time = r.time_ns;
    p.place = pbkvm_undo_place(s);
    p.disks = pbkvm_undo_disks(s);
    p.writable = can_write_disks();
    p.devices = save_devices(s);
    if (!p.devices) {
        warn_report("pbkvm: a device could not be saved: there are no more "
                    "live points");
        timer_free(g_steal_pointer(&s->live.timer));
        s->live.why = g_strdup("a device could not be saved");
        return true;
    }
    pbkvm_live_add(s, &p);
    s->live.taken++;
    return true;
}

/* The Primary's thread, BQL held: Primary time stands still meanwhile. */
static void take_here(CPUState *cpu, run_on_cpu_data data)
{
    PbkvmState *s = data.host_ptr;
    int64_t since = get_clock();
    bool taken;

    s->live.asked = false;
    /* Nor while it waits for room in the ring. */
    if (!pbkvm_is_followed(s) || s->panic.seen || !runstate_is_running() ||
        pb_record_staged(s->rec)) {
        return;
    }
    cpu_disable_ticks();
    taken = take(s);
    cpu_enable_ticks();
    if (taken) {
        since = get_clock() - since;
        s->live.stop_ns += since;
        s->live.stop_max_ns = MAX(s->live.stop_max_ns, since);
    } else {
        timer_mod(s->live.timer, qemu_clock_get_ms(QEMU_CLOCK_VIRTUAL) +
                  AGAIN_MS);
    }
}

/* A device was added that cannot be saved, or is gone again. */
static bool can_save(PbkvmState *s)
{
    Error *blocked = NULL;

    g_free(g_steal_pointer(&s->live.why));
    if (qemu_savevm_state_blocked(&blocked)) {
        s->live.why = g_strdup(error_get_pretty(blocked));
        error_free(blocked);
    }
    return !s->live.why;
}

/* Nothing has happened since the last one, as while the guest halts. */
static bool stands_still(const PbkvmState *s)
{
    unsigned n = s->live.points->len;
    uint64_t seq, branches;

    pb_record_last(s->rec, &seq, &branches);
    return n && point(s, n - 1)->event == seq;
}

static void interval_is_over(void *opaque)
{
    PbkvmState *s = opaque;

    prune(s);
    if (can_save(s) && pbkvm_is_followed(s) && !s->live.asked &&
        !stands_still(s) && s->live.bytes < BYTES_MAX) {
        s->live.asked = true;
        async_run_on_cpu(s->cpu, take_here, RUN_ON_CPU_HOST_PTR(s));
    }
    pbkvm_live_restart(s);
}

void pbkvm_live_restart(PbkvmState *s)
{
    if (s->live.timer) {
        timer_mod(s->live.timer, qemu_clock_get_ms(QEMU_CLOCK_VIRTUAL) +
                  s->live.interval_ms);
    }
}

/* With another set of devices none of the points can be loaded. */
static void devices_change(DeviceListener *l, DeviceState *dev)
{
    pbkvm_live_forget(pbkvm_state());
}

static DeviceListener listener = {
    .realize = devices_change,
    .unrealize = devices_change,
};

bool pbkvm_live_start(PbkvmState *s, Error **errp)
{
    if (!s->live.interval_ms) {
        s->live.why = g_strdup("live-interval=0");
        return true;
    }
    if (!can_save(s) && s->live.wanted) {
        error_setg(errp, "pbkvm: live-interval=%" PRIu32 ": %s",
                   s->live.interval_ms, s->live.why);
        return false;
    }
    device_listener_register(&listener);
    pbkvm_live_init(s);
    pbkvm_undo_start(s);
    s->live.timer = timer_new_ms(QEMU_CLOCK_VIRTUAL, interval_is_over, s);
    pbkvm_live_restart(s);
    return true;
}

/* ---- what is told ---- */

PbkvmLiveInfo *pbkvm_live_info(PbkvmState *s)
{
    const PbkvmLiveState *p = &s->live;
    PbkvmLiveInfo *q;
    PbkvmLivePointList **tail;
    unsigned i;

    if (!p->points) {
        return NULL;
    }
    prune(s);
    q = g_new0(PbkvmLiveInfo, 1);
    q->interval = p->interval_ms;
    q->bytes = p->bytes;
    q->disk_bytes = s->undo.bytes;
    q->stop_mean = p->stop_ns / MAX(p->taken, 1);
    q->stop_max = p->stop_max_ns;
    tail = &q->points;
    for (i = 0; i < p->points->len; i++) {
        const PbkvmPoint *from = point(s, i);
        PbkvmLivePoint *to = g_new0(PbkvmLivePoint, 1);

        to->event = from->event;
        to->time = from->time;
        QAPI_LIST_APPEND(tail, to);
    }
    return q;
}
