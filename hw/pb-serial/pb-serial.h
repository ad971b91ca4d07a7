/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-serial.h: the serial port as its files share it: pb-serial.c is the
 * device on the ISA bus, pb-line.c carries characters, breaks and modem lines
 * between the chip (pb-uart.h) and the chardev, and measures time.  Main loop
 * or vCPU thread, BQL held.
 */
#ifndef PB_SERIAL_H
#define PB_SERIAL_H

#include "qemu/timer.h"
#include "chardev/char-fe.h"
#include "hw/isa/isa.h"

#include "pb-console.h"
#include "pb-uart.h"

#define TYPE_PB_SERIAL "pb-serial"
OBJECT_DECLARE_SIMPLE_TYPE(PbSerial, PB_SERIAL)

struct PbSerial {
    ISADevice parent_obj;

    uint32_t index, iobase, irq_number;
    bool throttle;
    CharBackend chr;
    PbConsole console;

    PbUart uart;
    qemu_irq irq;
    MemoryRegion io;
    uint64_t writes;              /* by the guest to our ports */

    QEMUTimer *tx_timer;          /* shift has left by then */
    QEMUTimer *rx_timer;          /* the line is busy until then */
    QEMUTimer *idle_timer;        /* four characters without one */
    QEMUTimer *modem_timer;
    uint64_t tx_free;             /* ns: when the transmitter is free */
    guint tx_watch;
    bool host_modem;              /* the chardev has modem lines */
};

/* A tag is a write's number, with this if the line was cut off then. */
#define PB_TAG_INSIDE (1ull << 63)

/* Timers, the chip, the chardev's handlers: when the device is realized. */
void pb_line_init(PbSerial *s);

/* Reset the chip; what is on its way is gone. */
void pb_line_reset(PbSerial *s);

/* The chip's state is another (loaded), or the chardev is. */
void pb_line_resume(PbSerial *s);

/* Before the guest looks at MSR, and when it asks for its interrupt. */
void pb_line_poll_modem(PbSerial *s);

#endif /* PB_SERIAL_H */
