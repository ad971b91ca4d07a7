/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-pit.c: see pb-pit.h. */
#include "qemu/osdep.h"

#include "pb-pit.h"

/* The control word. */
#define SELECT_READ_BACK 3
#define ACCESS_LATCH 0
#define ACCESS_LOW 1
#define ACCESS_HIGH 2
#define ACCESS_BOTH 3

#define READ_BACK_NO_COUNT  0x20
#define READ_BACK_NO_STATUS 0x10

#define STATUS_OUT  0x80
#define STATUS_NULL 0x40

static unsigned access_of(const PbPitCounter *c)
{
    return c->control >> 4 & 3;
}

/* 0 to 5; the upper two come twice. */
static unsigned mode_of(const PbPitCounter *c)
{
    unsigned mode = c->control >> 1 & 7;

    return mode > 5 ? mode - 4 : mode;
}

static bool is_bcd(const PbPitCounter *c)
{
    return c->control & 1;
}

/* Started by the gate's rising edge alone. */
static bool needs_trigger(const PbPitCounter *c)
{
    return mode_of(c) == 1 || mode_of(c) == 5;
}

static bool is_periodic(const PbPitCounter *c)
{
    return mode_of(c) == 2 || mode_of(c) == 3;
}

/* A counter's values repeat after this many. */
static uint32_t modulus(const PbPitCounter *c)
{
    return is_bcd(c) ? 10000 : 0x10000;
}

static uint32_t to_n(const PbPitCounter *c)
{
    uint32_t n = c->count;

    if (is_bcd(c)) {
        n = (n >> 12) * 1000 + (n >> 8 & 15) * 100 + (n >> 4 & 15) * 10 +
            (n & 15);
    }
    return n ? n : modulus(c);
}

static uint16_t from_value(const PbPitCounter *c, uint32_t v)
{
    v %= modulus(c);
    return is_bcd(c) ? v / 1000 << 12 | v / 100 % 10 << 8 |
                       v / 10 % 10 << 4 | v % 10
                     : v;
}

/* ---- the counting element ---- */

/* Mode 3: the half during which the output is high; odd counts: the longer. */
static uint32_t high_half(uint32_t n)
{
    return (n + 1) / 2;
}

/* The reload that was waiting for the end of a period has come. */
static void settle(PbPitCounter *c, int64_t now)
{
    if (now >= c->next_at) {
        c->start = c->next_start;
        c->n = c->next_n;
        c->next_at = PB_PIT_NEVER;
        c->unloaded = false;
    }
}

/* Clocks counted; negative until the clock that loads. */
static int64_t elapsed(const PbPitCounter *c, int64_t now)
{
    return c->paused ? c->held : now - c->start;
}

static void load(PbPitCounter *c, int64_t now)
{
    c->start = now + 1;
    c->held = 0;
    c->n = to_n(c);
    c->loaded = true;
    c->unloaded = false;
    c->next_at = PB_PIT_NEVER;
}

static uint16_t value_at(PbPitCounter *c, int64_t now)
{
    int64_t e;
    uint32_t pos;

    settle(c, now);
    if (!c->loaded) {
        return c->count;
    }
    e = MAX(elapsed(c, now), 0);
    if (!is_periodic(c)) {
        return from_value(c, c->n + modulus(c) - e % modulus(c));
    }
    pos = e % c->n;
    if (mode_of(c) == 3) {
        /* Down in twos, twice per period; odd counts begin one lower. */
        pos = pos < high_half(c->n) ? pos : pos - high_half(c->n);
        return from_value(c, (c->n & ~1u) - 2 * pos);
    }
    return from_value(c, c->n - pos);
}

bool pb_pit_out(PbPitCounter *c, int64_t now)
{
    int64_t e;

    settle(c, now);
    e = elapsed(c, now);
    switch (mode_of(c)) {
    case 0:
        return c->loaded && !c->second_byte && e >= c->n;
    case 1:
        return !c->loaded || e >= c->n;
    case 2:
        return !c->loaded || c->paused || e < 0 || c->n == 1 ||
               e % c->n != c->n - 1;
    case 3:
        return !c->loaded || c->paused || e < 0 ||
               e % c->n < high_half(c->n);
    default:
        return !c->loaded || c->paused || e != c->n;
    }
}

/* The first end of a period after @now. */
static int64_t period_end(const PbPitCounter *c, int64_t now)
{
    return now < c->start ? c->start + c->n
                          : c->start + ((now - c->start) / c->n + 1) * c->n;
}

static int64_t next_rise_periodic(const PbPitCounter *c, int64_t now,
                                  uint32_t *period)
{
    if (c->next_at != PB_PIT_NEVER) {
        *period = c->next_n;
        return c->next_start < c->next_at ? c->next_start + c->next_n
                                          : c->next_at;
    }
    *period = c->n;
    return period_end(c, now);
}

int64_t pb_pit_next_rise(PbPitCounter *c, int64_t now, uint32_t *period)
{
    int64_t rise;

    settle(c, now);
    *period = 0;
    if (!c->loaded || c->paused) {
        return PB_PIT_NEVER;
    }
    if (is_periodic(c)) {
        /* A count of 1 is illegal, and moves nothing. */
        return c->n == 1 && c->next_at == PB_PIT_NEVER
               ? PB_PIT_NEVER : next_rise_periodic(c, now, period);
    }
    rise = c->start + c->n + (mode_of(c) >= 4);
    return rise > now ? rise : PB_PIT_NEVER;
}

/* ---- gate ---- */

void pb_pit_set_gate(PbPitCounter *c, bool gate, int64_t now)
{
    settle(c, now);
    if (gate == c->gate) {
        return;
    }
    c->gate = gate;
    if (needs_trigger(c)) {
        /* Without a count there is nothing to start with. */
        if (gate && (c->loaded || c->unloaded)) {
            load(c, now);
        }
        return;
    }
    if (!c->loaded) {
        return;
    }
    if (!gate) {
        c->held = c->paused ? c->held : MAX(now - c->start, 0);
        c->paused = true;
        c->next_at = PB_PIT_NEVER;
    } else if (is_periodic(c)) {
        c->paused = false;
        load(c, now);
    } else if (!c->second_byte || mode_of(c) != 0) {
        c->paused = false;
        c->start = now - c->held;
    }
}

/* ---- writing ---- */

/* A period that runs is finished first; of mode 3, half a period. */
static void reload_later(PbPitCounter *c, int64_t now)
{
    int64_t end = period_end(c, now);
    int64_t half = end - c->n + high_half(c->n);

    c->next_n = to_n(c);
    c->next_at = c->next_start = end;
    if (mode_of(c) == 3 && half > now) {
        c->next_at = half;
        c->next_start = half - high_half(c->next_n);
    }
}

static void count_complete(PbPitCounter *c, int64_t now)
{
    c->unloaded = true;
    if (needs_trigger(c)) {
        return;
    }
    if (is_periodic(c) && c->loaded) {
        if (!c->paused) {
            reload_later(c, now);
        }
        return;
    }
    load(c, now);
    c->paused = !c->gate;
}

void pb_pit_write(PbPitCounter *c, uint8_t value, int64_t now)
{
    settle(c, now);
    switch (access_of(c)) {
    case ACCESS_LOW:
        c->count = value;
        break;
    case ACCESS_HIGH:
        c->count = value << 8;
        break;
    default:
        if (!c->second_byte) {
            /* Mode 0 stands still until the count is whole. */
            if (mode_of(c) == 0 && c->loaded && !c->paused) {
                c->held = MAX(now - c->start, 0);
                c->paused = true;
            }
            c->count = value;
            c->second_byte = true;
            return;
        }
        c->count = (c->count & 0xff) | value << 8;
        c->second_byte = false;
        break;
    }
    count_complete(c, now);
}

static uint8_t status_of(PbPitCounter *c, int64_t now)
{
    bool null = c->unloaded || !c->loaded ||
                (!c->paused && now < c->start);

    return (pb_pit_out(c, now) ? STATUS_OUT : 0) | (null ? STATUS_NULL : 0) |
           c->control;
}

static void latch_count(PbPitCounter *c, int64_t now)
{
    if (!c->latched) {
        c->latch = value_at(c, now);
        c->latched = access_of(c) == ACCESS_BOTH ? 2 : 1;
    }
}

static void latch_status(PbPitCounter *c, int64_t now)
{
    if (!c->status_latched) {
        c->status = status_of(c, now);
        c->status_latched = true;
    }
}

static void program(PbPitCounter *c, uint8_t control)
{
    bool gate = c->gate;

    *c = (PbPitCounter) {
        .control = control, .gate = gate, .next_at = PB_PIT_NEVER,
    };
}

static void read_back(PbPitCounter *counter, uint8_t value, int64_t now)
{
    unsigned i;

    for (i = 0; i < PB_PIT_COUNTERS; i++) {
        if (!(value & 2 << i)) {
            continue;
        }
        settle(&counter[i], now);
        if (!(value & READ_BACK_NO_COUNT)) {
            latch_count(&counter[i], now);
        }
        if (!(value & READ_BACK_NO_STATUS)) {
            latch_status(&counter[i], now);
        }
    }
}

void pb_pit_write_control(PbPitCounter counter[PB_PIT_COUNTERS],
                          uint8_t value, int64_t now)
{
    unsigned select = value >> 6;

    if (select == SELECT_READ_BACK) {
        read_back(counter, value, now);
    } else if ((value >> 4 & 3) == ACCESS_LATCH) {
        latch_count(&counter[select], now);
    } else {
        program(&counter[select], value & 0x3f);
    }
}

/* ---- reading ---- */

uint8_t pb_pit_read(PbPitCounter *c, int64_t now)
{
    uint16_t value;
    bool high;

    if (c->status_latched) {
        c->status_latched = false;
        return c->status;
    }
    if (c->latched) {
        value = c->latch;
        high = access_of(c) == ACCESS_HIGH ||
               (access_of(c) == ACCESS_BOTH && c->latched == 1);
        c->latched--;
        return high ? value >> 8 : value;
    }
    value = value_at(c, now);
    high = access_of(c) == ACCESS_HIGH;
    if (access_of(c) == ACCESS_BOTH) {
        high = c->read_second;
        c->read_second = !c->read_second;
    }
    return high ? value >> 8 : value;
}

void pb_pit_reset(PbPitCounter *c)
{
    /* The chip's state is undefined then; firmware programs it. */
    program(c, ACCESS_BOTH << 4 | 3 << 1);
}

bool pb_pit_valid(const PbPitCounter *c)
{
    return access_of(c) != ACCESS_LATCH && c->latched <= 2 &&
           (!c->loaded || (c->n >= 1 && c->n <= 0x10000)) &&
           (c->next_at == PB_PIT_NEVER ||
            (c->next_n >= 1 && c->next_n <= 0x10000));
}
