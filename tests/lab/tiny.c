/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A tiny KVM guest and counters for it. See tiny.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tiny.h"

static struct kvm_run *stopped_run;

void fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    exit(1);
}

int must(int result, const char *what)
{
    if (result < 0) {
        fail("%s: %s", what, strerror(errno));
    }
    return result;
}

static void *map(int fd, size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
                    fd < 0 ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED, fd, 0);

    if (at == MAP_FAILED) {
        fail("mmap: %s", strerror(errno));
    }
    return at;
}

void tiny_new(Tiny *t, const void *code, unsigned length)
{
    int kvm = must(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
    struct kvm_userspace_memory_region slot = { .memory_size = TINY_MEMORY };
    struct kvm_sregs sregs;

    t->vm = must(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
    t->memory = map(-1, TINY_MEMORY);
    memcpy(t->memory + TINY_CODE, code, length);
    slot.userspace_addr = (uintptr_t)t->memory;
    must(ioctl(t->vm, KVM_SET_USER_MEMORY_REGION, &slot), "memory slot");
    t->vcpu = must(ioctl(t->vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
    t->run = map(t->vcpu, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
    must(ioctl(t->vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    must(ioctl(t->vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
    tiny_restart(t, 0);
}

void tiny_restart(Tiny *t, uint64_t ecx)
{
    struct kvm_guest_debug off = { 0 };
    struct kvm_regs regs = {
        .rip = TINY_CODE, .rcx = ecx, .rsp = 0x8000, .rflags = 2
    };

    must(ioctl(t->vcpu, KVM_SET_GUEST_DEBUG, &off), "KVM_SET_GUEST_DEBUG");
    must(ioctl(t->vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
    t->run->immediate_exit = 0;
}

int tiny_run(Tiny *t)
{
    if (ioctl(t->vcpu, KVM_RUN, 0) < 0) {
        if (errno != EINTR) {
            fail("KVM_RUN: %s", strerror(errno));
        }
        return -1;
    }
    return t->run->exit_reason;
}

static struct kvm_regs get_regs(Tiny *t)
{
    struct kvm_regs regs;

    must(ioctl(t->vcpu, KVM_GET_REGS, &regs), "KVM_GET_REGS");
    return regs;
}

uint64_t tiny_ecx(Tiny *t)
{
    return (uint32_t)get_regs(t).rcx;
}

uint64_t tiny_ip(Tiny *t)
{
    return get_regs(t).rip;
}

int counter_new_in(uint64_t event, uint64_t period, unsigned flags)
{
    struct perf_event_attr attr = {
        .type = PERF_TYPE_RAW,
        .size = sizeof(attr),
        .config = event,
        .exclude_host = !(flags & COUNT_HOST),
        .exclude_guest = !(flags & COUNT_GUEST),
        .pinned = 1,
        .sample_period = period,
        .wakeup_events = 1,
    };
    int fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1,
                     PERF_FLAG_FD_CLOEXEC);

    must(fd, "perf_event_open");
    if (period) {
        struct f_owner_ex owner = { F_OWNER_TID, gettid() };

        must(fcntl(fd, F_SETFL, O_ASYNC), "O_ASYNC");
        must(fcntl(fd, F_SETOWN_EX, &owner), "F_SETOWN_EX");
    }
    return fd;
}

int counter_new(uint64_t event, uint64_t period)
{
    return counter_new_in(event, period, COUNT_GUEST);
}

uint64_t counter_read(int fd)
{
    uint64_t value;

    if (read(fd, &value, sizeof(value)) != sizeof(value)) {
        fail("the counter is not scheduled");
    }
    return value;
}

void counter_period(int fd, uint64_t period)
{
    must(ioctl(fd, PERF_EVENT_IOC_PERIOD, &period), "PERF_EVENT_IOC_PERIOD");
}

static void on_overflow(int signal)
{
    (void)signal;
    if (stopped_run) {
        stopped_run->immediate_exit = 1;
    }
}

void counter_stops(Tiny *t)
{
    struct sigaction action = { .sa_handler = on_overflow };

    stopped_run = t->run;
    sigaction(SIGIO, &action, NULL);
}

double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}
