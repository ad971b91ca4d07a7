/* SPDX-License-Identifier: GPL-2.0-or-later */
/* exit-test.c: what the guest writes, and its digest. */
#include "pb-exit.h"
#include "pb-tap.h"
#include "ring/pb-event.h"

#define DATA 4096u            /* where KVM puts an OUT's bytes */

typedef union Run {
    struct kvm_run run;
    uint8_t bytes[2 * DATA];
} Run;

static Run out(uint16_t port, uint8_t size, uint32_t count, const char *data)
{
    Run r = { .run = { .exit_reason = KVM_EXIT_IO } };

    r.run.io.direction = KVM_EXIT_IO_OUT;
    r.run.io.port = port;
    r.run.io.size = size;
    r.run.io.count = count;
    r.run.io.data_offset = DATA;
    memcpy(r.bytes + DATA, data, size * count);
    return r;
}

static Run mmio(uint64_t gpa, uint32_t len, bool is_write, uint8_t first)
{
    Run r = { .run = { .exit_reason = KVM_EXIT_MMIO } };

    r.run.mmio.phys_addr = gpa;
    r.run.mmio.len = len;
    r.run.mmio.is_write = is_write;
    r.run.mmio.data[0] = first;
    return r;
}

static uint64_t digest(Run r)
{
    return pb_digest_exit(PB_DIGEST_START, &r.run);
}

static void test_outs_and_mmio_writes_are_writes(void)
{
    Run r = out(0x70, 1, 1, "a");

    pb_check(pb_exit_is_write(&r.run));
    r.run.io.direction = KVM_EXIT_IO_IN;
    pb_check(!pb_exit_is_write(&r.run));
    r = mmio(0xb8000, 4, true, 1);
    pb_check(pb_exit_is_write(&r.run));
    r.run.mmio.is_write = 0;
    pb_check(!pb_exit_is_write(&r.run));
    r.run.exit_reason = KVM_EXIT_HLT;
    pb_check(!pb_exit_is_write(&r.run));
}

/* No two of these may be taken for each other. */
static void test_port_size_count_and_bytes_all_count(void)
{
    const Run some[] = {
        out(0x70, 1, 1, "a"), out(0x71, 1, 1, "a"), out(0x70, 1, 1, "b"),
        out(0x70, 2, 1, "a\0"), out(0x70, 2, 1, "ab"), out(0x70, 2, 1, "aB"),
        out(0x70, 4, 1, "a\0\0\0"), out(0x70, 4, 1, "abcd"),
        out(0x70, 4, 1, "abcD"), out(0x70, 1, 2, "ab"), out(0x70, 1, 2, "ba"),
        out(0x70, 1, 4, "abcd"), out(0x70, 2, 2, "abcd"),
        out(0x70, 4, 2, "abcdefgh"), out(0x70, 4, 2, "abcdefgH"),
        out(0x70, 1, 9, "abcdefghi"), out(0x70, 1, 9, "abcdefghI"),
        mmio(0x70, 4, true, 'a'), mmio(0x70, 4, true, 'b'),
        mmio(0x74, 4, true, 'a'), mmio(0x100000070, 4, true, 'a'),
    };
    const unsigned n = sizeof(some) / sizeof(some[0]);
    unsigned i, k;

    for (i = 0; i < n; i++) {
        pb_check(digest(some[i]) != PB_DIGEST_START);
        for (k = 0; k < i; k++) {
            pb_check(digest(some[i]) != digest(some[k]));
        }
    }
}

static void test_bytes_behind_the_data_do_not_count(void)
{
    Run a = out(0x3f8, 1, 1, "a"), b = a;

    memset(b.bytes + DATA + 1, 0x55, 8);
    pb_check_u64(digest(a), digest(b));
    a = out(0x3f8, 2, 1, "ab");
    b = a;
    memset(b.bytes + DATA + 2, 0x55, 8);
    pb_check_u64(digest(a), digest(b));
}

static void test_order_counts(void)
{
    const Run a = out(0x3f8, 1, 1, "a"), b = out(0x3f8, 1, 1, "b");
    uint64_t ab = pb_digest_exit(digest(a), &b.run);
    uint64_t ba = pb_digest_exit(digest(b), &a.run);

    pb_check(ab != ba);
}

/* CR8 behind that exit, with the APIC at @base. */
static uint64_t cr8_after(Run r, uint64_t base)
{
    r.run.apic_base = base;
    r.run.cr8 = 3;
    pb_exit_mind_cr8(&r.run);
    return r.run.cr8;
}

static void test_write_of_the_apics_priority_is_one_of_cr8(void)
{
    const uint64_t on = 0xfee00900, off = 0xfee00100, moved = 0xfed00900;
    const uint64_t tpr = 0xfee00080;

    pb_check_u64(cr8_after(mmio(tpr, 4, true, 0x5f), on), 5);
    pb_check_u64(cr8_after(mmio(0xfed00080, 4, true, 0x5f), moved), 5);
    pb_check_u64(cr8_after(mmio(tpr, 4, true, 0x5f), moved), 3);
    pb_check_u64(cr8_after(mmio(tpr, 4, true, 0x5f), off), 3);
    pb_check_u64(cr8_after(mmio(tpr, 4, false, 0x5f), on), 3);
    pb_check_u64(cr8_after(mmio(tpr, 1, true, 0x5f), on), 3);
    pb_check_u64(cr8_after(mmio(tpr + 0x10, 4, true, 0x5f), on), 3);
    pb_check_u64(cr8_after(out(0x80, 4, 1, "\x5f\0\0"), on), 3);
}

int main(void)
{
    static const PbTest tests[] = {
        PB_TEST(outs_and_mmio_writes_are_writes),
        PB_TEST(port_size_count_and_bytes_all_count),
        PB_TEST(bytes_behind_the_data_do_not_count),
        PB_TEST(order_counts),
        PB_TEST(write_of_the_apics_priority_is_one_of_cr8),
    };

    return pb_tap_run(tests, sizeof(tests) / sizeof(tests[0]));
}
