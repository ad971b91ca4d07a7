/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-live-test.c: the Primary is put where its Backup stands, in the past,
 * and lives on from there.
 */
#include "qemu/osdep.h"
#include "pbkvm-live-guest.h"

/* Memory, registers, devices and time are those of then. */
static void test_lives_on(void)
{
    QTestState *qts = start(",live-interval=50");
    uint32_t rounds;
    int64_t time, event;

    freeze_before(qts, 0x11, 0x22);
    rounds = qtest_readl(qts, ROUNDS);
    time = query_number(qts, "primary-time");
    event = went_live(go_live(qts, 0));
    g_assert_cmpint(qtest_readb(qts, SEEN), ==, 0x11);
    g_assert_cmpint(qtest_readl(qts, ROUNDS), <, rounds);
    g_assert_cmpint(query_number(qts, "primary-time"), <, time);
    g_assert_cmpint(query_number(qts, "events-written"), >, event);
    g_assert_cmpint(query_number(qts, "restarts"), ==, 1);
    go_on(qts);
    g_assert_cmpint(qtest_readb(qts, SEEN), ==, 0x11);
    assert_status(qts, "running");
    assert_equal(qts);
    await_seen(qts, 0x33);
    assert_equal(qts);
    qtest_quit(qts);
}

/* From one point after the other, and from what such a life has lived. */
static void test_again_and_again(void)
{
    QTestState *qts = start(",live-interval=50,verify-interval=20");
    int64_t first, last, before = 0;
    int i;

    for (i = 0; i < 3; i++) {
        freeze_before(qts, 0x40 + i, 0x50);
        await_point_behind(qts, query_number(qts, "events-written"));
        first = point(qts, true);
        last = point(qts, false);
        g_assert_cmpint(first, >, before);
        g_assert_cmpint(first, <, last);
        /* On to the last, and back. */
        qobject_unref(qtest_qmp(qts, "{ 'execute': 'pbkvm-run-to', "
                                "'arguments': { 'event': %" PRId64 " } }",
                                last));
        g_assert_cmpint(went_live(go_live(qts, i ? first : 0)), ==,
                        i ? first : last);
        g_assert_cmpint(qtest_readb(qts, SEEN), ==, i ? 0x40 + i : 0x50);
        go_on(qts);
        assert_equal(qts);
        before = last;
    }
    qtest_quit(qts);
}

static int64_t run_to_live(QTestState *qts)
{
    QDict *stop = qtest_qmp_assert_success_ref(
        qts, "{ 'execute': 'pbkvm-run-to', 'arguments': { 'live': true } }");
    int64_t event = qdict_get_int(qdict_get_qdict(stop, "place"), "event");

    g_assert_cmpstr(qdict_get_str(stop, "reason"), ==, "reached");
    qobject_unref(stop);
    return event;
}

/* On to the first, where it stays, and back to it. */
static void test_run_to_live(void)
{
    QTestState *qts = start(",live-interval=50");
    g_autofree char *said = NULL;
    int64_t first;

    freeze_before(qts, 0x11, 0x22);
    first = point(qts, true);
    g_assert_cmpint(query_number(qts, "events-read"), <, first);
    g_assert_cmpint(run_to_live(qts), ==, first);
    g_assert_cmpint(run_to_live(qts), ==, first);
    qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-step', 'arguments': {"
                             " 'events': 20 } }");
    g_assert_cmpint(query_number(qts, "events-read"), >, first);
    said = qtest_hmp(qts, "pbkvm_run_to live");
    g_assert(g_str_has_prefix(said, "reached: event "));
    g_assert_cmpint(went_live(go_live(qts, 0)), ==, first);
    go_on(qts);
    assert_equal(qts);
    qtest_quit(qts);
}

/* A device that comes or goes takes the points with it; some prevent any. */
static void test_hotplug(void)
{
    QTestState *qts = start(",live-interval=50");
    gint64 until = g_get_monotonic_time() + PATIENCE_US;
    int64_t before;
    g_autofree char *added = NULL;

    freeze_before(qts, 0x11, 0x22);
    added = qtest_hmp(qts, "device_add virtio-rng-pci,id=rng");
    g_assert_cmpstr(added, ==, "");
    before = query_number(qts, "events-written");
    await_point_behind(qts, before - 1);
    g_assert_cmpint(point(qts, true), >=, before);
    went_live(go_live(qts, 0));
    go_on(qts);
    assert_equal(qts);

    freeze_before(qts, 0x33, 0x44);
    g_free(added);
    added = qtest_hmp(qts, "device_add nvme,id=disk,serial=1");
    g_assert_cmpstr(added, ==, "");
    while (query_part(qts, "live", "bytes")) {
        g_assert_cmpint(g_get_monotonic_time(), <, until);
    }
    g_usleep(200 * 1000);                 /* four intervals without a point */
    assert_error(go_live(qts, 0), "pbkvm-go-live: no live points are kept: "
                 "State blocked by non-migratable device '0000:00:03.0/nvme'");
    qtest_quit(qts);
}

/* Points that nobody can come to any more are not kept. */
static void test_forgets(void)
{
    QTestState *qts = start(",live-interval=20");
    int64_t first;

    await_point_behind(qts, 0);
    first = point(qts, true);
    wait_for(qts, "events-read", first + 1);
    await_point_behind(qts, query_number(qts, "events-read"));
    g_assert_cmpint(point(qts, true), >, first);
    g_assert_cmpint(query_part(qts, "live", "bytes"), >, 1000);
    qtest_quit(qts);
}

/* A guest that halts is always where it was. */
static void test_halted(void)
{
    static const uint8_t halt[] = { 0xfa, 0xf4 };       /* cli; hlt */
    g_autofree char *file = make_rom(halt, sizeof(halt));
    QTestState *qts = qtest_initf("-accel pbkvm,lag=0,live-interval=20 -m 8 "
                                  "-nic none -vga none -bios %s", file);
    gint64 until = g_get_monotonic_time() + PATIENCE_US;
    int64_t last;

    unlink(file);
    await_point_behind(qts, 0);
    /* That may have come before it halts: then there is one more. */
    do {
        g_assert_cmpint(g_get_monotonic_time(), <, until);
        last = query_number(qts, "events-written");
        g_usleep(100 * 1000);             /* five intervals */
    } while (query_number(qts, "events-written") != last);
    g_assert_cmpint(point(qts, false), ==, last);
    g_usleep(300 * 1000);                 /* fifteen more */
    g_assert_cmpint(query_number(qts, "events-written"), ==, last);
    wait_for(qts, "events-read", last);
    freeze(qts);
    g_assert_cmpint(went_live(go_live(qts, 0)), ==, last);
    qtest_qmp_assert_success(qts, "{ 'execute': 'cont' }");
    assert_equal(qts);
    qtest_quit(qts);
}

static void test_refused(void)
{
    QTestState *qts = start(",live-interval=0");

    wait_for(qts, "events-read", 100);
    assert_error(go_live(qts, 0), "pbkvm-go-live: no live points are kept: "
                 "live-interval=0");
    qtest_quit(qts);

    qts = start(" -device nvme,serial=1");
    wait_for(qts, "events-read", 100);
    assert_error(go_live(qts, 0), "pbkvm-go-live: no live points are kept: "
                 "State blocked by non-migratable device '0000:00:02.0/nvme'");
    qtest_quit(qts);

    qts = start(",live-interval=3600000");
    wait_for(qts, "events-read", 100);
    assert_error(go_live(qts, 0), "pbkvm-go-live: expected the Backup frozen "
                 "(pbkvm-freeze)");
    freeze(qts);
    assert_error(go_live(qts, 0), "pbkvm-go-live: there is no such live point "
                 "that the Backup can get to: query-pbkvm lists them");
    assert_error(go_live(qts, 7), "pbkvm-go-live: there is no such live point: "
                 "query-pbkvm lists them");
    assert_follows(qts);
    qtest_quit(qts);
}

static unsigned count_points(QTestState *qts)
{
    QDict *info = query(qts);
    unsigned n = qlist_size(qdict_get_qlist(qdict_get_qdict(info, "live"),
                                            "points"));

    qobject_unref(info);
    return n;
}

/* Of more than a file takes it has some, from the first to the last. */
static void test_file_of_many(void)
{
    QTestState *qts = start(",live-interval=1");
    gint64 until = g_get_monotonic_time() + PATIENCE_US;
    int64_t first, last;
    char *file;

    close(g_file_open_tmp("pbkvm-live-XXXXXX", &file, NULL));
    unlink(file);
    freeze_before(qts, 0x11, 0x22);
    while (count_points(qts) < 300) {
        g_assert_cmpint(g_get_monotonic_time(), <, until);
    }
    qtest_qmp_assert_success(qts, "{ 'execute': 'stop' }");
    first = point(qts, true);
    last = point(qts, false);
    g_assert_cmpint(save_evidence(qts, file), ==, 256);
    qtest_quit(qts);

    qts = replay(file, "");
    g_assert_cmpint(count_points(qts), ==, 256);
    g_assert_cmpint(point(qts, true), ==, first);
    g_assert_cmpint(point(qts, false), >, last - (last - first) / 10);
    qtest_quit(qts);
    unlink(file);
    g_free(file);
}

int main(int argc, char **argv)
{
    int ret;

    g_test_init(&argc, &argv, NULL);
    rom_file = make_rom(rom_code, sizeof(rom_code));
    qtest_add_func("/pbkvm/live/lives-on", test_lives_on);
    qtest_add_func("/pbkvm/live/again-and-again", test_again_and_again);
    qtest_add_func("/pbkvm/live/run-to-live", test_run_to_live);
    qtest_add_func("/pbkvm/live/hotplug", test_hotplug);
    qtest_add_func("/pbkvm/live/forgets", test_forgets);
    qtest_add_func("/pbkvm/live/halted", test_halted);
    qtest_add_func("/pbkvm/live/refused", test_refused);
    qtest_add_func("/pbkvm/live/file-of-many", test_file_of_many);
    ret = g_test_run();
    unlink(rom_file);
    return ret;
}
