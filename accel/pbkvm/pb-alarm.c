/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-alarm.c: a timer that kicks a vCPU's thread. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "branch-counter.h"
#include "pb-alarm.h"

int pb_alarm_new(timer_t *timer)
{
    struct sigevent how = {
        .sigev_notify = SIGEV_THREAD_ID,
        .sigev_signo = PB_COUNTER_SIGNAL,
        ._sigev_un._tid = gettid(),
    };

    return timer_create(CLOCK_MONOTONIC, &how, timer) < 0 ? -errno : 0;
}

int pb_alarm_set(timer_t timer, uint64_t ns)
{
    struct itimerspec when = {
        .it_value = { ns / 1000000000, ns % 1000000000 },
    };

    return timer_settime(timer, 0, &when, NULL) < 0 ? -errno : 0;
}
