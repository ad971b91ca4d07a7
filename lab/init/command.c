/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command's process: its start, its terminal, its end. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"

static pid_t pid;
static int terminal = -1;       /* our side of the pseudo-terminal */
static int exit_status;
static bool ended;

/* The strings of a LINK_START payload, one after the other. */
typedef struct Words {
    char *next, *end;
} Words;

static char *next_word(Words *w)
{
    char *word = w->next;

    if (word >= w->end) {
        return NULL;
    }
    w->next += strnlen(word, w->end - word) + 1;
    return word;
}

/* One of the command's descriptors: ours in fds[0], the command's in [1]. */
static void new_stdio(int which, bool is_terminal, int slave, int fds[2])
{
    int pipe_fds[2];

    if (is_terminal) {
        fds[0] = fcntl(terminal, F_DUPFD_CLOEXEC, 0);
        fds[1] = fcntl(slave, F_DUPFD_CLOEXEC, 0);
    } else {
        if (pipe2(pipe_fds, O_CLOEXEC) < 0) {
            agent_die("pipe");
        }
        fds[0] = pipe_fds[which == 0 ? 1 : 0];
        fds[1] = pipe_fds[which == 0 ? 0 : 1];
    }
    fcntl(fds[0], F_SETFL, fcntl(fds[0], F_GETFL) | O_NONBLOCK);
}

static void __attribute__((noreturn))
child(int fds[3][2], const char *dir, char **argv, char **env, bool has_tty)
{
    sigset_t none;

    setsid();
    for (int i = 0; i < 3; i++) {
        dup2(fds[i][1], i);
    }
    if (has_tty) {
        ioctl(0, TIOCSCTTY, 0);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (chdir(dir) < 0) {
        fprintf(stderr, "lab: cannot enter %s: %s\n", dir, strerror(errno));
        _exit(126);
    }
    environ = env;
    execvp(argv[0], argv);
    fprintf(stderr, "lab: cannot run %s: %s\n", argv[0], strerror(errno));
    _exit(errno == ENOENT ? 127 : 126);
}

static void run(const char *tty, const char *dir, char **argv, char **env)
{
    static const char letters[] = "ioe";
    int fds[3][2], slave = -1;

    if (strchr(tty, 'i')) {
        if (openpty(&terminal, &slave, NULL, NULL, NULL) < 0) {
            agent_die("openpty");
        }
        fcntl(terminal, F_SETFD, FD_CLOEXEC);
        fcntl(slave, F_SETFD, FD_CLOEXEC);
    }
    for (int i = 0; i < 3; i++) {
        new_stdio(i, terminal >= 0 && strchr(tty, letters[i]), slave, fds[i]);
    }
    pid = fork();
    if (pid < 0) {
        agent_die("fork");
    }
    if (pid == 0) {
        child(fds, dir, argv, env, terminal >= 0);
    }
    for (int i = 0; i < 3; i++) {
        close(fds[i][1]);
    }
    if (slave >= 0) {
        close(slave);
    }
    channel_use(0, -1, fds[0][0]);
    channel_use(1, fds[1][0], -1);
    if (terminal >= 0 && strchr(tty, 'e')) {
        close(fds[2][0]);       /* channel 1 reads the terminal already */
        fds[2][0] = -1;
    }
    channel_use(2, fds[2][0], -1);
}

/* The machine may have been saved long ago: what must be of today. */
static void renew_time_and_random(const char *seconds, const char *random)
{
    struct timeval time = { 0 };
    double value = strtod(seconds, NULL);
    int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);

    time.tv_sec = value;
    time.tv_usec = (value - time.tv_sec) * 1e6;
    settimeofday(&time, NULL);
    if (fd < 0 || write(fd, random, strlen(random)) < 0 ||
        ioctl(fd, RNDRESEEDCRNG) < 0) {
        fprintf(stderr, "lab-init: /dev/urandom: %s\n", strerror(errno));
    }
    close(fd);
}

void command_start(char *payload, size_t length)
{
    Words words = { payload, payload + length };
    char *tty = next_word(&words);
    char *seconds = next_word(&words);
    char *random = next_word(&words);
    char *dir = next_word(&words);
    char *count = next_word(&words);
    int argc, n = 0;
    char **argv, **env, *word;

    if (!count || length == 0 || payload[length - 1] != 0) {
        agent_die("bad LINK_START");
    }
    renew_time_and_random(seconds, random);
    argc = atoi(count);
    argv = calloc(argc + 1, sizeof(*argv));
    env = calloc(length + 1, sizeof(*env));
    if (!argv || !env) {
        agent_die("out of memory");
    }
    for (int i = 0; i < argc; i++) {
        argv[i] = next_word(&words);
        if (!argv[i]) {
            agent_die("bad LINK_START");
        }
    }
    while ((word = next_word(&words))) {
        env[n++] = word;
    }
    run(tty, dir, argv, env);
}

void command_signal(int signal)
{
    if (pid > 0 && !ended) {
        kill(-pid, signal);
    }
}

void command_size(uint16_t rows, uint16_t columns)
{
    struct winsize size = { .ws_row = rows, .ws_col = columns };

    if (terminal >= 0) {
        ioctl(terminal, TIOCSWINSZ, &size);
    }
}

bool command_ended(uint8_t *status)
{
    int how;
    pid_t who;

    while ((who = waitpid(-1, &how, WNOHANG)) > 0) {
        if (who == pid) {
            ended = true;
            exit_status = WIFSIGNALED(how) ? 128 + WTERMSIG(how)
                                           : WEXITSTATUS(how);
        }
    }
    *status = exit_status;
    return ended;
}
