/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guest-run.c: one guest as Primary and Backup, from start to verify. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "guest-fault.h"
#include "guests.h"
#include "pb-step.h"

#define RING_SLOTS  PB_RING_MIN_SLOTS
#define MARK_NS     10000000ull
#define FLUSH_MS    20
#define LONG_RING   (1u << 17)    /* holds a whole run behind a frozen Backup */
#define NAP_MS      20
#define POKE_MS     200

uint64_t guest_now(void *unused)
{
    struct timespec t;

    (void)unused;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

void guest_set_deadline(GuestRun *r)
{
    r->deadline_ns = guest_now(NULL) + r->o->timeout_s * 1000000000ull;
}

void guest_pause(unsigned us)
{
    struct timespec t = { us / 1000000, us % 1000000 * 1000 };

    nanosleep(&t, NULL);
}

void guest_fail(GuestRun *r, const char *fmt, ...)
{
    va_list ap;

    if (!r->failed) {
        va_start(ap, fmt);
        vsnprintf(r->result->why, sizeof(r->result->why), fmt, ap);
        va_end(ap);
    }
    r->failed = true;
}

static void report_divergence(GuestRun *r)
{
    const PbDivergence *d = pb_backup_divergence(r->backup);
    char text[sizeof(r->result->why)];
    size_t at;
    unsigned i;

    pb_backup_stats(r->backup, &r->result->backup);
    at = pb_divergence_print(d, text, sizeof(text));
    for (i = 0; i < d->lasts && at + 2 < sizeof(text); i++) {
        text[at++] = '\n';
        at += pb_event_print(&d->last[i], text + at, sizeof(text) - at);
    }
    guest_fault_found(r, false, r->result->backup.events + 1,
                      d->at.branches);
    guest_fail(r, "%s", text);
}

/* Whether the run can go on. */
static bool healthy(GuestRun *r)
{
    PbBackupStatus s = pb_backup_status(r->backup);
    struct kvm_regs regs = { 0 };

    if (s == PB_BACKUP_DIVERGED || s == PB_BACKUP_FAILED) {
        report_divergence(r);
    } else if (guest_now(NULL) > r->deadline_ns) {
        pb_vcpu_get_regs(&r->v, &regs);
        guest_fail(r, "no end within %u s: %llu interrupts so far, Primary "
                   "at eip 0x%llx, Backup %s", r->o->timeout_s,
                   (unsigned long long)r->result->ticks,
                   (unsigned long long)regs.rip, pb_backup_status_name(s));
    }
    return !r->failed;
}

/* ---- the Backup ---- */

static void *backup_thread(void *opaque)
{
    GuestRun *r = opaque;

    pb_backup_run(r->backup);
    return NULL;
}

static bool start_backup(GuestRun *r, const struct kvm_cpuid2 *cpuid)
{
    char why[200];
    PbState state[2];
    PbBackupStart at = { .digest = PB_DIGEST_START,
                         .tsc.on = r->v.tsc != NULL };
    PbBackupConfig c = {
        .kvm_fd = r->o->kvm_fd, .cpus = r->cpus.n, .cpuid = { cpuid, cpuid },
        .primary_mem = &r->mem, .state = state, .ring = r->backup_ring,
        .counter = r->o->backup_counter,
        .uarch = r->o->uarch, .margin = r->o->margin,
        .at = &at, .tsc = r->o->tsc,
        .spill = r->spill, .lag = r->o->lag, .now = guest_now,
        .primary = guest_primary, .opaque = r,
    };
    int ret = pb_cpus_get_state(&r->cpus, state);

    if (ret < 0) {
        guest_fail(r, "reading the Primary's first state: %s",
                   strerror(-ret));
        return false;
    }
    r->backup = pb_backup_new(&c, why, sizeof(why));
    if (!r->backup) {
        guest_fail(r, "%s", why);
        return false;
    }
    r->backup_started = pthread_create(&r->backup_thread, NULL, backup_thread,
                                       r) == 0;
    return r->backup_started;
}

static void stop_backup(GuestRun *r)
{
    if (r->backup_started) {
        pb_backup_quit(r->backup);
        pthread_join(r->backup_thread, NULL);
        pb_backup_stats(r->backup, &r->result->backup);
    }
    pb_backup_free(r->backup);
}

/* ---- verify ---- */

/* As pb_record_point(). */
static int verify_locked(GuestRun *r)
{
    PbState state[2];
    PbVerify v;
    int ret = pb_record_point(r->rec, PB_EVENT_VERIFY);

    if (ret) {
        return ret;
    }
    while (!pb_record_flush(r->rec, FLUSH_MS)) {
        pb_backup_poke(r->backup);
        if (!healthy(r)) {
            return -EIO;
        }
    }
    ret = pb_cpus_get_state(&r->cpus, state);
    if (ret < 0) {
        return ret;
    }
    r->want_verify = false;
    if (r->frozen) {
        memcpy(r->final, state, r->cpus.n * sizeof(state[0]));
        return 0;
    }
    do {
        pb_backup_poke(r->backup);
        ret = pb_backup_verify(r->backup, state, &v, POKE_MS);
    } while (ret == -ETIMEDOUT && healthy(r));
    if (ret < 0) {
        if (healthy(r)) {
            guest_fail(r, "verify: %s", strerror(-ret));
        }
        return ret;
    }
    r->result->verifies++;
    guest_check_lag(r, true);
    /* A verify takes long: the guest would see nothing but interrupts. */
    guest_source_take(r);
    if (!v.equal) {
        guest_fault_found(r, true, v.event, v.at.branches);
        guest_fail(r, "verify found a difference at event %llu: %s; %llu "
                   "words of memory differ, the first at block %u offset "
                   "0x%llx: 0x%x and 0x%x", (unsigned long long)v.event,
                   v.what[0] ? v.what : "registers equal",
                   (unsigned long long)v.mem.differences, v.mem.block,
                   (unsigned long long)v.mem.offset, v.mem.a, v.mem.b);
    }
    return 0;
}

static int verify(GuestRun *r)
{
    int ret;

    pthread_mutex_lock(&r->walk_lock);
    ret = verify_locked(r);
    pthread_mutex_unlock(&r->walk_lock);
    return ret;
}

/* ---- the Primary ---- */

/* Once, on the way: what follows is for the Backups made of the file. */
static void freeze_backup(GuestRun *r)
{
    if (r->o->evidence && !r->frozen && r->result->ticks >= r->freeze_at) {
        r->frozen = pb_backup_freeze(r->backup);
    }
}

static void take_ticks(GuestRun *r)
{
    while (guest_source_take(r)) {
        r->result->ticks++;
        guest_marks(r);
        guest_check_lag(r, false);
        r->want_verify |= r->o->verify_all;
        r->turn_due = r->takes_turns && guest_random(&r->random) % 2;
        switch (r->mode) {
        case MODE_BURST:
            r->irqs += 3;
            break;
        case MODE_NMI:
            r->nmis = 1;
            break;
        case MODE_BOTH:
            r->nmis = 1;
            r->irqs++;
            break;
        case MODE_DMA:
            r->dmas++;
            break;
        case MODE_OFF:
            break;
        default:
            r->irqs++;
        }
        if (r->irqs > 3) {
            r->irqs = 3;
        }
    }
}

/* Devices act from another thread, while the vCPU rests. */
static int deliver_dma(GuestRun *r)
{
    int ret = pb_record_stand(r->rec);

    if (ret == 0 && r->dmas) {
        r->dmas--;
        guest_dma(r, GUEST_DMA_AREA);
    }
    return ret;
}

/* As pb_record_turn(). */
static int take_turn(GuestRun *r)
{
    unsigned to = !r->cpus.now;
    int ret = pb_record_turn(r->rec, to);

    if (ret == 0) {
        r->turn_due = false;
        ret = pb_cpus_turn(&r->cpus, to);
    }
    return ret == -EAGAIN ? 0 : ret;
}

static int deliver_irq(GuestRun *r)
{
    struct kvm_run *run = r->v.run;
    int ret;

    if (!run->ready_for_interrupt_injection || !run->if_flag) {
        return -EAGAIN;
    }
    ret = pb_record_irq(r->rec, GUEST_VECTOR);
    if (ret == 0) {
        r->irqs--;
        r->halted[r->cpus.now] = false;
    }
    return ret;
}

/*
 * Let what is due reach the guest.  0; or 1: KVM wants another exit answered
 * first.  At most one injection between two entries.
 */
static int deliver(GuestRun *r)
{
    int ret = 0;

    r->v.run->request_interrupt_window = 0;
    if (r->want_verify) {
        ret = verify(r);
    }
    if (ret == 0 && r->o->slices) {
        ret = pb_record_slice(r->rec, GUEST_SLICE);
        ret = ret == -EAGAIN ? 0 : ret;
    }
    if (ret == 0) {
        ret = pb_record_tsc(r->rec);
    }
    if (ret == 0 && r->turn_due) {
        ret = take_turn(r);
    }
    if (ret == 0 && (r->dmas || r->nmis || r->irqs)) {
        ret = deliver_dma(r);
    }
    if (ret == 0 && r->nmis) {
        ret = pb_record_nmi(r->rec);
        if (ret == 0) {
            r->nmis--;
            r->halted[r->cpus.now] = false;
            return 0;
        }
        /* The window may be open for an interrupt, and stay until it comes. */
        ret = ret == -EAGAIN ? 0 : ret;
    }
    if (ret == 0 && r->irqs) {
        ret = deliver_irq(r);
    }
    r->v.run->request_interrupt_window = r->irqs != 0;
    if (ret < 0 && ret != -EAGAIN && !r->failed) {
        guest_fail(r, "recording: %s", strerror(-ret));
    }
    return ret == 1;
}

static void answer_exit(GuestRun *r)
{
    pb_record_exit_begin(r->rec);
    guest_devices(r);
    pb_record_exit_end(r->rec);
    r->halted[r->cpus.now] = r->v.run->exit_reason == KVM_EXIT_HLT;
    if (r->halted[r->cpus.now] && r->takes_turns && !r->halted[!r->cpus.now]) {
        r->turn_due = true;
    }
}

static void run_once(GuestRun *r)
{
    uint64_t now = guest_now(NULL);
    int ret = deliver(r);
    char why[240];

    if (r->failed || (r->done && !r->want_verify)) {
        return;
    }
    if (now >= r->next_mark_ns) {
        r->next_mark_ns = now + MARK_NS;
        pb_record_mark(r->rec);
        pb_backup_poke(r->backup);
    }
    if (r->halted[r->cpus.now]) {
        guest_source_wait(r, NAP_MS);
        return;
    }
    while (!pb_record_flush(r->rec, FLUSH_MS)) {
        pb_backup_poke(r->backup);
        if (!healthy(r)) {
            return;
        }
    }
    if (ret == 0) {
        guest_source_arm(r);
        pb_record_leave(r->rec);
        ret = pb_vcpu_run(&r->v);
        if (ret == -EINTR) {
            guest_source_look(r);
            return;
        }
        if (ret < 0) {
            pb_step_explain(&r->v, ret, why, sizeof(why));
            guest_fail(r, "the Primary: %s", why);
            return;
        }
    }
    answer_exit(r);
}

static void run_primary(GuestRun *r)
{
    while (healthy(r) && !r->done) {
        take_ticks(r);
        freeze_backup(r);
        run_once(r);
    }
    if (r->failed) {
        return;
    }
    if (r->end_code != 0) {
        guest_fail(r, "the guest itself failed with code 0x%x", r->end_code);
        return;
    }
    r->irqs = r->nmis = r->dmas = 0;
    r->freeze_at = 0;
    freeze_backup(r);
    r->want_verify = true;
    while (r->want_verify && healthy(r)) {
        run_once(r);
    }
    pb_record_note(r->rec, PB_EVENT_END, PB_END_QUIT);
    while (!pb_record_flush(r->rec, FLUSH_MS) && healthy(r)) {
    }
}

static void note_end(GuestRun *r)
{
    PbRecordStats s;

    pb_record_stats(r->rec, &s);
    r->result->events = s.events;
    r->result->tsc_late = r->tsc.late + r->result->backup.tsc_late;
    r->result->ok = !r->failed;
}

static bool start_tsc(GuestRun *r)
{
    static const PbTscStart at = { .on = 1 };
    const char *what;
    int ret;

    if (!r->guest->has_tsc) {
        return true;
    }
    ret = pb_cpus_start_tsc(&r->cpus, &r->tsc, r->o->tsc, &at, &what);
    if (ret < 0) {
        guest_fail(r, "%s: %s", what, strerror(-ret));
        return false;
    }
    return true;
}

static void run_with_counter(GuestRun *r, const struct kvm_cpuid2 *cpuid)
{
    char why[200];

    if (!pb_counter_new(&r->v, r->o->counter, r->o->uarch, why,
                        sizeof(why))) {
        guest_fail(r, "%s", why);
        return;
    }
    if (start_tsc(r)) {
        r->rec = pb_record_new(r->ring, r->spill, &r->v, guest_now, NULL);
    }
    if (r->rec && start_backup(r, cpuid) && guest_fault_start(r) &&
        guest_source_start(r) && guest_kicks_start(r)) {
        guest_walk_start(r);
        run_primary(r);
        guest_walk_stop(r);
        if (r->o->evidence && !r->failed) {
            guest_source_stop(r);
            guest_evidence(r);
        }
    } else {
        guest_fail(r, "the run cannot be set up");
    }
    guest_source_stop(r);
    guest_kicks_stop(r);
    stop_backup(r);
    guest_fault_stop(r);
    if (r->rec) {
        note_end(r);
    }
    pb_record_free(r->rec);
    if (r->v.tsc) {
        pb_tsc_stop(r->v.tsc);
    }
    pb_counter_free(r->v.counter);
}

void guest_run(const Guest *g, const GuestOptions *o, GuestResult *result)
{
    GuestRun *r = calloc(1, sizeof(*r));
    struct kvm_cpuid2 *cpuid = guest_cpuid(o->kvm_fd);

    memset(result, 0, sizeof(*result));
    r->guest = g;
    r->o = o;
    r->result = result;
    r->mode = g->mode;
    r->end_code = g->shuts_down;
    r->random = o->seed * 0x2545f4914f6cdd1dull + 3;
    pthread_mutex_init(&r->walk_lock, NULL);
    guest_set_deadline(r);
    r->ring = pb_ring_new(o->evidence && !o->spill ? LONG_RING : RING_SLOTS);
    r->backup_ring = o->fault ? pb_ring_new(RING_SLOTS) : r->ring;
    r->final = calloc(2, sizeof(*r->final));
    /* A burst is three rounds; with a spill one more tick must come. */
    r->freeze_at = guest_random(&r->random) %
                   (o->spill ? o->rounds / 4 + 1 : o->rounds);
    if (!cpuid || !r->ring || !r->backup_ring || !r->final) {
        guest_fail(r, "no ring or no CPUID of this host");
    } else if (guest_vm_new(r, cpuid) && guest_spill_start(r)) {
        run_with_counter(r, cpuid);
    }
    guest_spill_stop(r);
    result->ok = result->ok && !r->failed;
    guest_vm_free(r);
    if (r->backup_ring != r->ring) {
        pb_ring_free(r->backup_ring);
    }
    pb_ring_free(r->ring);
    pthread_mutex_destroy(&r->walk_lock);
    free(cpuid);
    free(r->final);
    free(r);
}
