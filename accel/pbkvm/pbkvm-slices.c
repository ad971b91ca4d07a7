/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pbkvm-slices.c: RAM compared in the background. */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "hw/core/cpu.h"

#include "pbkvm.h"
#include "pbkvm-options.h"

void pbkvm_slices_class_init(ObjectClass *oc)
{
    pbkvm_add_ms(oc, "verify-interval", offsetof(PbkvmState,
                                                 slices.interval_ms),
        "Compare 64 KiB of RAM every so many ms, in turn, while both run (0 "
        "to 3600000, default: 0, never)");
}

/* ---- when ---- */

static void interval_is_over(void *opaque)
{
    PbkvmState *s = opaque;

    if (s->in_exec && pbkvm_is_followed(s)) {
        qatomic_set(&s->slices.due, true);
        qemu_cpu_kick(s->cpu);
    }
    pbkvm_slices_restart(s);
}

void pbkvm_slices_restart(PbkvmState *s)
{
    if (s->slices.timer) {
        timer_mod(s->slices.timer, qemu_clock_get_ms(QEMU_CLOCK_VIRTUAL) +
                  s->slices.interval_ms);
    }
}

void pbkvm_slices_start(PbkvmState *s)
{
    if (s->slices.interval_ms) {
        s->slices.timer = timer_new_ms(QEMU_CLOCK_VIRTUAL, interval_is_over,
                                       s);
        pbkvm_slices_restart(s);
    }
}

int pbkvm_slices_record(PbkvmState *s)
{
    PbkvmSlices *p = &s->slices;
    uint64_t since;
    int ret;

    if (!qatomic_read(&p->due)) {
        return 0;
    }
    since = get_clock();
    ret = pb_record_slice(s->rec, PBKVM_SLICE_BYTES);
    if (ret == 0) {
        qatomic_set(&p->due, false);
        since = get_clock() - since;
        p->recorded++;
        p->stop_ns += since;
        p->stop_max_ns = MAX(p->stop_max_ns, since);
    }
    return ret == -EAGAIN ? 0 : ret;
}

/* ---- what is told ---- */

PbkvmSlicesInfo *pbkvm_slices_info(const PbkvmState *s,
                                   const PbBackupStats *b)
{
    PbkvmSlicesInfo *q;

    if (!s->slices.interval_ms) {
        return NULL;
    }
    q = g_new0(PbkvmSlicesInfo, 1);
    q->interval = s->slices.interval_ms;
    q->bytes = PBKVM_SLICE_BYTES;
    q->compared = b->slices;
    q->passes = b->passes;
    q->has_pass_time = b->passes != 0;
    q->pass_time = b->pass_ns;
    q->stop_mean = s->slices.stop_ns / MAX(s->slices.recorded, 1);
    q->stop_max = s->slices.stop_max_ns;
    return q;
}
