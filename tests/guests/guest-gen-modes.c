/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guest-gen-modes.c: code that changes, rings and modes. */
#include "guest-gen-items.h"
#include "guests.h"

/* ---- code that changes, other modes ---- */

/* With a jump after each write: TCG may miss one without (docs/lab.md). */
static void smc(Gen *g)
{
    GEN(g, 0x81, 0x05);                        /* addl $1, the constant */
    gen_long(g, g->at + 11);
    gen_long(g, 1);
    GEN(g, 0xeb, 0);
    GEN(g, 0xb8);                              /* mov $..., %eax */
    gen_long(g, guest_random(&g->random));
    GEN(g, 0x80, 0x35);                        /* xorb $8, the next one */
    gen_long(g, g->at + 7);
    GEN(g, 8, 0xeb, 0);
    GEN(g, 0x42);                              /* inc %edx, dec %edx */
    gen_plain(g, 2);
}

static void privileged(Gen *g)
{
    uint32_t at = gen_scratch(g);

    switch (gen_pick(g, 7)) {
    case 0:
        GEN(g, 0x0f, 0x20, 0xc0, 0x0f, 0x22, 0xc0);      /* CR0 */
        break;
    case 1:
        GEN(g, 0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8);      /* CR3 */
        break;
    case 2:
        GEN(g, 0x0f, 0x01, 0x3d);                        /* invlpg */
        gen_long(g, gen_address(g));
        break;
    case 3:
        GEN(g, 0x0f, 0x09);                              /* wbinvd */
        break;
    case 4:
        GEN(g, 0x0f, 0xa2);                              /* cpuid */
        break;
    case 5:
        GEN(g, 0x0f, 0x01, 0x0d);                        /* sidt, lidt */
        gen_long(g, at);
        GEN(g, 0x0f, 0x01, 0x1d);
        gen_long(g, at);
        break;
    default:
        GEN(g, 0x0f, 0x01, 0xe0, 0x0f, 0x01, 0xf0);      /* smsw, lmsw */
    }
    gen_plain(g, 2);
}

static void ring3(Gen *g)
{
    unsigned n = 1 + gen_pick(g, 4);
    uint32_t back, user;

    GEN(g, 0x89, 0x25);                        /* mov %esp, ... */
    gen_long(g, GEN_STACK_RING0);
    gen_store(g, GEN_BACK_RING0, 0);
    back = g->at - 4;
    gen_store(g, GEN_STACK, GEN_STACK_RING3);
    GEN(g, 0x6a, DS3, 0x68);
    gen_long(g, GEN_STACK_RING3);
    GEN(g, 0x9c, 0x6a, CS3, 0x68);             /* pushf; push $CS3; push $ */
    user = gen_hole32(g);
    GEN(g, 0xb8, DS3, 0, 0, 0, 0x8e, 0xd8, 0x8e, 0xc0, 0xcf);
    gen_here32(g, user);
    g->in = GEN_IN_RING3;
    while (n--) {
        gen_item(g);
    }
    g->in = GEN_IN_MAIN;
    GEN(g, 0xcd, 0x41);
    gen_here32(g, back);
}

static void one_of_16(Gen *g)
{
    switch (gen_pick(g, 9)) {
    case 0:
        GEN(g, 0x40, 0x01, 0xd8);              /* inc %ax; add %bx, %ax */
        break;
    case 1:
        GEN(g, 0xb9, 1 + gen_pick(g, 9), 0, 0x43, 0xe2, 0xfd);
        break;
    case 2:
        GEN(g, 0xcd, 0x40);
        break;
    case 3:
        GEN(g, 0x9c, 0x58, 0x50, 0x9d);        /* pushf to popf */
        break;
    case 4:
        GEN(g, 0x67, 0x66, 0x01, 0x05);        /* add %eax, ... */
        gen_long(g, gen_address(g));
        break;
    case 5:
        GEN(g, 0x66, 0x05);                    /* add $..., %eax */
        gen_long(g, guest_random(&g->random));
        break;
    case 6:
        GEN(g, 0x74, 1, 0x4b);                 /* jz; dec %bx */
        break;
    case 7:
        GEN(g, 0xe5, PORT_RANDOM);
        break;
    default:
        if (gen_chance(g, 3)) {
            GEN(g, 0x0f, 0x0b);
        }
    }
}

/* Into a 16-bit code segment and back; a fault goes on at the way back. */
static void code16(Gen *g)
{
    unsigned n = 1 + gen_pick(g, 8);
    uint32_t hole = gen_recover(g);

    GEN(g, 0xea);
    gen_long(g, g->at + 6);
    gen_word(g, CS16);
    while (n--) {
        one_of_16(g);
    }
    gen_here32(g, hole);
    GEN(g, 0x66, 0xea);
    gen_long(g, g->at + 6);
    gen_word(g, CS0);
}

/* Into real mode and back; a fault leaves it. */
static void real(Gen *g)
{
    unsigned n = 1 + gen_pick(g, 8);
    uint32_t code, back;

    if (g->paging) {
        gen_plain(g, 2);
        return;
    }
    gen_store(g, GEN_REAL_BACK, 0);
    back = g->at - 4;
    GEN(g, 0xb8);
    code = gen_hole32(g);
    GEN(g, 0xff, 0x25);                        /* jmp *... */
    gen_long(g, GEN_ENTER_REAL);
    gen_here32(g, code);
    while (n--) {
        one_of_16(g);
    }
    GEN(g, 0xff, 0x26);
    gen_word(g, GEN_LEAVE_REAL);
    gen_here32(g, back);
}

/* The guest single-steps itself. */
static void tf(Gen *g)
{
    uint32_t hole = gen_recover(g);

    GEN(g, 0x9c, 0x80, 0x4c, 0x24, 1, 1, 0x9d);          /* set TF */
    gen_plain(g, 3);
    gen_in_shadow(g);
    gen_plain(g, 3);
    GEN(g, 0x9c, 0x80, 0x64, 0x24, 1, 0xfe, 0x9d);       /* clear it */
    gen_recovered(g, hole);
}

/* The guest's own breakpoint, on an instruction or on what is written. */
static void dr(Gen *g)
{
    bool watch = gen_chance(g, 2);
    uint32_t hole = gen_recover(g), at = gen_data(g) & ~3u, code;

    GEN(g, 0xb8);
    code = gen_hole32(g);
    GEN(g, 0x0f, 0x23, 0xc0, 0xb8);            /* mov %eax, %dr0 */
    gen_long(g, watch ? 0xd0602 : 0x602);
    GEN(g, 0x0f, 0x23, 0xf8);                  /* mov %eax, %dr7 */
    gen_plain(g, 2);
    gen_here32(g, code);
    if (watch) {
        GEN(g, 0x89, 0x05);
        gen_long(g, at);
        g->code[code - GEN_BODY] = at;
        g->code[code - GEN_BODY + 1] = at >> 8;
        g->code[code - GEN_BODY + 2] = at >> 16;
    }
    gen_plain(g, 3);
    gen_recovered(g, hole);
    GEN(g, 0x31, 0xc0, 0x0f, 0x23, 0xf8);
}

const GenItem gen_items_modes[] = {
    { "smc", GEN_ANYWHERE, smc },
    { "privileged", GEN_ANYWHERE, privileged },
    { "ring3", GEN_IN_MAIN, ring3 },
    { "code16", GEN_NO_RING3, code16 },
    { "real", GEN_IN_MAIN, real },
    { "tf", GEN_ANYWHERE, tf },
    { "dr", GEN_IN_MAIN | GEN_IF_NAMED, dr },
    { NULL },
};
