/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guest-remedy.c: leave one remedy out at a time, and see it fail. */
#include <stdio.h>
#include <string.h>

#include "guests.h"
#include "pb-remedy.h"

typedef struct Case {
    const char *remedy;
    const char *guest;
    PbCounterKind counter;
    uint32_t rounds;
    uint32_t kicks;
    uint32_t evidence;
} Case;

#define STEP PB_COUNTER_STEP
#define PMU PB_COUNTER_PMU

/*
 * PB_REMEDY_ONE_DB and what follows it are for unit tests to show;
 * PB_REMEDY_RF needs lab/run --rf, SHADOW and UNSEEN need --mov-ss.
 */
static const Case cases[] = {
    [PB_REMEDY_FRAME] = { "TF leaves a fault's frame", "rep-fault", STEP, 30 },
    [PB_REMEDY_DUE] = { "what is due is part of a position", "back-to-back",
                        PMU, 100 },
    [PB_REMEDY_HASH] = { "registers and stack are part of a position", "leaf",
                         PMU, 100 },
    [PB_REMEDY_LOOP] = { "a loop's memory is part of a position",
                         "branchless", STEP, 30 },
    [PB_REMEDY_RESUMED] = { "steps where RF is set", "page-fault", PMU, 100 },
    [PB_REMEDY_HALF] = { "no position amid a delivery", "page-fault", PMU,
                         200, .kicks = 3000 },
    [PB_REMEDY_VPMU] = { "the guest has no PMU", "msr", PMU, 10 },
    [PB_REMEDY_IRET] = { "an IRET with an NMI waiting is stepped whole", "nmi",
                         STEP, 400, .kicks = 2000 },
    [PB_REMEDY_MARGIN] = { "the sampler is armed early", "tight-loop", PMU,
                           30 },
    [PB_REMEDY_NO_TF] = { "no TF where the next instruction is known", "flags",
                          STEP, 60 },
    [PB_REMEDY_RF] = { "RF is cleared before an injection", "slots", PMU, 100,
                       .kicks = 3000 },
    [PB_REMEDY_PENDING] = { "a pending exit is completed before a look",
                            "port-input", PMU, 100 },
    [PB_REMEDY_EVENTS] = { "events are put last", "page-fault", PMU, 100,
                           .evidence = 5 },
    [PB_REMEDY_INT] = { "no NMI right before an INT", "nmi-int", PMU, 100,
                        .kicks = 3000 },
    [PB_REMEDY_SHADOW] = { "a step over MOV SS may end one further",
                           "sti-shadow", STEP, 10 },
    [PB_REMEDY_UNSEEN] = { "nothing is recorded in a shadow", "nmi-shadow",
                           PMU, 100, .kicks = 3000 },
    [PB_REMEDY_TASK] = { "TF leaves the TSS of a task that is left", "task",
                         STEP, 30 },
    [PB_REMEDY_OWN_DB] = { "the guest gets a #DB of its own", "own-steps",
                           PMU, 100 },
    [PB_REMEDY_TICK] = { "the guest does not run while its TSC ticks",
                         "rdtsc", PMU, 30 },
    [PB_REMEDY_HIDE_RF] = { "RF is not set where EFLAGS is pushed", "int-n",
                            PMU, 100 },
};

#define CASES (unsigned)(sizeof(cases) / sizeof(cases[0]))
#define TRIES 20          /* some failures need luck */

/* One run without the remedy; true: it failed, as it should. */
static bool fails(const Case *c, const GuestOptions *o)
{
    GuestResult result;

    guest_run(guest_named(c->guest), o, &result);
    if (!result.ok) {
        printf("# %.*s\n", (int)strcspn(result.why, "\n"), result.why);
    }
    return !result.ok;
}

static bool prevents_something(PbRemedy r, const GuestOptions *o)
{
    const Case *c = &cases[r];
    GuestOptions mine = *o;
    unsigned i;
    bool failed = false;

    mine.counter = mine.backup_counter = c->counter;
    mine.rounds = c->rounds;
    mine.kicks = c->kicks;
    mine.evidence = c->evidence;
    pb_without = 1u << r;
    for (i = 0; i < TRIES && !failed; i++) {
        mine.seed = o->seed + i;
        failed = fails(c, &mine);
    }
    pb_without = 0;
    printf("%s %u %s (without it, guest %s, run %u)\n",
           failed ? "ok" : "not ok", r + 1, c->remedy, c->guest, i);
    return failed;
}

unsigned guest_remedies(const GuestOptions *o)
{
    unsigned r, useless = 0;

    printf("1..%u\n# seed %llu\n", CASES, (unsigned long long)o->seed);
    for (r = 0; r < CASES; r++) {
        useless += !prevents_something(r, o);
    }
    return useless;
}
