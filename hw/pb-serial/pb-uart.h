/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-uart.h: the registers of a 16550A, as its data sheet has them.
 *
 * Only the chip: no time, no chardev.  The device around it (pb-serial.c)
 * carries characters in and out, measures time, and is told by PbUartHost's
 * functions what the guest has changed.  BQL held throughout.
 */
#ifndef PB_UART_H
#define PB_UART_H

#define PB_UART_FIFO 16
#define PB_UART_CLOCK 115200      /* characters' bits per second at divisor 1 */

/* Registers, by offset and whether the guest reads or writes. */
enum {
    PB_UART_RBR = 0, PB_UART_THR = 0, PB_UART_DLL = 0,
    PB_UART_IER = 1, PB_UART_DLM = 1,
    PB_UART_IIR = 2, PB_UART_FCR = 2,
    PB_UART_LCR = 3,
    PB_UART_MCR = 4,
    PB_UART_LSR = 5,
    PB_UART_MSR = 6,
    PB_UART_SCR = 7,
};

enum {
    PB_IER_RX = 0x01, PB_IER_TX = 0x02, PB_IER_LINE = 0x04,
    PB_IER_MODEM = 0x08,
};

/* Interrupt identification: the value of IIR, highest priority first. */
enum {
    PB_IIR_LINE = 0x06, PB_IIR_RX = 0x04, PB_IIR_TIMEOUT = 0x0c,
    PB_IIR_TX = 0x02, PB_IIR_MODEM = 0x00, PB_IIR_NONE = 0x01,
    PB_IIR_FIFOS = 0xc0,
};

enum {
    PB_FCR_ENABLE = 0x01, PB_FCR_CLEAR_RX = 0x02, PB_FCR_CLEAR_TX = 0x04,
    PB_FCR_DMA = 0x08, PB_FCR_TRIGGER = 0xc0,
};

enum {
    PB_LCR_BITS = 0x03, PB_LCR_STOP = 0x04, PB_LCR_PARITY = 0x08,
    PB_LCR_EVEN = 0x10, PB_LCR_BREAK = 0x40, PB_LCR_DLAB = 0x80,
};

enum {
    PB_MCR_DTR = 0x01, PB_MCR_RTS = 0x02, PB_MCR_OUT1 = 0x04,
    PB_MCR_OUT2 = 0x08, PB_MCR_LOOP = 0x10,
};

enum {
    PB_LSR_READY = 0x01, PB_LSR_OVERRUN = 0x02, PB_LSR_PARITY = 0x04,
    PB_LSR_FRAMING = 0x08, PB_LSR_BREAK = 0x10, PB_LSR_THRE = 0x20,
    PB_LSR_TEMT = 0x40, PB_LSR_FIFO_ERROR = 0x80,
};

/* The upper half are the lines, the lower half their changes. */
enum {
    PB_MSR_CTS = 0x10, PB_MSR_DSR = 0x20, PB_MSR_RI = 0x40,
    PB_MSR_DCD = 0x80,
};

/* What the guest has changed about the line. */
enum {
    PB_LINE_PARAMS = 1,           /* divisor or LCR */
    PB_LINE_BREAK = 2,
    PB_LINE_MODEM = 4,            /* MCR */
};

typedef struct PbUartHost {
    void (*irq)(void *opaque, bool level);
    /* Something is to be sent: see pb_uart_tx_load(). */
    void (*transmit)(void *opaque);
    /* There is room again for a received character. */
    void (*room)(void *opaque);
    /* Call pb_uart_timeout() in four character times from now; or do not. */
    void (*timeout)(void *opaque, bool wanted);
    void (*line)(void *opaque, unsigned changed);
    /* A character that was written with this tag will not be sent. */
    void (*lost)(void *opaque, uint64_t tag);
} PbUartHost;

typedef struct PbUart {
    const PbUartHost *host;
    void *opaque;

    uint8_t ier, fcr, lcr, mcr, scr;
    uint8_t lsr;                  /* OVERRUN and the errors not yet read */
    uint8_t lines;                /* what the outside drives, as in MSR */
    uint8_t msr;
    uint16_t divisor;
    bool lcr_set;                 /* the guest has written LCR */
    bool tx_irq;                  /* THRE interrupt pending */
    bool rx_timeout;              /* character timeout pending */

    uint8_t rx[PB_UART_FIFO];
    uint8_t rx_error[PB_UART_FIFO];   /* PARITY, FRAMING, BREAK */
    uint8_t rx_head, rx_count;

    uint8_t tx[PB_UART_FIFO];
    uint64_t tx_tag[PB_UART_FIFO];
    uint8_t tx_head, tx_count;
    uint8_t shift;                /* being sent, if @shifting */
    uint64_t shift_tag;
    bool shifting;
} PbUart;

void pb_uart_init(PbUart *u, const PbUartHost *host, void *opaque);
void pb_uart_reset(PbUart *u);

uint8_t pb_uart_read(PbUart *u, unsigned offset);
/* @tag: the caller's name for this write, for PbUartHost.lost. */
void pb_uart_write(PbUart *u, unsigned offset, uint8_t value, uint64_t tag);

/* ---- sending ---- */

/* Move the next character to the shift register; false: nothing to send. */
bool pb_uart_tx_load(PbUart *u);

/* Must u->shift leave by the line?  No: loopback, or the line is in break. */
bool pb_uart_tx_outside(const PbUart *u);

/* u->shift has left. */
void pb_uart_tx_done(PbUart *u);

/* ---- receiving ---- */

/* Characters there is room for; none in loopback, which cuts the line off. */
unsigned pb_uart_room(const PbUart *u);

/* One more, even without room (overrun); @error as in LSR. */
void pb_uart_receive(PbUart *u, uint8_t c, uint8_t error);

void pb_uart_timeout(PbUart *u);

/* The modem's lines are now these (PB_MSR_*, upper half). */
void pb_uart_set_lines(PbUart *u, uint8_t lines);

/* ---- after loading a state ---- */

/* Is this what a UART can be in?  Of a state that came from outside. */
bool pb_uart_valid(const PbUart *u);

void pb_uart_update_irq(PbUart *u);

/* Bits per character on the line: start, data, parity, stop. */
unsigned pb_uart_frame_bits(const PbUart *u);

/* What the word length leaves of @c. */
uint8_t pb_uart_word(uint8_t lcr, uint8_t c);

#endif /* PB_UART_H */
