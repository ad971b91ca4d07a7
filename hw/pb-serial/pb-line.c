/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-line.c: between the chip and the chardev. See pb-serial.h. */
#include "qemu/osdep.h"
#include "chardev/char-serial.h"
#include "hw/irq.h"

#include "pb-serial.h"

/* A host's modem lines are looked at this often while the guest listens. */
#define MODEM_POLL_NS (10 * SCALE_MS)

static uint64_t now_ns(void)
{
    return qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
}

static uint64_t char_ns(const PbSerial *s)
{
    /* A divisor of 0 is undefined; a chip still moves. */
    uint64_t bits = pb_uart_frame_bits(&s->uart) *
                    (uint64_t)MAX(s->uart.divisor, 1);

    return bits * NANOSECONDS_PER_SECOND / PB_UART_CLOCK;
}

/* ---- out ---- */

/* What the Backup's writes alone do not tell. */
static void note(PbSerial *s, PbConsoleNote what, uint64_t tag)
{
    if (qemu_chr_fe_backend_connected(&s->console.chr)) {
        pb_console_note(&s->console, what, tag & ~PB_TAG_INSIDE);
    }
}

static void transmit(void *opaque);

static gboolean chr_writable(void *unused, GIOCondition condition,
                             void *opaque)
{
    PbSerial *s = opaque;

    s->tx_watch = 0;
    transmit(s);
    return G_SOURCE_REMOVE;
}

/* The character in the shift register reaches the chardev, or must wait. */
static bool send_shift(PbSerial *s)
{
    int n;

    if (!pb_uart_tx_outside(&s->uart) ||
        !qemu_chr_fe_backend_connected(&s->chr)) {
        return true;
    }
    n = qemu_chr_fe_write(&s->chr, &s->uart.shift, 1);
    if (n == 1) {
        return true;
    }
    s->tx_watch = qemu_chr_fe_add_watch(&s->chr, G_IO_OUT | G_IO_HUP,
                                        chr_writable, s);
    /* No watch: the other end is gone, as a line without a cable. */
    return !s->tx_watch;
}

static void transmit(void *opaque)
{
    PbSerial *s = opaque;
    bool next = false;            /* follows another without a gap */

    while (!s->tx_watch) {
        if (!s->uart.shifting) {
            if (!pb_uart_tx_load(&s->uart)) {
                return;
            }
            /* A timer that is late must not slow the line down. */
            s->tx_free = (next ? s->tx_free : now_ns()) + char_ns(s);
        }
        if (s->throttle && s->tx_free > now_ns()) {
            timer_mod_ns(s->tx_timer, s->tx_free);
            return;
        }
        if (!send_shift(s)) {
            return;
        }
        if (pb_uart_tx_outside(&s->uart) &&
            (s->uart.shift_tag & PB_TAG_INSIDE)) {
            note(s, PB_CONSOLE_SENT, s->uart.shift_tag);
        }
        pb_uart_tx_done(&s->uart);
        next = true;
    }
}

/* ---- in ---- */

static int chr_can_read(void *opaque)
{
    PbSerial *s = opaque;

    if (!s->throttle) {
        return pb_uart_room(&s->uart);
    }
    return !(s->uart.mcr & PB_MCR_LOOP) && !timer_pending(s->rx_timer);
}

static void chr_read(void *opaque, const uint8_t *buf, int size)
{
    PbSerial *s = opaque;
    int i;

    for (i = 0; i < size; i++) {
        pb_uart_receive(&s->uart, buf[i], 0);
    }
    if (s->throttle) {
        timer_mod_ns(s->rx_timer, now_ns() + char_ns(s));
    }
}

static void chr_event(void *opaque, QEMUChrEvent event)
{
    PbSerial *s = opaque;

    if (event == CHR_EVENT_BREAK && !(s->uart.mcr & PB_MCR_LOOP)) {
        pb_uart_receive(&s->uart, 0, PB_LSR_BREAK | PB_LSR_FRAMING);
    }
}

static void room(void *opaque)
{
    PbSerial *s = opaque;

    qemu_chr_fe_accept_input(&s->chr);
}

static void idle(void *opaque)
{
    PbSerial *s = opaque;

    pb_uart_timeout(&s->uart);
}

static void want_timeout(void *opaque, bool wanted)
{
    PbSerial *s = opaque;

    if (wanted) {
        timer_mod_ns(s->idle_timer, now_ns() + 4 * char_ns(s));
    } else {
        timer_del(s->idle_timer);
    }
}

/* ---- the line ---- */

static void get_modem(PbSerial *s)
{
    uint8_t lines;
    int flags;

    if (!s->host_modem ||
        qemu_chr_fe_ioctl(&s->chr, CHR_IOCTL_SERIAL_GET_TIOCM, &flags) < 0) {
        return;
    }
    lines = (flags & CHR_TIOCM_CTS ? PB_MSR_CTS : 0) |
            (flags & CHR_TIOCM_DSR ? PB_MSR_DSR : 0) |
            (flags & CHR_TIOCM_RI ? PB_MSR_RI : 0) |
            (flags & CHR_TIOCM_CAR ? PB_MSR_DCD : 0);
    if (lines != s->uart.lines) {
        pb_uart_set_lines(&s->uart, lines);
    }
}

void pb_line_poll_modem(PbSerial *s)
{
    get_modem(s);
    if (s->host_modem && (s->uart.ier & PB_IER_MODEM)) {
        timer_mod_ns(s->modem_timer, now_ns() + MODEM_POLL_NS);
    }
}

static void modem_due(void *opaque)
{
    pb_line_poll_modem(opaque);
}

static void set_modem(PbSerial *s)
{
    uint8_t mcr = s->uart.mcr & PB_MCR_LOOP ? 0 : s->uart.mcr;
    int flags = 0;

    if (!s->host_modem) {
        return;
    }
    qemu_chr_fe_ioctl(&s->chr, CHR_IOCTL_SERIAL_GET_TIOCM, &flags);
    flags &= ~(CHR_TIOCM_RTS | CHR_TIOCM_DTR);
    flags |= (mcr & PB_MCR_RTS ? CHR_TIOCM_RTS : 0) |
             (mcr & PB_MCR_DTR ? CHR_TIOCM_DTR : 0);
    qemu_chr_fe_ioctl(&s->chr, CHR_IOCTL_SERIAL_SET_TIOCM, &flags);
}

static void set_params(PbSerial *s)
{
    uint8_t lcr = s->uart.lcr;
    QEMUSerialSetParams p = {
        .speed = PB_UART_CLOCK / MAX(s->uart.divisor, 1),
        .parity = !(lcr & PB_LCR_PARITY) ? 'N' : lcr & PB_LCR_EVEN ? 'E'
                                                                   : 'O',
        .data_bits = 5 + (lcr & PB_LCR_BITS),
        .stop_bits = lcr & PB_LCR_STOP ? 2 : 1,
    };

    qemu_chr_fe_ioctl(&s->chr, CHR_IOCTL_SERIAL_SET_PARAMS, &p);
}

static void line_changed(void *opaque, unsigned changed)
{
    PbSerial *s = opaque;
    int on = (s->uart.lcr & PB_LCR_BREAK) && !(s->uart.mcr & PB_MCR_LOOP);

    if (changed & PB_LINE_PARAMS) {
        set_params(s);
    }
    if (changed & PB_LINE_BREAK) {
        qemu_chr_fe_ioctl(&s->chr, CHR_IOCTL_SERIAL_SET_BREAK, &on);
    }
    if (changed & PB_LINE_MODEM) {
        set_modem(s);
    }
}

static void lost(void *opaque, uint64_t tag)
{
    note(opaque, PB_CONSOLE_LOST, tag);
}

static void set_irq(void *opaque, bool level)
{
    PbSerial *s = opaque;

    qemu_set_irq(s->irq, level);
}

static const PbUartHost host = {
    .irq = set_irq,
    .transmit = transmit,
    .room = room,
    .timeout = want_timeout,
    .line = line_changed,
    .lost = lost,
};

void pb_line_resume(PbSerial *s)
{
    int flags;

    g_clear_handle_id(&s->tx_watch, g_source_remove);
    s->host_modem = qemu_chr_fe_ioctl(&s->chr, CHR_IOCTL_SERIAL_GET_TIOCM,
                                      &flags) >= 0;
    line_changed(s, PB_LINE_PARAMS | PB_LINE_BREAK | PB_LINE_MODEM);
    pb_line_poll_modem(s);
    transmit(s);
    room(s);
}

/* From now on there is this chardev, at first and after a chardev-change. */
static int chr_changed(void *opaque)
{
    PbSerial *s = opaque;

    qemu_chr_fe_set_handlers(&s->chr, chr_can_read, chr_read, chr_event,
                             chr_changed, s, NULL, true);
    pb_line_resume(s);
    return 0;
}

void pb_line_reset(PbSerial *s)
{
    timer_del(s->tx_timer);
    timer_del(s->rx_timer);
    timer_del(s->modem_timer);
    g_clear_handle_id(&s->tx_watch, g_source_remove);
    s->tx_free = 0;
    pb_uart_reset(&s->uart);
    note(s, PB_CONSOLE_RESET, s->writes + 1);
}

void pb_line_init(PbSerial *s)
{
    s->tx_timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, transmit, s);
    s->rx_timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, room, s);
    s->idle_timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, idle, s);
    s->modem_timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, modem_due, s);
    pb_uart_init(&s->uart, &host, s);
    pb_line_reset(s);
    chr_changed(s);
}
