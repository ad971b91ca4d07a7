/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-undo-test.c: a Primary that is put back into its past finds its disks
 * as they were there, or is told why not.
 *
 * The disk is a file of the test's.  It is written by the device's own
 * BlockBackend, as the guest writes it, by QEMU's own qemu-io.
 */
#include "qemu/osdep.h"
#include "pbkvm-live-guest.h"

#define KIB 1024
#define DISK_SIZE (4096 * KIB)

typedef struct Disk {
    char *file;
    uint8_t *was;             /* what it held at the live point */
} Disk;

static void make_disk(Disk *d)
{
    g_autoptr(GError) err = NULL;
    unsigned i;
    int fd = g_file_open_tmp("pbkvm-undo-XXXXXX", &d->file, &err);

    g_assert_no_error(err);
    d->was = g_malloc0(DISK_SIZE);
    for (i = 0; i < DISK_SIZE / 2; i++) {
        d->was[i] = 1 + i % 251;
    }
    g_assert_cmpint(write(fd, d->was, DISK_SIZE), ==, DISK_SIZE);
    close(fd);
}

static void drop_disk(Disk *d)
{
    unlink(d->file);
    g_free(d->file);
    g_free(d->was);
}

static void assert_disk(const Disk *d, bool as_it_was)
{
    g_autofree char *now = NULL;
    gsize len;

    g_assert(g_file_get_contents(d->file, &now, &len, NULL));
    g_assert_cmpint(len, ==, DISK_SIZE);
    g_assert_cmpint(!memcmp(now, d->was, len), ==, as_it_was);
}

static char *with(const Disk *d, const char *device)
{
    return g_strdup_printf(
        "-blockdev raw,node-name=n,discard=unmap,file.driver=file,"
        "file.filename=%s,file.discard=unmap -device %s,id=disk,drive=n",
        d->file, device);
}

static QTestState *start_with(const Disk *d, const char *accel,
                              const char *device)
{
    g_autofree char *disk = with(d, device);
    g_autofree char *options = g_strdup_printf(",live-interval=50%s %s", accel,
                                               disk);

    return start(options);
}

/* @who: the guest's device, or a node that both may write. */
static void io(QTestState *qts, const char *who, const char *command)
{
    g_autofree char *said = qtest_hmp(qts, "qemu-io %s \"%s\"", who, command);

    g_assert_cmpstr(said, ==, "");
}

/* The disk's owner in QEMU. */
#define VIRTIO "-d /machine/peripheral/disk/virtio-backend"
#define IDE "-d disk"

static int64_t go_back(QTestState *qts)
{
    int64_t event = went_live(go_live(qts, 0));

    go_on(qts);
    assert_equal(qts);
    return event;
}

/* Writes, over each other, zeroes and discards, of parts that hold nothing. */
static void test_undone(const char *device, const char *who)
{
    static const char *const changes[] = {
        "write -q -P 0x22 0 4k", "write -q -P 0x33 2k 4k",
        "write -q -P 0x44 1k 512", "write -q -z 16k 8k",
        "write -q -z -u 20k 64k", "write -q -P 0x55 18k 1k",
        "discard -q 128k 1M", "write -q -P 0x66 200k 300k",
        "discard -q 1920k 2176k", "aio_write -q -P 0x77 3M 64k",
        "aio_write -q -P 0x78 3100k 8k", "aio_flush",
    };
    Disk d;
    QTestState *qts;
    unsigned i;

    make_disk(&d);
    qts = start_with(&d, "", device);
    io(qts, who, "write -q -P 0x11 8k 4k");
    memset(d.was + 8 * KIB, 0x11, 4 * KIB);
    freeze_before(qts, 0x11, 0x22);
    for (i = 0; i < ARRAY_SIZE(changes); i++) {
        io(qts, who, changes[i]);
    }
    assert_disk(&d, false);
    g_assert_cmpint(query_part(qts, "live", "disk-bytes"), >, 1024 * KIB);
    go_back(qts);
    assert_disk(&d, true);
    g_assert_cmpint(query_part(qts, "live", "disk-bytes"), ==, 0);
    qtest_quit(qts);
    drop_disk(&d);
}

static void test_virtio(void)
{
    test_undone("virtio-blk-pci", VIRTIO);
}

static void test_ide(void)
{
    test_undone("ide-hd", IDE);
}

/* To a later point, then to an earlier one of the life that began there. */
static void test_again(void)
{
    Disk d;
    QTestState *qts;
    int i;

    make_disk(&d);
    qts = start_with(&d, ",verify-interval=20", "virtio-blk-pci");
    for (i = 0; i < 3; i++) {
        freeze_before(qts, 0x40 + i, 0x50);
        io(qts, VIRTIO, "write -q -P 0x22 0 64k");
        await_point_behind(qts, query_number(qts, "events-written"));
        if (i == 1) {
            memset(d.was, 0x22, 64 * KIB);
            io(qts, VIRTIO, "write -q -P 0x33 0 1M");
            g_assert_cmpint(went_live(go_live(qts, point(qts, false))), >, 0);
            go_on(qts);
        } else {
            io(qts, VIRTIO, "write -q -P 0x33 32k 1M");
            go_back(qts);
        }
        assert_disk(&d, true);
    }
    assert_equal(qts);
    qtest_quit(qts);
    drop_disk(&d);
}

/* What is older than any point is forgotten, and is nobody's who has none. */
static void test_forgets(void)
{
    gint64 until = g_get_monotonic_time() + PATIENCE_US;
    Disk d;
    QTestState *qts;

    make_disk(&d);
    qts = start_with(&d, "", "virtio-blk-pci");
    await_point_behind(qts, 0);
    io(qts, VIRTIO, "write -q -P 0x22 0 1M");
    g_assert_cmpint(query_part(qts, "live", "disk-bytes"), >=, 1024 * KIB);
    while (query_part(qts, "live", "disk-bytes")) {
        g_assert_cmpint(g_get_monotonic_time(), <, until);
    }
    qtest_quit(qts);
    drop_disk(&d);
}

/* The first points are forgotten, with what only they needed. */
static void test_full(void)
{
    Disk d;
    QTestState *qts;
    QDict *reply;
    const char *said;
    int64_t first;

    make_disk(&d);
    qts = start_with(&d, ",live-undo=256k", "virtio-blk-pci");
    freeze_before(qts, 0x11, 0x22);
    first = point(qts, false);
    io(qts, VIRTIO, "write -q -P 0x22 0 128k");
    await_point_behind(qts, query_number(qts, "events-written"));
    io(qts, VIRTIO, "write -q -P 0x33 128k 192k");
    g_assert_cmpint(query_part(qts, "live", "disk-bytes"), <=, 256 * KIB);
    g_assert_cmpint(point(qts, true), >, first);
    reply = go_live(qts, first);
    said = qdict_get_str(qdict_get_qdict(reply, "error"), "desc");
    g_assert(g_str_has_prefix(said, "pbkvm-go-live: there is no such live "
                              "point: query-pbkvm lists them; what was written "
                              "to disks since event "));
    g_assert(g_str_has_suffix(said, "was more than live-undo=262144 bytes"));
    qobject_unref(reply);

    memset(d.was, 0x22, 128 * KIB);
    go_back(qts);
    assert_disk(&d, true);
    freeze_before(qts, 0x11, 0x22);
    io(qts, VIRTIO, "write -q -P 0x44 0 512k");
    g_assert_cmpint(query_part(qts, "live", "disk-bytes"), ==, 0);
    qtest_quit(qts);
    drop_disk(&d);
}

static void assert_strange(QTestState *qts)
{
    g_autofree char *refused = g_strdup_printf(
        "pbkvm-go-live: a disk cannot be put back to what it held at event %"
        PRId64 ": it was exchanged, resized, or written by somebody else than "
        "the guest, or put back further", point(qts, true));

    assert_error(go_live(qts, 0), refused);
    await_point_behind(qts, query_number(qts, "events-written"));
    went_live(go_live(qts, point(qts, false)));
    go_on(qts);
    assert_equal(qts);
}

/* By somebody else, whom the guest's device lets write; and made larger. */
static void test_strange(void)
{
    Disk d;
    QTestState *qts;

    make_disk(&d);
    qts = start_with(&d, "", "virtio-blk-pci,share-rw=on");
    freeze_before(qts, 0x11, 0x22);
    io(qts, "n", "write -q 0 512");
    assert_strange(qts);
    freeze_before(qts, 0x11, 0x22);
    qtest_qmp_assert_success(qts, "{ 'execute': 'block_resize', 'arguments': "
                             "{ 'node-name': 'n', 'size': %d } }",
                             2 * DISK_SIZE);
    assert_strange(qts);
    qtest_quit(qts);
    drop_disk(&d);
}

/* What cannot be put back is not told in a file, either. */
static void test_strange_file(void)
{
    static const char device[] = "virtio-blk-pci,share-rw=on";
    g_autofree char *file = g_strdup_printf("%s/pbkvm-undo-%d.pbkvm",
                                            g_get_tmp_dir(), getpid());
    g_autofree char *options = NULL;
    Disk d;
    QTestState *qts;

    make_disk(&d);
    qts = start_with(&d, "", device);
    freeze_before(qts, 0x11, 0x22);
    io(qts, "n", "write -q 0 512");
    save_evidence(qts, file);
    qtest_quit(qts);
    options = with(&d, device);
    qts = replay(file, options);
    assert_error(go_live(qts, 0), "pbkvm-go-live: the machine that was saved "
                 "has a disk that can be written, and what it held then could "
                 "not be told in the file");
    qtest_quit(qts);
    unlink(file);
    drop_disk(&d);
}

static QTestState *start_bad(const Disk *d, const char *requests)
{
    g_autofree char *options = g_strdup_printf(
        ",live-interval=50 -blockdev blkdebug,node-name=n,image.driver=file,"
        "image.filename=%s,inject-error.0.event=none,inject-error.0.iotype=%s "
        "-device virtio-blk-pci,id=disk,drive=n", d->file, requests);

    return start(options);
}

/* What it held cannot be read: so it cannot be put back. */
static void test_unreadable(void)
{
    Disk d;
    QTestState *qts;

    make_disk(&d);
    qts = start_bad(&d, "read");
    freeze_before(qts, 0x11, 0x22);
    io(qts, VIRTIO, "write -q 0 512");
    assert_strange(qts);
    qtest_quit(qts);
    drop_disk(&d);
}

/* Zeroes cannot be written, as it held: at first, then they can. */
static void test_unwritable(void)
{
    Disk d;
    QTestState *qts;

    make_disk(&d);
    qts = start_bad(&d, "write-zeroes,inject-error.0.once=on");
    freeze_before(qts, 0x11, 0x22);
    io(qts, VIRTIO, "write -q 0 1k");
    io(qts, VIRTIO, "write -q 3M 4k");
    io(qts, VIRTIO, "write -q 512 1k");
    assert_error(go_live(qts, 0), "pbkvm-go-live: "
                 "/machine/peripheral/disk/virtio-backend cannot be put back "
                 "to what it held, 4096 bytes at 3145728: mend that, then "
                 "again: Input/output error");
    assert_error(qtest_qmp(qts, "{ 'execute': 'cont' }"), "pbkvm: disks were "
                 "put back but in part: expected another pbkvm-go-live");
    assert_disk(&d, false);
    go_back(qts);
    assert_disk(&d, true);
    qtest_quit(qts);
    drop_disk(&d);
}

int main(int argc, char **argv)
{
    int ret;

    g_test_init(&argc, &argv, NULL);
    rom_file = make_rom(rom_code, sizeof(rom_code));
    qtest_add_func("/pbkvm/undo/virtio", test_virtio);
    qtest_add_func("/pbkvm/undo/ide", test_ide);
    qtest_add_func("/pbkvm/undo/again", test_again);
    qtest_add_func("/pbkvm/undo/forgets", test_forgets);
    qtest_add_func("/pbkvm/undo/full", test_full);
    qtest_add_func("/pbkvm/undo/strange", test_strange);
    qtest_add_func("/pbkvm/undo/strange-file", test_strange_file);
    qtest_add_func("/pbkvm/undo/unreadable", test_unreadable);
    qtest_add_func("/pbkvm/undo/unwritable", test_unwritable);
    ret = g_test_run();
    unlink(rom_file);
    return ret;
}
