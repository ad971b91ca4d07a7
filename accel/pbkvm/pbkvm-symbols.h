/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PBKVM_SYMBOLS_H
#define PBKVM_SYMBOLS_H

/*
 * The linear address that @name stands for: a number with 0x, or a symbol of
 * @file (NULL: none was given), a vmlinux or a System.map.  Neither
 * file is trusted.  Any thread.
 */
bool pbkvm_symbol(const char *file, const char *name, uint64_t *addr,
                  Error **errp);

#endif /* PBKVM_SYMBOLS_H */
