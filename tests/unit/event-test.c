/* SPDX-License-Identifier: GPL-2.0-or-later */
/* event-test.c: the event format, its validity rule, names and texts. */
#include "pb-event.h"
#include "pb-tap.h"

#define OFFSET(field) offsetof(PbEvent, field)

/* A valid event of @kind with seq 1. */
static PbEvent valid(PbEventKind kind)
{
    PbEvent e = { .seq = 1, .kind = kind };

    switch (kind) {
    case PB_EVENT_PIO_IN:
        e.size = 2;
        e.arg = 0x1f0;
        e.body.pio.count = 1;
        e.body.pio.data[0] = 0x55;
        e.body.pio.data[1] = 0xaa;
        break;
    case PB_EVENT_MMIO_READ:
        e.size = 4;
        e.body.mmio.gpa = 0xfee00020;
        memcpy(e.body.mmio.data, "\x01\x02\x03\x04", 4);
        break;
    case PB_EVENT_RDMSR:
    case PB_EVENT_WRMSR:
        e.body.msr.index = 0x8b;
        e.body.msr.value = 0x1000065;
        break;
    case PB_EVENT_IRQ:
    case PB_EVENT_TURN:
        e.arg = kind == PB_EVENT_IRQ ? 0x30 : 5;
        /* fall through */
    case PB_EVENT_NMI:
    case PB_EVENT_POINT:
    case PB_EVENT_VERIFY:
        e.branches = 981234;
        e.body.pos.rip = 0x401020;
        e.body.pos.cx = 7;
        e.body.pos.sp = 0x7bfe;
        e.body.pos.hash = 0xfeed;
        break;
    case PB_EVENT_MEM_WRITE:
        e.body.mem.offset = 0x1000;
        e.body.mem.len = 512;
        break;
    case PB_EVENT_SLICE:
        e.body.slice.offset = 0x20000;
        e.body.slice.len = 4096;
        e.body.slice.crc = 0xc0ffee;
        break;
    case PB_EVENT_MEM_SLOT:
        e.arg = 3;
        break;
    case PB_EVENT_STATE:
        e.arg = 7;
        e.body.blob.len = 4096;
        break;
    case PB_EVENT_END:
        e.arg = PB_END_QUIT;
        break;
    default:
        break;
    }
    return e;
}

static void test_layout_is_fixed(void)
{
    pb_check_u64(sizeof(PbEvent), 64);
    pb_check_u64(OFFSET(seq), 0);
    pb_check_u64(OFFSET(time_ns), 8);
    pb_check_u64(OFFSET(branches), 16);
    pb_check_u64(OFFSET(digest), 24);
    pb_check_u64(OFFSET(crc), 28);
    pb_check_u64(OFFSET(kind), 32);
    pb_check_u64(OFFSET(size), 33);
    pb_check_u64(OFFSET(arg), 34);
    pb_check_u64(OFFSET(writes), 36);
    pb_check_u64(OFFSET(body), 40);
    pb_check_u64(OFFSET(body.pos.hash), 56);
    pb_check_u64(OFFSET(body.pio.data), 44);
    pb_check_u64(OFFSET(body.mmio.data), 48);
    pb_check_u64(OFFSET(body.msr.value), 48);
    pb_check_u64(OFFSET(body.mem.len), 52);
    pb_check_u64(OFFSET(body.blob.len), 40);
    pb_check_u64(sizeof(PbSlotChange), 32);
    pb_check_u64(offsetof(PbSlotChange, readonly), 28);
}

/* Their numbers are in every file: a change bumps PB_EVENT_VERSION. */
static void test_kinds_of_version_1_keep_their_numbers(void)
{
    static const char *const names[] = {
        "invalid", "pio-in", "mmio-read", "rdmsr", "wrmsr", "hlt", "shutdown",
        "read-begin", "irq", "nmi", "point", "verify", "mem-write",
        "mem-slot", "state", "mark", "panic", "end", "slice", "turn",
    };

    pb_check_u64(PB_EVENT_VERSION, 5);
    pb_check_u64(PB_EVENT_KINDS, sizeof(names) / sizeof(names[0]));
    for (int kind = 0; kind < PB_EVENT_KINDS; kind++) {
        pb_check_str(pb_event_kind_name(kind), names[kind]);
    }
}

static void test_unknown_kind_has_a_name(void)
{
    pb_check_str(pb_event_kind_name(PB_EVENT_KINDS), "unknown");
    pb_check_str(pb_event_kind_name((PbEventKind)-1), "unknown");
}

static void test_only_positions_are_async(void)
{
    for (int kind = -1; kind <= PB_EVENT_KINDS; kind++) {
        pb_check_u64(pb_event_is_async(kind),
                     (kind >= PB_EVENT_IRQ && kind <= PB_EVENT_VERIFY) ||
                     kind == PB_EVENT_TURN);
    }
}

static void test_kinds_come_in_groups(void)
{
    for (int kind = -1; kind <= PB_EVENT_KINDS; kind++) {
        pb_check_u64(pb_event_is_sync(kind),
                     kind >= PB_EVENT_PIO_IN && kind <= PB_EVENT_READ_BEGIN);
        pb_check_u64(pb_event_is_change(kind),
                     (kind >= PB_EVENT_MEM_WRITE &&
                      kind <= PB_EVENT_STATE) || kind == PB_EVENT_SLICE);
    }
}

static void test_valid_event_of_each_kind_passes(void)
{
    for (int kind = 1; kind < PB_EVENT_KINDS; kind++) {
        PbEvent e = valid(kind);

        pb_check_str(pb_event_check(&e, 0), NULL);
    }
}

static void test_seq_must_follow(void)
{
    PbEvent e = valid(PB_EVENT_HLT);

    e.seq = 0;
    pb_check_str(pb_event_check(&e, 0), "seq does not follow");
    e.seq = 2;
    pb_check_str(pb_event_check(&e, 0), "seq does not follow");
    pb_check_str(pb_event_check(&e, 1), NULL);
    pb_check_str(pb_event_check(&e, 2), "seq does not follow");
}

static void test_unknown_kind_is_refused(void)
{
    PbEvent e = { .seq = 1 };

    pb_check_str(pb_event_check(&e, 0), "kind is unknown");
    e.kind = PB_EVENT_KINDS;
    pb_check_str(pb_event_check(&e, 0), "kind is unknown");
    e.kind = 255;
    pb_check_str(pb_event_check(&e, 0), "kind is unknown");
}

/* Bit n of @sizes: n bytes is a width of @kind. */
static void check_sizes(PbEventKind kind, unsigned sizes)
{
    for (unsigned size = 0; size < 256; size++) {
        PbEvent e = valid(kind);
        bool good = size <= 8 && (sizes & (1u << size));

        if (kind == PB_EVENT_PIO_IN || kind == PB_EVENT_MMIO_READ) {
            memset(e.body.mmio.data, 0, 8);
            memset(e.body.pio.data, 0, PB_EVENT_INLINE_DATA);
        }
        e.size = size;
        pb_check_str(pb_event_check(&e, 0),
                     good ? NULL : "size is out of range for the kind");
    }
}

static void test_size_must_suit_the_kind(void)
{
    for (int kind = 1; kind < PB_EVENT_KINDS; kind++) {
        check_sizes(kind, kind == PB_EVENT_PIO_IN ? 0x16 :
                          kind == PB_EVENT_MMIO_READ ? 0x1fe : 0x01);
    }
}

static void test_arg_must_suit_the_kind(void)
{
    for (int kind = 1; kind < PB_EVENT_KINDS; kind++) {
        unsigned first = kind == PB_EVENT_END ? PB_END_QUIT : 0;
        unsigned last = kind == PB_EVENT_PIO_IN ? 0xffff :
                        kind == PB_EVENT_MEM_SLOT ? 0xffff :
                        kind == PB_EVENT_IRQ ? 255 :
                        kind == PB_EVENT_STATE ? PB_MAX_CPUS - 1 :
                        kind == PB_EVENT_TURN ? PB_MAX_CPUS - 1 :
                        kind == PB_EVENT_END ? PB_END_UNRECORDED : 0;

        for (unsigned arg = 0; arg <= 0xffff; arg++) {
            PbEvent e = valid(kind);

            bool waits = (kind == PB_EVENT_POINT ||
                          kind == PB_EVENT_VERIFY) && arg >> 8 == 1;

            e.arg = arg;
            pb_check_str(pb_event_check(&e, 0),
                         (arg >= first && arg <= last) || waits
                         ? NULL : "arg is out of range for the kind");
        }
    }
}

static void test_unused_body_must_be_zero(void)
{
    static const uint8_t used[PB_EVENT_KINDS] = {
        [PB_EVENT_PIO_IN] = 24, [PB_EVENT_MMIO_READ] = 16,
        [PB_EVENT_RDMSR] = 16, [PB_EVENT_WRMSR] = 16,
        [PB_EVENT_IRQ] = 24, [PB_EVENT_NMI] = 24, [PB_EVENT_POINT] = 24,
        [PB_EVENT_VERIFY] = 24, [PB_EVENT_MEM_WRITE] = 16,
        [PB_EVENT_STATE] = 4, [PB_EVENT_SLICE] = 20,
        [PB_EVENT_TURN] = 24,
    };

    for (int kind = 1; kind < PB_EVENT_KINDS; kind++) {
        for (int i = used[kind]; i < 24; i++) {
            PbEvent e = valid(kind);

            e.body.raw[i] = 1;
            pb_check_str(pb_event_check(&e, 0),
                         "unused bytes of the body are not zero");
        }
    }
}

static void test_slice_is_whole_words(void)
{
    PbEvent e = valid(PB_EVENT_SLICE);

    e.body.slice.len = 0;
    pb_check_str(pb_event_check(&e, 0), "len is no multiple of 8");
    e.body.slice.len = 12;
    pb_check_str(pb_event_check(&e, 0), "len is no multiple of 8");
}

static void test_pio_without_elements_is_refused(void)
{
    PbEvent e = valid(PB_EVENT_PIO_IN);

    e.body.pio.count = 0;
    pb_check_str(pb_event_check(&e, 0), "count is zero");
}

static void test_pio_data_beyond_count_must_be_zero(void)
{
    PbEvent e = valid(PB_EVENT_PIO_IN);

    e.body.pio.data[2] = 1;
    pb_check_str(pb_event_check(&e, 0),
                 "data beyond count * size is not zero");
    e.body.pio.count = 2;
    pb_check_str(pb_event_check(&e, 0), NULL);
    e.body.pio.count = 11;          /* 22 bytes: all of it is in the payload */
    pb_check_str(pb_event_check(&e, 0),
                 "data beyond count * size is not zero");
}

static void test_mmio_data_beyond_size_must_be_zero(void)
{
    PbEvent e = valid(PB_EVENT_MMIO_READ);

    e.size = 3;
    pb_check_str(pb_event_check(&e, 0), "data beyond size is not zero");
}

static void test_msr_fault_is_a_flag(void)
{
    for (int kind = PB_EVENT_RDMSR; kind <= PB_EVENT_WRMSR; kind++) {
        PbEvent e = valid(kind);

        e.body.msr.fault = 1;
        pb_check_str(pb_event_check(&e, 0), NULL);
        e.body.msr.fault = 2;
        pb_check_str(pb_event_check(&e, 0), "fault is neither 0 nor 1");
    }
}

static void test_empty_change_is_refused(void)
{
    PbEvent mem = valid(PB_EVENT_MEM_WRITE);
    PbEvent state = valid(PB_EVENT_STATE);

    mem.body.mem.len = 0;
    state.body.blob.len = 0;
    pb_check_str(pb_event_check(&mem, 0), "len is zero");
    pb_check_str(pb_event_check(&state, 0), "len is zero");
}

static void test_payload_is_limited(void)
{
    PbEvent pio = valid(PB_EVENT_PIO_IN);
    PbEvent mem = valid(PB_EVENT_MEM_WRITE);
    PbEvent state = valid(PB_EVENT_STATE);

    memset(pio.body.pio.data, 0, PB_EVENT_INLINE_DATA);
    for (uint32_t above = 0; above <= 1; above++) {
        const char *expected = above ? "payload is too long" : NULL;

        pio.body.pio.count = PB_EVENT_MAX_PAYLOAD / 2 + above;
        mem.body.mem.len = PB_EVENT_MAX_PAYLOAD + above;
        state.body.blob.len = PB_EVENT_MAX_PAYLOAD + above;
        pb_check_str(pb_event_check(&pio, 0), expected);
        pb_check_str(pb_event_check(&mem, 0), expected);
        pb_check_str(pb_event_check(&state, 0), expected);
    }
}

static void test_huge_pio_count_does_not_overflow(void)
{
    PbEvent e = valid(PB_EVENT_PIO_IN);

    memset(e.body.pio.data, 0, PB_EVENT_INLINE_DATA);
    e.body.pio.count = 0x80000000u;    /* times 2 is 0 in 32 bits */
    pb_check_str(pb_event_check(&e, 0), "payload is too long");
    pb_check_u64(pb_event_extra_slots(&e), 0x4000000);
}

static void test_payload_follows_what_does_not_fit(void)
{
    PbEvent e = valid(PB_EVENT_PIO_IN);

    e.size = 4;
    e.body.pio.count = 5;
    pb_check_u64(pb_event_payload_len(&e), 0);
    e.body.pio.count = 6;
    pb_check_u64(pb_event_payload_len(&e), 24);

    e = valid(PB_EVENT_MEM_WRITE);
    pb_check_u64(pb_event_payload_len(&e), 512);
    e = valid(PB_EVENT_MEM_SLOT);
    pb_check_u64(pb_event_payload_len(&e), 32);
    e = valid(PB_EVENT_STATE);
    pb_check_u64(pb_event_payload_len(&e), 4096);
}

static void test_other_kinds_have_no_payload(void)
{
    for (int kind = 0; kind < PB_EVENT_KINDS; kind++) {
        PbEvent e = { .kind = kind };

        memset(&e.body, 0xff, sizeof(e.body));
        if (kind != PB_EVENT_MEM_WRITE && kind != PB_EVENT_MEM_SLOT &&
            kind != PB_EVENT_STATE) {
            pb_check_u64(pb_event_extra_slots(&e), 0);
        }
    }
}

static void test_extra_slots_round_up(void)
{
    static const uint32_t pairs[][2] = {
        { 1, 1 }, { 63, 1 }, { 64, 1 }, { 65, 2 }, { 128, 2 },
        { PB_EVENT_MAX_PAYLOAD, 1024 }, { UINT32_MAX, 1u << 26 },
    };
    PbEvent e = valid(PB_EVENT_MEM_WRITE);

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        e.body.mem.len = pairs[i][0];
        pb_check_u64(pb_event_extra_slots(&e), pairs[i][1]);
    }
}

static void check_print(const PbEvent *e, const char *expected)
{
    char text[512];
    int n = pb_event_print(e, text, sizeof(text));

    pb_check_str(text, expected);
    pb_check_u64(n, strlen(expected));
}

#define TAIL0 " branches 0 time 0.000000000 digest 0x0 writes 0"
#define TAIL1 " branches 981234 rip 0x401020 cx 0x7 sp 0x7bfe hash 0xfeed" \
              " time 0.000000000 digest 0x0 writes 0"

static void test_print_of_each_kind(void)
{
    static const char *const texts[PB_EVENT_KINDS] = {
        "event 1 invalid" TAIL0,
        "event 1 pio-in port 0x1f0 size 2 count 1 data 55 aa" TAIL0,
        "event 1 mmio-read gpa 0xfee00020 size 4 data 01 02 03 04" TAIL0,
        "event 1 rdmsr index 0x8b value 0x1000065" TAIL0,
        "event 1 wrmsr index 0x8b value 0x1000065" TAIL0,
        "event 1 hlt" TAIL0,
        "event 1 shutdown" TAIL0,
        "event 1 read-begin" TAIL0,
        "event 1 irq vector 0x30" TAIL1,
        "event 1 nmi" TAIL1,
        "event 1 point" TAIL1,
        "event 1 verify" TAIL1,
        "event 1 mem-write block 0 offset 0x1000 len 512" TAIL0,
        "event 1 mem-slot slot 3" TAIL0,
        "event 1 state cpu 7 len 4096" TAIL0,
        "event 1 mark" TAIL0,
        "event 1 panic" TAIL0,
        "event 1 end reason quit" TAIL0,
        "event 1 slice block 0 offset 0x20000 len 4096 crc 0x00c0ffee" TAIL0,
        "event 1 turn cpu 5" TAIL1,
    };

    for (int kind = 0; kind < PB_EVENT_KINDS; kind++) {
        PbEvent e = valid(kind);

        check_print(&e, texts[kind]);
    }
}

static void test_print_shows_the_common_fields(void)
{
    PbEvent e = {
        .seq = 42, .time_ns = 12000000345, .branches = 77,
        .digest = (uint32_t)PB_DIGEST_START, .kind = PB_EVENT_MARK, .writes = 9,
    };

    check_print(&e, "event 42 mark branches 77 time 12.000000345"
                " digest 0x7f4a7c15 writes 9");
}

static void test_print_of_special_cases(void)
{
    PbEvent pio = valid(PB_EVENT_PIO_IN);
    PbEvent msr = valid(PB_EVENT_RDMSR);
    PbEvent end = valid(PB_EVENT_END);
    PbEvent bad = { .seq = 1, .kind = 200 };

    pio.body.pio.count = 256;
    check_print(&pio, "event 1 pio-in port 0x1f0 size 2 count 256"
                " payload 512 bytes" TAIL0);
    msr.body.msr.fault = 1;
    check_print(&msr, "event 1 rdmsr index 0x8b value 0x1000065 fault" TAIL0);
    end.arg = PB_END_UNRECORDED;
    check_print(&end, "event 1 end reason unrecorded" TAIL0);
    end.arg = 7;
    check_print(&end, "event 1 end reason 7" TAIL0);
    check_print(&bad, "event 1 unknown kind 200" TAIL0);
}

static void test_print_is_cut_to_the_buffer(void)
{
    PbEvent e = valid(PB_EVENT_PIO_IN);
    char whole[512];
    int n = pb_event_print(&e, whole, sizeof(whole));

    pb_check_u64(pb_event_print(&e, NULL, 0), n);
    for (int len = 1; len <= n + 1; len++) {
        char *text = malloc(len);      /* so that ASan sees one byte more */

        pb_check_u64(pb_event_print(&e, text, len), n);
        pb_check_u64(strlen(text), len - 1);
        pb_check(memcmp(text, whole, len - 1) == 0);
        free(text);
    }
}

static void test_digest_has_known_values(void)
{
    pb_check_u64(pb_digest_mix(PB_DIGEST_START, 0), 0x2e72b465600b6cb4);
    pb_check_u64(pb_digest_mix(PB_DIGEST_START, 1), 0x2f21048d4e054889);
    pb_check_u64(pb_digest_bytes(PB_DIGEST_START, "pbkvm", 5),
                 0x5073c6bf54de545e);
    pb_check_u64(pb_digest_bytes(PB_DIGEST_START, "0123456789abcdef!", 17),
                 0x5fa21fe104366300);
}

static void test_digest_of_nothing_is_unchanged(void)
{
    pb_check_u64(pb_digest_bytes(5, NULL, 0), 5);
}

static void test_digest_of_eight_bytes_is_their_number(void)
{
    pb_check_u64(pb_digest_bytes(3, "\x08\x07\x06\x05\x04\x03\x02\x01", 8),
                 pb_digest_mix(3, 0x0102030405060708));
    pb_check_u64(pb_digest_bytes(3, "\x02\x01", 2), pb_digest_mix(3, 0x0102));
}

static void test_digest_depends_on_order(void)
{
    uint64_t ab = pb_digest_mix(pb_digest_mix(PB_DIGEST_START, 1), 2);
    uint64_t ba = pb_digest_mix(pb_digest_mix(PB_DIGEST_START, 2), 1);

    pb_check(ab != ba);
}

int main(void)
{
    static const PbTest tests[] = {
        PB_TEST(layout_is_fixed),
        PB_TEST(kinds_of_version_1_keep_their_numbers),
        PB_TEST(unknown_kind_has_a_name),
        PB_TEST(only_positions_are_async),
        PB_TEST(kinds_come_in_groups),
        PB_TEST(valid_event_of_each_kind_passes),
        PB_TEST(seq_must_follow),
        PB_TEST(unknown_kind_is_refused),
        PB_TEST(size_must_suit_the_kind),
        PB_TEST(arg_must_suit_the_kind),
        PB_TEST(unused_body_must_be_zero),
        PB_TEST(slice_is_whole_words),
        PB_TEST(pio_without_elements_is_refused),
        PB_TEST(pio_data_beyond_count_must_be_zero),
        PB_TEST(mmio_data_beyond_size_must_be_zero),
        PB_TEST(msr_fault_is_a_flag),
        PB_TEST(empty_change_is_refused),
        PB_TEST(payload_is_limited),
        PB_TEST(huge_pio_count_does_not_overflow),
        PB_TEST(payload_follows_what_does_not_fit),
        PB_TEST(other_kinds_have_no_payload),
        PB_TEST(extra_slots_round_up),
        PB_TEST(print_of_each_kind),
        PB_TEST(print_shows_the_common_fields),
        PB_TEST(print_of_special_cases),
        PB_TEST(print_is_cut_to_the_buffer),
        PB_TEST(digest_has_known_values),
        PB_TEST(digest_of_nothing_is_unchanged),
        PB_TEST(digest_of_eight_bytes_is_their_number),
        PB_TEST(digest_depends_on_order),
    };

    return pb_tap_run(tests, sizeof(tests) / sizeof(tests[0]));
}
