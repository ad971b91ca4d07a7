/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-hw.h: what a device of pbkvm's own may ask of the accelerator.
 *
 * Two things: to see what the Backup's guest writes to its ports (the Backup
 * has no devices), and to have Primary time recorded.  A device calls these
 * whatever the accelerator is; under another than pbkvm, or with backup=off,
 * nothing is ever written and a tick does nothing.  Knows neither KVM nor the
 * target, so that it is there in every QEMU.
 */
#ifndef PBKVM_HW_H
#define PBKVM_HW_H

/* ---- for devices ---- */

/*
 * The Backup's guest has written @value to the watched port of this offset.
 * Once for each element of a string write; a wider write comes as its bytes,
 * lowest first, as it reaches an 8-bit device.  Backup's thread, no lock
 * held; it must not take the BQL, nor wait for anyone who holds it.
 */
typedef void PbkvmPortWritten(void *opaque, unsigned offset, uint8_t value);

/*
 * A Backup starts, which stands where the Primary stands now: maybe in the
 * middle of its life, and not the first.  BQL held, the Primary stopped.
 */
typedef void PbkvmBackupStarts(void *opaque);

/*
 * Call @fn for @count ports from @port on, and @starts before the first of
 * each Backup.  When the device is realized, that is before the guest starts;
 * BQL held; for the life of the process.  False when there are too many
 * watches.
 */
bool pbkvm_watch_backup_port(uint16_t port, unsigned count,
                             PbkvmPortWritten *fn, PbkvmBackupStarts *starts,
                             void *opaque);

/* Is there, or was there, a Backup whose writes are told? */
bool pbkvm_backup_runs(void);

/*
 * A timer has ticked: the Primary records its position and time soon (several
 * calls may become one mark).  BQL held.
 */
void pbkvm_tick(void);

/* ---- for the accelerator ---- */

/* Backup's thread: tell the watchers of a write of @count x @size bytes. */
void pbkvm_backup_wrote_port(uint16_t port, unsigned size, unsigned count,
                             const uint8_t *data);

/*
 * From now on pbkvm_backup_runs().  BQL held, the Primary stopped, before the
 * Backup's thread is made.
 */
void pbkvm_backup_starts(void);

/* What pbkvm_tick() shall do.  BQL held. */
void pbkvm_on_tick(void (*fn)(void *opaque), void *opaque);

#endif /* PBKVM_HW_H */
