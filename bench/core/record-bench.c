/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * record-bench.c: what it costs to record: the recorder is given again what
 * the Primary of an evidence file went through.
 *
 *   record-bench HISTORY STATE [--kvm] [--slots N] [--rounds N] [--only WHAT]
 *                [--rate N]
 *
 * HISTORY: the evidence file whose events are recorded; STATE: another one,
 * whose registers and memory positions are taken from.  One line for each
 * batch: what, ns for each, instructions for each or -1, how many.  "stream"
 * is all in its order by event, "exit" the same by exit, or what else there
 * was to record; the others are one kind alone, by exit or event.  With
 * --rate the stream pauses between batches, so that no more than N events come
 * in a second; "rate" tells how many came.
 *
 * The recorder, its ring and its clock are the product's.  KVM is not asked:
 * registers are known since KVM_RUN, and ioctl() answers here; with --kvm a
 * real vCPU is asked for them, as after somebody changed them.  The counter is
 * `step`'s, which is read from memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "evidence-host.h"
#include "pb-vm.h"
#include "record-stream.h"

#define BATCH      32u        /* of the longest payloads: 2080 slots */
#define RUN_SIZE   (4096u + PB_EVENT_MAX_PAYLOAD)

typedef struct Bench {
    Stream all;
    Stream kind[STREAM_KINDS];    /* the same, each kind alone */
    PbEvidence *at;           /* where positions are taken */
    PbVcpu v;
    PbRing *ring;
    PbRecorder *r;
    int instructions;         /* a perf event, or -1 */
    unsigned rounds;
    const char *only;         /* play nothing else; NULL: all */
    unsigned rate;            /* events a second, or 0: as fast as it goes */
} Bench;

/* ---- the kernel's part ---- */

static const PbState *answer;     /* NULL: ask the kernel everything */
static bool ask_kvm;

int __real_ioctl(int fd, unsigned long req, void *arg);
int __wrap_ioctl(int fd, unsigned long req, void *arg);

int __wrap_ioctl(int fd, unsigned long req, void *arg)
{
    bool gets = req == KVM_GET_REGS || req == KVM_GET_SREGS ||
                req == KVM_GET_VCPU_EVENTS;

    if (!answer || (gets && ask_kvm)) {
        return __real_ioctl(fd, req, arg);
    }
    switch (req) {
    case KVM_RUN:             /* with immediate_exit */
        errno = EINTR;
        return -1;
    case KVM_GET_REGS:
        memcpy(arg, &answer->regs, sizeof(answer->regs));
        break;
    case KVM_GET_SREGS:
        memcpy(arg, &answer->sregs, sizeof(answer->sregs));
        break;
    case KVM_GET_VCPU_EVENTS:
        memset(arg, 0, sizeof(struct kvm_vcpu_events));
        break;
    }
    return 0;
}

static uint64_t now_ns(void *unused)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static int open_instructions(void)
{
    struct perf_event_attr attr = {
        .type = PERF_TYPE_HARDWARE, .size = sizeof(attr),
        .config = PERF_COUNT_HW_INSTRUCTIONS, .exclude_kernel = 1,
    };

    return syscall(SYS_perf_event_open, &attr, 0, -1, -1,
                   PERF_FLAG_FD_CLOEXEC);
}

static uint64_t instructions(const Bench *b)
{
    uint64_t n = 0;

    return b->instructions >= 0 &&
           read(b->instructions, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void die(const char *what, const char *why)
{
    printf("error: %s: %s\n", what, why);
    exit(1);
}

/* ---- measuring ---- */

static uint64_t recorded(const Bench *b)
{
    PbRecordStats s;

    pb_record_stats(b->r, &s);
    return s.events;
}

/* The Backup's part, not measured. */
static void drain(Bench *b)
{
    uint32_t n = pb_ring_used(b->ring), i;

    for (i = 0; i < n; i++) {
        pb_ring_peek(b->ring, 0);
        pb_ring_release(b->ring, 1);
    }
    pb_ring_flush(b->ring);
}

static void tell(const Bench *b, const char *name, double ns, double code,
                 double n)
{
    if (n > 0) {
        printf("%s %.2f %.1f %.0f\n", name, ns / n,
               b->instructions < 0 ? -1 : code / n, n);
    }
}

/* @n actions from @a on, and what each took; @by_event: or each event. */
static void batch(Bench *b, const char *name, const Action *a, size_t n,
                  const char *by_event)
{
    uint64_t events = recorded(b), code = instructions(b), ns;
    size_t i;

    ns = now_ns(NULL);
    for (i = 0; i < n; i++) {
        /* As KVM_RUN leaves them; --kvm: asked for. */
        b->v.known = ask_kvm ? 0 : PB_VCPU_SYNC;
        stream_play(b->r, b->v.run, &a[i], b->at->state);
    }
    ns = now_ns(NULL) - ns;
    code = instructions(b) - code;
    tell(b, name, ns, code, n);
    if (by_event) {
        tell(b, by_event, ns, code, recorded(b) - events);
    }
    if (pb_record_staged(b->r)) {
        die(name, "the ring was full");
    }
    drain(b);
}

/* Pause until it is time for the next event after those recorded. */
static void pace(const Bench *b, uint64_t start)
{
    uint64_t due = start + recorded(b) * 1000000000ull / b->rate;
    struct timespec t = { due / 1000000000, due % 1000000000 };

    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static void run_stream(Bench *b, uint64_t start)
{
    size_t at;

    for (at = 0; at + BATCH <= b->all.actions; at += BATCH) {
        batch(b, "exit", b->all.action + at, BATCH, "stream");
        if (b->rate) {
            pace(b, start);
        }
    }
}

/* Other ones of the kind each time. */
static void run_kind(Bench *b, unsigned kind, unsigned round)
{
    const Stream *s = &b->kind[kind];

    if (s->actions) {
        batch(b, stream_kind_name(kind),
              s->action + round * BATCH % (s->actions - BATCH + 1), BATCH,
              NULL);
    }
}

static bool wanted(const Bench *b, const char *what)
{
    return !b->only || !strcmp(b->only, what);
}

static void run(Bench *b)
{
    uint64_t start = now_ns(NULL);
    unsigned round, kind;

    for (round = 0; round < b->rounds; round++) {
        if (wanted(b, "stream")) {
            run_stream(b, start);
        }
        for (kind = 0; kind < STREAM_KINDS; kind++) {
            if (wanted(b, stream_kind_name(kind))) {
                run_kind(b, kind, round);
            }
        }
    }
    if (b->rate) {
        printf("rate %.0f -1 1\n",
               recorded(b) * 1e9 / (double)(now_ns(NULL) - start));
    }
}

/* ---- setting up ---- */

/* A vCPU in the kernel that stands where the state says. */
static void real_vcpu(Bench *b)
{
    int kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC), ret;
    PbEvidenceHost host = { 0 };
    const char *what = "/dev/kvm";

    ret = kvm_fd < 0 ? -errno : pb_evidence_host(kvm_fd, &host);
    if (ret == 0) {
        ret = pb_vm_create(&b->v, kvm_fd, host.supported, &what);
    }
    if (ret == 0) {
        what = "registers";
        ret = pb_vcpu_ioctl(&b->v, KVM_SET_SREGS, &b->at->state[0].sregs);
    }
    if (ret == 0) {
        ret = pb_vcpu_set_regs(&b->v, &b->at->state[0].regs);
    }
    if (ret < 0) {
        die(what, strerror(-ret));
    }
    pb_evidence_host_free(&host);
}

static void set_up(Bench *b, const char *state, uint32_t slots)
{
    char why[300];

    b->at = pb_evidence_open(state, why, sizeof(why));
    if (!b->at) {
        die("state", why);
    }
    /* Frozen, it may hold an interrupt, and could take no other. */
    memset(b->at->state[0].sregs.interrupt_bitmap, 0,
           sizeof(b->at->state[0].sregs.interrupt_bitmap));
    b->v = (PbVcpu) { .role = PB_PRIMARY, .vm_fd = -1, .fd = -1,
                      .mem = &b->at->mem };
    if (ask_kvm) {
        real_vcpu(b);
    } else {
        b->v.run = calloc(1, RUN_SIZE);
        if (b->v.run) {
            b->v.run->s.regs.regs = b->at->state[0].regs;
            b->v.run->s.regs.sregs = b->at->state[0].sregs;
        }
    }
    b->ring = pb_ring_new(slots);
    if (!b->v.run || !b->ring ||
        !pb_counter_new(&b->v, PB_COUNTER_STEP, NULL, why, sizeof(why))) {
        die("ring", "no memory, or not a power of two of at least 4096");
    }
    pb_counter_set(b->v.counter, 1);
    b->r = pb_record_new(b->ring, NULL, &b->v, now_ns, NULL);
    b->instructions = open_instructions();
    answer = b->at->state;
}

static void print_mix(const Stream *s)
{
    unsigned kind;

    for (kind = 0; kind < STREAM_KINDS; kind++) {
        if (s->of_kind[kind]) {
            printf("mix %s %llu\n", stream_kind_name(kind),
                   (unsigned long long)s->of_kind[kind]);
        }
    }
}

int main(int argc, char **argv)
{
    Bench b = { .rounds = 20 };
    uint32_t slots = 1u << 16;
    int i;

    for (i = 3; i < argc; i++) {
        if (!strcmp(argv[i], "--kvm")) {
            ask_kvm = true;
        } else if (!strcmp(argv[i], "--slots") && i + 1 < argc) {
            slots = strtoul(argv[++i], NULL, 10);
        } else if (!strcmp(argv[i], "--rounds") && i + 1 < argc) {
            b.rounds = strtoul(argv[++i], NULL, 10);
        } else if (!strcmp(argv[i], "--only") && i + 1 < argc) {
            b.only = argv[++i];
        } else if (!strcmp(argv[i], "--rate") && i + 1 < argc) {
            b.rate = strtoul(argv[++i], NULL, 10);
        }
    }
    if (argc < 3) {
        die("arguments", "expected HISTORY STATE [options]");
    }
    stream_read(&b.all, argv[1]);
    for (i = 0; i < STREAM_KINDS; i++) {
        stream_of_kind(&b.kind[i], &b.all, i, BATCH);
    }
    set_up(&b, argv[2], slots);
    print_mix(&b.all);
    run(&b);
    return 0;
}
