/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-tsc-check.c: how does this host scale, and does a counter stand still? */
#include <cpuid.h>
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "self-check.h"
#include "pb-tsc.h"

/* Bits of KVM's ratio behind the point (Linux, arch/x86/kvm, svm and vmx). */
#define AMD_FRACTION   32
#define INTEL_FRACTION 48

/* The lab can slow a counter down further, so that a tick is easily met. */
#define MOST_EXTRA 16

#define STILL_TICKS 4
#define STILL_TRIES 3

typedef struct TscCheck {
    int kvm_fd;
    PbTscModel *m;
    char *why;
    size_t len;
    bool ok;
    PbCalib g;
} TscCheck;

static bool fail(TscCheck *k, const char *what)
{
    snprintf(k->why, k->len, "%s", what);
    return false;
}

static bool failed(TscCheck *k, const char *what, int ret)
{
    snprintf(k->why, k->len, "%s: %s", what,
             ret == -EPROTO ? "an unexpected exit" : strerror(-ret));
    return false;
}

static unsigned fraction(void)
{
    unsigned eax, ebx, ecx, edx;

    __cpuid(0, eax, ebx, ecx, edx);
    return ebx == signature_INTEL_ebx ? INTEL_FRACTION : AMD_FRACTION;
}

static bool offered(TscCheck *k)
{
    struct kvm_device_attr attr = {
        .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET,
    };
    int khz;

    if (ioctl(k->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_CONTROL) <= 0) {
        return fail(k, "this host cannot slow a guest's counter down (no "
                    "KVM_CAP_TSC_CONTROL: its processor has no TSC scaling)");
    }
    if (ioctl(k->g.v.fd, KVM_HAS_DEVICE_ATTR, &attr) < 0) {
        return fail(k, "this Linux lacks KVM_VCPU_TSC_OFFSET (Linux 5.16 or "
                    "later)");
    }
    khz = ioctl(k->g.v.fd, KVM_GET_TSC_KHZ, 0);
    if (khz <= 0) {
        return failed(k, "KVM_GET_TSC_KHZ", khz < 0 ? -errno : -EIO);
    }
    k->m->host_khz = khz;
    k->m->ratio = (1ull << fraction()) / khz;
    k->m->shift = fraction();
    return true;
}

/* Run until something but a signal comes; else as pb_vcpu_enter(). */
static int run(TscCheck *k)
{
    int ret;

    do {
        ret = pb_vcpu_enter(&k->g.v);
        if (ret == -EINTR) {
            k->g.v.run->immediate_exit = 0;
        }
    } while (ret == -EINTR);
    return ret;
}

/* What RDTSC says, with the host's counter before and after. */
static int read_once(TscCheck *k, uint32_t *value, uint64_t *from,
                     uint64_t *to)
{
    struct kvm_run *r = k->g.v.run;
    int ret = pb_calib_start(&k->g, PB_CALIB_RDTSC, 1);

    *from = pb_tsc_host();
    ret = ret ? ret : run(k);
    *to = pb_tsc_host();
    if (ret) {
        return ret;
    }
    if (r->exit_reason != KVM_EXIT_IO) {
        return -EPROTO;
    }
    memcpy(value, (uint8_t *)r + r->io.data_offset, sizeof(*value));
    return pb_vcpu_complete(&k->g.v);
}

/* With an offset of 0, what the scaled counter itself says; no waits. */
static int read_scaled(TscCheck *k, uint32_t *value, uint64_t *from,
                       uint64_t *to, const char **what)
{
    PbTscStart at = { .on = 1 };
    PbTsc t;
    int ret = pb_tsc_start(&t, k->g.v.fd, k->m, &at, what);

    if (ret < 0) {
        return ret;
    }
    t.next = UINT64_MAX;
    *what = "setting the guest's counter";
    ret = pb_tsc_enter(&t);
    if (ret == 0) {
        *what = "reading the guest's counter";
        ret = read_once(k, value, from, to);
    }
    pb_tsc_stop(&t);
    return ret;
}

static bool find_shift(TscCheck *k)
{
    PbTscModel m = *k->m;
    const char *what;
    uint64_t from, to;
    uint32_t value;
    int ret = read_scaled(k, &value, &from, &to, &what);

    if (ret) {
        return failed(k, what, ret);
    }
    for (; m.shift <= k->m->shift + MOST_EXTRA; m.shift++) {
        if (value - (uint32_t)pb_tsc_scale(&m, from) <=
            pb_tsc_scale(&m, to) - pb_tsc_scale(&m, from)) {
            k->m->shift = m.shift;
            return true;
        }
    }
    return fail(k, "the guest's counter does not follow the host's as KVM "
                "says; a hypervisor between the two changes it, too");
}

/* 1: it stood still for some ticks; 0: it did not. */
static int stands_still(TscCheck *k, PbTsc *t, uint32_t value)
{
    uint64_t end = pb_tsc_host() + STILL_TICKS * t->period;
    struct kvm_regs regs;
    int ret;

    do {
        ret = pb_calib_start(&k->g, PB_CALIB_STILL, UINT32_MAX);
        while (ret == 0 && pb_tsc_host() < end) {
            ret = pb_vcpu_enter(&k->g.v);
            if (ret == 0) {
                break;
            }
            k->g.v.run->immediate_exit = 0;
            ret = ret == -EINTR ? 0 : ret;
        }
        if (ret == 0 && k->g.v.io_pending) {
            ret = pb_vcpu_complete(&k->g.v);
            return ret < 0 ? ret : 0;
        }
    } while (ret == 0 && pb_tsc_host() < end);
    ret = ret ? ret : pb_vcpu_get_regs(&k->g.v, &regs);
    return ret ? ret : (uint32_t)regs.rbx == value;
}

static bool check_still(TscCheck *k)
{
    PbTscStart at = { .base = 0x123456789a, .value = 0x123456789a, .on = 1 };
    const char *what;
    unsigned tries;
    int ret = 0;
    PbTsc t;

    for (tries = 0; tries < STILL_TRIES && ret == 0; tries++) {
        ret = pb_tsc_start(&t, k->g.v.fd, k->m, &at, &what);
        if (ret < 0) {
            return failed(k, what, ret);
        }
        k->g.v.tsc = &t;
        ret = stands_still(k, &t, at.value);
        k->g.v.tsc = NULL;
        pb_tsc_stop(&t);
        if (ret == 0 && t.late == 0) {
            return fail(k, "the guest's counter ticks at other times than "
                        "KVM's ratio says");
        }
    }
    if (ret == 0) {
        return fail(k, "a thread does not leave the guest in time before its "
                    "counter ticks: too much else runs on this host");
    }
    return ret == 1 || failed(k, "a counter that stands still", ret);
}

static void *check_thread(void *opaque)
{
    TscCheck *k = opaque;
    PbCounter *c;

    if (!pb_calib_new(&k->g, k->kvm_fd, k->why, k->len)) {
        return NULL;
    }
    /* Nothing is counted: its handler has the vCPU leave the guest. */
    c = pb_counter_new(&k->g.v, PB_COUNTER_STEP, NULL, k->why, k->len);
    if (c) {
        k->ok = offered(k) && find_shift(k) && check_still(k);
        pb_counter_free(c);
    }
    pb_calib_free(&k->g);
    return NULL;
}

bool pb_tsc_check(int kvm_fd, PbTscModel *m, char *why, size_t len)
{
    TscCheck k = { .kvm_fd = kvm_fd, .m = m, .why = why, .len = len };
    int ret = pb_check_thread(check_thread, &k);

    return ret ? failed(&k, "starting a thread", -ret) : k.ok;
}
