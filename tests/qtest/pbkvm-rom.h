/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pbkvm-rom.h: a BIOS of the test's own: its first byte is executed first. */
#ifndef PBKVM_ROM_H
#define PBKVM_ROM_H

#include <glib/gstdio.h>

#define ROM_SIZE 65536
#define ROM_ENTRY 0xfff0

/* A file with @len bytes of 16-bit @code, for -bios; the caller's to remove. */
static inline char *make_rom(const uint8_t *code, size_t len)
{
    static const uint8_t entry[] = {
        0xea, 0x00, 0x00, 0x00, 0xf0,   /* ljmp $0xf000,$0 */
    };
    g_autofree uint8_t *rom = g_malloc0(ROM_SIZE);
    GError *err = NULL;
    char *path;
    int fd = g_file_open_tmp("pbkvm-rom-XXXXXX", &path, &err);

    g_assert_no_error(err);
    memcpy(rom, code, len);
    memcpy(rom + ROM_ENTRY, entry, sizeof(entry));
    g_assert_cmpint(write(fd, rom, ROM_SIZE), ==, ROM_SIZE);
    close(fd);
    return path;
}

#endif /* PBKVM_ROM_H */
