/* SPDX-License-Identifier: GPL-2.0-or-later */
/* primary-record.c: outside results of the Primary become events. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "branch-counter.h"
#include "pb-crc.h"
#include "pb-exit.h"
#include "pb-inject.h"
#include "pb-remedy.h"
#include "primary-emit.h"
#include "primary-record.h"

/* One memory event carries at most this much. */
#define MEM_CHUNK 4096u

/* Fewer events in so long: there is time to give memory back. */
#define QUIET_NS 1000000000ull
#define QUIET_EVENTS 4096

struct PbRecorder {
    PbEmitter out;
    PbVcpu *v;
    bool read_open;       /* a read exit is with its device model, */
    bool read_begun;      /* and has already changed guest memory */
    uint64_t read_branches; /* where it is */
    bool stands;          /* the vCPU rests at */
    PbPosition at;        /* where no event is yet */
    PbEventSlice slice;   /* offset and block of the next one */
    uint64_t quiet_time;  /* ns: from then on, */
    uint64_t quiet_seq;   /* and from that event on, it may be quiet */
};

PbRecorder *pb_record_new(PbRing *ring, PbSpill *spill, PbVcpu *primary,
                          uint64_t (*now)(void *opaque), void *opaque)
{
    PbRecorder *r = calloc(1, sizeof(*r));

    if (r) {
        r->out.stage.ring = ring;
        r->out.stage.spill = spill;
        r->v = primary;
        pb_clock_init(&r->out.clock, now, opaque);
        r->out.digest = PB_DIGEST_START;
    }
    return r;
}

void pb_record_free(PbRecorder *r)
{
    if (r) {
        pb_stage_free(&r->out.stage);
        free(r);
    }
}

bool pb_record_staged(const PbRecorder *r)
{
    return r->out.stage.used != 0;
}

bool pb_record_last(const PbRecorder *r, uint64_t *seq, uint64_t *branches)
{
    *seq = __atomic_load_n(&r->out.seq, __ATOMIC_RELAXED);
    *branches = __atomic_load_n(&r->out.last_branches, __ATOMIC_RELAXED);
    return !__atomic_load_n(&r->out.ended, __ATOMIC_RELAXED);
}

uint64_t pb_record_last_time(const PbRecorder *r)
{
    return __atomic_load_n(&r->out.last_time, __ATOMIC_RELAXED);
}

void pb_record_stats(const PbRecorder *r, PbRecordStats *s)
{
    s->events = __atomic_load_n(&r->out.seq, __ATOMIC_RELAXED);
    s->time_ns = pb_record_last_time(r);
    s->branches = __atomic_load_n(&r->out.last_branches, __ATOMIC_RELAXED);
    s->staged = __atomic_load_n(&r->out.stage.total, __ATOMIC_RELAXED);
    s->digest = r->out.digest;
    s->writes = r->out.writes;
    memcpy(s->by_kind, r->out.by_kind, sizeof(s->by_kind));
}

bool pb_record_flush(PbRecorder *r, int timeout_ms)
{
    return pb_stage_move(&r->out.stage, timeout_ms, false);
}

void pb_record_rest(PbRecorder *r)
{
    if (r->out.stage.spill) {
        pb_stage_move(&r->out.stage, 0, true);
    }
}

/* A synchronous event with the branch count as a check: the vCPU's thread. */
static PbEvent sync_event(PbRecorder *r, PbEventKind kind)
{
    PbEvent e = { .kind = kind, .branches = pb_counter_read(r->v->counter) };

    return e;
}

/*
 * The guest rests, or nothing was recorded for a while.  Memory that is given
 * back costs a page fault when it is used again, so that is for times of few
 * events.
 */
static void trim_ring(PbRecorder *r)
{
    uint64_t begun = r->quiet_time, events = r->out.seq - r->quiet_seq;

    if (r->out.last_time - begun < QUIET_NS) {
        return;
    }
    r->quiet_time = r->out.last_time;
    r->quiet_seq = r->out.seq;
    if (events < QUIET_EVENTS && !pb_stage_spills(&r->out.stage)) {
        pb_ring_trim(r->out.stage.ring);
    }
}

static void begin_read(PbRecorder *r)
{
    r->read_open = true;
    r->read_branches = pb_counter_read(r->v->counter);
}

void pb_record_exit_begin(PbRecorder *r)
{
    const struct kvm_run *run = r->v->run;
    PbEvent e;

    switch (run->exit_reason) {
    case KVM_EXIT_IO:
    case KVM_EXIT_MMIO:
        if (pb_exit_is_write(run)) {
            r->out.digest = pb_digest_exit(r->out.digest, run);
            r->out.writes++;
        } else {
            begin_read(r);
        }
        break;
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR:
        begin_read(r);
        break;
    case KVM_EXIT_HLT:
    case KVM_EXIT_SHUTDOWN:
        e = sync_event(r, run->exit_reason == KVM_EXIT_HLT ?
                       PB_EVENT_HLT : PB_EVENT_SHUTDOWN);
        pb_emit(&r->out, &e, NULL);
        trim_ring(r);
        break;
    }
}

/* An event of the read exit that is open; also of who has the BQL. */
static PbEvent read_event(const PbRecorder *r, PbEventKind kind)
{
    return (PbEvent) { .kind = kind, .branches = r->read_branches };
}

/* A copy whose length is a constant is no call. */
static void copy_short(uint8_t *to, const uint8_t *from, size_t len)
{
    switch (len) {
    case 1:
        *to = *from;
        break;
    case 2:
        memcpy(to, from, 2);
        break;
    case 4:
        memcpy(to, from, 4);
        break;
    default:
        memcpy(to, from, len);
        break;
    }
}

static void record_pio_in(PbRecorder *r, const struct kvm_run *run)
{
    const uint8_t *data = (const uint8_t *)run + run->io.data_offset;
    size_t len = (size_t)run->io.size * run->io.count;
    PbEvent e = read_event(r, PB_EVENT_PIO_IN);

    e.arg = run->io.port;
    e.size = run->io.size;
    e.body.pio.count = run->io.count;
    if (len <= PB_EVENT_INLINE_DATA) {
        copy_short(e.body.pio.data, data, len);
        data = NULL;
    }
    pb_emit(&r->out, &e, data);
}

static void record_mmio_read(PbRecorder *r, const struct kvm_run *run)
{
    PbEvent e = read_event(r, PB_EVENT_MMIO_READ);

    e.size = run->mmio.len;
    e.body.mmio.gpa = run->mmio.phys_addr;
    copy_short(e.body.mmio.data, run->mmio.data, run->mmio.len);
    pb_emit(&r->out, &e, NULL);
}

static void record_msr(PbRecorder *r, const struct kvm_run *run)
{
    bool read = run->exit_reason == KVM_EXIT_X86_RDMSR;
    PbEvent e = read_event(r, read ? PB_EVENT_RDMSR : PB_EVENT_WRMSR);

    e.body.msr.index = run->msr.index;
    e.body.msr.fault = run->msr.error != 0;
    e.body.msr.value = run->msr.data;
    pb_emit(&r->out, &e, NULL);
}

void pb_record_exit_end(PbRecorder *r)
{
    const struct kvm_run *run = r->v->run;

    if (!r->read_open) {
        return;
    }
    r->read_open = false;
    r->read_begun = false;
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        record_pio_in(r, run);
        break;
    case KVM_EXIT_MMIO:
        record_mmio_read(r, run);
        break;
    default:
        record_msr(r, run);
        break;
    }
}

/* The vCPU stands where the history does not say yet. */
static void emit_place(PbRecorder *r, PbEventKind kind, uint16_t arg)
{
    PbEvent e = { .kind = kind, .arg = arg };

    r->stands = false;
    pb_position_to_event(&r->at, &e);
    pb_emit(&r->out, &e, NULL);
}

void pb_record_stood(PbRecorder *r)
{
    if (r->stands) {
        emit_place(r, PB_EVENT_POINT, 0);
    }
}

/*
 * A change belongs to where the vCPU rests, or to the exit it happens in.  If
 * that is a read, whose own event comes only with the answer, say first that
 * the read was reached.
 */
static void begin_change(PbRecorder *r)
{
    pb_record_stood(r);
    if (r->read_open && !r->read_begun) {
        PbEvent e = read_event(r, PB_EVENT_READ_BEGIN);

        r->read_begun = true;
        pb_emit(&r->out, &e, NULL);
    }
}

/*
 * Beside its thread the vCPU rests, and where is what was recorded last.  No
 * check: the Backup's lag, and a walk to a branch count, ask how far it is.
 */
static PbEvent change_event(PbRecorder *r, PbEventKind kind)
{
    PbCounter *c = r->v->counter;

    return (PbEvent) {
        .kind = kind,
        .branches = pb_counter_is_mine(c) ? pb_counter_read(c)
                                          : r->out.last_branches,
    };
}

void pb_record_mem_write(PbRecorder *r, uint32_t block, uint64_t offset,
                         uint64_t len)
{
    const uint8_t *data = r->v->mem->block[block].host + offset;

    begin_change(r);
    while (len) {
        PbEvent e = change_event(r, PB_EVENT_MEM_WRITE);
        uint32_t n = len < MEM_CHUNK ? len : MEM_CHUNK;

        e.body.mem.block = block;
        e.body.mem.offset = offset;
        e.body.mem.len = n;
        pb_emit(&r->out, &e, data);
        data += n;
        offset += n;
        len -= n;
    }
}

void pb_record_mem_slot(PbRecorder *r, unsigned slot, const PbSlotChange *c)
{
    PbEvent e = change_event(r, PB_EVENT_MEM_SLOT);

    e.arg = slot;
    begin_change(r);
    pb_emit(&r->out, &e, c);
}

void pb_record_state(PbRecorder *r, const PbState *s)
{
    PbEvent e = change_event(r, PB_EVENT_STATE);

    begin_change(r);
    e.body.blob.len = sizeof(*s);
    pb_emit(&r->out, &e, s);
}

/* Record @kind at where the vCPU stands, which may be known. */
static int emit_here(PbRecorder *r, PbEventKind kind, uint16_t arg)
{
    int ret = r->stands ? 0 : pb_position_take_whole(r->v, &r->at);

    if (ret == 0) {
        emit_place(r, kind, arg);
    }
    return ret;
}

int pb_record_may_irq(PbRecorder *r)
{
    int ret = pb_vcpu_complete(r->v);

    /* An instruction that was completed may have raised a fault. */
    if (ret == 0) {
        ret = pb_half_delivered(r->v, true);
        ret = ret == 1 || !r->v->run->ready_for_interrupt_injection ||
              !r->v->run->if_flag ? -EAGAIN : ret;
    }
    return ret;
}

int pb_record_irq(PbRecorder *r, uint8_t vector)
{
    int ret = pb_record_may_irq(r);

    if (ret == 0) {
        ret = emit_here(r, PB_EVENT_IRQ, vector);
    }
    return ret ? ret : pb_inject_irq(r->v, vector);
}

int pb_record_nmi(PbRecorder *r)
{
    int ret = pb_vcpu_complete(r->v);

    if (ret == 0) {
        ret = pb_half_delivered(r->v, true);
        if (ret == 0 && pb_remedy(PB_REMEDY_INT)) {
            ret = pb_before_int(r->v);
        }
        ret = ret == 1 ? -EAGAIN : ret;
    }
    if (ret == 0) {
        ret = emit_here(r, PB_EVENT_NMI, 0);
    }
    return ret ? ret : pb_inject_nmi(r->v);
}

/* Have the vCPU at a position. */
static int reach(PbRecorder *r)
{
    int ret = pb_vcpu_complete(r->v);

    if (ret == 0) {
        ret = pb_half_delivered(r->v, false);
        ret = ret == 1 ? -EAGAIN : ret;
    }
    return ret;
}

int pb_record_point(PbRecorder *r, PbEventKind kind)
{
    int ret = reach(r);

    return ret ? ret : emit_here(r, kind, 0);
}

int pb_record_stand(PbRecorder *r)
{
    int ret = reach(r);

    if (ret == 0) {
        ret = pb_position_take_whole(r->v, &r->at);
        r->stands = ret == 0;
    }
    return ret;
}

void pb_record_leave(PbRecorder *r)
{
    r->stands = false;
}

int pb_record_slice(PbRecorder *r, uint32_t most)
{
    const PbBlock *b = &r->v->mem->block[r->slice.block];
    uint64_t left = b->size - r->slice.offset;
    int ret = pb_record_point(r, PB_EVENT_POINT);
    PbEvent e;

    if (ret) {
        return ret;
    }
    e = change_event(r, PB_EVENT_SLICE);
    e.body.slice = r->slice;
    e.body.slice.len = left < most ? left : most;
    e.body.slice.crc = pb_crc_ram(b->host + r->slice.offset,
                                  e.body.slice.len);
    pb_emit(&r->out, &e, NULL);
    r->slice.offset += e.body.slice.len;
    if (r->slice.offset == b->size) {
        r->slice.offset = 0;
        r->slice.block = (r->slice.block + 1) % r->v->mem->blocks;
    }
    return 0;
}

void pb_record_mark(PbRecorder *r)
{
    PbEvent e = sync_event(r, PB_EVENT_MARK);

    pb_emit(&r->out, &e, NULL);
    trim_ring(r);
}

void pb_record_note(PbRecorder *r, PbEventKind kind, uint16_t arg)
{
    PbEvent e = change_event(r, kind);

    e.arg = arg;
    pb_emit(&r->out, &e, NULL);
    if (kind == PB_EVENT_END) {
        __atomic_store_n(&r->out.ended, true, __ATOMIC_RELAXED);
    }
}
