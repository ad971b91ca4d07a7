/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * init.c: PID 1 of the lab. Loads the modules, makes the outer root file
 * system (9p) the root, sets up KVM and perf, and becomes the agent.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent.h"

#define ROOT "/root"
#define PORT "/dev/vport"

static void must(int result, const char *what)
{
    if (result < 0) {
        agent_die(what);
    }
}

/* /modules/list: one "FILE [PARAMETERS]" per line, in loading order. */
static void load_modules(void)
{
    FILE *list = fopen("/modules/list", "re");
    char line[256], path[300];

    if (!list) {
        agent_die("/modules/list");
    }
    while (fgets(line, sizeof(line), list)) {
        char *parameters;
        int fd;

        line[strcspn(line, "\n")] = 0;
        parameters = line + strcspn(line, " ");
        if (*parameters) {
            *parameters++ = 0;
        }
        snprintf(path, sizeof(path), "/modules/%s", line);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        must(fd, path);
        if (syscall(SYS_finit_module, fd, parameters, 0) < 0) {
            fprintf(stderr, "lab-init: %s: %s\n", line, strerror(errno));
        }
        close(fd);
    }
    fclose(list);
}

static void mount_on(const char *type, const char *where, const char *data)
{
    mkdir(where, 0755);
    must(mount(type, where, type, 0, data), where);
}

#define MOUNT_9P "trans=virtio,version=9p2000.L,msize=507904,access=client,"

static void mount_root(void)
{
    static const char *const moved[] = { "/dev", "/proc", "/sys", "/run" };

    mkdir(ROOT, 0755);
    /* What is outside may change while we run: ask at every open ... */
    must(mount("root", ROOT, "9p", 0, MOUNT_9P "cache=mmap"),
         "mounting the outer root");
    /* ... but not the programs there, which makes starting them much faster. */
    must(mount("usr", ROOT "/usr", "9p", 0, MOUNT_9P "cache=loose"),
         "mounting the outer /usr");
    for (unsigned i = 0; i < sizeof(moved) / sizeof(moved[0]); i++) {
        char target[32];

        snprintf(target, sizeof(target), ROOT "%s", moved[i]);
        must(mount(moved[i], target, NULL, MS_MOVE, NULL), moved[i]);
    }
    must(chdir(ROOT), ROOT);
    must(mount(ROOT, "/", NULL, MS_MOVE, NULL), "moving the root");
    must(chroot("."), "chroot");
    must(chdir("/"), "/");
}

static void set(const char *file, const char *value)
{
    int fd = open(file, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, value, strlen(value)) < 0) {
        fprintf(stderr, "lab-init: %s: %s\n", file, strerror(errno));
    }
    close(fd);
}

static void settings(void)
{
    /* The rate must come first: it cannot be set once the limit is off. */
    set("/proc/sys/kernel/perf_event_max_sample_rate", "100000000");
    set("/proc/sys/kernel/perf_cpu_time_max_percent", "0");
    set("/proc/sys/kernel/perf_event_paranoid", "-1");
    set("/proc/sys/kernel/watchdog", "0");
    set("/proc/sys/kernel/randomize_va_space", "2");
    set("/sys/kernel/mm/transparent_hugepage/enabled", "never");
    /* What is written shall soon be seen outside. */
    set("/proc/sys/vm/dirty_writeback_centisecs", "20");
    set("/proc/sys/vm/dirty_expire_centisecs", "20");
}

static void loopback_up(void)
{
    struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    must(fd, "socket");
    must(ioctl(fd, SIOCSIFFLAGS, &request), "lo");
    close(fd);
}

static int open_port(void)
{
    char path[32];
    int fd;

    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof(path), PORT "%dp1", i);
        fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        if (fd >= 0) {
            return fd;
        }
    }
    agent_die("no virtio-serial port " PORT "*p1");
}

static void mount_own(void)
{
    mount_on("devtmpfs", "/dev", "mode=0755");
    mount_on("devpts", "/dev/pts", "ptmxmode=0666");
    mount_on("tmpfs", "/dev/shm", "mode=1777");
    mount_on("proc", "/proc", NULL);
    mount_on("sysfs", "/sys", NULL);
    mount_on("debugfs", "/sys/kernel/debug", NULL);
    mount_on("tmpfs", "/run", "mode=0755");
    mkdir("/run/lab", 0755);
}

int main(void)
{
    int port;

    mount_own();
    load_modules();
    loopback_up();
    settings();
    port = open_port();
    /*
     * A machine that is kept for warm starts is saved while this waits. What
     * is mounted from outside comes later: it cannot be saved.
     */
    agent_wait(port);
    mount_root();
    agent_run(port);
}
