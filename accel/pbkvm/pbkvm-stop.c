/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pbkvm-stop.c: stop the Primary where its history can say where. */
#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "qapi/error.h"
#include "hw/core/cpu.h"
#include "system/cpus.h"

#include "pbkvm.h"

typedef struct StopWork {
    PbkvmState *s;
    PbEventKind kind;
    PbState *state;
    int ret;
} StopWork;

/* On the Primary's thread, which is stopped. */
static void record_place(CPUState *cpu, run_on_cpu_data data)
{
    StopWork *w = data.host_ptr;

    w->ret = pb_record_point(w->s->rec, w->kind);
    if (w->ret == 0) {
        w->ret = pb_cpus_get_state(&w->s->cpus, w->state);
    }
}

bool pbkvm_stop_at_position(PbkvmState *s, PbEventKind kind,
                            RunState run_state, PbState *state, Error **errp)
{
    StopWork w = { .s = s, .kind = kind, .state = state };
    bool ran = runstate_is_running();

    vm_stop(run_state);
    run_on_cpu(s->cpu, record_place, RUN_ON_CPU_HOST_PTR(&w));
    if (w.ret != 0) {
        if (ran) {
            vm_start();
        }
        error_setg(errp, "the Primary could not be stopped at a position: "
                   "%s", strerror(-w.ret));
        return false;
    }
    return true;
}
