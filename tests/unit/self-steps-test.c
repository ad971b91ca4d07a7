/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * self-steps-test.c: bench/exits counts exactly: known code, noted.
 */
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pb-tap.h"
#include "self-steps.h"

#define LOOPS 1000
/* A mov; dec and jnz; three movs and the string; mov and syscall, twice, with
   one instruction between them that a trap is too late for; ret. */
#define KNOWN (1 + 2 * LOOPS + 4 + 5 + 1)
void known(void *to, void *from);
extern const char known_string[], known_behind[];

/* getppid is 110, getpid 39. */
__asm__(".text\n"
        "known:\n"
        "    mov $1000, %ecx\n"
        "1:  dec %ecx\n"
        "    jnz 1b\n"
        "    mov %rdi, %r8\n"
        "    mov %rsi, %r9\n"
        "    mov $50, %ecx\n"
        "known_string:\n"
        "    rep movsb\n"
        "    mov $110, %eax\n"
        "    syscall\n"
        "known_behind:\n"
        "    nop\n"
        "    mov $39, %eax\n"
        "    syscall\n"
        "    ret\n");

static PbStep room[4096];
static char here[50], there[50];
static volatile sig_atomic_t signals;

/* The notes' own: known() alone is noted. */
static PB_STEPS_OWN void run_known(PbTrace *t)
{
    t->step = room;
    t->room = t->room ? t->room : sizeof(room) / sizeof(room[0]);
    t->n = 0;
    t->full = false;
    pb_steps_on(t);
    known(there, here);
    pb_steps_off();
}

static unsigned times(const PbTrace *t, const void *rip)
{
    unsigned i, n = 0;

    for (i = 0; i < t->n; i++) {
        n += t->step[i].rip == (uintptr_t)rip;
    }
    return n;
}

static void test_every_instruction_is_noted_once(void)
{
    PbTrace t = { 0 };
    int i;

    for (i = 0; i < 3; i++) {
        run_known(&t);
        pb_check_u64(t.n, KNOWN);
        pb_check_u64(t.step[0].rip, (uintptr_t)known);
        pb_check_u64(times(&t, known_string), 1);
        pb_check_u64(times(&t, known_behind), 1);
    }
    pb_check(!t.full);
}

static void test_system_calls_are_told_by_number(void)
{
    int32_t calls[4] = { 0 };
    PbTrace t = { 0 };
    unsigned i, n = 0;

    run_known(&t);
    for (i = 0; i < t.n; i++) {
        if (t.step[i].call != PB_NO_CALL && n < 4) {
            calls[n++] = t.step[i].call;
        }
    }
    pb_check_u64(n, 2);
    pb_check_u64(calls[0], SYS_getppid);
    pb_check_u64(calls[1], SYS_getpid);
}

static void test_what_has_no_room_is_told(void)
{
    PbTrace t = { .room = 100 };

    run_known(&t);
    pb_check_u64(t.n, 100);
    pb_check(t.full);
}

static void on_signal(int sig)
{
    signals++;
}

static void test_a_signal_changes_no_count(void)
{
    struct sigaction act = { .sa_handler = on_signal };
    PbTrace t = { 0 };

    sigaction(SIGALRM, &act, NULL);
    while (signals < 3) {
        ualarm(500, 0);
        run_known(&t);
        pb_check_u64(t.n, KNOWN);
    }
    ualarm(0, 0);
    act.sa_handler = SIG_DFL;
    sigaction(SIGALRM, &act, NULL);
}

static void test_a_blocked_trap_is_let_through(void)
{
    PbTrace t = { 0 };
    sigset_t all;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    run_known(&t);
    sigemptyset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    pb_check_u64(t.n, KNOWN);
}

int main(void)
{
    static const PbTest tests[] = {
        PB_TEST(every_instruction_is_noted_once),
        PB_TEST(system_calls_are_told_by_number),
        PB_TEST(what_has_no_room_is_told),
        PB_TEST(a_signal_changes_no_count),
        PB_TEST(a_blocked_trap_is_let_through),
    };

    if (pb_steps_init() < 0) {
        printf("1..0 # SKIP no SIGTRAP\n");
        return 0;
    }
    return pb_tap_run(tests, sizeof(tests) / sizeof(tests[0]));
}
