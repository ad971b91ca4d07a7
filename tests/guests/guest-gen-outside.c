/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guest-gen-outside.c: devices, and interrupts on and off. */
#include "guest-gen-items.h"
#include "guests.h"

/* ---- the outside ---- */

static void port(Gen *g)
{
    static const uint8_t by_byte[] = { 0xe4, 0xe5, 0xe6, 0xe7 };
    static const uint8_t by_dx[] = { 0xec, 0xed, 0xee, 0xef };
    unsigned how = gen_pick(g, 4);
    uint8_t number = how < 2 ? PORT_RANDOM : PORT_CONSOLE;

    if (gen_chance(g, 2)) {
        gen_op16(g);
        GEN(g, by_byte[how], number);
    } else {
        GEN(g, 0xba, number, 0, 0, 0);
        gen_op16(g);
        GEN(g, by_dx[how]);
    }
    gen_plain(g, 2);
}

static void port_string(Gen *g)
{
    bool in = gen_chance(g, 2);

    /* Each element of an OUTS is an exit. */
    gen_set_string(g, in && gen_chance(g, 5));
    GEN(g, 0xba, in ? PORT_RANDOM : PORT_CONSOLE, 0, 0, 0);
    gen_op16(g);
    if (!gen_chance(g, 4)) {
        GEN(g, 0xf3);
    }
    GEN(g, (in ? 0x6c : 0x6e) | gen_pick(g, 2));
    gen_plain(g, 1);
}

static void mmio(Gen *g)
{
    static const uint8_t ops[] = { 0x8b, 0x89, 0x01, 0x33, 0x87, 0x85, 0x39 };
    unsigned n = 1 + gen_pick(g, 4);

    while (n--) {
        gen_op16(g);
        GEN(g, ops[gen_pick(g, sizeof(ops))], 0x05 | gen_pick(g, 4) << 3);
        gen_long(g, GEN_MMIO + gen_pick(g, 0xff0));
    }
}

static void out_al(Gen *g, uint8_t port, uint8_t value)
{
    GEN(g, 0xb0, value, 0xe6, port);
}

static void dma(Gen *g)
{
    switch (gen_pick(g, 3)) {
    case 0:
        GEN(g, 0xb8);
        gen_long(g, 0x30000 + gen_pick(g, 0x8000));
        GEN(g, 0xe7, PORT_DMA);
        break;
    case 1:
        GEN(g, 0xe5, PORT_DMA_IN);
        break;
    default:
        out_al(g, PORT_MODE, MODE_DMA);
        gen_plain(g, 4);
        gen_branch(g);
        out_al(g, PORT_MODE, MODE_IRQ);
    }
    GEN(g, 0xa1);                              /* mov ..., %eax */
    gen_long(g, GUEST_DMA_AREA + gen_pick(g, 2000));
}

static void slot(Gen *g)
{
    out_al(g, PORT_SLOT, gen_pick(g, 4));
    GEN(g, 0xff, 0x05);                        /* incl */
    gen_long(g, GUEST_EXTRA + gen_pick(g, 64));
}

static void verify(Gen *g)
{
    out_al(g, PORT_VERIFY, 0);
    gen_plain(g, 2);
}

static void msr(Gen *g)
{
    gen_set_ecx(g, gen_chance(g, 3) ? 0x12345 : 0x10);
    GEN(g, 0x0f, gen_chance(g, 2) ? 0x32 : 0x30);
}

/* ---- interrupts on and off ---- */

/* What comes must wake it: a fault may have left MODE_DMA behind. */
static void halt(Gen *g)
{
    GEN(g, 0xfa);
    out_al(g, PORT_MODE, MODE_IRQ);
    GEN(g, 0xfb, 0xf4);
    gen_plain(g, 2);
}

static void cli(Gen *g)
{
    GEN(g, 0xfa);
    gen_plain(g, 4);
    GEN(g, 0xfb);
    gen_plain(g, 4);
}

/* What may come right behind STI or MOV SS. */
void gen_in_shadow(Gen *g)
{
    static const uint8_t two[][2] = {
        { 0xcd, 0x40 }, { 0x0f, 0x0b }, { 0xe4, PORT_RANDOM }, { 0xcc, 0x90 },
        { 0xe6, PORT_CONSOLE }, { 0x9c, 0x58 }, { 0xeb, 0x00 },
        { 0x74, 0x00 }, { 0x0f, 0xa2 }, { 0x16, 0x17 }, { 0x9c, 0x9d },
    };

    if (gen_chance(g, 3)) {
        mmio(g);
    } else if (gen_chance(g, 3)) {
        gen_plain(g, 2);
    } else {
        gen_bytes(g, two[gen_pick(g, sizeof(two) / 2)], 2);
    }
}

static void sti(Gen *g)
{
    GEN(g, 0xfa, 0xfb);
    gen_in_shadow(g);
    gen_plain(g, 2);
}

static void mov_ss(Gen *g)
{
    uint32_t at = gen_scratch(g);

    switch (gen_pick(g, 3)) {
    case 0:
        GEN(g, 0x8c, 0xd0, 0x8e, 0xd0);        /* mov %ss, %eax and back */
        break;
    case 1:
        GEN(g, 0x16, 0x17);                    /* push %ss; pop %ss */
        break;
    default:
        GEN(g, 0x89, 0x25);                    /* mov %esp, ... */
        gen_long(g, at);
        GEN(g, 0x8c, 0x15);                    /* mov %ss, ... */
        gen_long(g, at + 4);
        GEN(g, 0x0f, 0xb2, 0x25);              /* lss ..., %esp */
        gen_long(g, at);
    }
    gen_in_shadow(g);
    gen_plain(g, 2);
}

/* For a guest that has a time stamp counter. */
static void tsc(Gen *g)
{
    GEN(g, 0x0f, 0x31, 0xa3);                  /* rdtsc; mov %eax, ... */
    gen_long(g, gen_data(g));
    gen_plain(g, 3);
}

const GenItem gen_items_outside[] = {
    { "port", GEN_ANYWHERE, port },
    { "port-string", GEN_ANYWHERE, port_string },
    { "mmio", GEN_ANYWHERE, mmio },
    { "dma", GEN_NO_RING3, dma },
    { "slot", GEN_NO_RING3, slot },
    { "verify", GEN_IN_MAIN, verify },
    { "msr", GEN_NO_RING3, msr },
    { "halt", GEN_IN_MAIN, halt },
    { "cli", GEN_IN_MAIN | GEN_IN_RING3, cli },
    { "sti", GEN_IN_MAIN, sti },
    { "mov-ss", GEN_ANYWHERE, mov_ss },
    { "tsc", GEN_ANYWHERE | GEN_IF_NAMED, tsc },
    { NULL },
};
