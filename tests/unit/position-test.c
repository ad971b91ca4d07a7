/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * position-test.c: what a position is, and deciding what to do next on the way
 * to one.
 */
#include "backup-inspect.h"
#include "position-case.h"

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

/* ---- where a vCPU stands ---- */

static void test_position_is_where_the_vcpu_stands(void)
{
    PbMem m;
    PbVcpu v;
    PbPosition p;

    make_vcpu(&v, &m);
    p = taken(&v);
    pb_check_u64(p.rip, 0x1000);
    pb_check_u64(p.cx, 3);
    pb_check_u64(p.sp, STACK);
    pb_check_u64(p.loop, 0);
    pb_check_u64(p.injected, 0);
    pb_check(!p.resumed);
    run.s.regs.sregs.cs.base = 0x10;
    run.s.regs.events.interrupt.injected = 1;
    run.s.regs.events.interrupt.nr = 0x30;
    p = taken(&v);
    pb_check_u64(p.rip, 0x1010);
    pb_check_u64(p.injected, 0x130);
    pb_counter_free(v.counter);
}

static void test_hash_is_of_each_register(void)
{
    PbMem m;
    PbVcpu v;
    struct kvm_regs *r = &run.s.regs.regs;
    unsigned long long *const reg[] = {
        &r->rax, &r->rbx, &r->rcx, &r->rdx, &r->rsi, &r->rdi, &r->rbp,
        &r->rip, &r->rflags,
    };
    unsigned i, bit;
    uint32_t hash;

    make_vcpu(&v, &m);
    hash = taken(&v).hash;
    for (i = 0; i < sizeof(reg) / sizeof(reg[0]); i++) {
        for (bit = 0; bit < 32; bit++) {
            bool flags = reg[i] == &r->rflags;
            bool minded = !flags || (1u << bit != PB_RFLAGS_RF &&
                                     1u << bit != PB_RFLAGS_TF);

            *reg[i] ^= 1ull << bit;
            pb_check_u64(taken(&v).hash != hash, minded);
            *reg[i] ^= 1ull << bit;
        }
    }
    pb_check_u64(taken(&v).hash, hash);
    pb_counter_free(v.counter);
}

static void test_hash_is_of_the_top_of_the_stack(void)
{
    PbMem m;
    PbVcpu v;

    make_vcpu(&v, &m);
    check_hash_of_the_stack(&v);
    pb_counter_free(v.counter);
}

/* Less of it, where memory ends. */
static void test_hash_of_a_stack_that_cannot_be_read(void)
{
    PbMem m;
    PbVcpu v;
    uint32_t hash;

    make_vcpu(&v, &m);
    run.s.regs.regs.rsp = sizeof(ram) - 8;
    hash = taken(&v).hash;
    pb_check(hash != 0);
    ram[sizeof(ram) - 1] ^= 1;
    pb_check(taken(&v).hash != hash);
    run.s.regs.regs.rsp = sizeof(ram) + PAGE;
    hash = taken(&v).hash;
    pb_check(hash != 0);
    ram[sizeof(ram) - 1] ^= 1;
    pb_check_u64(taken(&v).hash, hash);
    pb_counter_free(v.counter);
}

/* ---- loops without branches: what was seen is not believed twice ---- */

static void test_code_that_becomes_a_loop(void)
{
    PbMem m;
    PbVcpu v;

    make_vcpu(&v, &m);
    put(0x1040, "\xeb\xbe", 2);            /* 1040: jmp 1000 */
    put(0x1000, "\x74\x00", 2);            /* 1000: jz 1002 */
    pb_check(!in_loop(&v, 0x1040));
    pb_check(!in_loop(&v, 0x1040));
    put(0x1000, "\xeb\x3e", 2);            /* 1000: jmp 1040 */
    pb_check(in_loop(&v, 0x1040));
    put(0x1000, "\x74\x3e", 2);            /* 1000: jz 1040 */
    pb_check(!in_loop(&v, 0x1040));
    pb_counter_free(v.counter);
}

/* Farther than what is looked at together, and the same where that is read. */
static void test_far_code_that_becomes_a_loop(void)
{
    PbMem m;
    PbVcpu v;

    make_vcpu(&v, &m);
    put(0x1060, "\xe9\xfb\x0b\x00\x00", 5);      /* 1060: jmp 1c60 */
    put(0x1c60, "\xe9\xfb\x0b\x00\x00", 5);      /* 1c60: jmp 2860 */
    pb_check(!in_loop(&v, 0x1060));
    pb_check(!in_loop(&v, 0x1060));
    put(0x1c60, "\xe9\xfb\xf3\xff\xff", 5);      /* 1c60: jmp 1060 */
    pb_check(in_loop(&v, 0x1060));
    pb_counter_free(v.counter);
}

/* The same bytes: a jump of 16 bits to a JZ, of 32 to itself. */
static void test_loop_in_code_of_another_width(void)
{
    PbMem m;
    PbVcpu v;

    make_vcpu(&v, &m);
    put(0x104e, "\x74\x00\xe9\xfb\xff\xff\xff", 7);
    run.s.regs.sregs.cs.db = 0;
    pb_check(!in_loop(&v, 0x1050));
    run.s.regs.sregs.cs.db = 1;
    pb_check(in_loop(&v, 0x1050));
    run.s.regs.sregs.cs.db = 0;
    pb_check(!in_loop(&v, 0x1050));
    pb_counter_free(v.counter);
}

/* A jump back of which the last byte is there, or not. */
static void test_loop_that_could_not_be_read(void)
{
    PbSlotChange slot = { .size = PAGE };
    PbMem m;
    PbVcpu v;

    make_vcpu(&v, &m);
    put(0xffc, "\xe9\xfa\xff\xff\xff", 5);       /* ffc: jmp ffb, a NOP */
    pb_mem_set_slot(&m, 0, &slot);
    pb_check(!in_loop(&v, 0xffb));
    slot.size = sizeof(ram);
    pb_mem_set_slot(&m, 0, &slot);
    pb_check(in_loop(&v, 0xffb));
    pb_counter_free(v.counter);
}

/* ---- places that were stepped through ---- */

static PbPlace place(uint64_t i)
{
    return (PbPlace) { .event = i / 3, .at = { .branches = i, .rip = i } };
}

static bool comes_from(const PbTrail *t, uint64_t to, uint64_t from)
{
    const PbPlace at = place(to), before = place(from);
    const PbPlace *known = pb_trail_before(t, &at);

    return known && pb_place_same(known, &before);
}

static bool is_known(const PbTrail *t, uint64_t i)
{
    const PbPlace at = place(i);

    return pb_trail_before(t, &at) != NULL;
}

static void add(PbTrail *t, uint64_t i)
{
    const PbPlace at = place(i);

    pb_trail_add(t, &at);
}

static void test_trail_knows_where_one_came_from(void)
{
    static PbTrail t;
    uint64_t i;

    pb_check(!is_known(&t, 0));
    add(&t, 0);
    pb_check(!is_known(&t, 0));
    for (i = 1; i < PB_TRAIL; i++) {
        add(&t, i);
    }
    pb_check(!is_known(&t, 0) && comes_from(&t, 1, 0) &&
             comes_from(&t, PB_TRAIL - 1, PB_TRAIL - 2));
    add(&t, PB_TRAIL);
    pb_check(!is_known(&t, 1) && comes_from(&t, 2, 1) &&
             comes_from(&t, PB_TRAIL, PB_TRAIL - 1));
    pb_trail_clear(&t);
    pb_check(!is_known(&t, PB_TRAIL));
    add(&t, 7);
    pb_check(!is_known(&t, 7));
    add(&t, 8);
    pb_check(comes_from(&t, 8, 7) && !is_known(&t, PB_TRAIL));
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
        PB_TEST(position_is_where_the_vcpu_stands),
        PB_TEST(hash_is_of_each_register),
        PB_TEST(hash_is_of_the_top_of_the_stack),
        PB_TEST(hash_of_a_stack_that_cannot_be_read),
        PB_TEST(code_that_becomes_a_loop),
        PB_TEST(far_code_that_becomes_a_loop),
        PB_TEST(loop_in_code_of_another_width),
        PB_TEST(loop_that_could_not_be_read),
        PB_TEST(trail_knows_where_one_came_from),
    };

    return pb_tap_run(tests, sizeof(tests) / sizeof(tests[0]));
}
