/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-remedy.h: what we do against one trap of KVM, perf or the CPU each, by
 * name, so that a test can leave it out and see what it prevents.
 *
 * Only a core built with PB_TEST_REMEDIES can leave one out; elsewhere all are
 * in force and pb_remedy() costs nothing.  docs/determinism.md tells of each.
 */
#ifndef PB_REMEDY_H
#define PB_REMEDY_H

#include <stdbool.h>
#include <stdint.h>

typedef enum PbRemedy {
    PB_REMEDY_FRAME,      /* TF leaves the frame of a fault under a step */
    PB_REMEDY_DUE,        /* what KVM delivers next is part of a position */
    PB_REMEDY_HASH,       /* registers and stack are part of a position */
    PB_REMEDY_LOOP,       /* so is memory that a branchless loop names */
    PB_REMEDY_RESUMED,    /* no breakpoint where RF is set: steps */
    PB_REMEDY_HALF,       /* no position amid the delivery of an event */
    PB_REMEDY_VPMU,       /* the guest has no PMU */
    PB_REMEDY_IRET,       /* a step over IRET with an NMI waiting is whole */
    PB_REMEDY_MARGIN,     /* the sampler is armed early */
    PB_REMEDY_NO_TF,      /* no TF where the next instruction is known */
    PB_REMEDY_RF,         /* RF is cleared before every injection */
    PB_REMEDY_PENDING,    /* a pending exit is completed before a look */
    PB_REMEDY_EVENTS,     /* events are put last */
    PB_REMEDY_INT,        /* no NMI is recorded right before an INT */
    PB_REMEDY_HIDE_RF,    /* RF is not set where the guest could tell */
    PB_REMEDY_SHADOW,     /* a step over MOV SS may end one further */
    PB_REMEDY_UNSEEN,     /* nothing is recorded in a shadow */
    PB_REMEDY_TASK,       /* TF leaves the TSS of a task that is left */
    PB_REMEDY_OWN_DB,     /* the guest gets a #DB of its own, near a position */
    PB_REMEDY_TICK,       /* the guest does not run while its TSC ticks */
    /* Shown by unit tests: */
    PB_REMEDY_ONE_DB,     /* TF's trap goes before a breakpoint there */
    PB_REMEDY_MOV_DR,     /* the guest's MOV DR is stepped by TF alone */
    PB_REMEDY_GUEST_TF,   /* a TF that the guest loads is given back */
    PB_REMEDY_KICK,       /* a signal before KVM_RUN is heard by that */
    PB_REMEDY_WIDTH,      /* RDPMC tells low bits alone */
    PB_REMEDY_SWITCH,     /* the sampler is armed again when the thread has
                             lost its CPU */
    PB_REMEDIES
} PbRemedy;

#ifdef PB_TEST_REMEDIES
extern uint32_t pb_without;   /* bits 1 << PbRemedy; set before any vCPU is */
extern bool pb_distrust;      /* ask KVM for what is known, too: pb-vcpu.c */

static inline bool pb_remedy(PbRemedy r)
{
    return !(pb_without >> r & 1);
}
#else
enum { pb_distrust = false };

static inline bool pb_remedy(PbRemedy r)
{
    (void)r;
    return true;
}
#endif

#endif /* PB_REMEDY_H */
