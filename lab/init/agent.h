/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * agent.h: runs one command inside the lab for lab/run outside.
 *
 * One thread, one poll loop; the agent is PID 1. channel.c holds what flows,
 * command.c the command's process, agent.c the loop and the frames. Errors of
 * the lab itself end it through agent_die(): the kernel then panics, which
 * lab/run reports with the message.
 */
#ifndef LAB_AGENT_H
#define LAB_AGENT_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHANNELS 64
#define CHANNEL_FIRST_CONNECTION 3

typedef struct Buffer {
    char *bytes;
    size_t length, room;
} Buffer;

typedef struct Channel {
    bool used;
    bool connecting;    /* a connect() is under way on in */
    bool in_eof;        /* nothing more will be read from in */
    bool out_eof;       /* outside has sent its last byte */
    int in;             /* read from here, send outside; -1: none */
    int out;            /* write here what outside sends; -1: none */
    uint32_t credit;    /* bytes we may still send */
    Buffer pending;     /* from outside, not yet written to out */
} Channel;

extern Channel channels[CHANNELS];

/* agent.c */

/* Tell outside that the lab is up; return when it has sent the command. */
void agent_wait(int port);
/* Never returns. @port: the opened virtio-serial port. */
void agent_run(int port) __attribute__((noreturn));
void agent_send(int type, int channel, const void *payload, uint32_t length);
bool agent_send_is_full(void);
void agent_die(const char *what) __attribute__((noreturn));

/* channel.c */

void buffer_add(Buffer *b, const void *bytes, size_t length);
void buffer_drop(Buffer *b, size_t length);

/* The channel reads from @in and writes to @out (-1: does not). */
void channel_use(int id, int in, int out);
void channel_open(int id, const char *where, size_t length);
void channel_data(int id, const char *bytes, size_t length);
void channel_eof(int id);
void channel_close(int id);
/* Events that concern the channel: what to wait for; what has happened. */
short channel_wants_in(int id);
short channel_wants_out(int id);
void channel_ready_in(int id);
void channel_ready_out(int id);

/* command.c */

/*
 * Start the command described by @payload: NUL-terminated strings; first
 * "-" (no terminal), "io" or "ioe" (which of stdin, stdout and stderr are a
 * terminal), then the time (seconds since 1970), random bytes in hexadecimal
 * digits, the directory, the number of arguments, the arguments, and
 * the environment.
 */
void command_start(char *payload, size_t length);
void command_signal(int signal);
void command_size(uint16_t rows, uint16_t columns);
/* Reap children; true once the command itself has ended. */
bool command_ended(uint8_t *status);

#endif /* LAB_AGENT_H */
