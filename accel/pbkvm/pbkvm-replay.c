/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-replay.c: the Backup of an evidence file, in a machine that does not
 * run itself.
 */
#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "hw/core/cpu.h"
#include "system/runstate.h"
#include "system/system.h"

#include "backup-inspect.h"
#include "evidence-host.h"
#include "pb-host.h"
#include "pbkvm.h"

/* A Backup on its way is looked after this often. */
#define POKE_MS 100

#define ERROR_LEN 1024

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
                                s->replay.evidence->cpuid[0], &host,
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

#ifndef TARGET_X86_64
    if (pb_cpuid_entry(e->cpuid[0], 0x80000001, 0, PB_CPUID_EDX) &
        CPUID_EXT2_LM) {
        error_setg(errp, "pbkvm: %s is of a machine of 64 bits, this one has "
                   "32", s->replay.file);
        error_append_hint(errp, "Use qemu-system-x86_64.\n");
        return false;
    }
#endif
    if (e->info.machine[0] && strcmp(e->info.machine, mc->name)) {
        error_setg(errp, "pbkvm: %s is of a machine of type %s, this one is "
                   "%s", s->replay.file, e->info.machine, mc->name);
        error_append_hint(errp, "Use -machine %s.\n", e->info.machine);
        return false;
    }
    if (e->info.cpus != ms->smp.cpus) {
        error_setg(errp, "pbkvm: %s is of a machine with %u CPUs, this one has "
                   "%u", s->replay.file, e->info.cpus, ms->smp.cpus);
        error_append_hint(errp, "Use -smp %u.\n", e->info.cpus);
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
    p->watch = qemu_add_vm_change_state_handler(started, NULL);
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

    if (s->backup) {
        pb_backup_poke(s->backup);
    }
    timer_mod(s->replay.poker,
              qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + POKE_MS);
}

static void process_ends(Notifier *n, void *unused)
{
    pbkvm_shutdown(container_of(n, PbkvmState, exit));
}

/* A Backup that stands at the beginning of the file. */
static bool begin(PbkvmState *s, Error **errp)
{
    PbkvmReplay *p = &s->replay;
    PbBackupConfig c = { .now = end_of_time, .frozen = true, .fed = true };

    pb_evidence_config(p->evidence, &c);
    if (!pbkvm_backup_start(s, &c, errp)) {
        error_prepend(errp, "%s: ", p->file);
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

bool pbkvm_replay_start(PbkvmState *s, Error **errp)
{
    if (!s->replay.file) {
        return true;
    }
    s->exit.notify = process_ends;
    qemu_add_exit_notifier(&s->exit);
    pbkvm_live_open(s);
    s->ring = pbkvm_ring_new(s, errp);
    return s->ring && begin(s, errp);
}

bool pbkvm_replay_again(PbkvmState *s, Error **errp)
{
    PbRing *ring = pbkvm_ring_new(s, errp);

    if (!ring) {
        return false;
    }
    pbkvm_backup_drop(s);
    pbkvm_replay_end(s);
    pb_ring_free(s->ring);
    s->ring = ring;
    return begin(s, errp);
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

void pbkvm_replay_leave(PbkvmState *s)
{
    PbkvmReplay *p = &s->replay;

    pbkvm_backup_drop(s);
    pbkvm_replay_end(s);
    pb_ring_free(g_steal_pointer(&s->ring));
    pb_evidence_close(g_steal_pointer(&p->evidence));
    g_free(g_steal_pointer(&p->file));
    pbkvm_live_forget(s);
    qmp_cont_hook = NULL;
    qemu_del_vm_change_state_handler(g_steal_pointer(&p->watch));
    qemu_remove_exit_notifier(&s->exit);
}
