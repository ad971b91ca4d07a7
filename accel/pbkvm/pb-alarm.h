/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-alarm.h: a timer that kicks a vCPU's thread by PB_COUNTER_SIGNAL
 * (branch-counter.h), whoever holds which lock then.
 *
 * Linux.  Results are 0 or -errno; timer_delete(2) ends it.
 */
#ifndef PB_ALARM_H
#define PB_ALARM_H

#include <stdint.h>
#include <time.h>

/* For the calling thread. */
int pb_alarm_new(timer_t *timer);

/* Once, in @ns from now (at least 1); an alarm not yet due is forgotten. */
int pb_alarm_set(timer_t timer, uint64_t ns);

#endif /* PB_ALARM_H */
