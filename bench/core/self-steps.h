/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * self-steps.h: a thread notes each instruction that it executes, by its own
 * trap flag and SIGTRAP.
 *
 * ptrace would do, but switches the process twice for each instruction: in the
 * lab that takes ten times as long.
 *
 * A REP string is one instruction, however often it repeats; so is a system
 * call.  Handlers of other signals run without the flag and are not noted.
 * SIGTRAP is the only thing that is taken from the program.
 *
 * x86-64 Linux and gcc.
 */
#ifndef SELF_STEPS_H
#define SELF_STEPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PB_NO_CALL (-1)

/* Functions whose instructions are not noted, but for their system calls. */
#define PB_STEPS_OWN __attribute__((section("pb_steps_own"), noinline))

typedef struct PbStep {
    uint64_t rip;
    int32_t call;             /* number of the system call, or PB_NO_CALL */
    uint32_t request;         /* its second argument: an ioctl's request */
} PbStep;

typedef struct PbTrace {
    PbStep *step;
    size_t n, room;
    bool full;                /* there was more */
} PbTrace;

/* Once, before all else; 0 or -errno. */
int pb_steps_init(void);

/*
 * From here to pb_steps_off() the calling thread adds to @t.  The caller is
 * PB_STEPS_OWN.
 */
void pb_steps_on(PbTrace *t);
void pb_steps_off(void);

#endif /* SELF_STEPS_H */
