/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * spill-test.c: what the full ring cannot take comes back, all of it and in
 * order, whatever becomes of the file.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "pb-tap.h"
#include "primary-spill.h"
#include "spill-file.h"

#define RING       PB_RING_MIN_SLOTS
#define MAX_SLOTS  (1 + PB_EVENT_MAX_PAYLOAD / PB_EVENT_SIZE)
#define BLOCK      (4096 * PB_EVENT_SIZE)     /* of one write */

/* Both ends in one place; each thread uses its own half. */
typedef struct Pair {
    PbRing *ring;
    PbSpill *spill;
    int fd;                   /* a second descriptor of the file */
    char dir[40];
    uint64_t made;            /* the Primary's: events so far */
    uint64_t seen;            /* the Backup's */
    bool small;               /* events without large payloads */
} Pair;

static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

/* Event @seq and its payload; always the same for a number. */
static uint32_t make_event(uint64_t seq, bool small, PbEvent *slots)
{
    uint64_t x = seq * 0x9e3779b97f4a7c15ull + 1;
    uint32_t i, n, len = 0;

    next_random(&x);
    if (x % 8 == 0) {
        len = 1 + next_random(&x) % (small ? 300 : x % 4 ? 4096 :
                                     PB_EVENT_MAX_PAYLOAD);
    }
    slots[0] = (PbEvent) { .seq = seq, .kind = PB_EVENT_MARK,
                           .branches = seq * 3 };
    if (len) {
        slots[0].kind = PB_EVENT_MEM_WRITE;
        slots[0].body.mem.len = len;
    }
    n = 1 + pb_event_extra_slots(slots);
    for (i = 8; i < n * 8; i++) {
        ((uint64_t *)slots)[i] = next_random(&x);
    }
    return n;
}

static int temporary(Pair *p)
{
    char file[60], why[200];
    int fd;

    strcpy(p->dir, "/tmp/spill-test-XXXXXX");
    pb_check(mkdtemp(p->dir) != NULL);
    snprintf(file, sizeof(file), "%s/spill", p->dir);
    fd = pb_spill_file_open(file, why, sizeof(why));
    pb_check(fd >= 0);
    return fd;
}

/* @fd: the spill's; -1 for none. */
static void pair_start(Pair *p, int fd)
{
    p->ring = pb_ring_new(RING);
    p->fd = fd >= 0 ? dup(fd) : -1;
    p->spill = pb_spill_new(p->ring, fd);
    pb_check(p->ring && p->spill);
}

static Pair pair_new(void)
{
    Pair p = { .seen = 0 };

    pair_start(&p, temporary(&p));
    return p;
}

static void pair_free(Pair *p)
{
    pb_spill_free(p->spill);
    pb_ring_free(p->ring);
    if (p->fd >= 0) {
        close(p->fd);
    }
    if (p->dir[0]) {
        /* Nothing is in it, whatever happened. */
        pb_check(rmdir(p->dir) == 0);
    }
}

static PbSpillStats stats_of(const Pair *p)
{
    PbSpillStats t;

    pb_spill_stats(p->spill, &t);
    return t;
}

/* As the recorder does. False: neither takes it now. */
static bool produce(Pair *p, bool must)
{
    static _Thread_local PbEvent slots[MAX_SLOTS];
    uint32_t n = make_event(p->made + 1, p->small, slots);

    if ((pb_spill_active(p->spill) || !pb_ring_put(p->ring, slots, n)) &&
        !pb_spill_put(p->spill, slots, n, must)) {
        return false;
    }
    p->made++;
    return true;
}

static void produce_many(Pair *p, uint64_t n)
{
    while (n--) {
        pb_check(produce(p, false));
    }
}

/* Whether the slots that @at(i) tells are event @seq. */
static bool is_event(const Pair *p, uint64_t seq,
                     const PbEvent *(*at)(void *, uint32_t), void *opaque)
{
    static _Thread_local PbEvent want[MAX_SLOTS];
    uint32_t i, n = make_event(seq, p->small, want);

    for (i = 0; i < n; i++) {
        const PbEvent *got = at(opaque, i);

        if (!got || memcmp(got, &want[i], sizeof(*got))) {
            printf("# event %" PRIu64 ", slot %u of %u: got seq %" PRIu64
                   "\n", seq, i, n, got ? got->seq : 0);
            return false;
        }
    }
    return true;
}

static const PbEvent *ring_at(void *ring, uint32_t i)
{
    return pb_ring_peek(ring, i);
}

static const PbEvent *slot_at(void *slots, uint32_t i)
{
    return (const PbEvent *)slots + i;
}

/* As the Backup does: the next event, if there is one. */
static bool consume(Pair *p)
{
    const PbEvent *e;

    pb_check(pb_spill_refill(p->spill) == 0);
    e = pb_ring_peek(p->ring, 0);
    if (!e) {
        return false;
    }
    if (!is_event(p, p->seen + 1, ring_at, p->ring)) {
        pb_check(!"the next event is the next one made");
        exit(1);              /* the others would not be either */
    }
    pb_ring_release(p->ring, 1 + pb_event_extra_slots(e));
    p->seen++;
    return true;
}

static void consume_all(Pair *p)
{
    while (consume(p)) {
    }
    pb_check_u64(p->seen, p->made);
    pb_check(!pb_spill_active(p->spill));
}

/* ---- order ---- */

static void test_order_is_ring_memory_file_memory(void)
{
    Pair p = pair_new();
    PbSpillStats t;

    produce_many(&p, 3000);
    t = stats_of(&p);
    pb_check(pb_spill_active(p.spill));
    pb_check(t.file_bytes > 4 * BLOCK);
    pb_check(t.bytes > t.file_bytes);
    pb_check_u64(t.times, 1);
    pb_check(t.events > 0 && t.events < p.made);
    consume_all(&p);
    t = stats_of(&p);
    pb_check_u64(t.events, 0);
    pb_check_u64(t.bytes, 0);
    pb_check_u64(t.file_bytes, 0);
    pb_check(t.all_events > 0 && t.all_bytes >= t.all_events * PB_EVENT_SIZE);
    pair_free(&p);
}

static void test_short_spills_stay_in_memory(void)
{
    Pair p = pair_new();
    struct stat st;
    int i;

    p.small = true;
    for (i = 0; i < 50; i++) {
        while (!pb_spill_active(p.spill)) {
            produce_many(&p, 1);
        }
        produce_many(&p, 100);
        consume_all(&p);
    }
    pb_check_u64(stats_of(&p).times, 50);
    pb_check(fstat(p.fd, &st) == 0);
    pb_check_u64(st.st_size, 0);
    pb_check_u64(st.st_blocks, 0);
    pair_free(&p);
}

static void test_ring_is_used_again_after_a_spill(void)
{
    Pair p = pair_new();

    produce_many(&p, 2000);
    consume_all(&p);
    pb_check(produce(&p, false));
    pb_check(!pb_spill_active(p.spill));
    pb_check(pb_ring_used(p.ring) > 0);
    consume_all(&p);
    pair_free(&p);
}

/* The Primary adds while the Backup takes: the file never becomes empty. */
static void test_blocks_read_back_are_freed(void)
{
    Pair p = pair_new();
    struct stat st;
    uint64_t most = 0;
    int i, round;

    produce_many(&p, 4000);
    for (round = 0; round < 40; round++) {
        for (i = 0; i < 500; i++) {
            pb_check(produce(&p, false) && consume(&p));
        }
        pb_check(pb_spill_active(p.spill));
        pb_check(fstat(p.fd, &st) == 0);
        most = (uint64_t)st.st_blocks > most ? (uint64_t)st.st_blocks : most;
    }
    /* It has become far longer than what it takes on the disk. */
    if (pb_spill_file_free(p.fd, 0, 4096)) {
        pb_check(st.st_size > (off_t)(2 * most * 512));
        pb_check(most * 512 < stats_of(&p).all_bytes / 2);
    }
    consume_all(&p);
    pb_check(fstat(p.fd, &st) == 0);
    pb_check_u64(st.st_size, 0);
    pair_free(&p);
}

static void *primary(void *opaque)
{
    Pair *p = opaque;
    uint64_t x = 7;

    while (p->made < 60000) {
        unsigned burst = next_random(&x) % 4000;

        while (burst-- && p->made < 60000) {
            pb_check(produce(p, false));
        }
        if (next_random(&x) % 2) {
            pb_spill_wait(p->spill, 50);
        }
    }
    return NULL;
}

static void test_two_threads_keep_the_order(void)
{
    Pair p = pair_new();
    pthread_t thread;

    pb_check(pthread_create(&thread, NULL, primary, &p) == 0);
    /* How often it spills after this is up to the two threads' luck. */
    while (!pb_spill_active(p.spill)) {
        sched_yield();
    }
    while (p.seen < 60000) {
        if (!consume(&p)) {
            pb_ring_wait_events(p.ring, 1, 1);
        }
    }
    pthread_join(thread, NULL);
    consume_all(&p);
    pb_check(stats_of(&p).times > 0);
    pair_free(&p);
}

/* ---- what can go wrong ---- */

static void check_failed_write(Pair *p, int err)
{
    while (produce(p, false)) {
    }
    pb_check_u64(stats_of(p).error, err);
    pb_check(!pb_spill_usable(p->spill));
    pb_check(pb_spill_active(p->spill));
    pb_check(!pb_spill_wait(p->spill, 1));
    /* What it has taken is all there, and the one it refused comes next. */
    consume_all(p);
    pb_check(pb_spill_wait(p->spill, 1));
    pb_check(produce(p, false));
    consume_all(p);
    while (produce(p, false)) {
    }
    pb_check(!pb_spill_active(p->spill));
    consume_all(p);
}

static void test_full_disk_loses_nothing(void)
{
    Pair p = { .seen = 0 };
    int fd = open("/dev/full", O_RDWR);

    if (fd < 0) {
        pb_skip("there is no /dev/full");
        return;
    }
    pair_start(&p, fd);
    check_failed_write(&p, ENOSPC);
    pair_free(&p);
}

/* The limit cuts a block in the middle. */
static void test_file_size_limit_loses_nothing(void)
{
    Pair p = pair_new();
    struct rlimit old, low;

    getrlimit(RLIMIT_FSIZE, &old);
    low = old;
    low.rlim_cur = 5 * BLOCK / 2;
    setrlimit(RLIMIT_FSIZE, &low);
    check_failed_write(&p, EFBIG);
    setrlimit(RLIMIT_FSIZE, &old);
    pair_free(&p);
}

static void test_without_file_only_what_must_be_is_taken(void)
{
    Pair p = { .seen = 0 };
    unsigned i;

    pair_start(&p, -1);
    while (produce(&p, false)) {
    }
    pb_check(!pb_spill_active(p.spill) && !pb_spill_usable(p.spill));
    for (i = 0; i < 1000; i++) {
        pb_check(produce(&p, true));
    }
    pb_check(pb_spill_active(p.spill));
    pb_check(!produce(&p, false));
    pb_check_u64(stats_of(&p).error, 0);
    consume_all(&p);
    pair_free(&p);
}

/* Without looking at them, until the spill fails or is empty. */
static int take_back(Pair *p)
{
    int ret = 0;

    while (ret == 0 && pb_ring_peek(p->ring, 0)) {
        pb_ring_release(p->ring, 1 + pb_event_extra_slots(
                                     pb_ring_peek(p->ring, 0)));
        ret = pb_spill_refill(p->spill);
    }
    return ret;
}

static void test_file_that_is_cut_is_told(void)
{
    Pair p = pair_new();

    produce_many(&p, 4000);
    pb_check(ftruncate(p.fd, BLOCK + 64) == 0);
    pb_check_u64(-take_back(&p), EIO);
    pair_free(&p);
}

static bool look_at_nothing(void *opaque, const PbEvent *slots, uint32_t n)
{
    return true;
}

/* One slot more than the largest has; and as long as it can say. */
static void test_event_that_became_too_long_is_told(void)
{
    static const uint32_t len[] = { MAX_SLOTS * PB_EVENT_SIZE,
                                    2048 * PB_EVENT_SIZE, UINT32_MAX };
    unsigned i;

    for (i = 0; i < 3; i++) {
        PbEvent e = { .kind = PB_EVENT_MEM_WRITE, .body.mem.len = len[i] };
        Pair p = pair_new();
        PbSpillMark m;

        produce_many(&p, 4000);
        pb_check(pwrite(p.fd, &e, sizeof(e), 0) == sizeof(e));
        pb_check(pb_spill_mark(p.spill, &m));
        pb_check_u64(-pb_spill_each(p.spill, &m, look_at_nothing, NULL), EIO);
        pb_spill_unmark(&m);
        pb_check_u64(-take_back(&p), EIO);
        pair_free(&p);
    }
}

/* ---- the file ---- */

static void test_file_has_no_name_and_one_owner(void)
{
    Pair p = pair_new();
    struct stat st;
    DIR *dir = opendir(p.dir);
    const struct dirent *entry;

    pb_check(fstat(p.fd, &st) == 0);
    pb_check_u64(st.st_mode & 0777, 0600);
    pb_check_u64(st.st_nlink, 0);
    while ((entry = readdir(dir)) != NULL) {
        pb_check(entry->d_name[0] == '.');
    }
    closedir(dir);
    pair_free(&p);
}

static void test_existing_file_is_not_touched(void)
{
    char file[] = "/tmp/spill-test-XXXXXX", link[60], why[200];
    int fd = mkstemp(file);
    struct stat st;

    pb_check(fd >= 0 && write(fd, "mine", 4) == 4);
    pb_check(pb_spill_file_open(file, why, sizeof(why)) == -1);
    pb_check_str(why, "it is there already and is not overwritten: name a "
                 "new file");
    snprintf(link, sizeof(link), "%s-link", file);
    pb_check(symlink("/nowhere/at/all", link) == 0);
    pb_check(pb_spill_file_open(link, why, sizeof(why)) == -1);
    pb_check_str(why, "it is there already and is not overwritten: name a "
                 "new file");
    pb_check(stat(file, &st) == 0 && st.st_size == 4);
    unlink(link);
    unlink(file);
    close(fd);
}

static void test_file_that_cannot_be_made_says_why(void)
{
    char why[200];

    pb_check(pb_spill_file_open("/nowhere/spill", why, sizeof(why)) == -1);
    pb_check_str(why, "it cannot be made: No such file or directory");
}

static void test_killed_process_leaves_nothing(void)
{
    char dir[] = "/tmp/spill-test-XXXXXX";
    int ready[2] = { -1, -1 }, status;
    char byte;
    pid_t child;

    pb_check(mkdtemp(dir) && pipe(ready) == 0);
    child = fork();
    if (child == 0) {
        Pair p = { .seen = 0 };
        char file[60], why[200];

        snprintf(file, sizeof(file), "%s/spill", dir);
        pair_start(&p, pb_spill_file_open(file, why, sizeof(why)));
        produce_many(&p, 4000);
        if (stats_of(&p).file_bytes) {
            pb_check(write(ready[1], "x", 1) == 1);
        }
        pause();
    }
    close(ready[1]);
    pb_check(read(ready[0], &byte, 1) == 1);
    kill(child, SIGKILL);
    pb_check(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
    pb_check(rmdir(dir) == 0);
    close(ready[0]);
}

/* ---- looking ---- */

typedef struct Look {
    const Pair *p;
    uint64_t next;
    bool ok;
    uint64_t most;            /* then it stops */
} Look;

static bool look(void *opaque, const PbEvent *slots, uint32_t n)
{
    Look *l = opaque;

    l->ok = l->ok && n == 1 + pb_event_extra_slots(slots) &&
            is_event(l->p, l->next, slot_at, (void *)slots);
    l->next++;
    return l->next <= l->most;
}

static uint64_t events_in_ring(const Pair *p)
{
    uint32_t i = 0;
    uint64_t events = 0;
    const PbEvent *e;

    while ((e = pb_ring_peek(p->ring, i)) != NULL) {
        i += 1 + pb_event_extra_slots(e);
        events++;
    }
    return events;
}

/* At every stage of taking them back, and while the Primary adds some. */
static void test_looking_sees_all_and_takes_nothing(void)
{
    Pair p = pair_new();
    PbSpillMark m;

    produce_many(&p, 2500);
    do {
        uint64_t noted = p.made;
        Look l = { .p = &p, .ok = true, .most = UINT64_MAX };
        unsigned i;

        pb_check(pb_spill_mark(p.spill, &m));
        l.next = p.seen + events_in_ring(&p) + 1;
        if (p.made < 3000) {
            produce_many(&p, 20);
        }
        pb_check(pb_spill_each(p.spill, &m, look, &l) == 0);
        pb_spill_unmark(&m);
        pb_check(l.ok);
        pb_check_u64(l.next, noted + 1);
        for (i = 0; i < 37 && consume(&p); i++) {
        }
    } while (pb_spill_active(p.spill));
    consume_all(&p);
    pair_free(&p);
}

static void test_looking_stops_when_told(void)
{
    Pair p = pair_new();
    PbSpillMark m;
    Look l = { .p = &p, .ok = true };

    produce_many(&p, 2500);
    pb_check(pb_spill_mark(p.spill, &m));
    l.next = events_in_ring(&p) + 1;
    l.most = l.next + 2;
    pb_check(pb_spill_each(p.spill, &m, look, &l) == 0);
    pb_check_u64(l.next, l.most + 1);
    pb_spill_unmark(&m);
    pair_free(&p);
}

int main(void)
{
    static const PbTest tests[] = {
        PB_TEST(order_is_ring_memory_file_memory),
        PB_TEST(short_spills_stay_in_memory),
        PB_TEST(ring_is_used_again_after_a_spill),
        PB_TEST(blocks_read_back_are_freed),
        PB_TEST(two_threads_keep_the_order),
        PB_TEST(full_disk_loses_nothing),
        PB_TEST(file_size_limit_loses_nothing),
        PB_TEST(without_file_only_what_must_be_is_taken),
        PB_TEST(file_that_is_cut_is_told),
        PB_TEST(event_that_became_too_long_is_told),
        PB_TEST(file_has_no_name_and_one_owner),
        PB_TEST(existing_file_is_not_touched),
        PB_TEST(file_that_cannot_be_made_says_why),
        PB_TEST(killed_process_leaves_nothing),
        PB_TEST(looking_sees_all_and_takes_nothing),
        PB_TEST(looking_stops_when_told),
    };

    return pb_tap_run(tests, sizeof(tests) / sizeof(tests[0]));
}
