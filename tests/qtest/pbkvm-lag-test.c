/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-lag-test.c: how far the Backup stays behind, in ms, events and
 * branches, and that the Primary waits for one that is later than lag-max.
 *
 * SeaBIOS is the guest, or a ROM that computes and reads a port without end.
 */
#include "qemu/osdep.h"
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include "pbkvm-query.h"
#include "pbkvm-rom.h"

#define REST "-m 32 -nic none -vga none"

#define RESET_US (3 * G_USEC_PER_SEC)

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

static void test_lag_changes(void)
{
    QTestState *qts = qtest_init("-accel pbkvm,lag=3600000 -m 32 -nic none "
                                 "-vga none");

    wait_for(qts, "events-written", 20);
    g_assert_cmpint(query_number(qts, "events-read"), ==, 0);
    qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-set-lag', 'arguments': "
                             "{ 'lag': 0 } }");
    wait_for(qts, "events-read", 20);
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
                 "pbkvm-set-lag: expected lag, lag-events, lag-branches or "
                 "lag-max");
    assert_error(qtest_qmp(qts, "{ 'execute': 'pbkvm-set-lag', 'arguments': "
                           "{ 'lag': 1, 'lag-events': 1000000000001 } }"),
                 "pbkvm-set-lag: lag-events 1000000000001: expected 0 to "
                 "1000000000000");
    assert_error(qtest_qmp(qts, "{ 'execute': 'pbkvm-set-lag', 'arguments': "
                           "{ 'lag': 60, 'lag-max': 59 } }"),
                 "pbkvm: lag-max=59: expected 0 (the Primary never waits) or "
                 "at least lag=60");
    g_assert_cmpint(query_number(qts, "lag-wanted"), ==, 50);
    g_assert_cmpint(query_number(qts, "lag-max"), ==, 0);
    qtest_quit(qts);
}

/* SeaBIOS clears what it has used of low memory, and its heap. */
static void test_cleared_pages_are_given_back(void)
{
    g_autofree char *huge = NULL;
    QTestState *qts;

    if (g_file_get_contents("/sys/kernel/mm/transparent_hugepage/enabled",
                            &huge, NULL, NULL) && !strstr(huge, "[never]")) {
        g_test_skip("Linux makes huge pages here");
        return;
    }
    qts = qtest_init("-accel pbkvm,lag=300 " REST);
    wait_for(qts, "zero-pages", 1);
    assert_equal(qts);
    qtest_quit(qts);
}

/* ---- a Backup that is late ---- */

static const uint8_t busy_code[] = {
    0xba, 0xff, 0x03,         /* 0x00      mov $0x3ff,%dx */
    0xb9, 0x10, 0x27,         /* 0x03 0:   mov $10000,%cx */
    0xe2, 0xfe,               /* 0x06 1:   loop 1b */
    0xec,                     /* 0x08      in  %dx,%al */
    0xeb, 0xf8,               /* 0x09      jmp 0b */
};

#define LAG_MS     100
#define LAG_MAX_MS 300
/* From one event to the next, and what else the lag's figure includes. */
#define LAG_GRAIN_MS 60

static QTestState *start_busy(void)
{
    g_autofree char *rom = make_rom(busy_code, sizeof(busy_code));
    QTestState *qts = qtest_initf("-accel pbkvm,lag=%d -m 8 -nic none "
                                  "-vga none -serial null -bios %s "
                                  "-name test,debug-threads=on", LAG_MS, rom);

    unlink(rom);
    return qts;
}

static pid_t backup_thread(QTestState *qts)
{
    g_autofree char *tasks = g_strdup_printf("/proc/%d/task",
                                             (int)qtest_pid(qts));
    g_autoptr(GDir) all = NULL;
    const char *tid;

    wait_for(qts, "events-read", 1);      /* a thread names itself */
    all = g_dir_open(tasks, 0, NULL);
    g_assert(all);
    while ((tid = g_dir_read_name(all))) {
        g_autofree char *file = g_strdup_printf("%s/%s/comm", tasks, tid);
        g_autofree char *name = NULL;

        if (g_file_get_contents(file, &name, NULL, NULL) &&
            g_str_has_prefix(name, "Backup/pbkvm")) {
            return atoi(tid);
        }
    }
    g_assert_not_reached();
}

static int64_t times_woken(QTestState *qts)
{
    g_autofree char *file = g_strdup_printf("/proc/%d/status",
                                            (int)qtest_pid(qts));
    g_autofree char *status = NULL;
    const char *line;

    g_assert(g_file_get_contents(file, &status, NULL, NULL));
    line = strstr(status, "\nvoluntary_ctxt_switches:");
    g_assert(line);
    return g_ascii_strtoll(strchr(line, ':') + 1, NULL, 10);
}

#define SETTLE_US  (G_USEC_PER_SEC / 2)
#define SIGNALS    2000
#define SIGNALS_US 200
/* Twice what its own timer takes. */
#define WAKES_PER_S 200

/* Each landing has one; the main thread looks for its own by a timer. */
static void test_signal_to_the_backup_wakes_no_other_thread(void)
{
    QTestState *qts = start_busy();
    pid_t pid = qtest_pid(qts), tid = backup_thread(qts);
    int64_t before, begun, own;
    int i;

    wait_for(qts, "lag-now", LAG_MS);
    g_usleep(SETTLE_US);
    begun = g_get_monotonic_time();
    before = times_woken(qts);
    for (i = 0; i < SIGNALS; i++) {
        g_assert_cmpint(syscall(SYS_tgkill, pid, tid, SIGSTKFLT), ==, 0);
        g_usleep(SIGNALS_US);
    }
    own = (g_get_monotonic_time() - begun) * WAKES_PER_S / G_USEC_PER_SEC;
    g_assert_cmpint(times_woken(qts) - before, <, SIGNALS / 2 + own);
    assert_equal(qts);
    qtest_quit(qts);
}

/* A CPU's busy loop: whoever shares that CPU gets what is left. */
typedef struct Hog {
    GThread *thread;
    cpu_set_t cpu;
    bool quit;                /* atomic */
} Hog;

static void *hog_loop(void *opaque)
{
    Hog *h = opaque;

    g_assert_cmpint(sched_setaffinity(0, sizeof(h->cpu), &h->cpu), ==, 0);
    while (!__atomic_load_n(&h->quit, __ATOMIC_RELAXED)) {
        continue;
    }
    return NULL;
}

/* The Backup shares its CPU with the hog, and gets a tenth of it. */
static void make_late(QTestState *qts, Hog *h)
{
    pid_t tid = backup_thread(qts);
    cpu_set_t all;
    int cpu = 0;

    g_assert_cmpint(sched_getaffinity(tid, sizeof(all), &all), ==, 0);
    while (!CPU_ISSET(cpu, &all)) {
        cpu++;
    }
    *h = (Hog) { .quit = false };
    CPU_ZERO(&h->cpu);
    CPU_SET(cpu, &h->cpu);
    g_assert_cmpint(sched_setaffinity(tid, sizeof(h->cpu), &h->cpu), ==, 0);
    g_assert_cmpint(setpriority(PRIO_PROCESS, tid, 10), ==, 0);
    h->thread = g_thread_new("hog", hog_loop, h);
    wait_for(qts, "lag-now", LAG_MAX_MS + 2 * LAG_GRAIN_MS);
}

static void stop_hog(Hog *h)
{
    __atomic_store_n(&h->quit, true, __ATOMIC_RELAXED);
    g_thread_join(h->thread);
}

static void wait_until_not_late(QTestState *qts, int64_t ms)
{
    gint64 until = g_get_monotonic_time() + PATIENCE_US;

    while (query_number(qts, "lag-now") > ms) {
        g_assert_cmpint(g_get_monotonic_time(), <, until);
        g_usleep(1000);
    }
}

#define WAITED_NS (1500ll * 1000 * 1000)

/*
 * It waits for a Backup that gets a tenth of a CPU, most of the time and so
 * that the Backup hardly ever is later than lag-max.
 */
static void test_primary_waits_for_a_late_backup(void)
{
    QTestState *qts = start_busy();
    int64_t branches, waited, looks = 0, late = 0;
    gint64 begun;
    Hog hog;

    make_late(qts, &hog);
    g_assert_cmpint(query_number(qts, "lag-max-time"), ==, 0);
    set_lag(qts, "lag-max", LAG_MAX_MS);
    g_assert_cmpint(query_number(qts, "lag-max"), ==, LAG_MAX_MS);
    wait_for(qts, "lag-max-time", 1);
    wait_until_not_late(qts, LAG_MAX_MS + LAG_GRAIN_MS);
    branches = query_number(qts, "primary-branches");
    waited = query_number(qts, "lag-max-time");
    begun = g_get_monotonic_time();
    while (query_number(qts, "lag-max-time") < waited + WAITED_NS) {
        /* Each look has the Primary rest: they must not be all it does. */
        g_usleep(5000);
        looks++;
        late += query_number(qts, "lag-now") > LAG_MAX_MS + 2 * LAG_GRAIN_MS;
    }
    g_assert_cmpint(late, <=, looks / 20);
    g_assert_cmpint(g_get_monotonic_time() - begun, <, 30 * G_USEC_PER_SEC);
    wait_for(qts, "primary-branches", branches + 1);
    stop_hog(&hog);
    assert_equal(qts);
    assert_status(qts, "running");
    qtest_quit(qts);
}

/* The Primary's time stands while it is stopped, though it was waiting. */
static void test_stop_while_the_primary_waits(void)
{
    QTestState *qts = start_busy();
    int64_t lag, branches;
    Hog hog;

    make_late(qts, &hog);
    set_lag(qts, "lag-max", LAG_MS);
    wait_for(qts, "lag-max-time", 1);
    qtest_qmp_assert_success(qts, "{ 'execute': 'stop' }");
    wait_until_not_late(qts, LAG_MS + LAG_GRAIN_MS);
    lag = query_number(qts, "lag-now");
    g_usleep(500 * 1000);
    g_assert_cmpint(query_number(qts, "lag-now"), <=, lag);
    branches = query_number(qts, "primary-branches");
    qtest_qmp_assert_success(qts, "{ 'execute': 'cont' }");
    wait_for(qts, "primary-branches", branches + 100000);
    stop_hog(&hog);
    assert_equal(qts);
    qtest_quit(qts);
}

#define STOPS 30

/*
 * An event may be dated up to PB_CLOCK_TRUST_NS after the clock that a stop
 * has stopped; a Backup without lag gets there all the same.
 */
static void test_backup_follows_a_stopped_primary_to_its_end(void)
{
    QTestState *qts = start_busy();
    int64_t written;
    unsigned i;

    wait_for(qts, "events-read", 1);
    set_lag(qts, "lag", 0);
    for (i = 0; i < STOPS; i++) {
        qtest_qmp_assert_success(qts, "{ 'execute': 'stop' }");
        written = query_number(qts, "events-written");
        wait_for(qts, "events-read", written);
        qtest_qmp_assert_success(qts, "{ 'execute': 'cont' }");
        wait_for(qts, "events-written", written + 10);
    }
    assert_equal(qts);
    qtest_quit(qts);
}

/* A Backup that stands still is not late: nobody waits for it. */
static void test_nobody_waits_for_a_frozen_backup(void)
{
    QTestState *qts = start_busy();
    int64_t waited, branches;

    set_lag(qts, "lag-max", LAG_MS);
    wait_for(qts, "events-read", 1);
    qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-freeze' }");
    /* A wait that had begun ends, and is counted before the guest goes on. */
    branches = query_number(qts, "primary-branches");
    wait_for(qts, "primary-branches", branches + 100000);
    waited = query_number(qts, "lag-max-time");
    wait_for(qts, "lag-now", 5 * LAG_MS);
    g_assert_cmpint(query_number(qts, "lag-max-time"), ==, waited);
    qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-thaw' }");
    assert_equal(qts);
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/pbkvm/lag/set", test_lag_changes);
    qtest_add_func("/pbkvm/lag/events", test_lag_in_events);
    qtest_add_func("/pbkvm/lag/branches", test_lag_in_branches);
    qtest_add_func("/pbkvm/lag/set-some",
                   test_set_lag_keeps_what_is_not_given);
    qtest_add_func("/pbkvm/lag/zero-pages", test_cleared_pages_are_given_back);
    qtest_add_func("/pbkvm/lag/signals",
                   test_signal_to_the_backup_wakes_no_other_thread);
    qtest_add_func("/pbkvm/lag/max", test_primary_waits_for_a_late_backup);
    qtest_add_func("/pbkvm/lag/max-stop", test_stop_while_the_primary_waits);
    qtest_add_func("/pbkvm/lag/stop",
                   test_backup_follows_a_stopped_primary_to_its_end);
    qtest_add_func("/pbkvm/lag/max-frozen",
                   test_nobody_waits_for_a_frozen_backup);
    return g_test_run();
}
