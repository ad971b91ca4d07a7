/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * exit-steps.c: what a vCPU's thread executes between two KVM_RUNs.
 *
 *   LD_PRELOAD=exit-steps.so PB_STEPS_FILE=... qemu-system-i386 ...
 *
 * Takes the place of ioctl().  A guest writes to port PB_STEPS_PORT when it is
 * ready; then each thread that is named has its turn, in bursts: some exits at
 * full speed, and some instruction by instruction.  Stepped all the time, it
 * would hold locks and miss timers as no thread does.  After the last one the
 * process ends.  The file has lines of
 *
 *   thread NAME
 *   burst
 *   run REASON PORT STEP...    from a KVM_RUN that ended so to the next
 *   map START END OFFSET PATH  executable parts of the address space
 *
 * REASON is KVM_EXIT_*, or -1 if KVM_RUN failed; PORT that of KVM_EXIT_IO.  A
 * STEP is the distance from the step before (or from 0), in decimal, and for a
 * system call :NUMBER:SECOND-ARGUMENT.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "self-steps.h"

#define PB_STEPS_PORT 0xee
#define THREADS_MAX   4
#define ROOM          (1u << 20)  /* instructions of one exit */

/* What QEMU and pbkvm set kvm_run.immediate_exit to, for a kick. */
#define KICK          1

/* A thread that calls KVM_RUN. */
typedef struct Watch {
    const struct kvm_run *run;
    int turn;                 /* in which it is stepped; -1: never */
    bool ready;               /* its guest is */
    bool on;                  /* it is stepped since the last exit */
    unsigned exits;           /* of this burst */
    unsigned bursts;
    int reason;
    unsigned port;
    PbTrace trace;
} Watch;

static __thread Watch watch __attribute__((tls_model("initial-exec")));

static FILE *file;                /* NULL: nothing is to be done */
static const char *name[THREADS_MAX];
static int names, now;            /* now: whose turn it is */
static unsigned skip, length, wanted;     /* of a burst; bursts */

static void die(const char *what)
{
    fprintf(stderr, "exit-steps: error: %s\n", what);
    _exit(3);
}

static unsigned option(const char *key, unsigned otherwise)
{
    const char *value = getenv(key);

    return value ? strtoul(value, NULL, 10) : otherwise;
}

static __attribute__((constructor)) void begin(void)
{
    const char *path = getenv("PB_STEPS_FILE");
    const char *threads = getenv("PB_STEPS_THREADS");
    static char list[THREADS_MAX * 16];
    char *rest = list;

    if (!path || !threads) {
        return;
    }
    skip = option("PB_STEPS_SKIP", 200);
    length = option("PB_STEPS_LENGTH", 1);
    wanted = option("PB_STEPS_BURSTS", 20);
    snprintf(list, sizeof(list), "%s", threads);
    while (rest && names < THREADS_MAX) {
        name[names++] = strsep(&rest, ",");
    }
    file = fopen(path, "we");
    if (!file || pb_steps_init() < 0) {
        die("no file, or no SIGTRAP");
    }
}

/* ---- between two exits ---- */

static void write_begin(const Watch *w)
{
    if (w->bursts == 0) {
        fprintf(file, "thread %s\n", name[w->turn]);
    }
    fputs("burst\n", file);
}

static void write_run(const Watch *w)
{
    uint64_t last = 0;
    size_t i;

    fprintf(file, "run %d %u", w->reason, w->port);
    for (i = 0; i < w->trace.n; i++) {
        const PbStep *s = &w->trace.step[i];

        fprintf(file, " %" PRId64, (int64_t)(s->rip - last));
        if (s->call != PB_NO_CALL) {
            fprintf(file, ":%d:%" PRIu32, s->call, s->request);
        }
        last = s->rip;
    }
    fputc('\n', file);
}

static void write_maps(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[600], start[20], end[20], rights[8], offset[20], path[400];

    while (maps && fgets(line, sizeof(line), maps)) {
        path[0] = 0;
        if (sscanf(line, "%19[0-9a-f]-%19[0-9a-f] %7s %19s %*s %*s %399s",
                   start, end, rights, offset, path) >= 4 &&
            rights[2] == 'x') {
            fprintf(file, "map %s %s %s %s\n", start, end, offset, path);
        }
    }
    if (maps) {
        fclose(maps);
    }
}

/* Not always the same, or a guest's cycle would show one of its exits only. */
static unsigned gap(const Watch *w)
{
    return skip + w->bursts % 16;
}

/* The steps since the last exit are complete. */
static void before_run(Watch *w)
{
    if (w->trace.full) {
        die("too many instructions between two exits");
    }
    write_run(w);
    w->on = false;
    if (++w->exits < gap(w) + length) {
        return;
    }
    w->exits = 0;
    if (++w->bursts == wanted) {
        __atomic_store_n(&now, w->turn + 1, __ATOMIC_RELEASE);
        w->turn = -1;
        if (now == names) {
            write_maps();
            fclose(file);
            _exit(0);
        }
    }
}

static void meet(Watch *w, int fd)
{
    char comm[16];

    w->turn = -1;
    w->run = mmap(NULL, sizeof(*w->run), PROT_READ, MAP_SHARED, fd, 0);
    w->trace.step = calloc(ROOM, sizeof(PbStep));
    w->trace.room = ROOM;
    if (w->run == MAP_FAILED || !w->trace.step ||
        prctl(PR_GET_NAME, comm) < 0) {
        die("no memory, or this is no vCPU");
    }
    for (int i = 0; i < names; i++) {
        w->turn = strcmp(comm, name[i]) == 0 ? i : w->turn;
    }
}

/* Whether to step from here. */
static bool after_run(Watch *w, bool ok, bool kicked)
{
    w->reason = ok ? (int)w->run->exit_reason : -1;
    w->port = w->reason == KVM_EXIT_IO ? w->run->io.port : 0;
    if (w->reason == KVM_EXIT_IO && w->port == PB_STEPS_PORT) {
        w->ready = true;
    }
    if (!w->ready || w->turn != __atomic_load_n(&now, __ATOMIC_ACQUIRE) ||
        kicked) {
        return false;
    }
    if (w->exits < gap(w)) {
        w->exits++;
        return false;
    }
    if (w->exits == gap(w)) {     /* a burst begins, not with a kick */
        if (!ok) {
            return false;
        }
        write_begin(w);
    }
    w->trace.n = 0;
    return w->on = true;
}

/* ---- ioctl(), whose own instructions are not noted ---- */

static inline __attribute__((always_inline))
int call(int fd, unsigned long request, void *arg)
{
    long ret;

    __asm__ volatile("syscall" : "=a"(ret)
                     : "0"((long)SYS_ioctl), "D"((long)fd), "S"(request),
                       "d"(arg)
                     : "rcx", "r11", "memory");
    if (ret < 0) {
        errno = -ret;
        return -1;
    }
    return ret;
}

static PB_STEPS_OWN int run(int fd, unsigned long request, void *arg)
{
    Watch *w = &watch;
    int ret, error;
    bool kicked;

    if (w->on) {
        pb_steps_off();
        before_run(w);
    } else if (!w->run) {
        meet(w, fd);
    }
    kicked = w->run->immediate_exit == KICK;
    ret = call(fd, request, arg);
    error = errno;
    if (after_run(w, ret == 0, kicked)) {
        errno = error;
        pb_steps_on(&w->trace);
    } else {
        errno = error;
    }
    return ret;
}

PB_STEPS_OWN int ioctl(int fd, unsigned long request, ...)
{
    va_list list;
    void *arg;

    va_start(list, request);
    arg = va_arg(list, void *);
    va_end(list);
    return request == KVM_RUN && file ? run(fd, request, arg)
                                      : call(fd, request, arg);
}
