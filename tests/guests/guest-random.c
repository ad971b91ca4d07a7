/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guest-random.c: run generated guests. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest-gen.h"
#include "guests.h"

#define LIST_SIZE 4000

extern const uint8_t code_random[], code_random_end[];

typedef struct Total {
    unsigned ok, refused, failed;
    uint64_t events, landings, ticks;
} Total;

static void print_failure(const GuestOptions *o, const GuestResult *r,
                          const char *only, const char *list)
{
    const char *line = r->why;

    printf("# failed; again: pb-guests --counter %s --backup-counter %s "
           "--rounds %u --random 1 --seed %llu%s%s\n",
           pb_counter_kind_name(o->counter),
           pb_counter_kind_name(o->backup_counter), o->rounds,
           (unsigned long long)o->seed, only ? " --items " : "",
           only ? only : "");
    while (*line) {
        int n = strcspn(line, "\n");

        printf("# %.*s\n", n, line);
        line += n + (line[n] != 0);
    }
    printf("# items:%s\n", list);
}

static void one(const GuestOptions *o, const char *only, Total *t)
{
    size_t base = code_random_end - code_random;
    uint8_t *code = calloc(1, base + GEN_END - GEN_BODY);
    Guest g = {
        .name = "random", .code = code,
        .code_end = code + base + GEN_END - GEN_BODY,
        .has_tsc = o->tsc != NULL,
    };
    char list[LIST_SIZE];
    GuestResult r;
    bool refused;

    if (!code) {
        t->failed++;
        return;
    }
    memcpy(code, code_random, base);
    gen_guest(code + base, o->seed, only, list, sizeof(list));
    guest_run(&g, o, &r);
    refused = !r.ok && o->refusal && strstr(r.why, o->refusal);
    t->ok += r.ok;
    t->refused += refused;
    t->failed += !r.ok && !refused;
    t->events += r.events;
    t->ticks += r.ticks;
    t->landings += r.backup.landings;
    if (!r.ok && !refused) {
        print_failure(o, &r, only, list);
    }
    free(code);
}

unsigned guest_random_runs(const GuestOptions *o, unsigned n,
                           unsigned runs, const char *only)
{
    GuestOptions mine = *o;
    Total t = { 0 };
    unsigned i;

    for (i = 0; i < n * runs; i++) {
        mine.seed = o->seed + i / runs;
        one(&mine, only, &t);
    }
    printf("# %u generated guests equal, %u refused, %u failed; %llu events, "
           "%llu landings; seeds %llu to %llu\n", t.ok, t.refused, t.failed,
           (unsigned long long)t.events, (unsigned long long)t.landings,
           (unsigned long long)o->seed, (unsigned long long)mine.seed);
    if (o->refusal && !t.refused) {
        printf("# expected some to be refused: %s\n", o->refusal);
        t.failed++;
    }
    return t.failed;
}
