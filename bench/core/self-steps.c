/* SPDX-License-Identifier: GPL-2.0-or-later */
/* self-steps.c: a thread notes each instruction that it executes. */
#define _GNU_SOURCE               /* REG_RIP */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>
#include <x86gprintrin.h>

#include "self-steps.h"

#define TF 0x100u

/* What lies in the section is between them, by the linker. */
extern const char __start_pb_steps_own[], __stop_pb_steps_own[];

/* No allocation when first used: that may be within a signal's handler. */
#define OWN_THREADS __thread __attribute__((tls_model("initial-exec")))
static OWN_THREADS PbTrace *trace;
static OWN_THREADS uint64_t called;       /* behind a system call; 0: none */

static bool is_own(uint64_t rip)
{
    return rip >= (uintptr_t)__start_pb_steps_own &&
           rip < (uintptr_t)__stop_pb_steps_own;
}

static bool is_syscall(uint64_t rip)
{
    const uint8_t *code = (const uint8_t *)rip;

    return code[0] == 0x0f && code[1] == 0x05;
}

/* Prefixes 66, 67 and a segment's may stand before REP. */
static bool is_rep(uint64_t rip)
{
    const uint8_t *code = (const uint8_t *)rip;

    while (*code == 0x66 || *code == 0x67 || *code == 0x64 || *code == 0x65) {
        code++;
    }
    return *code == 0xf2 || *code == 0xf3;
}

static void add(PbTrace *t, PbStep step)
{
    if (t->n < t->room) {
        t->step[t->n++] = step;
    } else {
        t->full = true;
    }
}

/*
 * The instruction that comes next.  A system call hides the flag from the
 * kernel, and has it back too late for a trap of its own: the first trap comes
 * after the instruction behind it, which is added here.
 */
static void note(PbTrace *t, const greg_t *regs)
{
    PbStep step = { .rip = regs[REG_RIP], .call = PB_NO_CALL };

    if (called && !is_own(called)) {
        add(t, (PbStep) { .rip = called, .call = PB_NO_CALL });
    }
    called = 0;
    if (t->n && t->step[t->n - 1].rip == step.rip && is_rep(step.rip)) {
        return;
    }
    if (is_syscall(step.rip)) {
        step.call = regs[REG_RAX];
        step.request = regs[REG_RSI];
        called = step.rip + 2;
    } else if (is_own(step.rip)) {
        return;
    }
    add(t, step);
}

static void trapped(int sig, siginfo_t *info, void *context)
{
    if (trace) {
        note(trace, ((ucontext_t *)context)->uc_mcontext.gregs);
    }
}

int pb_steps_init(void)
{
    struct sigaction act = { .sa_sigaction = trapped,
                             .sa_flags = SA_SIGINFO | SA_RESTART };

    sigfillset(&act.sa_mask);
    return sigaction(SIGTRAP, &act, NULL) < 0 ? -errno : 0;
}

PB_STEPS_OWN void pb_steps_on(PbTrace *t)
{
    sigset_t set;

    /* A trap that is blocked would end the process. */
    sigemptyset(&set);
    sigaddset(&set, SIGTRAP);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    trace = t;
    __writeeflags(__readeflags() | TF);
}

PB_STEPS_OWN void pb_steps_off(void)
{
    __writeeflags(__readeflags() & ~(unsigned long long)TF);
    trace = NULL;
}
