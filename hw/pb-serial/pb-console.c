/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-console.c: see pb-console.h. */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/lockable.h"
#include "qemu/main-loop.h"

#include "pb-console.h"

typedef struct Note {
    PbConsoleNote what;
    uint64_t writes;
} Note;

static void flush(void *opaque);

static gboolean writable(void *unused, GIOCondition condition, void *opaque)
{
    PbConsole *c = opaque;

    c->watch = 0;
    flush(c);
    return G_SOURCE_REMOVE;
}

/* All that waits becomes what is being handed over. */
static bool take_pending(PbConsole *c)
{
    GByteArray *empty = c->out;

    QEMU_LOCK_GUARD(&c->lock);
    c->shown += c->out_at;
    c->out_at = 0;
    g_byte_array_set_size(empty, 0);
    c->out = c->pending;
    c->pending = empty;
    return c->out->len;
}

/* Main loop: hand over what there is, without waiting. */
static void flush(void *opaque)
{
    PbConsole *c = opaque;
    int n;

    while (!c->watch && (c->out_at < c->out->len || take_pending(c))) {
        n = qemu_chr_fe_write(&c->chr, c->out->data + c->out_at,
                              MIN(c->out->len - c->out_at, 4096));
        if (n > 0) {
            c->out_at += n;
            continue;
        }
        c->watch = qemu_chr_fe_add_watch(&c->chr, G_IO_OUT | G_IO_HUP,
                                         writable, c);
        if (!c->watch) {
            /* Nobody can ever take it. */
            c->given_up += c->out->len - c->out_at;
            g_byte_array_set_size(c->out, c->out_at);
        }
    }
}

/* ---- what the Backup's UART sends ---- */

/* Is the character of this write sent, as far as the writes tell? */
static bool goes_out(const PbConsole *c)
{
    return !(c->lcr & PB_LCR_BREAK) && !(c->mcr & PB_MCR_LOOP);
}

/* @c->lock held. And with what is noted about this write? */
static bool heed_notes(PbConsole *c)
{
    bool out = goes_out(c);
    Note *n;

    while ((n = g_queue_peek_head(&c->notes)) && n->writes <= c->writes) {
        if (n->what == PB_CONSOLE_RESET) {
            c->lcr = c->mcr = 0;
            c->lcr_set = false;
            out = true;
        } else if (n->writes == c->writes) {
            out = n->what == PB_CONSOLE_SENT;
        }
        g_free(g_queue_pop_head(&c->notes));
    }
    return out;
}

static void show(PbConsole *c, uint8_t value)
{
    uint8_t byte = c->lcr_set ? pb_uart_word(c->lcr, value) : value;

    if (c->pending->len == PB_CONSOLE_PENDING_MAX) {
        if (c->dropped++ == 0) {
            warn_report("pb-serial: backup-chardev has taken nothing for "
                        "%u MiB: expected a reader; what the Backup prints "
                        "from here on is not shown until there is one",
                        PB_CONSOLE_PENDING_MAX >> 20);
        }
        return;
    }
    g_byte_array_append(c->pending, &byte, 1);
    qemu_bh_schedule(c->flush);
}

void pb_console_wrote(void *opaque, unsigned offset, uint8_t value)
{
    PbConsole *c = opaque;
    bool out;

    QEMU_LOCK_GUARD(&c->lock);
    c->writes++;
    out = heed_notes(c);
    switch (offset) {
    case PB_UART_THR:
        if (out && !(c->lcr & PB_LCR_DLAB)) {
            show(c, value);
        }
        break;
    case PB_UART_LCR:
        c->lcr = value;
        c->lcr_set = true;
        break;
    case PB_UART_MCR:
        c->mcr = value;
        break;
    default:
        break;
    }
}

/* By write, and a reset before what was lost at that write. */
static int note_order(const void *a, const void *b, void *unused)
{
    const Note *x = a, *y = b;

    if (x->writes != y->writes) {
        return x->writes < y->writes ? -1 : 1;
    }
    return (int)x->what - (int)y->what;
}

void pb_console_note(PbConsole *c, PbConsoleNote what, uint64_t writes)
{
    Note *n;

    QEMU_LOCK_GUARD(&c->lock);
    if (!pbkvm_backup_runs() || writes <= c->writes) {
        return;                   /* too late: the Backup is past it */
    }
    n = g_new(Note, 1);
    *n = (Note) { what, writes };
    g_queue_insert_sorted(&c->notes, n, note_order, NULL);
}

/* ---- input: the Backup lives from the record alone ---- */

static int can_ignore(void *opaque)
{
    return 4096;
}

static void ignore(void *opaque, const uint8_t *buf, int size)
{
}

static void event(void *opaque, QEMUChrEvent e)
{
}

void pb_console_start(PbConsole *c, uint64_t writes, const PbUart *u)
{
    QEMU_LOCK_GUARD(&c->lock);
    g_queue_clear_full(&c->notes, g_free);
    c->writes = writes;
    c->lcr = u->lcr;
    c->lcr_set = u->lcr_set;
    c->mcr = u->mcr;
}

bool pb_console_init(PbConsole *c, uint16_t port, PbkvmBackupStarts *starts)
{
    if (!pbkvm_watch_backup_port(port, 8, pb_console_wrote, starts, c)) {
        return false;
    }
    qemu_mutex_init(&c->lock);
    c->pending = g_byte_array_new();
    c->out = g_byte_array_new();
    g_queue_init(&c->notes);
    c->flush = qemu_bh_new(flush, c);
    qemu_chr_fe_set_handlers(&c->chr, can_ignore, ignore, event, NULL, c,
                             NULL, true);
    return true;
}

void pb_console_count(PbConsole *c, uint64_t *shown, uint64_t *waiting,
                      uint64_t *dropped)
{
    QEMU_LOCK_GUARD(&c->lock);
    *shown = c->shown + c->out_at;
    *waiting = c->pending->len + c->out->len - c->out_at;
    *dropped = c->dropped + c->given_up;
}
