/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-perf.c: the perf events behind counter=pmu. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pb-host.h"
#include "pb-perf.h"
#include "pb-remedy.h"

typedef struct PerfValue {
    uint64_t value;
    uint64_t enabled, running;    /* ns */
} PerfValue;

int pb_perf_open_event(const PbUarch *uarch, pid_t tid, uint64_t period)
{
    struct perf_event_attr attr = {
        .size = sizeof(attr),
        .type = uarch->type,
        .config = uarch->config,
        .sample_period = period,
        .read_format = PERF_FORMAT_TOTAL_TIME_ENABLED |
                       PERF_FORMAT_TOTAL_TIME_RUNNING,
        .exclude_host = 1,
        .pinned = 1,
        .disabled = 1,
        .wakeup_events = 1,
    };

    return syscall(SYS_perf_event_open, &attr, tid, -1, -1,
                   PERF_FLAG_FD_CLOEXEC);
}

/* Disabled until pb_perf_watch_switch(). */
static int open_switches(void)
{
    struct perf_event_attr attr = {
        .size = sizeof(attr),
        .type = PERF_TYPE_SOFTWARE,
        .config = PERF_COUNT_SW_CONTEXT_SWITCHES,
        .sample_period = 1,
        .disabled = 1,
        .wakeup_events = 1,
    };

    return syscall(SYS_perf_event_open, &attr, 0, -1, -1,
                   PERF_FLAG_FD_CLOEXEC);
}

static int send_signals_here(int fd, int signal)
{
    struct f_owner_ex owner = { F_OWNER_TID, gettid() };

    if (fcntl(fd, F_SETOWN_EX, &owner) < 0 ||
        fcntl(fd, F_SETSIG, signal) < 0 ||
        fcntl(fd, F_SETFL, O_ASYNC) < 0) {
        return -errno;
    }
    return 0;
}

static bool read_event(int fd, PerfValue *v)
{
    ssize_t n;

    do {
        n = read(fd, v, sizeof(*v));
    } while (n < 0 && errno == EINTR);
    return n == sizeof(*v);     /* 0 bytes: a pinned event got no counter */
}

static int set_period(PbPerf *p, uint64_t period)
{
    return ioctl(p->sampler_fd, PERF_EVENT_IOC_PERIOD, &period) < 0 ? -errno
                                                                    : 0;
}

/* Errata make the kernel refuse small periods on some CPUs. */
static int find_min_period(PbPerf *p)
{
    static const uint32_t tries[] = { 1, 2, 32, 128, 256, 512 };
    int ret = 0;
    unsigned i;

    for (i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
        ret = set_period(p, tries[i]);
        if (ret == 0) {
            p->min_period = tries[i] < 2 ? 2 : tries[i];
            return set_period(p, PB_PERF_NEVER);
        }
    }
    return ret;
}

/*
 * Before the event is enabled: its page is only then sure to speak of the
 * same 64-bit number from the start (see read_page()).
 */
static void map_page(PbPerf *p)
{
    void *page = mmap(NULL, sysconf(_SC_PAGESIZE), PROT_READ, MAP_SHARED,
                      p->counter_fd, 0);

    p->page = page == MAP_FAILED ? NULL : page;
}

static int start(PbPerf *p)
{
    int ret = send_signals_here(p->sampler_fd, PB_COUNTER_SIGNAL);

    if (ret == 0) {
        ret = send_signals_here(p->switches_fd, PB_SWITCH_SIGNAL);
    }
    if (ret == 0) {
        ret = find_min_period(p);
    }
    if (ret == 0 && (ioctl(p->counter_fd, PERF_EVENT_IOC_ENABLE, 0) < 0 ||
                     ioctl(p->sampler_fd, PERF_EVENT_IOC_ENABLE, 0) < 0)) {
        ret = -errno;
    }
    return ret;
}

bool pb_perf_open(PbPerf *p, const PbUarch *uarch, char *why, size_t len)
{
    uint64_t counter, sampler;
    int ret;

    memset(p, 0, sizeof(*p));
    p->counter_fd = pb_perf_open_event(uarch, 0, 0);
    p->sampler_fd = p->counter_fd < 0
                    ? -1 : pb_perf_open_event(uarch, 0, PB_PERF_NEVER);
    p->switches_fd = p->sampler_fd < 0 ? -1 : open_switches();
    if (p->switches_fd < 0) {
        pb_host_explain_perf(errno, uarch, why, len);
        pb_perf_close(p);
        return false;
    }
    map_page(p);
    ret = start(p);
    if (ret < 0) {
        snprintf(why, len, "the perf event of %s cannot be set up: %s; "
                 PB_USE_LAB, uarch->name, strerror(-ret));
        pb_perf_close(p);
        return false;
    }
    if (!pb_perf_read_fd(p, &counter, &sampler)) {
        pb_host_explain_no_counter(why, len);
        pb_perf_close(p);
        return false;
    }
    p->rdpmc = p->page && p->page->cap_user_rdpmc;
    return true;
}

void pb_perf_close(PbPerf *p)
{
    if (p->page) {
        munmap(p->page, sysconf(_SC_PAGESIZE));
    }
    if (p->switches_fd >= 0) {
        close(p->switches_fd);
    }
    if (p->sampler_fd >= 0) {
        close(p->sampler_fd);
    }
    if (p->counter_fd >= 0) {
        close(p->counter_fd);
    }
    p->page = NULL;
    p->counter_fd = p->sampler_fd = p->switches_fd = -1;
}

bool pb_perf_read_fd(PbPerf *p, uint64_t *counter, uint64_t *sampler)
{
    PerfValue c, s;

    if (!read_event(p->counter_fd, &c) || !read_event(p->sampler_fd, &s)) {
        return false;
    }
    *counter = c.value;
    *sampler = s.value;
    return true;
}

static inline uint64_t rdpmc(uint32_t index)
{
    uint32_t low, high;

    asm volatile("rdpmc" : "=a"(low), "=d"(high) : "c"(index));
    return low | (uint64_t)high << 32;
}

/*
 * The kernel rewrites the page whenever the event moves to another counter
 * or CPU, and counts that in `lock`: a read that saw a change is repeated.
 *
 * Only the pmc_width low bits of the sum are right: the kernel's offset is
 * relative to a raw value that may or may not be sign-extended (Linux
 * arch/x86/events/core.c, x86_perf_event_update).  The count never goes back
 * and moves by less than half the width between two reads, so @value, read
 * before, supplies the rest.  False: the event is on no counter now, only
 * the kernel knows its value.
 */
static bool read_page(const struct perf_event_mmap_page *page,
                      uint64_t *value)
{
    uint32_t seq, index;
    uint64_t count;
    unsigned unused;

    do {
        seq = __atomic_load_n(&page->lock, __ATOMIC_ACQUIRE);
        index = *(const volatile __u32 *)&page->index;
        count = *(const volatile __s64 *)&page->offset;
        unused = pb_remedy(PB_REMEDY_WIDTH)
                 ? 64 - *(const volatile __u16 *)&page->pmc_width : 0;
        if (index) {
            count += rdpmc(index - 1);
        }
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    } while (__atomic_load_n(&page->lock, __ATOMIC_RELAXED) != seq);
    if (index) {
        *value += (int64_t)((count - *value) << unused) >> unused;
    }
    return index != 0;
}

uint64_t pb_perf_read(PbPerf *p)
{
    PerfValue v;

    if (p->rdpmc && read_page(p->page, &p->last)) {
        return p->last;
    }
    if (read_event(p->counter_fd, &v)) {
        p->last = v.value;
    } else if (!p->trouble[0]) {
        snprintf(p->trouble, sizeof(p->trouble),
                 "the branch counter was taken away by another perf user");
    }
    return p->last;
}

/*
 * A new period starts now, whatever was left of the old one; this also
 * starts a throttled event again.
 */
int pb_perf_arm(PbPerf *p, uint64_t branches)
{
    return set_period(p, branches < p->min_period ? p->min_period : branches);
}

int pb_perf_disarm(PbPerf *p)
{
    return set_period(p, PB_PERF_NEVER);
}

int pb_perf_watch_switch(PbPerf *p)
{
    return ioctl(p->switches_fd, PERF_EVENT_IOC_REFRESH, 1) < 0 ? -errno : 0;
}

const char *pb_perf_check(PbPerf *p)
{
    const int fds[] = { p->counter_fd, p->sampler_fd };
    const char *const names[] = { "counter", "sampler" };
    PerfValue v;
    int i;

    for (i = 0; i < 2 && !p->trouble[0]; i++) {
        if (!read_event(fds[i], &v)) {
            snprintf(p->trouble, sizeof(p->trouble), "the branch %s was "
                     "taken away by another perf user", names[i]);
        } else if (v.enabled != v.running) {
            snprintf(p->trouble, sizeof(p->trouble), "the branch %s did not "
                     "count for %llu ns of %llu", names[i],
                     (unsigned long long)(v.enabled - v.running),
                     (unsigned long long)v.enabled);
        }
    }
    return p->trouble[0] ? p->trouble : NULL;
}
