/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-step-mend.h: take our TF out of what the processor has just stored (so
 * that KVM has logged that page as written to).
 *
 * The vCPU's thread, after a step with TF.  0 or -errno: -EFAULT when the
 * place cannot be read or written, -EPROTO when it is not what was stepped to.
 */
#ifndef PB_STEP_MEND_H
#define PB_STEP_MEND_H

#include "pb-step-plan.h"

/* The step @in has ended at the handler of @vector. */
int pb_step_mend_fault(PbVcpu *v, const PbStepInput *in, int vector);

/* The step @in, over a MOV DR, may have left BS in the guest's DR6. */
int pb_step_mend_dr6(PbVcpu *v, const PbStepInput *in);

/* If the step @in has switched tasks, TF is in the TSS of the one it left. */
int pb_step_mend_task(PbVcpu *v, const PbStepInput *in);

#endif /* PB_STEP_MEND_H */
