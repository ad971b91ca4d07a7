/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-back-test.c: the live Backup, frozen and walked, is taken back, over
 * QMP, with SeaBIOS as the guest; and follows the Primary again as ever.
 */
#include "qemu/osdep.h"
#include "pbkvm-query.h"
#include "pbkvm-rom.h"

#define REST "-m 32 -nic none -vga none"

/* A place of the Backup's. */
typedef struct Place {
    int64_t event, branches, rip;
} Place;

static QDict *run_to(QTestState *qts, const char *what, int64_t n)
{
    return qtest_qmp(qts, "{ 'execute': 'pbkvm-run-to', 'arguments': { %s: %"
                     PRId64 " } }", what, n);
}

static Place place_of(QDict *reply)
{
    QDict *stop, *place;
    Place p;

    if (!qdict_haskey(reply, "return")) {
        g_error("%s", qdict_get_str(qdict_get_qdict(reply, "error"), "desc"));
    }
    stop = qdict_get_qdict(reply, "return");
    g_assert_cmpstr(qdict_get_str(stop, "reason"), ==, "reached");
    place = qdict_get_qdict(stop, "place");
    p = (Place) { qdict_get_int(place, "event"),
                  qdict_get_int(place, "branches"),
                  qdict_get_int(place, "rip") };
    qobject_unref(reply);
    return p;
}

static void assert_same(Place a, Place b)
{
    g_assert_cmpint(a.event, ==, b.event);
    g_assert_cmpint(a.branches, ==, b.branches);
    g_assert_cmpint(a.rip, ==, b.rip);
}

static bool has_way_back(QTestState *qts)
{
    QDict *info = query(qts);
    bool has = qdict_haskey(info, "back-to");

    qobject_unref(info);
    return has;
}

/* From when on it keeps nothing. */
static void assert_follows_again(QTestState *qts)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-thaw' }");
    g_assert(!has_way_back(qts));
    assert_equal(qts);
}

static void test_same_places_again(void)
{
    QTestState *qts = start_frozen("", 200);
    int64_t from = query_number(qts, "events-read");
    Place seen[20];
    int i;

    g_assert(!has_way_back(qts));
    for (i = 0; i < 20; i++) {
        seen[i] = place_of(run_to(qts, "event", from + 10 * (i + 1)));
    }
    g_assert_cmpint(query_number(qts, "back-to"), ==, from);
    for (i = 19; i >= 0; i--) {
        assert_same(place_of(run_to(qts, "event", seen[i].event)), seen[i]);
    }
    assert_same(place_of(run_to(qts, "event", seen[19].event)), seen[19]);
    g_assert_cmpint(query_number(qts, "back-to"), ==, from);
    assert_follows_again(qts);
    qtest_quit(qts);
}

static void test_branches_and_time(void)
{
    QTestState *qts = start_frozen("", 100);
    int64_t branches, time, from = query_number(qts, "events-read");
    Place first;

    branches = query_number(qts, "backup-branches") + 7;
    first = place_of(run_to(qts, "branches", branches));
    g_assert_cmpint(first.branches, ==, branches);
    place_of(run_to(qts, "event", from + 40));
    time = query_number(qts, "backup-time");
    place_of(run_to(qts, "event", from + 80));
    g_assert_cmpint(place_of(run_to(qts, "time", time)).event, >=, from + 40);
    g_assert_cmpint(query_number(qts, "backup-time"), ==, time);
    assert_same(place_of(run_to(qts, "branches", branches)), first);
    assert_follows_again(qts);
    qtest_quit(qts);
}

static void test_no_way_back(void)
{
    QTestState *qts = start_frozen("", 50);
    int64_t from = query_number(qts, "events-read");
    g_autofree char *early =
        g_strdup_printf("pbkvm-run-to: event %" PRId64 " lies in the Backup's "
                        "past, before where it was frozen: expected %" PRId64
                        " or more", from - 1, from);

    assert_error(run_to(qts, "event", from), "the Backup has no way back from "
                 "here: it has not moved since it was frozen");
    assert_error(run_to(qts, "event", from - 1), early);
    place_of(run_to(qts, "event", from + 20));
    assert_error(run_to(qts, "event", from - 1), early);
    g_assert_cmpint(place_of(run_to(qts, "event", from)).event, ==, from);
    assert_follows_again(qts);
    qtest_quit(qts);
}

/* What it has lived through before, and not yet again, is still before it. */
static void test_thawed_in_its_past(void)
{
    QTestState *qts = start_frozen("", 200);
    int64_t from = query_number(qts, "events-read");
    Place seen;
    int i;

    for (i = 0; i < 3; i++) {
        place_of(run_to(qts, "event", from + 150));
        place_of(run_to(qts, "event", from + 10));
        qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-set-lag', "
                                 "'arguments': { 'lag': 3600000 } }");
        qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-thaw' }");
        qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-freeze' }");
        g_assert_cmpint(query_number(qts, "events-read"), ==, from + 10);
        /* A new way back, with events ahead that were lived through. */
        seen = place_of(run_to(qts, "event", from + 100));
        place_of(run_to(qts, "event", from + 160));
        g_assert_cmpint(query_number(qts, "back-to"), ==, from + 10);
        assert_same(place_of(run_to(qts, "event", from + 100)), seen);
        from += 10;
    }
    assert_follows_again(qts);
    qtest_quit(qts);
}

static void test_from_the_spill(void)
{
    g_autofree char *dir = g_dir_make_tmp("pbkvm-back-XXXXXX", NULL);
    g_autofree char *options =
        g_strdup_printf(",ring-size=4096,spill=%s/spill", dir);
    QTestState *qts = start_frozen(options, 50);
    int64_t from = query_number(qts, "events-read");
    gint64 until = g_get_monotonic_time() + PATIENCE_US;
    Place seen[2];

    /* SeaBIOS starting again and again makes events. */
    while (query_number(qts, "events-written") < from + 20000) {
        g_assert_cmpint(g_get_monotonic_time(), <, until);
        qtest_qmp_assert_success(qts, "{ 'execute': 'system_reset' }");
        g_usleep(50 * 1000);
    }
    /* SeaBIOS also resets by itself, which ends a walk. */
    qtest_qmp_assert_success(qts, "{ 'execute': 'stop' }");
    seen[0] = place_of(run_to(qts, "event", from + 1000));
    seen[1] = place_of(run_to(qts, "event", from + 15000));
    assert_same(place_of(run_to(qts, "event", from + 1000)), seen[0]);
    assert_same(place_of(run_to(qts, "event", from + 15000)), seen[1]);
    place_of(run_to(qts, "event", from + 2000));
    qtest_qmp_assert_success(qts, "{ 'execute': 'cont' }");
    assert_follows_again(qts);
    qtest_quit(qts);
    g_rmdir(dir);
}

/* A reset of the machine looks at all CPUs; one that walks stays frozen. */
static void test_reset_amid_a_walk(void)
{
    static const uint8_t code[] = {
        0xb9, 0x00, 0x10,         /*    mov $0x1000, %cx */
        0xe4, 0x61,               /* 1: in $0x61, %al */
        0xe2, 0xfc,               /*    loop 1b */
        0xb0, 0xfe, 0xe6, 0x64,   /*    out 0xfe, $0x64: reset */
        0xeb, 0xfe,               /* 2: jmp 2b */
    };
    g_autofree char *rom = make_rom(code, sizeof(code));
    g_autofree char *options = g_strdup_printf(" -bios %s", rom);
    QTestState *qts = start_frozen(options, 50);
    int64_t from = query_number(qts, "events-read");
    int i;

    for (i = 0; i < 5; i++) {
        QDict *reply = qtest_qmp(qts, "{ 'execute': 'pbkvm-step', 'arguments': "
                                 "{ 'instructions': 1000000000 } }");

        g_assert_cmpstr(qdict_get_str(qdict_get_qdict(reply, "return"),
                                      "reason"), ==, "asked");
        qobject_unref(reply);
        assert_status(qts, "frozen");
    }
    g_assert_cmpint(query_number(qts, "back-to"), ==, from);
    assert_follows_again(qts);
    qtest_quit(qts);
    g_unlink(rom);
}

static void test_saved_in_its_past(void)
{
    g_autofree char *dir = g_dir_make_tmp("pbkvm-back-XXXXXX", NULL);
    g_autofree char *file = g_strdup_printf("%s/saved", dir);
    QTestState *qts = start_frozen("", 200), *again;
    int64_t from = query_number(qts, "events-read");
    Place seen = place_of(run_to(qts, "event", from + 150));
    QDict *reply;

    place_of(run_to(qts, "event", from + 20));
    qtest_qmp_assert_success(qts, "{ 'execute': 'stop' }");
    reply = qtest_qmp(qts, "{ 'execute': 'pbkvm-save-evidence',"
                      " 'arguments': { 'filename': %s } }", file);
    g_assert(qdict_haskey(reply, "return"));
    g_assert_cmpint(qdict_get_int(qdict_get_qdict(reply, "return"), "events"),
                    ==, query_number(qts, "events-written") - from - 20);
    qobject_unref(reply);
    again = qtest_initf("-accel pbkvm,replay=%s " REST, file);
    g_assert_cmpint(query_number(again, "back-to"), ==, from + 20);
    assert_same(place_of(run_to(again, "event", seen.event)), seen);
    qtest_quit(again);
    qtest_qmp_assert_success(qts, "{ 'execute': 'cont' }");
    assert_follows_again(qts);
    qtest_quit(qts);
    g_unlink(file);
    g_rmdir(dir);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/pbkvm/back/places", test_same_places_again);
    qtest_add_func("/pbkvm/back/limits", test_branches_and_time);
    qtest_add_func("/pbkvm/back/none", test_no_way_back);
    qtest_add_func("/pbkvm/back/thawed", test_thawed_in_its_past);
    qtest_add_func("/pbkvm/back/spill", test_from_the_spill);
    qtest_add_func("/pbkvm/back/reset", test_reset_amid_a_walk);
    qtest_add_func("/pbkvm/back/saved", test_saved_in_its_past);
    return g_test_run();
}
