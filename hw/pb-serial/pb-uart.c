/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-uart.c: see pb-uart.h. */
#include "qemu/osdep.h"

#include "pb-uart-fifo.h"

/* 9600 baud, as a PC's firmware leaves it. */
#define DIVISOR_AT_RESET 12

/* ---- interrupts ---- */

static uint8_t highest(const PbUart *u)
{
    if ((u->ier & PB_IER_LINE) &&
        (u->lsr & (PB_LSR_OVERRUN | PB_LSR_ERRORS))) {
        return PB_IIR_LINE;
    }
    if ((u->ier & PB_IER_RX) && u->rx_count >= pb_fifo_trigger(u)) {
        return PB_IIR_RX;
    }
    if ((u->ier & PB_IER_RX) && u->rx_timeout) {
        return PB_IIR_TIMEOUT;
    }
    if ((u->ier & PB_IER_TX) && u->tx_irq) {
        return PB_IIR_TX;
    }
    if ((u->ier & PB_IER_MODEM) && (u->msr & 0x0f)) {
        return PB_IIR_MODEM;
    }
    return PB_IIR_NONE;
}

void pb_uart_update_irq(PbUart *u)
{
    /* On a PC's card OUT2 connects the chip's output to the bus. */
    u->host->irq(u->opaque, (u->mcr & PB_MCR_OUT2) &&
                 highest(u) != PB_IIR_NONE);
}

/* ---- the line ---- */

uint8_t pb_uart_word(uint8_t lcr, uint8_t c)
{
    return c & (0xff >> (3 - (lcr & PB_LCR_BITS)));
}

unsigned pb_uart_frame_bits(const PbUart *u)
{
    return 1 + 5 + (u->lcr & PB_LCR_BITS) + !!(u->lcr & PB_LCR_PARITY) +
           1 + !!(u->lcr & PB_LCR_STOP);
}

/* The four inputs, in loopback the four outputs. */
static void update_msr(PbUart *u)
{
    uint8_t lines = u->lines;
    uint8_t changed;

    if (u->mcr & PB_MCR_LOOP) {
        lines = (u->mcr & PB_MCR_RTS ? PB_MSR_CTS : 0) |
                (u->mcr & PB_MCR_DTR ? PB_MSR_DSR : 0) |
                (u->mcr & PB_MCR_OUT1 ? PB_MSR_RI : 0) |
                (u->mcr & PB_MCR_OUT2 ? PB_MSR_DCD : 0);
    }
    changed = (u->msr ^ lines) & 0xf0;
    /* Of the ring indicator, only its end counts. */
    if (lines & PB_MSR_RI) {
        changed &= ~PB_MSR_RI;
    }
    u->msr = lines | (u->msr & 0x0f) | changed >> 4;
}

void pb_uart_set_lines(PbUart *u, uint8_t lines)
{
    u->lines = lines & 0xf0;
    update_msr(u);
    pb_uart_update_irq(u);
}

/* ---- registers ---- */

static void write_ier(PbUart *u, uint8_t value)
{
    uint8_t on = value & ~u->ier;

    u->ier = value & 0x0f;
    /* Enabling it with the holding register empty interrupts at once. */
    if ((on & PB_IER_TX) && !u->tx_count) {
        u->tx_irq = true;
    }
    pb_uart_update_irq(u);
}

static void write_fcr(PbUart *u, uint8_t value)
{
    bool toggled = (value ^ u->fcr) & PB_FCR_ENABLE;

    if (toggled || ((value & PB_FCR_ENABLE) && (value & PB_FCR_CLEAR_RX))) {
        pb_fifo_clear_rx(u);
        u->lsr &= ~PB_LSR_ERRORS;
    }
    if (toggled || ((value & PB_FCR_ENABLE) && (value & PB_FCR_CLEAR_TX))) {
        pb_fifo_clear_tx(u);
    }
    /* The other bits count only together with ENABLE. */
    u->fcr = value & PB_FCR_ENABLE ? value & (PB_FCR_ENABLE | PB_FCR_DMA |
                                              PB_FCR_TRIGGER) : 0;
    pb_uart_update_irq(u);
    u->host->room(u->opaque);
}

static void write_lcr(PbUart *u, uint8_t value)
{
    uint8_t changed = value ^ u->lcr;

    u->lcr = value;
    u->lcr_set = true;
    if (changed & PB_LCR_BREAK) {
        if (!(u->mcr & PB_MCR_LOOP)) {
            u->host->line(u->opaque, PB_LINE_BREAK);
        } else if (value & PB_LCR_BREAK) {
            pb_uart_receive(u, 0, PB_LSR_BREAK | PB_LSR_FRAMING);
        }
    }
    if (changed & 0x3f) {
        u->host->line(u->opaque, PB_LINE_PARAMS);
    }
}

static void write_mcr(PbUart *u, uint8_t value)
{
    uint8_t changed = (value ^ u->mcr) & 0x1f;
    bool break_moves = (changed & PB_MCR_LOOP) && (u->lcr & PB_LCR_BREAK);

    u->mcr = value & 0x1f;
    update_msr(u);
    pb_uart_update_irq(u);
    if (changed) {
        u->host->line(u->opaque, PB_LINE_MODEM |
                      (break_moves ? PB_LINE_BREAK : 0));
    }
    if (changed & PB_MCR_LOOP) {
        u->host->room(u->opaque);
    }
}

static void write_divisor(PbUart *u, uint16_t value)
{
    if (value != u->divisor) {
        u->divisor = value;
        u->host->line(u->opaque, PB_LINE_PARAMS);
    }
}

void pb_uart_write(PbUart *u, unsigned offset, uint8_t value, uint64_t tag)
{
    bool dlab = u->lcr & PB_LCR_DLAB;

    switch (offset) {
    case PB_UART_THR:
        if (dlab) {
            write_divisor(u, (u->divisor & 0xff00) | value);
        } else {
            pb_fifo_write(u, value, tag);
        }
        break;
    case PB_UART_IER:
        if (dlab) {
            write_divisor(u, (u->divisor & 0xff) | value << 8);
        } else {
            write_ier(u, value);
        }
        break;
    case PB_UART_FCR:
        write_fcr(u, value);
        break;
    case PB_UART_LCR:
        write_lcr(u, value);
        break;
    case PB_UART_MCR:
        write_mcr(u, value);
        break;
    case PB_UART_SCR:
        u->scr = value;
        break;
    default:
        break;                    /* LSR and MSR: for the factory only */
    }
}

static uint8_t read_iir(PbUart *u)
{
    uint8_t id = highest(u);

    if (id == PB_IIR_TX) {
        u->tx_irq = false;
        pb_uart_update_irq(u);
    }
    return id | (pb_fifo_used(u) ? PB_IIR_FIFOS : 0);
}

static uint8_t read_lsr(PbUart *u)
{
    uint8_t value = u->lsr;
    unsigned i;

    if (u->rx_count) {
        value |= PB_LSR_READY;
    }
    if (!u->tx_count) {
        value |= PB_LSR_THRE | (u->shifting ? 0 : PB_LSR_TEMT);
    }
    for (i = 0; pb_fifo_used(u) && i < u->rx_count; i++) {
        if (u->rx_error[(u->rx_head + i) % PB_UART_FIFO]) {
            value |= PB_LSR_FIFO_ERROR;
        }
    }
    u->lsr = 0;
    if (u->rx_count) {
        u->rx_error[u->rx_head] = 0;
    }
    pb_uart_update_irq(u);
    return value;
}

static uint8_t read_msr(PbUart *u)
{
    uint8_t value = u->msr;

    u->msr &= 0xf0;
    pb_uart_update_irq(u);
    return value;
}

uint8_t pb_uart_read(PbUart *u, unsigned offset)
{
    bool dlab = u->lcr & PB_LCR_DLAB;

    switch (offset) {
    case PB_UART_RBR:
        return dlab ? u->divisor & 0xff : pb_fifo_read(u);
    case PB_UART_IER:
        return dlab ? u->divisor >> 8 : u->ier;
    case PB_UART_IIR:
        return read_iir(u);
    case PB_UART_LCR:
        return u->lcr;
    case PB_UART_MCR:
        return u->mcr;
    case PB_UART_LSR:
        return read_lsr(u);
    case PB_UART_MSR:
        return read_msr(u);
    default:
        return u->scr;
    }
}

bool pb_uart_valid(const PbUart *u)
{
    unsigned most = pb_fifo_depth(u);

    return u->rx_count <= most && u->rx_head < PB_UART_FIFO &&
           u->tx_count <= most && u->tx_head < PB_UART_FIFO;
}

void pb_uart_init(PbUart *u, const PbUartHost *host, void *opaque)
{
    u->host = host;
    u->opaque = opaque;
    u->lines = PB_MSR_CTS | PB_MSR_DSR | PB_MSR_DCD;
}

void pb_uart_reset(PbUart *u)
{
    pb_fifo_clear_tx(u);
    if (u->shifting) {
        u->host->lost(u->opaque, u->shift_tag);
    }
    u->shifting = u->tx_irq = u->lcr_set = false;
    u->ier = u->fcr = u->lcr = u->mcr = u->scr = u->lsr = 0;
    u->divisor = DIVISOR_AT_RESET;
    u->msr = u->lines;
    pb_fifo_clear_rx(u);
    pb_uart_update_irq(u);
    u->host->line(u->opaque, PB_LINE_PARAMS | PB_LINE_BREAK | PB_LINE_MODEM);
    u->host->room(u->opaque);
}
