/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-guests: run tiny guests as Primary and Backup; one TAP test per guest.
 * A test passes when the Backup has lived through every event and, at every
 * verify, has the Primary's registers and RAM byte for byte.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "guest-fault.h"
#include "guest-gen.h"
#include "guests.h"
#include "pb-remedy.h"
#include "pb-uarch.h"

static const char usage[] =
    "usage: pb-guests [OPTION]...\n"
    "Run tiny guests as Primary and Backup and compare them byte for byte.\n"
    "  --counter pmu|step  how branches are counted (default: step)\n"
    "  --backup-counter K  that of the Backup alone (as --counter)\n"
    "  --guest NAME        only this guest (may be repeated)\n"
    "  --list              name the guests\n"
    "  --slow              run also those that take long with pmu\n"
    "  --runs N            runs of each guest (1)\n"
    "  --seed N            of the outside world (default: the time)\n"
    "  --rounds N          interrupts a guest waits for (30, pmu: 200)\n"
    "  --rate N            interrupts per second, for pmu (2000)\n"
    "  --lag MS            how far the Backup stays behind (0)\n"
    "  --lag-events N      and at least so many events (0)\n"
    "  --lag-branches N    and at least so many branches (0)\n"
    "  --spill             when the ring is full, go on into a file\n"
    "  --marks N           more progress marks at each tick, to fill it (0)\n"
    "  --margin N          branches, for pmu (default: by self-check)\n"
    "  --verify-all        compare at every tick, not only at the end\n"
    "  --slices            compare RAM in the background, at every entry\n"
    "  --kicks N           signals per second to both vCPUs, for nothing (0)\n"
    "  --walk              debug the Backup all the time\n"
    "  --evidence N        save the Backup on its way, replay the file, and\n"
    "                      save replays of it at about N events\n"
    "  --faults N          make N faults instead, and tell what was found\n"
    "  --remedies          leave one remedy out at a time, and see it fail\n"
    "  --random N          run N generated guests instead, from --seed on\n"
    "  --items A,B...      of these items alone (see guest-gen-items.c)\n"
    "  --refusal TEXT      of which some end with a report that has this in it\n"
    "  --timeout S         for one run (60)\n";

typedef struct Wanted {
    GuestOptions o;
    unsigned runs, faults, random;
    const char *items;
    bool slow, remedies;
    const char *guest[32];
    unsigned guests;
    char emulates[200];       /* why this host runs real mode alone, or "" */
    PbTscModel tsc;           /* or why there is none: */
    char no_tsc[240];
} Wanted;

/* Sums over the runs of one guest. */
typedef struct Sums {
    uint64_t events, landings, steps, verifies, exits_max;
    uint64_t saved_events, questions, partials, back, near, missed;
    uint64_t spills, spilled, lag_checks, tsc_late;
    uint64_t by_exits[32];
    unsigned walks[WALK_KINDS];
    uint32_t skid_max;
} Sums;

static void bad_option(const char *name, const char *value)
{
    fprintf(stderr, "pb-guests: --%s: expected a number (or pmu, step), got "
            "\"%s\": see --help\n", name, value);
    exit(2);
}

static uint64_t number(const char *name, const char *value)
{
    char *end;
    uint64_t n = strtoull(value, &end, 0);

    if (!*value || *end) {
        bad_option(name, value);
    }
    return n;
}

static PbCounterKind counter_kind(const char *name, const char *value)
{
    if (strcmp(value, "pmu") == 0) {
        return PB_COUNTER_PMU;
    }
    if (strcmp(value, "step") != 0) {
        bad_option(name, value);
    }
    return PB_COUNTER_STEP;
}

static void list_guests(void)
{
    unsigned i;

    for (i = 0; i < guests_count; i++) {
        printf("%-16s %s%s%s\n", guests[i].name, guests[i].claim,
               guests[i].slow ? "; slow with pmu: " : "",
               guests[i].slow ? guests[i].slow : "");
    }
    exit(0);
}

static const struct option options[] = {
    { "counter", required_argument, NULL, 'c' },
    { "backup-counter", required_argument, NULL, 'b' },
    { "guest", required_argument, NULL, 'g' },
    { "list", no_argument, NULL, 'l' },
    { "slow", no_argument, NULL, 'p' },
    { "runs", required_argument, NULL, 'n' },
    { "seed", required_argument, NULL, 's' },
    { "rounds", required_argument, NULL, 'r' },
    { "rate", required_argument, NULL, 'f' },
    { "lag", required_argument, NULL, 'a' },
    { "lag-events", required_argument, NULL, 'A' },
    { "lag-branches", required_argument, NULL, 'B' },
    { "spill", no_argument, NULL, 'S' },
    { "marks", required_argument, NULL, 'M' },
    { "margin", required_argument, NULL, 'm' },
    { "timeout", required_argument, NULL, 't' },
    { "verify-all", no_argument, NULL, 'v' },
    { "slices", no_argument, NULL, 'i' },
    { "kicks", required_argument, NULL, 'k' },
    { "walk", no_argument, NULL, 'w' },
    { "faults", required_argument, NULL, 'u' },
    { "remedies", no_argument, NULL, 'd' },
    { "evidence", required_argument, NULL, 'e' },
    { "random", required_argument, NULL, 'R' },
    { "items", required_argument, NULL, 'I' },
    { "refusal", required_argument, NULL, 'x' },
    { "help", no_argument, NULL, 'h' },
    { NULL, 0, NULL, 0 },
};

static void one_option(Wanted *w, int c, const char *name)
{
    switch (c) {
    case 'c':
        w->o.counter = counter_kind(name, optarg);
        break;
    case 'b':
        w->o.backup_counter = counter_kind(name, optarg);
        break;
    case 'g':
        if (w->guests < sizeof(w->guest) / sizeof(w->guest[0])) {
            w->guest[w->guests++] = optarg;
        }
        break;
    case 'l':
        list_guests();
        break;
    case 'p':
        w->slow = true;
        break;
    case 'n':
        w->runs = number(name, optarg);
        break;
    case 's':
        w->o.seed = number(name, optarg);
        break;
    case 'r':
        w->o.rounds = number(name, optarg);
        break;
    case 'f':
        w->o.rate = number(name, optarg);
        break;
    case 'a':
        w->o.lag.ns = number(name, optarg) * 1000000;
        break;
    case 'A':
        w->o.lag.events = number(name, optarg);
        break;
    case 'B':
        w->o.lag.branches = number(name, optarg);
        break;
    case 'S':
        w->o.spill = true;
        break;
    case 'M':
        w->o.marks = number(name, optarg);
        break;
    case 'm':
        w->o.margin = number(name, optarg);
        break;
    case 't':
        w->o.timeout_s = number(name, optarg);
        break;
    case 'v':
        w->o.verify_all = true;
        break;
    case 'i':
        w->o.slices = true;
        break;
    case 'k':
        w->o.kicks = number(name, optarg);
        break;
    case 'w':
        w->o.walk = true;
        break;
    case 'u':
        w->faults = number(name, optarg);
        break;
    case 'd':
        w->remedies = true;
        break;
    case 'e':
        w->o.evidence = number(name, optarg);
        break;
    case 'R':
        w->random = number(name, optarg);
        break;
    case 'I':
        w->items = optarg;
        break;
    case 'x':
        w->o.refusal = optarg;
        break;
    case 'h':
        fputs(usage, stdout);
        exit(0);
    default:
        fputs(usage, stderr);
        exit(2);
    }
}

static void parse(Wanted *w, int argc, char **argv)
{
    int c, which = 0;

    w->runs = 1;
    w->o = (GuestOptions) {
        .counter = PB_COUNTER_STEP, .backup_counter = PB_COUNTER_AUTO,
        .rate = 2000, .timeout_s = 60,
        .seed = (uint64_t)time(NULL) << 20 | (getpid() & 0xfffff),
    };
    while ((c = getopt_long(argc, argv, "", options, &which)) != -1) {
        one_option(w, c, options[which].name);
    }
    if (optind != argc || w->runs == 0 || w->o.rate == 0) {
        fputs(usage, stderr);
        exit(2);
    }
    if (w->o.backup_counter == PB_COUNTER_AUTO) {
        w->o.backup_counter = w->o.counter;
    }
    if (w->o.rounds == 0) {
        w->o.rounds = guest_is_stepped(&w->o) ? 30 : 200;
    }
}

static bool wanted(const Wanted *w, const Guest *g)
{
    unsigned i;

    for (i = 0; i < w->guests; i++) {
        if (strcmp(w->guest[i], g->name) == 0) {
            return true;
        }
    }
    if (g->no_branches && w->o.counter == PB_COUNTER_PMU &&
        w->o.backup_counter == PB_COUNTER_STEP) {
        return false;
    }
    /* Stepped, a burst's handlers outlast the time between two bursts. */
    if (g->mode == MODE_BURST && w->o.counter == PB_COUNTER_STEP) {
        return false;
    }
    return w->guests == 0 && !g->has_tsc &&
           (w->slow || !g->slow || guest_is_stepped(&w->o));
}

static void skip_all(const char *why)
{
    printf("1..0 # SKIP %s\n", why);
    exit(77);
}

/* Some hosts' KVM emulates much, and lacks what protected mode needs. */
static void probe_kvm(Wanted *w)
{
    GuestOptions o = w->o;
    GuestResult result;

    o.rounds = 1;
    guest_run(guest_named("int-n"), &o, &result);
    if (result.skipped) {
        memcpy(w->emulates, result.why, sizeof(w->emulates) - 1);
    }
}

static void set_up_host(Wanted *w)
{
    char why[300];
    PbSelfCheck check;

    w->o.kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (w->o.kvm_fd < 0) {
        snprintf(why, sizeof(why), "/dev/kvm: %s", strerror(errno));
        skip_all(why);
    }
    if (w->o.counter == PB_COUNTER_STEP) {
        probe_kvm(w);
    }
    if (w->o.counter == PB_COUNTER_STEP &&
        w->o.backup_counter == PB_COUNTER_STEP) {
        return;
    }
    if (!pb_self_check(w->o.kvm_fd, &check, why, sizeof(why))) {
        skip_all(why);
    }
    w->o.uarch = check.uarch;
    if (w->o.margin == 0) {
        w->o.margin = check.margin;
    }
    printf("# %s, margin %u (skid at most %u), step %u ns, breakpoint %u "
           "ns\n", check.uarch->name, w->o.margin, check.skid_max,
           check.step_ns, check.break_ns);
}

/* Guests that have a time stamp counter are asked for by name. */
static void set_up_tsc(Wanted *w)
{
    bool wants = w->remedies || gen_named(w->items, "tsc");
    unsigned i;

    for (i = 0; i < guests_count; i++) {
        wants |= guests[i].has_tsc && wanted(w, &guests[i]);
    }
    if (wants && pb_tsc_check(w->o.kvm_fd, &w->tsc, w->no_tsc,
                              sizeof(w->no_tsc))) {
        w->o.tsc = &w->tsc;
        printf("# a guest's TSC ticks each %llu of the host's\n",
               (unsigned long long)pb_tsc_when(&w->tsc, 1));
    }
}

static void add(Sums *s, const GuestResult *r)
{
    unsigned i;

    s->events += r->events;
    s->tsc_late += r->tsc_late;
    s->verifies += r->verifies;
    s->saved_events += r->saved_events;
    s->questions += r->questions;
    s->partials += r->partials;
    s->back += r->back;
    s->near += r->near;
    s->missed += r->missed;
    s->spills += r->spills;
    s->spilled += r->spilled;
    s->lag_checks += r->lag_checks;
    s->landings += r->backup.landings;
    s->steps += r->backup.steps;
    for (i = 0; i < 32; i++) {
        s->by_exits[i] += r->backup.landing_exits[i];
    }
    for (i = 0; i < WALK_KINDS; i++) {
        s->walks[i] += r->walks[i];
    }
    if (r->backup.landing_exits_max > s->exits_max) {
        s->exits_max = r->backup.landing_exits_max;
    }
    if (r->backup.skid_max > s->skid_max) {
        s->skid_max = r->backup.skid_max;
    }
}

/* Exits that @percent of the landings did not exceed; 31: or more. */
static unsigned percentile(const Sums *s, unsigned percent)
{
    uint64_t seen = 0;
    unsigned i;

    for (i = 0; i < 31; i++) {
        seen += s->by_exits[i];
        if (seen * 100 >= s->landings * percent) {
            break;
        }
    }
    return i;
}

static void print_failure(const GuestResult *r, uint64_t seed)
{
    char text[sizeof(r->why)], *line, *rest = text;

    memcpy(text, r->why, sizeof(text));
    printf("# failed with --seed %llu\n", (unsigned long long)seed);
    while ((line = strsep(&rest, "\n"))) {
        printf("# %s\n", line);
    }
}

static void print_sums(const Guest *g, const Sums *s, unsigned runs)
{
    printf("# %s: %u runs, %llu events, %llu landings, %llu verifies; exits "
           "per landing: median %u, p99 %u, most %llu; %llu steps, skid at "
           "most %u\n", g->name, runs, (unsigned long long)s->events,
           (unsigned long long)s->landings, (unsigned long long)s->verifies,
           percentile(s, 50), percentile(s, 99),
           (unsigned long long)s->exits_max, (unsigned long long)s->steps,
           s->skid_max);
    if (g->has_tsc) {
        printf("# %s: %llu runs of a vCPU ended after their tick\n", g->name,
               (unsigned long long)s->tsc_late);
    }
    if (s->spilled || s->lag_checks) {
        printf("# %s: %llu events spilled, %llu times; the lag seen to hold "
               "%llu times\n", g->name, (unsigned long long)s->spilled,
               (unsigned long long)s->spills,
               (unsigned long long)s->lag_checks);
    }
    if (s->saved_events) {
        printf("# %s: %llu events in files; %llu Backups saved at an exit, "
               "%llu in the middle of an access; %llu places gone back to, %llu "
               "from near, %llu landings there missed\n", g->name,
               (unsigned long long)s->saved_events,
               (unsigned long long)s->questions,
               (unsigned long long)s->partials,
               (unsigned long long)s->back,
               (unsigned long long)s->near,
               (unsigned long long)s->missed);
    }
}

static void print_walks(const Sums *s)
{
    printf("# walks that found what they looked for: %u by steps, %u to an "
           "event, %u to a branch count, %u to a breakpoint, %u to one of "
           "many, %u to a watched write\n", s->walks[WALK_STEPS],
           s->walks[WALK_EVENT], s->walks[WALK_BRANCHES],
           s->walks[WALK_BREAK], s->walks[WALK_MANY], s->walks[WALK_WATCH]);
}

static bool test_guest(const Wanted *w, const Guest *g, int number)
{
    GuestOptions o = w->o;
    GuestResult result;
    Sums s = { 0 };
    unsigned run, failed = 0;

    if (w->emulates[0] && !g->real_mode) {
        printf("ok %d %s: %s # SKIP %s\n", number, g->name, g->claim,
               w->emulates);
        return true;
    }
    if (g->has_tsc && !o.tsc) {
        printf("# %s\nnot ok %d %s: %s\n", w->no_tsc, number, g->name,
               g->claim);
        return false;
    }
    for (run = 0; run < w->runs; run++) {
        o.seed = w->o.seed + run;
        guest_run(g, &o, &result);
        add(&s, &result);
        if (!result.ok) {
            failed++;
            print_failure(&result, o.seed);
        }
    }
    print_sums(g, &s, w->runs);
    if (o.walk) {
        print_walks(&s);
    }
    printf("%s %d %s: %s\n", failed ? "not ok" : "ok", number, g->name,
           g->claim);
    return failed == 0;
}

int main(int argc, char **argv)
{
    Wanted w = { 0 };
    unsigned i;
    int n = 0, failed = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    pb_distrust = true;
    parse(&w, argc, argv);
    set_up_host(&w);
    set_up_tsc(&w);
    if (w.faults) {
        printf("1..1\n# seed %llu\n", (unsigned long long)w.o.seed);
        failed = guest_fault_table(&w.o, w.faults,
                                   w.emulates[0] != 0) != 0;
        printf("%s 1 faults are found\n", failed ? "not ok" : "ok");
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
    }
    if (w.remedies) {
        return guest_remedies(&w.o) ? EXIT_FAILURE : EXIT_SUCCESS;
    }
    if (w.random) {
        if (w.emulates[0]) {
            skip_all(w.emulates);
        }
        if (gen_named(w.items, "tsc") && !w.o.tsc) {
            printf("1..1\n# %s\nnot ok 1 generated guests\n", w.no_tsc);
            return EXIT_FAILURE;
        }
        printf("1..1\n");
        failed = guest_random_runs(&w.o, w.random, w.runs, w.items) != 0;
        printf("%s 1 generated guests\n", failed ? "not ok" : "ok");
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
    }
    for (i = 0; i < guests_count; i++) {
        n += wanted(&w, &guests[i]);
    }
    if (n == 0) {
        fprintf(stderr, "pb-guests: no such guest: see --list\n");
        return 2;
    }
    printf("1..%d\n# counter %s, the Backup's %s, seed %llu\n", n,
           pb_counter_kind_name(w.o.counter),
           pb_counter_kind_name(w.o.backup_counter),
           (unsigned long long)w.o.seed);
    for (i = 0, n = 0; i < guests_count; i++) {
        if (wanted(&w, &guests[i])) {
            failed += !test_guest(&w, &guests[i], ++n);
        }
    }
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
