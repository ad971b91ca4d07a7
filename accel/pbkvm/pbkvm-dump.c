/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-dump.c: QEMU's own memory dump, of the Backup: an ELF core for gdb
 * and crash.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-dump.h"
#include "qapi/qapi-commands-pbkvm-target.h"
#include "elf.h"
#include "hw/core/cpu.h"
#include "hw/misc/vmcoreinfo.h"
#include "system/memory_mapping.h"

#include "backup-inspect.h"
#include "pbkvm.h"
#include "pbkvm-dump.h"

#define PAGE 4096

/* What Linux calls its note, and what the note begins with. */
#define NOTE_NAME "VMCOREINFO"
#define NOTE_TEXT "OSRELEASE="
#define NOTE_MAX  PAGE

/* ---- the guest's note ---- */

/* The size of the note at @gpa, or 0 if there is none. */
static uint32_t note_at(const PbMem *m, uint64_t gpa)
{
    const uint32_t name_size = ROUND_UP(sizeof(NOTE_NAME), 4);
    const uint32_t head_size = sizeof(Elf32_Nhdr) + name_size;
    const char *p = pb_mem_at(m, gpa, head_size + strlen(NOTE_TEXT));
    Elf32_Nhdr head;

    if (!p) {
        return 0;
    }
    memcpy(&head, p, sizeof(head));
    if (head.n_namesz != sizeof(NOTE_NAME) || head.n_descsz > NOTE_MAX ||
        memcmp(p + sizeof(head), NOTE_NAME, sizeof(NOTE_NAME)) ||
        memcmp(p + head_size, NOTE_TEXT, strlen(NOTE_TEXT)) ||
        !pb_mem_at(m, gpa, head_size + ROUND_UP(head.n_descsz, 4))) {
        return 0;
    }
    return head_size + ROUND_UP(head.n_descsz, 4);
}

/*
 * Where the guest has told its vmcoreinfo device, or else the first page of
 * RAM that begins as Linux's note does: in a replay the device was told
 * nothing, and the Backup may stand before that moment.
 */
static bool find_note(const PbMem *m, uint64_t *gpa, uint32_t *size)
{
    const VMCoreInfoState *device = vmcoreinfo_find();
    unsigned i;

    if (device && device->has_vmcoreinfo) {
        *gpa = le64_to_cpu(device->vmcoreinfo.paddr);
        *size = note_at(m, *gpa);
        if (*size) {
            return true;
        }
    }
    for (i = 0; i < PB_MEM_MAX_SLOTS; i++) {
        const PbSlotChange *s = &m->slot[i];

        for (*gpa = s->gpa; *gpa - s->gpa < s->size; *gpa += PAGE) {
            *size = note_at(m, *gpa);
            if (*size) {
                return true;
            }
        }
    }
    return false;
}

/* ---- what QEMU's dump is told ---- */

static int by_address(const void *a, const void *b)
{
    const PbSlotChange *x = *(const PbSlotChange **)a;
    const PbSlotChange *y = *(const PbSlotChange **)b;

    return x->gpa < y->gpa ? -1 : x->gpa > y->gpa;
}

/* Its note as a device would have been told it. */
static VMCoreInfoState *note_of(const PbMem *m)
{
    static VMCoreInfoState state;
    uint32_t size;
    uint64_t gpa;

    if (!find_note(m, &gpa, &size)) {
        return NULL;
    }
    state.has_vmcoreinfo = true;
    state.vmcoreinfo.guest_format = cpu_to_le16(FW_CFG_VMCOREINFO_FORMAT_ELF);
    state.vmcoreinfo.size = cpu_to_le32(size);
    state.vmcoreinfo.paddr = cpu_to_le64(gpa);
    return &state;
}

/* @slot goes on where @b ends, in the guest's memory and in the host's. */
static bool continues(const GuestPhysBlock *b, const PbSlotChange *slot,
                      const uint8_t *host)
{
    return b && b->target_end == slot->gpa &&
           b->host_addr + (b->target_end - b->target_start) == host;
}

/*
 * DumpGuest.memory: the Backup's, in the order of its addresses.  What hangs
 * together must be one block, or QEMU takes a mapping of both for one of the
 * first alone.
 */
static void list_memory(GuestPhysBlockList *list)
{
    const PbMem *m = pb_backup_mem(pbkvm_state()->backup);
    const PbSlotChange *slot[PB_MEM_MAX_SLOTS];
    GuestPhysBlock *b = NULL;
    unsigned i, n = 0;

    for (i = 0; i < PB_MEM_MAX_SLOTS; i++) {
        if (m->slot[i].size) {
            slot[n++] = &m->slot[i];
        }
    }
    qsort(slot, n, sizeof(slot[0]), by_address);
    for (i = 0; i < n; i++) {
        uint8_t *host = m->block[slot[i]->block].host + slot[i]->offset;

        if (!continues(b, slot[i], host)) {
            b = g_new0(GuestPhysBlock, 1);
            b->target_start = slot[i]->gpa;
            b->host_addr = host;
            QTAILQ_INSERT_TAIL(&list->head, b, next);
            list->num++;
        }
        b->target_end = slot[i]->gpa + slot[i]->size;
    }
    dump_guest.note = note_of(m);
}

void pbkvm_dump_init(PbkvmState *s)
{
    /* In a replay there is no Primary to be dumped. */
    dump_guest.cpu = s->replay.file ? s->inspect->cpu[0] : first_cpu;
    dump_guest.memory = s->replay.file ? list_memory : NULL;
}

/* ---- the command ---- */

/* The file is new, and QEMU writes it; it is gone again if that fails. */
static bool dump(const char *filename, bool paging, Error **errp)
{
    g_autofree char *protocol = g_strdup_printf("file:%s", filename);
    int fd = open(filename, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    Error *err = NULL;

    if (fd < 0 && errno == EEXIST) {
        error_setg(errp, "%s is there already and is not overwritten: name "
                   "another file", filename);
        return false;
    }
    if (fd < 0) {
        error_setg_file_open(errp, errno, filename);
        return false;
    }
    close(fd);
    qmp_dump_guest_memory(paging, protocol, false, false, false, 0, false, 0,
                          false, 0, &err);
    if (err) {
        unlink(filename);
        error_propagate(errp, err);
        return false;
    }
    return true;
}

PbkvmDump *qmp_pbkvm_dump_guest_memory(const char *filename, bool has_paging,
                                       bool paging, Error **errp)
{
    PbkvmState *s = pbkvm_get_backup(errp);
    PbkvmDump *q;
    struct stat st;
    bool ok;

    if (!s) {
        return NULL;
    }
    if (pb_backup_status(s->backup) == PB_BACKUP_RUNNING) {
        error_setg(errp, "the Backup must stand to be dumped, it is running: "
                   "pbkvm-freeze");
        return NULL;
    }
    dump_guest = (DumpGuest) {
        .cpu = s->inspect->cpu[0], .memory = list_memory,
    };
    ok = dump(filename, !has_paging || paging, errp);
    q = ok ? g_new0(PbkvmDump, 1) : NULL;
    if (ok) {
        q->bytes = stat(filename, &st) == 0 ? st.st_size : 0;
        q->vmcoreinfo = dump_guest.note != NULL;
    }
    dump_guest = (DumpGuest) { };
    pbkvm_dump_init(s);
    return q;
}
