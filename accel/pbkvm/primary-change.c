/* SPDX-License-Identifier: GPL-2.0-or-later */
/* primary-change.c: what others change in the Primary's machine. */
#include "primary-internal.h"

/* One memory event carries at most this much. */
#define MEM_CHUNK 4096u

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

void pb_record_state(PbRecorder *r, unsigned cpu, const PbState *s)
{
    PbEvent e = change_event(r, PB_EVENT_STATE);

    begin_change(r);
    e.arg = cpu;
    e.body.blob.len = sizeof(*s);
    pb_emit(&r->out, &e, s);
}
