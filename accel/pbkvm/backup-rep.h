/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backup-rep.h: get through a REP string, or to an iteration of it, with one
 * run of the guest instead of a step for each iteration.
 *
 * No QEMU.  The Backup's thread, with no exit pending.  In use:
 *
 *   ret = pb_rep_prepare(&rep, v, now, target);   1: run the guest once
 *   ... KVM_RUN, whatever it ends with ...
 *   ret = pb_rep_restore(&rep, v);                before registers are read
 *
 * Between the two ECX is less than the guest's by what is to be left over; a
 * fault on the way is stopped at its handler's first instruction and ECX put
 * right there.
 */
#ifndef BACKUP_REP_H
#define BACKUP_REP_H

#include "pb-position.h"

typedef struct PbRep {
    bool active;          /* prepared and not yet restored */
    bool partial;         /* is to end in the middle, at @rip */
    uint64_t rip, next;   /* linear: the string and what follows it */
    uint64_t withheld;    /* iterations that RCX does not show */
} PbRep;

/*
 * If @v, which stands at @now, is at a REP string other than INS or OUTS:
 * prepare a run of it, up to the iteration of @target when that can be in
 * this very pass, else to its end.  1: prepared; 0: it must be stepped;
 * -errno.
 */
int pb_rep_prepare(PbRep *rep, PbVcpu *v, const PbPosition *now,
                   const PbPosition *target);

/*
 * The run has ended: give ECX its true value.  0; 1: KVM wants a further
 * exit answered first, call again after that; -errno.
 */
int pb_rep_restore(PbRep *rep, PbVcpu *v);

#endif /* BACKUP_REP_H */
