/* SPDX-License-Identifier: GPL-2.0-or-later */
/* evidence-put.c: an evidence file that is being made, block by block. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "evidence-put.h"
#include "pb-crc.h"

bool pb_put_failed(PbEvidenceWriter *w, const char *what, int err)
{
    if (!w->failed) {
        snprintf(w->error, sizeof(w->error), "%s%s%s", what, err ? ": " : "",
                 err ? strerror(err) : "");
    }
    w->failed = true;
    return false;
}

/*
 * Above RLIMIT_FSIZE a write raises SIGXFSZ, which would end the process,
 * Primary and all: keep it from this thread, and take back what came.
 */
static ssize_t write_quietly(int fd, const void *data, size_t len)
{
    const struct timespec now = { 0 };
    sigset_t xfsz, old;
    ssize_t n;
    int err;

    sigemptyset(&xfsz);
    sigaddset(&xfsz, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &xfsz, &old);
    n = write(fd, data, len);
    err = errno;
    if (n < 0 && err == EFBIG && !sigismember(&old, SIGXFSZ)) {
        sigtimedwait(&xfsz, NULL, &now);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = err;
    return n;
}

size_t pb_put_bytes(PbEvidenceWriter *w, const void *data, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = write_quietly(w->fd, (const uint8_t *)data + done,
                                  len - done);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            pb_put_failed(w, "writing", n < 0 ? errno : EIO);
            break;
        }
        done += n;
    }
    w->written.bytes += done;
    return done;
}

static bool flush(PbEvidenceWriter *w)
{
    /* A pipe or a device has nothing to flush. */
    if (!w->failed && fdatasync(w->fd) < 0 && errno != EINVAL &&
        errno != EROFS) {
        pb_put_failed(w, "flushing to the disk", errno);
    }
    return !w->failed;
}

void pb_put_add(PbEvidenceWriter *w, const void *data, size_t len)
{
    memcpy(w->block + sizeof(PbEvidenceBlock) + w->used, data, len);
    w->used += len;
}

size_t pb_put_block(PbEvidenceWriter *w, PbEvidenceKind kind)
{
    PbEvidenceBlock head = {
        .mark = PB_EVIDENCE_MARK, .kind = kind, .len = w->used,
    };
    size_t done;

    if (w->failed) {
        return 0;
    }
    head.number = ++w->number;
    head.crc = pb_crc(0, w->block + sizeof(head), w->used);
    head.head_crc = pb_crc(0, &head, offsetof(PbEvidenceBlock, head_crc));
    memcpy(w->block, &head, sizeof(head));
    done = pb_put_bytes(w, w->block, sizeof(head) + w->used);
    w->used = 0;
    return done < sizeof(head) ? 0 : done - sizeof(head);
}

bool pb_put_one(PbEvidenceWriter *w, PbEvidenceKind kind, const void *data,
                size_t len)
{
    pb_put_add(w, data, len);
    pb_put_block(w, kind);
    return !w->failed;
}

bool pb_put_totals(PbEvidenceWriter *w, PbEvidenceKind kind, uint64_t count,
                   uint64_t last_seq)
{
    PbEvidenceTotals t = { .count = count, .last_seq = last_seq };

    return pb_put_one(w, kind, &t, sizeof(t)) && flush(w);
}
