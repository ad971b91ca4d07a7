/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-cpus.c: the Primary's vCPUs, which take turns on one thread
 * (pb-turns.h).
 */
#include "qemu/osdep.h"
#include "qemu/guest-random.h"
#include "qemu/main-loop.h"
#include "qapi/error.h"
#include "cpu.h"
#include "system/cpus.h"
#include "accel/kvm/kvm-cpus.h"

#include "branch-counter.h"
#include "pb-vm.h"
#include "pbkvm.h"

/* One that cannot stop here, amid a delivery, is asked again after so long. */
#define AGAIN_NS (50 * SCALE_US)

unsigned pbkvm_cpu_number(const PbkvmState *s, const CPUState *cpu)
{
    unsigned i = 0;

    while (i + 1 < s->cpus.n && s->each[i] != cpu) {
        i++;
    }
    return i;
}

PbVcpu *pbkvm_vcpu(PbkvmState *s, const CPUState *cpu)
{
    return pb_cpus_at(&s->cpus, pbkvm_cpu_number(s, cpu));
}

void pbkvm_share_thread(CPUState *cpu, CPUState *first)
{
    g_free(cpu->thread);
    qemu_cond_destroy(cpu->halt_cond);
    g_free(cpu->halt_cond);
    cpu->thread = first->thread;
    cpu->halt_cond = first->halt_cond;
    cpu->thread_id = first->thread_id;
    cpu->created = true;
}

static bool all_idle(CPUState *const *cpu, unsigned n)
{
    unsigned i;

    for (i = 0; i < n; i++) {
        if (!cpu_thread_is_idle(cpu[i])) {
            return false;
        }
    }
    return true;
}

void pbkvm_wait_idle(CPUState *const *cpu, unsigned n)
{
    while (all_idle(cpu, n)) {
        qemu_cond_wait_bql(cpu[0]->halt_cond);
    }
}

void pbkvm_cpus_add(PbkvmState *s, CPUState *cpu)
{
    unsigned i = s->cpus.n++;

    s->each[i] = cpu;
    if (i == 0) {
        s->cpus.v = &s->primary;
        s->cpu = cpu;
        return;
    }
    kvm_init_vcpu(cpu, &error_fatal);
    pb_vm_vcpu_policy(cpu->kvm_fd);
    pbkvm_share_thread(cpu, s->cpu);
}

void pbkvm_cpus_start(PbkvmState *s)
{
    uint64_t seed;
    unsigned i;

    qemu_guest_getrandom_nofail(&seed, sizeof(seed));
    pb_turns_init(&s->turns, s->cpus.n, seed);
    s->turn_armed = -1;
    for (i = 0; i < s->cpus.n; i++) {
        *pb_cpus_at(&s->cpus, i) = (PbVcpu) {
            .role = PB_PRIMARY,
            .vm_fd = s->parent_obj.vmfd,
            .fd = s->each[i]->kvm_fd,
            .run = s->each[i]->kvm_run,
            .mem = &s->mem,
        };
    }
}

/* ---- whose turn it is ---- */

static bool may_run(CPUState *cpu)
{
    return cpu_can_run(cpu) && (!cpu->halted || cpu_has_work(cpu));
}

/* Those that may run, and those for which an interrupt waits. */
static uint32_t set_of(PbkvmState *s, bool (*are)(CPUState *cpu))
{
    uint32_t set = 0;
    unsigned i;

    for (i = 0; i < s->cpus.n; i++) {
        set |= are(s->each[i]) << i;
    }
    return set;
}

bool pbkvm_turn_is_due(PbkvmState *s)
{
    uint32_t wanted = set_of(s, cpu_has_work) & ~(1u << s->cpus.now);
    uint32_t set;
    int64_t now, end;

    if (!wanted) {
        return false;            /* a kick will tell */
    }
    now = pbkvm_now(NULL);
    set = set_of(s, may_run);
    end = pb_turns_end(&s->turns, now, s->cpus.now, set, wanted);
    /* At once; or somebody has to be told when. */
    return now >= end || s->turn_end > end ||
           (s->turn_armed != s->turns.began &&
            pb_turns_branches(&s->turns, now, s->cpus.now, set));
}

/* Record it, with the place of the one before.  False: not here. */
static bool record_turn(PbkvmState *s, unsigned to)
{
    int ret;

    if (!s->recording || s->ended) {
        return true;
    }
    ret = s->standing ? pb_record_turn(s->rec, to) : -EAGAIN;
    if (ret == -EAGAIN) {
        return false;
    }
    if (ret) {
        pbkvm_end(s, "the vCPU's place cannot be read when another's turn "
                  "comes");
    }
    return true;
}

static void turn(PbkvmState *s, unsigned to)
{
    CPUState *cpu = s->each[to];

    if (!record_turn(s, to)) {
        return;
    }
    if (pb_cpus_turn(&s->cpus, to) < 0) {
        pbkvm_end(s, "KVM does not flush a TLB");
    }
    s->cpu = current_cpu = cpu;
    s->apic_base = cpu->kvm_run->apic_base;
    s->cr8 = cpu->kvm_run->cr8;
    pbkvm_turn_begins(s);
}

void pbkvm_turn_begins(PbkvmState *s)
{
    pb_turns_begin(&s->turns, pbkvm_now(NULL));
    s->turn_end = INT64_MAX;
}

static int set_alarm(PbkvmState *s, int64_t now, int64_t end)
{
    s->turn_end = end;
    return end == INT64_MAX ? 0
        : pb_counter_kick_in(s->primary.counter,
                             MAX(end - now, AGAIN_NS) / SCALE_US);
}

static int set_branches(PbkvmState *s, uint64_t branches)
{
    int ret = 0;

    if (branches && s->turn_armed != s->turns.began) {
        s->turn_armed = s->turns.began;
        ret = pb_counter_arm(s->primary.counter, branches);
    } else if (!branches && s->turn_armed >= 0) {
        s->turn_armed = -1;
        pb_counter_disarm(s->primary.counter);
    }
    return ret;
}

/* Have the one whose turn it is kicked out of the guest when it is over. */
static void time_turn(PbkvmState *s)
{
    int64_t now = pbkvm_now(NULL);
    uint32_t set = set_of(s, may_run);
    unsigned at = s->cpus.now;
    int ret = set_alarm(s, now, pb_turns_end(&s->turns, now, at, set,
                                             set_of(s, cpu_has_work)));

    if (ret == 0) {
        ret = set_branches(s, pb_turns_branches(&s->turns, now, at, set));
    }
    if (ret < 0) {
        pbkvm_end(s, "nothing can tell when a vCPU's turn is over");
    }
}

/* ---- the thread's ---- */

/* Whether those that could go on have no turn (pb-turns.h). */
static bool all_held(PbkvmState *s)
{
    uint32_t set = set_of(s, may_run);

    return set && !(set & ~pb_turns_held(&s->turns, pbkvm_now(NULL)));
}

static bool is_asked(CPUState *cpu)
{
    return cpu->stop || !cpu_work_list_empty(cpu);
}

/*
 * The guest stands meanwhile, and time goes on.  Whether it did, and nothing is
 * asked of a vCPU.
 */
static bool wait_held(PbkvmState *s)
{
    bool waited = false;

    while (s->standing && all_held(s)) {
        if (set_of(s, is_asked)) {
            return false;
        }
        qemu_cond_timedwait_bql(s->cpu->halt_cond, 1);
        waited = true;
    }
    return waited;
}

/* Whose turn it is from here on, and how long. */
static void take_turns(PbkvmState *s)
{
    unsigned to;

    if (s->turns.chaos != s->chaos) {
        pb_turns_set_chaos(&s->turns, s->chaos);
    }
    if (s->turn_armed >= 0 && pb_counter_fired(s->primary.counter)) {
        s->turn_armed = -1;
        pb_turns_cut(&s->turns);
    }
    do {
        to = pb_turns_next(&s->turns, pbkvm_now(NULL), s->cpus.now,
                           set_of(s, may_run), set_of(s, cpu_has_work));
        if (to != s->cpus.now) {
            turn(s, to);
        }
    } while (wait_held(s));
    time_turn(s);
}

void pbkvm_cpus_wait(PbkvmState *s)
{
    unsigned i;

    pbkvm_wait_idle(s->each, s->cpus.n);
    /* The first one begins, with the history. */
    if (s->cpus.n > 1 && s->recording) {
        take_turns(s);
    }
    /* Who kicks from here on finds the one that goes on. */
    for (i = 0; i < s->cpus.n; i++) {
        qemu_wait_io_event_common(s->each[i]);
    }
}
