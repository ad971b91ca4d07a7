/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guest-kicks.c: signals to both vCPUs at random times, for no reason.
 *
 * Any KVM_RUN may be interrupted at any moment; here it is all the time.
 */
#include <signal.h>
#include <time.h>

#include "guests.h"

static void *kick_both(void *opaque)
{
    GuestRun *r = opaque;
    uint64_t random = r->o->seed + 1, mean = 1000000000ull / r->o->kicks;

    while (!__atomic_load_n(&r->kicks_end, __ATOMIC_ACQUIRE)) {
        uint64_t gap = guest_random(&random) % (2 * mean);
        struct timespec t = { .tv_sec = gap / 1000000000,
                              .tv_nsec = gap % 1000000000 };

        nanosleep(&t, NULL);
        pb_counter_kick(r->v.counter);
        pthread_kill(r->backup_thread, PB_COUNTER_SIGNAL);
    }
    return NULL;
}

bool guest_kicks_start(GuestRun *r)
{
    r->kicks_started = r->o->kicks &&
                       !pthread_create(&r->kicks_thread, NULL, kick_both, r);
    return r->kicks_started || !r->o->kicks;
}

void guest_kicks_stop(GuestRun *r)
{
    if (r->kicks_started) {
        __atomic_store_n(&r->kicks_end, true, __ATOMIC_RELEASE);
        pthread_join(r->kicks_thread, NULL);
        r->kicks_started = false;
    }
}
