/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz.h: what the fuzz targets share: an input is read like a tape, and a
 * broken promise ends the process as a crash does.
 *
 * One target is one file NAME-fuzz.c with LLVMFuzzerTestOneInput(); the
 * inputs it starts from are in corpus/NAME.hex.
 */
#ifndef PB_FUZZ_H
#define PB_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define fuzz_check(x)                                                   \
    do {                                                                \
        if (!(x)) {                                                     \
            fprintf(stderr, "%s:%d: broken promise: %s\n", __FILE__,    \
                    __LINE__, #x);                                      \
            abort();                                                    \
        }                                                               \
    } while (0)

typedef struct FuzzIn {
    const uint8_t *at;
    size_t left;
} FuzzIn;

/* The next @len bytes; past the end they are zero. */
static inline void fuzz_bytes(FuzzIn *in, void *to, size_t len)
{
    size_t n = len < in->left ? len : in->left;

    memset(to, 0, len);
    if (n) {
        memcpy(to, in->at, n);
    }
    in->at += n;
    in->left -= n;
}

static inline uint8_t fuzz_u8(FuzzIn *in)
{
    uint8_t v;

    fuzz_bytes(in, &v, sizeof(v));
    return v;
}

static inline uint16_t fuzz_u16(FuzzIn *in)
{
    uint16_t v;

    fuzz_bytes(in, &v, sizeof(v));
    return v;
}

static inline uint32_t fuzz_u32(FuzzIn *in)
{
    uint32_t v;

    fuzz_bytes(in, &v, sizeof(v));
    return v;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif /* PB_FUZZ_H */
