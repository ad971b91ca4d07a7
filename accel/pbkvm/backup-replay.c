/* SPDX-License-Identifier: GPL-2.0-or-later */
/* backup-replay.c: live through one event. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "backup-internal.h"
#include "backup-stuck.h"
#include "pb-inject.h"
#include "pb-mem-log.h"

/* Towards the next exit, stopped by nothing but a debugger. */
static PbRunEnd run_freely(PbBackup *b)
{
    int ret = pb_breaks_arm(b, NULL);

    if (ret < 0) {
        pb_backup_fail(b, "KVM_SET_GUEST_DEBUG", ret);
        return PB_RUN_FAILED;
    }
    return pb_backup_run_guest(b);
}

/* The outputs so far must be those of the Primary. */
PbReplayEnd pb_backup_check_outputs(PbBackup *b, const PbEvent *e)
{
    char want[80];

    if (b->writes == e->writes && (uint32_t)b->digest == e->digest) {
        return PB_REPLAY_DONE;
    }
    snprintf(want, sizeof(want), "%u writes with digest 0x%08x",
             e->writes, e->digest);
    return pb_backup_diverge(b, e, want, "%u writes with digest 0x%08x",
                             b->writes, (uint32_t)b->digest);
}

/*
 * Run to the next exit that awaits an answer.  The guest's branch count is
 * known: past it, no exit will come.
 */
static PbReplayEnd run_to_question(PbBackup *b, const PbEvent *e)
{
    while (!b->asking) {
        PbRunEnd end;

        if (pb_backup_wanted(b)) {
            return PB_REPLAY_STOPPED;
        }
        if (b->idle.stuck) {
            return pb_stuck_idle(b, e);
        }
        end = run_freely(b);
        if (end == PB_RUN_FAILED) {
            return PB_REPLAY_FAILED;
        }
        if (end == PB_RUN_WROTE && pb_backup_wrote_more(b, e)) {
            return pb_backup_check_outputs(b, e);
        }
        if (end == PB_RUN_KICKED &&
            pb_counter_read(b->v.counter) > e->branches) {
            char want[64];

            snprintf(want, sizeof(want), "an exit at branches %llu",
                     (unsigned long long)e->branches);
            return pb_backup_diverge(b, e, want, "none by branches %llu",
                                     (unsigned long long)
                                     pb_counter_read(b->v.counter));
        }
    }
    return PB_REPLAY_DONE;
}

static PbReplayEnd wrong_question(PbBackup *b, const PbEvent *e)
{
    char want[160], have[120];

    pb_event_print(e, want, sizeof(want));
    pb_backup_describe_exit(b, have, sizeof(have));
    return pb_backup_diverge(b, e, want, "%s", have);
}

static PbReplayEnd check_branches(PbBackup *b, const PbEvent *e)
{
    uint64_t now = pb_counter_read(b->v.counter);
    char want[40];

    if (now == e->branches) {
        return PB_REPLAY_DONE;
    }
    snprintf(want, sizeof(want), "branches %llu",
             (unsigned long long)e->branches);
    return pb_backup_diverge(b, e, want, "branches %llu",
                             (unsigned long long)now);
}

bool pb_backup_question_is(const PbBackup *b, const PbEvent *e)
{
    const struct kvm_run *run = b->v.run;

    switch (e->kind) {
    case PB_EVENT_PIO_IN:
        return run->exit_reason == KVM_EXIT_IO && run->io.port == e->arg &&
               run->io.size == e->size && run->io.count == e->body.pio.count;
    case PB_EVENT_MMIO_READ:
        return run->exit_reason == KVM_EXIT_MMIO &&
               run->mmio.phys_addr == e->body.mmio.gpa &&
               run->mmio.len == e->size;
    case PB_EVENT_RDMSR:
        return run->exit_reason == KVM_EXIT_X86_RDMSR &&
               run->msr.index == e->body.msr.index;
    case PB_EVENT_WRMSR:
        return run->exit_reason == KVM_EXIT_X86_WRMSR &&
               run->msr.index == e->body.msr.index &&
               run->msr.data == e->body.msr.value;
    case PB_EVENT_HLT:
        return run->exit_reason == KVM_EXIT_HLT;
    case PB_EVENT_SHUTDOWN:
        return run->exit_reason == KVM_EXIT_SHUTDOWN;
    case PB_EVENT_READ_BEGIN:
        return run->exit_reason == KVM_EXIT_IO ||
               run->exit_reason == KVM_EXIT_MMIO ||
               run->exit_reason == KVM_EXIT_X86_RDMSR ||
               run->exit_reason == KVM_EXIT_X86_WRMSR;
    default:
        return false;
    }
}

void pb_backup_answer(PbBackup *b, const PbEvent *e, const void *payload)
{
    struct kvm_run *run = b->v.run;
    uint32_t len;

    switch (e->kind) {
    case PB_EVENT_PIO_IN:
        len = e->body.pio.count * e->size;
        memcpy((uint8_t *)run + run->io.data_offset,
               len <= PB_EVENT_INLINE_DATA ? e->body.pio.data : payload, len);
        break;
    case PB_EVENT_MMIO_READ:
        memcpy(run->mmio.data, e->body.mmio.data, e->size);
        b->answered = *e;
        break;
    case PB_EVENT_RDMSR:
    case PB_EVENT_WRMSR:
        run->msr.data = e->body.msr.value;
        run->msr.error = e->body.msr.fault;
        break;
    default:
        break;
    }
    b->asking = false;
}

static PbReplayEnd replay_question(PbBackup *b, const PbEvent *e,
                                   const void *payload)
{
    PbReplayEnd end = run_to_question(b, e);

    if (end != PB_REPLAY_DONE) {
        return end;
    }
    if (!pb_backup_question_is(b, e)) {
        return wrong_question(b, e);
    }
    end = pb_backup_check_outputs(b, e);
    if (end == PB_REPLAY_DONE) {
        end = check_branches(b, e);
    }
    if (end != PB_REPLAY_DONE) {
        return end;
    }
    if (e->kind != PB_EVENT_READ_BEGIN) {
        pb_backup_answer(b, e, payload);
    }
    return PB_REPLAY_DONE;
}

/* A change happens where the guest's writes so far put it. */
static PbReplayEnd run_to_writes(PbBackup *b, const PbEvent *e)
{
    while (b->writes != e->writes) {
        PbRunEnd end;

        if (pb_backup_wanted(b)) {
            return PB_REPLAY_STOPPED;
        }
        if (b->asking) {
            return wrong_question(b, e);
        }
        if (b->idle.stuck) {
            return pb_stuck_idle(b, e);
        }
        end = run_freely(b);
        if (end == PB_RUN_FAILED) {
            return PB_REPLAY_FAILED;
        }
        if (pb_backup_wrote_more(b, e)) {
            break;
        }
    }
    return pb_backup_check_outputs(b, e);
}

static PbReplayEnd apply_mem_write(PbBackup *b, const PbEvent *e,
                                   const void *payload)
{
    const PbEventMem *m = &e->body.mem;
    uint8_t *at;

    if (!pb_mem_has(&b->mem, m->block, m->offset, m->len)) {
        return pb_backup_diverge(b, e, "a write inside a RAM block",
                                 "block %u offset 0x%llx length %u",
                                 m->block, (unsigned long long)m->offset,
                                 m->len);
    }
    at = b->mem.block[m->block].host + m->offset;
    memcpy(at, payload, m->len);
    pb_mem_log_write(&b->mem, at, m->len);
    return PB_REPLAY_DONE;
}

static PbReplayEnd apply_mem_slot(PbBackup *b, const PbEvent *e,
                                  const void *payload)
{
    PbSlotChange c;
    const char *bad;
    int ret;

    memcpy(&c, payload, sizeof(c));
    bad = pb_mem_check_slot(&b->mem, e->arg, &c);
    if (bad) {
        return pb_backup_diverge(b, e, "a memory slot in a RAM block",
                                 "slot %u: %s", e->arg, bad);
    }
    pb_mem_log_slot(&b->mem, b->v.vm_fd, e->arg);
    ret = pb_mem_apply_slot(&b->mem, b->v.vm_fd, e->arg, &c);
    return ret < 0 ? pb_backup_fail(b, "KVM_SET_USER_MEMORY_REGION", ret)
                   : PB_REPLAY_DONE;
}

static PbReplayEnd no_such_cpu(PbBackup *b, const PbEvent *e)
{
    return pb_backup_diverge(b, e, "a vCPU of this guest", "vCPU %u of %u",
                             e->arg, b->cpus.n);
}

PbReplayEnd pb_backup_put_state(PbBackup *b, unsigned cpu, const PbState *s,
                                const char *doing)
{
    char what[120];
    uint32_t bad_msr;
    int ret = pb_state_put(pb_cpus_at(&b->cpus, cpu), s, &bad_msr);

    if (ret == 0) {
        return PB_REPLAY_DONE;
    }
    if (bad_msr) {
        snprintf(what, sizeof(what), "%s: this host's KVM refuses the value "
                 "of MSR 0x%x", doing, bad_msr);
        doing = what;
    }
    return pb_backup_fail(b, doing, ret);
}

static PbReplayEnd apply_state(PbBackup *b, const PbEvent *e,
                               const void *payload)
{
    const char *bad;
    PbState s;

    if (e->arg >= b->cpus.n) {
        return no_such_cpu(b, e);
    }
    if (e->body.blob.len != sizeof(s)) {
        return pb_backup_diverge(b, e, "a vCPU state of this version",
                                 "%u bytes", e->body.blob.len);
    }
    memcpy(&s, payload, sizeof(s));
    bad = pb_state_check(&s);
    if (bad) {
        return pb_backup_diverge(b, e, "a vCPU state", "%s", bad);
    }
    return pb_backup_put_state(b, e->arg, &s, "replacing the vCPU's state");
}

static PbReplayEnd replay_change(PbBackup *b, const PbEvent *e,
                                 const void *payload)
{
    PbReplayEnd end = run_to_writes(b, e);

    if (end != PB_REPLAY_DONE) {
        return end;
    }
    switch (e->kind) {
    case PB_EVENT_MEM_WRITE:
        return apply_mem_write(b, e, payload);
    case PB_EVENT_MEM_SLOT:
        return apply_mem_slot(b, e, payload);
    case PB_EVENT_SLICE:
        return pb_backup_compare_slice(b, e);
    default:
        return apply_state(b, e, payload);
    }
}

static PbReplayEnd replay_async(PbBackup *b, const PbEvent *e)
{
    PbReplayEnd end = b->asking ? wrong_question(b, e)
                                : pb_backup_land(b, e);
    int ret = 0;

    if (end == PB_REPLAY_DONE) {
        end = pb_backup_check_outputs(b, e);
    }
    if (end != PB_REPLAY_DONE) {
        return end;
    }
    b->stats.rip = e->body.pos.rip;
    switch (e->kind) {
    case PB_EVENT_IRQ:
        if (!b->v.run->if_flag) {
            return pb_backup_diverge(b, e, "interrupts enabled",
                                     "interrupts disabled");
        }
        ret = pb_inject_irq(&b->v, e->arg);
        break;
    case PB_EVENT_NMI:
        ret = pb_inject_nmi(&b->v);
        break;
    case PB_EVENT_VERIFY:
        return pb_backup_compare(b, e);
    case PB_EVENT_TURN:
        if (e->arg >= b->cpus.n) {
            return no_such_cpu(b, e);
        }
        ret = pb_cpus_turn(&b->cpus, e->arg);
        break;
    default:
        break;
    }
    return ret < 0 ? pb_backup_fail(b, pb_event_kind_name(e->kind), ret)
                   : PB_REPLAY_DONE;
}

PbReplayEnd pb_backup_replay(PbBackup *b, const PbEvent *e,
                             const void *payload)
{
    if (pb_event_is_sync(e->kind)) {
        return replay_question(b, e, payload);
    }
    if (pb_event_is_async(e->kind)) {
        return replay_async(b, e);
    }
    switch (e->kind) {
    case PB_EVENT_MARK:
        return pb_backup_approach(b, e);
    case PB_EVENT_PANIC:
        return run_to_writes(b, e);
    case PB_EVENT_END:
        return PB_REPLAY_DONE;
    default:
        return replay_change(b, e, payload);
    }
}
