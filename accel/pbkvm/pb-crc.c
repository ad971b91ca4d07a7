/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-crc.c: CRC-32C. */
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "pb-crc.h"
#include "pb-mem.h"

#define POLYNOMIAL 0x82f63b78u        /* bits reversed */

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
__attribute__((target("sse4.2")))
static uint32_t with_instruction(uint32_t crc, const uint8_t *p, size_t len)
{
    uint64_t c = ~crc, word;

    for (; len >= 8; len -= 8, p += 8) {
        memcpy(&word, p, 8);
        c = __builtin_ia32_crc32di(c, word);
    }
    while (len--) {
        c = __builtin_ia32_crc32qi(c, *p++);
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
    uint64_t word[64];
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
