/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * count-thread.c: count a thread's guest branches, as pbkvm does for each of
 * its vCPUs: what KVM costs where that is all.
 *
 *   count-thread TID
 *
 * Says `counting` and goes on until its stdin ends.  The events are pbkvm's: a
 * counter, and a sampler that never fires.
 */
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "pb-host.h"
#include "pb-perf.h"

static bool count(const PbUarch *uarch, pid_t tid, uint64_t period)
{
    int fd = pb_perf_open_event(uarch, tid, period);

    return fd >= 0 && ioctl(fd, PERF_EVENT_IOC_ENABLE, 0) == 0;
}

int main(int argc, char **argv)
{
    const PbUarch *uarch;
    char why[400];
    pid_t tid;

    if (argc != 2) {
        fprintf(stderr, "usage: count-thread TID\n");
        return EXIT_FAILURE;
    }
    tid = atoi(argv[1]);
    uarch = pb_uarch_find(why, sizeof(why));
    if (uarch && !(count(uarch, tid, 0) && count(uarch, tid, PB_PERF_NEVER))) {
        pb_host_explain_perf(errno, uarch, why, sizeof(why));
        uarch = NULL;
    }
    if (!uarch) {
        printf("error: %s\n", why);
        return EXIT_FAILURE;
    }
    puts("counting");
    fflush(stdout);
    while (getchar() != EOF) {
    }
    return EXIT_SUCCESS;
}
