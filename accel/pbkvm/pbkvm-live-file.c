/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-live-file.c: live points go into an evidence file, and come out of one
 * in a machine that must be like the one that was saved.
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qapi/error.h"
#include "hw/boards.h"
#include "hw/qdev-core.h"

#include "backup-inspect.h"
#include "pbkvm.h"

/* ---- what the machine is made of ---- */

static int note_device(Object *obj, void *opaque)
{
    GPtrArray *found = opaque;

    if (object_dynamic_cast(obj, TYPE_DEVICE)) {
        g_autofree char *path = object_get_canonical_path(obj);

        g_ptr_array_add(found, g_strdup_printf("%s at %s",
                                               object_get_typename(obj),
                                               path));
    }
    return 0;
}

static int in_order(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* All devices, each as "TYPE at PATH"; to be freed with g_strfreev(). */
static char **list_devices(void)
{
    GPtrArray *found = g_ptr_array_new();

    object_child_foreach_recursive(qdev_get_machine(), note_device, found);
    g_ptr_array_sort(found, in_order);
    g_ptr_array_add(found, NULL);
    return (char **)g_ptr_array_free(found, false);
}

/* ---- into a file ---- */

/* Whether what they held is told; @now: pbkvm_undo_disks(). */
static PbPointDisks disks_of(const PbkvmPoint *p, bool told, uint64_t now)
{
    if (!p->writable) {
        return PB_POINT_NO_DISK;
    }
    return told && p->disks == now ? PB_POINT_DISKS : PB_POINT_DISKS_UNKNOWN;
}

unsigned pbkvm_live_save(PbkvmState *s, bool disks, PbPointData **points,
                         char **list)
{
    const GArray *from = s->live.points;
    g_auto(GStrv) devices = list_devices();
    g_autofree char *lines = g_strjoinv("\n", devices);
    uint64_t now = pbkvm_undo_disks(s);
    unsigned i, n = from ? from->len : 0;

    *list = g_strconcat(lines, "\n", NULL);
    *points = g_new0(PbPointData, n);
    for (i = 0; i < n; i++) {
        const PbkvmPoint *p = &g_array_index(from, PbkvmPoint, i);
        gsize len;

        (*points)[i].devices = g_bytes_get_data(p->devices, &len);
        (*points)[i].list = (uint8_t *)*list;
        (*points)[i].head = (PbEvidencePoint) {
            .event = p->event, .time_ns = p->time,
            .list = strlen(*list), .devices = len,
            .disks = disks_of(p, disks, now),
            .undo = disks ? pbkvm_undo_place(s) - p->place : 0,
        };
    }
    return n;
}

/* ---- out of one ---- */

void pbkvm_live_open(PbkvmState *s)
{
    const PbEvidence *e = s->replay.evidence;
    unsigned i;

    pbkvm_live_init(s);
    for (i = 0; i < e->points; i++) {
        const PbEvidencePoint *h = &e->point[i].head;
        PbkvmPoint p = {
            .event = h->event, .time = h->time_ns,
            .place = e->undos - h->undo,
            .devices = g_bytes_new(e->point[i].devices, h->devices),
        };

        pbkvm_live_add(s, &p);
    }
}

/* The first difference, if there is one. */
static bool same_devices(const PbPointData *p, Error **errp)
{
    g_autofree char *text = g_strndup((char *)p->list, p->head.list - 1);
    g_auto(GStrv) saved = g_strsplit(text, "\n", -1), mine = list_devices();
    unsigned i = 0;
    bool more;

    while (saved[i] && mine[i] && !strcmp(saved[i], mine[i])) {
        i++;
    }
    if (!saved[i] && !mine[i]) {
        return true;
    }
    more = !saved[i] || (mine[i] && strcmp(mine[i], saved[i]) < 0);
    error_setg(errp, "pbkvm-go-live: %s has %s, %s has not: open the file "
               "with the options of the machine that was saved",
               more ? "this machine" : "the machine that was saved",
               more ? mine[i] : saved[i],
               more ? "the one that was saved" : "this one");
    return false;
}

static bool same_memory(const PbMem *mine, const PbMem *saved, Error **errp)
{
    unsigned i;

    for (i = 0; i < mine->blocks || i < saved->blocks; i++) {
        const PbBlock *a = &mine->block[i], *b = &saved->block[i];

        if (i >= mine->blocks || i >= saved->blocks || a->size != b->size ||
            strcmp(a->name, b->name)) {
            error_setg(errp, "pbkvm-go-live: memory of the machine that was "
                       "saved: %s, %" PRIu64 " bytes; of this one: %s, %"
                       PRIu64, b->name, b->size, a->name, a->size);
            return false;
        }
    }
    return true;
}

static bool same_cpuid(const struct kvm_cpuid2 *mine,
                       const struct kvm_cpuid2 *saved, Error **errp)
{
    unsigned i;

    for (i = 0; i < saved->nent; i++) {
        if (i >= mine->nent || memcmp(&mine->entries[i], &saved->entries[i],
                                      sizeof(saved->entries[i]))) {
            error_setg(errp, "pbkvm-go-live: the CPU of the machine that was "
                       "saved is another one, from CPUID 0x%x on: open the "
                       "file with its -cpu and -smp",
                       saved->entries[i].function);
            return false;
        }
    }
    return true;
}

static bool same_cpus(PbkvmState *s, Error **errp)
{
    unsigned i;

    for (i = 0; i < s->cpus.n; i++) {
        g_autofree struct kvm_cpuid2 *mine = pbkvm_get_cpuid(s->each[i], errp);

        if (!mine || !same_cpuid(mine, s->replay.evidence->cpuid[i], errp)) {
            return false;
        }
    }
    return true;
}

bool pbkvm_live_fits(PbkvmState *s, uint64_t event, Error **errp)
{
    const PbEvidence *e = s->replay.evidence;
    const PbPointData *p = e->point;

    while (p->head.event != event) {
        p++;
    }
    if (p->head.disks == PB_POINT_DISKS_UNKNOWN) {
        error_setg(errp, "pbkvm-go-live: the machine that was saved has a "
                   "disk that can be written, and what it held then could not "
                   "be told in the file");
        return false;
    }
    return pbkvm_memory_start(s, errp) && same_devices(p, errp) &&
           same_memory(&s->mem, &e->mem, errp) && same_cpus(s, errp);
}
