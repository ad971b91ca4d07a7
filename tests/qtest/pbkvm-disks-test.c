/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-disks-test.c: devices that write guest memory beside the vCPU: SeaBIOS
 * boots from each disk controller it knows, and what it starts reads on and
 * looks at what it got.
 */
#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "qemu/bswap.h"
#include "pbkvm-query.h"

#define SECTOR 512
/* Less is no cylinder. */
#define SECTORS 4096

/* It has worked when the guest says so often. */
#define READS 20

/* Eight sectors, again and again; each word of a sector must be its number. */
static const uint8_t boot_sector[] = {
    0x31, 0xc0,                     /*       xor %ax,%ax */
    0x8e, 0xd8,                     /*       mov %ax,%ds */
    0x8e, 0xd0,                     /*       mov %ax,%ss */
    0xbc, 0x00, 0x7c,               /*       mov $0x7c00,%sp */
    0xb8, 0x00, 0x10,               /*       mov $0x1000,%ax */
    0x8e, 0xc0,                     /*       mov %ax,%es */
    0xb4, 0x42,                     /* again: mov $0x42,%ah */
    0xbe, 0x43, 0x7c,               /*       mov $packet,%si */
    0xcd, 0x13,                     /*       int $0x13 */
    0xb0, 'E',                      /*       mov $'E',%al */
    0x72, 0x19,                     /*       jc say */
    0x8b, 0x1e, 0x4b, 0x7c,         /*       mov lba,%bx */
    0xb0, '!',                      /*       mov $'!',%al */
    0x26, 0x3b, 0x1e, 0x00, 0x00,   /*       cmp %es:0,%bx */
    0x75, 0x0c,                     /*       jne say */
    0x83, 0xc3, 0x07,               /*       add $7,%bx */
    0x26, 0x3b, 0x1e, 0xfe, 0x0f,   /*       cmp %es:8*512-2,%bx */
    0x75, 0x02,                     /*       jne say */
    0xb0, '.',                      /*       mov $'.',%al */
    0x52,                           /* say:  push %dx */
    0xba, 0xf8, 0x03,               /*       mov $0x3f8,%dx */
    0xee,                           /*       out %al,%dx */
    0x5a,                           /*       pop %dx */
    0xfe, 0x06, 0x4b, 0x7c,         /*       incb lba */
    0x80, 0x0e, 0x4b, 0x7c, 0x01,   /*       orb $1,lba */
    0xeb, 0xcb,                     /*       jmp again */
    0x10, 0, 8, 0, 0, 0, 0, 0x10,   /* packet: 8 sectors to 0x1000:0 */
    1, 0, 0, 0, 0, 0, 0, 0,         /* lba:  from the one with this number */
};

typedef struct Disk {
    const char *name;
    const char *args;
} Disk;

static const Disk disks[] = {
    { "ide", "-nic none -device ide-hd,drive=d" },
    { "virtio-blk", "-nic none -device virtio-blk-pci,drive=d" },
    { "virtio-blk-modern", "-nic none "
      "-device virtio-blk-pci,disable-legacy=on,packed=on,drive=d" },
    { "virtio-scsi", "-nic none -device virtio-scsi-pci "
      "-device scsi-hd,drive=d" },
    { "ahci", "-nic none -device ahci,id=sata "
      "-device ide-hd,bus=sata.0,drive=d" },
    { "q35", "-machine q35 -nic none -device ide-hd,bus=ide.0,drive=d" },
    { "nvme", "-nic none -device nvme,serial=1,drive=d" },
    { "lsi53c895a", "-nic none -device lsi53c895a -device scsi-hd,drive=d" },
    { "mptsas1068", "-nic none -device mptsas1068 -device scsi-hd,drive=d" },
    { "pvscsi", "-nic none -device pvscsi -device scsi-hd,drive=d" },
    { "usb", "-nic none -device qemu-xhci -device usb-storage,drive=d" },
    /* And the network card that QEMU adds unless told otherwise. */
    { "beside-network", "-device virtio-blk-pci,drive=d" },
};

static char *make_disk(void)
{
    g_autofree uint16_t *words = g_malloc0(SECTORS * SECTOR);
    g_autoptr(GError) err = NULL;
    char *path;
    size_t i;
    int fd = g_file_open_tmp("pbkvm-disk-XXXXXX", &path, &err);

    for (i = 0; i < SECTORS * SECTOR / 2; i++) {
        words[i] = cpu_to_le16(i * 2 / SECTOR);
    }
    memset(words, 0, SECTOR);
    memcpy(words, boot_sector, sizeof(boot_sector));
    words[SECTOR / 2 - 1] = cpu_to_le16(0xaa55);
    g_assert_no_error(err);
    g_assert_cmpint(write(fd, words, SECTORS * SECTOR), ==, SECTORS * SECTOR);
    close(fd);
    return path;
}

/* What the guest has printed since the last time. */
static char *printed(QTestState *qts)
{
    QDict *reply = qtest_qmp(qts, "{ 'execute': 'ringbuf-read', 'arguments': "
                             "{ 'device': 'line', 'size': 4096 } }");
    char *text = g_strdup(qdict_get_str(reply, "return"));

    qobject_unref(reply);
    return text;
}

/* Until the guest has said READS times that it got the right sectors. */
static void wait_for_reads(QTestState *qts)
{
    gint64 until = g_get_monotonic_time() + PATIENCE_US;
    size_t right = 0;

    while (right < READS) {
        g_autofree char *text = printed(qts);
        size_t n = strspn(text, ".");

        g_assert_cmpstr(text + n, ==, "");
        g_assert_cmpint(g_get_monotonic_time(), <, until);
        right += n;
    }
}

static void test_disk(const void *opaque)
{
    const Disk *d = opaque;
    g_autofree char *disk = make_disk();
    QTestState *qts;

    qts = qtest_initf("-accel pbkvm,lag=50 -m 32 -vga none "
                      "-chardev ringbuf,id=line,size=4096 "
                      "-serial chardev:line "
                      "-drive if=none,id=d,format=raw,file=%s %s", disk,
                      d->args);
    wait_for_reads(qts);
    assert_equal(qts);
    assert_status(qts, "running");
    qtest_quit(qts);
    g_unlink(disk);
}

int main(int argc, char **argv)
{
    size_t i;

    g_test_init(&argc, &argv, NULL);
    for (i = 0; i < G_N_ELEMENTS(disks); i++) {
        g_autofree char *path = g_strdup_printf("/pbkvm/disks/%s",
                                                disks[i].name);

        qtest_add_data_func(path, &disks[i], test_disk);
    }
    return g_test_run();
}
