/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * place.h: a second thread on a CPU of its own, and how near that CPU is.
 *
 * A virtual machine's CPUs move between cores while it runs, so the distance
 * is measured: before and after each sample.  Main thread only.
 */
#ifndef PLACE_H
#define PLACE_H

#include <stdbool.h>
#include <stdint.h>

typedef enum Place {
    PLACE_SMT,       /* two threads of one core */
    PLACE_NEAR,      /* two cores, one cache behind them */
    PLACE_FAR,       /* two cores without one */
} Place;

typedef void PlaceJob(void *opaque);

/* Pin this thread to @here and start the other on @there; false: errno. */
bool place_start(int here, int there);

/* Run @job on the other thread; place_wait() returns when it is done. */
void place_run(PlaceJob *job, void *opaque);
void place_wait(void);

Place place_measure(void);

/* One way of the last place_measure(), ns. */
double place_ns(void);

/* Preemptions of both threads so far. */
long place_preempted(void);

/* Time in ns, from the TSC. */
double place_now(void);

#endif /* PLACE_H */
