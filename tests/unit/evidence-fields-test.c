/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * evidence-fields-test.c: evidence files whose checksums are right and whose
 * contents are not: somebody made them so.
 */
#include "evidence-check.h"
#include "evidence-sample.h"
#include "pb-crc.h"
#include "pb-tap.h"

#define FUZZ_ROUNDS 3000

static Sample *s;

/* Open the sample's bytes: must fail and say @text; then undo. */
static void refused(const char *text, const uint8_t *saved, int line)
{
    char why[400];
    PbEvidence *e;

    sample_reseal(s);
    e = sample_open(s->bytes, s->size, why, sizeof(why));
    pb_tap_check(!e, __FILE__, line, "a bad file was opened");
    pb_tap_check(strstr(why, text) != NULL, __FILE__, line, why);
    pb_evidence_close(e);
    memcpy(s->bytes, saved, s->size);
}

/* Write @value, as @type, at @at of the file. */
#define REFUSED(at, type, value, text)                                  \
    do {                                                                \
        uint8_t *saved_ = malloc(s->size);                              \
        type value_ = (value);                                          \
                                                                        \
        memcpy(saved_, s->bytes, s->size);                              \
        memcpy(s->bytes + (at), &value_, sizeof(value_));               \
        refused(text, saved_, __LINE__);                                \
        free(saved_);                                                   \
    } while (0)

static size_t head(uint32_t kind, size_t offset)
{
    return sample_block(s, kind)->at + offset;
}

static size_t body(uint32_t kind, size_t offset)
{
    return head(kind, sizeof(PbEvidenceBlock)) + offset;
}

#define HEAD(kind, field) \
    head(PB_EVIDENCE_##kind, offsetof(PbEvidenceBlock, field))
#define INFO(field) body(PB_EVIDENCE_INFO, offsetof(PbEvidenceInfo, field))

static void test_other_version_is_named(void)
{
    REFUSED(offsetof(PbEvidenceHead, version), uint32_t, 1,
            "version 1 with events of version 5, expected 6 and 5");
    REFUSED(offsetof(PbEvidenceHead, event_version), uint32_t, 9,
            "events of version 9");
    REFUSED(offsetof(PbEvidenceHead, state_size), uint32_t, 1,
            "events or states of another kind");
    REFUSED(offsetof(PbEvidenceHead, zero), uint32_t, 1,
            "events or states of another kind");
}

static void test_wrong_magic_is_refused(void)
{
    REFUSED(0, uint8_t, 'P', "this is no evidence file of pbkvm");
    REFUSED(6, uint8_t, '\n', "this is no evidence file of pbkvm");
}

static void test_block_heads_are_checked(void)
{
    REFUSED(HEAD(CPUID, mark), uint32_t, 7, "head is damaged");
    REFUSED(HEAD(CPUID, kind), uint32_t, 99, "unknown kind 99");
    REFUSED(HEAD(CPUID, kind), uint32_t, 0, "unknown kind 0");
    REFUSED(HEAD(CPUID, kind), uint32_t, PB_EVIDENCE_STATE,
            "expected cpuid, got state");
    REFUSED(HEAD(CPUID, number), uint32_t, 7, "it says that it is block 7");
    REFUSED(HEAD(CPUID, zero), uint32_t, 1, "unknown kind");
    REFUSED(HEAD(CPUID, len), uint64_t, UINT64_MAX, "expected at most");
    REFUSED(HEAD(PAGES, len), uint64_t, 1u << 21, "expected at most");
    REFUSED(HEAD(STATE, len), uint64_t, 8, "checksum");
    REFUSED(HEAD(PAGES, kind), uint32_t, PB_EVIDENCE_EVENTS,
            "expected start, got events");
    REFUSED(HEAD(PAGES, kind), uint32_t, PB_EVIDENCE_END,
            "expected at most 16");
    REFUSED(HEAD(EVENTS, kind), uint32_t, PB_EVIDENCE_PAGES,
            "expected events, got pages");
}

static void test_info_is_checked(void)
{
    REFUSED(INFO(counter), uint32_t, 7, "counter of unknown kind");
    REFUSED(INFO(counter), uint32_t, PB_COUNTER_AUTO, "unknown kind");
    REFUSED(INFO(cpus), uint32_t, 0, "a number of vCPUs");
    REFUSED(INFO(cpus), uint32_t, PB_MAX_CPUS + 1, "a number of vCPUs");
    REFUSED(INFO(cpus), uint32_t, 3, "expected cpuid, got memory");
    REFUSED(INFO(at.cpu), uint32_t, 2, "a number of vCPUs");
    REFUSED(INFO(at.zero), uint32_t, 1, "a number of vCPUs");
    REFUSED(INFO(cpu) + 63, uint8_t, 'x', "a text that is none");
    REFUSED(INFO(kernel), uint8_t, 27, "a text that is none");
    REFUSED(INFO(machine), uint8_t, 0xff, "a text that is none");
    REFUSED(INFO(at.tsc.on), uint32_t, 2, "time stamp counter");
    REFUSED(INFO(at.tsc.zero), uint32_t, 1, "time stamp counter");
    REFUSED(INFO(at.tsc.value), uint64_t, 1, "time stamp counter");
    REFUSED(INFO(at.tsc.base), uint64_t, 1, "time stamp counter");
    REFUSED(INFO(at.partials), uint32_t, 9, "too many answers");
    REFUSED(INFO(at.partials), uint32_t, UINT32_MAX, "too many answers");
    REFUSED(INFO(at.partials), uint32_t, 0, "an answer that is not counted");
    REFUSED(INFO(at.partials), uint32_t, 2, "an answer that is none");
    REFUSED(INFO(at.partial[0].size), uint8_t, 9, "an answer that is none");
    REFUSED(INFO(at.question.kind), uint8_t, PB_EVENT_IRQ,
            "a question no exit asks");
    REFUSED(INFO(at.question.kind), uint8_t, 0, "an exit without a question");
    REFUSED(INFO(at.question.size), uint8_t, 200, "size");
    REFUSED(INFO(at.question.seq), uint64_t, 5, "seq does not follow");
}

static void test_layout_is_checked(void)
{
    size_t m = body(PB_EVIDENCE_MEMORY, 0);
    size_t ram = m + sizeof(PbEvidenceMemory);
    size_t slots = ram + 2 * sizeof(PbEvidenceRamBlock);

    REFUSED(m, uint32_t, 0, "no or too many RAM blocks");
    REFUSED(m, uint32_t, PB_MEM_MAX_BLOCKS + 1, "too many RAM blocks");
    REFUSED(m, uint32_t, UINT32_MAX, "too many RAM blocks");
    REFUSED(m, uint32_t, 3, "does not match its contents");
    REFUSED(m + 4, uint32_t, 65, "too many RAM blocks or slots");
    REFUSED(ram + 47, uint8_t, 'x', "name is no text");
    REFUSED(ram + 48, uint64_t, 0, "not a multiple of 4096");
    REFUSED(ram + 48, uint64_t, 4097, "not a multiple of 4096");
    REFUSED(ram + 48, uint64_t, 1ull << 40, "more than 64 GiB");
    REFUSED(ram + 48, uint64_t, PB_EVIDENCE_MAX_RAM, "more than 64 GiB");
    REFUSED(ram + 48, uint64_t, UINT64_MAX & ~4095ull, "more than 64 GiB");
    REFUSED(slots + 8, uint64_t, 4096 * 65, "beyond the end of the RAM");
    REFUSED(slots + 16, uint64_t, UINT64_MAX, "beyond the end");
    REFUSED(slots + 24, uint32_t, 2, "no such RAM block");
    REFUSED(slots + 28, uint32_t, 2, "read-only is neither");
}

static void test_pages_are_checked(void)
{
    size_t p = body(PB_EVIDENCE_PAGES, 0);

    REFUSED(p, uint32_t, 2, "pages of no RAM block");
    REFUSED(p, uint32_t, UINT32_MAX, "pages of no RAM block");
    REFUSED(p + 4, uint32_t, 0, "does not match the number of pages");
    REFUSED(p + 4, uint32_t, 257, "does not match the number of pages");
    REFUSED(p + 4, uint32_t, UINT32_MAX, "does not match the number");
    REFUSED(p + 8, uint64_t, 4096 * 64, "beyond the end of their RAM");
    REFUSED(p + 8, uint64_t, 100, "beyond the end of their RAM");
    REFUSED(p + 8, uint64_t, UINT64_MAX & ~4095ull, "beyond the end");
    REFUSED(body(PB_EVIDENCE_START, 0), uint64_t, 7, "start: expected 7");
}

static void test_state_is_checked(void)
{
    size_t st = body(PB_EVIDENCE_STATE, 0);

    REFUSED(st + offsetof(PbState, msrs), uint32_t, PB_MSRS_MAX + 1,
            "too many MSRs");
    REFUSED(st + offsetof(PbState, msr[1].index), uint32_t, 0xc0000080,
            "no part of a state");
}

#define POINT(field) \
    body(PB_EVIDENCE_POINT, offsetof(PbEvidencePoint, field))

static void test_points_are_checked(void)
{
    size_t list = body(PB_EVIDENCE_POINT, sizeof(PbEvidencePoint));
    size_t second = sample_last_block(s, PB_EVIDENCE_POINT)->at +
                    sizeof(PbEvidenceBlock);

    REFUSED(POINT(event), uint64_t, SAMPLE_FIRST_SEQ - 2, "has taken place");
    REFUSED(second, uint64_t, SAMPLE_FIRST_SEQ - 1, "has taken place");
    REFUSED(POINT(list), uint32_t, 0, "does not match its contents");
    REFUSED(POINT(list), uint32_t, UINT32_MAX, "does not match its contents");
    REFUSED(POINT(devices), uint32_t, 0, "does not match its contents");
    REFUSED(POINT(devices), uint32_t, UINT32_MAX, "does not match");
    REFUSED(POINT(disks), uint32_t, 3, "its disks are none");
    REFUSED(POINT(undo), uint32_t, 4, "its disks are none");
    REFUSED(second + offsetof(PbEvidencePoint, undo), uint32_t, 3,
            "its disks are none");
    REFUSED(list, uint8_t, 27, "its devices are no list");
    REFUSED(list, uint8_t, 0, "its devices are no list");
    REFUSED(list + sizeof(SAMPLE_LIST) - 2, uint8_t, ' ', "no list");
    REFUSED(HEAD(POINT, kind), uint32_t, PB_EVIDENCE_PAGES, "pages");
    REFUSED(HEAD(POINT, len), uint64_t, PB_EVIDENCE_MAX_POINT + 1,
            "expected at most");
    REFUSED(HEAD(START, kind), uint32_t, PB_EVIDENCE_POINT,
            "expected start, got point");
}

#define DISK(field) body(PB_EVIDENCE_DISK, offsetof(PbEvidenceDisk, field))
#define UNDO(field) body(PB_EVIDENCE_UNDO, offsetof(PbEvidenceUndo, field))

static void test_disks_are_checked(void)
{
    REFUSED(DISK(device), uint8_t, 0, "its device has no name");
    REFUSED(DISK(device), uint8_t, 27, "its device has no name");
    REFUSED(DISK(device[95]), uint8_t, 'x', "its device has no name");
    REFUSED(DISK(zero), uint32_t, 1, "its device has no name");
    REFUSED(DISK(size), uint64_t, 5, "undo: beyond the end of its disk");
    REFUSED(HEAD(DISK, len), uint64_t, 8, "disk");
    REFUSED(UNDO(offset), uint64_t, 990, "beyond the end of its disk");
    REFUSED(UNDO(offset), uint64_t, UINT64_MAX, "beyond the end of its disk");
    REFUSED(UNDO(bytes), uint32_t, 0, "does not match its contents");
    REFUSED(UNDO(bytes), uint32_t, 14, "does not match its contents");
    REFUSED(UNDO(data), uint32_t, 0, "does not match its contents");
    REFUSED(UNDO(disk), uint32_t, SAMPLE_DISKS, "of no disk");
    REFUSED(HEAD(UNDO, len), uint64_t, PB_EVIDENCE_MAX_UNDO + 1,
            "expected at most");
    REFUSED(HEAD(DISK, kind), uint32_t, PB_EVIDENCE_UNDO, "undo");
}

/* A field of event number @i. */
static size_t event_at(unsigned i, size_t offset)
{
    size_t n = 1 + pb_event_extra_slots(&s->slot[s->at[i]]);

    return sample_event_end(s, i) - n * sizeof(PbEvent) + offset;
}

#define EVENT(i, field) event_at(i, offsetof(PbEvent, field))

static void test_events_are_checked(void)
{
    size_t ev = body(PB_EVIDENCE_EVENTS, 0);

    REFUSED(ev, uint64_t, 5, "expected event 1000, got 5");
    REFUSED(ev + 8, uint32_t, 0, "length does not match");
    REFUSED(ev + 8, uint32_t, UINT32_MAX, "length does not match");
    REFUSED(ev + 12, uint32_t, UINT32_MAX, "length does not match");
    REFUSED(ev + 16, uint32_t, 1, "length does not match");
    REFUSED(EVENT(0, kind), uint8_t, 0, "event 1000: ");
    REFUSED(EVENT(0, kind), uint8_t, 77, "event 1000: ");
    REFUSED(EVENT(0, seq), uint64_t, 1001, "seq does not follow");
    REFUSED(EVENT(9, body.mem.len), uint32_t, 65537, "event 1009: ");
    REFUSED(EVENT(9, body.mem.len), uint32_t, UINT32_MAX, "event 1009: ");
    REFUSED(EVENT(9, body.mem.block), uint32_t, 2, "beyond the end of its");
    REFUSED(EVENT(9, body.mem.offset), uint64_t, UINT64_MAX, "beyond the");
    REFUSED(EVENT(2, body.pio.count), uint32_t, UINT32_MAX, "event 1002: ");
    REFUSED(EVENT(3, body.blob.len), uint32_t, sizeof(PbState) - 1,
            "another size");
    REFUSED(EVENT(3, arg), uint16_t, 2, "a vCPU that the guest does not");
    REFUSED(EVENT(14, arg), uint16_t, 2, "a vCPU that the guest does not");
    REFUSED(EVENT(4, arg), uint16_t, 64, "slot number out of range");
    REFUSED(EVENT(5, arg), uint16_t, 256, "event 1005: ");
}

static void test_payload_of_an_event_stays_in_its_block(void)
{
    const SampleBlock *b = sample_last_block(s, PB_EVIDENCE_EVENTS);
    unsigned i = SAMPLE_EVENTS - 1;

    pb_check(b->kind == PB_EVIDENCE_EVENTS);
    /* The last event has no payload; let it be a write of memory. */
    pb_check_u64(s->slot[s->at[i]].kind, PB_EVENT_MARK);
    memset(s->bytes + EVENT(i, body), 0, sizeof(((PbEvent *)0)->body));
    memset(s->bytes + EVENT(i, branches), 0, 8);
    s->bytes[EVENT(i, kind)] = PB_EVENT_MEM_WRITE;
    REFUSED(EVENT(i, body.mem.len), uint32_t, 4096,
            "payload goes beyond the block");
}

static void test_end_is_checked(void)
{
    size_t end = body(PB_EVIDENCE_END, 0);

    REFUSED(end, uint64_t, 3, "end: expected 3");
    REFUSED(end + 8, uint64_t, 3, "up to 3");
}

static void test_bytes_after_the_end_are_refused(void)
{
    uint8_t *longer = calloc(1, s->size + 1);
    char why[400];

    memcpy(longer, s->bytes, s->size);
    pb_check(!sample_open(longer, s->size + 1, why, sizeof(why)));
    pb_check(strstr(why, "goes on after its end") != NULL);
    free(longer);
}

/* Whatever stands in it: an error or a file, and no access out of bounds. */
static void test_random_contents_do_no_harm(void)
{
    uint8_t *saved = malloc(s->size);
    unsigned i, j, opened = 0;
    char why[400];

    memcpy(saved, s->bytes, s->size);
    for (i = 0; i < FUZZ_ROUNDS; i++) {
        const SampleBlock *b = &s->block[sample_random() % s->blocks];
        size_t len = sizeof(PbEvidenceBlock) + b->len;
        PbEvidence *e;

        /* Mostly where the structure is. */
        for (j = 1 + sample_random() % 3; j; j--) {
            size_t at = sample_random() % (j == 1 && len > 200 ? 200 : len);

            s->bytes[b->at + at] = sample_random() % 3 ? sample_random()
                                                       : 0xff;
        }
        sample_reseal(s);
        e = sample_open(s->bytes, s->size, why, sizeof(why));
        pb_check(e || why[0]);
        if (e) {
            opened++;
            pb_check_u64(sample_read_events(e, why, sizeof(why)), e->events);
        }
        pb_evidence_close(e);
        memcpy(s->bytes, saved, s->size);
    }
    /* Otherwise nothing but checksums was tested. */
    printf("# %u of %u opened\n", opened, FUZZ_ROUNDS);
    pb_check(opened > FUZZ_ROUNDS / 100 && opened < FUZZ_ROUNDS);
    free(saved);
}

int main(void)
{
    static const PbTest tests[] = {
        PB_TEST(other_version_is_named),
        PB_TEST(wrong_magic_is_refused),
        PB_TEST(block_heads_are_checked),
        PB_TEST(info_is_checked),
        PB_TEST(layout_is_checked),
        PB_TEST(points_are_checked),
        PB_TEST(disks_are_checked),
        PB_TEST(pages_are_checked),
        PB_TEST(state_is_checked),
        PB_TEST(events_are_checked),
        PB_TEST(end_is_checked),
        PB_TEST(bytes_after_the_end_are_refused),
        PB_TEST(random_contents_do_no_harm),
        PB_TEST(payload_of_an_event_stays_in_its_block),
    };
    int ret;

    s = sample_new();
    ret = pb_tap_run(tests, sizeof(tests) / sizeof(tests[0]));
    sample_free(s);
    sample_clean_up();
    return ret;
}
