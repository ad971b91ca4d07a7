/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pbkvm-evidence.c: evidence files in QEMU. */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-pbkvm-target.h"

#include "backup-save.h"
#include "pbkvm.h"
#include "spill-file.h"

#define ERROR_LEN 1024

/* ---- saving ---- */

bool pbkvm_save(PbkvmState *s, const char *file, PbEvidenceWritten *written,
                Error **errp)
{
    PbSaveOptions o = {
        .program = "pbkvm, QEMU " QEMU_VERSION,
        .machine = MACHINE_GET_CLASS(current_machine)->name,
    };
    g_autofree char *why = g_malloc0(ERROR_LEN), *list = NULL;
    g_autofree PbPointData *points = NULL;
    PbkvmUndoSaved disks;
    bool told, ok;

    if (s->replay.file) {
        error_setg(errp, "this is a replay of %s: copy that file",
                   s->replay.file);
        return false;
    }
    pbkvm_inspect_flush(s);
    pbkvm_hand_over(s);
    told = pbkvm_undo_save(s, &disks);
    o.points = pbkvm_live_save(s, told, &points, &list);
    o.point = points;
    o.disk = (PbEvidenceDisk *)disks.disk->data;
    o.disks = disks.disk->len;
    o.undo = (PbUndoData *)disks.undo->data;
    o.undos = disks.undo->len;
    ok = pb_backup_save(s->backup, file, &o, written, why, ERROR_LEN);
    if (!ok) {
        error_setg(errp, "%s", why);
    }
    pbkvm_undo_saved(s, &disks);
    return ok;
}

void pbkvm_save_panicked(PbkvmState *s)
{
    PbEvidenceWritten w;
    Error *err = NULL;

    if (!s->evidence || !s->backup) {
        return;
    }
    if (pbkvm_save(s, s->evidence, &w, &err)) {
        info_report("pbkvm: the Backup before the panic is in %s: -accel "
                    "pbkvm,replay=%s opens it", s->evidence, s->evidence);
    } else {
        error_reportf_err(err, "pbkvm: ");
    }
}

PbkvmEvidence *qmp_pbkvm_save_evidence(const char *filename, Error **errp)
{
    PbkvmState *s = pbkvm_get_backup(errp);
    PbEvidenceWritten w;
    PbkvmEvidence *q;

    if (!s || !pbkvm_save(s, filename, &w, errp)) {
        return NULL;
    }
    q = g_new0(PbkvmEvidence, 1);
    q->bytes = w.bytes;
    q->ram_bytes = w.pages * PB_EVIDENCE_PAGE;
    q->events = w.events;
    q->last_event = w.last_seq;
    q->live_points = w.points;
    return q;
}

/* ---- options ---- */

static char *get_replay(Object *obj, Error **errp)
{
    return g_strdup(PBKVM_ACCEL(obj)->replay.file);
}

static void set_replay(Object *obj, const char *value, Error **errp)
{
    PbkvmState *s = PBKVM_ACCEL(obj);

    if (s->backup) {
        error_setg(errp, "pbkvm's options cannot change while it runs");
        return;
    }
    g_free(s->replay.file);
    s->replay.file = g_strdup(value);
}

static char *get_evidence(Object *obj, Error **errp)
{
    return g_strdup(PBKVM_ACCEL(obj)->evidence);
}

/* At any time: it is looked at when the guest panics. */
static void set_evidence(Object *obj, const char *value, Error **errp)
{
    PbkvmState *s = PBKVM_ACCEL(obj);

    g_free(s->evidence);
    s->evidence = value[0] ? g_strdup(value) : NULL;
}

/* By making a file of that name, which is gone at once. */
bool pbkvm_evidence_check(const PbkvmState *s, Error **errp)
{
    char why[200];
    int fd;

    if (!s->evidence) {
        return true;
    }
    fd = pb_spill_file_open(s->evidence, why, sizeof(why));
    if (fd < 0) {
        error_setg(errp, "pbkvm: evidence=%s: %s", s->evidence, why);
        return false;
    }
    close(fd);
    return true;
}

void pbkvm_evidence_class_init(ObjectClass *oc)
{
    object_class_property_add_str(oc, "evidence", get_evidence,
                                  set_evidence);
    object_class_property_set_description(oc, "evidence",
        "Save the Backup to this new file when the guest panics");
    object_class_property_add_str(oc, "replay", get_replay, set_replay);
    object_class_property_set_description(oc, "replay",
        "Debug the Backup of this evidence file; the machine itself does not "
        "run");
}
