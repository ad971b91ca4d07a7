/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pbkvm-query.h: what the tests ask a running pbkvm, and expect of it. */
#ifndef PBKVM_QUERY_H
#define PBKVM_QUERY_H

#include "libqtest.h"
#include "qobject/qdict.h"

/* A wait for the Backup gives up after this long. */
#define PATIENCE_US (60 * G_USEC_PER_SEC)

/* What query-pbkvm returns; the caller's to unref. */
static inline QDict *query(QTestState *qts)
{
    QDict *reply = qtest_qmp(qts, "{ 'execute': 'query-pbkvm' }");
    QDict *info;

    g_assert(qdict_haskey(reply, "return"));
    info = qdict_get_qdict(reply, "return");
    qobject_ref(info);
    qobject_unref(reply);
    return info;
}

/* One number of it. */
static inline int64_t query_number(QTestState *qts, const char *name)
{
    QDict *info = query(qts);
    int64_t value = qdict_get_int(info, name);

    qobject_unref(info);
    return value;
}

/* Until that number is @n at least. */
static inline void wait_for(QTestState *qts, const char *name, int64_t n)
{
    gint64 until = g_get_monotonic_time() + PATIENCE_US;

    while (query_number(qts, name) < n) {
        g_assert_cmpint(g_get_monotonic_time(), <, until);
    }
}

/* Number @name of the part called @part. */
static inline int64_t query_part(QTestState *qts, const char *part,
                                 const char *name)
{
    QDict *info = query(qts);
    int64_t value = qdict_get_int(qdict_get_qdict(info, part), name);

    qobject_unref(info);
    return value;
}

static inline void assert_status(QTestState *qts, const char *expected)
{
    QDict *info = query(qts);

    g_assert_cmpstr(qdict_get_str(info, "status"), ==, expected);
    qobject_unref(info);
}

/* pbkvm-verify finds no difference. */
static inline void assert_equal(QTestState *qts)
{
    QDict *reply = qtest_qmp(qts, "{ 'execute': 'pbkvm-verify' }");

    if (!qdict_haskey(reply, "return")) {
        g_error("pbkvm-verify: %s",
                qdict_get_str(qdict_get_qdict(reply, "error"), "desc"));
    }
    g_assert(qdict_get_bool(qdict_get_qdict(reply, "return"), "equal"));
    qobject_unref(reply);
}

/*
 * SeaBIOS with a Backup that stands still, with at least @ahead events before
 * it.
 */
static inline QTestState *start_frozen(const char *options, int64_t ahead)
{
    QTestState *qts = qtest_initf("-accel pbkvm,lag=0%s -m 32 -nic none "
                                  "-vga none", options);

    wait_for(qts, "events-read", 20);
    qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-freeze' }");
    wait_for(qts, "events-written",
             query_number(qts, "events-read") + ahead);
    return qts;
}

/* It still can. */
static inline void assert_follows(QTestState *qts)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-thaw' }");
    assert_equal(qts);
}

/* @reply, which is unreferenced, is this very error. */
static inline void assert_error(QDict *reply, const char *expected)
{
    g_assert(qdict_haskey(reply, "error"));
    g_assert_cmpstr(qdict_get_str(qdict_get_qdict(reply, "error"), "desc"),
                    ==, expected);
    qobject_unref(reply);
}

#endif /* PBKVM_QUERY_H */
