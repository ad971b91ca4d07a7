/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * count-thread.c: count a thread's guest branches, as pbkvm does for each of
 * its vCPUs: what KVM costs where that is all.
 *
 *   count-thread TID
 *
 * Says `counting` and goes on until its stdin ends.  The events are those of
 * pb-perf.c: a counter, and a sampler that never fires.
 */
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "branch-counter.h"

static int count(const PbUarch *uarch, pid_t tid, uint64_t period)
{
    struct perf_event_attr attr = {
        .size = sizeof(attr),
        .type = uarch->type,
        .config = uarch->config,
        .sample_period = period,
        .exclude_host = 1,
        .pinned = 1,
    };

    return syscall(SYS_perf_event_open, &attr, tid, -1, -1, 0);
}

int main(int argc, char **argv)
{
    const PbUarch *uarch;
    char why[400];

    if (argc != 2) {
        fprintf(stderr, "usage: count-thread TID\n");
        return EXIT_FAILURE;
    }
    uarch = pb_uarch_find(why, sizeof(why));
    if (!uarch) {
        printf("error: %s\n", why);
        return EXIT_FAILURE;
    }
    if (count(uarch, atoi(argv[1]), 0) < 0 ||
        count(uarch, atoi(argv[1]), 1ull << 60) < 0) {
        printf("error: thread %s cannot be counted: %s\n", argv[1],
               strerror(errno));
        return EXIT_FAILURE;
    }
    puts("counting");
    fflush(stdout);
    while (getchar() != EOF) {
    }
    return EXIT_SUCCESS;
}
