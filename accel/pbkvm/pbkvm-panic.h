/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-panic.h: when the Primary's guest panics.
 *
 * Whoever notices calls pbkvm_panic() once; the Backup is asked to freeze
 * there and then, the rest (waiting for it, stopping the Primary, telling
 * QMP) follows on the main loop.
 */
#ifndef PBKVM_PANIC_H
#define PBKVM_PANIC_H

#include "qapi/qapi-types-pbkvm-target.h"

#include "primary-record.h"

#define PBKVM_CONSOLES 4

typedef struct PbkvmPanic {
    char *text;               /* on a serial port; "": not looked for */
    size_t *fallback;         /* of the search: Knuth, Morris and Pratt's */
    size_t matched[PBKVM_CONSOLES];
    char *at_name;            /* option panic-at, or NULL */
    char *symbols;            /* option symbols, or NULL */
    uint64_t at_addr;         /* linear; 0: none */
    uint16_t pvpanic_port;    /* 0: there is no such device */

    bool seen;
    bool stop;                /* the Primary's thread is to stop here */
    bool acted;               /* somebody else stops the machine */
    PbkvmPanicSource source;
    char *detail;
    PbRecordStats place;      /* where the Primary was, */
    unsigned cpu;             /* and whose turn it was there */
} PbkvmPanic;

typedef struct PbkvmState PbkvmState;
struct kvm_run;

/* What to look for on the consoles. */
void pbkvm_panic_set_text(PbkvmPanic *p, const char *text);

/* Before the machine is made: find what panic-at names. */
bool pbkvm_panic_check(PbkvmState *s, Error **errp);

/* Before the first entry into the guest: all devices are there. */
void pbkvm_panic_start(PbkvmState *s);

/*
 * BQL held, the Primary stopped: a debugger has used its debug registers, and
 * does no more.
 */
void pbkvm_panic_rearm(PbkvmState *s);

/* The Primary's thread: its guest writes to a port. */
void pbkvm_panic_look(PbkvmState *s, const struct kvm_run *run);

/*
 * The Primary's thread: KVM_EXIT_DEBUG.  True if it was panic-at, and is dealt
 * with.
 */
bool pbkvm_panic_at(PbkvmState *s);

/*
 * The guest has panicked.  The Primary's thread at an exit (which then stops
 * as soon as that is answered), or with the BQL and the Primary stopped at a
 * recorded position.  Later calls do nothing.
 */
void pbkvm_panic(PbkvmState *s, PbkvmPanicSource source, const char *detail);

/*
 * The Primary has been put before that: it may panic again.  Main thread, the
 * Primary stopped.
 */
void pbkvm_panic_forget(PbkvmState *s);

#endif /* PBKVM_PANIC_H */
