/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backup-resume.h: off a breakpoint by EFLAGS.RF, as a debugger resumes (SDM
 * 3B 19.3.1.1): the instruction there runs, and the same run goes on to the
 * next hit.  A step takes a run of its own, and two changes of guest
 * debugging.
 *
 * No QEMU.  The Backup's thread, with no exit pending.  In use:
 *
 *   ret = pb_resume_prepare(&resume, v, now);     1: run the guest once
 *   ... KVM_RUN, whatever it ends with ...
 *   ret = pb_resume_end(&resume, v);              before anybody else looks
 */
#ifndef BACKUP_RESUME_H
#define BACKUP_RESUME_H

#include "pb-position.h"

/* All zero: nothing was resumed. */
typedef struct PbResume {
    bool active;          /* RF is ours until pb_resume_end() */
    uint64_t rip;         /* where it was set last, and when */
    uint64_t branches;
} PbResume;

/*
 * @v stands at @now, where a breakpoint is: set RF.  1: it is set; 0: step,
 * because RF could be seen, or the last run from here got nowhere (KVM, when
 * it emulates, minds a debugger's breakpoint in spite of RF); -errno.
 */
int pb_resume_prepare(PbResume *r, PbVcpu *v, const PbPosition *now);

/* The run has ended: what was not executed has RF no more.  0 or -errno. */
int pb_resume_end(PbResume *r, PbVcpu *v);

#endif /* BACKUP_RESUME_H */
