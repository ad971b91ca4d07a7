/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-step-run.h: pb_vcpu_run() of counter=step: KVM_RUN in single steps.
 *
 * Belongs to the vCPU's thread.  Guest debugging is off in KVM when it
 * returns, but v->debug_control and the breakpoints read as the caller set
 * them and hold for the next run.
 */
#ifndef PB_STEP_RUN_H
#define PB_STEP_RUN_H

#include "branch-counter.h"

/* Returns as pb_vcpu_run(), -EINTR without forgetting the kick. */
int pb_run_steps(PbVcpu *v, PbCounter *c);

/* Whether the run is to end: a signal, or the armed number was reached. */
bool pb_counter_kicked(const PbCounter *c);

#endif /* PB_STEP_RUN_H */
