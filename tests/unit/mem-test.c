/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mem-test.c: the Backup's memory, and what is where in a guest's. */
#include <sys/mman.h>

#include "pb-mem-log.h"
#include "pb-tap.h"

#define HUGE_PAGE (2u << 20)
#define PAGE      4096u

/* @size bytes whose first is @at bytes behind the beginning of a huge page. */
static uint8_t *memory_at(size_t at, size_t size)
{
    uint8_t *p = mmap(NULL, size + 2 * HUGE_PAGE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED) {
        return NULL;
    }
    return (uint8_t *)(((uintptr_t)p / HUGE_PAGE + 1) * HUGE_PAGE + at);
}

static void check_twin(size_t at, size_t size)
{
    PbMem m = { .blocks = 0 }, twin;
    uint8_t *host = memory_at(at, size);

    if (!host) {
        pb_check(host);
        return;
    }
    host[0] = 1;
    host[size - 1] = 2;
    pb_mem_add_block(&m, "ram", host, size);
    pb_check(pb_mem_twin(&twin, &m) == 0);
    pb_check(twin.block[0].host != host);
    pb_check_u64(twin.block[0].size, size);
    pb_check(twin.block[0].host[0] == 1 && twin.block[0].host[size - 1] == 2);
    pb_check(memcmp(twin.block[0].host, host, size) == 0);
    twin.block[0].host[0] = 3;
    pb_check(host[0] == 1);
    if (size >= HUGE_PAGE) {
        pb_check_u64((uintptr_t)twin.block[0].host % HUGE_PAGE, at);
    }
    pb_mem_destroy(&twin);
}

static void test_twin_is_a_copy_as_far_from_a_huge_page(void)
{
    check_twin(0, 3 * HUGE_PAGE);
    check_twin(PAGE, HUGE_PAGE);
    check_twin(HUGE_PAGE - PAGE, HUGE_PAGE + PAGE);
    check_twin(PAGE, PAGE);
}

/* What is in its log, and nothing else. */
static void test_logged_pages_are_as_in_the_copy(void)
{
    enum { PAGES = 200, LAST = PAGES * PAGE };
    uint8_t *host = memory_at(0, LAST + 8);
    PbMem m = { .blocks = 0 }, copy;
    unsigned i;

    if (!host) {
        pb_check(host);
        return;
    }
    memset(host, 1, LAST + 8);
    pb_mem_add_block(&m, "ram", host, LAST + 8);
    pb_check(pb_mem_twin(&copy, &m) == 0);
    pb_check(pb_mem_log_new(&copy) && pb_mem_log_new(&m));
    memset(host, 2, LAST + 8);
    pb_mem_log_write(&m, host + 3 * PAGE - 1, 2);          /* 2 and 3 */
    pb_mem_log_write(&m, host + 63 * PAGE, 2 * PAGE);      /* 63 and 64 */
    pb_mem_log_write(&m, host + LAST + 7, 1);              /* a part of one */
    pb_mem_log_write(&m, &copy, 1);                        /* elsewhere */
    pb_mem_log_write(&m, host, 0);
    pb_mem_log_add(&copy, &m);
    pb_mem_restore(&m, &copy, &copy);
    for (i = 0; i <= PAGES; i++) {
        bool logged = i == 2 || i == 3 || i == 63 || i == 64 || i == PAGES;

        pb_check_u64(host[i * PAGE], logged ? 1 : 2);
    }
    pb_check(host[LAST + 7] == 1);
    memset(host, 3, LAST + 8);
    pb_mem_restore(&m, &copy, &copy);
    pb_check(host[2 * PAGE] == 3);                         /* empty by now */
    pb_mem_log_add(&copy, &m);
    pb_mem_log_clear(&m);
    pb_mem_log_add(&copy, &m);
    pb_mem_restore(&m, &copy, &copy);
    pb_check(host[2 * PAGE] == 1 && host[4 * PAGE] == 3);
    pb_mem_log_free(&m);
    pb_mem_destroy(&copy);
}

/* Which holds only what was not as in the whole copy when it was made. */
static void test_part_of_a_copy_is_enough(void)
{
    enum { PAGES = 130 };
    uint8_t *host = memory_at(0, PAGES * PAGE);
    PbMem m = { .blocks = 0 }, whole, part;
    unsigned i;

    if (!host) {
        pb_check(host);
        return;
    }
    memset(host, 1, PAGES * PAGE);
    pb_mem_add_block(&m, "ram", host, PAGES * PAGE);
    pb_check(pb_mem_twin(&whole, &m) == 0 && pb_mem_log_new(&whole) &&
             pb_mem_log_new(&m));
    pb_check_u64(pb_mem_logged(&whole), 0);
    host[PAGE] = host[129 * PAGE] = 2;
    pb_mem_log_write(&whole, whole.block[0].host + PAGE, 1);
    pb_mem_log_write(&whole, whole.block[0].host + 129 * PAGE, 1);
    pb_check_u64(pb_mem_logged(&whole), 2 * PAGE);
    pb_check(pb_mem_copy_part(&part, &m, &whole) == 0);
    pb_check_u64(pb_mem_touched(&part), 2 * PAGE);
    for (i = 0; i < PAGES; i++) {
        host[i * PAGE] = 3;
        pb_mem_log_write(&part, part.block[0].host + i * PAGE, 1);
    }
    pb_mem_restore(&m, &part, &whole);
    for (i = 0; i < PAGES; i++) {
        pb_check_u64(host[i * PAGE], i == 1 || i == 129 ? 2 : 1);
    }
    pb_mem_log_free(&m);
    pb_mem_destroy(&part);
    pb_mem_destroy(&whole);
}

/* And read as zero again; a page that holds anything stays. */
static void test_zero_pages_are_given_back(void)
{
    enum { PAGES = HUGE_PAGE / PAGE - 12, ZERO = PAGES - 100, ONE = 100 };
    PbMem m = { .blocks = 0 }, twin;
    PbMemAt at = { .block = 0 };
    uint8_t *host = memory_at(0, PAGES * PAGE), *mine;
    uint64_t dropped = 0;

    if (!host) {
        pb_check(host);
        return;
    }
    pb_mem_add_block(&m, "ram", host, PAGES * PAGE);
    pb_check(pb_mem_twin(&twin, &m) == 0);
    mine = twin.block[0].host;
    memset(mine, 0, ZERO * PAGE);
    mine[ONE * PAGE + PAGE - 1] = 1;
    mine[(PAGES - 1) * PAGE] = 2;
    pb_check(pb_mem_drop_zero(&twin, &at, 200 * PAGE, &dropped));
    pb_check_u64(dropped, 200 - 1);
    pb_check_u64(pb_mem_touched(&twin), (ZERO + 1 - dropped) * PAGE);
    pb_check(!pb_mem_drop_zero(&twin, &at, UINT64_MAX, &dropped));
    pb_check_u64(dropped, ZERO - 1);
    pb_check_u64(pb_mem_touched(&twin), 2 * PAGE);
    host[ONE * PAGE + PAGE - 1] = 1;
    host[(PAGES - 1) * PAGE] = 2;
    pb_check(memcmp(mine, host, PAGES * PAGE) == 0);
    pb_mem_destroy(&twin);
}

/* Also what was written in one alone, and pages that nobody has touched. */
static void test_memory_becomes_its_twins(void)
{
    enum { PAGES = 300, LAST = PAGES * PAGE + 8 };
    PbMem m = { .blocks = 0 }, twin;
    uint8_t *host = memory_at(0, LAST), *mine;

    if (!host) {
        pb_check(host);
        return;
    }
    pb_mem_add_block(&m, "ram", host, LAST);
    m.block[0].sparse = true;
    pb_check(pb_mem_twin(&twin, &m) == 0);
    mine = twin.block[0].host;
    mine[7 * PAGE + 1] = 1;
    mine[LAST - 1] = 2;
    host[9 * PAGE] = 3;
    host[7 * PAGE] = 4;
    pb_mem_copy(&m, &twin);
    pb_check_u64(pb_mem_touched(&m), 3 * PAGE);
    pb_check(host[7 * PAGE + 1] == 1 && host[7 * PAGE] == 0 &&
             host[9 * PAGE] == 0 && host[LAST - 1] == 2);
    pb_check(memcmp(host, mine, LAST) == 0);
    pb_mem_destroy(&twin);
}

static void test_address_is_found_in_the_slot_that_covers_it(void)
{
    PbMem m = { .blocks = 0 };
    static uint8_t ram[16 * PAGE];
    const PbSlotChange low = { .gpa = 0, .size = 4 * PAGE };
    const PbSlotChange high = { .gpa = 8 * PAGE, .size = 4 * PAGE,
                                .offset = 4 * PAGE };

    pb_mem_add_block(&m, "ram", ram, sizeof(ram));
    pb_mem_set_slot(&m, 5, &low);
    pb_mem_set_slot(&m, PB_MEM_MAX_SLOTS - 1, &high);
    pb_check(pb_mem_at(&m, 0, 1) == ram);
    pb_check(pb_mem_at(&m, 8 * PAGE, 8) == ram + 4 * PAGE);
    pb_check(pb_mem_at(&m, 12 * PAGE - 1, 1) == ram + 8 * PAGE - 1);
    pb_check(pb_mem_at(&m, 12 * PAGE - 1, 2) == NULL);
    pb_check(pb_mem_at(&m, 4 * PAGE - 4, 4) == ram + 4 * PAGE - 4);
    pb_check(pb_mem_at(&m, 4 * PAGE, 1) == NULL);
    pb_check(pb_mem_at(&m, UINT64_MAX, 1) == NULL);
    pb_check(pb_mem_at(&m, 4, 4) == ram + 4);
}

int main(void)
{
    static const PbTest tests[] = {
        PB_TEST(twin_is_a_copy_as_far_from_a_huge_page),
        PB_TEST(logged_pages_are_as_in_the_copy),
        PB_TEST(part_of_a_copy_is_enough),
        PB_TEST(zero_pages_are_given_back),
        PB_TEST(memory_becomes_its_twins),
        PB_TEST(address_is_found_in_the_slot_that_covers_it),
    };

    return pb_tap_run(tests, sizeof(tests) / sizeof(tests[0]));
}
