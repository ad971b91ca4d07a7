/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guest-list.c: which guests there are, and what each one claims. */
#include "guests.h"

#define CODE(symbol) .code = guest_##symbol, .code_end = guest_##symbol##_end
#define DECLARE(symbol) \
    extern const uint8_t guest_##symbol[], guest_##symbol##_end[];

DECLARE(straight)
DECLARE(tight_loop)
DECLARE(rep_movs)

const Guest guests[] = {
    {
        .name = "straight", CODE(straight),
        .claim = "interrupts in code without branches",
    },
    {
        .name = "tight-loop", CODE(tight_loop),
        .claim = "interrupts in a loop of two instructions",
        .step_length = 500, .pmu_length = 1000000,
    },
    {
        .name = "rep-movs", CODE(rep_movs),
        .claim = "interrupts between iterations of REP MOVS",
        .step_length = 400, .pmu_length = 0x10000,
    },
};

const unsigned guests_count = sizeof(guests) / sizeof(guests[0]);
