/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-recover-test.c: a Backup in the middle of the Primary's life.
 *
 * The guest, a ROM of its own, reads the serial port's scratch register
 * without end.  When the test has put a 1 there, it reads RDTSC, which no
 * Backup can repeat, shows it to a port, and goes on.
 */
#include "qemu/osdep.h"
#include "pbkvm-query.h"
#include "pbkvm-rom.h"
#include "qobject/qlist.h"

#define SCRATCH 0x3ff

#define PRIMARY "/machine/unattached/device[0]"
#define BACKUP  "/machine/pbkvm-backup"

/* More events than the ring holds. */
#define A_RING 5000

static char *rom_file;

static const uint8_t rom_code[] = {
    0xba, 0xff, 0x03,         /* 0x00 0:   mov $0x3ff,%dx */
    0xec,                     /* 0x03 1:   in  %dx,%al */
    0x3c, 0x01,               /* 0x04      cmp $1,%al */
    0x75, 0xfb,               /* 0x06      jne 1b */
    0x30, 0xc0,               /* 0x08      xor %al,%al */
    0xee,                     /* 0x0a      out %al,%dx */
    0x0f, 0x31,               /* 0x0b      rdtsc */
    0x66, 0xe7, 0x84,         /* 0x0d      out %eax,$0x84 */
    0xeb, 0xee,               /* 0x10      jmp 0b */
};

static QTestState *start(const char *options)
{
    return qtest_initf("-accel pbkvm,lag=0,ring-size=4096%s -m 8 -nic none "
                       "-vga none -serial null -bios %s", options, rom_file);
}

static void assert_refused(QTestState *qts, const char *expected)
{
    assert_error(qtest_qmp(qts, "{ 'execute': 'pbkvm-start' }"), expected);
}

/* A new Backup, which begins after @event at the earliest. */
static void begin(QTestState *qts, int64_t event)
{
    QDict *reply = qtest_qmp(qts, "{ 'execute': 'pbkvm-start' }");
    QDict *started;

    g_assert(qdict_haskey(reply, "return"));
    started = qdict_get_qdict(reply, "return");
    g_assert_cmpint(qdict_get_int(started, "event"), >, event);
    g_assert_cmpint(qdict_get_int(started, "stopped-time"), >, 0);
    qobject_unref(reply);
}

static void await_more(QTestState *qts, const char *counter, int64_t n)
{
    wait_for(qts, counter, query_number(qts, counter) + n);
}

static void make_diverge(QTestState *qts)
{
    qtest_outb(qts, SCRATCH, 1);
    qtest_qmp_eventwait(qts, "PBKVM_DIVERGED");
}

/* Exits of CPU @cpu so far, as KVM counts them for query-stats. */
static int64_t exits_of(QTestState *qts, const char *cpu)
{
    QDict *reply = qtest_qmp(qts, "{ 'execute': 'query-stats', 'arguments': {"
                             " 'target': 'vcpu', 'vcpus': [ %s ],"
                             " 'providers': [ { 'provider': 'kvm',"
                             " 'names': [ 'exits' ] } ] } }", cpu);
    QDict *found, *stat;
    int64_t value;

    g_assert(qdict_haskey(reply, "return"));
    found = qobject_to(QDict, qlist_peek(qdict_get_qlist(reply, "return")));
    stat = qobject_to(QDict, qlist_peek(qdict_get_qlist(found, "stats")));
    value = qdict_get_int(stat, "value");
    qobject_unref(reply);
    return value;
}

static void test_exits(void)
{
    QTestState *qts = start(",backup=off");

    wait_for(qts, "events-written", 1);
    g_assert_cmpint(exits_of(qts, PRIMARY), >, 0);
    g_assert_cmpint(exits_of(qts, BACKUP), ==, 0);
    begin(qts, 0);
    await_more(qts, "events-read", 200);
    g_assert_cmpint(exits_of(qts, BACKUP), >, 200);
    qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-freeze' }");
    g_assert_cmpint(exits_of(qts, BACKUP), >, 200);
    g_assert_cmpint(exits_of(qts, PRIMARY), >, exits_of(qts, BACKUP));
    qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-thaw' }");
    make_diverge(qts);
    begin(qts, 0);
    await_more(qts, "events-read", 200);
    g_assert_cmpint(exits_of(qts, BACKUP), >, 200);
    qtest_quit(qts);
}

static void test_backup_later(void)
{
    QTestState *qts = start(",backup=off");

    await_more(qts, "events-written", A_RING);
    assert_status(qts, "off");
    begin(qts, A_RING);
    await_more(qts, "events-read", 200);
    assert_equal(qts);
    assert_status(qts, "running");
    g_assert_cmpint(query_number(qts, "restarts"), ==, 1);
    qtest_quit(qts);
}

static void test_primary_goes_on(const void *options)
{
    QTestState *qts = start(options);

    wait_for(qts, "events-read", 100);
    make_diverge(qts);
    await_more(qts, "events-written", A_RING);
    assert_status(qts, "diverged");
    begin(qts, A_RING);
    await_more(qts, "events-read", 200);
    assert_equal(qts);
    qtest_quit(qts);
}

static void test_resync(void)
{
    QTestState *qts = start(",on-divergence=resync");
    int i;

    wait_for(qts, "events-read", 100);
    for (i = 1; i <= 3; i++) {
        make_diverge(qts);
        qtest_qmp_eventwait(qts, "PBKVM_STARTED");
        await_more(qts, "events-read", 200);
        assert_equal(qts);
        g_assert_cmpint(query_number(qts, "restarts"), ==, i);
    }
    /* Not for ever. */
    make_diverge(qts);
    await_more(qts, "events-written", 200);
    assert_status(qts, "diverged");
    begin(qts, 0);
    assert_equal(qts);
    qtest_quit(qts);
}

static void test_wrong_order(void)
{
    QTestState *qts = start("");

    wait_for(qts, "events-read", 100);
    assert_refused(qts, "a new Backup cannot start: expected none, or one "
                   "that has diverged, failed or was changed by a debugger; "
                   "there is one, and it is running");
    qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-freeze' }");
    assert_refused(qts, "a new Backup cannot start: expected none, or one "
                   "that has diverged, failed or was changed by a debugger; "
                   "there is one, and it is frozen");
    qtest_quit(qts);
    qts = start(" -S");
    assert_refused(qts, "a new Backup cannot start: the guest has not "
                   "started yet");
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    int ret;

    g_test_init(&argc, &argv, NULL);
    rom_file = make_rom(rom_code, sizeof(rom_code));
    qtest_add_func("/pbkvm/recover/later", test_backup_later);
    qtest_add_data_func("/pbkvm/recover/stop", "", test_primary_goes_on);
    qtest_add_data_func("/pbkvm/recover/spill", ",spill=pbkvm-recover-spill",
                        test_primary_goes_on);
    qtest_add_func("/pbkvm/recover/resync", test_resync);
    qtest_add_func("/pbkvm/recover/order", test_wrong_order);
    qtest_add_func("/pbkvm/recover/exits", test_exits);
    ret = g_test_run();
    unlink(rom_file);
    g_free(rom_file);
    return ret;
}
