/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-console.h: what the Backup prints, on a chardev of its own.
 *
 * The Backup has no UART.  What it transmits is told from its writes to the
 * UART's ports, and from those few things about the Primary's UART that the
 * writes do not tell (PbConsoleNote); both sides count the writes, so a note
 * is heeded at the very same one.
 *
 * pb_console_wrote() runs on the Backup's thread and never waits for the
 * chardev; all else in the main loop with the BQL held.
 */
#ifndef PB_CONSOLE_H
#define PB_CONSOLE_H

#include "chardev/char-fe.h"
#include "qemu/thread.h"

#include "accel/pbkvm/pbkvm-hw.h"
#include "pb-uart.h"

typedef enum PbConsoleNote {
    PB_CONSOLE_RESET,     /* before this write the UART was reset */
    PB_CONSOLE_LOST,      /* the character of this write was not sent, */
    PB_CONSOLE_SENT,      /* or was, for break or loopback ended before */
} PbConsoleNote;

typedef struct PbConsole {
    CharBackend chr;
    QEMUBH *flush;
    guint watch;              /* the chardev takes no more at the moment */
    GByteArray *out;          /* being handed over, ... */
    unsigned out_at;          /* ...and how much of it is */
    uint64_t given_up;        /* bytes of a chardev that is gone */

    QemuMutex lock;           /* of what follows */
    GByteArray *pending;      /* the next @out */
    GQueue notes;
    uint64_t writes;          /* by the Backup's guest to the UART's ports */
    uint64_t shown;           /* bytes the chardev has taken, but @out_at */
    uint64_t dropped;         /* bytes beyond PB_CONSOLE_PENDING_MAX */
    uint8_t lcr, mcr;         /* the Backup's */
    bool lcr_set;             /* since the reset */
} PbConsole;

/* A chardev that takes nothing for long costs this much memory at most. */
#define PB_CONSOLE_PENDING_MAX (64u << 20)

/*
 * Starts to listen to the eight ports from @port on, and calls @starts with
 * @c before the first word of a Backup; false: too many do.
 */
bool pb_console_init(PbConsole *c, uint16_t port, PbkvmBackupStarts *starts);

/*
 * From @starts: the Backup's UART is as the Primary's, @u, to whose ports the
 * guest has written @writes times.  What an earlier Backup printed stays.
 */
void pb_console_start(PbConsole *c, uint64_t writes, const PbUart *u);

/* Bytes shown, waiting, and dropped so far. */
void pb_console_count(PbConsole *c, uint64_t *shown, uint64_t *waiting,
                      uint64_t *dropped);

/* @writes: the number of the write that this is about, from 1. */
void pb_console_note(PbConsole *c, PbConsoleNote what, uint64_t writes);

/* For pb_console_init(), and for tests: PbkvmPortWritten. */
void pb_console_wrote(void *opaque, unsigned offset, uint8_t value);

#endif /* PB_CONSOLE_H */
