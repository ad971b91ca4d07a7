/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-console-test.c: what pb-serial's backup-chardev shows of a guest that
 * does all that hides a character: divisor latch, loopback, break, reset.
 */
#include "qemu/osdep.h"
#include "pbkvm-query.h"

#define ROM_SIZE 65536
#define CODE_AT 0xff00
#define JUMP_AT 0xfff0

/* A byte to a register of the port at 0x3f8. */
#define PUT(reg, val) 0xba, 0xf8 + (reg), 0x03, /* mov $0x3f8+reg, %dx */ \
                      0xb0, (val),              /* mov $val, %al */ \
                      0xee                      /* out %al, (%dx) */

/* Prints PRINTED, and leaves the port as unfit for that as it can. */
static const uint8_t code[] = {
    PUT(0, 'R'),                  /* before anything is set */
    0xba, 0xfd, 0x03,             /* mov $0x3fd, %dx */
    0xec,                         /* 1: in (%dx), %al: LSR */
    0xa8, 0x40,                   /* test $0x40, %al: it has left */
    0x74, 0xfb,                   /* jz 1b */
    PUT(3, 0x83), PUT(0, 0), PUT(1, 1), PUT(3, 0x03),     /* 450 baud */
    PUT(0, 'a'),
    PUT(4, 0x10), PUT(0, 'X'), PUT(4, 0x00),      /* loopback */
    PUT(3, 0x43), PUT(0, 'Y'), PUT(3, 0x03),      /* break */
    0xba, 0xf8, 0x03,             /* mov $0x3f8, %dx */
    0xbe, 0x86, 0xff,             /* mov $text, %si */
    0xb9, 0x03, 0x00,             /* mov $3, %cx */
    0xfc,                         /* cld */
    0x2e, 0xf3, 0x6e,             /* rep outsb %cs:(%si), (%dx) */
    PUT(3, 0x02), PUT(0, 'e' + 0x80),             /* seven bits */
    0xba, 0xfb, 0x03,             /* mov $0x3fb, %dx */
    0xb8, 0x03, 0x00,             /* mov $0x0003, %ax */
    0xef,                         /* out %ax, (%dx): LCR and MCR */
    PUT(0, '\n'),
    PUT(4, 0x10), PUT(3, 0x83),
    0xfa,                         /* cli */
    0xf4,                         /* hlt */
    0xeb, 0xfc,                   /* jmp, back to cli */
    'b', 'c', 'd',                /* text */
};

#define PRINTED "Rabcde\n"

static char *rom_file(void)
{
    static uint8_t rom[ROM_SIZE];
    char *path = g_strdup_printf("%s/pb-console-%d.rom", g_get_tmp_dir(),
                                 getpid());

    memcpy(rom + CODE_AT, code, sizeof(code));
    rom[JUMP_AT] = 0xe9;          /* jmp CODE_AT */
    rom[JUMP_AT + 1] = (CODE_AT - JUMP_AT - 3) & 0xff;
    rom[JUMP_AT + 2] = (CODE_AT - JUMP_AT - 3) >> 8 & 0xff;
    g_assert_true(g_file_set_contents(path, (char *)rom, sizeof(rom), NULL));
    return path;
}

static QTestState *start(int lag_ms, const char *device)
{
    g_autofree char *rom = rom_file();
    QTestState *qts = qtest_initf(
        "-accel pbkvm,lag=%d -m 16 -nic none -vga none -serial none "
        "-bios %s -chardev ringbuf,id=a,size=4096 "
        "-chardev ringbuf,id=b,size=4096 -device pb-serial,id=port,"
        "chardev=a,backup-chardev=b%s", lag_ms, rom, device);

    unlink(rom);
    return qts;
}

/* Append what CHARDEV has got since. */
static void take(QTestState *qts, const char *chardev, GString *text)
{
    QDict *reply = qtest_qmp(qts, "{ 'execute': 'ringbuf-read', "
                             "'arguments': { 'device': %s, 'size': 4096 } }",
                             chardev);

    g_string_append(text, qdict_get_str(reply, "return"));
    qobject_unref(reply);
}

/* Both sides have printed @text, and the Backup has seen all there is. */
static void assert_printed(QTestState *qts, GString *a, GString *b,
                           const char *text)
{
    gint64 until = g_get_monotonic_time() + PATIENCE_US;

    do {
        take(qts, "a", a);
        take(qts, "b", b);
    } while ((a->len < strlen(text) || b->len < strlen(text)) &&
             g_get_monotonic_time() < until);
    g_assert_cmpstr(a->str, ==, text);
    g_assert_cmpstr(b->str, ==, text);
}

static void test_only_what_is_sent_shows(void)
{
    g_autoptr(GString) a = g_string_new(""), b = g_string_new("");
    QTestState *qts = start(0, "");

    assert_printed(qts, a, b, PRINTED);
    assert_equal(qts);
    qtest_quit(qts);
}

static void test_reset_resets_both(void)
{
    g_autoptr(GString) a = g_string_new(""), b = g_string_new("");
    QTestState *qts = start(0, "");

    assert_printed(qts, a, b, PRINTED);
    qtest_system_reset(qts);
    assert_printed(qts, a, b, PRINTED PRINTED);
    assert_equal(qts);
    qtest_quit(qts);
}

/* Characters written faster than they leave are lost: on both, the same. */
static void test_lost_characters_are_lost_twice(void)
{
    g_autoptr(GString) a = g_string_new(""), b = g_string_new("");
    QTestState *qts = start(500, ",throttle=on");
    gint64 until = g_get_monotonic_time() + PATIENCE_US;

    /* Until the Backup halts where the Primary has, which has begun. */
    do {
        g_assert_cmpint(g_get_monotonic_time(), <, until);
        take(qts, "a", a);
    } while (a->len == 0 || query_number(qts, "events-read") <
                            query_number(qts, "events-written"));
    take(qts, "a", a);
    take(qts, "b", b);
    g_test_message("printed: %s", a->str);
    g_assert_cmpint(a->len, >, 0);
    g_assert_cmpint(a->len, <, strlen(PRINTED));
    g_assert_cmpstr(b->str, ==, a->str);
    qtest_quit(qts);
}

static void test_lag_comes_first(void)
{
    g_autoptr(GString) a = g_string_new(""), b = g_string_new("");
    QTestState *qts = start(3600000, "");
    gint64 until = g_get_monotonic_time() + PATIENCE_US;

    while (a->len < strlen(PRINTED)) {
        g_assert_cmpint(g_get_monotonic_time(), <, until);
        take(qts, "a", a);
    }
    take(qts, "b", b);
    g_assert_cmpstr(b->str, ==, "");
    /* To be compared, it has to come all the way. */
    assert_equal(qts);
    assert_printed(qts, a, b, PRINTED);
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/pb-console/sent", test_only_what_is_sent_shows);
    qtest_add_func("/pb-console/reset", test_reset_resets_both);
    qtest_add_func("/pb-console/lost", test_lost_characters_are_lost_twice);
    qtest_add_func("/pb-console/lag", test_lag_comes_first);
    return g_test_run();
}
