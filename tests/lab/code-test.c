/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Code that changes. One processor of the lab patches it while another one runs
 * it, by the protocol of the manuals (Intel SDM 3A, 8.1.3; AMD APM 2, 7.6.1):
 * write, make the others serialize, go on. Or other code comes to an address,
 * for its page, or all page tables, are others. Run inside the lab: code-test
 * NAME. Status 0 and a line of figures, or 1 and what was expected and got.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tiny.h"

#define PAGE 4096u
#define PAGES 4000u
#define PATCHES 20000u
#define TOGGLES 600
#define MOVES 3000u
#define MANY_PAGES 40u     /* Linux flushes more than 33 by one CR3 */
#define TURNS 5000u
#define PATIENCE 1000000    /* calls by then */

/* mov eax, imm32; ret: the number is aligned, and written in one go. */
static const uint8_t code[] = { 0xb8, 0, 0, 0, 0, 0xc3 };
#define START 3
#define NUMBER (START + 1)
#define BESIDE 256

static uint8_t *pages;
static atomic_uint asked, patched, called, stale;
static atomic_bool done;

static void barrier(int command)
{
    if (syscall(SYS_membarrier, command, 0, 0) < 0) {
        fail("membarrier: %s", strerror(errno));
    }
}

static void serialize_the_others(void)
{
    barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE);
}

static void write_number(unsigned page, uint32_t number)
{
    __atomic_store_n((uint32_t *)(pages + page * PAGE + NUMBER), number,
                     __ATOMIC_RELEASE);
}

static uint32_t call(unsigned page, unsigned offset)
{
    uint32_t (*function)(void) = (void *)(pages + page * PAGE + offset);

    return function();
}

static void new_pages(unsigned n)
{
    pages = mmap(NULL, n * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) {
        fail("mmap: %s", strerror(errno));
    }
    for (unsigned i = 0; i < n; i++) {
        memcpy(pages + i * PAGE + START, code, sizeof(code));
    }
    barrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE);
}

static pthread_t start(void *(*run)(void *))
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, run, NULL)) {
        fail("no second thread");
    }
    return thread;
}

static void expect_none(unsigned of)
{
    if (stale) {
        fail("expected new code after each of %u patches, got old code %u "
             "times", of, stale);
    }
    printf("%u patches\n", of);
}

/* Calls it all the time. What is patched by then must be seen. */
static void *call_all_the_time(void *unused)
{
    while (!done) {
        uint32_t least = patched;

        stale += call(0, START) < least;
        called = least;
    }
    return unused;
}

static void patch_all_the_time(void)
{
    pthread_t thread = start(call_all_the_time);

    for (uint32_t i = 1; i <= PATCHES; i++) {
        write_number(0, i);
        serialize_the_others();
        patched = i;
        for (int n = 0; called != i && n < PATIENCE; n++) {
        }
    }
    done = true;
    pthread_join(thread, NULL);
    expect_none(PATCHES);
}

static void test_code_alone_in_its_page(void)
{
    new_pages(1);
    patch_all_the_time();
}

static void test_code_beside_other_code(void)
{
    new_pages(1);
    memcpy(pages + BESIDE, code, sizeof(code));
    call(0, BESIDE);
    patch_all_the_time();
}

static void spin(unsigned rounds)
{
    static atomic_uint spun;

    while (rounds--) {
        spun++;
    }
}

/* Two calls for each page: the first one while it is patched. */
static void *call_each_page(void *unused)
{
    for (unsigned i = 0; i < PAGES; i++) {
        while (asked != i + 1) {
        }
        call(i, START);
        while (patched != i + 1) {
        }
        stale += call(i, START) != 2;
        called = i + 1;
    }
    return unused;
}

/* Patched while it is called for the first time. */
static void test_code_that_never_ran(void)
{
    pthread_t thread;

    new_pages(PAGES);
    thread = start(call_each_page);
    for (unsigned i = 0; i < PAGES; i++) {
        write_number(i, 1);
        asked = i + 1;
        spin(20 * (i % 64));
        write_number(i, 2);
        serialize_the_others();
        patched = i + 1;
        while (called != i + 1) {
        }
    }
    pthread_join(thread, NULL);
    expect_none(PAGES);
}

/* Linux patches its scheduler, by INT3, while both processors are in it. */
static void test_the_kernels_own_code(void)
{
    const char *path = "/proc/sys/kernel/sched_schedstats";
    int fd = open(path, O_WRONLY);

    if (fd < 0) {
        fail("%s: %s", path, strerror(errno));
    }
    for (int i = 0; i < 3; i++) {
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            while (true) {
                sched_yield();
            }
        }
    }
    for (int i = 0; i < TOGGLES; i++) {
        if (pwrite(fd, i & 1 ? "0\n" : "1\n", 2, 0) != 2) {
            fail("writing to %s: %s", path, strerror(errno));
        }
    }
    printf("%d toggles\n", TOGGLES);
}

static void expect_number(uint32_t number, unsigned page, unsigned offset,
                          unsigned round)
{
    uint32_t got = call(page, offset);

    if (got != number) {
        fail("round %u: expected code with 0x%x, got 0x%x", round, number, got);
    }
}

/*
 * Two blocks of pages take turns behind a page whose last instruction ends in
 * their first one.
 */
static void move_code(unsigned n)
{
    int fd = memfd_create("code", 0);
    uint8_t some[sizeof(code)];

    new_pages(1 + n);
    memcpy(some, code, sizeof(code));
    memcpy(pages + PAGE - 3, code, 3);
    for (unsigned i = 0; i < 2; i++) {
        off_t first = i * n * PAGE;

        some[1] = some[3] = i + 1;
        if (ftruncate(fd, first + n * PAGE) < 0 ||
            pwrite(fd, some, sizeof(some), first + BESIDE) < 0 ||
            pwrite(fd, some + 3, 3, first) < 0) {
            fail("memfd: %s", strerror(errno));
        }
    }
    for (unsigned i = 0; i < MOVES; i++) {
        unsigned which = i % 2;

        if (mmap(pages + PAGE, n * PAGE, PROT_READ | PROT_EXEC,
                 MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd,
                 which * n * PAGE) == MAP_FAILED) {
            fail("mmap: %s", strerror(errno));
        }
        expect_number((which + 1) * 0x10000, 0, PAGE - 3, i);
        expect_number((which + 1) * 0x10001, 1, BESIDE, i);
    }
    printf("%u moves of %u pages\n", MOVES, n);
}

static void test_code_that_moves(void)
{
    move_code(1);
    move_code(MANY_PAGES);
}

/* Each has its own at the address; they share a processor. */
static void take_turns(atomic_uint *turn, unsigned which)
{
    write_number(0, which + 1);
    while (*turn < TURNS) {
        if (*turn % 2 == which) {
            if (call(0, START) != which + 1) {
                *turn = TURNS;
                fail("a process ran the code of the other one");
            }
            (*turn)++;
        }
        sched_yield();
    }
}

static void test_code_of_two_processes(void)
{
    atomic_uint *turn = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cpu_set_t first;
    int status = 0;
    pid_t child;

    new_pages(1);
    CPU_ZERO(&first);
    CPU_SET(0, &first);
    if (turn == MAP_FAILED || sched_setaffinity(0, sizeof(first), &first)) {
        fail("set-up: %s", strerror(errno));
    }
    child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        take_turns(turn, 1);
        _exit(0);
    }
    take_turns(turn, 0);
    if (waitpid(child, &status, 0) != child || status) {
        fail("the second process ended with 0x%x", status);
    }
    printf("%u turns\n", TURNS);
}

static const struct {
    const char *name;
    void (*run)(void);
} tests[] = {
    { "alone", test_code_alone_in_its_page },
    { "beside", test_code_beside_other_code },
    { "new", test_code_that_never_ran },
    { "kernel", test_the_kernels_own_code },
    { "moves", test_code_that_moves },
    { "processes", test_code_of_two_processes },
};

int main(int argc, char **argv)
{
    for (unsigned i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        if (argc > 1 && !strcmp(argv[1], tests[i].name)) {
            tests[i].run();
            return 0;
        }
    }
    fprintf(stderr, "usage: code-test NAME\n");
    return 2;
}
