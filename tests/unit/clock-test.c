/* SPDX-License-Identifier: GPL-2.0-or-later */
/* clock-test.c: Primary time that is mostly not asked for. */
#include <time.h>

#include "pb-clock.h"
#include "pb-tap.h"

#define CALLS 300000u

/* The clock that is asked, and how often it was. */
typedef struct Asked {
    unsigned times;
    uint64_t stands_at;       /* 0: it goes */
    uint64_t slow_since;      /* at a SLOW-th of its speed; 0: it is not */
    uint64_t lost;            /* by being slow */
} Asked;

#define SLOW 50

static uint64_t monotonic(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static uint64_t ask(void *opaque)
{
    Asked *a = opaque;
    uint64_t now = monotonic();

    a->times++;
    if (a->slow_since) {
        now = a->slow_since + (now - a->slow_since) / SLOW;
    }
    return a->stands_at ? a->stands_at : now - a->lost;
}

/* Until the rate must be known. */
static void learn(PbClock *c)
{
    uint64_t until = monotonic() + 100000000;

    while (monotonic() < until) {
        pb_clock_now(c);
    }
}

static void test_time_is_true_and_seldom_asked_for(void)
{
    Asked a = { 0 };
    uint64_t last = 0, before, now, after, worst = 0;
    bool back = false;
    unsigned i, asked;
    PbClock c;

    pb_clock_init(&c, ask, &a);
    learn(&c);
    asked = a.times;
    for (i = 0; i < CALLS; i++) {
        before = monotonic();
        now = pb_clock_now(&c);
        after = monotonic();
        back |= now < last;
        last = now;
        if (now < before && before - now > worst) {
            worst = before - now;
        } else if (now > after && now - after > worst) {
            worst = now - after;
        }
    }
    pb_check(!back);
    pb_check(worst < PB_CLOCK_TRUST_NS);
    pb_check(a.times - asked < CALLS / 10);
}

static void test_time_stands_with_its_clock(void)
{
    Asked a = { 0 };
    uint64_t last, now = 0;
    bool back = false;
    unsigned i;
    PbClock c;

    pb_clock_init(&c, ask, &a);
    learn(&c);
    last = pb_clock_now(&c);
    a.stands_at = monotonic();
    for (i = 0; i < CALLS; i++) {
        now = pb_clock_now(&c);
        back |= now < last;
        last = now;
    }
    learn(&c);
    now = pb_clock_now(&c);
    pb_check(!back);
    pb_check(now < a.stands_at + 2 * PB_CLOCK_TRUST_NS);
    a.stands_at = 0;
    learn(&c);
    last = monotonic();
    now = pb_clock_now(&c);
    pb_check(now + PB_CLOCK_TRUST_NS > last);
}

/* It stands most of the time while the Primary waits for the Backup. */
static void test_counter_is_not_trusted_longer_after_slow_time(void)
{
    Asked a = { 0 };
    uint64_t asked, now, worst = 0;
    unsigned i;
    PbClock c;

    pb_clock_init(&c, ask, &a);
    learn(&c);
    a.slow_since = monotonic();
    learn(&c);
    learn(&c);
    learn(&c);
    a.lost = monotonic() - ask(&a);
    a.slow_since = 0;
    for (i = 0; i < CALLS; i++) {
        asked = ask(&a);
        now = pb_clock_now(&c);
        if (asked > now && asked - now > worst) {
            worst = asked - now;
        }
    }
    pb_check(worst < PB_CLOCK_TRUST_NS + PB_CLOCK_TRUST_NS / 8);
}

static void test_clock_is_asked_until_its_rate_is_known(void)
{
    Asked a = { .stands_at = 5 };
    PbClock c;

    pb_clock_init(&c, ask, &a);
    pb_check(pb_clock_now(&c) == 5);
    a.stands_at = 7;
    pb_check(pb_clock_now(&c) == 7);
    a.stands_at = 6;
    pb_check(pb_clock_now(&c) == 7);
}

int main(void)
{
    static const PbTest tests[] = {
        PB_TEST(clock_is_asked_until_its_rate_is_known),
        PB_TEST(time_is_true_and_seldom_asked_for),
        PB_TEST(time_stands_with_its_clock),
        PB_TEST(counter_is_not_trusted_longer_after_slow_time),
    };

    return pb_tap_run(tests, sizeof(tests) / sizeof(tests[0]));
}
