/* SPDX-License-Identifier: GPL-2.0-or-later */
/* position-test.c: deciding what to do next on the way to a position. */
#include "pb-position.h"
#include "pb-tap.h"

#define MARGIN 50

static const PbPosition target = {
    .branches = 1000, .rip = 0x1000, .hash = 0xabcdef0, .cx = 7, .sp = 0x8000,
};

static void check_state(PbPosition now, PbLandState expected)
{
    pb_check_u64(pb_land_classify(&now, &target, MARGIN), expected);
}

static void test_same_position_is_here(void)
{
    check_state(target, PB_LAND_HERE);
}

static void test_same_position_is_here_without_margin(void)
{
    pb_check_u64(pb_land_classify(&target, &target, 0), PB_LAND_HERE);
}

static void test_more_branches_than_margin_to_go_is_far(void)
{
    PbPosition now = target;

    now.branches = target.branches - MARGIN - 1;
    check_state(now, PB_LAND_FAR);
    now.branches = 0;
    check_state(now, PB_LAND_FAR);
}

static void test_margin_or_fewer_branches_to_go_is_near(void)
{
    PbPosition now = target;

    now.branches = target.branches - MARGIN;
    check_state(now, PB_LAND_NEAR);
    now.branches = target.branches - 1;
    check_state(now, PB_LAND_NEAR);
}

static void test_one_branch_too_many_is_past(void)
{
    PbPosition now = target;

    now.branches = target.branches + 1;
    check_state(now, PB_LAND_PAST);
    pb_check_u64(pb_land_classify(&now, &target, 0), PB_LAND_PAST);
}

static void test_many_branches_too_many_is_past(void)
{
    PbPosition now = { .branches = UINT64_MAX };

    check_state(now, PB_LAND_PAST);
}

/* Each field by itself tells two passes of one place apart. */
static void test_any_other_field_that_differs_is_near(void)
{
    PbPosition now = target;

    now.rip++;
    check_state(now, PB_LAND_NEAR);
    now = target;
    now.hash ^= 1u << 31;
    check_state(now, PB_LAND_NEAR);
    now = target;
    now.loop ^= 2;
    check_state(now, PB_LAND_NEAR);
    now = target;
    now.cx = 0;
    check_state(now, PB_LAND_NEAR);
    now = target;
    now.sp -= 4;
    check_state(now, PB_LAND_NEAR);
    now = target;
    now.injected = 0x120;
    check_state(now, PB_LAND_NEAR);
}

/* How the Primary came there is no part of where it is. */
static void test_resumed_is_no_difference(void)
{
    PbPosition now = target;

    now.resumed = true;
    check_state(now, PB_LAND_HERE);
}

/* The counts are 64 bits wide; a distance is never taken modulo 2^32. */
static void test_far_beyond_32_bits_is_far(void)
{
    PbPosition now = target, far = target;

    far.branches = target.branches + (1ull << 32);
    pb_check_u64(pb_land_classify(&now, &far, MARGIN), PB_LAND_FAR);
    pb_check_u64(pb_land_classify(&far, &now, MARGIN), PB_LAND_PAST);
}

static void round_trip(PbEventKind kind, PbPosition p)
{
    PbEvent e = { .kind = kind };
    PbPosition back;

    pb_position_to_event(&p, &e);
    back = pb_position_of(&e);
    pb_check(pb_position_same(&p, &back));
    pb_check_u64(back.resumed, p.resumed);
}

static void test_event_keeps_a_position(void)
{
    PbPosition p = target;

    round_trip(PB_EVENT_IRQ, p);
    round_trip(PB_EVENT_NMI, p);
    p.loop = ~1u;
    round_trip(PB_EVENT_NMI, p);
    p.resumed = true;
    round_trip(PB_EVENT_IRQ, p);
    p.injected = 0x1ff;
    round_trip(PB_EVENT_POINT, p);
    round_trip(PB_EVENT_VERIFY, p);
}

static void test_event_argument_stays_a_vector(void)
{
    PbEvent e = { .kind = PB_EVENT_IRQ, .arg = 0x31 };

    pb_position_to_event(&target, &e);
    pb_check_u64(e.arg, 0x31);
    pb_check_u64(pb_position_of(&e).injected, 0);
}

int main(void)
{
    static const PbTest tests[] = {
        PB_TEST(same_position_is_here),
        PB_TEST(same_position_is_here_without_margin),
        PB_TEST(more_branches_than_margin_to_go_is_far),
        PB_TEST(margin_or_fewer_branches_to_go_is_near),
        PB_TEST(one_branch_too_many_is_past),
        PB_TEST(many_branches_too_many_is_past),
        PB_TEST(any_other_field_that_differs_is_near),
        PB_TEST(resumed_is_no_difference),
        PB_TEST(far_beyond_32_bits_is_far),
        PB_TEST(event_keeps_a_position),
        PB_TEST(event_argument_stays_a_vector),
    };

    return pb_tap_run(tests, sizeof(tests) / sizeof(tests[0]));
}
