/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The agent's loop: frames from and to lab/run. See agent.h and link.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "agent.h"
#include "link.h"

#define HEADER 8
#define SEND_ENOUGH (128 * 1024)    /* queued bytes that make us read less */

static int port;
static Buffer received, to_send;

void agent_die(const char *what)
{
    fprintf(stderr, "lab-init: %s: %s\n", what, strerror(errno));
    _exit(1);       /* PID 1: the kernel panics, lab/run shows the above */
}

bool agent_send_is_full(void)
{
    return to_send.length >= SEND_ENOUGH;
}

void agent_send(int type, int channel, const void *payload, uint32_t length)
{
    uint8_t header[HEADER] = { type, 0, channel, channel >> 8 };

    memcpy(header + 4, &length, 4);     /* x86: little-endian */
    buffer_add(&to_send, header, HEADER);
    buffer_add(&to_send, payload, length);
}

static void write_port(void)
{
    ssize_t put = write(port, to_send.bytes, to_send.length);

    if (put < 0 && errno != EAGAIN && errno != EINTR) {
        agent_die("writing to the port");
    }
    if (put > 0) {
        buffer_drop(&to_send, put);
    }
}

static void handle(int type, int id, char *payload, uint32_t length)
{
    uint32_t credit;

    if (id >= CHANNELS) {
        agent_die("bad channel");
    }
    switch (type) {
    case LINK_DATA:
        channel_data(id, payload, length);
        break;
    case LINK_EOF:
        channel_eof(id);
        break;
    case LINK_CREDIT:
        memcpy(&credit, payload, sizeof(credit));
        channels[id].credit += credit;
        break;
    case LINK_CLOSE:
        channel_close(id);
        break;
    case LINK_START:
        command_start(payload, length);
        break;
    case LINK_SIGNAL:
        command_signal(payload[0]);
        break;
    case LINK_SIZE:
        command_size(((uint16_t *)payload)[0], ((uint16_t *)payload)[1]);
        break;
    case LINK_OPEN:
        channel_open(id, payload, length);
        break;
    default:
        agent_die("unknown frame");
    }
}

static void handle_all(void)
{
    size_t used = 0;

    while (received.length - used >= HEADER) {
        char *frame = received.bytes + used;
        uint16_t id;
        uint32_t length;

        memcpy(&id, frame + 2, 2);
        memcpy(&length, frame + 4, 4);
        if (length > LINK_PAYLOAD_MAX) {
            agent_die("frame too long");
        }
        if (received.length - used < HEADER + length) {
            break;
        }
        if (frame[0] == LINK_START) {
            /* The command keeps pointers into it. */
            char *copy = malloc(length);

            memcpy(copy, frame + HEADER, length);
            handle(frame[0], id, copy, length);
        } else {
            handle(frame[0], id, frame + HEADER, length);
        }
        used += HEADER + length;
    }
    if (used) {
        buffer_drop(&received, used);
    }
}

static void read_port(void)
{
    static char bytes[65536];
    ssize_t got = read(port, bytes, sizeof(bytes));

    if (got == 0) {
        reboot(RB_POWER_OFF);       /* nobody outside any more */
    }
    if (got < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            agent_die("reading from the port");
        }
        return;
    }
    buffer_add(&received, bytes, got);
    handle_all();
}

/* Wait for events, at most @timeout ms, and handle them. False: none came. */
static bool turn(int children, int timeout)
{
    struct pollfd fds[2 + 2 * CHANNELS];
    struct signalfd_siginfo info;
    int n = 2, got;

    fds[0] = (struct pollfd) {
        port, POLLIN | (to_send.length ? POLLOUT : 0), 0
    };
    fds[1] = (struct pollfd) { children, POLLIN, 0 };
    for (int id = 0; id < CHANNELS; id++) {
        short in = channel_wants_in(id), out = channel_wants_out(id);

        fds[n++] = (struct pollfd) { in ? channels[id].in : -1, in, 0 };
        fds[n++] = (struct pollfd) { out ? channels[id].out : -1, out, 0 };
    }
    got = poll(fds, n, timeout);
    if (got <= 0) {
        return false;
    }
    if (fds[1].revents) {
        got = read(children, &info, sizeof(info));
    }
    /* Channels first: what the port brings may change which are in use. */
    for (int id = 0; id < CHANNELS; id++) {
        if (fds[2 + 2 * id].revents) {
            channel_ready_in(id);
        }
        if (fds[3 + 2 * id].revents && channels[id].out >= 0) {
            channel_ready_out(id);
        }
    }
    if (fds[0].revents & POLLOUT) {
        write_port();
    }
    if (fds[0].revents & (POLLIN | POLLHUP)) {
        read_port();
    }
    return true;
}

/* The command has ended: is all its output sent, or at least all there is? */
static bool output_done(void)
{
    struct pollfd fds[2];
    int n = 0;

    for (int id = 1; id <= 2; id++) {
        if (channels[id].used && channels[id].in >= 0 &&
            !channels[id].in_eof) {
            fds[n++] = (struct pollfd) { channels[id].in, POLLIN, 0 };
        }
    }
    /* Something the command left running may hold them open for ever. */
    return n == 0 || poll(fds, n, 0) == 0;
}

void agent_wait(int port_fd)
{
    struct pollfd wait = { port_fd, POLLIN, 0 };

    port = port_fd;
    agent_send(LINK_READY, 0, NULL, 0);
    write_port();
    while (poll(&wait, 1, -1) < 0) {
    }
}

void agent_run(int port_fd)
{
    sigset_t child_ended;
    uint8_t status;
    int children;

    port = port_fd;
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&child_ended);
    sigaddset(&child_ended, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child_ended, NULL);
    children = signalfd(-1, &child_ended, SFD_CLOEXEC | SFD_NONBLOCK);

    while (!command_ended(&status) || !output_done()) {
        turn(children, -1);
    }
    sync();
    agent_send(LINK_EXIT, 0, &status, 1);
    for (;;) {
        turn(children, -1);     /* lab/run ends the machine */
    }
}
