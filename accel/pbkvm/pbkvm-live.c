/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pbkvm-live.c: the Primary's devices are saved now and then. */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "block/block.h"
#include "block/block_int-common.h"
#include "hw/core/cpu.h"
#include "io/channel-buffer.h"
#include "system/cpu-timers.h"
#include "migration/global_state.h"
#include "migration/qemu-file.h"
#include "migration/savevm.h"

#include "backup-inspect.h"
#include "pbkvm.h"
#include "pbkvm-reverse.h"

#define INTERVAL_MAX_MS 3600000

/* Amid a delivery no point is taken: tried again after so long. */
#define AGAIN_MS 1

/* More is not kept, however long the Backup is frozen. */
#define BYTES_MAX (64u << 20)

/* ---- option ---- */

static void get_interval(Object *obj, Visitor *v, const char *name,
                         void *opaque, Error **errp)
{
    visit_type_uint32(v, name, &PBKVM_ACCEL(obj)->live.interval_ms, errp);
}

static void set_interval(Object *obj, Visitor *v, const char *name,
                         void *opaque, Error **errp)
{
    uint32_t value;

    if (!visit_type_uint32(v, name, &value, errp) ||
        !pbkvm_not_yet_running(errp)) {
        return;
    }
    if (value > INTERVAL_MAX_MS) {
        error_setg(errp, "pbkvm: live-interval=%" PRIu32 ": expected 0 to %d "
                   "ms", value, INTERVAL_MAX_MS);
        return;
    }
    PBKVM_ACCEL(obj)->live.interval_ms = value;
    PBKVM_ACCEL(obj)->live.wanted = value != 0;
}

void pbkvm_live_class_init(ObjectClass *oc)
{
    object_class_property_add(oc, "live-interval", "uint32", get_interval,
                              set_interval, NULL, NULL);
    object_class_property_set_description(oc, "live-interval",
        "Keep the devices' state every so many ms, so that pbkvm-go-live can "
        "put the Primary there (0, never, to 3600000; default: 1000, if QEMU "
        "can save all devices)");
}

/* ---- the points there are ---- */

static void clear_point(gpointer data)
{
    g_bytes_unref(((PbkvmPoint *)data)->devices);
}

static void forget_first(PbkvmLiveState *p, unsigned n)
{
    unsigned i;

    for (i = 0; i < n; i++) {
        p->bytes -= g_bytes_get_size(g_array_index(p->points, PbkvmPoint,
                                                   i).devices);
    }
    if (n) {
        g_array_remove_range(p->points, 0, n);
    }
}

void pbkvm_live_forget(PbkvmState *s)
{
    if (s->live.points) {
        forget_first(&s->live, s->live.points->len);
    }
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

void pbkvm_live_prune(PbkvmState *s)
{
    GArray *all = s->live.points;
    uint64_t first = reach(s);
    unsigned n = 0;

    while (n < all->len && g_array_index(all, PbkvmPoint, n).event < first) {
        n++;
    }
    forget_first(&s->live, n);
}

/* ---- one more ---- */

uint64_t pbkvm_disk_writes(void)
{
    BlockDriverState *bs = NULL;
    uint64_t n = 0;

    while ((bs = bdrv_next_node(bs))) {
        n += qatomic_read(&bs->write_gen);
    }
    return n;
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

/* The Primary's thread, at rest.  False: not here. */
static bool take(PbkvmState *s)
{
    PbkvmPoint p = { .event = 0 };
    PbRecordStats r;
    int ret;

    /* What disks are about to write to memory belongs before it. */
    bdrv_drain_all();
    ret = s->standing ? pb_record_point(s->rec, PB_EVENT_POINT) : -EAGAIN;
    if (ret) {
        return false;
    }
    pb_record_stats(s->rec, &r);
    p.event = r.events;
    p.time = r.time_ns;
    p.disks = pbkvm_disk_writes();
    p.devices = save_devices(s);
    if (!p.devices) {
        warn_report("pbkvm: live-interval: a device could not be saved: no "
                    "more live points");
        timer_free(g_steal_pointer(&s->live.timer));
        return true;
    }
    g_array_append_val(s->live.points, p);
    s->live.bytes += g_bytes_get_size(p.devices);
    s->live.taken++;
    return true;
}

static bool follows(const PbkvmState *s)
{
    PbBackupStatus status = s->backup ? pb_backup_status(s->backup)
                                      : PB_BACKUP_ENDED;

    return !s->ended && !s->panic.seen &&
           (status == PB_BACKUP_RUNNING || status == PB_BACKUP_FROZEN);
}

/* The Primary's thread, BQL held: Primary time stands still meanwhile. */
static void take_here(CPUState *cpu, run_on_cpu_data data)
{
    PbkvmState *s = data.host_ptr;
    int64_t since = get_clock();
    bool taken;

    s->live.asked = false;
    if (!follows(s) || !runstate_is_running()) {
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

static void interval_is_over(void *opaque)
{
    PbkvmState *s = opaque;

    pbkvm_live_prune(s);
    if (follows(s) && !s->live.asked && s->live.bytes < BYTES_MAX) {
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

bool pbkvm_live_start(PbkvmState *s, Error **errp)
{
    Error *blocked = NULL;

    if (!s->live.interval_ms) {
        s->live.why = g_strdup("live-interval=0");
        return true;
    }
    if (qemu_savevm_state_blocked(&blocked)) {
        if (s->live.wanted) {
            error_propagate_prepend(errp, blocked, "pbkvm: live-interval=%"
                                    PRIu32 ": ", s->live.interval_ms);
            return false;
        }
        s->live.why = g_strdup(error_get_pretty(blocked));
        error_free(blocked);
        return true;
    }
    s->live.points = g_array_new(false, false, sizeof(PbkvmPoint));
    g_array_set_clear_func(s->live.points, clear_point);
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
    pbkvm_live_prune(s);
    q = g_new0(PbkvmLiveInfo, 1);
    q->interval = p->interval_ms;
    q->bytes = p->bytes;
    q->stop_mean = p->stop_ns / MAX(p->taken, 1);
    q->stop_max = p->stop_max_ns;
    tail = &q->points;
    for (i = 0; i < p->points->len; i++) {
        const PbkvmPoint *from = &g_array_index(p->points, PbkvmPoint, i);
        PbkvmLivePoint *to = g_new0(PbkvmLivePoint, 1);

        to->event = from->event;
        to->time = from->time;
        QAPI_LIST_APPEND(tail, to);
    }
    return q;
}
