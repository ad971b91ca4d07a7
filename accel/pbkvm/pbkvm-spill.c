/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pbkvm-spill.c: when the ring is full. */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qapi/error.h"
#include "qapi/qapi-events-pbkvm-target.h"
#include "hw/core/cpu.h"
#include "system/runstate.h"

#include "pbkvm.h"
#include "spill-file.h"

/* Look this often whether somebody wants the vCPU while the ring is full. */
#define ROOM_WAIT_MS 20

/* From one PBKVM_RING_FULL to the next, at least. */
#define RING_FULL_MS 1000

/* ---- option ---- */

static char *get_spill(Object *obj, Error **errp)
{
    return g_strdup(PBKVM_ACCEL(obj)->full.file);
}

static void set_spill(Object *obj, const char *value, Error **errp)
{
    PbkvmState *s = PBKVM_ACCEL(obj);

    if (pbkvm_not_yet_running(errp)) {
        g_free(s->full.file);
        s->full.file = value[0] ? g_strdup(value) : NULL;
    }
}

void pbkvm_spill_class_init(ObjectClass *oc)
{
    object_class_property_add_str(oc, "spill", get_spill, set_spill);
    object_class_property_set_description(oc, "spill",
        "When the ring is full, go on into this new file, which has no name "
        "from the start on (default: none, the Primary waits)");
}

bool pbkvm_spill_open(PbkvmState *s, Error **errp)
{
    char why[200];

    if (!s->full.file) {
        return true;
    }
    if (!s->with_backup || s->replay.file) {
        error_setg(errp, "pbkvm: spill=%s: %s", s->full.file,
                   s->replay.file ? "a replay records nothing; leave it out"
                   : "with backup=off there is no Backup to keep events for");
        return false;
    }
    s->full.fd = pb_spill_file_open(s->full.file, why, sizeof(why));
    if (s->full.fd < 0) {
        error_setg(errp, "pbkvm: spill=%s: %s", s->full.file, why);
    }
    return s->full.fd >= 0;
}

/* ---- what is said ---- */

PbkvmRingPolicy pbkvm_ring_policy(const PbkvmState *s)
{
    return s->full.spill && pb_spill_usable(s->full.spill)
           ? PBKVM_RING_POLICY_SPILL : PBKVM_RING_POLICY_BLOCK;
}

/* At most once a second, however often the ring fills; also the last time. */
static void say_ring_full(void *opaque)
{
    PbkvmState *s = opaque;
    int64_t now = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
    PbSpillStats t;

    if (now < s->full.next) {
        timer_mod(s->full.timer, s->full.next);
        return;
    }
    s->full.next = now + RING_FULL_MS;
    qatomic_set(&s->full.due, false);
    pb_spill_stats(s->full.spill, &t);
    qapi_event_send_pbkvm_ring_full(qatomic_read(&s->full.count),
                                    pbkvm_ring_policy(s),
                                    qatomic_read(&s->full.ns),
                                    t.all_events, s->ring_events);
}

/* ---- the Primary rests ---- */

void pbkvm_hand_over(PbkvmState *s)
{
    if (s->rec && !s->in_exec) {
        pb_record_rest(s->rec);
    }
}

static void stopped(void *opaque, bool running, RunState state)
{
    if (!running) {
        pbkvm_hand_over(opaque);
    }
}

bool pbkvm_spill_start(PbkvmState *s, Error **errp)
{
    s->full.spill = pb_spill_new(s->ring, s->full.fd);
    if (!s->full.spill) {
        error_setg(errp, "pbkvm: no memory for events beside the ring");
        return false;
    }
    s->full.fd = -1;
    s->full.timer = timer_new_ms(QEMU_CLOCK_REALTIME, say_ring_full, s);
    qemu_add_vm_change_state_handler(stopped, s);
    return true;
}

/* ---- the Primary runs ---- */

static void note_ring_full(PbkvmState *s, uint64_t times)
{
    qatomic_set(&s->full.count, s->full.count + times);
    if (!qatomic_xchg(&s->full.due, true)) {
        aio_bh_schedule_oneshot(qemu_get_aio_context(), say_ring_full, s);
    }
}

static void say_file_failed(void *opaque)
{
    PbkvmState *s = opaque;
    PbSpillStats t;

    pb_spill_stats(s->full.spill, &t);
    warn_report("pbkvm: spill=%s: writing: %s; nothing is lost, but from now "
                "on the Primary waits while the ring is full", s->full.file,
                strerror(t.error));
}

/* The file took it, or no longer does. */
static void note_spill(PbkvmState *s)
{
    uint64_t times = pb_spill_times(s->full.spill);

    if (times != s->full.times) {
        note_ring_full(s, times - s->full.times);
        s->full.times = times;
    }
    if (!s->full.failed && !pb_spill_usable(s->full.spill)) {
        s->full.failed = true;
        aio_bh_schedule_oneshot(qemu_get_aio_context(), say_file_failed, s);
    }
}

/* Whether nobody wants the history: its recorder is the consumer, too. */
static bool unfollowed(const PbkvmState *s)
{
    return !s->backup || pb_backup_is_over(s->backup);
}

static void drop_ring(PbkvmState *s)
{
    uint32_t used = pb_ring_used(s->ring);

    if (used && pb_ring_peek(s->ring, used - 1)) {
        pb_ring_release(s->ring, used);
        pb_ring_flush(s->ring);
    }
}

void pbkvm_drop_history(PbkvmState *s)
{
    do {
        pb_spill_drop(s->full.spill);
        drop_ring(s);
        pb_record_flush(s->rec, 0);
    } while (pb_record_staged(s->rec) || pb_spill_active(s->full.spill));
    drop_ring(s);
}

/* Wait for the Backup to make room; false when somebody wants the vCPU. */
static bool wait_for_backup(PbkvmState *s, CPUState *cpu)
{
    uint64_t before, now = get_clock();
    bool room;

    note_ring_full(s, 1);
    do {
        before = now;
        room = pb_record_flush(s->rec, ROOM_WAIT_MS);
        now = get_clock();
        qatomic_set(&s->full.ns, s->full.ns + now - before);
    } while (!room && !qatomic_read(&cpu->exit_request) && !cpu->stop &&
             !s->ended && !unfollowed(s));
    return room;
}

bool pbkvm_wait_for_room(PbkvmState *s, CPUState *cpu)
{
    bool room = true;

    if (unfollowed(s)) {
        if (pb_record_staged(s->rec) || pb_spill_active(s->full.spill)) {
            pbkvm_drop_history(s);
        }
        return true;
    }
    if (s->ended) {
        /* Nothing more will be recorded: what waits is all there is. */
        pb_record_rest(s->rec);
    } else if (!pb_record_flush(s->rec, 0)) {
        room = wait_for_backup(s, cpu);
    }
    if (s->full.file) {
        note_spill(s);
    }
    return room;
}

/* ---- query-pbkvm ---- */

PbkvmSpill *pbkvm_spill_info(const PbkvmState *s)
{
    PbkvmSpill *q;
    PbSpillStats t;

    if (!s->full.spill || !s->full.file) {
        return NULL;
    }
    pb_spill_stats(s->full.spill, &t);
    q = g_new0(PbkvmSpill, 1);
    q->file = g_strdup(s->full.file);
    q->events = t.events;
    q->bytes = t.bytes;
    q->file_bytes = t.file_bytes;
    q->all_events = t.all_events;
    q->all_bytes = t.all_bytes;
    q->error = t.error ? g_strdup(strerror(t.error)) : NULL;
    return q;
}
