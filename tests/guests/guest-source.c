/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guest-source.c: the outside world, which comes when it likes.
 *
 * Normally a thread sleeps for random times.  Single-stepped guests are too
 * slow and too short for that: there the Primary's steps are counted (the
 * linker leads pb_step() here), so that any instruction can be hit and a seed
 * repeats a run; or its branches, if the Backup alone is stepped.
 */
#include <string.h>
#include <time.h>

#include "guests.h"
#include "pb-step.h"

#define MEAN_STEPS    40
#define MEAN_BRANCHES 15

/* The run whose Primary steps; tests are run one at a time. */
static GuestSource *stepping;

int __real_pb_step(PbVcpu *v, bool *branch);
int __wrap_pb_step(PbVcpu *v, bool *branch);

/* Often very near the last one: interrupts upon interrupts find bugs. */
static uint64_t next_gap(GuestSource *s, uint64_t mean)
{
    uint64_t x = guest_random(&s->random);

    return 1 + (x >> 8) % (x % 4 ? 2 * mean : 8);
}

static void tick(GuestSource *s)
{
    pthread_mutex_lock(&s->lock);
    s->due++;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    pb_counter_kick(s->run->v.counter);
}

int __wrap_pb_step(PbVcpu *v, bool *branch)
{
    GuestSource *s = stepping;

    if (s && v == &s->run->v && --s->countdown == 0) {
        s->countdown = next_gap(s, MEAN_STEPS);
        tick(s);
    }
    return __real_pb_step(v, branch);
}

static void *source_thread(void *opaque)
{
    GuestSource *s = opaque;
    uint64_t mean = 1000000000ull / s->run->o->rate;

    pthread_mutex_lock(&s->lock);
    while (!s->stop) {
        uint64_t at = guest_now(NULL) + next_gap(s, mean);
        struct timespec t = { .tv_sec = at / 1000000000,
                              .tv_nsec = at % 1000000000 };

        while (!s->stop && guest_now(NULL) < at) {
            pthread_mutex_unlock(&s->lock);
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
            pthread_mutex_lock(&s->lock);
        }
        /* One that is not yet taken is enough. */
        if (!s->stop && s->due == 0) {
            pthread_mutex_unlock(&s->lock);
            tick(s);
            pthread_mutex_lock(&s->lock);
        }
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

bool guest_source_start(GuestRun *r)
{
    GuestSource *s = &r->source;

    s->run = r;
    s->random = r->o->seed * 0x9e3779b97f4a7c15ull + 1;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    if (r->o->counter == PB_COUNTER_STEP) {
        s->clock = CLOCK_STEPS;
        s->countdown = next_gap(s, MEAN_STEPS);
        stepping = s;
        return true;
    }
    if (r->o->backup_counter == PB_COUNTER_STEP) {
        s->clock = CLOCK_BRANCHES;
        return true;
    }
    s->clock = CLOCK_TIME;
    s->started = pthread_create(&s->thread, NULL, source_thread, s) == 0;
    return s->started;
}

void guest_source_stop(GuestRun *r)
{
    GuestSource *s = &r->source;

    stepping = NULL;
    if (s->started) {
        pthread_mutex_lock(&s->lock);
        s->stop = true;
        pthread_mutex_unlock(&s->lock);
        pthread_join(s->thread, NULL);
        s->started = false;
    }
}

void guest_source_arm(GuestRun *r)
{
    GuestSource *s = &r->source;

    if (s->clock == CLOCK_BRANCHES && s->countdown == 0) {
        s->countdown = next_gap(s, MEAN_BRANCHES);
        if (pb_counter_arm(r->v.counter, s->countdown) < 0) {
            guest_fail(r, "arming the Primary's sampler");
        }
    }
}

void guest_source_look(GuestRun *r)
{
    GuestSource *s = &r->source;

    if (s->clock == CLOCK_BRANCHES && pb_counter_fired(r->v.counter)) {
        s->countdown = 0;
        tick(s);
    }
}

bool guest_source_take(GuestRun *r)
{
    GuestSource *s = &r->source;
    bool took;

    pthread_mutex_lock(&s->lock);
    took = s->due != 0;
    s->due -= took;
    pthread_mutex_unlock(&s->lock);
    return took;
}

void guest_source_wait(GuestRun *r, int ms)
{
    GuestSource *s = &r->source;
    struct timespec t;

    if (s->clock != CLOCK_TIME) {
        /* Nothing moves while the guest is halted. */
        if (s->due == 0) {
            tick(s);
        }
        return;
    }
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += ms * 1000000l;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    pthread_mutex_lock(&s->lock);
    if (s->due == 0) {
        pthread_cond_timedwait(&s->changed, &s->lock, &t);
    }
    pthread_mutex_unlock(&s->lock);
}
