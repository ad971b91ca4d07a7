/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-spill-test.c: the ring is full: with spill=FILE the Primary goes on,
 * without it what it recorded last is not lost; and lags in events and
 * branches.  SeaBIOS is the guest: each reset fills a ring of 4096.
 */
#include "qemu/osdep.h"
#include <sys/resource.h>
#include "pbkvm-query.h"

#define REST "-m 32 -nic none -vga none"

#define RESET_US (3 * G_USEC_PER_SEC)

static char *dir;

static int64_t spilled(QTestState *qts, const char *name)
{
    return query_part(qts, "spill", name);
}

static void assert_policy(QTestState *qts, const char *expected)
{
    QDict *info = query(qts);

    g_assert_cmpstr(qdict_get_str(info, "ring-policy"), ==, expected);
    qobject_unref(info);
}

static QTestState *start(const char *options)
{
    g_autofree char *file = g_strdup_printf("%s/spill", dir);

    return qtest_initf("-accel pbkvm,ring-size=4096,spill=%s%s " REST, file,
                       options);
}

/* No wait for RESET: that would drop what other events came meanwhile. */
static void reset(QTestState *qts)
{
    int64_t before = query_number(qts, "events-written");

    qtest_qmp_assert_success(qts, "{ 'execute': 'system_reset' }");
    wait_for(qts, "events-written", before + 100);
}

/* PBKVM_RING_FULL of this policy; what other events come meanwhile is lost. */
static void await_ring_full(QTestState *qts, const char *policy)
{
    gint64 until = g_get_monotonic_time() + PATIENCE_US;
    bool found = false;

    while (!found) {
        QDict *event;

        query_number(qts, "ring-full");       /* its answer brings events */
        event = qtest_qmp_event_ref(qts, "PBKVM_RING_FULL");
        if (event) {
            QDict *data = qdict_get_qdict(event, "data");

            found = !strcmp(qdict_get_str(data, "policy"), policy);
            qobject_unref(event);
        }
        g_assert_cmpint(g_get_monotonic_time(), <, until);
    }
}

/* A frozen Backup, and at least @bytes beside the ring. */
static void spill(QTestState *qts, int64_t bytes)
{
    gint64 until = g_get_monotonic_time() + PATIENCE_US;

    wait_for(qts, "events-read", 20);
    qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-freeze' }");
    while (spilled(qts, "all-bytes") < bytes) {
        g_assert_cmpint(g_get_monotonic_time(), <, until);
        reset(qts);
    }
}

/* The Backup has got through all of it; one that goes on is soon there. */
static void wait_until_empty(QTestState *qts)
{
    gint64 until = g_get_monotonic_time() + PATIENCE_US;

    while (spilled(qts, "events") || spilled(qts, "file-bytes")) {
        g_assert_cmpint(g_get_monotonic_time(), <, until);
    }
}

/* To the panic, and really to it. */
static void walk_to_panic(QTestState *qts)
{
    QDict *reply = qtest_qmp(qts, "{ 'execute': 'pbkvm-run-to', "
                             "'arguments': { 'panic': true } }");

    g_assert(qdict_haskey(reply, "return"));
    g_assert_cmpstr(qdict_get_str(qdict_get_qdict(reply, "return"), "reason"),
                    ==, "panic");
    qobject_unref(reply);
}

/* ---- with a file ---- */

static void test_primary_goes_on(void)
{
    QTestState *qts = start(",lag=0");
    QDict *event, *data;

    assert_policy(qts, "spill");
    g_assert_cmpint(spilled(qts, "all-events"), ==, 0);
    spill(qts, 3 << 20);
    event = qtest_qmp_eventwait_ref(qts, "PBKVM_RING_FULL");
    data = qdict_get_qdict(event, "data");
    g_assert_cmpstr(qdict_get_str(data, "policy"), ==, "spill");
    g_assert_cmpint(qdict_get_int(data, "blocked-time"), ==, 0);
    g_assert_cmpint(qdict_get_int(data, "spilled"), >, 0);
    qobject_unref(event);
    g_assert_cmpint(query_number(qts, "ring-full"), >, 0);
    g_assert_cmpint(query_number(qts, "ring-full-time"), ==, 0);
    g_assert_cmpint(spilled(qts, "file-bytes"), >=, 2 << 20);
    qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-thaw' }");
    assert_equal(qts);
    wait_until_empty(qts);
    assert_policy(qts, "spill");
    qtest_quit(qts);
}

/* A lag that the ring cannot hold: it does not give way. */
static void test_lag_holds_beyond_the_ring(void)
{
    QTestState *qts = start(",lag=3600000");
    gint64 until = g_get_monotonic_time() + PATIENCE_US;

    while (spilled(qts, "all-bytes") < 1 << 20) {
        g_assert_cmpint(g_get_monotonic_time(), <, until);
        reset(qts);
    }
    g_assert_cmpint(query_number(qts, "events-read"), ==, 0);
    assert_equal(qts);
    qtest_quit(qts);
}

static void test_panic_while_spilled(void)
{
    QTestState *qts = start(",lag=0");

    spill(qts, 1 << 20);
    qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-panic' }");
    qtest_qmp_eventwait(qts, "PBKVM_PANIC");
    walk_to_panic(qts);
    g_assert_cmpint(query_number(qts, "events-read"), ==,
                    query_number(qts, "events-written"));
    qtest_quit(qts);
}

static void test_evidence_has_what_was_spilled(void)
{
    QTestState *qts = start(",lag=0");
    g_autofree char *file = g_strdup_printf("%s/evidence", dir);
    int64_t last, branches;
    QDict *reply;

    spill(qts, 1 << 20);
    qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-panic' }");
    qtest_qmp_eventwait(qts, "PBKVM_PANIC");
    last = query_number(qts, "events-written");
    reply = qtest_qmp(qts, "{ 'execute': 'pbkvm-save-evidence', "
                      "'arguments': { 'filename': %s } }", file);
    g_assert(qdict_haskey(reply, "return"));
    g_assert_cmpint(qdict_get_int(qdict_get_qdict(reply, "return"),
                                  "last-event"), ==, last);
    qobject_unref(reply);
    walk_to_panic(qts);
    branches = query_number(qts, "backup-branches");
    qtest_quit(qts);

    qts = qtest_initf("-accel pbkvm,replay=%s " REST, file);
    qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-thaw' }");
    wait_for(qts, "events-read", last);
    g_assert_cmpint(query_number(qts, "backup-branches"), ==, branches);
    qtest_quit(qts);
    unlink(file);
}

/*
 * The file may not become larger than this: as a full disk would.  One reset
 * fits, the next one does not; that it blocks then is told, however soon after
 * the file was.
 */
static void test_file_that_fails_blocks(void)
{
    struct rlimit low = { .rlim_cur = 3 << 20, .rlim_max = RLIM_INFINITY };
    QTestState *qts = start(",lag=0");
    QDict *info, *data;

    wait_for(qts, "events-read", 20);
    g_assert(prlimit(qtest_pid(qts), RLIMIT_FSIZE, &low, NULL) == 0);
    qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-freeze' }");
    qtest_qmp_assert_success(qts, "{ 'execute': 'system_reset' }");
    await_ring_full(qts, "spill");
    qtest_qmp_assert_success(qts, "{ 'execute': 'system_reset' }");
    await_ring_full(qts, "block");
    info = query(qts);
    data = qdict_get_qdict(info, "spill");
    g_assert_cmpstr(qdict_get_str(data, "error"), ==, "File too large");
    g_assert_cmpint(qdict_get_int(data, "file-bytes"), <=, 3 << 20);
    g_assert_cmpstr(qdict_get_str(info, "ring-policy"), ==, "block");
    qobject_unref(info);
    qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-thaw' }");
    assert_equal(qts);
    g_assert_cmpint(spilled(qts, "events"), ==, 0);
    qtest_quit(qts);
}

/* ---- without ---- */

static void test_panic_behind_a_full_ring(void)
{
    QTestState *qts = qtest_init("-accel pbkvm,ring-size=4096,lag=0 " REST);
    gint64 until = g_get_monotonic_time() + PATIENCE_US;

    assert_policy(qts, "block");
    wait_for(qts, "events-read", 20);
    qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-freeze' }");
    while (query_number(qts, "ring-full") == 0) {
        g_assert_cmpint(g_get_monotonic_time(), <, until);
        qtest_qmp_assert_success(qts, "{ 'execute': 'system_reset' }");
        g_usleep(100 * 1000);             /* let it make some events */
    }
    qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-panic' }");
    qtest_qmp_eventwait(qts, "PBKVM_PANIC");
    walk_to_panic(qts);
    g_assert_cmpint(query_number(qts, "events-read"), ==,
                    query_number(qts, "events-written"));
    qtest_quit(qts);
}

/* ---- the lag ---- */

static void set_lag(QTestState *qts, const char *what, int64_t value)
{
    QDict *reply = qtest_qmp(qts, "{ 'execute': 'pbkvm-set-lag', "
                             "'arguments': { %s: %" PRId64 " } }", what,
                             value);

    g_assert(qdict_haskey(reply, "return"));
    qobject_unref(reply);
}

static void assert_behind(QTestState *qts, int64_t events, int64_t branches)
{
    QDict *info = query(qts);

    g_assert_cmpint(qdict_get_int(info, "events-written"), >=,
                    qdict_get_int(info, "events-read") + events);
    g_assert_cmpint(qdict_get_int(info, "primary-branches"), >=,
                    qdict_get_int(info, "backup-branches") + branches);
    qobject_unref(info);
}

/*
 * Until the Backup has moved.  A BIOS that found nothing to boot would do
 * nothing more, so it is reset; but only when nothing has moved for a while:
 * SeaBIOS hangs when a reset comes while it makes its shadow, and each takes
 * 34,500 slots of the ring: where that is short the lag gives way.
 */
static void go_on(QTestState *qts)
{
    int64_t read = query_number(qts, "events-read");
    gint64 now = g_get_monotonic_time();
    gint64 reset = now + RESET_US, until = now + PATIENCE_US;

    while (query_number(qts, "events-read") == read) {
        now = g_get_monotonic_time();
        g_assert_cmpint(now, <, until);
        if (now >= reset) {
            qtest_qmp_assert_success(qts, "{ 'execute': 'system_reset' }");
            reset = now + RESET_US;
        }
    }
}

static void test_lag_in_events(void)
{
    QTestState *qts = qtest_init("-accel pbkvm,lag=0,lag-events=300,"
                                 "ring-size=1048576 " REST);
    int i;

    for (i = 0; i < 20; i++) {
        go_on(qts);
        assert_behind(qts, 300, 0);
    }
    g_assert_cmpint(query_number(qts, "lag-events-wanted"), ==, 300);
    set_lag(qts, "lag-events", 0);
    wait_for(qts, "events-read", query_number(qts, "events-written"));
    assert_equal(qts);
    qtest_quit(qts);
}

static void test_lag_in_branches(void)
{
    QTestState *qts = qtest_init("-accel pbkvm,lag=0,lag-branches=20000,"
                                 "ring-size=1048576 " REST);
    int i;

    for (i = 0; i < 20; i++) {
        go_on(qts);
        assert_behind(qts, 0, 20000);
    }
    g_assert_cmpint(query_number(qts, "lag-branches-wanted"), ==, 20000);
    set_lag(qts, "lag-branches", 1000000000000);
    assert_equal(qts);
    qtest_quit(qts);
}

static void test_set_lag_keeps_what_is_not_given(void)
{
    QTestState *qts = qtest_init("-accel pbkvm,lag=100 " REST);
    g_autofree char *hmp = NULL;

    wait_for(qts, "events-read", 1);
    set_lag(qts, "lag-events", 7);
    set_lag(qts, "lag-branches", 8);
    g_assert_cmpint(query_number(qts, "lag-wanted"), ==, 100);
    g_assert_cmpint(query_number(qts, "lag-events-wanted"), ==, 7);
    g_assert_cmpint(query_number(qts, "lag-branches-wanted"), ==, 8);
    hmp = qtest_hmp(qts, "pbkvm_set_lag 50 9");
    g_assert_cmpstr(hmp, ==, "");
    g_assert_cmpint(query_number(qts, "lag-wanted"), ==, 50);
    g_assert_cmpint(query_number(qts, "lag-events-wanted"), ==, 9);
    g_assert_cmpint(query_number(qts, "lag-branches-wanted"), ==, 8);
    assert_error(qtest_qmp(qts, "{ 'execute': 'pbkvm-set-lag' }"),
                 "pbkvm-set-lag: expected lag, lag-events or lag-branches");
    assert_error(qtest_qmp(qts, "{ 'execute': 'pbkvm-set-lag', 'arguments': "
                           "{ 'lag': 1, 'lag-events': 1000000000001 } }"),
                 "pbkvm-set-lag: lag-events 1000000000001: expected 0 to "
                 "1000000000000");
    g_assert_cmpint(query_number(qts, "lag-wanted"), ==, 50);
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    int ret;

    g_test_init(&argc, &argv, NULL);
    dir = g_dir_make_tmp("pbkvm-spill-XXXXXX", NULL);
    g_assert(dir);
    qtest_add_func("/pbkvm/spill/primary-goes-on", test_primary_goes_on);
    qtest_add_func("/pbkvm/spill/lag", test_lag_holds_beyond_the_ring);
    qtest_add_func("/pbkvm/spill/panic", test_panic_while_spilled);
    qtest_add_func("/pbkvm/spill/evidence",
                   test_evidence_has_what_was_spilled);
    qtest_add_func("/pbkvm/spill/file-fails", test_file_that_fails_blocks);
    qtest_add_func("/pbkvm/block/panic", test_panic_behind_a_full_ring);
    qtest_add_func("/pbkvm/lag/events", test_lag_in_events);
    qtest_add_func("/pbkvm/lag/branches", test_lag_in_branches);
    qtest_add_func("/pbkvm/lag/set-some",
                   test_set_lag_keeps_what_is_not_given);
    ret = g_test_run();
    /* No spill file has a name: the folder is empty. */
    g_assert_cmpint(rmdir(dir), ==, 0);
    g_free(dir);
    return ret;
}
