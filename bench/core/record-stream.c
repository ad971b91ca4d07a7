/* SPDX-License-Identifier: GPL-2.0-or-later */
/* record-stream.c: an evidence file's events as exits to be recorded. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "record-stream.h"

#define IO_DATA   4096u
#define UART_DATA 0x3f8

const char *stream_kind_name(unsigned kind)
{
    return kind == STREAM_WRITE ? "write" : pb_event_kind_name(kind);
}

static void add(Stream *s, unsigned kind, const PbEvent *slots)
{
    Action *a;

    if (!(s->actions & (s->actions - 1))) {
        size_t room = s->actions ? 2 * s->actions : 1;

        s->action = realloc(s->action, room * sizeof(*a));
        if (!s->action) {
            abort();
        }
    }
    a = &s->action[s->actions++];
    *a = (Action) { .kind = kind };
    s->of_kind[kind]++;
    if (slots) {
        uint32_t len = pb_event_payload_len(slots);
        uint8_t *payload = len ? malloc(len) : NULL;

        if (payload) {
            memcpy(payload, slots + 1, len);
        }
        a->e = *slots;
        a->payload = payload;
    }
}

void stream_read(Stream *s, const char *file)
{
    char why[300];
    PbEvidence *e = pb_evidence_open(file, why, sizeof(why));
    const PbEvent *slots;
    uint32_t writes;
    int n = -1;

    *s = (Stream) { 0 };
    if (e) {
        writes = e->info.at.writes;
        while ((n = pb_evidence_next(e, &slots, why, sizeof(why))) > 0) {
            for (; writes != slots->writes; writes++) {
                add(s, STREAM_WRITE, NULL);
            }
            /* Recorded together with the point before it. */
            if (slots->kind == PB_EVENT_SLICE && s->of_kind[PB_EVENT_POINT]) {
                s->of_kind[PB_EVENT_POINT]--;
                s->actions--;
            }
            /* READ_BEGIN comes by itself, END would be the last. */
            if (slots->kind != PB_EVENT_READ_BEGIN &&
                slots->kind != PB_EVENT_END) {
                add(s, slots->kind, slots);
            }
        }
        pb_evidence_close(e);
    }
    if (n < 0) {
        printf("error: %s\n", why);
        exit(1);
    }
}

void stream_of_kind(Stream *s, const Stream *all, unsigned kind,
                    size_t least)
{
    size_t i;

    *s = (Stream) { 0 };
    while (all->of_kind[kind] && s->actions < least) {
        for (i = 0; i < all->actions; i++) {
            if (all->action[i].kind == kind) {
                add(s, kind, NULL);
                s->action[s->actions - 1] = all->action[i];
            }
        }
    }
}

/* ---- one action ---- */

static void play_io(PbRecorder *r, struct kvm_run *run, const Action *a)
{
    bool in = a->kind == PB_EVENT_PIO_IN;
    uint8_t *data = (uint8_t *)run + IO_DATA;

    run->exit_reason = KVM_EXIT_IO;
    run->io.direction = in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT;
    run->io.port = in ? a->e.arg : UART_DATA;
    run->io.size = in ? a->e.size : 1;
    run->io.count = in ? a->e.body.pio.count : 1;
    run->io.data_offset = IO_DATA;
    pb_record_exit_begin(r);
    if (in) {
        memcpy(data, a->payload ? a->payload : a->e.body.pio.data,
               (size_t)run->io.size * run->io.count);
    }
    pb_record_exit_end(r);
}

static void play_mmio_read(PbRecorder *r, struct kvm_run *run,
                           const Action *a)
{
    run->exit_reason = KVM_EXIT_MMIO;
    run->mmio.is_write = 0;
    run->mmio.phys_addr = a->e.body.mmio.gpa;
    run->mmio.len = a->e.size;
    pb_record_exit_begin(r);
    memcpy(run->mmio.data, a->e.body.mmio.data, sizeof(run->mmio.data));
    pb_record_exit_end(r);
}

static void play_msr(PbRecorder *r, struct kvm_run *run, const Action *a)
{
    run->exit_reason = a->kind == PB_EVENT_RDMSR ? KVM_EXIT_X86_RDMSR
                                                 : KVM_EXIT_X86_WRMSR;
    run->msr.index = a->e.body.msr.index;
    pb_record_exit_begin(r);
    run->msr.error = a->e.body.msr.fault;
    run->msr.data = a->e.body.msr.value;
    pb_record_exit_end(r);
}

static void play_stop(PbRecorder *r, struct kvm_run *run, const Action *a)
{
    run->exit_reason = a->kind == PB_EVENT_HLT ? KVM_EXIT_HLT
                                               : KVM_EXIT_SHUTDOWN;
    pb_record_exit_begin(r);
    pb_record_exit_end(r);
}

static void must(int ret, const Action *a)
{
    if (ret) {
        printf("error: %s cannot be recorded: %d\n",
               stream_kind_name(a->kind), ret);
        exit(1);
    }
}

static void play_slot(PbRecorder *r, const Action *a)
{
    PbSlotChange c;

    memcpy(&c, a->payload, sizeof(c));
    pb_record_mem_slot(r, a->e.arg, &c);
}

void stream_play(PbRecorder *r, struct kvm_run *run, const Action *a,
                 const PbState *state)
{
    switch (a->kind) {
    case STREAM_WRITE:
    case PB_EVENT_PIO_IN:
        play_io(r, run, a);
        break;
    case PB_EVENT_MMIO_READ:
        play_mmio_read(r, run, a);
        break;
    case PB_EVENT_RDMSR:
    case PB_EVENT_WRMSR:
        play_msr(r, run, a);
        break;
    case PB_EVENT_HLT:
    case PB_EVENT_SHUTDOWN:
        play_stop(r, run, a);
        break;
    case PB_EVENT_IRQ:
        run->ready_for_interrupt_injection = run->if_flag = 1;
        must(pb_record_irq(r, a->e.arg), a);
        break;
    case PB_EVENT_NMI:
        must(pb_record_nmi(r), a);
        break;
    case PB_EVENT_POINT:
    case PB_EVENT_VERIFY:
        must(pb_record_point(r, a->kind), a);
        break;
    case PB_EVENT_SLICE:
        must(pb_record_slice(r, a->e.body.slice.len), a);
        break;
    case PB_EVENT_MEM_WRITE:
        pb_record_mem_write(r, a->e.body.mem.block, a->e.body.mem.offset,
                            a->e.body.mem.len);
        break;
    case PB_EVENT_MEM_SLOT:
        play_slot(r, a);
        break;
    case PB_EVENT_STATE:
        pb_record_state(r, 0, state);
        break;
    default:
        pb_record_mark(r);
        break;
    }
}
