/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-chaos.c: option chaos and pbkvm-set-chaos: the Primary's vCPUs take
 * turns as nobody expects (pb-turns.h).  Main thread, BQL held.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-pbkvm-target.h"
#include "hw/core/cpu.h"

#include "pbkvm.h"

static bool get_chaos(Object *obj, Error **errp)
{
    return PBKVM_ACCEL(obj)->chaos;
}

static void set_chaos(Object *obj, bool value, Error **errp)
{
    if (pbkvm_not_yet_running(errp)) {
        PBKVM_ACCEL(obj)->chaos = value;
    }
}

void pbkvm_chaos_class_init(ObjectClass *oc)
{
    object_class_property_add_bool(oc, "chaos", get_chaos, set_chaos);
    object_class_property_set_description(oc, "chaos",
        "With several CPUs: turns of any length in any order, so that races "
        "come out (default: off)");
}

bool pbkvm_chaos_check(unsigned cpus, Error **errp)
{
    if (cpus > 1) {
        return true;
    }
    error_setg(errp, "pbkvm: chaos: this machine has 1 CPU, which takes no "
               "turns: expected several");
    error_append_hint(errp, "Use -smp 2, and a guest that can use them.\n");
    return false;
}

void qmp_pbkvm_set_chaos(bool enable, Error **errp)
{
    PbkvmState *s = pbkvm_get_state(errp);

    if (!s || (enable && !pbkvm_chaos_check(s->cpus.n, errp))) {
        return;
    }
    if (s->replay.file) {
        error_setg(errp, "the turns of a replay are those that were recorded");
        return;
    }
    s->chaos = enable;
    qemu_cpu_kick(s->cpu);
}
