/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-tap.h: the unit tests' helper; prints the Test Anything Protocol.
 *
 * C11 only.  One test is one function that claims one behaviour by its name:
 *
 *   static void test_new_ring_is_empty(void) { ...; pb_check(x); }
 *   int main(void)
 *   {
 *       static const PbTest tests[] = { PB_TEST(new_ring_is_empty) };
 *       return pb_tap_run(tests, sizeof(tests) / sizeof(tests[0]));
 *   }
 *
 * A failed check is printed and the test goes on; checks may be made by any
 * thread.  A test that hangs is killed by SIGALRM after PB_TAP_SECONDS.
 * Included by one file of a program only.
 */
#ifndef PB_TAP_H
#define PB_TAP_H

#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef PB_TAP_SECONDS
#define PB_TAP_SECONDS 120
#endif

/* Failed checks of one test that are printed. */
#define PB_TAP_SHOWN 10

typedef struct PbTest {
    const char *name;
    void (*run)(void);
} PbTest;

#define PB_TEST(name) { #name, test_##name }

static atomic_int pb_tap_failures;        /* of the test that runs */
static const char *pb_tap_skipped;

#define pb_check(x) \
    ((void)pb_tap_check((x), __FILE__, __LINE__, #x))
#define pb_check_u64(got, expected) \
    pb_tap_check_u64((got), (expected), __FILE__, __LINE__, #got)
#define pb_check_str(got, expected) \
    pb_tap_check_str((got), (expected), __FILE__, __LINE__, #got)

static inline bool pb_tap_check(bool ok, const char *file, int line,
                                const char *text)
{
    if (!ok && atomic_fetch_add(&pb_tap_failures, 1) < PB_TAP_SHOWN) {
        printf("# %s:%d: failed: %s\n", file, line, text);
    }
    return ok;
}

static inline void pb_tap_check_u64(uint64_t got, uint64_t expected,
                                    const char *file, int line,
                                    const char *text)
{
    char why[512];

    snprintf(why, sizeof(why), "%.300s: expected 0x%" PRIx64 ", got 0x%"
             PRIx64, text, expected, got);
    pb_tap_check(got == expected, file, line, why);
}

static inline void pb_tap_check_str(const char *got, const char *expected,
                                    const char *file, int line,
                                    const char *text)
{
    char why[2048];

    got = got ? got : "(null)";
    expected = expected ? expected : "(null)";
    snprintf(why, sizeof(why), "%.300s: expected \"%.800s\", got \"%.800s\"",
             text, expected, got);
    pb_tap_check(strcmp(got, expected) == 0, file, line, why);
}

/* The running test cannot be made here; it must return after this. */
static inline void pb_skip(const char *why)
{
    pb_tap_skipped = why;
}

static inline int pb_tap_run(const PbTest *tests, int n)
{
    int failed = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("1..%d\n", n);
    for (int i = 0; i < n; i++) {
        bool ok;

        atomic_store(&pb_tap_failures, 0);
        pb_tap_skipped = NULL;
        alarm(PB_TAP_SECONDS);
        tests[i].run();
        alarm(0);
        ok = atomic_load(&pb_tap_failures) == 0;
        failed += !ok;
        printf("%s %d %s%s%s\n", ok ? "ok" : "not ok", i + 1, tests[i].name,
               pb_tap_skipped ? " # SKIP " : "",
               pb_tap_skipped ? pb_tap_skipped : "");
    }
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif /* PB_TAP_H */
