/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-host.c: what this host offers and what it lacks, in words. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "pb-host.h"
#include "pb-uarch.h"

#define KVM_API 12
#define PMUS "/sys/bus/event_source/devices/"
#define ZEN_MSR "0xc0011020"

static FILE *open_file(const char *path)
{
    char full[4096];

    snprintf(full, sizeof(full), "%s%s", pb_host_root, path);
    return fopen(full, "re");
}

long pb_host_number(const char *path, long absent)
{
    FILE *f = open_file(path);
    long value;

    if (!f) {
        return absent;
    }
    if (fscanf(f, "%ld", &value) != 1) {
        value = absent;
    }
    fclose(f);
    return value;
}

static bool is_amd(void)
{
    PbCpuId id;

    pb_cpuid_read(&id);
    return strcmp(id.vendor, "AuthenticAMD") == 0;
}

static void explain_kvm(int err, char *why, size_t len)
{
    switch (err) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
        snprintf(why, len, "no /dev/kvm (%s): load it (sudo modprobe %s), "
                 "switch virtualisation on in the firmware, or in a virtual "
                 "machine have nested virtualisation allowed; or "
                 PB_USE_LAB, strerror(err),
                 is_amd() ? "kvm_amd" : "kvm_intel");
        break;
    case EACCES:
    case EPERM:
        snprintf(why, len, "/dev/kvm may not be opened (%s): join its group "
                 "(sudo usermod -aG kvm \"$USER\", then log in again) or "
                 "use sudo", strerror(err));
        break;
    default:
        snprintf(why, len, "/dev/kvm cannot be opened (%s); " PB_USE_LAB,
                 strerror(err));
        break;
    }
}

static const char *missing_kvm_feature(int kvm)
{
    if (ioctl(kvm, KVM_GET_API_VERSION, 0) != KVM_API) {
        return "API version 12";
    }
    if (ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_IMMEDIATE_EXIT) <= 0) {
        return "KVM_CAP_IMMEDIATE_EXIT (Linux 4.13 or later)";
    }
    if (ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_SET_GUEST_DEBUG) <= 0) {
        return "KVM_CAP_SET_GUEST_DEBUG";
    }
    return NULL;
}

int pb_kvm_open(char *why, size_t len)
{
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    const char *missing;

    if (kvm < 0) {
        explain_kvm(errno, why, len);
        return -1;
    }
    missing = missing_kvm_feature(kvm);
    if (missing) {
        snprintf(why, len, "/dev/kvm does not offer %s; use a newer kernel, "
                 "or " PB_USE_LAB, missing);
        close(kvm);
        return -1;
    }
    return kvm;
}

static bool has_pmu(void)
{
    return pb_host_number(PMUS "cpu/type", -1) >= 0 ||
           pb_host_number(PMUS "cpu_core/type", -1) >= 0;
}

void pb_host_explain_perf(int err, const PbUarch *uarch, char *why,
                          size_t len)
{
    long paranoid = pb_host_number("/proc/sys/kernel/perf_event_paranoid",
                                   -1);

    if (err == ENOSYS) {
        snprintf(why, len, "this kernel has no perf events "
                 "(CONFIG_PERF_EVENTS); use another kernel, or " PB_USE_LAB);
    } else if ((err == EACCES || err == EPERM) && paranoid > 1) {
        snprintf(why, len, "perf events of the guest's kernel mode are not "
                 "allowed: kernel.perf_event_paranoid is %ld, 1 or less is "
                 "needed (sudo sysctl kernel.perf_event_paranoid=1) or use "
                 "sudo", paranoid);
    } else if (err == EACCES || err == EPERM) {
        snprintf(why, len, "perf_event_open is forbidden (%s) though "
                 "kernel.perf_event_paranoid is %ld: a container or security "
                 "module forbids it; run outside of it, or " PB_USE_LAB,
                 strerror(err), paranoid);
    } else if (!has_pmu()) {
        snprintf(why, len, "no PMU: the kernel offers no hardware counters "
                 "(perf_event_open: %s), as in most virtual machines; "
                 PB_USE_LAB, strerror(err));
    } else if (err == EOPNOTSUPP) {
        snprintf(why, len, "the PMU does not count guests now (%s): another "
                 "virtual machine on this host owns it; stop that, or "
                 PB_USE_LAB, strerror(err));
    } else {
        snprintf(why, len, "perf_event_open of event 0x%llx (%s) failed: %s; "
                 PB_USE_LAB, (unsigned long long)uarch->config, uarch->name,
                 strerror(err));
    }
}

void pb_host_explain_no_counter(char *why, size_t len)
{
    if (pb_host_number("/proc/sys/kernel/nmi_watchdog", 0) > 0) {
        snprintf(why, len, "no hardware counter is free, and the NMI "
                 "watchdog holds one: sudo sysctl kernel.nmi_watchdog=0");
    } else {
        snprintf(why, len, "no hardware counter is free: two are needed; "
                 "stop other users of perf (perf stat, perf record, "
                 "profilers)");
    }
}

const char *pb_host_miscount_advice(const PbUarch *uarch)
{
    if (strncmp(uarch->name, "AMD", 3) == 0) {
        return "; AMD Zen counts exactly with SpecLockMap off (bit 54 of MSR "
               ZEN_MSR "): sudo modprobe msr; sudo wrmsr -a " ZEN_MSR
               " $((0x$(sudo rdmsr " ZEN_MSR ") | 1 << 54)) (package "
               "msr-tools); if that does not help, " PB_USE_LAB;
    }
    if (pb_host_number("/sys/devices/cpu/freeze_on_smi", 1) == 0 ||
        pb_host_number("/sys/devices/cpu_core/freeze_on_smi", 1) == 0) {
        return "; firmware interrupts are counted: echo 1 | sudo tee "
               "/sys/devices/cpu*/freeze_on_smi";
    }
    return "; this CPU, or the hypervisor below, does not count exactly; "
           PB_USE_LAB;
}

bool pb_host_runs_real_mode(char *why, size_t len)
{
    static const char parameter[] =
        "/sys/module/kvm_intel/parameters/unrestricted_guest";
    FILE *f = open_file(parameter);
    int value = f ? fgetc(f) : 'Y';

    if (f) {
        fclose(f);
    }
    if (value != 'N' && value != '0') {
        return true;
    }
    snprintf(why, len, "KVM interprets real mode here (%s is %c), and what it "
             "interprets is not counted: sudo modprobe -r kvm_intel && sudo "
             "modprobe kvm_intel ept=1 unrestricted_guest=1; or " PB_USE_LAB,
             parameter, value);
    return false;
}

bool pb_host_warning(char *text, size_t len)
{
    static const char *const smi[] = {
        "/sys/devices/cpu/freeze_on_smi",
        "/sys/devices/cpu_core/freeze_on_smi",
    };
    unsigned i;

    for (i = 0; i < 2; i++) {
        if (pb_host_number(smi[i], 1) == 0) {
            snprintf(text, len, "an SMI would be counted as guest code "
                     "(%s is 0): echo 1 | sudo tee %s", smi[i], smi[i]);
            return true;
        }
    }
    if (pb_host_number("/sys/kernel/realtime", 0) == 1) {
        snprintf(text, len, "this is a PREEMPT_RT kernel, which may stop "
                 "the guest late without bound: use a kernel without it");
        return true;
    }
    return false;
}

/* The CPUs in a list like "0-7,16"; false when it cannot be read. */
static bool read_cpu_list(const char *path, cpu_set_t *set)
{
    FILE *f = open_file(path);
    unsigned first, last;
    int more = ',';

    CPU_ZERO(set);
    if (!f) {
        return false;
    }
    while (more == ',' && fscanf(f, "%u", &first) == 1) {
        last = first;
        more = fgetc(f);
        if (more == '-' && fscanf(f, "%u", &last) == 1) {
            more = fgetc(f);
        }
        for (; first <= last && first < CPU_SETSIZE; first++) {
            CPU_SET(first, set);
        }
    }
    fclose(f);
    return CPU_COUNT(set) > 0;
}

bool pb_host_pin(const PbUarch *uarch, char *why, size_t len)
{
    cpu_set_t big, now, both;

    if (uarch->type == PERF_TYPE_RAW ||
        !read_cpu_list(PMUS "cpu_core/cpus", &big)) {
        return true;
    }
    if (sched_getaffinity(0, sizeof(now), &now) < 0) {
        now = big;
    }
    CPU_AND(&both, &now, &big);
    if (CPU_COUNT(&both) == 0) {
        snprintf(why, len, "only CPUs without the big cores' PMU are allowed "
                 "here; allow some of those in " PMUS "cpu_core/cpus "
                 "(taskset, cpuset)");
        return false;
    }
    if (sched_setaffinity(0, sizeof(both), &both) < 0) {
        snprintf(why, len, "cannot stay on the CPUs in " PMUS
                 "cpu_core/cpus: %s", strerror(errno));
        return false;
    }
    return true;
}
