/* SPDX-License-Identifier: GPL-2.0-or-later */
/* turns-test.c: whose turn it is, and for how long. */
#include "pb-tap.h"
#include "pb-turns.h"

#define CPUS  3
#define ALL   7u
#define MS    1000000ll
#define SEED  1

/* What came of a time in which all could run. */
typedef struct Sum {
    unsigned turns[CPUS];
    unsigned after[CPUS][CPUS];   /* [whom][who] */
    int64_t ran[CPUS];
    unsigned fine, short_ones, long_ones;
} Sum;

/* A branch of the guest's that is pretended. */
#define BRANCH_NS 10

static PbTurns turns(bool chaos)
{
    PbTurns t;

    pb_turns_init(&t, CPUS, SEED);
    pb_turns_set_chaos(&t, chaos);
    pb_turns_begin(&t, 0);
    return t;
}

static void test_plain_turns_go_round(void)
{
    PbTurns t = turns(false);
    int64_t now = 0;
    unsigned at = 0, i;

    for (i = 1; i < 3 * CPUS; i++) {
        pb_check(pb_turns_end(&t, now, at, ALL, 0) == now + PB_TURN_NS);
        pb_check(pb_turns_next(&t, now + PB_TURN_NS - 1, at, ALL, 0) == at);
        now += PB_TURN_NS;
        pb_check(pb_turns_next(&t, now, at, ALL, 0) == i % CPUS);
        at = i % CPUS;
        pb_turns_begin(&t, now);
    }
}

static void test_an_interrupt_comes_soon(void)
{
    PbTurns t = turns(false);
    uint32_t wanted = 1u << 2;

    pb_check(pb_turns_end(&t, 0, 0, ALL, wanted) == PB_TURN_LEAST_NS);
    pb_check(pb_turns_next(&t, PB_TURN_LEAST_NS - 1, 0, ALL, wanted) == 0);
    pb_check(pb_turns_next(&t, PB_TURN_LEAST_NS, 0, ALL, wanted) == 2);
    /* Its own is no reason. */
    pb_check(pb_turns_next(&t, PB_TURN_LEAST_NS, 0, ALL, 1) == 0);
}

static void test_who_halts_gives_way(void)
{
    PbTurns t = turns(false);

    pb_check(pb_turns_next(&t, 1, 0, 1u << 2, 0) == 2);
    pb_check(pb_turns_next(&t, 1, 0, 0, 0) == 0);
    /* Alone it needs no end. */
    pb_check(pb_turns_end(&t, 1, 0, 1, 0) == INT64_MAX);
    pb_check(pb_turns_next(&t, 10 * PB_TURN_NS, 0, 1, 0) == 0);
}

/* All could run, for so long. */
static Sum live(PbTurns *t, int64_t until)
{
    int64_t now = 0, end;
    unsigned at = 0, next;
    uint64_t branches;
    Sum sum = { .fine = 0 };

    while (now < until) {
        end = pb_turns_end(t, now, at, ALL, 0);
        pb_check(end > now && end <= now + PB_CHAOS_TURN_MAX_MEANS *
                 (int64_t)PB_CHAOS_MEAN_MAX_NS);
        branches = pb_turns_branches(t, now, at, ALL);
        if (branches && now + (int64_t)branches * BRANCH_NS < end) {
            end = now + branches * BRANCH_NS;
            pb_turns_cut(t);
            sum.fine += branches < 100;
        }
        sum.ran[at] += end - now;
        sum.turns[at]++;
        sum.short_ones += end - now < MS / 10;
        sum.long_ones += end - now > 10 * MS;
        now = end;
        next = pb_turns_next(t, now, at, ALL, 0);
        pb_check(next < CPUS && !(pb_turns_held(t, now) >> next & 1));
        sum.after[at][next]++;
        if (next != at) {
            pb_turns_begin(t, now);
        }
        at = next;
    }
    return sum;
}

static void test_chaos_has_turns_of_all_kinds(void)
{
    PbTurns t = turns(true);
    Sum sum = live(&t, 600000 * MS);
    unsigned i, j;

    pb_check(sum.short_ones > 1000 && sum.long_ones > 1000 &&
             sum.fine > 1000);
    for (i = 0; i < CPUS; i++) {
        /* No one is left out, */
        pb_check(sum.ran[i] > 600000 * MS / (CPUS + 1));
        /* and each may come after each. */
        for (j = 0; j < CPUS; j++) {
            pb_check(sum.after[i][j] > sum.turns[i] / (2 * CPUS));
        }
    }
}

static void test_the_same_seed_the_same_turns(void)
{
    PbTurns one = turns(true), two = turns(true), other;
    int64_t at = 3 * PB_CHAOS_PHASE_NS;

    live(&one, 1000 * MS);
    live(&two, 1000 * MS);
    pb_check(one.began == two.began && one.most == two.most);
    pb_turns_init(&other, CPUS, SEED + 1);
    pb_turns_set_chaos(&other, true);
    pb_turns_begin(&other, at);
    pb_turns_begin(&one, at);
    pb_check(other.most != one.most);
}

/* One that could go on waits, while nobody else may: the guest stands. */
static void test_chaos_holds_one_that_is_alone(void)
{
    PbTurns t = turns(true);
    int64_t now = 0, held = 0, longest = 0, until = 60000 * MS;
    uint32_t set;

    while (now < until) {
        /* Fine turns are for several. */
        pb_check_u64(pb_turns_branches(&t, now, 1, 1u << 1), 0);
        now = pb_turns_end(&t, now, 1, 1u << 1, 0);
        pb_check(pb_turns_next(&t, now, 1, 1u << 1, 0) == 1);
        set = pb_turns_held(&t, now);
        pb_check(!set || set == 1u << 1);
        if (set) {
            int64_t wait = t.held_until - now;

            held += wait;
            longest = wait > longest ? wait : longest;
            now = t.held_until;
            pb_check(pb_turns_next(&t, now, 1, 1u << 1, 0) == 1);
            pb_check(!pb_turns_held(&t, now));
        }
    }
    pb_check(longest > PB_CHAOS_HELD_MAX_NS / 2 &&
             longest <= PB_CHAOS_HELD_MAX_NS);
    pb_check(held > until / 50 && held < until / 5);
}

/* Interrupts for others wait for half of the turns' ends. */
static void test_chaos_may_be_deaf(void)
{
    PbTurns t = turns(true);
    unsigned deaf = 0, heard = 0, i;

    for (i = 0; i < 1000; i++) {
        pb_turns_begin(&t, i * 1000 * MS);
        pb_check(t.least <= t.most);
        deaf += t.least == t.most && t.most > PB_TURN_LEAST_NS;
        heard += t.least == PB_TURN_LEAST_NS;
    }
    pb_check(deaf > 200 && heard > 200);
}

static void test_chaos_ends(void)
{
    PbTurns t = turns(true);

    live(&t, 1000 * MS);
    pb_turns_set_chaos(&t, false);
    pb_check(!pb_turns_held(&t, t.began));
    pb_turns_begin(&t, 2000 * MS);
    pb_check(pb_turns_end(&t, 2000 * MS, 0, ALL, 0) ==
             2000 * MS + PB_TURN_NS);
}

static void test_a_clock_that_goes_back_holds_nobody(void)
{
    PbTurns t = turns(true);

    pb_turns_begin(&t, 5000 * MS);
    t.held = 1;
    t.held_until = 5010 * MS;
    pb_turns_begin(&t, 1000 * MS);
    pb_check(!pb_turns_held(&t, 1000 * MS));
    pb_check(t.phase_end <= 1000 * MS + PB_CHAOS_PHASE_NS);
}

int main(void)
{
    static const PbTest tests[] = {
        PB_TEST(plain_turns_go_round),
        PB_TEST(an_interrupt_comes_soon),
        PB_TEST(who_halts_gives_way),
        PB_TEST(chaos_has_turns_of_all_kinds),
        PB_TEST(the_same_seed_the_same_turns),
        PB_TEST(chaos_holds_one_that_is_alone),
        PB_TEST(chaos_may_be_deaf),
        PB_TEST(chaos_ends),
        PB_TEST(a_clock_that_goes_back_holds_nobody),
    };

    return pb_tap_run(tests, sizeof(tests) / sizeof(tests[0]));
}
