/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-check: can this host run pbkvm with its own KVM and PMU?
 *
 * Prints one requirement per line.  Exit status 0: yes; 1: no, and why; 2:
 * wrong call.
 */
#include <stdio.h>
#include <unistd.h>

#include "branch-counter.h"
#include "pb-host.h"
#include "pb-tsc.h"

static int refused(const char *what, const char *why)
{
    printf("FAIL  %-10s %s\n", what, why);
    printf("This host cannot run pbkvm with its own PMU.\n");
    return 1;
}

static void print_result(const PbSelfCheck *r)
{
    printf("ok    %-10s %s, read in %u ns\n", "PMU",
           r->rdpmc ? "rdpmc" : "read(2)", r->read_ns);
    printf("ok    %-10s loops, port exits, interrupts, %s\n", "exact",
           "single steps and overflow stops");
    printf("ok    %-10s at most %u branches, median %u, in %u stops; margin "
           "%u\n", "skid", r->skid_max, r->skid_median, r->stops, r->margin);
    printf("ok    %-10s single step %u.%u us, breakpoint %u.%u us\n", "cost",
           r->step_ns / 1000, r->step_ns / 100 % 10,
           r->break_ns / 1000, r->break_ns / 100 % 10);
    if (r->warning[0]) {
        printf("warn  %-10s %s\n", "host", r->warning);
    }
    printf("This host can run pbkvm with its own PMU (checked in %u ms).\n",
           r->took_ms);
}

/* For guests that need a time stamp counter; not all do. */
static void print_tsc(int kvm)
{
    PbTscModel m;
    char why[240];

    if (pb_tsc_check(kvm, &m, why, sizeof(why))) {
        printf("ok    %-10s a guest may have one (-cpu ...,+tsc)\n", "TSC");
    } else {
        printf("warn  %-10s %s\n", "TSC", why);
    }
}

int main(int argc, char **argv)
{
    const PbUarch *uarch;
    PbSelfCheck result;
    char why[512];
    bool ok;
    int kvm;

    if (argc != 1) {
        fprintf(stderr, "%s: error: takes no arguments, got \"%s\"\n",
                argv[0], argc ? argv[1] : "");
        return 2;
    }
    kvm = pb_kvm_open(why, sizeof(why));
    if (kvm < 0) {
        return refused("/dev/kvm", why);
    }
    printf("ok    %-10s usable\n", "/dev/kvm");
    uarch = pb_uarch_find(why, sizeof(why));
    if (!uarch) {
        close(kvm);
        return refused("CPU", why);
    }
    printf("ok    %-10s %s: event 0x%llx\n", "CPU", uarch->name,
           (unsigned long long)uarch->config);
    ok = pb_self_check(kvm, &result, why, sizeof(why));
    if (ok) {
        print_tsc(kvm);
    }
    close(kvm);
    if (!ok) {
        return refused("PMU", why);
    }
    print_result(&result);
    return 0;
}
