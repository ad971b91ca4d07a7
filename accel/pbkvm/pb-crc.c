/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-crc.c: CRC-32C. */
#include <isa-l/crc.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "pb-crc.h"
#include "pb-mem.h"

#define POLYNOMIAL 0x82f63b78u        /* bits reversed */

/* From here on ISA-L is faster, which needs some ns to begin. */
#define LONG 512u

/* The word of an event whose upper half its own checksum is. */
#define CRC_WORD (offsetof(PbEvent, crc) / 8)

_Static_assert(offsetof(PbEvent, crc) % 8 == 4, "PbEvent layout is fixed");

/* In two page table entries. */
#define PTES_PRESENT (PB_PTE_PRESENT * 0x100000001ull)

static uint32_t table[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void prepare(void)
{
    unsigned i, bit;

    for (i = 0; i < 256; i++) {
        table[i] = i;
        for (bit = 0; bit < 8; bit++) {
            table[i] = table[i] >> 1 ^ (table[i] & 1 ? POLYNOMIAL : 0);
        }
    }
}

uint32_t pb_crc_plain(uint32_t crc, const void *data, size_t len)
{
    const uint8_t *p = data;

    pthread_once(&once, prepare);
    crc = ~crc;
    while (len--) {
        crc = crc >> 8 ^ table[(crc ^ *p++) & 0xff];
    }
    return ~crc;
}

#ifdef __x86_64__
/*
 * The instruction's result comes three cycles after it began, and one can
 * begin in each: so a position, which is short, has three checksums at a time,
 * of a lane each.  A lane's is moved past the bytes behind it by a
 * multiplication without carries.  (Kounavis and Berry, A Systematic Approach
 * to Building High Performance Software-based CRC Generators, ISCC 2005;
 * Gopal and others, Fast CRC Computation for iSCSI Polynomial Using CRC32
 * Instruction, Intel 2011.)
 */
#define LANE        56u               /* a third of a position */

/* x^(8n - 33) modulo the polynomial, bits reversed: one comes from reversed
   products being a bit short, 32 from the instruction that reduces them. */
#define PAST_ONE    0x1c291d04u       /* n = LANE */
#define PAST_TWO    0x47db8317u       /* n = 2 * LANE */

static inline __attribute__((target("sse4.2")))
uint64_t add_word(uint64_t c, const uint8_t *p)
{
    uint64_t word;

    memcpy(&word, p, 8);
    return _mm_crc32_u64(c, word);
}

static inline __attribute__((target("sse4.2,pclmul")))
__m128i times(uint32_t c, uint32_t factor)
{
    return _mm_clmulepi64_si128(_mm_cvtsi32_si128(c),
                                _mm_cvtsi32_si128(factor), 0);
}

/* The register after @c has gone over three lanes at @p. */
static inline __attribute__((target("sse4.2,pclmul")))
uint32_t three_lanes(uint32_t c, const uint8_t *p)
{
    uint64_t first = c, second = 0, third = 0;
    __m128i moved;
    size_t i;

#pragma GCC unroll 7
    for (i = 0; i < LANE; i += 8) {
        first = add_word(first, p + i);
        second = add_word(second, p + LANE + i);
        third = add_word(third, p + 2 * LANE + i);
    }
    moved = _mm_xor_si128(times(first, PAST_TWO), times(second, PAST_ONE));
    return third ^ _mm_crc32_u64(0, _mm_cvtsi128_si64(moved));
}

static __attribute__((target("sse4.2")))
uint32_t with_instruction(uint32_t crc, const uint8_t *p, size_t len)
{
    uint64_t c = ~crc;

    if (__builtin_cpu_supports("pclmul")) {
        for (; len >= 3 * LANE; len -= 3 * LANE, p += 3 * LANE) {
            c = three_lanes(c, p);
        }
    }
    for (; len >= 8; len -= 8, p += 8) {
        c = add_word(c, p);
    }
    while (len--) {
        c = _mm_crc32_u8(c, *p++);
    }
    return ~(uint32_t)c;
}

/* Word by word: what was just stored so is loaded without waiting. */
__attribute__((target("sse4.2")))
static uint32_t event_with_instruction(const PbEvent *e)
{
    uint64_t c = ~0u, word;
    unsigned i;

#pragma GCC unroll 8
    for (i = 0; i < PB_EVENT_SIZE / 8; i++) {
        memcpy(&word, (const uint8_t *)e + i * 8, 8);
        c = __builtin_ia32_crc32di(c, i == CRC_WORD ? (uint32_t)word : word);
    }
    return ~(uint32_t)c;
}
#endif

uint32_t pb_crc(uint32_t crc, const void *data, size_t len)
{
    if (len >= LONG && len <= INT_MAX) {
        return ~crc32_iscsi((uint8_t *)data, len, ~crc);
    }
#ifdef __x86_64__
    if (__builtin_cpu_supports("sse4.2")) {
        return with_instruction(crc, data, len);
    }
#endif
    return pb_crc_plain(crc, data, len);
}

uint32_t pb_crc_ram(const void *data, size_t len)
{
    const uint8_t *p = data;
    uint64_t word[512];
    uint32_t crc = 0;
    size_t i, n;

    for (; len; len -= n, p += n) {
        n = len < sizeof(word) ? len : sizeof(word);
        memcpy(word, p, n);
        for (i = 0; i < n / 8; i++) {
            word[i] &= ~((word[i] & PTES_PRESENT) * PB_PTE_USED);
        }
        crc = pb_crc(crc, word, n);
    }
    return crc;
}

static uint32_t without_payload(const PbEvent *e)
{
    PbEvent bare;

#ifdef __x86_64__
    if (__builtin_cpu_supports("sse4.2")) {
        return event_with_instruction(e);
    }
#endif
    bare = *e;
    bare.crc = 0;
    return pb_crc_plain(0, &bare, sizeof(bare));
}

uint32_t pb_crc_event(const PbEvent *e, const void *payload)
{
    uint32_t crc = without_payload(e);

    return payload ? pb_crc(crc, payload, pb_event_payload_len(e)) : crc;
}
