/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-uart-fifo.h: a UART's two FIFOs, and what there is without them: one
 * character each way.  For pb-uart.c; the device calls pb-uart.h.
 */
#ifndef PB_UART_FIFO_H
#define PB_UART_FIFO_H

#include "pb-uart.h"

#define PB_LSR_ERRORS (PB_LSR_PARITY | PB_LSR_FRAMING | PB_LSR_BREAK)

/* Whether they are switched on, how much they take, and when to interrupt. */
bool pb_fifo_used(const PbUart *u);
unsigned pb_fifo_depth(const PbUart *u);
unsigned pb_fifo_trigger(const PbUart *u);

void pb_fifo_clear_rx(PbUart *u);
void pb_fifo_clear_tx(PbUart *u);

/* The guest reads RBR, and writes THR. */
uint8_t pb_fifo_read(PbUart *u);
void pb_fifo_write(PbUart *u, uint8_t c, uint64_t tag);

#endif /* PB_UART_FIFO_H */
