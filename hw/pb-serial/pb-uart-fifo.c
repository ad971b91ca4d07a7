/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-uart-fifo.c: characters on their way in and out of a UART. */
#include "qemu/osdep.h"

#include "pb-uart-fifo.h"

bool pb_fifo_used(const PbUart *u)
{
    return u->fcr & PB_FCR_ENABLE;
}

unsigned pb_fifo_depth(const PbUart *u)
{
    return pb_fifo_used(u) ? PB_UART_FIFO : 1;
}

unsigned pb_fifo_trigger(const PbUart *u)
{
    static const uint8_t level[] = { 1, 4, 8, 14 };

    return pb_fifo_used(u) ? level[u->fcr >> 6] : 1;
}

/*
 * The chip comes out of its reset with five bits. A guest that prints without
 * having set anything means eight.
 */
static uint8_t word(const PbUart *u, uint8_t c)
{
    return u->lcr_set ? pb_uart_word(u->lcr, c) : c;
}

/* ---- receiving ---- */

static void want_timeout(PbUart *u)
{
    u->rx_timeout = false;
    u->host->timeout(u->opaque, pb_fifo_used(u) && u->rx_count);
}

/* A character's errors show in LSR when it becomes the next to be read. */
static void show_errors(PbUart *u)
{
    if (u->rx_count) {
        u->lsr |= u->rx_error[u->rx_head];
    }
}

void pb_fifo_clear_rx(PbUart *u)
{
    u->rx_head = u->rx_count = 0;
    memset(u->rx_error, 0, sizeof(u->rx_error));
    want_timeout(u);
}

unsigned pb_uart_room(const PbUart *u)
{
    return u->mcr & PB_MCR_LOOP ? 0 : pb_fifo_depth(u) - u->rx_count;
}

void pb_uart_receive(PbUart *u, uint8_t c, uint8_t error)
{
    unsigned at;

    if (u->rx_count == pb_fifo_depth(u)) {
        u->lsr |= PB_LSR_OVERRUN;
        if (pb_fifo_used(u)) {
            /* The FIFO stays; what was in the shift register is gone. */
            pb_uart_update_irq(u);
            return;
        }
        u->rx_count = 0;
    }
    at = (u->rx_head + u->rx_count) % PB_UART_FIFO;
    u->rx[at] = word(u, c);
    u->rx_error[at] = error & PB_LSR_ERRORS;
    if (u->rx_count++ == 0) {
        show_errors(u);
    }
    want_timeout(u);
    pb_uart_update_irq(u);
}

void pb_uart_timeout(PbUart *u)
{
    u->rx_timeout = pb_fifo_used(u) && u->rx_count;
    pb_uart_update_irq(u);
}

uint8_t pb_fifo_read(PbUart *u)
{
    uint8_t c = u->rx[u->rx_head];

    if (u->rx_count == 0) {
        return c;                 /* the last one again */
    }
    u->rx_error[u->rx_head] = 0;
    if (--u->rx_count) {
        u->rx_head = (u->rx_head + 1) % PB_UART_FIFO;
        show_errors(u);
    }
    want_timeout(u);
    pb_uart_update_irq(u);
    u->host->room(u->opaque);
    return c;
}

/* ---- sending ---- */

void pb_fifo_clear_tx(PbUart *u)
{
    while (u->tx_count) {
        u->host->lost(u->opaque, u->tx_tag[u->tx_head]);
        u->tx_head = (u->tx_head + 1) % PB_UART_FIFO;
        u->tx_count--;
        u->tx_irq = true;
    }
}

void pb_fifo_write(PbUart *u, uint8_t c, uint64_t tag)
{
    unsigned at;

    u->tx_irq = false;
    if (u->tx_count == pb_fifo_depth(u)) {
        if (pb_fifo_used(u)) {
            u->host->lost(u->opaque, tag);
            return;
        }
        u->host->lost(u->opaque, u->tx_tag[u->tx_head]);
        u->tx_count = 0;
    }
    at = (u->tx_head + u->tx_count++) % PB_UART_FIFO;
    u->tx[at] = c;
    u->tx_tag[at] = tag;
    pb_uart_update_irq(u);
    u->host->transmit(u->opaque);
}

bool pb_uart_tx_load(PbUart *u)
{
    if (u->shifting || !u->tx_count) {
        return u->shifting;
    }
    u->shift = word(u, u->tx[u->tx_head]);
    u->shift_tag = u->tx_tag[u->tx_head];
    u->shifting = true;
    u->tx_head = (u->tx_head + 1) % PB_UART_FIFO;
    if (--u->tx_count == 0) {
        u->tx_irq = true;
        pb_uart_update_irq(u);
    }
    return true;
}

bool pb_uart_tx_outside(const PbUart *u)
{
    return !(u->mcr & PB_MCR_LOOP) && !(u->lcr & PB_LCR_BREAK);
}

void pb_uart_tx_done(PbUart *u)
{
    u->shifting = false;
    if (!pb_uart_tx_outside(u)) {
        u->host->lost(u->opaque, u->shift_tag);
    }
    if (u->mcr & PB_MCR_LOOP) {
        pb_uart_receive(u, u->shift, 0);
    }
}
