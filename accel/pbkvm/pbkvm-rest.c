/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-rest.c: whoever changes guest memory finds the Primary's vCPU at rest.
 *
 * Devices act with the BQL held: in an exit of the vCPU, or beside it, from
 * the main loop, when a disk has read, a packet has come, a timer is over.
 * What they change of guest memory must have a place in the history.  So
 * before the first write a thread has the vCPU leave the guest, and waits until
 * it says where it is: at a position, or in an exit.  To go on it needs the
 * BQL itself.  A timer that raises an interrupt writes nothing, and waits for
 * nobody.
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "exec/address-spaces.h"
#include "exec/memory.h"
#include "hw/core/cpu.h"
#include "system/cpus.h"

#include "branch-counter.h"
#include "pbkvm.h"

static PbkvmState *watched;

/* ---- any other thread ---- */

/* BQL held: the vCPU cannot begin to move again before that is released. */
void pbkvm_make_rest(PbkvmState *s)
{
    if (!s->cpu || qemu_cpu_is_self(s->cpu) || s->ended) {
        return;
    }
    while (qatomic_load_acquire(&s->rest.moving)) {
        qemu_event_reset(&s->rest.here);
        if (qatomic_load_acquire(&s->rest.moving)) {
            qatomic_set(&s->cpu->exit_request, 1);
            qemu_cpu_kick(s->cpu);
            qemu_event_wait(&s->rest.here);
        }
    }
}

/* Without the BQL there is no waiting: what is written ends the history. */
static void memory_changes(void)
{
    if (bql_locked()) {
        pbkvm_make_rest(watched);
    }
}

/* Of memory slots. */
static void map_changes(MemoryListener *l)
{
    memory_changes();
}

static MemoryListener listener = {
    .name = "pbkvm",
    .begin = map_changes,
};

/* ---- the vCPU's ---- */

void pbkvm_rest_end(PbkvmState *s)
{
    s->in_exec = true;
    qatomic_set(&s->rest.moving, true);
}

void pbkvm_rest_begin(PbkvmState *s)
{
    s->in_exec = false;
    s->rest.tries = 0;
    if (s->recording) {
        pb_record_kick(s->rec);
    }
    qatomic_store_release(&s->rest.moving, false);
}

void pbkvm_rest_here(PbkvmState *s)
{
    qatomic_store_release(&s->rest.moving, false);
    qemu_event_set(&s->rest.here);
}

static void bql_taken(bool taken)
{
    PbkvmState *s = watched;

    if (s->cpu && qemu_cpu_is_self(s->cpu) && s->in_exec) {
        if (taken) {
            qatomic_set(&s->rest.moving, true);
        } else {
            pbkvm_rest_here(s);
        }
    }
}

int pbkvm_stand(PbkvmState *s)
{
    int ret;

    if (!s->recording || s->ended || s->standing) {
        return 0;
    }
    ret = pb_record_stand(s->rec);
    s->standing = ret == 0;
    return ret;
}

/* Whoever wants it to rest waits, and kicks no more: a timer does. */
#define REST_TRIES 50
#define REST_US    20

/* What is half delivered goes on into its handler first. */
static int go_on(PbkvmState *s)
{
    int ret = pb_counter_kick_in(s->primary.counter,
                                 ++s->rest.tries * REST_US);

    if (ret < 0) {
        error_report("pbkvm: setting a timer: %s", strerror(-ret));
    }
    return ret < 0 ? 0 : -EAGAIN;
}

int pbkvm_rest(PbkvmState *s)
{
    int ret = pbkvm_stand(s);

    if (ret == -EAGAIN && s->rest.tries < REST_TRIES) {
        return go_on(s);
    }
    s->rest.tries = 0;
    if (ret == -EAGAIN) {
        warn_report("pbkvm: the Primary rests amid the delivery of an event, "
                    "at no position");
    } else if (ret < 0) {
        error_report("pbkvm: reading the Primary's position: %s",
                     strerror(-ret));
    }
    return ret > 0;
}

void pbkvm_rest_recorded(PbkvmState *s)
{
    if (s->recording) {
        pb_record_stood(s->rec);
    }
}

void pbkvm_rest_init(PbkvmState *s)
{
    watched = s;
    qemu_event_init(&s->rest.here, false);
    bql_hook = bql_taken;
    memory_change_hook = memory_changes;
    memory_listener_register(&listener, &address_space_memory);
}
