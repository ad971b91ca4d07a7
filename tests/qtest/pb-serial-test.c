/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-serial-test.c: pb-serial's registers, FIFOs, interrupts and line, as a
 * guest and a chardev see them.  No guest runs; time stands still but for
 * qtest_clock_step().
 */
#include "qemu/osdep.h"
#include "libqtest.h"
#include "qapi/error.h"
#include "qemu/sockets.h"
#include "qobject/qdict.h"

#include "hw/pb-serial/pb-uart.h"

#define BASE 0x3f8
#define IRQ 4

/* 8N1 at divisor 1, in ns, rounded down. */
#define CHAR_NS 86805

#define PATIENCE_US (30 * G_USEC_PER_SEC)

typedef struct Port {
    QTestState *qts;
    int fd;                   /* the other end of the line */
    char *path;
} Port;

/* @chardev: further options of the chardev, @device: of pb-serial. */
static Port start(const char *chardev, const char *device, const char *more)
{
    Port p = { .path = g_strdup_printf("%s/pb-serial-%d.sock",
                                       g_get_tmp_dir(), getpid()) };
    int server;

    unlink(p.path);
    server = unix_listen(p.path, &error_abort);
    p.qts = qtest_initf("-machine pc -nic none -vga none -serial none "
                        "-chardev socket,id=a,path=%s%s "
                        "-device pb-serial,id=port,chardev=a%s %s",
                        p.path, chardev, device, more);
    p.fd = accept(server, NULL, NULL);
    g_assert_cmpint(p.fd, >=, 0);
    close(server);
    qtest_irq_intercept_in(p.qts, "ioapic");
    return p;
}

static Port simple(void)
{
    return start("", "", "");
}

static void stop(Port *p)
{
    qtest_quit(p->qts);
    close(p->fd);
    unlink(p->path);
    g_free(p->path);
}

static uint8_t in(const Port *p, unsigned offset)
{
    return qtest_inb(p->qts, BASE + offset);
}

static void out(const Port *p, unsigned offset, uint8_t value)
{
    qtest_outb(p->qts, BASE + offset, value);
}

static bool irq(const Port *p)
{
    return qtest_get_irq(p->qts, IRQ);
}

static void set_divisor(const Port *p, uint16_t divisor, uint8_t lcr)
{
    out(p, PB_UART_LCR, lcr | PB_LCR_DLAB);
    out(p, PB_UART_DLL, divisor & 0xff);
    out(p, PB_UART_DLM, divisor >> 8);
    out(p, PB_UART_LCR, lcr);
}

static void loop(const Port *p, uint8_t mcr)
{
    set_divisor(p, 1, 3);
    out(p, PB_UART_MCR, PB_MCR_LOOP | PB_MCR_OUT2 | mcr);
    in(p, PB_UART_MSR);
}

static void put(const Port *p, const char *text)
{
    for (; *text; text++) {
        out(p, PB_UART_THR, *text);
    }
}

static void assert_sent(const Port *p, const char *text)
{
    g_autofree char *got = g_malloc0(strlen(text) + 1);
    size_t have = 0;

    while (have < strlen(text)) {
        ssize_t n = read(p->fd, got + have, strlen(text) - have);

        g_assert_cmpint(n, >, 0);
        have += n;
    }
    g_assert_cmpstr(got, ==, text);
}

/* What has been sent before this is all there is. */
static void assert_sent_only(const Port *p, const char *text)
{
    g_autofree char *all = g_strconcat(text, "|", NULL);

    put(p, "|");
    assert_sent(p, all);
}

static void give(const Port *p, const char *text)
{
    g_assert_cmpint(write(p->fd, text, strlen(text)), ==, strlen(text));
}

static uint8_t wait_lsr(const Port *p, uint8_t bits)
{
    gint64 until = g_get_monotonic_time() + PATIENCE_US;
    uint8_t lsr;

    do {
        g_assert_cmpint(g_get_monotonic_time(), <, until);
        lsr = in(p, PB_UART_LSR);
    } while (!(lsr & bits));
    return lsr;
}

/* ---- registers ---- */

static void assert_reset(const Port *p)
{
    g_assert_cmphex(in(p, PB_UART_IER), ==, 0);
    g_assert_cmphex(in(p, PB_UART_IIR), ==, PB_IIR_NONE);
    g_assert_cmphex(in(p, PB_UART_LCR), ==, 0);
    g_assert_cmphex(in(p, PB_UART_MCR), ==, 0);
    g_assert_cmphex(in(p, PB_UART_LSR), ==, PB_LSR_THRE | PB_LSR_TEMT);
    g_assert_cmphex(in(p, PB_UART_MSR), ==,
                    PB_MSR_CTS | PB_MSR_DSR | PB_MSR_DCD);
    g_assert_false(irq(p));
}

static void test_registers_at_start(void)
{
    Port p = simple();

    assert_reset(&p);
    stop(&p);
}

static void test_reset_restores_registers(void)
{
    Port p = simple();

    loop(&p, PB_MCR_DTR);
    out(&p, PB_UART_FCR, PB_FCR_ENABLE);
    out(&p, PB_UART_IER, 0x0f);
    put(&p, "abc");
    g_assert_true(irq(&p));
    qtest_system_reset(p.qts);
    assert_reset(&p);
    put(&p, "x");
    assert_sent(&p, "x");
    stop(&p);
}

static void test_unused_bits_are_zero(void)
{
    Port p = simple();

    out(&p, PB_UART_IER, 0xff);
    g_assert_cmphex(in(&p, PB_UART_IER), ==, 0x0f);
    out(&p, PB_UART_MCR, 0xff);
    g_assert_cmphex(in(&p, PB_UART_MCR), ==, 0x1f);
    out(&p, PB_UART_LSR, 0x1f);
    g_assert_cmphex(in(&p, PB_UART_LSR), ==, PB_LSR_THRE | PB_LSR_TEMT);
    stop(&p);
}

static void test_divisor_is_behind_dlab(void)
{
    Port p = simple();

    out(&p, PB_UART_IER, PB_IER_LINE);
    set_divisor(&p, 0x1234, 0x1b);
    g_assert_cmphex(in(&p, PB_UART_IER), ==, PB_IER_LINE);
    out(&p, PB_UART_LCR, PB_LCR_DLAB | 0x1b);
    g_assert_cmphex(in(&p, PB_UART_DLL), ==, 0x34);
    g_assert_cmphex(in(&p, PB_UART_DLM), ==, 0x12);
    g_assert_cmphex(in(&p, PB_UART_LCR), ==, PB_LCR_DLAB | 0x1b);
    stop(&p);
}

static void test_scratch_keeps_any_value(void)
{
    Port p = simple();
    int i;

    for (i = 0; i < 256; i++) {
        out(&p, PB_UART_SCR, i);
        g_assert_cmphex(in(&p, PB_UART_SCR), ==, i);
    }
    stop(&p);
}

static void test_fcr_needs_its_enable_bit(void)
{
    Port p = simple();

    out(&p, PB_UART_FCR, PB_FCR_TRIGGER);
    g_assert_cmphex(in(&p, PB_UART_IIR), ==, PB_IIR_NONE);
    out(&p, PB_UART_FCR, PB_FCR_ENABLE);
    g_assert_cmphex(in(&p, PB_UART_IIR), ==, PB_IIR_NONE | PB_IIR_FIFOS);
    out(&p, PB_UART_FCR, 0);
    g_assert_cmphex(in(&p, PB_UART_IIR), ==, PB_IIR_NONE);
    stop(&p);
}

static void test_wide_write_is_its_bytes(void)
{
    Port p = simple();

    qtest_outw(p.qts, BASE + PB_UART_LCR, PB_MCR_RTS << 8 | 0x03);
    g_assert_cmphex(in(&p, PB_UART_LCR), ==, 0x03);
    g_assert_cmphex(in(&p, PB_UART_MCR), ==, PB_MCR_RTS);
    stop(&p);
}

/* ---- out ---- */

static void test_characters_reach_the_chardev(void)
{
    Port p = simple();

    set_divisor(&p, 1, 3);
    put(&p, "hello, world\r\n");
    assert_sent(&p, "hello, world\r\n");
    g_assert_cmphex(in(&p, PB_UART_LSR), ==, PB_LSR_THRE | PB_LSR_TEMT);
    stop(&p);
}

static void test_word_length_cuts(void)
{
    Port p = simple();

    set_divisor(&p, 1, 2);
    put(&p, "\xc1\xe2");
    set_divisor(&p, 1, 3);
    assert_sent_only(&p, "Ab");
    stop(&p);
}

static void test_break_silences_the_line(void)
{
    Port p = simple();

    set_divisor(&p, 1, 3);
    put(&p, "a");
    out(&p, PB_UART_LCR, PB_LCR_BREAK | 3);
    put(&p, "b");
    out(&p, PB_UART_LCR, 3);
    assert_sent_only(&p, "a");
    stop(&p);
}

static void test_throttled_character_takes_its_time(void)
{
    Port p = start("", ",throttle=on", "");

    set_divisor(&p, 1, 3);
    put(&p, "a");
    /* It moved on to the shift register: room for the next. */
    g_assert_cmphex(in(&p, PB_UART_LSR), ==, PB_LSR_THRE);
    put(&p, "b");
    g_assert_cmphex(in(&p, PB_UART_LSR), ==, 0);
    qtest_clock_step(p.qts, CHAR_NS - 1);
    g_assert_cmphex(in(&p, PB_UART_LSR), ==, 0);
    qtest_clock_step(p.qts, 1);
    g_assert_cmphex(in(&p, PB_UART_LSR), ==, PB_LSR_THRE);
    assert_sent(&p, "a");
    qtest_clock_step(p.qts, CHAR_NS);
    g_assert_cmphex(in(&p, PB_UART_LSR), ==, PB_LSR_THRE | PB_LSR_TEMT);
    assert_sent(&p, "b");
    stop(&p);
}

static void test_speed_follows_divisor_and_format(void)
{
    Port p = start("", ",throttle=on", "");

    /* 9600 baud; start, 7 data, parity, 2 stop: 11 bits. */
    set_divisor(&p, 12, 0x02 | PB_LCR_PARITY | PB_LCR_STOP);
    put(&p, "a");
    qtest_clock_step(p.qts, 1145832);
    g_assert_cmphex(in(&p, PB_UART_LSR), ==, PB_LSR_THRE);
    qtest_clock_step(p.qts, 2);
    g_assert_cmphex(in(&p, PB_UART_LSR), ==, PB_LSR_THRE | PB_LSR_TEMT);
    stop(&p);
}

static void test_full_transmit_fifo_loses(void)
{
    Port p = start("", ",throttle=on", "");

    set_divisor(&p, 1, 3);
    out(&p, PB_UART_FCR, PB_FCR_ENABLE);
    put(&p, "0123456789abcdefgX");        /* one shifts, sixteen wait */
    qtest_clock_step(p.qts, 17 * CHAR_NS);
    assert_sent(&p, "0123456789abcdefg");
    put(&p, "|");
    qtest_clock_step(p.qts, CHAR_NS);
    assert_sent(&p, "|");
    stop(&p);
}

static void test_clearing_the_transmit_fifo(void)
{
    Port p = start("", ",throttle=on", "");

    set_divisor(&p, 1, 3);
    out(&p, PB_UART_FCR, PB_FCR_ENABLE);
    put(&p, "abc");
    out(&p, PB_UART_FCR, PB_FCR_ENABLE | PB_FCR_CLEAR_TX);
    /* What shifts is not in the FIFO. */
    g_assert_cmphex(in(&p, PB_UART_LSR), ==, PB_LSR_THRE);
    put(&p, "|");
    qtest_clock_step(p.qts, 2 * CHAR_NS);
    assert_sent(&p, "a|");
    stop(&p);
}

static void test_slow_reader_loses_nothing(void)
{
    Port p = simple();
    int size = 4096, i, sent = 0, got = 0;
    uint8_t buf[4096];
    ssize_t n, at;

    setsockopt(p.fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    set_divisor(&p, 1, 3);
    out(&p, PB_UART_FCR, PB_FCR_ENABLE);
    /* Until the chardev takes no more and the FIFO stays filled. */
    while (sent < 4 << 20 && (in(&p, PB_UART_LSR) & PB_LSR_THRE)) {
        out(&p, PB_UART_THR, sent++ % 251);
    }
    g_assert_cmpint(sent, <, 4 << 20);
    for (i = 1; i < PB_UART_FIFO - 1; i++) {
        out(&p, PB_UART_THR, sent++ % 251);
    }
    while (got < sent) {
        n = read(p.fd, buf, sizeof(buf));
        g_assert_cmpint(n, >, 0);
        for (at = 0; at < n; at++) {
            g_assert_cmpint(buf[at], ==, got++ % 251);
        }
    }
    wait_lsr(&p, PB_LSR_TEMT);
    stop(&p);
}

/* ---- in ---- */

static void test_input_is_received(void)
{
    Port p = simple();

    set_divisor(&p, 1, 3);
    give(&p, "k");
    wait_lsr(&p, PB_LSR_READY);
    g_assert_cmphex(in(&p, PB_UART_RBR), ==, 'k');
    g_assert_cmphex(in(&p, PB_UART_LSR), ==, PB_LSR_THRE | PB_LSR_TEMT);
    stop(&p);
}

static void test_unthrottled_input_waits(void)
{
    Port p = simple();
    char text[301] = "";
    int i;

    for (i = 0; i < 300; i++) {
        text[i] = ' ' + i % 90;
    }
    set_divisor(&p, 1, 3);
    out(&p, PB_UART_FCR, PB_FCR_ENABLE);
    give(&p, text);
    for (i = 0; i < 300; i++) {
        g_assert_false(wait_lsr(&p, PB_LSR_READY) & PB_LSR_OVERRUN);
        g_assert_cmphex(in(&p, PB_UART_RBR), ==, text[i]);
    }
    stop(&p);
}

static void test_throttled_input_overruns(void)
{
    Port p = start("", ",throttle=on", "");
    gint64 until = g_get_monotonic_time() + PATIENCE_US;
    int i;

    set_divisor(&p, 1, 3);
    out(&p, PB_UART_FCR, PB_FCR_ENABLE);
    give(&p, "0123456789abcdefXY");
    while (!(in(&p, PB_UART_LSR) & PB_LSR_OVERRUN)) {
        g_assert_cmpint(g_get_monotonic_time(), <, until);
        qtest_clock_step(p.qts, CHAR_NS);
    }
    for (i = 0; i < 16; i++) {
        g_assert_cmphex(in(&p, PB_UART_RBR), ==, "0123456789abcdef"[i]);
    }
    stop(&p);
}

static void test_overrun_with_fifo_keeps_the_old(void)
{
    Port p = simple();
    int i;

    loop(&p, 0);
    out(&p, PB_UART_FCR, PB_FCR_ENABLE | PB_FCR_TRIGGER);
    out(&p, PB_UART_IER, PB_IER_LINE);
    put(&p, "0123456789abcdef");
    g_assert_false(irq(&p));
    put(&p, "X");
    g_assert_true(irq(&p));
    g_assert_cmphex(in(&p, PB_UART_IIR), ==, PB_IIR_LINE | PB_IIR_FIFOS);
    g_assert_cmphex(in(&p, PB_UART_LSR) & 0x9f, ==,
                    PB_LSR_OVERRUN | PB_LSR_READY);
    g_assert_false(irq(&p));
    g_assert_cmphex(in(&p, PB_UART_LSR) & 0x9f, ==, PB_LSR_READY);
    for (i = 0; i < 16; i++) {
        g_assert_cmphex(in(&p, PB_UART_RBR), ==, "0123456789abcdef"[i]);
    }
    g_assert_cmphex(in(&p, PB_UART_LSR) & PB_LSR_READY, ==, 0);
    stop(&p);
}

static void test_overrun_without_fifo_keeps_the_new(void)
{
    Port p = simple();

    loop(&p, 0);
    put(&p, "AB");
    g_assert_cmphex(in(&p, PB_UART_LSR) & 0x9f, ==,
                    PB_LSR_OVERRUN | PB_LSR_READY);
    g_assert_cmphex(in(&p, PB_UART_RBR), ==, 'B');
    g_assert_cmphex(in(&p, PB_UART_LSR) & 0x9f, ==, 0);
    stop(&p);
}

static void test_clearing_the_receive_fifo(void)
{
    Port p = simple();

    loop(&p, 0);
    out(&p, PB_UART_FCR, PB_FCR_ENABLE);
    put(&p, "abc");
    out(&p, PB_UART_FCR, PB_FCR_ENABLE | PB_FCR_CLEAR_RX);
    g_assert_cmphex(in(&p, PB_UART_LSR) & PB_LSR_READY, ==, 0);
    /* So does switching the FIFOs off. */
    put(&p, "d");
    out(&p, PB_UART_FCR, 0);
    g_assert_cmphex(in(&p, PB_UART_LSR) & PB_LSR_READY, ==, 0);
    stop(&p);
}

/* A multiplexed chardev makes a break of Ctrl-A b. */
static void test_break_is_received(void)
{
    Port p = start(",mux=on", "", "");

    set_divisor(&p, 1, 3);
    out(&p, PB_UART_FCR, PB_FCR_ENABLE);
    out(&p, PB_UART_MCR, PB_MCR_OUT2);
    out(&p, PB_UART_IER, PB_IER_LINE);
    give(&p, "a\x01" "bc");
    while (!irq(&p) && !(wait_lsr(&p, PB_LSR_READY) & PB_LSR_FIFO_ERROR)) {
        /* LSR tells of the break only when its character is next. */
    }
    g_assert_cmphex(in(&p, PB_UART_RBR), ==, 'a');
    g_assert_true(irq(&p));
    g_assert_cmphex(in(&p, PB_UART_IIR), ==, PB_IIR_LINE | PB_IIR_FIFOS);
    g_assert_cmphex(in(&p, PB_UART_LSR) & 0x9f, ==, PB_LSR_FIFO_ERROR |
                    PB_LSR_BREAK | PB_LSR_FRAMING | PB_LSR_READY);
    g_assert_cmphex(in(&p, PB_UART_LSR) & 0x9f, ==, PB_LSR_READY);
    g_assert_false(irq(&p));
    g_assert_cmphex(in(&p, PB_UART_RBR), ==, 0);
    wait_lsr(&p, PB_LSR_READY);
    g_assert_cmphex(in(&p, PB_UART_RBR), ==, 'c');
    stop(&p);
}

/* ---- interrupts ---- */

static void test_trigger_levels(void)
{
    static const uint8_t level[] = { 1, 4, 8, 14 };
    Port p = simple();
    unsigned i, n;

    loop(&p, 0);
    out(&p, PB_UART_IER, PB_IER_RX);
    for (i = 0; i < 4; i++) {
        out(&p, PB_UART_FCR, PB_FCR_ENABLE | PB_FCR_CLEAR_RX | i << 6);
        for (n = 1; n < level[i]; n++) {
            put(&p, "x");
            g_assert_false(irq(&p));
            g_assert_cmphex(in(&p, PB_UART_IIR), ==,
                            PB_IIR_NONE | PB_IIR_FIFOS);
        }
        put(&p, "x");
        g_assert_true(irq(&p));
        g_assert_cmphex(in(&p, PB_UART_IIR), ==, PB_IIR_RX | PB_IIR_FIFOS);
        in(&p, PB_UART_RBR);
        g_assert_false(irq(&p));
    }
    stop(&p);
}

static void test_timeout_after_four_characters(void)
{
    Port p = simple();

    loop(&p, 0);
    out(&p, PB_UART_FCR, PB_FCR_ENABLE | PB_FCR_TRIGGER);
    out(&p, PB_UART_IER, PB_IER_RX);
    put(&p, "a");
    qtest_clock_step(p.qts, 3 * CHAR_NS);
    put(&p, "b");                         /* begins anew */
    qtest_clock_step(p.qts, 4 * CHAR_NS - 1);
    g_assert_false(irq(&p));
    qtest_clock_step(p.qts, 1);
    g_assert_true(irq(&p));
    g_assert_cmphex(in(&p, PB_UART_IIR), ==, PB_IIR_TIMEOUT | PB_IIR_FIFOS);
    g_assert_cmphex(in(&p, PB_UART_RBR), ==, 'a');
    g_assert_false(irq(&p));
    qtest_clock_step(p.qts, 4 * CHAR_NS);
    g_assert_true(irq(&p));
    g_assert_cmphex(in(&p, PB_UART_RBR), ==, 'b');
    qtest_clock_step(p.qts, 100 * CHAR_NS);
    g_assert_false(irq(&p));
    stop(&p);
}

static void test_transmitter_interrupt(void)
{
    Port p = start("", ",throttle=on", "");

    set_divisor(&p, 1, 3);
    out(&p, PB_UART_MCR, PB_MCR_OUT2);
    out(&p, PB_UART_IER, PB_IER_TX);
    g_assert_true(irq(&p));
    g_assert_cmphex(in(&p, PB_UART_IIR), ==, PB_IIR_TX);
    /* Having looked is enough. */
    g_assert_false(irq(&p));
    g_assert_cmphex(in(&p, PB_UART_IIR), ==, PB_IIR_NONE);
    out(&p, PB_UART_IER, 0);
    out(&p, PB_UART_IER, PB_IER_TX);
    g_assert_true(irq(&p));
    put(&p, "ab");
    g_assert_false(irq(&p));
    qtest_clock_step(p.qts, CHAR_NS);
    g_assert_true(irq(&p));
    stop(&p);
}

static void test_priorities(void)
{
    Port p = simple();

    loop(&p, 0);
    put(&p, "AB");                        /* overrun, received, sent */
    out(&p, PB_UART_MCR, PB_MCR_LOOP | PB_MCR_OUT2 | PB_MCR_RTS);
    out(&p, PB_UART_IER, 0x0f);
    g_assert_cmphex(in(&p, PB_UART_IIR), ==, PB_IIR_LINE);
    in(&p, PB_UART_LSR);
    g_assert_cmphex(in(&p, PB_UART_IIR), ==, PB_IIR_RX);
    in(&p, PB_UART_RBR);
    g_assert_cmphex(in(&p, PB_UART_IIR), ==, PB_IIR_TX);
    g_assert_cmphex(in(&p, PB_UART_IIR), ==, PB_IIR_MODEM);
    g_assert_true(irq(&p));
    in(&p, PB_UART_MSR);
    g_assert_cmphex(in(&p, PB_UART_IIR), ==, PB_IIR_NONE);
    g_assert_false(irq(&p));
    stop(&p);
}

static void test_out2_connects_the_interrupt(void)
{
    Port p = simple();

    out(&p, PB_UART_IER, PB_IER_TX);
    g_assert_false(irq(&p));
    out(&p, PB_UART_MCR, PB_MCR_OUT2);
    g_assert_true(irq(&p));
    out(&p, PB_UART_MCR, 0);
    g_assert_false(irq(&p));
    stop(&p);
}

/* ---- modem lines, loopback ---- */

static void test_loopback_stays_inside(void)
{
    Port p = simple();

    loop(&p, 0);
    give(&p, "o");
    put(&p, "i");
    g_assert_cmphex(in(&p, PB_UART_RBR), ==, 'i');
    g_assert_cmphex(in(&p, PB_UART_LSR) & PB_LSR_READY, ==, 0);
    out(&p, PB_UART_MCR, 0);
    /* Input that came meanwhile was held back. */
    wait_lsr(&p, PB_LSR_READY);
    g_assert_cmphex(in(&p, PB_UART_RBR), ==, 'o');
    assert_sent_only(&p, "");
    stop(&p);
}

static void test_loopback_break(void)
{
    Port p = simple();

    loop(&p, 0);
    out(&p, PB_UART_LCR, PB_LCR_BREAK | 3);
    g_assert_cmphex(in(&p, PB_UART_LSR) & 0x1f, ==,
                    PB_LSR_BREAK | PB_LSR_FRAMING | PB_LSR_READY);
    g_assert_cmphex(in(&p, PB_UART_RBR), ==, 0);
    stop(&p);
}

static void test_loopback_modem_lines(void)
{
    static const struct {
        uint8_t mcr, msr, delta;
    } wire[] = {
        { PB_MCR_RTS, PB_MSR_CTS, 0x01 }, { PB_MCR_DTR, PB_MSR_DSR, 0x02 },
        { PB_MCR_OUT1, PB_MSR_RI, 0 }, { PB_MCR_OUT2, PB_MSR_DCD, 0x08 },
    };
    Port p = simple();
    unsigned i;

    out(&p, PB_UART_MCR, PB_MCR_LOOP);
    in(&p, PB_UART_MSR);
    for (i = 0; i < 4; i++) {
        out(&p, PB_UART_MCR, PB_MCR_LOOP | wire[i].mcr);
        g_assert_cmphex(in(&p, PB_UART_MSR), ==, wire[i].msr | wire[i].delta);
        g_assert_cmphex(in(&p, PB_UART_MSR), ==, wire[i].msr);
        out(&p, PB_UART_MCR, PB_MCR_LOOP);
        /* Of ring, only the end counts. */
        g_assert_cmphex(in(&p, PB_UART_MSR), ==,
                        wire[i].delta ?: 0x04);
    }
    stop(&p);
}

/* ---- places, states, the Backup's side ---- */

static void test_place_can_be_chosen(void)
{
    QTestState *qts = qtest_init(
        "-machine pc -nic none -vga none -serial none "
        "-device pb-serial,index=1 -device pb-serial,iobase=0x2e0,irq=5");

    qtest_irq_intercept_in(qts, "ioapic");
    qtest_outb(qts, 0x2f8 + PB_UART_SCR, 0x5a);
    g_assert_cmphex(qtest_inb(qts, 0x2f8 + PB_UART_SCR), ==, 0x5a);
    qtest_outb(qts, 0x2e0 + PB_UART_MCR, PB_MCR_OUT2);
    qtest_outb(qts, 0x2e0 + PB_UART_IER, PB_IER_TX);
    g_assert_true(qtest_get_irq(qts, 5));
    qtest_quit(qts);
}

static void assert_refused(const char *args, const char *expected)
{
    g_autofree char *line = g_strdup_printf("%s -display none -S %s",
                                            getenv("QTEST_QEMU_BINARY"),
                                            args);
    g_autofree char *err = NULL;
    int status;

    g_assert_true(g_spawn_command_line_sync(line, NULL, &err, &status,
                                            NULL));
    g_assert_cmpint(status, !=, 0);
    g_assert_nonnull(strstr(err, expected));
}

static void test_taken_place_is_refused(void)
{
    assert_refused("-accel qtest -nic none -serial null -device pb-serial",
                   "pb-serial: ports 0x3f8 to 0x3ff: expected free ports, "
                   "they are serial's");
    assert_refused("-accel qtest -nic none -serial none "
                   "-device pb-serial,index=4",
                   "pb-serial: index=4: expected 0 to 3");
    assert_refused("-accel qtest -nic none -serial none "
                   "-device pb-serial,iobase=0x10000",
                   "pb-serial: iobase=0x10000,irq=4: expected at most");
}

static void test_no_chardev_is_a_loose_end(void)
{
    QTestState *qts = qtest_init("-machine pc -nic none -vga none "
                                 "-serial none -device pb-serial");

    qtest_outb(qts, BASE, 'x');
    g_assert_cmphex(qtest_inb(qts, BASE + PB_UART_LSR), ==,
                    PB_LSR_THRE | PB_LSR_TEMT);
    qtest_quit(qts);
}

static void test_backup_chardev_is_silent_here(void)
{
    Port p = start("", ",backup-chardev=b", "-chardev ringbuf,id=b");
    QDict *reply;

    set_divisor(&p, 1, 3);
    assert_sent_only(&p, "");
    reply = qtest_qmp(p.qts, "{ 'execute': 'ringbuf-read', 'arguments': "
                      "{ 'device': 'b', 'size': 100 } }");
    g_assert_cmpstr(qdict_get_str(reply, "return"), ==, "");
    qobject_unref(reply);
    reply = qtest_qmp(p.qts, "{ 'execute': 'qom-get', 'arguments': { 'path':"
                      " '/machine/peripheral/port', 'property':"
                      " 'backup-shown' } }");
    g_assert_cmpint(qdict_get_int(reply, "return"), ==, 0);
    qobject_unref(reply);
    stop(&p);
}

static void wait_migrated(QTestState *qts)
{
    gint64 until = g_get_monotonic_time() + PATIENCE_US;
    bool done;

    do {
        QDict *reply = qtest_qmp(qts, "{ 'execute': 'query-migrate' }");
        const char *status = qdict_get_try_str(
            qdict_get_qdict(reply, "return"), "status");

        g_assert_cmpstr(status ?: "", !=, "failed");
        g_assert_cmpint(g_get_monotonic_time(), <, until);
        done = !g_strcmp0(status, "completed");
        qobject_unref(reply);
    } while (!done);
}

/* Carry the state over to a new QEMU, whose clock is put on by @ns. */
static void migrate(Port *p, const char *device, int64_t ns)
{
    g_autofree char *file = g_strdup_printf("%s/pb-serial-%d.state",
                                            g_get_tmp_dir(), getpid());
    g_autofree char *uri = g_strdup_printf("file:%s", file);

    qtest_qmp_assert_success(p->qts, "{ 'execute': 'migrate', 'arguments': "
                             "{ 'uri': %s } }", uri);
    wait_migrated(p->qts);
    stop(p);
    *p = start("", device, "-m 16 -incoming defer");
    qtest_clock_step(p->qts, ns);
    qtest_qmp_assert_success(p->qts, "{ 'execute': 'migrate-incoming', "
                             "'arguments': { 'uri': %s } }", uri);
    wait_migrated(p->qts);
    unlink(file);
}

static void test_state_migrates(void)
{
    Port p = start("", ",throttle=on", "-m 16");
    int i;

    loop(&p, PB_MCR_DTR);
    out(&p, PB_UART_FCR, PB_FCR_ENABLE | PB_FCR_TRIGGER);
    out(&p, PB_UART_IER, PB_IER_RX);
    out(&p, PB_UART_SCR, 0x77);
    put(&p, "abcd");
    qtest_clock_step(p.qts, 2 * CHAR_NS + CHAR_NS / 2);
    migrate(&p, ",throttle=on", 2 * CHAR_NS + CHAR_NS / 2);
    g_assert_cmphex(in(&p, PB_UART_SCR), ==, 0x77);
    g_assert_cmphex(in(&p, PB_UART_LSR), ==, PB_LSR_READY);
    g_assert_cmphex(in(&p, PB_UART_IIR), ==, PB_IIR_NONE | PB_IIR_FIFOS);
    /* "c" is half out, "d" waits. */
    qtest_clock_step(p.qts, CHAR_NS / 2 + 1);
    g_assert_cmphex(in(&p, PB_UART_LSR), ==, PB_LSR_READY | PB_LSR_THRE);
    qtest_clock_step(p.qts, CHAR_NS);
    g_assert_cmphex(in(&p, PB_UART_LSR), ==,
                    PB_LSR_READY | PB_LSR_THRE | PB_LSR_TEMT);
    for (i = 0; i < 4; i++) {
        g_assert_cmphex(in(&p, PB_UART_RBR), ==, "abcd"[i]);
    }
    stop(&p);
}

static void test_timeout_migrates(void)
{
    Port p = start("", "", "-m 16");

    loop(&p, 0);
    out(&p, PB_UART_FCR, PB_FCR_ENABLE | PB_FCR_TRIGGER);
    out(&p, PB_UART_IER, PB_IER_RX);
    put(&p, "a");
    qtest_clock_step(p.qts, CHAR_NS);
    migrate(&p, "", CHAR_NS);
    qtest_clock_step(p.qts, 3 * CHAR_NS - 1);
    g_assert_false(irq(&p));
    qtest_clock_step(p.qts, 1);
    g_assert_true(irq(&p));
    stop(&p);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/pb-serial/start", test_registers_at_start);
    qtest_add_func("/pb-serial/reset", test_reset_restores_registers);
    qtest_add_func("/pb-serial/unused-bits", test_unused_bits_are_zero);
    qtest_add_func("/pb-serial/divisor", test_divisor_is_behind_dlab);
    qtest_add_func("/pb-serial/scratch", test_scratch_keeps_any_value);
    qtest_add_func("/pb-serial/fcr", test_fcr_needs_its_enable_bit);
    qtest_add_func("/pb-serial/wide", test_wide_write_is_its_bytes);
    qtest_add_func("/pb-serial/out", test_characters_reach_the_chardev);
    qtest_add_func("/pb-serial/out/word", test_word_length_cuts);
    qtest_add_func("/pb-serial/out/break", test_break_silences_the_line);
    qtest_add_func("/pb-serial/out/throttled",
                   test_throttled_character_takes_its_time);
    qtest_add_func("/pb-serial/out/speed",
                   test_speed_follows_divisor_and_format);
    qtest_add_func("/pb-serial/out/full", test_full_transmit_fifo_loses);
    qtest_add_func("/pb-serial/out/clear", test_clearing_the_transmit_fifo);
    qtest_add_func("/pb-serial/out/slow", test_slow_reader_loses_nothing);
    qtest_add_func("/pb-serial/in", test_input_is_received);
    qtest_add_func("/pb-serial/in/waits", test_unthrottled_input_waits);
    qtest_add_func("/pb-serial/in/overrun", test_throttled_input_overruns);
    qtest_add_func("/pb-serial/overrun/fifo",
                   test_overrun_with_fifo_keeps_the_old);
    qtest_add_func("/pb-serial/overrun/single",
                   test_overrun_without_fifo_keeps_the_new);
    qtest_add_func("/pb-serial/in/clear", test_clearing_the_receive_fifo);
    qtest_add_func("/pb-serial/in/break", test_break_is_received);
    qtest_add_func("/pb-serial/irq/trigger", test_trigger_levels);
    qtest_add_func("/pb-serial/irq/timeout",
                   test_timeout_after_four_characters);
    qtest_add_func("/pb-serial/irq/transmitter", test_transmitter_interrupt);
    qtest_add_func("/pb-serial/irq/priorities", test_priorities);
    qtest_add_func("/pb-serial/irq/out2", test_out2_connects_the_interrupt);
    qtest_add_func("/pb-serial/loop/data", test_loopback_stays_inside);
    qtest_add_func("/pb-serial/loop/break", test_loopback_break);
    qtest_add_func("/pb-serial/loop/modem", test_loopback_modem_lines);
    qtest_add_func("/pb-serial/place", test_place_can_be_chosen);
    qtest_add_func("/pb-serial/place/taken", test_taken_place_is_refused);
    qtest_add_func("/pb-serial/no-chardev", test_no_chardev_is_a_loose_end);
    qtest_add_func("/pb-serial/backup", test_backup_chardev_is_silent_here);
    qtest_add_func("/pb-serial/migration", test_state_migrates);
    qtest_add_func("/pb-serial/migration/timeout", test_timeout_migrates);
    return g_test_run();
}
