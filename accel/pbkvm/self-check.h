/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * self-check.h: what the parts of the self-check share.
 *
 * Everything runs on the self-check's own thread.  A check returns true, or
 * false with PbCheck.why filled in.
 */
#ifndef PB_SELF_CHECK_H
#define PB_SELF_CHECK_H

#include "branch-counter.h"
#include "pb-calib.h"
#include "pb-perf.h"
#include "pb-uarch.h"

#define PB_CHECK_STOPS_MAX 1024

typedef struct PbCheck {
    int kvm_fd;
    PbSelfCheck *r;
    char *why;
    size_t len;
    bool ok;
    PbCalib g;
    PbCounter *c;
    PbPerf *perf;
    uint32_t random;                     /* of next_distance() */
    uint32_t skid[PB_CHECK_STOPS_MAX];   /* of each stop, in branches */
} PbCheck;

uint64_t pb_check_now_ns(void);

/* Have @run run on a thread of its own, and wait: 0 or an errno. */
int pb_check_thread(void *(*run)(void *opaque), void *opaque);

/* Fill in why; always false. */
bool pb_check_fail(PbCheck *k, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* The same for @what, which KVM answered with @ret. */
bool pb_check_kvm_failed(PbCheck *k, const char *what, int ret);

/* Whether the counter moved by @branches since it read @from. */
bool pb_check_count(PbCheck *k, const char *what, uint64_t from,
                    uint64_t branches);

/* Measure the skid, from which the margin follows. self-check-stops.c */
bool pb_check_skid(PbCheck *k);

/* An interrupt taken where an overflow stopped the guest. */
bool pb_check_interrupt(PbCheck *k);

#endif /* PB_SELF_CHECK_H */
