/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pbkvm-evidence.c: evidence files in QEMU. */
#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-pbkvm-target.h"
#include "hw/core/cpu.h"
#include "system/runstate.h"
#include "system/system.h"

#include "backup-save.h"
#include "evidence-host.h"
#include "pb-host.h"
#include "pbkvm.h"
#include "spill-file.h"

/* A Backup on its way is looked after this often. */
#define POKE_MS 100

#define ERROR_LEN 1024

/* ---- saving ---- */

bool pbkvm_save(PbkvmState *s, const char *file, PbEvidenceWritten *written,
                Error **errp)
{
    PbSaveOptions o = {
        .program = "pbkvm, QEMU " QEMU_VERSION,
        .machine = MACHINE_GET_CLASS(current_machine)->name,
    };
    g_autofree char *why = g_malloc0(ERROR_LEN);

    if (s->replay.file) {
        error_setg(errp, "this is a replay of %s: copy that file",
                   s->replay.file);
        return false;
    }
    pbkvm_inspect_flush(s);
    pbkvm_hand_over(s);
    if (!pb_backup_save(s->backup, file, &o, written, why, ERROR_LEN)) {
        error_setg(errp, "%s", why);
        return false;
    }
    return true;
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

/* ---- opening ---- */

static bool check_host(PbkvmState *s, Error **errp)
{
    g_autofree char *text = g_malloc0(ERROR_LEN);
    PbEvidenceHost host;
    int ret, fd = pb_kvm_open(text, ERROR_LEN);
    bool ok;

    if (fd < 0) {
        error_setg(errp, "pbkvm cannot use KVM here: %s", text);
        return false;
    }
    ret = pb_evidence_host(fd, &host);
    close(fd);
    if (ret < 0) {
        error_setg_errno(errp, -ret, "pbkvm: KVM_GET_SUPPORTED_CPUID");
        return false;
    }
    ok = pb_evidence_check_host(&s->replay.evidence->info,
                                s->replay.evidence->cpuid, &host,
                                s->check.uarch, text, ERROR_LEN);
    pb_evidence_host_free(&host);
    if (!ok) {
        error_setg(errp, "pbkvm: %s cannot be replayed on this host: %s",
                   s->replay.file, text);
    } else if (text[0]) {
        warn_report("pbkvm: %s: %s", s->replay.file, text);
    }
    return ok;
}

static uint64_t ram_size_of(const PbMem *mem, const char *name)
{
    unsigned i;

    for (i = 0; i < mem->blocks; i++) {
        if (!strcmp(mem->block[i].name, name)) {
            return mem->block[i].size;
        }
    }
    return 0;
}

/* A debugger looks at the Backup through this machine. */
static bool check_machine(PbkvmState *s, MachineState *ms, Error **errp)
{
    const PbEvidence *e = s->replay.evidence;
    const MachineClass *mc = MACHINE_GET_CLASS(ms);
    uint64_t size = mc->default_ram_id
                    ? ram_size_of(&e->mem, mc->default_ram_id) : 0;

    if (e->info.machine[0] && strcmp(e->info.machine, mc->name)) {
        error_setg(errp, "pbkvm: %s is of a machine of type %s, this one is "
                   "%s", s->replay.file, e->info.machine, mc->name);
        error_append_hint(errp, "Use -machine %s.\n", e->info.machine);
        return false;
    }
    if (size && size != ms->ram_size) {
        g_autofree char *wants = size_to_str(size);
        g_autofree char *has = size_to_str(ms->ram_size);

        error_setg(errp, "pbkvm: %s is of a machine with %s of RAM, this one "
                   "has %s", s->replay.file, wants, has);
        error_append_hint(errp, "Use -m %" PRIu64 "%s.\n",
                          size % MiB ? size / KiB : size / MiB,
                          size % MiB ? "K" : "M");
        return false;
    }
    return true;
}

/* QMP's cont; no accelerator flag asks for a machine that never runs. */
static bool refuse_cont(Error **errp)
{
    error_setg(errp, "the machine does not run in a replay: pbkvm-thaw lets "
               "the Backup go on");
    return false;
}

/* A debugger that has resumed the Backup alone has not started the machine. */
static void stop_again(void *unused)
{
    if (runstate_is_running() && !first_cpu->stopped) {
        vm_stop(RUN_STATE_PAUSED);
    }
}

/* Whoever else starts it (a debugger that leaves) sees it stop again. */
static void started(void *opaque, bool running, RunState state)
{
    if (running) {
        aio_bh_schedule_oneshot(qemu_get_aio_context(), stop_again, NULL);
    }
}

bool pbkvm_replay_open(PbkvmState *s, MachineState *ms, Error **errp)
{
    g_autofree char *why = g_malloc0(ERROR_LEN);
    PbkvmReplay *p = &s->replay;

    if (!p->file) {
        return true;
    }
    p->evidence = pb_evidence_open(p->file, why, ERROR_LEN);
    if (!p->evidence) {
        error_setg(errp, "pbkvm: %s", why);
        return false;
    }
    if (!check_host(s, errp) || !check_machine(s, ms, errp) ||
        (p->evidence->info.at.tsc.on && !pbkvm_tsc_want(s, errp))) {
        return false;
    }
    if (p->evidence->cut[0]) {
        warn_report("pbkvm: %s: %s", p->file, p->evidence->cut);
    }
    autostart = 0;
    qmp_cont_hook = refuse_cont;
    qemu_add_vm_change_state_handler(started, NULL);
    return true;
}

/* ---- the Backup ---- */

/* There is no Primary to stay behind. */
static uint64_t end_of_time(void *opaque)
{
    return INT64_MAX;
}

static void poke(void *opaque)
{
    PbkvmState *s = opaque;

    pb_backup_poke(s->backup);
    timer_mod(s->replay.poker,
              qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + POKE_MS);
}

static void process_ends(Notifier *n, void *unused)
{
    pbkvm_shutdown(container_of(n, PbkvmState, exit));
}

static bool stand_frozen(PbkvmState *s, Error **errp)
{
    const PbDivergence *d = pb_backup_divergence(s->backup);
    g_autofree char *line = g_malloc0(ERROR_LEN);

    if (pb_backup_await_start(s->backup)) {
        return true;
    }
    pb_divergence_print(d, line, ERROR_LEN);
    error_setg(errp, "pbkvm: %s: the Backup cannot stand where it was saved: "
               "%s", s->replay.file, line);
    return false;
}

bool pbkvm_replay_start(PbkvmState *s, Error **errp)
{
    PbkvmReplay *p = &s->replay;
    PbBackupConfig c = { .now = end_of_time, .frozen = true };

    if (!p->file) {
        return true;
    }
    s->ring = pb_ring_new(s->ring_events);
    if (!s->ring) {
        error_setg_errno(errp, errno, "pbkvm: a ring of %" PRIu32 " events",
                         s->ring_events);
        return false;
    }
    pb_evidence_config(p->evidence, &c);
    if (!pbkvm_backup_start(s, &c, errp)) {
        return false;
    }
    s->exit.notify = process_ends;
    qemu_add_exit_notifier(&s->exit);
    if (!stand_frozen(s, errp)) {
        return false;
    }
    p->feed = pb_evidence_feed(p->evidence, s->ring);
    if (!p->feed) {
        error_setg(errp, "pbkvm: no thread to read %s", p->file);
        return false;
    }
    p->poker = timer_new_ms(QEMU_CLOCK_REALTIME, poke, s);
    poke(s);
    return true;
}

void pbkvm_replay_end(PbkvmState *s)
{
    if (s->replay.poker) {
        timer_free(s->replay.poker);
        s->replay.poker = NULL;
    }
    pb_feed_stop(s->replay.feed);
    s->replay.feed = NULL;
}
