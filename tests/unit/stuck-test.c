/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stuck-test.c: a Backup that runs and runs, and nothing comes of it. */
#include <string.h>

#include "backup-stuck.h"
#include "pb-tap.h"

#define SECOND 1000000000ull

static PbBackup b;
static struct kvm_run run;

static void make_backup(void)
{
    char why[200];

    memset(&b, 0, sizeof(b));
    memset(&run, 0, sizeof(run));
    b.v = (PbVcpu) { .fd = -1, .vm_fd = -1, .run = &run };
    pb_check(pb_counter_new(&b.v, PB_COUNTER_STEP, NULL, why, sizeof(why)));
    pb_counter_set(b.v.counter, 100);
}

/* Kicked for @seconds of the thread's own time, without a branch. */
static void run_for(unsigned seconds)
{
    pb_stuck_note_run(&b, PB_RUN_KICKED);
    pb_stuck_note_run(&b, PB_RUN_KICKED);
    pb_check(!b.idle.stuck);
    b.idle.since -= seconds * SECOND;
    pb_stuck_note_run(&b, PB_RUN_KICKED);
}

static void test_neither_branch_nor_exit_for_long_is_stuck(void)
{
    make_backup();
    run_for(4);
    pb_check(!b.idle.stuck);
    run_for(2);
    pb_check(b.idle.stuck);
    pb_counter_free(b.v.counter);
}

static void test_branch_begins_it_anew(void)
{
    make_backup();
    run_for(4);
    pb_counter_set(b.v.counter, 101);
    run_for(4);
    pb_check(!b.idle.stuck);
    pb_counter_free(b.v.counter);
}

static void test_exit_begins_it_anew(void)
{
    make_backup();
    run_for(4);
    pb_stuck_note_run(&b, PB_RUN_WROTE);
    run_for(4);
    pb_check(!b.idle.stuck);
    pb_counter_free(b.v.counter);
}

int main(void)
{
    static const PbTest tests[] = {
        PB_TEST(neither_branch_nor_exit_for_long_is_stuck),
        PB_TEST(branch_begins_it_anew),
        PB_TEST(exit_begins_it_anew),
    };

    return pb_tap_run(tests, sizeof(tests) / sizeof(tests[0]));
}
