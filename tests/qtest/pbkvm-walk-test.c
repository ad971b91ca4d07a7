/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-walk-test.c: the frozen Backup walks, over QMP, with SeaBIOS as the
 * guest; what is asked in the wrong order is refused.
 */
#include "qemu/osdep.h"
#include "pbkvm-query.h"

static void assert_refused(QTestState *qts, const char *command,
                           const char *expected)
{
    assert_error(qtest_qmp(qts, command), expected);
}

/* Walk; the place where it ends, which must be for @reason. */
static QDict *walk(QTestState *qts, const char *reason, QDict *reply)
{
    QDict *stop, *place;

    g_assert(qdict_haskey(reply, "return"));
    stop = qdict_get_qdict(reply, "return");
    g_assert_cmpstr(qdict_get_str(stop, "reason"), ==, reason);
    place = qdict_get_qdict(stop, "place");
    qobject_ref(place);
    qobject_unref(reply);
    return place;
}

static void test_steps_are_instructions(void)
{
    QTestState *qts = start_frozen("", 50);
    int64_t before = 0, moved = 0;
    int i;

    /* A REP string stays where it is, for as many steps as rounds. */
    for (i = 0; i < 40 || (moved < 2 && i < 1000); i++) {
        QDict *place = walk(qts, "stepped",
                            qtest_qmp(qts, "{ 'execute': 'pbkvm-step', "
                                      "'arguments': { 'instructions': %d } "
                                      "}", i < 40 ? 1 : 500));

        moved += qdict_get_int(place, "rip") != before;
        before = qdict_get_int(place, "rip");
        qobject_unref(place);
    }
    g_assert_cmpint(moved, >, 1);
    assert_follows(qts);
    qtest_quit(qts);
}

static void test_events_are_counted(void)
{
    QTestState *qts = start_frozen("", 50);
    int64_t from = query_number(qts, "events-read");
    QDict *place;

    place = walk(qts, "reached",
                 qtest_qmp(qts, "{ 'execute': 'pbkvm-step', "
                           "'arguments': { 'events': 3 } }"));
    g_assert_cmpint(qdict_get_int(place, "event"), ==, from + 3);
    qobject_unref(place);
    place = walk(qts, "reached",
                 qtest_qmp(qts, "{ 'execute': 'pbkvm-run-to', "
                           "'arguments': { 'event': %" PRId64 " } }",
                           from + 20));
    g_assert_cmpint(qdict_get_int(place, "event"), ==, from + 20);
    qobject_unref(place);
    assert_follows(qts);
    qtest_quit(qts);
}

static void test_branches_are_exact(void)
{
    QTestState *qts = start_frozen("", 50);
    int64_t from = query_number(qts, "backup-branches");
    QDict *place;

    place = walk(qts, "reached",
                 qtest_qmp(qts, "{ 'execute': 'pbkvm-run-to', "
                           "'arguments': { 'branches': %" PRId64 " } }",
                           from + 7));
    g_assert_cmpint(qdict_get_int(place, "branches"), ==, from + 7);
    qobject_unref(place);
    assert_follows(qts);
    qtest_quit(qts);
}

static void test_end_of_history(void)
{
    QTestState *qts = start_frozen("", 50);

    qtest_qmp_assert_success(qts, "{ 'execute': 'stop' }");
    /* Less than any event, if only 64 bits of the sum are looked at. */
    qobject_unref(walk(qts, "end-of-history",
                       qtest_qmp(qts, "{ 'execute': 'pbkvm-step', "
                                 "'arguments': { 'events': "
                                 "18446744073709551615 } }")));
    qobject_unref(walk(qts, "end-of-history",
                       qtest_qmp(qts, "{ 'execute': 'pbkvm-run-to', "
                                 "'arguments': { 'event': 1000000000 } }")));
    qtest_qmp_assert_success(qts, "{ 'execute': 'cont' }");
    assert_follows(qts);
    qtest_quit(qts);
}

static void test_panic_by_qmp(void)
{
    QTestState *qts = start_frozen("", 50);

    assert_refused(qts, "{ 'execute': 'pbkvm-run-to', 'arguments': { 'panic': "
                   "true } }", "pbkvm-run-to: no panic was detected");
    assert_refused(qts, "{ 'execute': 'pbkvm-panic', 'arguments': { 'reason': "
                   "'two\\nlines' } }", "pbkvm-panic: reason: expected one "
                   "line of at most 500 bytes");
    qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-panic', 'arguments': "
                             "{ 'reason': 'test' } }");
    qtest_qmp_eventwait(qts, "PBKVM_PANIC");
    assert_refused(qts, "{ 'execute': 'pbkvm-panic' }",
                   "a panic was detected before: test");
    qobject_unref(walk(qts, "panic",
                       qtest_qmp(qts, "{ 'execute': 'pbkvm-run-to', "
                                 "'arguments': { 'panic': true } }")));
    qtest_quit(qts);
}

static void assert_state_after_panic(const char *action, const char *state)
{
    QTestState *qts = qtest_initf("-accel pbkvm,lag=0 -m 32 -nic none "
                                  "-vga none%s", action);
    QDict *reply;

    wait_for(qts, "events-read", 20);
    qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-panic' }");
    qtest_qmp_eventwait(qts, "PBKVM_PANIC");
    reply = qtest_qmp(qts, "{ 'execute': 'query-status' }");
    g_assert_cmpstr(qdict_get_str(qdict_get_qdict(reply, "return"),
                                  "status"), ==, state);
    qobject_unref(reply);
    qtest_quit(qts);
}

static void test_panic_stops_as_the_action_says(void)
{
    assert_state_after_panic("", "guest-panicked");
    assert_state_after_panic(" -action panic=pause", "guest-panicked");
    assert_state_after_panic(" -action panic=none", "running");
}

static void test_wrong_order_is_refused(void)
{
    QTestState *qts = qtest_init("-accel pbkvm,lag=0 -m 32 -nic none "
                                 "-vga none");

    wait_for(qts, "events-read", 20);
    assert_refused(qts, "{ 'execute': 'pbkvm-step', 'arguments': { "
                   "'instructions': 1 } }", "the Backup cannot walk: expected "
                   "it frozen, it is running");
    assert_refused(qts, "{ 'execute': 'pbkvm-run-to', 'arguments': { 'event': "
                   "1000000000 } }", "the Backup cannot walk: expected it "
                   "frozen, it is running");
    assert_refused(qts, "{ 'execute': 'pbkvm-thaw' }", "the Backup cannot be "
                   "thawed: expected it frozen, it is running");
    assert_refused(qts, "{ 'execute': 'pbkvm-save-evidence', 'arguments': { "
                   "'filename': '/nowhere/x' } }", "the Backup must be frozen "
                   "to be saved, it is running");
    assert_refused(qts, "{ 'execute': 'pbkvm-dump-guest-memory', 'arguments': "
                   "{ 'filename': '/nowhere/x' } }", "the Backup must stand "
                   "to be dumped, it is running: pbkvm-freeze");
    qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-freeze' }");
    assert_refused(qts, "{ 'execute': 'pbkvm-freeze' }", "the Backup cannot "
                   "be frozen: expected it running, it is frozen");
    assert_refused(qts, "{ 'execute': 'pbkvm-verify' }", "cannot verify: "
                   "expected a running Backup, it is frozen");
    assert_refused(qts, "{ 'execute': 'pbkvm-save-evidence', 'arguments': { "
                   "'filename': '/nowhere/x' } }", "/nowhere/x cannot be "
                   "made: No such file or directory");
    assert_refused(qts, "{ 'execute': 'pbkvm-dump-guest-memory', 'arguments': "
                   "{ 'filename': '/nowhere/x' } }", "Could not open "
                   "'/nowhere/x': No such file or directory");
    assert_refused(qts, "{ 'execute': 'pbkvm-step', 'arguments': { "
                   "'instructions': 0 } }", "pbkvm-step: expected either "
                   "instructions or events, 1 or more");
    assert_refused(qts, "{ 'execute': 'pbkvm-step' }", "pbkvm-step: expected "
                   "either instructions or events, 1 or more");
    assert_refused(qts, "{ 'execute': 'pbkvm-step', 'arguments': { "
                   "'instructions': 1, 'events': 1 } }", "pbkvm-step: "
                   "expected either instructions or events, 1 or more");
    assert_refused(qts, "{ 'execute': 'pbkvm-run-to' }", "pbkvm-run-to: "
                   "expected exactly one of event, branches, time, panic and "
                   "live");
    assert_refused(qts, "{ 'execute': 'pbkvm-set-lag', 'arguments': { 'lag': "
                   "3600001 } }", "pbkvm-set-lag: lag 3600001: expected 0 to "
                   "3600000 ms");
    qtest_quit(qts);
}

static void test_no_backup_yet(void)
{
    static const char *const commands[] = {
        "{ 'execute': 'pbkvm-freeze' }", "{ 'execute': 'pbkvm-thaw' }",
        "{ 'execute': 'pbkvm-verify' }",
        "{ 'execute': 'pbkvm-step', 'arguments': { 'instructions': 1 } }",
        "{ 'execute': 'pbkvm-run-to', 'arguments': { 'event': 1 } }",
        "{ 'execute': 'pbkvm-save-evidence', 'arguments': { 'filename': "
        "'/nowhere/x' } }",
        "{ 'execute': 'pbkvm-dump-guest-memory', 'arguments': { 'filename': "
        "'/nowhere/x' } }",
    };
    QTestState *waits = qtest_init("-accel pbkvm -m 32 -nic none -vga none "
                                   "-S");
    QTestState *none = qtest_init("-accel pbkvm,backup=off -m 32 -nic none "
                                  "-vga none");
    size_t i;

    wait_for(none, "events-written", 20);
    for (i = 0; i < G_N_ELEMENTS(commands); i++) {
        assert_refused(waits, commands[i], "there is no Backup: the guest has "
                       "not started yet");
        assert_refused(none, commands[i], "there is no Backup: pbkvm-start "
                       "makes one");
    }
    assert_refused(waits, "{ 'execute': 'pbkvm-panic' }", "the guest has not "
                   "started yet");
    qtest_quit(waits);
    qtest_quit(none);
}

/* A run to @member's value 1, when the Backup stands at its @now. */
static void assert_past(QTestState *qts, const char *member, const char *now)
{
    g_autofree char *expected =
        g_strdup_printf("pbkvm-run-to: %s 1 lies in the Backup's past, "
                        "before where it was frozen: expected %" PRId64
                        " or more", member,
                        query_number(qts, now));
    g_autofree char *command =
        g_strdup_printf("{ 'execute': 'pbkvm-run-to', 'arguments': { '%s': 1 "
                        "} }", member);

    assert_refused(qts, command, expected);
}

static void test_the_past_is_past(void)
{
    QTestState *qts = start_frozen("", 50);

    assert_past(qts, "event", "events-read");
    assert_past(qts, "branches", "backup-branches");
    assert_past(qts, "time", "backup-time");
    assert_follows(qts);
    qtest_quit(qts);
}

static void test_monitor_walks_too(void)
{
    QTestState *qts = start_frozen("", 50);
    g_autofree char *step = qtest_hmp(qts, "pbkvm_step 2");
    g_autofree char *past = qtest_hmp(qts, "pbkvm_run_to 1");
    g_autofree char *bad = qtest_hmp(qts, "pbkvm_run_to soon");

    g_assert_true(g_str_has_prefix(step, "stepped: event "));
    g_assert_nonnull(strstr(past, "event 1 lies in the Backup's past"));
    g_assert_nonnull(strstr(bad, "expected panic, live or the number of an "
                            "event, got soon"));
    assert_follows(qts);
    qtest_quit(qts);
}

/* How many events of @kind the Primary has recorded. */
static int64_t events_of(QTestState *qts, const char *kind)
{
    QDict *info = query(qts);
    const QListEntry *entry;
    int64_t count = 0;

    QLIST_FOREACH_ENTRY(qdict_get_qlist(info, "events-by-kind"), entry) {
        QDict *one = qobject_to(QDict, qlist_entry_obj(entry));

        if (!strcmp(qdict_get_str(one, "kind"), kind)) {
            count = qdict_get_int(one, "count");
        }
    }
    qobject_unref(info);
    return count;
}

/* QEMU gives the registers back to KVM when they were looked at. */
static void test_looking_changes_nothing(void)
{
    QTestState *qts = qtest_init("-accel pbkvm,lag=0 -m 32 -nic none "
                                 "-vga none");
    int64_t before;
    int i;

    wait_for(qts, "events-read", 20);
    before = events_of(qts, "state");
    for (i = 0; i < 20; i++) {
        g_autofree char *text = qtest_hmp(qts, "info registers");

        g_assert_nonnull(strstr(text, "EIP="));
        wait_for(qts, "events-read", query_number(qts, "events-read") + 1);
    }
    g_assert_cmpint(events_of(qts, "state"), ==, before);
    assert_equal(qts);
    qtest_quit(qts);
}

/* A number of "slices" in query-pbkvm. */
static int64_t slices_number(QTestState *qts, const char *name)
{
    return query_part(qts, "slices", name);
}

static void test_ram_is_compared_in_the_background(void)
{
    gint64 until = g_get_monotonic_time() + PATIENCE_US;
    QTestState *qts = qtest_init("-accel pbkvm,lag=0,verify-interval=1 -m 8 "
                                 "-nic none -vga none");

    /* Two passes over all RAM.  SeaBIOS halts in the end: start it again. */
    while (slices_number(qts, "passes") < 2) {
        g_assert_cmpint(g_get_monotonic_time(), <, until);
        qtest_qmp_assert_success(qts, "{ 'execute': 'system_reset' }");
        g_usleep(100 * 1000);
    }
    g_assert_cmpint(slices_number(qts, "interval"), ==, 1);
    g_assert_cmpint(slices_number(qts, "compared"), >=, 2 * 64);
    g_assert_cmpint(slices_number(qts, "pass-time"), >, 0);
    g_assert_cmpint(slices_number(qts, "stop-mean"), <=,
                    slices_number(qts, "stop-max"));
    assert_status(qts, "running");
    assert_equal(qts);
    qtest_quit(qts);
}

static void test_full_ring_is_told(void)
{
    QTestState *qts = start_frozen(",ring-size=4096", 50);
    gint64 until = g_get_monotonic_time() + PATIENCE_US;

    /* SeaBIOS starting again and again makes events. */
    while (query_number(qts, "ring-full") == 0) {
        g_assert_cmpint(g_get_monotonic_time(), <, until);
        qtest_qmp_assert_success(qts, "{ 'execute': 'system_reset' }");
        g_usleep(100 * 1000);             /* let it make some */
    }
    qtest_qmp_eventwait(qts, "PBKVM_RING_FULL");
    assert_follows(qts);
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/pbkvm/walk/steps", test_steps_are_instructions);
    qtest_add_func("/pbkvm/walk/events", test_events_are_counted);
    qtest_add_func("/pbkvm/walk/branches", test_branches_are_exact);
    qtest_add_func("/pbkvm/walk/end", test_end_of_history);
    qtest_add_func("/pbkvm/walk/panic", test_panic_by_qmp);
    qtest_add_func("/pbkvm/walk/action", test_panic_stops_as_the_action_says);
    qtest_add_func("/pbkvm/walk/order", test_wrong_order_is_refused);
    qtest_add_func("/pbkvm/walk/no-backup", test_no_backup_yet);
    qtest_add_func("/pbkvm/walk/past", test_the_past_is_past);
    qtest_add_func("/pbkvm/walk/monitor", test_monitor_walks_too);
    qtest_add_func("/pbkvm/slices", test_ram_is_compared_in_the_background);
    qtest_add_func("/pbkvm/look", test_looking_changes_nothing);
    qtest_add_func("/pbkvm/ring/full", test_full_ring_is_told);
    return g_test_run();
}
