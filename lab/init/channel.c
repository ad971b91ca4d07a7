/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What flows between the outside and file descriptors in the lab. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent.h"
#include "link.h"

Channel channels[CHANNELS];

void buffer_add(Buffer *b, const void *bytes, size_t length)
{
    if (b->length + length > b->room) {
        b->room = (b->length + length) * 2;
        b->bytes = realloc(b->bytes, b->room);
        if (!b->bytes) {
            agent_die("out of memory");
        }
    }
    memcpy(b->bytes + b->length, bytes, length);
    b->length += length;
}

void buffer_drop(Buffer *b, size_t length)
{
    b->length -= length;
    memmove(b->bytes, b->bytes + length, b->length);
}

void channel_use(int id, int in, int out)
{
    Channel *c = &channels[id];

    c->used = true;
    c->connecting = c->in_eof = c->out_eof = false;
    c->in = in;
    c->out = out;
    c->credit = LINK_WINDOW;
    c->pending.length = 0;
}

static void release(int id)
{
    Channel *c = &channels[id];

    if (c->in >= 0) {
        close(c->in);
    }
    if (c->out >= 0 && c->out != c->in) {
        close(c->out);
    }
    c->in = c->out = -1;
    c->used = false;
}

void channel_close(int id)
{
    if (channels[id].used) {
        release(id);
    }
}

/* A connection whose both ways have ended is over. */
static void close_if_done(int id)
{
    Channel *c = &channels[id];

    if (id >= CHANNEL_FIRST_CONNECTION && c->in_eof && c->out_eof &&
        c->pending.length == 0) {
        agent_send(LINK_CLOSE, id, NULL, 0);
        release(id);
    }
}

static void connected(int id)
{
    channels[id].connecting = false;
    agent_send(LINK_OPENED, id, NULL, 0);
}

static void refused(int id)
{
    release(id);
    agent_send(LINK_REFUSED, id, NULL, 0);
}

static int new_socket(const char *where, size_t length,
                      struct sockaddr_storage *addr, socklen_t *addr_len)
{
    struct sockaddr_un *un = (struct sockaddr_un *)addr;
    struct sockaddr_in *in = (struct sockaddr_in *)addr;
    int fd, on = 1;

    memset(addr, 0, sizeof(*addr));
    if (where[0] == 'u' && length - 1 < sizeof(un->sun_path)) {
        un->sun_family = AF_UNIX;
        memcpy(un->sun_path, where + 1, length - 1);
        *addr_len = sizeof(*un);
        return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    }
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in->sin_port = htons(atoi(where + 1));
    *addr_len = sizeof(*in);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

void channel_open(int id, const char *where, size_t length)
{
    struct sockaddr_storage addr;
    socklen_t addr_len;
    char text[256];
    int fd;

    if (length < 2 || length >= sizeof(text)) {
        agent_die("bad LINK_OPEN");
    }
    memcpy(text, where, length);
    text[length] = 0;
    fd = new_socket(text, length, &addr, &addr_len);
    if (fd < 0) {
        agent_die("socket");
    }
    channel_use(id, fd, fd);
    if (connect(fd, (struct sockaddr *)&addr, addr_len) == 0) {
        connected(id);
    } else if (errno == EINPROGRESS) {
        channels[id].connecting = true;
    } else {
        refused(id);
    }
}

static void finish_connect(int id)
{
    int error = 0;
    socklen_t size = sizeof(error);

    getsockopt(channels[id].in, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) {
        refused(id);
    } else {
        connected(id);
    }
}

short channel_wants_in(int id)
{
    Channel *c = &channels[id];

    return c->used && c->in >= 0 && !c->connecting && !c->in_eof &&
           c->credit > 0 && !agent_send_is_full() ? POLLIN : 0;
}

short channel_wants_out(int id)
{
    Channel *c = &channels[id];

    return c->used && c->out >= 0 &&
           (c->connecting || c->pending.length) ? POLLOUT : 0;
}

void channel_ready_in(int id)
{
    static char bytes[32768];
    Channel *c = &channels[id];
    size_t want = c->credit < sizeof(bytes) ? c->credit : sizeof(bytes);
    ssize_t got = read(c->in, bytes, want);

    if (got > 0) {
        c->credit -= got;
        agent_send(LINK_DATA, id, bytes, got);
        return;
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    /* A terminal reports its end as EIO, a dead peer as ECONNRESET. */
    c->in_eof = true;
    agent_send(LINK_EOF, id, NULL, 0);
    close_if_done(id);
}

/* All that outside sent is written: pass on its end of file, if it came. */
static void out_is_empty(int id)
{
    Channel *c = &channels[id];

    if (!c->out_eof || c->out < 0) {
        return;
    }
    if (id >= CHANNEL_FIRST_CONNECTION) {
        shutdown(c->out, SHUT_WR);
    } else {
        close(c->out);
        c->out = -1;
    }
    close_if_done(id);
}

void channel_ready_out(int id)
{
    Channel *c = &channels[id];
    uint32_t done;
    ssize_t put;

    if (c->connecting) {
        finish_connect(id);
        return;
    }
    put = write(c->out, c->pending.bytes, c->pending.length);
    if (put < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    /* Nobody reads it any more: take it as read, as a closed pipe would. */
    done = put < 0 ? c->pending.length : (size_t)put;
    buffer_drop(&c->pending, done);
    agent_send(LINK_CREDIT, id, &done, sizeof(done));
    if (c->pending.length == 0) {
        out_is_empty(id);
    }
}

void channel_data(int id, const char *bytes, size_t length)
{
    uint32_t done = length;

    if (channels[id].used && channels[id].out >= 0) {
        buffer_add(&channels[id].pending, bytes, length);
    } else {
        agent_send(LINK_CREDIT, id, &done, sizeof(done));
    }
}

void channel_eof(int id)
{
    if (channels[id].used) {
        channels[id].out_eof = true;
        if (channels[id].pending.length == 0) {
            out_is_empty(id);
        }
    }
}
