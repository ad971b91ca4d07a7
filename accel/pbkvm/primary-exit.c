/* SPDX-License-Identifier: GPL-2.0-or-later */
/* primary-exit.c: what the guest writes and is answered becomes events. */
#include <string.h>

#include "pb-exit.h"
#include "primary-internal.h"

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
        pb_record_trim(r);
        break;
    }
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
