/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-host.h: what this host offers and what it lacks, in words.
 *
 * Every refusal says which requirement failed, what was found and what to
 * do, in one phrase.  Any thread; nothing is printed.
 */
#ifndef PB_HOST_H
#define PB_HOST_H

#include "branch-counter.h"

/* The way out that always works. */
#define PB_USE_LAB "use the lab: lab/run"

#ifdef PB_TEST_REMEDIES
extern const char *pb_host_root;   /* where the tests' /proc and /sys are */
#else
#define pb_host_root ""
#endif

/* The number in file @path of /proc or /sys, or @absent. */
long pb_host_number(const char *path, long absent);

/*
 * /dev/kvm, usable for pbkvm: its descriptor, which the caller closes, or -1
 * with @why.
 */
int pb_kvm_open(char *why, size_t len);

/* Why perf_event_open(2) for @uarch failed with errno @err. */
void pb_host_explain_perf(int err, const PbUarch *uarch, char *why,
                          size_t len);

/* Why a pinned event got no hardware counter. */
void pb_host_explain_no_counter(char *why, size_t len);

/* What may help when counts come out wrong; "; ..." or "". */
const char *pb_host_miscount_advice(const PbUarch *uarch);

/*
 * Whether real mode runs on the processor, as kvm_intel's unrestricted_guest
 * says.  Else KVM interprets it, and no counter sees its branches: @why.
 */
bool pb_host_runs_real_mode(char *why, size_t len);

/*
 * What is not wrong but may become so (SMIs that count), with the command
 * that mends it.  False: nothing to say.
 */
bool pb_host_warning(char *text, size_t len);

/*
 * Keep the calling thread on the cores whose PMU @uarch speaks of (hybrid
 * CPUs).  False with @why when it may run on none of them.
 */
bool pb_host_pin(const PbUarch *uarch, char *why, size_t len);

#endif /* PB_HOST_H */
