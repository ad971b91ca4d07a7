/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tsc-test.c: when a scaled counter ticks, and this host's. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "pb-tap.h"
#include "pb-tsc.h"

static const struct {
    const char *name;
    unsigned fraction, extra;
    uint32_t khz;
} hosts[] = {
    { "AMD, 3.4 GHz", 32, 0, 3400000 },
    { "AMD, 1.5 GHz", 32, 0, 1500000 },
    { "Intel, 2.1 GHz", 48, 0, 2100000 },
    { "Intel, 5 GHz", 48, 0, 5000000 },
    { "the lab, 2.5 GHz, slowed down", 32, 4, 2500000 },
    { "the lab, slowed down most", 32, 16, 2500000 },
};

static PbTscModel model(unsigned i)
{
    return (PbTscModel) {
        .ratio = (1ull << hosts[i].fraction) / hosts[i].khz,
        .shift = hosts[i].fraction + hosts[i].extra,
        .host_khz = hosts[i].khz,
    };
}

/* Each time it ticks it has just not ticked before. */
static void test_when_is_the_first_time(void)
{
    unsigned i, wrong = 0;
    uint64_t tick;

    for (i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        PbTscModel m = model(i);
        uint64_t centuries = UINT64_MAX / 2 / pb_tsc_when(&m, 1);

        for (tick = 1; tick < centuries; tick += 1 + tick * 7 / 5) {
            uint64_t at = pb_tsc_when(&m, tick);

            if (pb_tsc_scale(&m, at) != tick ||
                pb_tsc_scale(&m, at - 1) != tick - 1) {
                printf("# %s: tick %llu is not at %llu\n", hosts[i].name,
                        (unsigned long long)tick, (unsigned long long)at);
                wrong++;
            }
        }
    }
    pb_check_u64(wrong, 0);
}

/* About a millisecond, or 2^extra of them. */
static void test_period(void)
{
    unsigned i;

    for (i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        PbTscModel m = model(i);
        uint64_t want = (uint64_t)hosts[i].khz << hosts[i].extra;
        uint64_t got = pb_tsc_when(&m, 1001) - pb_tsc_when(&m, 1);

        pb_check(got >= want * 1000 && got < want * 1003);
    }
}

/* What is between two instructions of the guest moves it, nothing else does. */
static void test_events_that_move_it(void)
{
    PbTsc t = { .base = 5 };

    pb_check(pb_tsc_moves(PB_EVENT_IRQ) && pb_tsc_moves(PB_EVENT_PIO_IN) &&
             pb_tsc_moves(PB_EVENT_POINT) && pb_tsc_moves(PB_EVENT_MEM_WRITE));
    pb_check(!pb_tsc_moves(PB_EVENT_MARK) && !pb_tsc_moves(PB_EVENT_PANIC) &&
             !pb_tsc_moves(PB_EVENT_END));
    pb_tsc_event(&t, 1000);
    pb_check_u64(t.value, 1005);
}

/* When a guest was left after a tick: the last times, before some time. */
static void test_left_too_late(void)
{
    PbTsc t = { .base = 5, .period = 100, .margin = 6 };
    unsigned i;

    pb_check(pb_tsc_late_at(&t, UINT64_MAX) == -1);
    t.next = UINT64_MAX;
    pb_tsc_left(&t);
    pb_check_u64(pb_tsc_late(&t), 0);
    t.next = 0;
    for (i = 0; i < PB_TSC_LATE + 9; i++) {
        pb_tsc_event(&t, 1000 * i);
        pb_tsc_left(&t);
    }
    pb_check_u64(pb_tsc_late(&t), i);
    pb_check(t.slipped && t.margin == 48);
    pb_check_u64(pb_tsc_late_at(&t, UINT64_MAX), 1000 * (i - 1));
    pb_check_u64(pb_tsc_late_at(&t, 20000), 20000);
    pb_check_u64(pb_tsc_late_at(&t, 19999), 19000);
    /* It is not known any more. */
    pb_check(pb_tsc_late_at(&t, 8999) == -1);
}

/* From then on, ns of this host's counter. */
static uint64_t pause_ns(const PbTsc *t)
{
    return t->pause * 1000000 / t->m.host_khz;
}

/* Soon after a guest that waits, later and later after one that does not. */
static void test_looks_at_who_waits(void)
{
    struct sigevent none = { .sigev_notify = SIGEV_NONE };
    PbTsc t = { .m = model(0), .period = 3400000, .pause = 1700000 };
    unsigned i;

    pb_check_u64(timer_create(CLOCK_MONOTONIC, &none, &t.looker), 0);
    pb_check(pb_tsc_look_is_due(&t));
    pb_check_u64(pb_tsc_looked(&t, true, 7), 0);
    pb_check_u64(pause_ns(&t), 50000);
    /* The host did not get there in that time. */
    pb_check_u64(pb_tsc_looked(&t, true, 7), 1);
    pb_check_u64(pb_tsc_looked(&t, true, 7), 1);
    pb_check_u64(pause_ns(&t), 200000);
    for (i = 0; i < 40; i++) {
        pb_check_u64(pb_tsc_looked(&t, true, 8 + i), 0);
    }
    pb_check_u64(pause_ns(&t), 50000);
    pb_check_u64(pb_tsc_looked(&t, false, 100), 0);
    pb_check_u64(pb_tsc_looked(&t, false, 101), 0);
    pb_check_u64(pause_ns(&t), 200000);
    for (i = 0; i < 9; i++) {
        pb_check_u64(pb_tsc_looked(&t, false, 102 + i), 0);
    }
    pb_check_u64(t.pause, t.period / 2);
    timer_delete(t.looker);
}

static bool must;             /* this host has to be able to */

static void test_this_host(void)
{
    static char why[240];
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    PbTscModel m = { 0 };
    bool ok;

    if (fd < 0) {
        pb_skip("no /dev/kvm");
        return;
    }
    ok = pb_tsc_check(fd, &m, why, sizeof(why));
    close(fd);
    if (!ok && !must) {
        pb_skip(why);
        return;
    }
    pb_check_str(why, "");
    printf("# %u kHz, ratio %llu >> %u: a tick each %llu\n", m.host_khz,
            (unsigned long long)m.ratio, m.shift,
            (unsigned long long)pb_tsc_when(&m, 1));
    pb_check(m.shift >= 32 && m.ratio != 0);
}

int main(int argc, char **argv)
{
    static const PbTest tests[] = {
        PB_TEST(when_is_the_first_time),
        PB_TEST(period),
        PB_TEST(events_that_move_it),
        PB_TEST(left_too_late),
        PB_TEST(looks_at_who_waits),
        PB_TEST(this_host),
    };

    must = argc > 1 && strcmp(argv[1], "--must") == 0;
    return pb_tap_run(tests, sizeof(tests) / sizeof(tests[0]));
}
