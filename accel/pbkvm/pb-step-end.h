/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-step-end.h: what the run of a step has come to: a step result, with
 * everything mended that the step has left behind.
 *
 * For pb-step.c, on the vCPU's thread.
 */
#ifndef PB_STEP_END_H
#define PB_STEP_END_H

#include "pb-step-plan.h"

/*
 * KVM_EXIT_DEBUG.  A step result, -EAGAIN for a #DB before anything was
 * executed, -EPROTO when the guest is where the plan says it cannot be.
 */
int pb_step_after_debug(PbVcpu *v, const PbStepInput *in,
                        const PbStepPlan *plan, bool *branch);

/*
 * A signal.  If the guest has moved it came between the instruction and its
 * breakpoint; only TF's own trap cannot be overtaken so.
 */
int pb_step_after_signal(PbVcpu *v, const PbStepInput *in,
                         const PbStepPlan *plan, bool *branch);

#endif /* PB_STEP_END_H */
