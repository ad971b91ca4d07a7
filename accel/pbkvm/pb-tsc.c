/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-tsc.c: a time stamp counter that stands still between two events. */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "pb-alarm.h"
#include "pb-remedy.h"
#include "pb-tsc.h"

/* KVM's least frequency. */
#define GUEST_KHZ 1

/*
 * The part of a period in which the guest does not run, as it ends: at first,
 * and at most, where threads are late.
 */
#define MARGIN_PART 16
#define MARGIN_MOST 4

/* From look to look at a guest that waits, if the host is as fast. */
#define LOOK_NS 50000

/* Shorter waits are not worth a sleep. */
#define SPIN_NS 100000

uint64_t pb_tsc_scale(const PbTscModel *m, uint64_t host)
{
    return (unsigned __int128)host * m->ratio >> m->shift;
}

uint64_t pb_tsc_when(const PbTscModel *m, uint64_t tick)
{
    return (((unsigned __int128)tick << m->shift) + m->ratio - 1) / m->ratio;
}

static uint64_t to_ns(const PbTsc *t, uint64_t ticks)
{
    return (unsigned __int128)ticks * 1000000 / t->m.host_khz;
}

static uint64_t from_ns(const PbTsc *t, uint64_t ns)
{
    return ns * t->m.host_khz / 1000000;
}

int pb_tsc_slow(int fd)
{
    return ioctl(fd, KVM_SET_TSC_KHZ, GUEST_KHZ) < 0 ? -errno : 0;
}

int pb_tsc_start(PbTsc *t, int fd, const PbTscModel *m, const PbTscStart *at,
                 const char **what)
{
    int ret;

    memset(t, 0, sizeof(*t));
    t->m = *m;
    t->fd = fd;
    t->base = at->base;
    t->value = at->value;
    t->since = pb_tsc_host();
    t->period = pb_tsc_when(m, 1);
    t->margin = t->period / MARGIN_PART;
    *what = "KVM_SET_TSC_KHZ";
    ret = pb_tsc_slow(fd);
    if (ret < 0) {
        return ret;
    }
    t->pause = t->period / 2;
    *what = "timer_create";
    ret = pb_alarm_new(&t->timer);
    if (ret == 0) {
        ret = pb_alarm_new(&t->looker);
        if (ret < 0) {
            timer_delete(t->timer);
        }
    }
    return ret;
}

void pb_tsc_stop(PbTsc *t)
{
    timer_delete(t->timer);
    timer_delete(t->looker);
}

/* ---- entering ---- */

/*
 * Past the tick.  A signal ends no wait: whoever sent it has set
 * immediate_exit, and it is short.
 */
static void wait_for_tick(const PbTsc *t)
{
    uint64_t now;

    while ((now = pb_tsc_host()) < t->next) {
        uint64_t ns = to_ns(t, t->next - now);
        struct timespec nap = { ns / 1000000000, ns % 1000000000 };

        if (ns > SPIN_NS) {
            clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
        } else {
            __builtin_ia32_pause();
        }
    }
}

/* In the margin: were it a little early, the guest would be entered again. */
static int plan_kick(const PbTsc *t, uint64_t now)
{
    uint64_t left = t->next - now, before = t->margin - t->margin / 4;

    return pb_alarm_set(t->timer,
                        left > before ? 1 + to_ns(t, left - before) : 1);
}

static int note_tick(PbTsc *t)
{
    uint64_t now = pb_tsc_host();

    t->tick = pb_tsc_scale(&t->m, now);
    t->next = pb_tsc_when(&t->m, t->tick + 1);
    t->known = false;
    return plan_kick(t, now);
}

static int put(PbTsc *t)
{
    uint64_t offset = t->value - t->tick;
    struct kvm_device_attr attr = {
        .group = KVM_VCPU_TSC_CTRL,
        .attr = KVM_VCPU_TSC_OFFSET,
        .addr = (uintptr_t)&offset,
    };

    if (ioctl(t->fd, KVM_SET_DEVICE_ATTR, &attr) < 0) {
        return -errno;
    }
    t->put = t->value;
    t->known = true;
    return 0;
}

int pb_tsc_enter(PbTsc *t)
{
    int ret = 0;

    while (ret == 0) {
        uint64_t margin = pb_remedy(PB_REMEDY_TICK) ? t->margin : 0;

        if (pb_tsc_host() + margin >= t->next) {
            wait_for_tick(t);
            ret = note_tick(t);
        } else if (!t->known || t->put != t->value) {
            ret = put(t);
        } else {
            return 0;
        }
    }
    return ret;
}

void pb_tsc_left(PbTsc *t)
{
    if (pb_tsc_host() >= t->next) {
        __atomic_store_n(&t->late_at[t->late % PB_TSC_LATE],
                         t->value - t->base, __ATOMIC_RELAXED);
        __atomic_store_n(&t->late, t->late + 1, __ATOMIC_RELEASE);
        t->slipped = true;
        if (t->margin < t->period / MARGIN_MOST) {
            t->margin *= 2;
        }
    }
}

static uint64_t between(uint64_t least, uint64_t x, uint64_t most)
{
    return x < least ? least : x > most ? most : x;
}

int pb_tsc_look_later(PbTsc *t)
{
    t->look = pb_tsc_host() + t->pause;
    return t->pause < t->period / 2
           ? pb_alarm_set(t->looker, 1 + to_ns(t, t->pause)) : 0;
}

int pb_tsc_looked(PbTsc *t, bool waits, uint64_t branches)
{
    uint64_t most = t->period / 2;
    bool stays = branches == t->seen;
    int ret;

    t->seen = branches;
    if (waits) {
        t->least += stays ? t->least : -(t->least / 16);
        t->least = between(from_ns(t, LOOK_NS), t->least, most);
    }
    t->pause = waits ? t->least : between(0, 2 * t->pause, most);
    ret = pb_tsc_look_later(t);
    return ret < 0 ? ret : stays;
}

uint64_t pb_tsc_late(const PbTsc *t)
{
    return __atomic_load_n(&t->late, __ATOMIC_ACQUIRE);
}

int64_t pb_tsc_late_at(const PbTsc *t, uint64_t until)
{
    uint64_t late = pb_tsc_late(t), i;

    for (i = 1; i <= late && i <= PB_TSC_LATE; i++) {
        uint64_t at = __atomic_load_n(&t->late_at[(late - i) % PB_TSC_LATE],
                                      __ATOMIC_RELAXED);

        if (at <= until) {
            return at;
        }
    }
    return -1;
}
