/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-cpus.c: the Primary's vCPUs, which take turns on one thread.
 *
 * The next one goes on when the one before halts or has had its time, and soon
 * when an interrupt comes for it, as who sends one may wait for the answer.
 */
#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "qapi/error.h"
#include "cpu.h"
#include "system/cpus.h"
#include "accel/kvm/kvm-cpus.h"

#include "branch-counter.h"
#include "pb-vm.h"
#include "pbkvm.h"

/* So long one goes on while others could. */
#define TURN_NS (5 * SCALE_MS)

/* So long at least, so that two for whom interrupts come both get on. */
#define LEAST_NS (SCALE_MS / 2)

/* One that cannot stop here, amid a delivery, is asked again after so long. */
#define AGAIN_US 50

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

/* Main thread. */
static void time_is_up(void *opaque)
{
    PbkvmState *s = opaque;

    if (s->in_exec) {
        qatomic_set(&s->turn_due, true);
        qemu_cpu_kick(s->cpu);
    }
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
        s->turn_timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, time_is_up, s);
        return;
    }
    kvm_init_vcpu(cpu, &error_fatal);
    pb_vm_vcpu_policy(cpu->kvm_fd);
    pbkvm_share_thread(cpu, s->cpu);
}

void pbkvm_cpus_start(PbkvmState *s)
{
    unsigned i;

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

/* Whether one of the others is halted no more, or an interrupt waits for it. */
static bool others(PbkvmState *s, bool (*are)(CPUState *cpu))
{
    unsigned i;

    for (i = 0; i < s->cpus.n; i++) {
        if (i != s->cpus.now && are(s->each[i])) {
            return true;
        }
    }
    return false;
}

static bool is_over(PbkvmState *s, int64_t end)
{
    return qatomic_read(&s->turn_due) || (int64_t)pbkvm_now(NULL) >= end;
}

bool pbkvm_turn_is_due(PbkvmState *s)
{
    int64_t least = s->turn_began + LEAST_NS;

    if (!others(s, cpu_has_work)) {
        return qatomic_read(&s->turn_due);
    }
    /* At once; or the timer has to be told when. */
    return s->turn_end > least || is_over(s, least);
}

/* The next in the row, if this one's turn is over or an interrupt waits. */
static unsigned choose(PbkvmState *s)
{
    bool stays = may_run(s->cpu) && !is_over(s, s->turn_end);
    bool least = is_over(s, s->turn_began + LEAST_NS);
    unsigned i, next;

    for (i = 1; i < s->cpus.n; i++) {
        next = (s->cpus.now + i) % s->cpus.n;
        if (may_run(s->each[next]) &&
            (!stays || (least && cpu_has_work(s->each[next])))) {
            return next;
        }
    }
    return s->cpus.now;
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
        ret = pb_counter_kick_in(s->primary.counter, AGAIN_US);
        if (ret == 0) {
            return false;
        }
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
    qatomic_set(&s->turn_due, false);
    s->turn_began = pbkvm_now(NULL);
    s->turn_end = INT64_MAX;
}

/* When it ends: never, if nobody else waits. */
static void time_turn(PbkvmState *s)
{
    int64_t end = others(s, cpu_has_work) ? s->turn_began + LEAST_NS
                : others(s, may_run) ? s->turn_began + TURN_NS : INT64_MAX;

    if (end == INT64_MAX) {
        qatomic_set(&s->turn_due, false);
        timer_del(s->turn_timer);
    } else if (end != s->turn_end) {
        timer_mod(s->turn_timer, end);
    }
    s->turn_end = end;
}

/* ---- the thread's ---- */

void pbkvm_cpus_wait(PbkvmState *s)
{
    unsigned i, to;

    pbkvm_wait_idle(s->each, s->cpus.n);
    /* The first one begins, with the history. */
    if (s->cpus.n > 1 && s->recording) {
        to = choose(s);
        if (to != s->cpus.now) {
            turn(s, to);
        }
        time_turn(s);
    }
    /* Who kicks from here on finds the one that goes on. */
    for (i = 0; i < s->cpus.n; i++) {
        qemu_wait_io_event_common(s->each[i]);
    }
}
