/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-spill-test.c: the ring is full: with spill=FILE the Primary goes on,
 * without it what it recorded last is not lost.  SeaBIOS is the guest: each
 * reset fills a ring of 4096.
 */
#include "qemu/osdep.h"
#include <sys/resource.h>
#include "pbkvm-query.h"

#define REST "-m 32 -nic none -vga none"

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
    ret = g_test_run();
    /* No spill file has a name: the folder is empty. */
    g_assert_cmpint(rmdir(dir), ==, 0);
    g_free(dir);
    return ret;
}
