/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-boot.h: what SeaBIOS boots from a disk of the test's own: it prints a
 * dot on the serial port each time something has worked, or else a letter.
 */
#ifndef PBKVM_BOOT_H
#define PBKVM_BOOT_H

#include <glib/gstdio.h>
#include "qemu/bswap.h"
#include "pbkvm-query.h"

#define SECTOR 512
/* Less is no cylinder. */
#define SECTORS 4096

/* It has worked when the guest says so often. */
#define DOTS 20

/*
 * A disk with @size bytes of @code in its boot sector, at 0x7c00 in the guest;
 * each word of another sector is its number.  The caller's to remove.
 */
static inline char *make_disk(const uint8_t *code, size_t size)
{
    g_autofree uint16_t *words = g_malloc0(SECTORS * SECTOR);
    g_autoptr(GError) err = NULL;
    char *path;
    size_t i;
    int fd = g_file_open_tmp("pbkvm-disk-XXXXXX", &path, &err);

    for (i = 0; i < SECTORS * SECTOR / 2; i++) {
        words[i] = cpu_to_le16(i * 2 / SECTOR);
    }
    memset(words, 0, SECTOR);
    memcpy(words, code, size);
    words[SECTOR / 2 - 1] = cpu_to_le16(0xaa55);
    g_assert_no_error(err);
    g_assert_cmpint(write(fd, words, SECTORS * SECTOR), ==, SECTORS * SECTOR);
    close(fd);
    return path;
}

/* What the guest has printed since the last time. */
static inline char *printed(QTestState *qts)
{
    QDict *reply = qtest_qmp(qts, "{ 'execute': 'ringbuf-read', 'arguments': "
                             "{ 'device': 'line', 'size': 4096 } }");
    char *text = g_strdup(qdict_get_str(reply, "return"));

    qobject_unref(reply);
    return text;
}

/* Until the guest has said DOTS times that it got what it should. */
static inline void wait_for_dots(QTestState *qts)
{
    gint64 until = g_get_monotonic_time() + PATIENCE_US;
    size_t right = 0;

    while (right < DOTS) {
        g_autofree char *text = printed(qts);
        size_t n = strspn(text, ".");

        g_assert_cmpstr(text + n, ==, "");
        g_assert_cmpint(g_get_monotonic_time(), <, until);
        right += n;
    }
}

/* A machine boots from @disk, drive "d" of @args; @accel: further options. */
static inline QTestState *boot_from(const char *disk, const char *accel,
                                    const char *args)
{
    return qtest_initf("-accel pbkvm,lag=50%s -m 32 -vga none "
                       "-chardev ringbuf,id=line,size=4096 "
                       "-serial chardev:line "
                       "-drive if=none,id=d,format=raw,file=%s %s", accel, disk,
                       args);
}

/* What it started works, and all is equal. */
static inline void assert_works(QTestState *qts)
{
    wait_for_dots(qts);
    assert_equal(qts);
    assert_status(qts, "running");
}

#endif /* PBKVM_BOOT_H */
