/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pbkvm-hw.c: between pbkvm's devices and the accelerator. */
#include "qemu/osdep.h"

#include "pbkvm-hw.h"

#define WATCHES_MAX 16

typedef struct Watch {
    uint16_t port;
    unsigned count;
    PbkvmPortWritten *fn;
    PbkvmBackupStarts *starts;
    void *opaque;
} Watch;

/* Fixed before the Backup's thread is made, so read without a lock. */
static Watch watch[WATCHES_MAX];
static unsigned watches;

static bool backup_runs;

static void (*on_tick)(void *opaque);
static void *on_tick_opaque;

bool pbkvm_watch_backup_port(uint16_t port, unsigned count,
                             PbkvmPortWritten *fn, PbkvmBackupStarts *starts,
                             void *opaque)
{
    if (watches == WATCHES_MAX) {
        return false;
    }
    watch[watches++] = (Watch) { port, count, fn, starts, opaque };
    return true;
}

bool pbkvm_backup_runs(void)
{
    return backup_runs;
}

void pbkvm_backup_starts(void)
{
    unsigned i;

    backup_runs = true;
    for (i = 0; i < watches; i++) {
        watch[i].starts(watch[i].opaque);
    }
}

void pbkvm_tick(void)
{
    if (on_tick) {
        on_tick(on_tick_opaque);
    }
}

void pbkvm_on_tick(void (*fn)(void *opaque), void *opaque)
{
    on_tick = fn;
    on_tick_opaque = opaque;
}

static void wrote_byte(unsigned port, uint8_t value)
{
    unsigned i;

    for (i = 0; i < watches; i++) {
        const Watch *w = &watch[i];

        if (port >= w->port && port - w->port < w->count) {
            w->fn(w->opaque, port - w->port, value);
        }
    }
}

void pbkvm_backup_wrote_port(uint16_t port, unsigned size, unsigned count,
                             const uint8_t *data)
{
    unsigned i, byte;

    for (i = 0; i < count; i++) {
        for (byte = 0; byte < size; byte++) {
            wrote_byte(port + byte, *data++);
        }
    }
}
