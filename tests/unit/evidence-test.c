/* SPDX-License-Identifier: GPL-2.0-or-later */
/* evidence-test.c: evidence files: what goes in comes out, or is refused. */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "evidence-feed.h"
#include "evidence-sample.h"
#include "pb-crc.h"
#include "pb-tap.h"

static Sample *s;

static bool says(const char *why, const char *text)
{
    if (!strstr(why, text)) {
        printf("# expected \"...%s...\", got \"%s\"\n", text, why);
        return false;
    }
    return true;
}

static void test_checksum_of_ram_leaves_out_what_a_cpu_sets(void)
{
    uint8_t ram[4700] = { [8] = 0x27, [16] = 0x26 };
    uint32_t crc = pb_crc_ram(ram, sizeof(ram));
    unsigned at, bit;

    for (at = 0; at < sizeof(ram); at++) {
        for (bit = 0; bit < 8; bit++) {
            bool used = at == 8 && (bit == 5 || bit == 6);

            ram[at] ^= 1 << bit;
            pb_check_u64(pb_crc_ram(ram, sizeof(ram)) == crc, used);
            ram[at] ^= 1 << bit;
        }
    }
}

static void test_checksum_is_crc32c(void)
{
    static const uint8_t zeros[32];
    uint8_t data[5000];
    unsigned i;

    /* RFC 3720 appendix B.4; and the usual check value. */
    pb_check_u64(pb_crc(0, zeros, 32), 0x8a9136aa);
    pb_check_u64(pb_crc(0, "123456789", 9), 0xe3069283);
    for (i = 0; i < sizeof(data); i++) {
        data[i] = sample_random();
    }
    for (i = 0; i < sizeof(data); i++) {
        unsigned cut = sample_random() % (sizeof(data) - i);
        uint32_t crc = pb_crc(0, data + i, cut);

        pb_check_u64(pb_crc(crc, data + i + cut, sizeof(data) - i - cut),
                     pb_crc_plain(0, data + i, sizeof(data) - i));
    }
}

/* Any bit of any event, its number, its checksum and its payload included. */
static void test_every_flipped_bit_of_an_event_is_found(void)
{
    static PbEvent copy[1 + PB_EVENT_MAX_PAYLOAD / PB_EVENT_SIZE];
    uint8_t *byte = (uint8_t *)copy;
    unsigned i, bit, bits, flips = 0, missed = 0;

    for (i = 0; i < SAMPLE_EVENTS; i += 12) {
        const PbEvent *e = &s->slot[s->at[i]];
        uint64_t previous = e->seq - 1;

        memcpy(copy, e, (1 + pb_event_extra_slots(e)) * sizeof(*e));
        copy->crc = pb_crc_event(copy, copy + 1);
        pb_check(!pb_event_check(copy, previous));
        bits = 8 * (PB_EVENT_SIZE + pb_event_payload_len(e));
        for (bit = 0; bit < bits; bit++) {
            byte[bit / 8] ^= 1 << bit % 8;
            missed += !pb_event_check(copy, previous) &&
                      pb_crc_event(copy, copy + 1) == copy->crc;
            flips++;
            byte[bit / 8] ^= 1 << bit % 8;
        }
    }
    printf("# %u bits\n", flips);
    pb_check_u64(missed, 0);
}

static void check_events(PbEvidence *e, unsigned expected)
{
    const PbEvent *slots;
    unsigned i = 0;
    char why[400];
    int n;

    while ((n = pb_evidence_next(e, &slots, why, sizeof(why))) > 0) {
        const PbEvent *want = &s->slot[s->at[i]];

        pb_check_u64(n, 1 + pb_event_extra_slots(want));
        pb_check(!memcmp(slots, want, n * sizeof(*slots)));
        if (++i == SAMPLE_EVENTS) {
            break;
        }
    }
    pb_check(n >= 0);
    pb_check_u64(i, expected);
}

static void check_disks(const PbEvidence *e)
{
    unsigned i;

    pb_check_u64(e->disks, SAMPLE_DISKS);
    for (i = 0; i < e->disks; i++) {
        PbEvidenceDisk want = sample_disk(i);

        pb_check(!memcmp(&e->disk[i], &want, sizeof(want)));
    }
    pb_check_u64(e->undos, SAMPLE_UNDOS);
    for (i = 0; i < e->undos; i++) {
        PbUndoData want = sample_undo(i);
        const PbUndoData *got = &e->undo[i];

        pb_check(!memcmp(&got->head, &want.head, sizeof(want.head)));
        pb_check(!got->data == !want.data);
        pb_check(!want.data || !memcmp(got->data, SAMPLE_HELD,
                                       want.head.data));
    }
}

static void check_points(const PbEvidence *e)
{
    unsigned i;

    pb_check_u64(e->points, SAMPLE_POINTS);
    for (i = 0; i < e->points; i++) {
        PbPointData want = sample_point(i);
        const PbPointData *got = &e->point[i];

        pb_check(!memcmp(&got->head, &want.head, sizeof(want.head)));
        pb_check(!memcmp(got->list, SAMPLE_LIST, want.head.list));
        pb_check(!memcmp(got->devices, SAMPLE_DEVICES, want.head.devices));
    }
}

static void test_what_was_written_is_read(void)
{
    char why[400];
    PbEvidence *e = pb_evidence_open(sample_path("good"), why, sizeof(why));
    PbMemDiff diff;

    pb_check(e != NULL);
    if (!e) {
        printf("# %s\n", why);
        return;
    }
    pb_check_str(e->cut, "");
    pb_check(!memcmp(&e->info, &s->info, sizeof(e->info)));
    pb_check(!memcmp(e->state, &s->state, sizeof(s->state)));
    pb_check(!memcmp(&e->state[1], &s->other, sizeof(s->other)));
    pb_check_u64(e->cpuid[1]->nent, 3);
    pb_check(!memcmp(e->cpuid[0], s->cpuid, sizeof(*s->cpuid) +
                     3 * sizeof(s->cpuid->entries[0])));
    pb_check_u64(e->mem.blocks, 2);
    pb_check_str(e->mem.block[0].name, "pc.ram");
    pb_check_str(e->mem.block[1].name, "pc.bios");
    pb_check(!memcmp(e->mem.slot, s->mem.slot, sizeof(s->mem.slot)));
    pb_mem_compare(&s->mem, &e->mem, &diff);
    pb_check_u64(diff.differences, 0);
    pb_check_u64(diff.bytes, 68 * 4096);
    check_disks(e);
    check_points(e);
    pb_check_u64(e->events, SAMPLE_EVENTS);
    pb_check_u64(e->last_seq, SAMPLE_FIRST_SEQ + SAMPLE_EVENTS - 1);
    check_events(e, SAMPLE_EVENTS);
    pb_evidence_rewind(e);
    check_events(e, SAMPLE_EVENTS);
    pb_evidence_close(e);
}

static void test_untouched_memory_takes_no_room(void)
{
    uint64_t size = 1ull << 30;
    uint8_t *host = mmap(NULL, size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    PbMem mem = { 0 };
    PbEvidenceInfo info = s->info;
    PbEvidenceWritten written;
    char why[400];
    PbEvidenceWriter *w = pb_evidence_create(sample_path("sparse"), why,
                                             sizeof(why));

    pb_mem_add_block(&mem, "pc.ram", host, size);
    mem.block[0].sparse = true;
    host[size / 2] = 1;
    host[size - 1] = 2;
    info.cpus = 1;
    pb_evidence_write_state(w, &info, &s->cpuid, &mem, &s->state);
    pb_evidence_write_ram(w, &mem);
    pb_check(pb_evidence_finish(w, &written, why, sizeof(why)));
    pb_check_u64(written.pages, 2);
    pb_check(written.bytes < 65536);
    munmap(host, size);
}

/* One that is too large is left out; the limit itself is not. */
static void test_large_point_is_left_out(void)
{
    uint32_t most = PB_EVIDENCE_MAX_POINT - sizeof(PbEvidencePoint) -
                    (sizeof(SAMPLE_LIST) - 1);
    uint8_t *devices = calloc(1, most + 1);
    PbPointData p = sample_point(1);
    PbEvidenceInfo info = s->info;
    PbEvidenceWritten written;
    char why[400];
    const char *path = sample_path("points");
    PbEvidenceWriter *w = pb_evidence_create(path, why, sizeof(why));
    PbEvidence *e;

    p.devices = devices;
    info.cpus = 1;
    info.at.cpu = 0;
    pb_evidence_write_state(w, &info, &s->cpuid, &s->mem, &s->state);
    p.head.devices = most + 1;
    pb_check(pb_evidence_write_point(w, &p));
    p.head.devices = most;
    p.head.event++;
    pb_check(pb_evidence_write_point(w, &p));
    pb_evidence_write_ram(w, &s->mem);
    pb_check(pb_evidence_finish(w, &written, why, sizeof(why)));
    pb_check_u64(written.points, 1);
    e = pb_evidence_open(path, why, sizeof(why));
    pb_check(e != NULL);
    pb_check_u64(e->points, 1);
    pb_check_u64(e->point[0].head.event, p.head.event);
    pb_evidence_close(e);
    free(devices);
}

static void test_existing_file_is_not_touched(void)
{
    const char *path = sample_path("mine");
    char why[400], buf[8] = "";
    int fd = open(path, O_WRONLY | O_CREAT, 0644);

    pb_check(write(fd, "mine", 4) == 4);
    close(fd);
    pb_check(!pb_evidence_create(path, why, sizeof(why)));
    pb_check(says(why, "is there already and is not overwritten"));
    fd = open(path, O_RDONLY);
    pb_check(read(fd, buf, 8) == 4);
    close(fd);
    pb_check_str(buf, "mine");
}

static void test_link_is_not_followed(void)
{
    const char *link = sample_path("link"), *target = sample_path("target");
    char why[400];

    pb_check(symlink(target, link) == 0);
    pb_check(!pb_evidence_create(link, why, sizeof(why)));
    pb_check(access(target, F_OK) < 0);
}

static void test_file_is_for_its_owner_alone(void)
{
    const char *path = sample_path("secret");
    PbEvidenceWritten written;
    mode_t old = umask(0);
    struct stat st;
    char why[400];
    PbEvidenceWriter *w = pb_evidence_create(path, why, sizeof(why));

    pb_check(stat(path, &st) == 0);
    pb_check_u64(st.st_mode & 0777, 0600);
    umask(old);
    pb_check(!pb_evidence_finish(w, &written, why, sizeof(why)));
}

static void test_what_is_no_file_of_ours_is_refused(void)
{
    char why[400], text[200];

    pb_check(!pb_evidence_open(sample_path("none"), why, sizeof(why)));
    pb_check(says(why, "No such file"));
    pb_check(!pb_evidence_open("/tmp", why, sizeof(why)));
    pb_check(says(why, "no regular file"));
    pb_check(mkfifo(sample_path("fifo"), 0600) == 0);
    pb_check(!pb_evidence_open(sample_path("fifo"), why, sizeof(why)));
    pb_check(says(why, "no regular file"));
    pb_check(!sample_open((const uint8_t *)"", 0, why, sizeof(why)));
    pb_check(says(why, "too short"));
    memset(text, 'x', sizeof(text));
    pb_check(!sample_open((const uint8_t *)text, sizeof(text), why,
                          sizeof(why)));
    pb_check(says(why, "this is no evidence file of pbkvm"));
}

/* ---- files that end too early ---- */

static unsigned whole_events(size_t len)
{
    unsigned i;

    for (i = 0; i < SAMPLE_EVENTS && sample_event_end(s, i) <= len; i++) {
    }
    return i;
}

static void check_cut(size_t len)
{
    const SampleBlock *start = sample_block(s, PB_EVIDENCE_START);
    bool complete = len >= start->at + sizeof(PbEvidenceBlock) + start->len;
    char why[400];
    PbEvidence *e = sample_open(s->bytes, len, why, sizeof(why));

    if (!complete) {
        pb_check(!e);
        pb_check(len < sizeof(PbEvidenceHead)
                 ? says(why, "too short")
                 : says(why, "ends before the Backup's state is complete"));
        return;
    }
    if (!pb_tap_check(e != NULL, __FILE__, __LINE__, why)) {
        return;
    }
    pb_check(says(e->cut, "was not written to its end"));
    pb_check_u64(e->events, whole_events(len));
    check_events(e, whole_events(len));
    pb_evidence_close(e);
}

static void test_cut_at_every_block(void)
{
    unsigned i;

    for (i = 0; i < s->blocks; i++) {
        check_cut(s->block[i].at);
        check_cut(s->block[i].at + sizeof(PbEvidenceBlock) - 1);
        check_cut(s->block[i].at + sizeof(PbEvidenceBlock));
        check_cut(s->block[i].at + sizeof(PbEvidenceBlock) + 1);
    }
}

static void test_cut_at_every_event(void)
{
    unsigned i;

    for (i = 0; i < SAMPLE_EVENTS; i++) {
        check_cut(sample_event_end(s, i) - 1);
        check_cut(sample_event_end(s, i));
    }
}

static void test_cut_anywhere(void)
{
    unsigned i;

    for (i = 0; i < 300; i++) {
        check_cut(sample_random() % s->size);
    }
}

static void test_room_never_written_is_a_cut(void)
{
    size_t len = sample_last_block(s, PB_EVIDENCE_EVENTS)->at;
    uint8_t *bytes = calloc(1, s->size);
    char why[400];
    PbEvidence *e;

    memcpy(bytes, s->bytes, len);
    e = sample_open(bytes, s->size, why, sizeof(why));
    pb_check(e && says(e->cut, "was not written to its end"));
    pb_check_u64(e ? e->events : 0, whole_events(len));
    pb_evidence_close(e);
    free(bytes);
}

/* ---- damage ---- */

static void check_flip(int fd, const char *path, size_t at, unsigned bit)
{
    uint8_t byte = s->bytes[at] ^ 1u << bit;
    char why[400];
    PbEvidence *e;

    pb_check(pwrite(fd, &byte, 1, at) == 1);
    e = pb_evidence_open(path, why, sizeof(why));
    if (e) {
        printf("# bit %u of byte %zu of %zu\n", bit, at, s->size);
    }
    pb_check(!e);
    pb_check(says(why, at < 8 ? "no evidence file" : "damaged"));
    pb_evidence_close(e);
    pb_check(pwrite(fd, &s->bytes[at], 1, at) == 1);
}

static void test_every_flipped_bit_is_found(void)
{
    const char *path = sample_path("good");
    int fd = open(path, O_RDWR);
    unsigned i;
    size_t at;

    for (at = 0; at < sizeof(PbEvidenceHead); at++) {
        check_flip(fd, path, at, sample_random() % 8);
    }
    for (i = 0; i < s->blocks; i++) {
        for (at = 0; at < sizeof(PbEvidenceBlock) + 16; at++) {
            if (at < sizeof(PbEvidenceBlock) + s->block[i].len) {
                check_flip(fd, path, s->block[i].at + at,
                           sample_random() % 8);
            }
        }
    }
    for (i = 0; i < 1000; i++) {
        check_flip(fd, path, sample_random() % s->size, sample_random() % 8);
    }
    close(fd);
}

static void test_change_while_open_is_found(void)
{
    char why[400];
    PbEvidence *e = sample_open(s->bytes, s->size, why, sizeof(why));
    int fd = open(sample_path("changed"), O_RDWR);
    size_t at = sample_last_block(s, PB_EVIDENCE_EVENTS)->at + 1000;
    uint8_t byte = s->bytes[at] ^ 4;

    pb_check(pwrite(fd, &byte, 1, at) == 1);
    pb_check(sample_read_events(e, why, sizeof(why)) < 0);
    pb_check(says(why, "damaged"));
    pb_check(ftruncate(fd, at - 2000) == 0);
    pb_check(sample_read_events(e, why, sizeof(why)) < 0);
    pb_check(says(why, "changed since it was opened"));
    close(fd);
    pb_evidence_close(e);
}

/* ---- a disk that is full ---- */

static void check_full(size_t limit)
{
    const char *path = sample_path("full");
    struct rlimit old, less;
    PbEvidenceWritten written;
    char why[400], why_not[400];
    PbEvidenceWriter *w;
    PbEvidence *e;

    getrlimit(RLIMIT_FSIZE, &old);
    less = old;
    less.rlim_cur = limit;
    setrlimit(RLIMIT_FSIZE, &less);
    w = pb_evidence_create(path, why, sizeof(why));
    sample_write(s, w);
    pb_check(!pb_evidence_finish(w, &written, why, sizeof(why)));
    setrlimit(RLIMIT_FSIZE, &old);
    pb_check(says(why, "File too large"));
    e = pb_evidence_open(path, why_not, sizeof(why_not));
    if (limit < sample_block(s, PB_EVIDENCE_START)->at + 48) {
        pb_check(says(why, "nothing of it is kept"));
        pb_check(access(path, F_OK) < 0);
    } else {
        pb_check(says(why, "can be opened up to there"));
        pb_check(e != NULL);
        pb_check_u64(e ? e->events : 0, whole_events(limit));
        pb_check_u64(written.events, whole_events(limit));
        pb_check_u64(e ? e->last_seq : 0, written.last_seq);
    }
    pb_evidence_close(e);
    unlink(path);
}

static void test_full_disk_keeps_what_is_whole(void)
{
    unsigned i;

    check_full(0);
    check_full(s->size - 1);
    for (i = 0; i < s->blocks; i++) {
        check_full(s->block[i].at);
    }
    for (i = 0; i < 50; i++) {
        check_full(sample_random() % s->size);
    }
}

static void test_device_without_room_is_an_error(void)
{
    int fd = open("/dev/full", O_WRONLY);
    PbEvidenceWriter *w = pb_evidence_create_fd(fd, "/dev/full");
    PbEvidenceWritten written;
    char why[400];

    sample_write(s, w);
    pb_check(!pb_evidence_finish(w, &written, why, sizeof(why)));
    pb_check(says(why, "/dev/full could not be written: writing: No space "
                  "left on device"));
}

/* ---- a process that is killed ---- */

/* Whenever it comes: what is there opens, or says that it is not enough. */
static void test_killed_writer_leaves_what_is_whole(void)
{
    const char *path = sample_path("killed");
    PbEvidenceWritten written;
    unsigned i, opened = 0, partial = 0;
    char why[400];

    for (i = 0; i < 200; i++) {
        pid_t child;
        PbEvidence *e;

        unlink(path);
        child = fork();
        if (child == 0) {
            PbEvidenceWriter *w = pb_evidence_create(path, why, sizeof(why));

            sample_write(s, w);
            pb_evidence_finish(w, &written, why, sizeof(why));
            pause();
        }
        usleep(sample_random() % 4000);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        e = pb_evidence_open(path, why, sizeof(why));
        if (e) {
            opened++;
            partial += e->cut[0] != 0;
            check_events(e, e->events);
        } else {
            pb_check(strstr(why, "ends before the Backup's state") ||
                     strstr(why, "too short") || strstr(why, "No such file"));
        }
        pb_evidence_close(e);
    }
    printf("# %u of %u opened, %u of them without their end\n", opened, i,
           partial);
    pb_check(opened != 0);
}

/* ---- feeding ---- */

static void test_feed_publishes_all_and_an_end(void)
{
    char why[400];
    PbEvidence *e = pb_evidence_open(sample_path("good"), why, sizeof(why));
    PbRing *ring = pb_ring_new(PB_RING_MIN_SLOTS);
    PbFeed *feed = pb_evidence_feed(e, ring);
    const PbEvent *got;
    unsigned i, j;

    for (i = 0; i < SAMPLE_EVENTS; i++) {
        const PbEvent *want = &s->slot[s->at[i]];
        uint32_t n = 1 + pb_event_extra_slots(want);

        if (!pb_ring_wait_events(ring, n, 10000)) {
            break;
        }
        for (j = 0; j < n; j++) {
            pb_check(!memcmp(pb_ring_peek(ring, j), &want[j],
                             sizeof(*want)));
        }
        pb_ring_release(ring, n);
    }
    pb_check_u64(i, SAMPLE_EVENTS);
    pb_check(pb_ring_wait_events(ring, 1, 10000));
    got = pb_ring_peek(ring, 0);
    pb_check(got && got->kind == PB_EVENT_END);
    pb_check(got && !pb_event_check(got, e->last_seq));
    pb_feed_stop(feed);
    pb_ring_free(ring);
    pb_evidence_close(e);
}

static void test_feed_stops_with_a_full_ring(void)
{
    char why[400];
    PbEvidence *e = pb_evidence_open(sample_path("good"), why, sizeof(why));
    PbRing *ring = pb_ring_new(PB_RING_MIN_SLOTS);
    PbFeed *feed = pb_evidence_feed(e, ring);

    pb_check(pb_ring_wait_events(ring, PB_RING_MIN_SLOTS / 2, 10000));
    pb_check(!pb_feed_done(feed));
    pb_feed_stop(feed);
    pb_ring_free(ring);
    pb_evidence_close(e);
}

int main(void)
{
    static const PbTest tests[] = {
        PB_TEST(checksum_is_crc32c),
        PB_TEST(checksum_of_ram_leaves_out_what_a_cpu_sets),
        PB_TEST(every_flipped_bit_of_an_event_is_found),
        PB_TEST(what_was_written_is_read),
        PB_TEST(untouched_memory_takes_no_room),
        PB_TEST(large_point_is_left_out),
        PB_TEST(existing_file_is_not_touched),
        PB_TEST(link_is_not_followed),
        PB_TEST(file_is_for_its_owner_alone),
        PB_TEST(what_is_no_file_of_ours_is_refused),
        PB_TEST(cut_at_every_block),
        PB_TEST(cut_at_every_event),
        PB_TEST(cut_anywhere),
        PB_TEST(room_never_written_is_a_cut),
        PB_TEST(every_flipped_bit_is_found),
        PB_TEST(change_while_open_is_found),
        PB_TEST(full_disk_keeps_what_is_whole),
        PB_TEST(device_without_room_is_an_error),
        PB_TEST(killed_writer_leaves_what_is_whole),
        PB_TEST(feed_publishes_all_and_an_end),
        PB_TEST(feed_stops_with_a_full_ring),
    };
    int ret;

    s = sample_new();
    ret = pb_tap_run(tests, sizeof(tests) / sizeof(tests[0]));
    sample_free(s);
    sample_clean_up();
    return ret;
}
