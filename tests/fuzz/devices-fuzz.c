/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * devices-fuzz.c: the input is what a guest does to the chips of pb-serial
 * and pb-timer, from power-on or from a saved state that was let in.
 */
#include "fuzz.h"
#include "hw/pb-serial/pb-uart.h"
#include "hw/pb-timer/pb-pit.h"

/* Clocks: ten years. */
#define MAX_TIME (10ll * 365 * 86400 * PB_PIT_HZ)

/* ---- the UART ---- */

static unsigned lost;

static void on_irq(void *opaque, bool level)
{
}

static void on_event(void *opaque)
{
}

static void on_timeout(void *opaque, bool wanted)
{
}

static void on_line(void *opaque, unsigned changed)
{
    fuzz_check(pb_uart_frame_bits(opaque) <= 12);
}

static void on_lost(void *opaque, uint64_t tag)
{
    lost++;
}

static const PbUartHost host = {
    .irq = on_irq, .transmit = on_event, .room = on_event,
    .timeout = on_timeout, .line = on_line, .lost = on_lost,
};

static void load_uart(PbUart *u, FuzzIn *in)
{
    u->ier = fuzz_u8(in);
    u->fcr = fuzz_u8(in);
    u->lcr = fuzz_u8(in);
    u->mcr = fuzz_u8(in);
    u->rx_head = fuzz_u8(in);
    u->rx_count = fuzz_u8(in);
    u->tx_head = fuzz_u8(in);
    u->tx_count = fuzz_u8(in);
    u->shifting = fuzz_u8(in) & 1;
    fuzz_bytes(in, u->rx_error, sizeof(u->rx_error));
}

/* Returns characters put in, less those sent. */
static int use_uart(PbUart *u, uint8_t op, uint8_t value)
{
    uint8_t count = u->tx_count;

    switch (op & 15) {
    case 0 ... 7:
        pb_uart_write(u, op & 7, value, 0);
        return (op & 7) == PB_UART_THR && !(u->lcr & PB_LCR_DLAB);
    case 8 ... 10:
        pb_uart_read(u, value);
        return 0;
    case 11:
        pb_uart_receive(u, value, value);
        return 0;
    case 12:
        return pb_uart_tx_load(u) ? 0 : -count;
    case 13:
        if (u->shifting) {
            bool sent = pb_uart_tx_outside(u);

            pb_uart_tx_done(u);
            return sent ? -1 : 0;
        }
        return 0;
    case 14:
        pb_uart_timeout(u);
        pb_uart_set_lines(u, value);
        return 0;
    default:
        if (value == 0xff) {
            pb_uart_reset(u);
        }
        return 0;
    }
}

/* Every character written is sent, told lost, or still there. */
static void fuzz_uart(FuzzIn *in, bool loaded)
{
    PbUart u = { .rx_head = 0 };
    int there;

    pb_uart_init(&u, &host, &u);
    pb_uart_reset(&u);
    if (loaded) {
        load_uart(&u, in);
        if (!pb_uart_valid(&u)) {
            return;
        }
        pb_uart_update_irq(&u);
    }
    there = u.tx_count + u.shifting;
    lost = 0;
    while (in->left) {
        uint8_t op = fuzz_u8(in);

        there += use_uart(&u, op, fuzz_u8(in));
        fuzz_check(pb_uart_valid(&u));
        fuzz_check(pb_uart_room(&u) <= PB_UART_FIFO);
        fuzz_check(there - (int)lost == u.tx_count + u.shifting);
    }
}

/* ---- the PIT ---- */

static void load_pit(PbPitCounter *c, FuzzIn *in)
{
    fuzz_bytes(in, c, sizeof(*c));
    /* As a saved state is read. */
    c->gate = *(uint8_t *)&c->gate & 1;
    c->second_byte = *(uint8_t *)&c->second_byte & 1;
    c->unloaded = *(uint8_t *)&c->unloaded & 1;
    c->loaded = *(uint8_t *)&c->loaded & 1;
    c->paused = *(uint8_t *)&c->paused & 1;
    c->read_second = *(uint8_t *)&c->read_second & 1;
    c->status_latched = *(uint8_t *)&c->status_latched & 1;
}

static void check_rise(PbPitCounter *c, int64_t now)
{
    uint32_t period;
    int64_t rise = pb_pit_next_rise(c, now, &period);

    fuzz_check(rise > now);
    fuzz_check(period <= 0x10000);
    if (rise != PB_PIT_NEVER) {
        PbPitCounter later = *c;

        fuzz_check(pb_pit_out(&later, rise));
    }
}

static void fuzz_pit(FuzzIn *in, bool loaded)
{
    PbPitCounter counter[PB_PIT_COUNTERS] = { { .gate = true } };
    int64_t now = 0;
    unsigned i;

    for (i = 0; i < PB_PIT_COUNTERS; i++) {
        pb_pit_reset(&counter[i]);
        if (loaded) {
            load_pit(&counter[i], in);
        }
        if (!pb_pit_valid(&counter[i])) {
            return;
        }
    }
    while (in->left && now < MAX_TIME) {
        uint8_t op = fuzz_u8(in), value = fuzz_u8(in);
        PbPitCounter *c = &counter[op % PB_PIT_COUNTERS];

        now += (uint64_t)(op >> 4) << value % 32;
        if (op & 8) {
            pb_pit_write_control(counter, value, now);
        } else if (op & 4) {
            pb_pit_write(c, value, now);
        } else if (value & 1) {
            pb_pit_read(c, now);
        } else {
            pb_pit_set_gate(c, value & 2, now);
        }
        fuzz_check(pb_pit_valid(c));
        pb_pit_out(c, now);
        if (!loaded) {
            check_rise(c, now);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzIn in = { data, size };
    uint8_t which = fuzz_u8(&in);

    if (which & 1) {
        fuzz_uart(&in, which & 2);
    } else {
        fuzz_pit(&in, which & 2);
    }
    return 0;
}
