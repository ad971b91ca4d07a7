/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tiny.h: a KVM guest of a few bytes and counters for it, for the lab's tests.
 *
 * One thread, which is the vCPU's. Every function that cannot do its work
 * prints what failed and ends the program with status 1: in these tests
 * nothing goes on after that.
 */
#ifndef LAB_TESTS_TINY_H
#define LAB_TESTS_TINY_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#define RETIRED_COND 0xd1   /* AMD: retired conditional branches */

typedef struct Tiny {
    int vm, vcpu;
    uint8_t *memory;        /* TINY_MEMORY from guest address 0 */
    struct kvm_run *run;
} Tiny;

#define TINY_CODE   0x1000u      /* where it begins */
#define TINY_MEMORY 0x10000u     /* bytes */

void fail(const char *format, ...)
    __attribute__((noreturn, format(printf, 1, 2)));

/* @result, of a call that sets errno, unless it is negative: then fail(). */
int must(int result, const char *what);

/* A guest in real mode that starts with @code at TINY_CODE. */
void tiny_new(Tiny *t, const void *code, unsigned length);
/* Registers for the next run: IP back at the start, @ecx, no debugging. */
void tiny_restart(Tiny *t, uint64_t ecx);
/* KVM_RUN once; the exit reason, or -1 if a signal came. */
int tiny_run(Tiny *t);
uint64_t tiny_ecx(Tiny *t);
uint64_t tiny_ip(Tiny *t);

/*
 * A counter of @event on this thread, guest only. @period 0: counts without
 * sampling; else a signal (SIGIO) makes KVM_RUN return after so many.
 */
int counter_new(uint64_t event, uint64_t period);
/* As above for any mode: @flags from the COUNT_* below. */
#define COUNT_HOST 1
#define COUNT_GUEST 2
int counter_new_in(uint64_t event, uint64_t period, unsigned flags);
uint64_t counter_read(int fd);
/* A full @period from now. */
void counter_period(int fd, uint64_t period);
/* Let SIGIO set immediate_exit of this guest. */
void counter_stops(Tiny *t);

/* Seconds, monotonic. */
double now(void);

#endif /* LAB_TESTS_TINY_H */
