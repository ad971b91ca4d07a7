/* SPDX-License-Identifier: GPL-2.0-or-later */
/* primary-spill.c: events beside the full ring, in memory and in a file. */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "primary-spill.h"
#include "spill-file.h"

/* Of one write, and of one read; more than the largest event. */
#define BLOCK_SLOTS 4096u

#define MAX_EVENT_SLOTS (PB_EVENT_MAX_PAYLOAD / PB_EVENT_SIZE + 1)

_Static_assert(BLOCK_SLOTS > MAX_EVENT_SLOTS, "an event fits a block");

/* Events in memory: slots @at to @used. */
typedef struct Block {
    PbEvent *slot;
    size_t size, at, used;
} Block;

struct PbSpill {
    PbRing *ring;
    int fd;                   /* -1: none */
    pthread_mutex_t lock;
    pthread_cond_t drained;

    bool active;              /* atomic; set by the Primary's thread with
                                 @lock, cleared by the Backup's with @lock */
    Block in;                 /* under @lock: youngest, the Primary adds */
    Block out;                /* oldest; the Backup's thread alone */
    uint64_t written;         /* under @lock: end of the file's events */
    uint64_t read;            /* their start; changed by the Backup's thread
                                 alone, and with @lock */
    bool no_holes;            /* the file system cannot free blocks inside */

    /* Atomic. */
    uint64_t events_in, slots_in, events_out, slots_out, times;
    int error;
};

/* ---- making one ---- */

static bool make_room(Block *b, size_t slots)
{
    PbEvent *bigger;

    if (slots <= b->size) {
        return true;
    }
    bigger = realloc(b->slot, slots * sizeof(*bigger));
    if (bigger) {
        b->slot = bigger;
        b->size = slots;
    }
    return bigger != NULL;
}

PbSpill *pb_spill_new(PbRing *ring, int fd)
{
    PbSpill *s = calloc(1, sizeof(*s));
    pthread_condattr_t attr;

    if (!s) {
        return NULL;
    }
    s->ring = ring;
    s->fd = fd;
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->drained, &attr);
    pthread_condattr_destroy(&attr);
    if (!make_room(&s->in, BLOCK_SLOTS) || !make_room(&s->out, BLOCK_SLOTS)) {
        s->fd = -1;
        pb_spill_free(s);
        return NULL;
    }
    return s;
}

void pb_spill_free(PbSpill *s)
{
    if (s) {
        if (s->fd >= 0) {
            close(s->fd);
        }
        free(s->in.slot);
        free(s->out.slot);
        pthread_cond_destroy(&s->drained);
        pthread_mutex_destroy(&s->lock);
        free(s);
    }
}

/* ---- figures ---- */

static uint64_t get(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static void add(uint64_t *counter, uint64_t n)
{
    __atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

bool pb_spill_active(const PbSpill *s)
{
    /* Read as false: what the Backup's thread did to the ring is seen. */
    return __atomic_load_n(&s->active, __ATOMIC_ACQUIRE);
}

bool pb_spill_usable(const PbSpill *s)
{
    return s->fd >= 0 && !__atomic_load_n(&s->error, __ATOMIC_RELAXED);
}

uint64_t pb_spill_times(const PbSpill *s)
{
    return get(&s->times);
}

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

void pb_spill_stats(const PbSpill *s, PbSpillStats *t)
{
    uint64_t slots_out = get(&s->slots_out);

    t->events = get(&s->events_out);
    t->all_events = get(&s->events_in);
    t->events = less(t->all_events, t->events);
    t->all_bytes = get(&s->slots_in) * PB_EVENT_SIZE;
    t->bytes = less(t->all_bytes, slots_out * PB_EVENT_SIZE);
    t->file_bytes = get(&s->read);
    t->file_bytes = less(get(&s->written), t->file_bytes);
    t->times = get(&s->times);
    t->error = __atomic_load_n(&s->error, __ATOMIC_RELAXED);
}

/* ---- the Primary's side ---- */

/* The block goes to the file, or stays as it is. Called locked. */
static bool write_block(PbSpill *s)
{
    size_t bytes = s->in.used * sizeof(PbEvent);
    int err;

    if (!pb_spill_usable(s)) {
        return false;
    }
    err = pb_spill_file_write(s->fd, s->in.slot, bytes, s->written);
    if (err) {
        __atomic_store_n(&s->error, err, __ATOMIC_RELAXED);
        return false;
    }
    add(&s->written, bytes);
    s->in.used = 0;
    return true;
}

/* Called locked. */
static bool room_for(PbSpill *s, uint32_t n, bool must)
{
    if (s->in.used + n <= BLOCK_SLOTS && pb_spill_usable(s)) {
        return true;
    }
    if (s->in.used && write_block(s)) {
        return true;
    }
    if (must && s->in.used + n > s->in.size &&
        !make_room(&s->in, (s->in.used + n) * 2)) {
        abort();    /* losing an event silently would be worse */
    }
    return must;
}

bool pb_spill_put(PbSpill *s, const PbEvent *slots, uint32_t n, bool must)
{
    bool ok, begins = false;

    pthread_mutex_lock(&s->lock);
    ok = room_for(s, n, must);
    if (ok) {
        memcpy(s->in.slot + s->in.used, slots, n * sizeof(*slots));
        s->in.used += n;
        add(&s->events_in, 1);
        add(&s->slots_in, n);
        begins = !s->active;
        /* From here on the ring's producer is the Backup's thread. */
        __atomic_store_n(&s->active, true, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&s->lock);
    if (begins) {
        add(&s->times, 1);
        pb_ring_wake(s->ring);
    }
    return ok;
}

bool pb_spill_wait(PbSpill *s, int timeout_ms)
{
    struct timespec t;
    int ret = 0;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += timeout_ms / 1000;
    t.tv_nsec += timeout_ms % 1000 * 1000000l;
    if (t.tv_nsec >= 1000000000) {
        t.tv_nsec -= 1000000000;
        t.tv_sec++;
    }
    pthread_mutex_lock(&s->lock);
    while (s->active && ret == 0) {
        ret = pthread_cond_timedwait(&s->drained, &s->lock, &t);
    }
    pthread_mutex_unlock(&s->lock);
    return !pb_spill_active(s);
}

/* ---- the Backup's side ---- */

/*
 * The first whole event of @b, with its slots; or NULL.  One that a damaged
 * file makes too long for the ring never becomes whole.
 */
static const PbEvent *whole_event(const Block *b, uint32_t *n)
{
    const PbEvent *e;

    if (b->at == b->used) {
        return NULL;
    }
    e = b->slot + b->at;
    *n = 1 + pb_event_extra_slots(e);
    return *n <= MAX_EVENT_SLOTS && *n <= b->used - b->at ? e : NULL;
}

/* Bytes of the file from @from up to @end, as many as fit @b; or -errno. */
static ssize_t read_block(PbSpill *s, Block *b, uint64_t from, uint64_t end)
{
    size_t bytes;
    int err;

    b->used -= b->at;
    memmove(b->slot, b->slot + b->at, b->used * sizeof(*b->slot));
    b->at = 0;
    bytes = (b->size - b->used) * sizeof(*b->slot);
    if (bytes > end - from) {
        bytes = end - from;
    }
    /* No event is as large as a block. */
    err = bytes ? pb_spill_file_read(s->fd, b->slot + b->used, bytes, from)
                : EIO;
    b->used += err ? 0 : bytes / sizeof(*b->slot);
    return err ? -err : (ssize_t)bytes;
}

static int read_back(PbSpill *s, uint64_t end)
{
    uint64_t from = s->read;
    ssize_t n = read_block(s, &s->out, from, end);

    if (n < 0) {
        return n;
    }
    s->no_holes = s->no_holes || !pb_spill_file_free(s->fd, from, n);
    pthread_mutex_lock(&s->lock);
    add(&s->read, n);
    pthread_mutex_unlock(&s->lock);
    return 1;
}

/* Nothing is left, and the file starts anew. Called locked. */
static void end_spill(PbSpill *s)
{
    if (s->written) {
        /* Blocks that cannot be freed are written over. */
        s->no_holes |= ftruncate(s->fd, 0) < 0;
        __atomic_store_n(&s->read, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&s->written, 0, __ATOMIC_RELAXED);
    }
    /* From here on the ring's producer is the Primary's thread. */
    __atomic_store_n(&s->active, false, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&s->drained);
}

void pb_spill_drop(PbSpill *s)
{
    pthread_mutex_lock(&s->lock);
    if (s->active) {
        s->in.used = s->out.at = s->out.used = 0;
        add(&s->events_out, get(&s->events_in) - get(&s->events_out));
        add(&s->slots_out, get(&s->slots_in) - get(&s->slots_out));
        end_spill(s);
    }
    pthread_mutex_unlock(&s->lock);
}

/* Further events for @out; 1, 0: there are none, or -errno. */
static int fetch(PbSpill *s)
{
    uint64_t end;

    pthread_mutex_lock(&s->lock);
    end = s->written;
    if (s->read == end) {
        int more = s->out.at != s->out.used ? -EIO : s->in.used != 0;

        if (more == 1) {
            Block empty = s->out;

            empty.at = empty.used = 0;
            s->out = s->in;
            s->in = empty;
        } else if (more == 0) {
            end_spill(s);
        }
        pthread_mutex_unlock(&s->lock);
        return more;      /* -EIO: the file ends within an event */
    }
    pthread_mutex_unlock(&s->lock);
    return read_back(s, end);
}

static bool to_ring(PbSpill *s)
{
    const PbEvent *e;
    uint32_t n;

    while ((e = whole_event(&s->out, &n)) != NULL) {
        if (!pb_ring_put(s->ring, e, n)) {
            return false;
        }
        s->out.at += n;
        add(&s->events_out, 1);
        add(&s->slots_out, n);
    }
    return true;
}

int pb_spill_refill(PbSpill *s)
{
    int ret = 1;

    if (!pb_spill_active(s) ||
        pb_ring_used(s->ring) > pb_ring_slots(s->ring) / 2) {
        return 0;
    }
    while (ret > 0 && to_ring(s)) {
        ret = fetch(s);
    }
    return ret < 0 ? ret : 0;
}

/* ---- looking ---- */

bool pb_spill_mark(PbSpill *s, PbSpillMark *m)
{
    *m = (PbSpillMark) { .file_end = 0 };
    pthread_mutex_lock(&s->lock);
    m->file_end = s->written;
    if (s->in.used) {
        m->in = malloc(s->in.used * sizeof(*m->in));
        m->in_slots = s->in.used;
        if (m->in) {
            memcpy(m->in, s->in.slot, s->in.used * sizeof(*m->in));
        }
    }
    pthread_mutex_unlock(&s->lock);
    return !m->in_slots || m->in;
}

void pb_spill_unmark(PbSpillMark *m)
{
    free(m->in);
    m->in = NULL;
}

/* The whole events of @b; false: told to stop. */
static bool each_of(Block *b, PbSpillEach *each, void *opaque)
{
    const PbEvent *e;
    uint32_t n;

    while ((e = whole_event(b, &n)) != NULL) {
        if (!each(opaque, e, n)) {
            return false;
        }
        b->at += n;
    }
    return true;
}

int pb_spill_each(PbSpill *s, const PbSpillMark *m, PbSpillEach *each,
                  void *opaque)
{
    Block in = { .slot = m->in, .used = m->in_slots }, b = { .slot = NULL };
    uint64_t at = s->read;
    ssize_t n = 0;
    bool more;

    if (!make_room(&b, s->out.used - s->out.at + BLOCK_SLOTS)) {
        return -ENOMEM;
    }
    assert(b.slot);
    b.used = s->out.used - s->out.at;
    memcpy(b.slot, s->out.slot + s->out.at, b.used * sizeof(*b.slot));
    more = each_of(&b, each, opaque);
    while (more && n >= 0 && at < m->file_end) {
        n = read_block(s, &b, at, m->file_end);
        at += n > 0 ? n : 0;
        more = n >= 0 && each_of(&b, each, opaque);
    }
    if (more && b.at != b.used) {
        n = -EIO;         /* the file ends within an event */
    } else if (more) {
        each_of(&in, each, opaque);
    }
    free(b.slot);
    return n < 0 ? n : 0;
}
