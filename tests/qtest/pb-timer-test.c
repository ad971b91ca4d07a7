/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-timer-test.c: pb-timer's counters, clock by clock, as a guest sees them.
 * No guest runs; time stands still but for pass().
 */
#include "qemu/osdep.h"
#include "libqtest.h"
#include "qemu/host-utils.h"
#include "qemu/timer.h"
#include "qobject/qdict.h"

#include "hw/pb-timer/pb-pit.h"

#define MACHINE "-machine pc,pit=off -nic none -vga none -serial none -m 16 "
#define TIMER "-device pb-timer,id=timer "

#define PORT 0x40
#define CONTROL 0x43
#define SPEAKER 0x61

/* The control word's parts. */
#define LATCH 0x00
#define LOW 0x10
#define HIGH 0x20
#define BOTH 0x30
#define MODE(m) ((m) << 1)
#define BCD 1

#define OUT 0x80
#define NULL_COUNT 0x40

#define PATIENCE_US (30 * G_USEC_PER_SEC)

/* The test's clock: clocks of the PIT since the start, and their ns. */
static int64_t clocks, ns;

static QTestState *start_with(const char *options)
{
    QTestState *qts = qtest_initf(MACHINE TIMER "%s", options);

    clocks = ns = 0;
    qtest_irq_intercept_in(qts, "ioapic");
    return qts;
}

static QTestState *start(void)
{
    return start_with("");
}

static void pass(QTestState *qts, int64_t n)
{
    int64_t at;

    clocks += n;
    at = muldiv64_round_up(clocks, NANOSECONDS_PER_SECOND, PB_PIT_HZ);
    qtest_clock_step(qts, at - ns);
    ns = at;
}

static void control(QTestState *qts, unsigned counter, uint8_t value)
{
    qtest_outb(qts, CONTROL, counter << 6 | value);
}

static void write_count(QTestState *qts, unsigned counter, uint16_t value)
{
    qtest_outb(qts, PORT + counter, value & 0xff);
    qtest_outb(qts, PORT + counter, value >> 8);
}

static uint16_t read_count(QTestState *qts, unsigned counter)
{
    uint8_t low = qtest_inb(qts, PORT + counter);

    return low | qtest_inb(qts, PORT + counter) << 8;
}

static uint8_t status(QTestState *qts, unsigned counter)
{
    qtest_outb(qts, CONTROL, 0xe0 | 2 << counter);
    return qtest_inb(qts, PORT + counter);
}

static bool out(QTestState *qts, unsigned counter)
{
    bool level = status(qts, counter) & OUT;

    if (counter == 2) {
        g_assert_cmpint(!!(qtest_inb(qts, SPEAKER) & 0x20), ==, level);
    }
    return level;
}

static void gate(QTestState *qts, bool level)
{
    qtest_outb(qts, SPEAKER, level);
}

static void program(QTestState *qts, unsigned counter, unsigned mode,
                    uint16_t count)
{
    control(qts, counter, BOTH | MODE(mode));
    write_count(qts, counter, count);
}

/* @wave: the output at this and each following clock, as '0' and '1'. */
static void assert_wave(QTestState *qts, unsigned counter, const char *wave)
{
    g_autofree char *got = g_strdup(wave);
    size_t i;

    for (i = 0; wave[i]; i++) {
        got[i] = '0' + out(qts, counter);
        pass(qts, 1);
    }
    g_assert_cmpstr(got, ==, wave);
}

/* The values at this and each following clock, until 0xffff in the list. */
static void assert_values(QTestState *qts, unsigned counter,
                          const uint16_t *value)
{
    for (; *value != 0xffff; value++) {
        g_assert_cmphex(read_count(qts, counter), ==, *value);
        pass(qts, 1);
    }
}

static int64_t property(QTestState *qts, const char *name)
{
    QDict *reply = qtest_qmp(qts, "{ 'execute': 'qom-get', 'arguments': "
                             "{ 'path': '/machine/peripheral/timer', "
                             "'property': %s } }", name);
    int64_t value = qdict_get_int(reply, "return");

    qobject_unref(reply);
    return value;
}

/* ---- modes ---- */

static void test_mode0_rises_at_terminal_count(void)
{
    QTestState *qts = start();

    program(qts, 0, 0, 5);
    g_assert_false(qtest_get_irq(qts, 0));
    assert_wave(qts, 0, "000000");        /* one to load, five to count */
    g_assert_true(qtest_get_irq(qts, 0));
    assert_wave(qts, 0, "1111");
    /* It goes on, round the corner. */
    g_assert_cmphex(read_count(qts, 0), ==, 0xfffc);
    control(qts, 0, BOTH | MODE(0));
    g_assert_false(out(qts, 0));
    g_assert_false(qtest_get_irq(qts, 0));
    qtest_quit(qts);
}

static void test_mode0_gate_holds_the_count(void)
{
    QTestState *qts = start();

    gate(qts, true);
    program(qts, 2, 0, 10);
    pass(qts, 4);
    g_assert_cmphex(read_count(qts, 2), ==, 7);
    gate(qts, false);
    pass(qts, 100);
    g_assert_cmphex(read_count(qts, 2), ==, 7);
    gate(qts, true);
    pass(qts, 6);
    g_assert_false(out(qts, 2));
    pass(qts, 1);
    g_assert_true(out(qts, 2));
    qtest_quit(qts);
}

static void test_mode0_half_a_count_stops_it(void)
{
    QTestState *qts = start();

    program(qts, 0, 0, 3);
    pass(qts, 10);
    g_assert_true(qtest_get_irq(qts, 0));
    qtest_outb(qts, PORT, 4);
    g_assert_false(qtest_get_irq(qts, 0));
    pass(qts, 100);
    g_assert_false(out(qts, 0));
    qtest_outb(qts, PORT, 0);
    assert_wave(qts, 0, "000001");
    qtest_quit(qts);
}

static void test_mode1_needs_the_gate(void)
{
    QTestState *qts = start();

    program(qts, 2, 1, 4);
    pass(qts, 20);
    g_assert_true(out(qts, 2));
    gate(qts, true);
    pass(qts, 1);
    assert_wave(qts, 2, "00001");
    /* Triggered again before its end, it begins anew. */
    gate(qts, false);
    gate(qts, true);
    pass(qts, 3);
    gate(qts, false);
    gate(qts, true);
    pass(qts, 1);
    assert_wave(qts, 2, "000011");
    /* A new count waits for the next trigger. */
    gate(qts, false);
    gate(qts, true);
    pass(qts, 1);
    write_count(qts, 2, 2);
    assert_wave(qts, 2, "00001");
    gate(qts, false);
    gate(qts, true);
    pass(qts, 1);
    assert_wave(qts, 2, "001");
    qtest_quit(qts);
}

static void test_mode2_is_low_for_a_clock(void)
{
    static const uint16_t values[] = { 4, 3, 2, 1, 4, 3, 0xffff };
    QTestState *qts = start();

    program(qts, 1, 2, 4);
    pass(qts, 1);
    assert_wave(qts, 1, "11101110111");
    pass(qts, 1);
    assert_values(qts, 1, values);
    qtest_quit(qts);
}

static void test_mode2_new_count_after_the_period(void)
{
    QTestState *qts = start();

    program(qts, 0, 2, 6);
    pass(qts, 1);
    pass(qts, 2);
    write_count(qts, 0, 3);
    g_assert_cmphex(status(qts, 0) & NULL_COUNT, ==, NULL_COUNT);
    assert_wave(qts, 0, "1110110110");
    g_assert_cmphex(status(qts, 0) & NULL_COUNT, ==, 0);
    qtest_quit(qts);
}

static void test_mode2_gate_restarts(void)
{
    QTestState *qts = start();

    gate(qts, true);
    program(qts, 2, 2, 5);
    pass(qts, 1 + 4);
    g_assert_false(out(qts, 2));
    gate(qts, false);
    g_assert_true(out(qts, 2));           /* at once */
    pass(qts, 50);
    g_assert_true(out(qts, 2));
    gate(qts, true);
    pass(qts, 1);
    assert_wave(qts, 2, "1111011110");
    qtest_quit(qts);
}

static void test_mode3_is_square(void)
{
    static const uint16_t even[] = { 6, 4, 2, 6, 4, 2, 6, 0xffff };
    static const uint16_t odd[] = { 4, 2, 0, 4, 2, 4, 2, 0, 0xffff };
    QTestState *qts = start();

    program(qts, 1, 3, 6);
    pass(qts, 1);
    assert_wave(qts, 1, "111000111000");
    assert_values(qts, 1, even);
    program(qts, 1, 3, 5);
    pass(qts, 1);
    assert_wave(qts, 1, "1110011100");
    assert_values(qts, 1, odd);
    qtest_quit(qts);
}

static void test_mode3_new_count_after_the_half(void)
{
    QTestState *qts = start();

    program(qts, 1, 3, 8);
    pass(qts, 1 + 1);
    write_count(qts, 1, 4);               /* in the high half */
    assert_wave(qts, 1, "111" "00" "1100");
    write_count(qts, 1, 6);
    pass(qts, 2);
    write_count(qts, 1, 2);               /* in the low half */
    assert_wave(qts, 1, "0001010");
    qtest_quit(qts);
}

static void test_mode4_strobes_once(void)
{
    QTestState *qts = start();

    gate(qts, true);
    program(qts, 2, 4, 3);
    pass(qts, 1);
    assert_wave(qts, 2, "111011111");
    write_count(qts, 2, 2);
    pass(qts, 1);
    assert_wave(qts, 2, "1101111");
    /* The gate holds it. */
    write_count(qts, 2, 4);
    pass(qts, 1 + 2);
    gate(qts, false);
    pass(qts, 50);
    gate(qts, true);
    assert_wave(qts, 2, "11011");
    qtest_quit(qts);
}

static void test_mode5_strobes_when_triggered(void)
{
    QTestState *qts = start();

    program(qts, 2, 5, 3);
    pass(qts, 50);
    g_assert_true(out(qts, 2));
    gate(qts, true);
    pass(qts, 1);
    assert_wave(qts, 2, "111011111");
    gate(qts, false);
    gate(qts, true);
    pass(qts, 1);
    assert_wave(qts, 2, "1110111");
    qtest_quit(qts);
}

static void test_modes_6_and_7_are_2_and_3(void)
{
    QTestState *qts = start();

    program(qts, 1, 6, 3);
    pass(qts, 1);
    assert_wave(qts, 1, "110110");
    program(qts, 1, 7, 4);
    pass(qts, 1);
    assert_wave(qts, 1, "11001100");
    /* Status has it as it was written. */
    g_assert_cmphex(status(qts, 1) & 0x3f, ==, BOTH | MODE(7));
    qtest_quit(qts);
}

/* ---- counts ---- */

static void test_bcd_counts_in_tens(void)
{
    QTestState *qts = start();

    control(qts, 1, BOTH | MODE(2) | BCD);
    write_count(qts, 1, 0x1000);
    pass(qts, 1);
    g_assert_cmphex(read_count(qts, 1), ==, 0x1000);
    pass(qts, 1);
    g_assert_cmphex(read_count(qts, 1), ==, 0x0999);
    pass(qts, 998);
    g_assert_cmphex(read_count(qts, 1), ==, 0x0001);
    pass(qts, 1);
    g_assert_cmphex(read_count(qts, 1), ==, 0x1000);
    /* 0 is 10000, and the corner is at 9999. */
    control(qts, 1, BOTH | MODE(0) | BCD);
    write_count(qts, 1, 0);
    pass(qts, 1 + 1);
    g_assert_cmphex(read_count(qts, 1), ==, 0x9999);
    pass(qts, 9998);
    g_assert_false(out(qts, 1));
    pass(qts, 1);
    g_assert_true(out(qts, 1));
    g_assert_cmphex(read_count(qts, 1), ==, 0);
    pass(qts, 1);
    g_assert_cmphex(read_count(qts, 1), ==, 0x9999);
    qtest_quit(qts);
}

static void test_count_0_is_65536(void)
{
    QTestState *qts = start();

    program(qts, 0, 0, 0);
    pass(qts, 1 + 65535);
    g_assert_false(qtest_get_irq(qts, 0));
    pass(qts, 1);
    g_assert_true(qtest_get_irq(qts, 0));
    qtest_quit(qts);
}

static void test_one_byte_counts(void)
{
    QTestState *qts = start();

    control(qts, 1, LOW | MODE(2));
    qtest_outb(qts, PORT + 1, 0x40);
    pass(qts, 1 + 0x10);
    g_assert_cmphex(qtest_inb(qts, PORT + 1), ==, 0x30);
    g_assert_cmphex(qtest_inb(qts, PORT + 1), ==, 0x30);
    control(qts, 1, HIGH | MODE(2));
    qtest_outb(qts, PORT + 1, 0x40);
    pass(qts, 1 + 0x800);
    g_assert_cmphex(qtest_inb(qts, PORT + 1), ==, 0x38);
    control(qts, 1, LATCH);
    pass(qts, 0x100);
    g_assert_cmphex(qtest_inb(qts, PORT + 1), ==, 0x38);
    g_assert_cmphex(qtest_inb(qts, PORT + 1), ==, 0x37);
    qtest_quit(qts);
}

/* ---- latching ---- */

static void test_latch_holds_the_first(void)
{
    QTestState *qts = start();

    program(qts, 1, 2, 0x1000);
    pass(qts, 1 + 0x123);
    control(qts, 1, LATCH);
    pass(qts, 0x100);
    control(qts, 1, LATCH);               /* one is held already */
    pass(qts, 0x100);
    g_assert_cmphex(read_count(qts, 1), ==, 0x1000 - 0x123);
    g_assert_cmphex(read_count(qts, 1), ==, 0x1000 - 0x323);
    control(qts, 1, LATCH);
    pass(qts, 0x100);
    g_assert_cmphex(read_count(qts, 1), ==, 0x1000 - 0x323);
    qtest_quit(qts);
}

static void test_read_back_latches_many(void)
{
    QTestState *qts = start();

    program(qts, 0, 2, 0x2000);
    program(qts, 1, 2, 0x3000);
    pass(qts, 1 + 0x10);
    qtest_outb(qts, CONTROL, 0xd0 | 2 | 4);   /* counts of 0 and 1 */
    pass(qts, 0x10);
    g_assert_cmphex(read_count(qts, 0), ==, 0x2000 - 0x10);
    g_assert_cmphex(read_count(qts, 1), ==, 0x3000 - 0x10);
    g_assert_cmphex(read_count(qts, 1), ==, 0x3000 - 0x20);
    qtest_quit(qts);
}

static void test_read_back_status_comes_first(void)
{
    QTestState *qts = start();

    program(qts, 1, 3, 0x1000);
    pass(qts, 1 + 0x10);
    qtest_outb(qts, CONTROL, 0xc0 | 4);   /* both */
    pass(qts, 0x800);
    qtest_outb(qts, CONTROL, 0xe0 | 4);   /* status is held already */
    g_assert_cmphex(qtest_inb(qts, PORT + 1), ==, OUT | BOTH | MODE(3));
    g_assert_cmphex(read_count(qts, 1), ==, 0x1000 - 0x20);
    g_assert_cmphex(status(qts, 1), ==, BOTH | MODE(3));
    qtest_quit(qts);
}

static void test_null_count_until_loaded(void)
{
    QTestState *qts = start();

    control(qts, 1, BOTH | MODE(4));
    g_assert_cmphex(status(qts, 1), ==, OUT | NULL_COUNT | BOTH | MODE(4));
    write_count(qts, 1, 100);
    g_assert_cmphex(status(qts, 1) & NULL_COUNT, ==, NULL_COUNT);
    pass(qts, 1);
    g_assert_cmphex(status(qts, 1), ==, OUT | BOTH | MODE(4));
    /* Modes 1 and 5: until the trigger. */
    program(qts, 2, 5, 100);
    pass(qts, 10);
    g_assert_cmphex(status(qts, 2) & NULL_COUNT, ==, NULL_COUNT);
    gate(qts, true);
    pass(qts, 1);
    g_assert_cmphex(status(qts, 2) & NULL_COUNT, ==, 0);
    qtest_quit(qts);
}

static void test_control_port_is_write_only(void)
{
    QTestState *qts = start();

    g_assert_cmphex(qtest_inb(qts, CONTROL), ==, 0xff);
    qtest_quit(qts);
}

/* ---- port 0x61 ---- */

static void test_speaker_port(void)
{
    QTestState *qts = start();
    uint8_t before;

    g_assert_cmphex(qtest_inb(qts, SPEAKER) & 0xcf, ==, 0);
    qtest_outb(qts, SPEAKER, 0xff);
    g_assert_cmphex(qtest_inb(qts, SPEAKER) & 0xcf, ==, 0x0f);
    /* The refresh bit toggles every 18 clocks. */
    before = qtest_inb(qts, SPEAKER) & 0x10;
    pass(qts, 17);
    g_assert_cmphex(qtest_inb(qts, SPEAKER) & 0x10, ==, before);
    pass(qts, 1);
    g_assert_cmphex(qtest_inb(qts, SPEAKER) & 0x10, ==, before ^ 0x10);
    pass(qts, 18);
    g_assert_cmphex(qtest_inb(qts, SPEAKER) & 0x10, ==, before);
    qtest_quit(qts);
}

/* ---- ticks ---- */

/* Take IRQ 0 from the PIC, as the CPU would. */
static void take_irq(QTestState *qts)
{
    qtest_outb(qts, 0x20, 0x0c);          /* poll */
    g_assert_cmphex(qtest_inb(qts, 0x20), ==, 0x80);
    qtest_outb(qts, 0x20, 0x20);          /* end of interrupt */
}

static void init_pic(QTestState *qts)
{
    qtest_outb(qts, 0x20, 0x11);
    qtest_outb(qts, 0x21, 0x08);
    qtest_outb(qts, 0x21, 0x04);
    qtest_outb(qts, 0x21, 0x01);
    qtest_outb(qts, 0x21, 0xfe);
}

static void assert_ticks(QTestState *qts, int64_t ticks, int64_t coalesced,
                         int64_t late)
{
    g_assert_cmpint(property(qts, "ticks"), ==, ticks);
    g_assert_cmpint(property(qts, "ticks-coalesced"), ==, coalesced);
    g_assert_cmpint(property(qts, "ticks-late"), ==, late);
}

/* Without an interceptor, which would keep the interrupts from the PIC. */
static QTestState *start_with_pic(void)
{
    QTestState *qts = qtest_init(MACHINE TIMER);

    clocks = ns = 0;
    init_pic(qts);
    return qts;
}

static void test_every_tick_is_an_interrupt(void)
{
    QTestState *qts = start_with_pic();
    int i;

    program(qts, 0, 2, 11932);
    pass(qts, 1);
    for (i = 1; i <= 100; i++) {
        pass(qts, 11931);
        assert_ticks(qts, i - 1, 0, 0);
        pass(qts, 1);
        assert_ticks(qts, i, 0, 0);
        take_irq(qts);
    }
    qtest_quit(qts);
}

static void test_square_wave_ticks_once_a_period(void)
{
    QTestState *qts = start_with_pic();
    int i;

    program(qts, 0, 3, 1001);
    pass(qts, 1);
    for (i = 1; i <= 10; i++) {
        pass(qts, 1001);
        take_irq(qts);
    }
    assert_ticks(qts, 10, 0, 0);
    qtest_quit(qts);
}

static void test_strobe_ticks_at_its_end(void)
{
    QTestState *qts = start_with_pic();

    program(qts, 0, 4, 1000);
    pass(qts, 1 + 1000);
    assert_ticks(qts, 0, 0, 0);
    pass(qts, 1);
    assert_ticks(qts, 1, 0, 0);
    take_irq(qts);
    pass(qts, 5000);
    assert_ticks(qts, 1, 0, 0);
    qtest_quit(qts);
}

/* Ticks are where the output rises, also when the count changes. */
static void test_ticks_follow_a_new_count(void)
{
    QTestState *qts = start_with_pic();

    program(qts, 0, 2, 6000);
    pass(qts, 1 + 1000);
    write_count(qts, 0, 3000);
    pass(qts, 4999);
    assert_ticks(qts, 0, 0, 0);
    pass(qts, 1);
    assert_ticks(qts, 1, 0, 0);
    take_irq(qts);
    pass(qts, 3000);
    assert_ticks(qts, 2, 0, 0);
    take_irq(qts);

    program(qts, 0, 3, 6000);
    pass(qts, 1 + 1000);
    write_count(qts, 0, 4000);            /* low: 2000 instead of 3000 */
    pass(qts, 2000 + 1999);
    assert_ticks(qts, 2, 0, 0);
    pass(qts, 1);
    assert_ticks(qts, 3, 0, 0);
    take_irq(qts);
    pass(qts, 4000);
    assert_ticks(qts, 4, 0, 0);
    qtest_quit(qts);
}

static void test_untaken_tick_coalesces(void)
{
    QTestState *qts = start_with_pic();

    program(qts, 0, 2, 11932);
    pass(qts, 1 + 11932);
    pass(qts, 11932);
    pass(qts, 11932);
    assert_ticks(qts, 3, 2, 0);
    take_irq(qts);
    pass(qts, 11932);
    assert_ticks(qts, 4, 2, 0);
    /* A guest that has masked them wants none. */
    qtest_outb(qts, 0x21, 0xff);
    pass(qts, 11932);
    assert_ticks(qts, 5, 2, 0);
    qtest_quit(qts);
}

/* Faster than the host is asked to be: handled together, none forgotten. */
static void test_fast_ticks_are_all_counted(void)
{
    QTestState *qts = start_with_pic();
    int64_t coalesced;

    program(qts, 0, 2, 10);
    pass(qts, 1 + 10 * 1000);
    qtest_inb(qts, PORT);
    g_assert_cmpint(property(qts, "ticks"), ==, 1000);
    coalesced = property(qts, "ticks-coalesced");
    g_assert_cmpint(coalesced, >=, 800);
    g_assert_cmpint(coalesced, <, 1000);
    qtest_quit(qts);
}

static void test_hpet_can_replace_irq0(void)
{
    QTestState *qts = start();
    const uint64_t config = 0xfed00010;

    program(qts, 0, 0, 10);
    pass(qts, 11);
    g_assert_true(qtest_get_irq(qts, 0));
    qtest_writel(qts, config, 3);         /* on, legacy routing */
    program(qts, 0, 0, 10);
    pass(qts, 11);
    g_assert_false(qtest_get_irq(qts, 0));
    g_assert_true(out(qts, 0));
    qtest_writel(qts, config, 0);
    g_assert_true(qtest_get_irq(qts, 0));
    qtest_quit(qts);
}

/* ---- the device ---- */

static void test_reset_stops_everything(void)
{
    QTestState *qts = start();

    gate(qts, true);
    program(qts, 0, 2, 1000);
    program(qts, 2, 2, 1000);
    pass(qts, 5000);
    g_assert_cmpint(property(qts, "ticks"), >, 0);
    qtest_system_reset(qts);
    g_assert_cmphex(qtest_inb(qts, SPEAKER) & 0x0f, ==, 0);
    pass(qts, 5000);
    g_assert_cmpint(property(qts, "ticks"), ==, 0);
    g_assert_cmphex(status(qts, 0) & NULL_COUNT, ==, NULL_COUNT);
    qtest_quit(qts);
}

static void wait_migrated(QTestState *qts)
{
    gint64 until = g_get_monotonic_time() + PATIENCE_US;
    bool done;

    do {
        QDict *reply = qtest_qmp(qts, "{ 'execute': 'query-migrate' }");
        const char *state = qdict_get_try_str(
            qdict_get_qdict(reply, "return"), "status");

        g_assert_cmpstr(state ?: "", !=, "failed");
        g_assert_cmpint(g_get_monotonic_time(), <, until);
        done = !g_strcmp0(state, "completed");
        qobject_unref(reply);
    } while (!done);
}

static void test_state_migrates(void)
{
    g_autofree char *file = g_strdup_printf("%s/pb-timer-%d.state",
                                            g_get_tmp_dir(), getpid());
    g_autofree char *uri = g_strdup_printf("file:%s", file);
    QTestState *qts = start();
    int64_t at;

    gate(qts, true);
    program(qts, 0, 2, 3000);
    program(qts, 2, 0, 900);
    pass(qts, 1 + 2 * 3000 + 500);
    program(qts, 1, 3, 0x100);
    write_count(qts, 1, 0x80);
    control(qts, 0, LATCH);
    qtest_inb(qts, PORT);                 /* half read */
    pass(qts, 400);
    qtest_qmp_assert_success(qts, "{ 'execute': 'migrate', 'arguments': "
                             "{ 'uri': %s } }", uri);
    wait_migrated(qts);
    qtest_quit(qts);

    at = clocks;
    qts = start_with("-incoming defer");
    /* The test's clock does not migrate. */
    pass(qts, at);
    qtest_qmp_assert_success(qts, "{ 'execute': 'migrate-incoming', "
                             "'arguments': { 'uri': %s } }", uri);
    wait_migrated(qts);
    g_assert_cmphex(qtest_inb(qts, PORT), ==, (3000 - 500) >> 8);
    g_assert_cmphex(read_count(qts, 0), ==, 3000 - 900);
    g_assert_cmphex(read_count(qts, 1), ==, 0x80 - 2 * ((400 - 1) % 0x40));
    g_assert_true(qtest_inb(qts, SPEAKER) & 1);
    g_assert_true(out(qts, 2));
    g_assert_cmpint(property(qts, "ticks"), ==, 2);
    pass(qts, 3000 - 900);
    g_assert_cmpint(property(qts, "ticks"), ==, 3);
    qtest_quit(qts);
    unlink(file);
}

static void test_taken_ports_are_refused(void)
{
    g_autofree char *line = g_strdup_printf("%s -accel qtest -display none "
                                            "-nic none -S -device pb-timer",
                                            getenv("QTEST_QEMU_BINARY"));
    g_autofree char *err = NULL;
    int status_;

    g_assert_true(g_spawn_command_line_sync(line, NULL, &err, &status_,
                                            NULL));
    g_assert_cmpint(status_, !=, 0);
    g_assert_nonnull(strstr(err, "pb-timer: port 0x40: expected a free port, "
                            "it is pit's"));
    g_assert_nonnull(strstr(err, "-machine pit=off"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/pb-timer/mode0", test_mode0_rises_at_terminal_count);
    qtest_add_func("/pb-timer/mode0/gate", test_mode0_gate_holds_the_count);
    qtest_add_func("/pb-timer/mode0/half", test_mode0_half_a_count_stops_it);
    qtest_add_func("/pb-timer/mode1", test_mode1_needs_the_gate);
    qtest_add_func("/pb-timer/mode2", test_mode2_is_low_for_a_clock);
    qtest_add_func("/pb-timer/mode2/new",
                   test_mode2_new_count_after_the_period);
    qtest_add_func("/pb-timer/mode2/gate", test_mode2_gate_restarts);
    qtest_add_func("/pb-timer/mode3", test_mode3_is_square);
    qtest_add_func("/pb-timer/mode3/new",
                   test_mode3_new_count_after_the_half);
    qtest_add_func("/pb-timer/mode4", test_mode4_strobes_once);
    qtest_add_func("/pb-timer/mode5", test_mode5_strobes_when_triggered);
    qtest_add_func("/pb-timer/mode6-7", test_modes_6_and_7_are_2_and_3);
    qtest_add_func("/pb-timer/count/bcd", test_bcd_counts_in_tens);
    qtest_add_func("/pb-timer/count/0", test_count_0_is_65536);
    qtest_add_func("/pb-timer/count/byte", test_one_byte_counts);
    qtest_add_func("/pb-timer/latch", test_latch_holds_the_first);
    qtest_add_func("/pb-timer/read-back", test_read_back_latches_many);
    qtest_add_func("/pb-timer/read-back/status",
                   test_read_back_status_comes_first);
    qtest_add_func("/pb-timer/null-count", test_null_count_until_loaded);
    qtest_add_func("/pb-timer/control", test_control_port_is_write_only);
    qtest_add_func("/pb-timer/speaker", test_speaker_port);
    qtest_add_func("/pb-timer/ticks", test_every_tick_is_an_interrupt);
    qtest_add_func("/pb-timer/ticks/square",
                   test_square_wave_ticks_once_a_period);
    qtest_add_func("/pb-timer/ticks/strobe", test_strobe_ticks_at_its_end);
    qtest_add_func("/pb-timer/ticks/new", test_ticks_follow_a_new_count);
    qtest_add_func("/pb-timer/ticks/coalesced", test_untaken_tick_coalesces);
    qtest_add_func("/pb-timer/ticks/fast", test_fast_ticks_are_all_counted);
    qtest_add_func("/pb-timer/hpet", test_hpet_can_replace_irq0);
    qtest_add_func("/pb-timer/reset", test_reset_stops_everything);
    qtest_add_func("/pb-timer/migration", test_state_migrates);
    qtest_add_func("/pb-timer/taken", test_taken_ports_are_refused);
    return g_test_run();
}
