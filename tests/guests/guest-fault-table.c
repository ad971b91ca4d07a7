/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guest-fault-table.c: many faults, and a table of what was found. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest-fault.h"

/*
 * With DMA, MMIO, long answers, NMIs, faults, memory slots, all registers;
 * and one that goes in a circle.
 */
static const char *const fault_guests[] = {
    "dma", "straight", "mmio", "port-input", "flags", "nmi", "page-fault",
    "rep-movs", "halt", "int-n", "ring3", "slots", "real-mode", "jump-self",
};
#define GUESTS (sizeof(fault_guests) / sizeof(fault_guests[0]))

static const char *const names[FAULT_KINDS] = {
    [FAULT_HEAD] = "way: bit of an event's head",
    [FAULT_BODY] = "way: bit of an event's body",
    [FAULT_PAYLOAD] = "way: bit of a payload",
    [FAULT_GARBAGE] = "way: event is random bytes",
    [FAULT_LOST] = "way: event lost",
    [FAULT_TWICE] = "way: event twice",
    [FAULT_SWAPPED] = "way: two events exchanged",
    [FAULT_UNRECORDED] = "recorder: event missing",
    [FAULT_RECORDED_TWICE] = "recorder: event twice",
    [FAULT_RECORDED_LATE] = "recorder: two exchanged",
    [FAULT_VECTOR] = "recorder: wrong vector",
    [FAULT_BRANCH] = "recorder: one branch off",
    [FAULT_RIP] = "recorder: RIP off",
    [FAULT_ANSWER] = "recorder: wrong answer",
    [FAULT_DMA] = "recorder: device write missing",
    [FAULT_RAM] = "Backup: bit of RAM",
    [FAULT_REGISTER] = "Backup: bit of a register",
    [FAULT_COUNT] = "Backup: one branch miscounted",
};

typedef struct Row {
    unsigned made, checks, verifies, equal, missed;
    uint64_t events_max, branches_max;
    uint64_t at_once;         /* found before that event was acted on */
    uint64_t slices_max;      /* that were equal until then */
} Row;

/* Of these, what this host can run; with their usual number of events. */
static const char *guest_name[GUESTS];
static uint64_t guest_events[GUESTS];
static unsigned guests_here;

static uint64_t distance(uint64_t from, uint64_t to)
{
    return to > from ? to - from : 0;
}

static void count(Row *row, const GuestFault *f, const GuestResult *result,
                  const char *guest)
{
    uint64_t events = distance(f->seq, f->found_seq);
    uint64_t branches = distance(f->branches, f->found_branches);

    row->made++;
    if (!f->found) {
        /* The last verify has compared all: there is no difference. */
        row->equal += result->ok;
        row->missed += !result->ok;
        if (!result->ok) {
            printf("# not found: %s: %s in %s: %s\n", names[f->kind], f->what,
                   guest, result->why);
        }
        return;
    }
    row->checks += !f->verify;
    row->verifies += f->verify;
    row->at_once += !f->verify && events == 0;
    if (events > row->events_max) {
        row->events_max = events;
    }
    if (f->branches && branches > row->branches_max) {
        row->branches_max = branches;
    }
    if (distance(f->slices, f->found_slices) > row->slices_max) {
        row->slices_max = distance(f->slices, f->found_slices);
    }
}

static void one_fault(const GuestOptions *common, Row *row, FaultKind kind,
                      unsigned i)
{
    GuestOptions o = *common;
    uint64_t random = (o.seed + i) * 0x9e3779b97f4a7c15ull + kind + 1;
    GuestFault f = { .kind = kind };
    GuestResult result;
    unsigned which;

    guest_random(&random);
    which = (guest_random(&random) >> 20) % guests_here;
    if (kind == FAULT_DMA || kind == FAULT_PAYLOAD) {
        which = 0;            /* "dma", where it runs */
    }
    f.at = 1 + (guest_random(&random) >> 20) % guest_events[which];
    f.random = random;
    o.seed = random;
    o.slices = kind == FAULT_RAM;
    o.fault = &f;
    guest_run(guest_named(guest_name[which]), &o, &result);
    if (f.done) {
        count(row, &f, &result, guest_name[which]);
    }
}

static void print_table(const Row *rows)
{
    unsigned k;

    printf("# %-31s %6s %6s %6s %6s %6s %6s %8s %8s\n", "fault", "made",
           "check", "verify", "equal", "missed", "at 0", "events",
           "branches");
    for (k = 0; k < FAULT_KINDS; k++) {
        const Row *r = &rows[k];

        printf("# %-31s %6u %6u %6u %6u %6u %6llu %8llu %8llu\n", names[k],
               r->made, r->checks, r->verifies, r->equal, r->missed,
               (unsigned long long)r->at_once,
               (unsigned long long)r->events_max,
               (unsigned long long)r->branches_max);
    }
    printf("# %s: found after at most %llu equal slices, %llu are a pass\n",
           names[FAULT_RAM], (unsigned long long)rows[FAULT_RAM].slices_max,
           (unsigned long long)GUEST_SLICES);
}

/* Run each once without a fault. */
static bool find_guests(const GuestOptions *o, bool real_mode_only)
{
    GuestResult result;
    unsigned i;

    for (i = 0; i < GUESTS; i++) {
        const Guest *g = guest_named(fault_guests[i]);

        if (real_mode_only && !g->real_mode) {
            continue;
        }
        guest_run(g, o, &result);
        if (result.skipped) {
            printf("# %s cannot run here: %s\n", fault_guests[i], result.why);
            continue;
        }
        if (!result.ok || result.events < 3) {
            printf("# without a fault: %s: %s\n", fault_guests[i],
                   result.why);
            return false;
        }
        guest_name[guests_here] = fault_guests[i];
        guest_events[guests_here++] = result.events;
    }
    return guests_here != 0;
}

unsigned guest_fault_table(const GuestOptions *o, unsigned n,
                           bool real_mode_only)
{
    Row rows[FAULT_KINDS] = { 0 };
    unsigned i, k, bad = 0;

    if (!find_guests(o, real_mode_only)) {
        return 1;
    }
    for (i = 0; i < n; i++) {
        one_fault(o, &rows[i % FAULT_KINDS], i % FAULT_KINDS, i);
    }
    print_table(rows);
    for (k = 0; k < FAULT_KINDS; k++) {
        /*
         * What is damaged on the way is found before anything is done with
         * it; all else at the last verify.
         */
        if (rows[k].missed ||
            (k <= FAULT_SWAPPED && rows[k].checks != rows[k].made)) {
            printf("# %s: not all found\n", names[k]);
            bad++;
        }
        if (k == FAULT_RAM && rows[k].slices_max >= GUEST_SLICES) {
            printf("# %s: found after %llu slices, a pass has %llu\n",
                   names[k], (unsigned long long)rows[k].slices_max,
                   (unsigned long long)GUEST_SLICES);
            bad++;
        }
    }
    return bad;
}
