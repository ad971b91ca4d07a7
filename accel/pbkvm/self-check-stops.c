/* SPDX-License-Identifier: GPL-2.0-or-later */
/* self-check-stops.c: do overflow stops come, and how late? */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pb-host.h"
#include "self-check.h"

/* Stops the skid is measured with: as many as fit, but these at least. */
#define STOPS_MIN     64
#define STOPS_NS      40000000ull
#define DISTANCE_MIN  300
#define DISTANCE_MASK 2047
/* The guest ends when the stop is later than this. */
#define OVERRUN       (1u << 20)

/* xorshift: distances that follow no pattern, the same in each run. */
static uint32_t next_distance(PbCheck *k)
{
    k->random ^= k->random << 13;
    k->random ^= k->random >> 17;
    k->random ^= k->random << 5;
    return DISTANCE_MIN + (k->random & DISTANCE_MASK);
}

/* ECX tells how many branches there were, wherever the stop was. */
static bool expect_by_ecx(PbCheck *k, uint64_t from, uint32_t times)
{
    struct kvm_regs regs;
    int ret = pb_vcpu_get_regs(&k->g.v, &regs);

    if (ret < 0) {
        return pb_check_kvm_failed(k, "reading registers at a stop", ret);
    }
    return pb_check_count(k, "up to a stop", from,
                          times - (uint32_t)regs.rcx -
                          (regs.rip != PB_CALIB_LOOP));
}

static bool stop_late(PbCheck *k, uint32_t distance)
{
    return pb_check_fail(k, "armed for %u branches, the guest ran %u more "
                         "without a stop: the overflow interrupt does not "
                         "arrive, or perf throttled it (sudo sysctl "
                         "kernel.perf_cpu_time_max_percent=0); else "
                         PB_USE_LAB, distance, OVERRUN);
}

/* One stop. */
static bool one_stop(PbCheck *k, uint32_t distance, uint32_t *skid)
{
    uint32_t times = distance + OVERRUN;
    uint64_t got, from = pb_counter_read(k->c);
    int ret = pb_calib_start(&k->g, PB_CALIB_LOOP, times);

    if (ret == 0) {
        ret = pb_counter_arm(k->c, distance);
    }
    while (ret == 0) {
        ret = pb_calib_run(&k->g);
        if (ret == 0) {
            return stop_late(k, distance);
        }
        if (ret == -EINTR && !pb_counter_fired(k->c)) {
            ret = 0;
        }
    }
    if (ret != -EINTR) {
        return pb_check_kvm_failed(k, "running to a stop", ret);
    }
    got = pb_counter_read(k->c) - from;
    if (got < distance) {
        return pb_check_fail(k, "armed for %u branches, stopped after %llu%s",
                             distance, (unsigned long long)got,
                             pb_host_miscount_advice(k->r->uarch));
    }
    *skid = got - distance;
    return expect_by_ecx(k, from, times);
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

bool pb_check_skid(PbCheck *k)
{
    uint64_t start = pb_check_now_ns();
    uint32_t n = 0;

    while (n < STOPS_MIN ||
           (n < PB_CHECK_STOPS_MAX && pb_check_now_ns() - start < STOPS_NS)) {
        if (!one_stop(k, next_distance(k), &k->skid[n])) {
            return false;
        }
        n++;
    }
    qsort(k->skid, n, sizeof(k->skid[0]), by_size);
    k->r->stops = n;
    k->r->skid_median = k->skid[n / 2];
    k->r->skid_max = k->skid[n - 1];
    k->r->margin = pb_margin(k->r->uarch, k->r->skid_max,
                             k->perf->min_period);
    if (!k->r->margin) {
        return pb_check_fail(k, "the overflow stop comes up to %u branches "
                             "late, too much to land (margin at most %u); "
                             PB_USE_LAB, k->r->skid_max, PB_MARGIN_MAX);
    }
    return true;
}

/* An interrupt at an overflow stop, in the middle of straight-line code. */
bool pb_check_interrupt(PbCheck *k)
{
    static const char what[] = "an interrupt at a stop";
    uint64_t from = pb_counter_read(k->c);
    uint32_t skid, distance = next_distance(k);
    int ret;

    if (!one_stop(k, distance, &skid)) {
        return false;
    }
    ret = pb_calib_interrupt(&k->g);
    while (ret == 0) {
        ret = pb_calib_run(&k->g);
        if (ret == 0) {
            break;
        }
        ret = ret == -EINTR ? 0 : ret;
    }
    return ret < 0 ? pb_check_kvm_failed(k, what, ret)
                   : pb_check_count(k, what, from,
                                    (uint64_t)distance + OVERRUN +
                                    PB_CALIB_HANDLER_BRANCHES);
}

