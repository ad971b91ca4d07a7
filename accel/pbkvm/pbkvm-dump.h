/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-dump.h: dumps of guest memory, where there are two guests.
 *
 * Main thread, BQL held.
 */
#ifndef PBKVM_DUMP_H
#define PBKVM_DUMP_H

typedef struct PbkvmState PbkvmState;

/*
 * The Backup's CPU is there: from here on QEMU's dump-guest-memory is of the
 * Primary alone, or in a replay of the Backup.
 */
void pbkvm_dump_init(PbkvmState *s);

#endif /* PBKVM_DUMP_H */
