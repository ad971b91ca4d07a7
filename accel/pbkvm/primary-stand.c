/* SPDX-License-Identifier: GPL-2.0-or-later */
/* primary-stand.c: where the Primary stands, and what is recorded there. */
#include <errno.h>

#include "pb-crc.h"
#include "pb-inject.h"
#include "pb-linear.h"
#include "pb-remedy.h"
#include "pb-tables.h"
#include "primary-internal.h"

/* Bytes of code before and after RIP, where a loop may be. */
#define NEARBY 96

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

/* Have the vCPU at a position; @irq_too: as pb_half_delivered(). */
static int reach(PbRecorder *r, bool irq_too)
{
    int ret = pb_vcpu_complete(r->v);

    if (ret == 0) {
        ret = pb_half_delivered(r->v, irq_too);
        ret = ret == 1 ? -EAGAIN : ret;
    }
    return ret;
}

int pb_record_nmi(PbRecorder *r)
{
    int ret = reach(r, true);

    if (ret == 0 && pb_remedy(PB_REMEDY_INT)) {
        ret = pb_before_int(r->v);
        ret = ret == 1 ? -EAGAIN : ret;
    }
    if (ret == 0) {
        ret = emit_here(r, PB_EVENT_NMI, 0);
    }
    return ret ? ret : pb_inject_nmi(r->v);
}

int pb_record_point(PbRecorder *r, PbEventKind kind)
{
    int ret = reach(r, false);

    return ret ? ret : emit_here(r, kind, 0);
}

int pb_record_turn(PbRecorder *r, unsigned to)
{
    /* What waits in KVM would need the event's arg. */
    int ret = reach(r, true);

    return ret ? ret : emit_here(r, PB_EVENT_TURN, to);
}

/* A loop that waits for the counter reads it in every round. */
static bool reads_tsc(PbVcpu *v)
{
    const struct kvm_sregs *sregs = &v->run->s.regs.sregs;
    uint8_t code[2 * NEARBY];
    uint64_t pc, from;
    unsigned i, n;

    if (pb_vcpu_know(v, PB_VCPU_SYNC) < 0) {
        return false;
    }
    pc = pb_linear(sregs, v->run->s.regs.regs.rip);
    from = pc & ~0xfffull;
    if (pc - from > NEARBY) {
        from = pc - NEARBY;
    }
    n = pb_tables_read(v->mem, sregs, from, code, sizeof(code));
    for (i = 1; i < n; i++) {
        if (code[i - 1] == 0x0f && code[i] == 0x31) {
            return true;
        }
    }
    return false;
}

/* 1: the guest waits for its counter; 0 or -errno. */
static int look(PbRecorder *r, PbTsc *t)
{
    bool waits;
    int ret;

    if (!pb_tsc_look_is_due(t)) {
        return 0;
    }
    if (r->v->io_pending) {
        return pb_tsc_look_later(t);
    }
    waits = reads_tsc(r->v);
    ret = pb_tsc_looked(t, waits, pb_counter_read(r->v->counter));
    return ret < 0 ? ret : waits && !ret;
}

int pb_record_tsc(PbRecorder *r)
{
    PbTsc *t = r->out.tsc;
    int ret = t ? look(r, t) : 0;

    if (t && (ret == 1 || (ret == 0 && pb_tsc_is_old(t)))) {
        ret = 0;
        if (r->out.ended) {
            pb_tsc_event(t, pb_clock_now(&r->out.clock));
        } else {
            ret = pb_record_point(r, PB_EVENT_POINT);
        }
    }
    return ret == -EAGAIN ? 0 : ret;
}

int pb_record_stand(PbRecorder *r)
{
    int ret = reach(r, false);

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
