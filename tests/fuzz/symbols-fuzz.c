/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * symbols-fuzz.c: the input is a vmlinux or a System.map.  Its first byte
 * says which name is looked up.
 */
#include "fuzz.h"
#include "pb-symbols.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {
        "panic", "a", "", "name_longer_than_most_lines_of_the_file",
    };
    uint8_t *copy;
    uint64_t addr;

    if (size == 0) {
        return 0;
    }
    /* Of just that size, so that a byte too far is found. */
    copy = malloc(size - 1);
    memcpy(copy, data + 1, size - 1);
    pb_symbol_find(copy, size - 1, names[data[0] % 4], &addr);
    free(copy);
    return 0;
}
