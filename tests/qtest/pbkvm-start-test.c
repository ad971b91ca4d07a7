/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-start-test.c: the accelerator through libqtest, with SeaBIOS as its
 * guest: start, query, freeze, thaw, verify.
 */
#include "qemu/osdep.h"
#include "pbkvm-query.h"

#define MACHINE "-accel pbkvm,lag=%d -m 32 -nic none -vga none"

static QTestState *start(int lag_ms)
{
    return qtest_initf(MACHINE, lag_ms);
}

static void assert_refused(QTestState *qts, const char *command,
                           const char *expected)
{
    assert_error(qtest_qmp(qts, "{ 'execute': %s }", command), expected);
}

static void test_backup_follows(void)
{
    QTestState *qts = start(0);

    wait_for(qts, "events-read", 20);
    assert_status(qts, "running");
    qtest_quit(qts);
}

static void test_query_names_the_counter(void)
{
    QTestState *qts = start(0);
    QDict *info = query(qts);
    QDict *counter = qdict_get_qdict(info, "counter");

    g_assert_cmpstr(qdict_get_str(counter, "kind"), ==, "pmu");
    g_assert_cmpint(qdict_get_int(counter, "margin"), >, 0);
    g_assert(qdict_haskey(counter, "microarchitecture"));
    qobject_unref(info);
    qtest_quit(qts);
}

static void test_lag_keeps_the_backup_behind(void)
{
    QTestState *qts = start(3600000);

    wait_for(qts, "events-written", 20);
    g_assert_cmpint(query_number(qts, "events-read"), ==, 0);
    g_assert_cmpint(query_number(qts, "lag-wanted"), ==, 3600000);
    qtest_quit(qts);
}

static void test_frozen_backup_stands_still(void)
{
    QTestState *qts = start(0);
    int64_t read, written;

    wait_for(qts, "events-read", 5);
    qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-freeze' }");
    assert_status(qts, "frozen");
    read = query_number(qts, "events-read");
    written = query_number(qts, "events-written");
    wait_for(qts, "events-written", written + 5);
    g_assert_cmpint(query_number(qts, "events-read"), ==, read);
    qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-thaw' }");
    wait_for(qts, "events-read", written + 5);
    assert_status(qts, "running");
    qtest_quit(qts);
}

static void test_wrong_order_is_refused(void)
{
    QTestState *qts = start(0);

    wait_for(qts, "events-read", 1);
    assert_refused(qts, "pbkvm-thaw", "the Backup cannot be thawed: expected "
                   "it frozen, it is running");
    qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-freeze' }");
    assert_refused(qts, "pbkvm-freeze", "the Backup cannot be frozen: "
                   "expected it running, it is frozen");
    assert_refused(qts, "pbkvm-verify", "cannot verify: expected a running "
                   "Backup, it is frozen");
    qtest_quit(qts);
}

static void test_verify_finds_both_equal(void)
{
    QTestState *qts = start(200);
    QDict *reply, *result;
    int i;

    wait_for(qts, "events-written", 20);
    for (i = 0; i < 3; i++) {
        reply = qtest_qmp(qts, "{ 'execute': 'pbkvm-verify' }");
        g_assert(qdict_haskey(reply, "return"));
        result = qdict_get_qdict(reply, "return");
        g_assert(qdict_get_bool(result, "equal"));
        g_assert_cmpint(qdict_get_int(result, "ram-differences"), ==, 0);
        g_assert_cmpint(qdict_get_int(result, "ram-bytes"), >=, 32 << 20);
        qobject_unref(reply);
    }
    assert_status(qts, "running");
    qtest_quit(qts);
}

static void test_hotplug(void)
{
    static const char *const refused[][2] = {
        { "virtio-balloon-pci", "pbkvm: virtio-balloon-device is a device that "
          "takes memory away, which cannot be recorded yet" },
        { "pc-dimm", "pbkvm: pc-dimm: memory cannot be added to a machine "
          "while it is recorded" },
        { "secondary-vga", "pbkvm: secondary-vga: memory cannot be added to a "
          "machine while it is recorded" },
    };
    static const char *const taken[] = { "pci-testdev", "virtio-rng-pci",
                                         "qemu-xhci" };
    QTestState *qts = start(0);
    size_t i;

    wait_for(qts, "events-read", 20);
    for (i = 0; i < ARRAY_SIZE(refused); i++) {
        assert_error(qtest_qmp(qts, "{ 'execute': 'device_add', 'arguments': "
                               "{ 'driver': %s } }", refused[i][0]),
                     refused[i][1]);
    }
    for (i = 0; i < ARRAY_SIZE(taken); i++) {
        qtest_qmp_assert_success(qts, "{ 'execute': 'device_add', "
                                 "'arguments': { 'driver': %s } }", taken[i]);
    }
    assert_equal(qts);
    qtest_quit(qts);
}

/* Each before it has changed anything. */
static void test_refused_while_running(void)
{
    QTestState *qts = start(0);

    wait_for(qts, "events-read", 20);
    assert_error(qtest_qmp(qts, "{ 'execute': 'object-add', 'arguments': "
                           "{ 'qom-type': 'iothread', 'id': 'io' } }"),
                 "pbkvm: iothread is a thread of devices, which cannot be "
                 "recorded yet");
    assert_error(qtest_qmp(qts, "{ 'execute': 'snapshot-load', 'arguments': "
                           "{ 'job-id': 'j', 'tag': 's', 'vmstate': 'd', "
                           "'devices': [] } }"),
                 "pbkvm: a snapshot cannot be loaded into a machine that is "
                 "recorded: its history cannot jump");
    assert_equal(qts);
    assert_status(qts, "running");
    qtest_quit(qts);
}

static void test_no_backup_says_so(void)
{
    QTestState *qts = qtest_init("-accel pbkvm,backup=off -m 32 -nic none "
                                 "-vga none");

    wait_for(qts, "events-written", 20);
    assert_status(qts, "off");
    assert_refused(qts, "pbkvm-freeze", "there is no Backup: pbkvm-start "
                   "makes one");
    qtest_quit(qts);
}

static void test_reset_is_replayed(void)
{
    QTestState *qts = start(0);

    wait_for(qts, "events-read", 20);
    qtest_qmp_assert_success(qts, "{ 'execute': 'system_reset' }");
    qtest_qmp_eventwait(qts, "RESET");
    wait_for(qts, "events-written",
                    query_number(qts, "events-written") + 20);
    assert_equal(qts);
    qtest_quit(qts);
}

/*
 * A BIOS that does nothing but UD2: KVM is asked to leave while it holds the
 * exception more often than not.
 */
static char *bios_of_exceptions(void)
{
    static const uint8_t begin[] = {
        0xfa,                                   /* cli */
        0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0,     /* ds = ss = 0 */
        0xbc, 0x00, 0x70,                       /* mov $0x7000, %sp */
        0xc7, 0x06, 0x18, 0x00, 0x20, 0x00,     /* vector 6: 0xf000:0x20 */
        0xc7, 0x06, 0x1a, 0x00, 0x00, 0xf0,
        0x0f, 0x0b,                             /* 1: ud2 */
        0x41, 0x75, 0xfb, 0xeb, 0xf9,           /* inc %cx; jnz 1b; jmp 1b */
    };
    static const uint8_t handler[] = {
        0x55, 0x89, 0xe5,                       /* push %bp; mov %sp, %bp */
        0x83, 0x46, 0x02, 0x02,                 /* addw $2, 2(%bp) */
        0x5d, 0xcf,                             /* pop %bp; iret */
    };
    static const uint8_t reset[] = { 0xea, 0x00, 0x00, 0x00, 0xf0 };
    g_autofree char *image = g_malloc0(64 * 1024);
    char *path;
    int fd = g_file_open_tmp("pbkvm-bios-XXXXXX", &path, NULL);

    g_assert_cmpint(fd, >=, 0);
    close(fd);
    memcpy(image, begin, sizeof(begin));
    memcpy(image + 0x20, handler, sizeof(handler));
    memcpy(image + 0xfff0, reset, sizeof(reset));
    g_assert_true(g_file_set_contents(path, image, 64 * 1024, NULL));
    return path;
}

static void test_reset_amid_exceptions(void)
{
    g_autofree char *bios = bios_of_exceptions();
    QTestState *qts = qtest_initf("-accel pbkvm,lag=0 -m 8 -nic none "
                                  "-vga none -bios %s", bios);
    QDict *info;
    int i;

    for (i = 0; i < 20; i++) {
        qtest_qmp_assert_success(qts, "{ 'execute': 'system_reset' }");
        qtest_qmp_eventwait(qts, "RESET");
        wait_for(qts, "events-written",
                 query_number(qts, "events-written") + 3);
    }
    info = query(qts);
    g_assert_false(qdict_haskey(info, "history-ended"));
    qobject_unref(info);
    assert_equal(qts);
    qtest_quit(qts);
    unlink(bios);
}

/* KiB of the process whose pages Linux may merge ("mg", proc(5)). */
static int mergeable_kib(QTestState *qts)
{
    g_autofree char *name = g_strdup_printf("/proc/%d/smaps",
                                            (int)qtest_pid(qts));
    g_autofree char *smaps = NULL;
    g_auto(GStrv) lines = NULL;
    int i, size = 0, sum = 0;

    g_assert(g_file_get_contents(name, &smaps, NULL, NULL));
    lines = g_strsplit(smaps, "\n", -1);
    for (i = 0; lines[i]; i++) {
        if (sscanf(lines[i], "Size: %d", &size) != 1 &&
            g_str_has_prefix(lines[i], "VmFlags:") &&
            strstr(lines[i], " mg")) {
            sum += size;
        }
    }
    return sum;
}

/* Primary's RAM and Backup's are mostly equal: as QEMU merges, so do we. */
static void test_ram_may_be_merged(void)
{
    QTestState *qts = start(0);

    if (access("/sys/kernel/mm/ksm/run", F_OK)) {
        g_test_skip("this Linux cannot merge pages (CONFIG_KSM)");
        qtest_quit(qts);
        return;
    }
    wait_for(qts, "events-read", 1);
    g_assert_cmpint(mergeable_kib(qts), >=, 2 * 32 * 1024);
    qtest_quit(qts);
    qts = qtest_initf(MACHINE " -machine mem-merge=off", 0);
    wait_for(qts, "events-read", 1);
    g_assert_cmpint(mergeable_kib(qts), ==, 0);
    qtest_quit(qts);
}

static void test_other_accelerator_says_so(void)
{
    QTestState *qts = qtest_init("-accel tcg -m 32 -nic none -vga none");

    assert_refused(qts, "query-pbkvm", "the accelerator is not pbkvm: start "
                   "with -accel pbkvm");
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/pbkvm/follow", test_backup_follows);
    qtest_add_func("/pbkvm/query/counter", test_query_names_the_counter);
    qtest_add_func("/pbkvm/lag", test_lag_keeps_the_backup_behind);
    qtest_add_func("/pbkvm/freeze", test_frozen_backup_stands_still);
    qtest_add_func("/pbkvm/order", test_wrong_order_is_refused);
    qtest_add_func("/pbkvm/verify", test_verify_finds_both_equal);
    qtest_add_func("/pbkvm/hotplug", test_hotplug);
    qtest_add_func("/pbkvm/backup-off", test_no_backup_says_so);
    qtest_add_func("/pbkvm/refused", test_refused_while_running);
    qtest_add_func("/pbkvm/reset", test_reset_is_replayed);
    qtest_add_func("/pbkvm/reset/exceptions", test_reset_amid_exceptions);
    qtest_add_func("/pbkvm/mem-merge", test_ram_may_be_merged);
    qtest_add_func("/pbkvm/not-pbkvm", test_other_accelerator_says_so);
    return g_test_run();
}
