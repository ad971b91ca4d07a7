/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-live-guest.h: a guest whose Primary is put where its Backup stands.
 *
 * A ROM of its own that counts its rounds in memory, and stores there what the
 * serial port's scratch register holds: a device's state.
 */
#ifndef PBKVM_LIVE_GUEST_H
#define PBKVM_LIVE_GUEST_H

#include "pbkvm-query.h"
#include "pbkvm-rom.h"
#include "qobject/qlist.h"

#define SCRATCH 0x3ff

/* Where the guest stores them. */
#define ROUNDS 0x500
#define SEEN   0x504

static char *rom_file;

static const uint8_t rom_code[] = {
    0x31, 0xc0,                         /* 0x00    xor %ax,%ax */
    0x8e, 0xd8,                         /* 0x02    mov %ax,%ds */
    0xba, 0xff, 0x03,                   /* 0x04    mov $0x3ff,%dx */
    0xec,                               /* 0x07 1: in  %dx,%al */
    0xa2, 0x04, 0x05,                   /* 0x08    mov %al,0x504 */
    0x66, 0xff, 0x06, 0x00, 0x05,       /* 0x0b    incl 0x500 */
    0x75, 0xf5,                         /* 0x10    jnz 1b */
    0xeb, 0xf3,                         /* 0x12    jmp 1b */
};

static inline QTestState *start(const char *options)
{
    return qtest_initf("-accel pbkvm,lag=400%s -m 8 -nic none -vga none "
                       "-serial null -bios %s", options, rom_file);
}

/* The frozen Backup as a new file: how many live points are in it. */
static inline int64_t save_evidence(QTestState *qts, const char *file)
{
    QDict *saved = qtest_qmp_assert_success_ref(
        qts, "{ 'execute': 'pbkvm-save-evidence',"
        " 'arguments': { 'filename': %s } }", file);
    int64_t points = qdict_get_int(saved, "live-points");

    qobject_unref(saved);
    return points;
}

/* That file, in a machine as start() makes it. */
static inline QTestState *replay(const char *file, const char *options)
{
    return qtest_initf("-accel pbkvm,replay=%s %s -m 8 -nic none -vga none "
                       "-serial null -bios %s", file, options, rom_file);
}

/* @event 0: none is named. */
static inline QDict *go_live(QTestState *qts, int64_t event)
{
    return event ? qtest_qmp(qts, "{ 'execute': 'pbkvm-go-live', 'arguments':"
                             " { 'event': %" PRId64 " } }", event)
                 : qtest_qmp(qts, "{ 'execute': 'pbkvm-go-live' }");
}

/* The event that the Primary stands behind then. */
static inline int64_t went_live(QDict *reply)
{
    QDict *live;
    int64_t event;

    if (!qdict_haskey(reply, "return")) {
        g_error("%s", qdict_get_str(qdict_get_qdict(reply, "error"), "desc"));
    }
    live = qdict_get_qdict(reply, "return");
    event = qdict_get_int(live, "event");
    g_assert_cmpint(qdict_get_int(qdict_get_qdict(live, "started"), "event"),
                    >, event);
    qobject_unref(reply);
    return event;
}

/* The first or the last live point's event; 0: there is none. */
static inline int64_t point(QTestState *qts, bool first)
{
    QDict *info = query(qts);
    QList *all = qdict_get_qlist(qdict_get_qdict(info, "live"), "points");
    const QListEntry *e;
    int64_t event = 0;

    QLIST_FOREACH_ENTRY(all, e) {
        if (!first || !event) {
            event = qdict_get_int(qobject_to(QDict, qlist_entry_obj(e)),
                                  "event");
        }
    }
    qobject_unref(info);
    return event;
}

static inline void await_point_behind(QTestState *qts, int64_t event)
{
    gint64 until = g_get_monotonic_time() + PATIENCE_US;

    while (point(qts, false) <= event) {
        g_assert_cmpint(g_get_monotonic_time(), <, until);
    }
}

static inline void await_seen(QTestState *qts, uint8_t value)
{
    gint64 until = g_get_monotonic_time() + PATIENCE_US;

    qtest_outb(qts, SCRATCH, value);
    while (qtest_readb(qts, SEEN) != value) {
        g_assert_cmpint(g_get_monotonic_time(), <, until);
    }
}

static inline void freeze(QTestState *qts)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-freeze' }");
}

static inline void go_on(QTestState *qts)
{
    uint32_t rounds = qtest_readl(qts, ROUNDS);
    gint64 until = g_get_monotonic_time() + PATIENCE_US;

    qtest_qmp_assert_success(qts, "{ 'execute': 'cont' }");
    while (qtest_readl(qts, ROUNDS) < rounds + 1000) {
        g_assert_cmpint(g_get_monotonic_time(), <, until);
    }
}

/*
 * A Backup frozen where the guest has seen @old, with a live point or more
 * before it sees @new.
 */
static inline void freeze_before(QTestState *qts, uint8_t old, uint8_t new)
{
    await_seen(qts, old);
    wait_for(qts, "events-read", query_number(qts, "events-written"));
    await_point_behind(qts, query_number(qts, "events-read"));
    freeze(qts);
    /* Right behind one, with no way back, it can get to the next alone. */
    while (point(qts, true) <= query_number(qts, "events-read")) {
        qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-thaw' }");
        freeze(qts);
    }
    await_seen(qts, new);
}

#endif /* PBKVM_LIVE_GUEST_H */
