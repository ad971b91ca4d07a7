/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guest-gen-items.c: jumps, strings, ports, privilege: what guests are of. */
#include "guest-gen.h"
#include "guests.h"

#define CS0  0x08             /* as in common.inc */
#define DS3  0x23
#define CS3  0x1b
#define CS16 0x30

static uint8_t back8(const Gen *g, uint32_t to)
{
    return to - g->at - 1;
}

static void set_ecx(Gen *g, uint32_t n)
{
    GEN(g, 0xb9);
    gen_long(g, n);
}

/* Eight bytes that nobody else writes to. */
static uint32_t scratch(const Gen *g)
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

static void branch(Gen *g)
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

    set_ecx(g, 1 + gen_pick(g, gen_chance(g, 4) ? 300 : 12));
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
static void set_string(Gen *g, bool many)
{
    uint32_t from = many ? GEN_DATA + 0x4000 + gen_pick(g, 0x7000)
                         : gen_address(g);
    uint32_t to = many ? GEN_LAZY - 0x1000 + gen_pick(g, 0x8000)
                       : gen_address(g);
    bool swap = gen_chance(g, 2);

    GEN(g, 0x1e, 0x07);                        /* push %ds; pop %es */
    GEN(g, gen_chance(g, 3) ? 0xfd : 0xfc);    /* std or cld */
    set_ecx(g, gen_pick(g, many ? 3000 : 12));
    GEN(g, 0xbe);
    gen_long(g, swap ? to : from);
    GEN(g, 0xbf);
    gen_long(g, swap ? from : to);
}

static void op16(Gen *g)
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

    set_string(g, gen_chance(g, 5));
    if (op != 0xa4 && op != 0xa5 && op != 0xaa && op != 0xab &&
        gen_chance(g, 6)) {
        GEN(g, 0x67);
    }
    op16(g);
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

/* ---- the outside ---- */

static void port(Gen *g)
{
    static const uint8_t by_byte[] = { 0xe4, 0xe5, 0xe6, 0xe7 };
    static const uint8_t by_dx[] = { 0xec, 0xed, 0xee, 0xef };
    unsigned how = gen_pick(g, 4);
    uint8_t number = how < 2 ? PORT_RANDOM : PORT_CONSOLE;

    if (gen_chance(g, 2)) {
        op16(g);
        GEN(g, by_byte[how], number);
    } else {
        GEN(g, 0xba, number, 0, 0, 0);
        op16(g);
        GEN(g, by_dx[how]);
    }
    gen_plain(g, 2);
}

static void port_string(Gen *g)
{
    bool in = gen_chance(g, 2);

    /* Each element of an OUTS is an exit. */
    set_string(g, in && gen_chance(g, 5));
    GEN(g, 0xba, in ? PORT_RANDOM : PORT_CONSOLE, 0, 0, 0);
    op16(g);
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
        op16(g);
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
        branch(g);
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
    set_ecx(g, gen_chance(g, 3) ? 0x12345 : 0x10);
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
static void in_shadow(Gen *g)
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
    in_shadow(g);
    gen_plain(g, 2);
}

static void mov_ss(Gen *g)
{
    uint32_t at = scratch(g);

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
    in_shadow(g);
    gen_plain(g, 2);
}

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
    uint32_t at = scratch(g);

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

/* The guest single-steps itself. */
static void tf(Gen *g)
{
    uint32_t hole = gen_recover(g);

    GEN(g, 0x9c, 0x80, 0x4c, 0x24, 1, 1, 0x9d);          /* set TF */
    gen_plain(g, 3);
    in_shadow(g);
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

#define NO_RING3 (GEN_IN_MAIN | GEN_IN_HANDLER)

const GenItem gen_items[] = {
    { "plain", GEN_ANYWHERE, plain },
    { "branch", GEN_ANYWHERE, branch },
    { "loop", GEN_ANYWHERE, loop },
    { "call", GEN_ANYWHERE, call },
    { "string", GEN_ANYWHERE, string },
    { "flags", GEN_ANYWHERE, flags },
    { "iret", GEN_ANYWHERE, iret },
    { "int", GEN_ANYWHERE, interrupt },
    { "fault", GEN_ANYWHERE, fault },
    { "fpu-off", NO_RING3, fpu_off },
    { "port", GEN_ANYWHERE, port },
    { "port-string", GEN_ANYWHERE, port_string },
    { "mmio", GEN_ANYWHERE, mmio },
    { "dma", NO_RING3, dma },
    { "slot", NO_RING3, slot },
    { "verify", GEN_IN_MAIN, verify },
    { "msr", NO_RING3, msr },
    { "halt", GEN_IN_MAIN, halt },
    { "cli", GEN_IN_MAIN | GEN_IN_RING3, cli },
    { "sti", GEN_IN_MAIN, sti },
    { "mov-ss", GEN_ANYWHERE, mov_ss },
    { "smc", GEN_ANYWHERE, smc },
    { "privileged", GEN_ANYWHERE, privileged },
    { "ring3", GEN_IN_MAIN, ring3 },
    { "code16", NO_RING3, code16 },
    { "tf", GEN_ANYWHERE | GEN_IF_NAMED, tf },
    { "dr", GEN_IN_MAIN | GEN_IF_NAMED, dr },
};

const unsigned gen_items_count = sizeof(gen_items) / sizeof(gen_items[0]);
