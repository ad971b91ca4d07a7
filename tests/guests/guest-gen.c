/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guest-gen.c: a guest's code from a random number. */
#include <stdio.h>
#include <string.h>

#include "guest-gen-items.h"
#include "guests.h"

#define LONGEST_ITEM 900      /* bytes; items made of items included */
#define MOST_ITEMS   40
#define HEADER       16

uint32_t gen_pick(Gen *g, uint32_t n)
{
    return (guest_random(&g->random) >> 20) % n;
}

bool gen_chance(Gen *g, uint32_t n)
{
    return gen_pick(g, n) == 0;
}

void gen_bytes(Gen *g, const uint8_t *bytes, unsigned n)
{
    memcpy(g->code + (g->at - GEN_BODY), bytes, n);
    g->at += n;
}

void gen_word(Gen *g, uint16_t value)
{
    gen_bytes(g, (uint8_t *)&value, sizeof(value));
}

void gen_long(Gen *g, uint32_t value)
{
    gen_bytes(g, (uint8_t *)&value, sizeof(value));
}

void gen_store(Gen *g, uint32_t address, uint32_t value)
{
    GEN(g, 0xc7, 0x05);
    gen_long(g, address);
    gen_long(g, value);
}

uint32_t gen_hole8(Gen *g)
{
    GEN(g, 0);
    return g->at - 1;
}

uint32_t gen_hole32(Gen *g)
{
    gen_long(g, 0);
    return g->at - 4;
}

void gen_to_here8(Gen *g, uint32_t hole)
{
    g->code[hole - GEN_BODY] = g->at - hole - 1;
}

static void fill32(Gen *g, uint32_t hole, uint32_t value)
{
    memcpy(g->code + (hole - GEN_BODY), &value, sizeof(value));
}

void gen_to_here32(Gen *g, uint32_t hole)
{
    fill32(g, hole, g->at - hole - 4);
}

void gen_here32(Gen *g, uint32_t hole)
{
    fill32(g, hole, g->at);
}

uint32_t gen_recover(Gen *g)
{
    gen_store(g, GEN_RECOVER, 0);
    return g->at - 4;
}

void gen_recovered(Gen *g, uint32_t hole)
{
    gen_here32(g, hole);
    GEN(g, 0x8b, 0x25);                        /* mov STACK, %esp */
    gen_long(g, GEN_STACK);
}

/* Whether @name is in the list, whose names are separated by commas. */
bool gen_named(const char *list, const char *name)
{
    size_t len = strlen(name);

    while (list) {
        if (strncmp(list, name, len) == 0 &&
            (list[len] == 0 || list[len] == ',')) {
            return true;
        }
        list = strchr(list, ',');
        list += list != NULL;
    }
    return false;
}

/* "a,b": these alone; "-a,b": all but these. */
static bool is_wanted(const Gen *g, const GenItem *it)
{
    if (!g->only || g->only[0] == '-') {
        return !(it->where & GEN_IF_NAMED) &&
               !(g->only && gen_named(g->only + 1, it->name));
    }
    return gen_named(g->only, it->name);
}

static const GenItem *pick_item(Gen *g)
{
    const GenItem *found = NULL;
    const GenItem *const tables[] = {
        gen_items_inside, gen_items_outside, gen_items_modes,
    };
    const GenItem *it;
    unsigned i, seen = 0;

    for (i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        for (it = tables[i]; it->name; it++) {
            if ((it->where & g->in) && is_wanted(g, it) &&
                gen_chance(g, ++seen)) {
                found = it;
            }
        }
    }
    return found;
}

static void tell(Gen *g, uint32_t at, const char *name)
{
    int n = snprintf(g->list + g->list_len, g->list_size - g->list_len,
                     " 0x%x %s", at, name);

    if (n > 0 && g->list_len + n < g->list_size) {
        g->list_len += n;
    }
}

void gen_item(Gen *g)
{
    const GenItem *it = pick_item(g);
    uint32_t start = g->at, hole;

    if (!it) {
        GEN(g, 0x90);
        return;
    }
    hole = gen_recover(g);
    tell(g, start, it->name);
    it->make(g);
    gen_recovered(g, hole);
}

/* A part ends with RET; its stack pointer is noted at its start. */
static void part(Gen *g, unsigned in, unsigned items, uint32_t end)
{
    g->in = in;
    GEN(g, 0x89, 0x25);                        /* mov %esp, STACK */
    gen_long(g, GEN_STACK);
    while (items-- && g->at + LONGEST_ITEM < end) {
        gen_item(g);
    }
    GEN(g, 0xc3);
}

void gen_guest(uint8_t *code, uint64_t seed, const char *only, char *list,
               size_t list_size)
{
    static const uint8_t modes[] = { MODE_IRQ, MODE_IRQ, MODE_BOTH };
    Gen g = {
        .random = seed * 0x9e3779b97f4a7c15ull + 1, .code = code,
        .only = only, .list = list, .list_size = list_size,
        .at = GEN_BODY + HEADER,
    };
    uint32_t header[4];

    list[0] = 0;
    gen_pick(&g, 2);
    g.paging = !gen_chance(&g, 3);
    header[0] = g.paging;
    header[1] = modes[gen_pick(&g, sizeof(modes))];
    header[3] = g.at;
    part(&g, GEN_IN_HANDLER, gen_pick(&g, 4), GEN_BODY + 0x1800);
    header[2] = g.at;
    part(&g, GEN_IN_MAIN, 1 + gen_pick(&g, MOST_ITEMS), GEN_END);
    memcpy(code, header, sizeof(header));
}
