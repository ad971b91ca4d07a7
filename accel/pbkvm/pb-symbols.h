/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-symbols.h: the address of a name, from the bytes of a vmlinux or a
 * System.map.  No QEMU.  Pure: any thread.
 */
#ifndef PB_SYMBOLS_H
#define PB_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Look @name up in the @len bytes of a file, which is an ELF or else
 * taken for a System.map.  The file is not trusted.  False: it is not there.
 */
bool pb_symbol_find(const void *file, size_t len, const char *name,
                    uint64_t *addr);

#endif /* PB_SYMBOLS_H */
