/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-disks-test.c: devices that write guest memory: SeaBIOS boots from each
 * disk controller it knows, and what it starts reads on and looks at what it
 * got, also when it is put back to where it was while it read; or erases and
 * programs the flash that SeaBIOS came from.
 */
#include "qemu/osdep.h"
#include "pbkvm-boot.h"

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

/* A block of flash and a byte in it, again and again, with another byte. */
static const uint8_t flash_sector[] = {
    0xfa,                           /*       cli */
    0x31, 0xc0,                     /*       xor %ax,%ax */
    0x8e, 0xd8,                     /*       mov %ax,%ds */
    0x0f, 0x01, 0x16, 0x5d, 0x7c,   /*       lgdt gdtr */
    0x0f, 0x20, 0xc0,               /*       mov %cr0,%eax */
    0x0c, 0x01,                     /*       or $1,%al */
    0x0f, 0x22, 0xc0,               /*       mov %eax,%cr0 */
    0xbb, 0x08, 0x00,               /*       mov $8,%bx */
    0x8e, 0xc3,                     /*       mov %bx,%es: all 4 GiB */
    0x24, 0xfe,                     /*       and $0xfe,%al */
    0x0f, 0x22, 0xc0,               /*       mov %eax,%cr0 */
    0x66, 0xbf, 0, 0, 0xfc, 0xff,   /*       mov $0xfffc0000,%edi */
    0x26, 0x67, 0xc6, 0x07, 0x20,   /* again: movb $0x20,%es:(%edi) */
    0x26, 0x67, 0xc6, 0x07, 0xd0,   /*       movb $0xd0,%es:(%edi): erase */
    0x26, 0x67, 0xc6, 0x07, 0xff,   /*       movb $0xff,%es:(%edi): read */
    0xb0, 'E',                      /*       mov $'E',%al */
    0x26, 0x67, 0x80, 0x7f, 0x10, 0xff, /*   cmpb $0xff,%es:16(%edi) */
    0x75, 0x1b,                     /*       jne say */
    0x26, 0x67, 0xc6, 0x47, 0x10, 0x40, /*   movb $0x40,%es:16(%edi) */
    0x26, 0x67, 0x88, 0x4f, 0x10,   /*       mov %cl,%es:16(%edi): program */
    0x26, 0x67, 0xc6, 0x07, 0xff,   /*       movb $0xff,%es:(%edi): read */
    0xb0, '!',                      /*       mov $'!',%al */
    0x26, 0x67, 0x38, 0x4f, 0x10,   /*       cmp %cl,%es:16(%edi) */
    0x75, 0x02,                     /*       jne say */
    0xb0, '.',                      /*       mov $'.',%al */
    0xba, 0xf8, 0x03,               /* say:  mov $0x3f8,%dx */
    0xee,                           /*       out %al,%dx */
    0x41,                           /*       inc %cx */
    0xeb, 0xc5,                     /*       jmp again */
    0x0f, 0, 0x63, 0x7c, 0, 0,      /* gdtr */
    0, 0, 0, 0, 0, 0, 0, 0,         /* gdt */
    0xff, 0xff, 0, 0, 0, 0x92, 0xcf, 0,
};

typedef struct Disk {
    const char *name;
    const char *args;
    bool cannot_be_saved;     /* by QEMU */
} Disk;

/* Their state is saved very often, whatever they are about to do. */
#define LIVE ",live-interval=10"

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
    { "nvme", "-nic none -device nvme,serial=1,drive=d", true },
    { "lsi53c895a", "-nic none -device lsi53c895a -device scsi-hd,drive=d" },
    { "mptsas1068", "-nic none -device mptsas1068 -device scsi-hd,drive=d" },
    { "pvscsi", "-nic none -device pvscsi -device scsi-hd,drive=d" },
    { "usb", "-nic none -device qemu-xhci -device usb-storage,drive=d" },
    /* And the network card that QEMU adds unless told otherwise. */
    { "beside-network", "-device virtio-blk-pci,drive=d" },
};

/* There may be no point before the Backup yet. */
static bool went_live(QTestState *qts)
{
    QDict *reply = qtest_qmp(qts, "{ 'execute': 'pbkvm-go-live' }");
    bool went = qdict_haskey(reply, "return");

    if (!went) {
        g_assert_nonnull(strstr(qdict_get_str(qdict_get_qdict(reply, "error"),
                                              "desc"),
                                "there is no such live point"));
    }
    qobject_unref(reply);
    return went;
}

/* From its past on, amid what it reads. */
static void live_on(QTestState *qts)
{
    gint64 until = g_get_monotonic_time() + PATIENCE_US;

    for (;;) {
        qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-freeze' }");
        if (went_live(qts)) {
            break;
        }
        g_assert_cmpint(g_get_monotonic_time(), <, until);
        qtest_qmp_assert_success(qts, "{ 'execute': 'pbkvm-thaw' }");
        g_usleep(10 * 1000);
    }
    qtest_qmp_assert_success(qts, "{ 'execute': 'cont' }");
    assert_works(qts);
}

static void test_disk(const void *opaque)
{
    const Disk *d = opaque;
    g_autofree char *disk = make_disk(boot_sector, sizeof(boot_sector));
    QTestState *qts = boot_from(disk, d->cannot_be_saved ? "" : LIVE, d->args);

    assert_works(qts);
    if (!d->cannot_be_saved) {
        live_on(qts);
        live_on(qts);
    }
    qtest_quit(qts);
    g_unlink(disk);
}

/* SeaBIOS, in a file of its own. */
static char *make_flash(void)
{
    g_autofree char *dir = g_path_get_dirname(g_getenv("QTEST_QEMU_BINARY"));
    g_autofree char *bios = g_build_filename(dir, "..", "firmware",
                                             "bios-256k.bin", NULL);
    g_autofree char *data = NULL;
    g_autoptr(GError) err = NULL;
    char *path;
    gsize len;
    int fd;

    g_file_get_contents(bios, &data, &len, &err);
    g_assert_no_error(err);
    fd = g_file_open_tmp("pbkvm-flash-XXXXXX", &path, &err);
    g_assert_no_error(err);
    g_assert_cmpint(write(fd, data, len), ==, len);
    close(fd);
    return path;
}

static void test_flash(void)
{
    g_autofree char *disk = make_disk(flash_sector, sizeof(flash_sector));
    g_autofree char *flash = make_flash();
    g_autofree char *args =
        g_strdup_printf("-nic none -device ide-hd,drive=d "
                        "-drive if=pflash,format=raw,file=%s", flash);
    QTestState *qts = boot_from(disk, LIVE, args);

    assert_works(qts);
    qtest_quit(qts);
    g_unlink(disk);
    g_unlink(flash);
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
    qtest_add_func("/pbkvm/disks/flash", test_flash);
    return g_test_run();
}
