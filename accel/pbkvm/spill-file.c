/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spill-file.c: a file without a name. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE             /* fallocate() */
#endif
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "spill-file.h"

int pb_spill_file_open(const char *file, char *why, size_t len)
{
    int fd = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                  0600);

    if (fd < 0) {
        snprintf(why, len, errno == EEXIST
                 ? "it is there already and is not overwritten: name a new "
                   "file" : "it cannot be made: %s", strerror(errno));
        return -1;
    }
    if (unlink(file) < 0) {
        snprintf(why, len, "its name cannot be removed: %s", strerror(errno));
        close(fd);
        return -1;
    }
    return fd;
}

/*
 * Above RLIMIT_FSIZE a write raises SIGXFSZ, which would end the process:
 * keep it from this thread, and take back what came.
 */
int pb_spill_file_write(int fd, const void *data, size_t len, uint64_t at)
{
    const struct timespec now = { 0 };
    sigset_t xfsz, old;
    int err = 0;

    sigemptyset(&xfsz);
    sigaddset(&xfsz, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &xfsz, &old);
    while (len && !err) {
        ssize_t n = pwrite(fd, data, len, at);

        if (n > 0) {
            data = (const uint8_t *)data + n;
            len -= n;
            at += n;
        } else if (n == 0 || errno != EINTR) {
            err = n == 0 ? EIO : errno;
        }
    }
    if (err == EFBIG && !sigismember(&old, SIGXFSZ)) {
        sigtimedwait(&xfsz, NULL, &now);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return err;
}

int pb_spill_file_read(int fd, void *data, size_t len, uint64_t at)
{
    while (len) {
        ssize_t n = pread(fd, data, len, at);

        if (n > 0) {
            data = (uint8_t *)data + n;
            len -= n;
            at += n;
        } else if (n == 0 || errno != EINTR) {
            return n == 0 ? EIO : errno;
        }
    }
    return 0;
}

bool pb_spill_file_free(int fd, uint64_t at, uint64_t len)
{
    return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at,
                     len) == 0;
}
