/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guest-gen-plain.c: instructions that go on to the next one, or fault. */
#include "guest-gen.h"
#include "guests.h"

enum { EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI };

uint32_t gen_data(Gen *g)
{
    return GEN_DATA + gen_pick(g, GEN_DATA_SIZE);
}

uint32_t gen_address(Gen *g)
{
    switch (gen_pick(g, 24)) {
    case 0:
        return GEN_DATA + 0x1000 * (1 + gen_pick(g, 13)) - gen_pick(g, 8);
    case 1: case 2:
        return GEN_LAZY + gen_pick(g, 0xfff0);
    case 3:
        return GEN_LAZY + 0x1000 * gen_pick(g, 15) - gen_pick(g, 8);
    case 4: case 5:
        return GEN_MMIO + gen_pick(g, 0xff0);
    case 6:
        return GEN_MMIO - gen_pick(g, 4);
    case 7:
        return GUEST_ROM + gen_pick(g, 0x1000);
    case 8:
        return GUEST_EXTRA + gen_pick(g, 0x1000);
    case 9:
        return GUEST_RAM_SIZE - gen_pick(g, 8);
    case 10:
        return GEN_READONLY - 4 + gen_pick(g, 0x1000);
    case 11:
        return gen_chance(g, 4) ? 0x500000 : GUEST_DMA_AREA + gen_pick(g, 99);
    default:
        return gen_data(g);
    }
}

/* A register that may be written: not ESP, nor a loop's ECX. */
static uint8_t reg(Gen *g)
{
    static const uint8_t regs[] = { EAX, EDX, EBX, EBP, ESI, EDI, ECX };

    return regs[gen_pick(g, g->counting ? 6 : 7)];
}

/* The same, of eight bits: AL, DL, BL, AH, DH, BH. */
static uint8_t reg8(Gen *g)
{
    static const uint8_t regs[] = { 0, 2, 3, 4, 6, 7 };

    return regs[gen_pick(g, sizeof(regs))];
}

/*
 * ModRM with @r in its reg field: a register that may be written, or memory.
 * @wide: of 16 or 32 bits.
 */
static void modrm(Gen *g, uint8_t r, bool wide)
{
    if (gen_chance(g, 2)) {
        GEN(g, 0xc0 | r << 3 | (wide ? reg(g) : reg8(g)));
    } else {
        GEN(g, r << 3 | 5);
        gen_long(g, gen_address(g));
    }
}

static void memory(Gen *g, uint8_t r, uint32_t address)
{
    GEN(g, r << 3 | 5);
    gen_long(g, address);
}

static void op16(Gen *g)
{
    if (gen_chance(g, 4)) {
        GEN(g, 0x66);
    }
}

static void alu(Gen *g)
{
    uint8_t op = gen_pick(g, 8) << 3;
    bool wide = !gen_chance(g, 4);

    if (wide) {
        op16(g);
    }
    op |= wide | gen_pick(g, 2) << 1;
    GEN(g, op);
    modrm(g, wide ? reg(g) : reg8(g), wide);
}

static void alu_immediate(Gen *g)
{
    GEN(g, 0x81);
    modrm(g, gen_pick(g, 8), true);
    gen_long(g, guest_random(&g->random));
}

static void move(Gen *g)
{
    bool wide = gen_chance(g, 2);

    if (wide) {
        op16(g);
    }
    GEN(g, 0x88 | wide | gen_pick(g, 2) << 1);
    modrm(g, wide ? reg(g) : reg8(g), wide);
}

static void constant(Gen *g)
{
    GEN(g, 0xb8 | reg(g));
    gen_long(g, guest_random(&g->random));
}

static void extend(Gen *g)
{
    static const uint8_t ops[] = { 0xb6, 0xb7, 0xbe, 0xbf };
    uint8_t op = ops[gen_pick(g, sizeof(ops))];

    GEN(g, 0x0f, op);
    modrm(g, reg(g), op & 1);
}

/* ROL to SAR, by one, by a constant or by CL. */
static void shift(Gen *g)
{
    uint8_t how = gen_pick(g, 3);
    uint8_t what = gen_pick(g, 8);

    op16(g);
    GEN(g, how == 0 ? 0xd1 : how == 1 ? 0xd3 : 0xc1);
    modrm(g, what, true);
    if (how == 2) {
        GEN(g, gen_pick(g, 32));
    }
}

/* NOT, NEG, MUL, IMUL, DIV, IDIV: the last two may fault. */
static void unary(Gen *g)
{
    op16(g);
    GEN(g, 0xf7);
    modrm(g, 2 + gen_pick(g, 6), true);
}

static void increment(Gen *g)
{
    GEN(g, 0xff);
    modrm(g, gen_pick(g, 2), true);
}

/*
 * XADD, CMPXCHG, XCHG; locked now and then.  XCHG always locks.  No lock
 * crosses a page: TCG then loses the flags (docs/lab.md).
 */
static void exchange(Gen *g)
{
    uint8_t how = gen_pick(g, 3);
    bool lock = how == 2 || gen_chance(g, 3);

    if (lock && how != 2) {
        GEN(g, 0xf0);
    }
    if (how == 2) {
        GEN(g, 0x87);
    } else {
        GEN(g, 0x0f, how ? 0xc1 : 0xb1);
    }
    if (lock) {
        memory(g, reg(g), gen_data(g) & ~3u);
    } else {
        modrm(g, reg(g), true);
    }
}

/* SETcc, CMOVcc, BT to BTC with a constant. */
static void conditional(Gen *g)
{
    switch (gen_pick(g, 3)) {
    case 0:
        GEN(g, 0x0f, 0x90 | gen_pick(g, 16));
        modrm(g, 0, false);
        break;
    case 1:
        GEN(g, 0x0f, 0x40 | gen_pick(g, 16));
        modrm(g, reg(g), true);
        break;
    default:
        GEN(g, 0x0f, 0xba);
        modrm(g, 4 + gen_pick(g, 4), true);
        GEN(g, gen_pick(g, 32));
    }
}

/* One byte that needs nothing: BCD, flags, sign extension. */
static void one_byte(Gen *g)
{
    static const uint8_t ops[] = {
        0x27, 0x2f, 0x37, 0x3f, 0x98, 0x99, 0x9e, 0x9f, 0xf5, 0xf8, 0xf9,
        0x90, 0x9b,
    };

    GEN(g, ops[gen_pick(g, sizeof(ops))]);
}

static void stack(Gen *g)
{
    switch (gen_pick(g, 4)) {
    case 0:
        GEN(g, 0x50 | reg(g), 0x58 | reg(g));
        break;
    case 1:
        GEN(g, 0xff);
        memory(g, 6, gen_address(g));
        GEN(g, 0x8f);
        memory(g, 0, gen_address(g));
        break;
    case 2:
        GEN(g, 0x66, 0x50 | reg(g), 0x66, 0x58 | reg(g));
        break;
    default:
        GEN(g, 0x60, 0x83, 0xc4, 0x20);        /* pusha; add $32, %esp */
    }
}

static void fpu(Gen *g)
{
    static const uint8_t ops[][2] = {
        { 0xd9, 0xe8 }, { 0xd9, 0xeb }, { 0xd8, 0xc1 }, { 0xde, 0xc9 },
        { 0xd9, 0xfa }, { 0xdb, 0xe3 }, { 0xd9, 0xee }, { 0xd9, 0xc9 },
        { 0xd8, 0xf1 },
    };
    uint8_t how = gen_pick(g, 12);

    if (how < 9) {
        gen_bytes(g, ops[how], 2);
    } else {
        /* fildl, fldl; no store: when it faults TCG has set its flags. */
        GEN(g, how == 11 ? 0xdd : 0xdb);
        memory(g, 0, gen_data(g));
    }
}

static void sse(Gen *g)
{
    uint8_t x = gen_pick(g, 8);

    if (gen_chance(g, 2)) {
        /* movdqu, either way, anywhere */
        GEN(g, 0xf3, 0x0f, gen_chance(g, 2) ? 0x6f : 0x7f);
        memory(g, x, gen_address(g));
    } else {
        GEN(g, 0x66, 0x0f, gen_chance(g, 2) ? 0xfe : 0xef);
        GEN(g, 0xc0 | x << 3 | gen_pick(g, 8));
    }
}

static void one(Gen *g)
{
    static void (*const makes[])(Gen *g) = {
        alu, alu, alu_immediate, move, move, constant, extend, shift, unary,
        increment, exchange, conditional, one_byte, stack, fpu, sse,
    };

    makes[gen_pick(g, sizeof(makes) / sizeof(makes[0]))](g);
}

void gen_plain(Gen *g, unsigned most)
{
    unsigned n = 1 + gen_pick(g, most);

    while (n--) {
        one(g);
    }
}
