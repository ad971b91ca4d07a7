/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * host-test.c: what a host that lacks something is told.
 *
 * Hosts that are not at hand are a folder with the files that they would have
 * in /proc and /sys; the rest asks this one.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <ftw.h>
#include <grp.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "pb-host.h"
#include "pb-perf.h"
#include "pb-tap.h"
#include "pb-uarch.h"

#define PMUS "/sys/bus/event_source/devices/"
#define KERNEL "/proc/sys/kernel/"

static char why[512];

/* ---- other hosts ---- */

static char root[64];

/* From now on, until leave_host(), a host with nothing in it. */
static void enter_host(void)
{
    snprintf(root, sizeof(root), "/tmp/pbkvm-host-XXXXXX");
    pb_check(mkdtemp(root) != NULL);
    pb_host_root = root;
}

static int delete_one(const char *path, const struct stat *st, int flag,
                      struct FTW *ftw)
{
    return remove(path);
}

static void leave_host(void)
{
    pb_host_root = "";
    pb_check(nftw(root, delete_one, 8, FTW_DEPTH | FTW_PHYS) == 0);
}

/* Its file @path says @text. */
static void put(const char *path, const char *text)
{
    char full[200], *slash;
    FILE *f;

    snprintf(full, sizeof(full), "%s%s", root, path);
    for (slash = strchr(full + strlen(root) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(full, 0700);
        *slash = '/';
    }
    f = fopen(full, "w");
    pb_check(f && fputs(text, f) >= 0);
    if (f) {
        fclose(f);
    }
}

static void expect_perf(int err, const char *text)
{
    const PbUarch u = { "test", PERF_TYPE_RAW, 0xd1, 32 };

    pb_host_explain_perf(err, &u, why, sizeof(why));
    pb_check_str(strstr(why, text) ? text : why, text);
}

static void test_perf_errors_say_what_to_do(void)
{
    enter_host();
    expect_perf(ENOSYS, "CONFIG_PERF_EVENTS");
    put(KERNEL "perf_event_paranoid", "2\n");
    expect_perf(EACCES, "perf_event_paranoid is 2, 1 or less is needed (sudo "
                "sysctl kernel.perf_event_paranoid=1)");
    put(KERNEL "perf_event_paranoid", "1\n");
    expect_perf(EPERM, "a container or security module forbids it");
    expect_perf(ENOENT, "no PMU: the kernel offers no hardware counters");
    put(PMUS "cpu/type", "4\n");
    expect_perf(EOPNOTSUPP, "another virtual machine on this host owns it");
    expect_perf(ENOENT, "event 0xd1 (test) failed: No such file");
    leave_host();
    enter_host();
    put(PMUS "cpu_core/type", "4\n");      /* a hybrid CPU's */
    expect_perf(ENOENT, "event 0xd1 (test) failed");
    leave_host();
}

static void test_counters_that_are_all_taken_name_the_watchdog(void)
{
    enter_host();
    put(KERNEL "nmi_watchdog", "0\n");
    pb_host_explain_no_counter(why, sizeof(why));
    pb_check(strstr(why, "two are needed; stop other users of perf"));
    put(KERNEL "nmi_watchdog", "1\n");
    pb_host_explain_no_counter(why, sizeof(why));
    pb_check(strstr(why, "sudo sysctl kernel.nmi_watchdog=0"));
    leave_host();
}

static void test_miscounts_name_their_likely_cause(void)
{
    const PbUarch amd = { "AMD Zen 2" }, intel = { "Intel Haswell" };

    enter_host();
    pb_check(strstr(pb_host_miscount_advice(&amd), "0xc0011020"));
    pb_check(strstr(pb_host_miscount_advice(&intel), "lab/run"));
    put("/sys/devices/cpu/freeze_on_smi", "1\n");
    pb_check(strstr(pb_host_miscount_advice(&intel), "lab/run"));
    put("/sys/devices/cpu_core/freeze_on_smi", "0\n");
    pb_check(strstr(pb_host_miscount_advice(&intel), "freeze_on_smi"));
    put("/sys/devices/cpu/freeze_on_smi", "0\n");
    pb_check(strstr(pb_host_miscount_advice(&intel), "freeze_on_smi"));
    leave_host();
}

static void test_smi_and_preempt_rt_are_warned_of(void)
{
    enter_host();
    pb_check(!pb_host_warning(why, sizeof(why)));
    put("/sys/devices/cpu/freeze_on_smi", "1\n");
    put("/sys/kernel/realtime", "0\n");
    pb_check(!pb_host_warning(why, sizeof(why)));
    put("/sys/kernel/realtime", "1\n");
    pb_check(pb_host_warning(why, sizeof(why)));
    pb_check(strstr(why, "PREEMPT_RT"));
    put("/sys/devices/cpu/freeze_on_smi", "0\n");
    pb_check(pb_host_warning(why, sizeof(why)));
    pb_check(strstr(why, "echo 1 | sudo tee /sys/devices/cpu/freeze_on_smi"));
    leave_host();
}

static void test_interpreted_real_mode_is_refused(void)
{
    static const char parameter[] =
        "/sys/module/kvm_intel/parameters/unrestricted_guest";

    enter_host();
    pb_check(pb_host_runs_real_mode(why, sizeof(why)));
    put(parameter, "Y\n");
    pb_check(pb_host_runs_real_mode(why, sizeof(why)));
    put(parameter, "N\n");
    pb_check(!pb_host_runs_real_mode(why, sizeof(why)));
    pb_check(strstr(why, "modprobe kvm_intel ept=1 unrestricted_guest=1"));
    put(parameter, "0\n");
    pb_check(!pb_host_runs_real_mode(why, sizeof(why)));
    leave_host();
}

/* ---- hybrid CPUs: this host's own, as though some were big cores ---- */

static cpu_set_t allowed(void)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    pb_check(sched_getaffinity(0, sizeof(set), &set) == 0);
    return set;
}

static int last_of(const cpu_set_t *set)
{
    int i, last = 0;

    for (i = 0; i < CPU_SETSIZE; i++) {
        last = CPU_ISSET(i, set) ? i : last;
    }
    return last;
}

static bool pin(const PbUarch *u)
{
    return pb_host_pin(u, why, sizeof(why));
}

static void test_hybrid_cpu_keeps_the_thread_on_its_big_cores(void)
{
    const PbUarch hybrid = { "test", 8, 0x11c4, 256 };
    const PbUarch plain = { "test", PERF_TYPE_RAW, 0x11c4, 256 };
    cpu_set_t before = allowed(), now;
    int last = last_of(&before);
    char list[40];

    enter_host();
    pb_check(pin(&hybrid));                 /* no list: not hybrid after all */
    snprintf(list, sizeof(list), "%d,1000-1003\n", last);
    put(PMUS "cpu_core/cpus", list);
    pb_check(pin(&plain));
    now = allowed();
    pb_check(CPU_EQUAL(&now, &before));
    pb_check(pin(&hybrid));
    now = allowed();
    pb_check_u64(CPU_COUNT(&now), 1);
    pb_check(CPU_ISSET(last, &now));
    sched_setaffinity(0, sizeof(before), &before);
    snprintf(list, sizeof(list), "0-%d\n", last);
    put(PMUS "cpu_core/cpus", list);
    pb_check(pin(&hybrid));
    now = allowed();
    pb_check(CPU_EQUAL(&now, &before));
    leave_host();
}

static void test_hybrid_cpu_without_a_big_core_is_refused(void)
{
    const PbUarch hybrid = { "test", 8, 0x11c4, 256 };
    cpu_set_t before = allowed(), now;

    enter_host();
    put(PMUS "cpu_core/cpus", "1000-1003\n");
    pb_check(!pin(&hybrid));
    pb_check(strstr(why, "cpu_core/cpus (taskset, cpuset)"));
    now = allowed();
    pb_check(CPU_EQUAL(&now, &before));
    leave_host();
}

/* ---- this host ---- */

/* Run @f without privileges and with its message in why; its result. */
static int as_nobody(int (*f)(void))
{
    int fd[2], status;
    ssize_t n;
    pid_t pid;

    why[0] = 0;
    if (pipe(fd) < 0) {
        return -1;
    }
    pid = fork();
    if (pid == 0) {
        int result = 100;

        if (setgroups(0, NULL) == 0 && setresgid(65534, 65534, 65534) == 0 &&
            setresuid(65534, 65534, 65534) == 0) {
            result = f();
        }
        if (write(fd[1], why, strlen(why)) < 0) {
            result = 101;
        }
        _exit(result);
    }
    close(fd[1]);
    n = read(fd[0], why, sizeof(why) - 1);
    why[n > 0 ? n : 0] = 0;
    close(fd[0]);
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int open_kvm(void)
{
    int fd = pb_kvm_open(why, sizeof(why));

    return fd >= 0;
}

static void test_kvm_without_permission_names_the_group(void)
{
    if (geteuid() != 0) {
        pb_skip("needs root, to become somebody else");
        return;
    }
    if (access("/dev/kvm", F_OK) < 0) {
        pb_skip("no /dev/kvm");
        return;
    }
    if (as_nobody(open_kvm) == 1) {
        pb_skip("everybody may open /dev/kvm here");
        return;
    }
    pb_check(strstr(why, "/dev/kvm may not be opened (Permission denied)"));
    pb_check(strstr(why, "sudo usermod -aG kvm"));
}

static int open_perf(void)
{
    const PbUarch u = { "test", PERF_TYPE_RAW, 0xd1, 32 };
    PbPerf p;

    return pb_perf_open(&p, &u, why, sizeof(why));
}

static void test_perf_without_permission_names_the_sysctl(void)
{
    long paranoid = pb_host_number("/proc/sys/kernel/perf_event_paranoid", 0);
    char value[64];

    if (geteuid() != 0) {
        pb_skip("needs root, to become somebody else");
        return;
    }
    if (paranoid <= 1) {
        pb_skip("kernel.perf_event_paranoid forbids nothing here");
        return;
    }
    pb_check_u64(as_nobody(open_perf), 0);
    snprintf(value, sizeof(value), "perf_event_paranoid is %ld,", paranoid);
    pb_check(strstr(why, value));
    pb_check(strstr(why, "sudo sysctl kernel.perf_event_paranoid=1"));
}

static void test_host_without_pmu_is_sent_to_the_lab(void)
{
    PbSelfCheck result;
    int kvm = pb_kvm_open(why, sizeof(why));

    if (kvm < 0) {
        pb_skip(why);
        return;
    }
    if (access("/sys/bus/event_source/devices/cpu", F_OK) == 0 ||
        access("/sys/bus/event_source/devices/cpu_core", F_OK) == 0) {
        pb_skip("this host has a PMU");
    } else if (geteuid() != 0) {
        pb_skip("needs root, to be told about the PMU first");
    } else {
        pb_check(!pb_self_check(kvm, &result, why, sizeof(why)));
        pb_check(strstr(why, "lab/run"));
        pb_check(!result.uarch || strstr(why, "no PMU"));
    }
    close(kvm);
}

int main(void)
{
    static const PbTest tests[] = {
        PB_TEST(perf_errors_say_what_to_do),
        PB_TEST(counters_that_are_all_taken_name_the_watchdog),
        PB_TEST(miscounts_name_their_likely_cause),
        PB_TEST(smi_and_preempt_rt_are_warned_of),
        PB_TEST(interpreted_real_mode_is_refused),
        PB_TEST(hybrid_cpu_keeps_the_thread_on_its_big_cores),
        PB_TEST(hybrid_cpu_without_a_big_core_is_refused),
        PB_TEST(kvm_without_permission_names_the_group),
        PB_TEST(perf_without_permission_names_the_sysctl),
        PB_TEST(host_without_pmu_is_sent_to_the_lab),
    };

    return pb_tap_run(tests, sizeof(tests) / sizeof(tests[0]));
}
