/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guest-gen-items.c: jumps, strings, interrupts and faults. */
#include "guest-gen-items.h"
#include "guests.h"

#define CS16 0x30

static uint8_t back8(const Gen *g, uint32_t to)
{
    return to - g->at - 1;
}

void gen_set_ecx(Gen *g, uint32_t n)
{
    GEN(g, 0xb9);
    gen_long(g, n);
}

/* Eight bytes that nobody else writes to. */
uint32_t gen_scratch(const Gen *g)
{
    return g->in == GEN_IN_HANDLER ? GEN_SCRATCH + 8 : GEN_SCRATCH;
}

static void plain(Gen *g)
{
    gen_plain(g, 8);
}

/* Forward over some instructions. */
static void jump_over(Gen *g, unsigned most)
{
    uint32_t hole;

    if (gen_chance(g, 3)) {
        GEN(g, 0x0f, 0x80 | gen_pick(g, 16));
        hole = gen_hole32(g);
        gen_plain(g, most);
        gen_to_here32(g, hole);
    } else {
        GEN(g, gen_chance(g, 5) ? 0xe3 : 0x70 | gen_pick(g, 16));
        hole = gen_hole8(g);
        gen_plain(g, most);
        gen_to_here8(g, hole);
    }
}

void gen_branch(Gen *g)
{
    unsigned n = 1 + gen_pick(g, 4);

    while (n--) {
        jump_over(g, 4);
        gen_plain(g, 2);
    }
}

/* LOOP, LOOPE, LOOPNE, or DEC and JNZ. */
static void loop(Gen *g)
{
    uint8_t how = gen_pick(g, 4);
    uint32_t top;

    gen_set_ecx(g, 1 + gen_pick(g, gen_chance(g, 4) ? 300 : 12));
    g->counting = true;
    top = g->at;
    if (gen_chance(g, 2)) {
        gen_plain(g, 3);
    }
    if (gen_chance(g, 2)) {
        jump_over(g, 2);
    }
    if (how == 3) {
        GEN(g, 0x49, 0x75);
    } else {
        GEN(g, 0xe0 + how);
    }
    GEN(g, back8(g, top));
    g->counting = false;
}

/* A function of its own, called by each kind of CALL. */
static void call(Gen *g)
{
    bool far = gen_chance(g, 3);
    unsigned n = 1 + gen_pick(g, 3);
    uint32_t hole, function;

    GEN(g, 0xe9);
    hole = gen_hole32(g);
    function = g->at;
    gen_plain(g, 4);
    GEN(g, far ? 0xcb : 0xc3);
    gen_to_here32(g, hole);
    while (n--) {
        if (far) {
            GEN(g, 0x9a);
            gen_long(g, function);
            gen_word(g, g->in == GEN_IN_RING3 ? CS3 : CS0);
        } else if (gen_chance(g, 2)) {
            GEN(g, 0xe8);
            gen_long(g, function - g->at - 4);
        } else {
            GEN(g, 0xb8);                      /* mov $..., %eax */
            gen_long(g, function);
            GEN(g, 0xff, 0xd0);                /* call *%eax */
        }
        gen_plain(g, 2);
    }
}

/* ECX, ESI, EDI and DF for a string instruction; few elements or many. */
void gen_set_string(Gen *g, bool many)
{
    uint32_t from = many ? GEN_DATA + 0x4000 + gen_pick(g, 0x7000)
                         : gen_address(g);
    uint32_t to = many ? GEN_LAZY - 0x1000 + gen_pick(g, 0x8000)
                       : gen_address(g);
    bool swap = gen_chance(g, 2);

    GEN(g, 0x1e, 0x07);                        /* push %ds; pop %es */
    GEN(g, gen_chance(g, 3) ? 0xfd : 0xfc);    /* std or cld */
    gen_set_ecx(g, gen_pick(g, many ? 3000 : 12));
    GEN(g, 0xbe);
    gen_long(g, swap ? to : from);
    GEN(g, 0xbf);
    gen_long(g, swap ? from : to);
}

void gen_op16(Gen *g)
{
    if (gen_chance(g, 4)) {
        GEN(g, 0x66);
    }
}

static void string(Gen *g)
{
    static const uint8_t ops[] = {
        0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf,
    };
    uint8_t op = ops[gen_pick(g, sizeof(ops))];

    gen_set_string(g, gen_chance(g, 5));
    if (op != 0xa4 && op != 0xa5 && op != 0xaa && op != 0xab &&
        gen_chance(g, 6)) {
        GEN(g, 0x67);
    }
    gen_op16(g);
    if (!gen_chance(g, 5)) {
        GEN(g, 0xf2 | gen_pick(g, 2));
    }
    GEN(g, op);
}

static void flags(Gen *g)
{
    uint32_t set = guest_random(&g->random) & 0x240cd5;   /* with AC, ID */

    GEN(g, 0x9c, 0x81, 0x24, 0x24);            /* pushf; andl, (%esp) */
    gen_long(g, ~0x240cd5u);
    GEN(g, 0x81, 0x0c, 0x24);                  /* orl */
    gen_long(g, set);
    GEN(g, 0x9d);
    gen_plain(g, 2);
    if (gen_chance(g, 2)) {
        GEN(g, 0x66, 0x9c, 0x66, 0x9d);        /* pushfw; popfw */
    }
    GEN(g, 0x9c, 0x58 | gen_pick(g, 4));       /* pushf; pop */
}

static void iret(Gen *g)
{
    if (gen_chance(g, 3)) {
        GEN(g, 0x66, 0x9c, 0x66, 0x0e, 0x66, 0x68);
        gen_word(g, g->at + 4);
        GEN(g, 0x66, 0xcf);
    } else {
        GEN(g, 0x9c, 0x0e, 0x68);              /* pushf; push %cs; push $ */
        gen_long(g, g->at + 5);
        GEN(g, 0xcf);
    }
    gen_plain(g, 2);
}

static void interrupt(Gen *g)
{
    static const uint8_t ints[][2] = {
        { 0xcd, 0x40 }, { 0xcc, 0x90 }, { 0xce, 0x90 },
    };
    unsigned n = 1 + gen_pick(g, 3);

    while (n--) {
        gen_bytes(g, ints[gen_pick(g, 3)], 2);
        gen_plain(g, 2);
    }
}

/* ---- faults: all that follows is skipped ---- */

static void bad_segment(Gen *g)
{
    static const uint8_t regs[] = { 0xc0, 0xe0, 0xe8 };   /* ES, FS, GS */

    GEN(g, 0xb8);
    gen_long(g, gen_chance(g, 3) ? 0 : 0x70);
    GEN(g, 0x8e, regs[gen_pick(g, 3)]);
    GEN(g, 0x26, 0xa1);                        /* mov %es:..., %eax */
    gen_long(g, gen_data(g));
}

static void fault(Gen *g)
{
    switch (gen_pick(g, 10)) {
    case 0:
        GEN(g, 0x0f, 0x0b);                    /* ud2 */
        break;
    case 1:
        GEN(g, 0x31, 0xdb, 0xf7, 0xf3);        /* xor; div %ebx */
        break;
    case 2:
        bad_segment(g);
        break;
    case 3:
        GEN(g, 0x62, 0x05);                    /* bound */
        gen_long(g, gen_data(g));
        break;
    case 4:
        GEN(g, 0xf0, 0x40);                    /* lock inc: #UD */
        break;
    case 5:
        GEN(g, 0xb8, 0, 0, 0, 0x80, 0x0f, 0x22, 0xe0);   /* CR4 */
        break;
    case 6:
        GEN(g, 0xb8, 0x28, 0, 0, 0, 0x0f, 0x00, 0xd8);   /* busy TSS */
        break;
    case 7:
        GEN(g, 0x6a, 0x70, 0x6a, 0, 0xcb);     /* lret to nowhere */
        break;
    case 8:
        GEN(g, 0x9c, 0x6a, 0x70, 0x6a, 0, 0xcf);
        break;
    default:
        if (g->paging) {
            GEN(g, 0xb8, 0, 0, 0x50, 0, 0xff, 0xe0);     /* jmp *%eax */
        }
    }
    GEN(g, 0x90);
}

/* With TS set, what needs the FPU faults. */
static void fpu_off(Gen *g)
{
    uint32_t hole = gen_recover(g);

    GEN(g, 0x0f, 0x20, 0xc0, 0x0c, 8, 0x0f, 0x22, 0xc0);
    gen_plain(g, 2);
    GEN(g, 0xd9, 0xe8);
    gen_recovered(g, hole);
    GEN(g, 0x0f, 0x06);                        /* clts */
}

const GenItem gen_items_inside[] = {
    { "plain", GEN_ANYWHERE, plain },
    { "branch", GEN_ANYWHERE, gen_branch },
    { "loop", GEN_ANYWHERE, loop },
    { "call", GEN_ANYWHERE, call },
    { "string", GEN_ANYWHERE, string },
    { "flags", GEN_ANYWHERE, flags },
    { "iret", GEN_ANYWHERE, iret },
    { "int", GEN_ANYWHERE, interrupt },
    { "fault", GEN_ANYWHERE, fault },
    { "fpu-off", GEN_NO_RING3, fpu_off },
    { NULL },
};
