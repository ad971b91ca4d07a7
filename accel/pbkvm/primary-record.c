/* SPDX-License-Identifier: GPL-2.0-or-later */
/* primary-record.c: outside results of the Primary become events. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "branch-counter.h"
#include "pb-clock.h"
#include "pb-crc.h"
#include "pb-exit.h"
#include "pb-inject.h"
#include "pb-remedy.h"
#include "primary-record.h"
#include "primary-stage.h"

/* One memory event carries at most this much. */
#define MEM_CHUNK 4096u

struct PbRecorder {
    PbStage stage;        /* the ring, and what it could not take */
    PbVcpu *v;
    PbClock clock;

    uint64_t seq;
    uint64_t last_time;
    uint64_t last_branches;
    uint64_t digest;
    uint32_t writes;
    bool read_open;       /* a read exit is with its device model, */
    bool read_begun;      /* and has already changed guest memory */

    PbEventSlice slice;   /* offset and block of the next one */
    bool ended;           /* atomic: PB_EVENT_END is recorded */
    uint64_t by_kind[PB_EVENT_KINDS];
};

PbRecorder *pb_record_new(PbRing *ring, PbSpill *spill, PbVcpu *primary,
                          uint64_t (*now)(void *opaque), void *opaque)
{
    PbRecorder *r = calloc(1, sizeof(*r));

    if (r) {
        r->stage.ring = ring;
        r->stage.spill = spill;
        r->v = primary;
        pb_clock_init(&r->clock, now, opaque);
        r->digest = PB_DIGEST_START;
    }
    return r;
}

void pb_record_free(PbRecorder *r)
{
    if (r) {
        pb_stage_free(&r->stage);
        free(r);
    }
}

bool pb_record_staged(const PbRecorder *r)
{
    return r->stage.used != 0;
}

bool pb_record_last(const PbRecorder *r, uint64_t *seq, uint64_t *branches)
{
    *seq = __atomic_load_n(&r->seq, __ATOMIC_RELAXED);
    *branches = __atomic_load_n(&r->last_branches, __ATOMIC_RELAXED);
    return !__atomic_load_n(&r->ended, __ATOMIC_RELAXED);
}

uint64_t pb_record_last_time(const PbRecorder *r)
{
    return __atomic_load_n(&r->last_time, __ATOMIC_RELAXED);
}

void pb_record_stats(const PbRecorder *r, PbRecordStats *s)
{
    s->events = __atomic_load_n(&r->seq, __ATOMIC_RELAXED);
    s->time_ns = pb_record_last_time(r);
    s->branches = __atomic_load_n(&r->last_branches, __ATOMIC_RELAXED);
    s->staged = __atomic_load_n(&r->stage.total, __ATOMIC_RELAXED);
    s->digest = r->digest;
    s->writes = r->writes;
    memcpy(s->by_kind, r->by_kind, sizeof(s->by_kind));
}

bool pb_record_flush(PbRecorder *r, int timeout_ms)
{
    return pb_stage_move(&r->stage, timeout_ms, false);
}

void pb_record_rest(PbRecorder *r)
{
    if (r->stage.spill) {
        pb_stage_move(&r->stage, 0, true);
    }
}

/* Where @n slots may be filled: in the ring, or in the stage (*@staged). */
static PbEvent *place(PbRecorder *r, uint32_t n, bool *staged)
{
    PbEvent *to = r->stage.used || pb_stage_spills(&r->stage)
                  ? NULL : pb_ring_reserve(r->stage.ring, n);

    *staged = !to;
    return to ? to : pb_stage_add(&r->stage, n);
}

static void put_payload(PbRecorder *r, PbEvent *staged, uint32_t slots,
                        const uint8_t *data, uint32_t len)
{
    uint32_t i, last = len % PB_EVENT_SIZE;

    for (i = 1; i <= slots; i++) {
        PbEvent *to = staged ? staged + i : pb_ring_slot(r->stage.ring, i);

        if (i == slots && last) {
            memset(to, 0, PB_EVENT_SIZE);
            memcpy(to, data, last);
        } else {
            memcpy(to, data, PB_EVENT_SIZE);
        }
        data += PB_EVENT_SIZE;
    }
}

/*
 * One word of an event.  Atomic, so that no compiler makes one store of two:
 * the checksum loads words, and a processor makes a load wait that does not lie
 * in one store just made.
 */
static inline void put_word(PbEvent *to, unsigned i, uint64_t word)
{
    typedef uint64_t Word __attribute__((may_alias));

    __atomic_store_n((Word *)to + i, word, __ATOMIC_RELAXED);
}

/* @e with what each event has. */
static inline void complete(PbRecorder *r, const PbEvent *e, PbEvent *to,
                            uint64_t seq, uint64_t time_ns)
{
    uint64_t body[sizeof(e->body) / 8];

    memcpy(body, &e->body, sizeof(body));
    put_word(to, 0, seq);
    put_word(to, 1, time_ns);
    put_word(to, 2, e->branches);
    put_word(to, 3, (uint32_t)r->digest);            /* crc: 0 */
    put_word(to, 4, e->kind | (uint32_t)e->size << 8 |
             (uint32_t)e->arg << 16 | (uint64_t)r->writes << 32);
    put_word(to, 5, body[0]);
    put_word(to, 6, body[1]);
    put_word(to, 7, body[2]);
}

/*
 * Complete @e and hand it on; @payload is pb_event_payload_len() bytes, NULL if
 * there are none.
 */
static void emit(PbRecorder *r, const PbEvent *e, const void *payload)
{
    uint32_t extra = payload ? pb_event_extra_slots(e) : 0;
    uint64_t seq = r->seq + 1, now;
    PbEvent *to;
    bool staged;

    if (r->ended) {
        return;
    }
    now = pb_clock_now(&r->clock);
    __atomic_store_n(&r->seq, seq, __ATOMIC_RELAXED);
    __atomic_store_n(&r->last_time, now, __ATOMIC_RELAXED);
    if (e->branches) {
        __atomic_store_n(&r->last_branches, e->branches, __ATOMIC_RELAXED);
    }
    r->by_kind[e->kind]++;
    to = place(r, 1 + extra, &staged);
    complete(r, e, to, seq, now);
    to->crc = pb_crc_event(to, payload);
    if (extra) {
        put_payload(r, staged ? to : NULL, extra, payload,
                    pb_event_payload_len(e));
    }
    if (!staged) {
        pb_ring_publish(r->stage.ring, 1 + extra);
    }
}

/* A synchronous event with the branch count as a check. */
static PbEvent sync_event(PbRecorder *r, PbEventKind kind)
{
    PbEvent e = { .kind = kind, .branches = pb_counter_read(r->v->counter) };

    return e;
}

void pb_record_exit_begin(PbRecorder *r)
{
    const struct kvm_run *run = r->v->run;
    PbEvent e;

    switch (run->exit_reason) {
    case KVM_EXIT_IO:
    case KVM_EXIT_MMIO:
        if (pb_exit_is_write(run)) {
            r->digest = pb_digest_exit(r->digest, run);
            r->writes++;
        } else {
            r->read_open = true;
        }
        break;
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR:
        r->read_open = true;
        break;
    case KVM_EXIT_HLT:
    case KVM_EXIT_SHUTDOWN:
        e = sync_event(r, run->exit_reason == KVM_EXIT_HLT ?
                       PB_EVENT_HLT : PB_EVENT_SHUTDOWN);
        emit(r, &e, NULL);
        break;
    }
}

static void record_pio_in(PbRecorder *r, const struct kvm_run *run)
{
    const uint8_t *data = (const uint8_t *)run + run->io.data_offset;
    size_t len = (size_t)run->io.size * run->io.count;
    PbEvent e = sync_event(r, PB_EVENT_PIO_IN);

    e.arg = run->io.port;
    e.size = run->io.size;
    e.body.pio.count = run->io.count;
    switch (len) {            /* a copy of constant length is no call */
    case 1:
        memcpy(e.body.pio.data, data, 1);
        break;
    case 2:
        memcpy(e.body.pio.data, data, 2);
        break;
    case 4:
        memcpy(e.body.pio.data, data, 4);
        break;
    default:
        if (len > PB_EVENT_INLINE_DATA) {
            emit(r, &e, data);
            return;
        }
        memcpy(e.body.pio.data, data, len);
        break;
    }
    emit(r, &e, NULL);
}

static void record_mmio_read(PbRecorder *r, const struct kvm_run *run)
{
    PbEvent e = sync_event(r, PB_EVENT_MMIO_READ);

    e.size = run->mmio.len;
    e.body.mmio.gpa = run->mmio.phys_addr;
    memcpy(e.body.mmio.data, run->mmio.data, run->mmio.len);
    emit(r, &e, NULL);
}

static void record_msr(PbRecorder *r, const struct kvm_run *run)
{
    bool read = run->exit_reason == KVM_EXIT_X86_RDMSR;
    PbEvent e = sync_event(r, read ? PB_EVENT_RDMSR : PB_EVENT_WRMSR);

    e.body.msr.index = run->msr.index;
    e.body.msr.fault = run->msr.error != 0;
    e.body.msr.value = run->msr.data;
    emit(r, &e, NULL);
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

/*
 * A change belongs to the exit it happens in.  If that is a read, whose own
 * event comes only with the answer, say first that the read was reached.
 */
static void begin_change(PbRecorder *r)
{
    if (r->read_open && !r->read_begun) {
        PbEvent e = sync_event(r, PB_EVENT_READ_BEGIN);

        r->read_begun = true;
        emit(r, &e, NULL);
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
                                          : r->last_branches,
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
        emit(r, &e, data);
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
    emit(r, &e, c);
}

void pb_record_state(PbRecorder *r, const PbState *s)
{
    PbEvent e = change_event(r, PB_EVENT_STATE);

    begin_change(r);
    e.body.blob.len = sizeof(*s);
    emit(r, &e, s);
}

/* Record @kind at where the vCPU stands. */
static int emit_here(PbRecorder *r, PbEventKind kind, uint16_t arg)
{
    PbEvent e = { .kind = kind, .arg = arg };
    PbPosition p;
    int ret = pb_position_take_whole(r->v, &p);

    if (ret < 0) {
        return ret;
    }
    pb_position_to_event(&p, &e);
    emit(r, &e, NULL);
    return 0;
}

int pb_record_irq(PbRecorder *r, uint8_t vector)
{
    int ret = pb_vcpu_complete(r->v);

    /* An instruction that was completed may have raised a fault. */
    if (ret == 0) {
        ret = pb_half_delivered(r->v, true);
        ret = ret == 1 || !r->v->run->ready_for_interrupt_injection ||
              !r->v->run->if_flag ? -EAGAIN : ret;
    }
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

int pb_record_point(PbRecorder *r, PbEventKind kind)
{
    int ret = pb_vcpu_complete(r->v);

    if (ret == 0) {
        ret = pb_half_delivered(r->v, false);
        ret = ret == 1 ? -EAGAIN : ret;
    }
    return ret ? ret : emit_here(r, kind, 0);
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
    emit(r, &e, NULL);
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

    emit(r, &e, NULL);
}

void pb_record_note(PbRecorder *r, PbEventKind kind, uint16_t arg)
{
    PbEvent e = change_event(r, kind);

    e.arg = arg;
    emit(r, &e, NULL);
    if (kind == PB_EVENT_END) {
        __atomic_store_n(&r->ended, true, __ATOMIC_RELAXED);
    }
}
