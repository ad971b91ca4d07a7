/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * spill-file.h: the file of a spill (primary-spill.h): a file without a name,
 * read and written by whole blocks.
 *
 * Any thread.  Signals neither cut a block short nor, above RLIMIT_FSIZE, end
 * the process.
 */
#ifndef SPILL_FILE_H
#define SPILL_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Make @file, for its owner alone, and take its name away at once.  An
 * existing one is never touched.  A file descriptor, or -1 with @why.
 */
int pb_spill_file_open(const char *file, char *why, size_t len);

/* All @len bytes at @at; 0 or errno, a file that ends before that is EIO. */
int pb_spill_file_write(int fd, const void *data, size_t len, uint64_t at);
int pb_spill_file_read(int fd, void *data, size_t len, uint64_t at);

/* Nobody needs these bytes: give their blocks back, if that can be done. */
bool pb_spill_file_free(int fd, uint64_t at, uint64_t len);

#endif /* SPILL_FILE_H */
