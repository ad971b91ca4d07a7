/* SPDX-License-Identifier: GPL-2.0-or-later */
/* symbols-test.c: names and addresses, out of files nobody vouches for. */
#include <elf.h>

#include "pb-symbols.h"
#include "pb-tap.h"

#define MAX_SECTIONS 4

/* A vmlinux as far as it matters: sections 1 and 2 have symbols, 3 names. */
typedef struct Vmlinux {
    Elf32_Ehdr head;
    Elf32_Shdr section[MAX_SECTIONS];
    Elf32_Sym symbol[2][2];
    char names[32];
} Vmlinux;

static Vmlinux vmlinux(void)
{
    Vmlinux v = {
        .head = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3,
                               ELFCLASS32, ELFDATA2LSB },
                  .e_shoff = offsetof(Vmlinux, section),
                  .e_shnum = MAX_SECTIONS },
        .section[1] = { .sh_type = SHT_SYMTAB, .sh_link = 3,
                        .sh_offset = offsetof(Vmlinux, symbol[0]),
                        .sh_size = sizeof(v.symbol[0]) },
        .section[2] = { .sh_type = SHT_SYMTAB, .sh_link = 3,
                        .sh_offset = offsetof(Vmlinux, symbol[1]),
                        .sh_size = sizeof(v.symbol[1]) },
        .section[3] = { .sh_type = SHT_STRTAB,
                        .sh_offset = offsetof(Vmlinux, names),
                        .sh_size = sizeof(v.names) },
        .symbol = { { { .st_name = 1, .st_value = 0xc1000000, .st_shndx = 1 },
                      { .st_name = 7, .st_value = 0xc1000010,
                        .st_shndx = 1 } },
                    { { .st_name = 11, .st_value = 3, .st_shndx = 1 } } },
        .names = "\0panic\0die\0late",
    };

    return v;
}

/* 0: not found. */
static uint32_t find(const void *file, size_t len, const char *name)
{
    uint32_t addr = 0;

    return pb_symbol_find(file, len, name, &addr) ? addr : 0;
}

static uint32_t in_text(const char *text, const char *name)
{
    return find(text, strlen(text), name);
}

static void test_map_tells_a_whole_name(void)
{
    const char *map = "c1000000 T _text\nc1032140 T panic\n"
                      "c1032150 t panic_on_oops\nC1032160 D last";

    pb_check_u64(in_text(map, "panic"), 0xc1032140);
    pb_check_u64(in_text(map, "last"), 0xc1032160);
    pb_check_u64(in_text(map, "_text"), 0xc1000000);
    pb_check_u64(in_text(map, "pani"), 0);
    pb_check_u64(in_text(map, "anic"), 0);
    pb_check_u64(in_text(map, "no_such_name_and_longer_than_the_line"), 0);
    pb_check_u64(in_text("", "panic"), 0);
}

static void test_map_with_a_bad_address_is_refused(void)
{
    pb_check_u64(in_text("-0000001 T panic\n", "panic"), 0);
    pb_check_u64(in_text("+1032140 T panic\n", "panic"), 0);
    pb_check_u64(in_text("     140 T panic\n", "panic"), 0);
    pb_check_u64(in_text("0x103214 T panic\n", "panic"), 0);
    pb_check_u64(in_text("c10_2140 T panic\n", "panic"), 0);
}

static void test_elf_tells_a_whole_name(void)
{
    Vmlinux v = vmlinux();

    pb_check_u64(find(&v, sizeof(v), "panic"), 0xc1000000);
    pb_check_u64(find(&v, sizeof(v), "die"), 0xc1000010);
    pb_check_u64(find(&v, sizeof(v), "pani"), 0);
    v.symbol[0][0].st_shndx = SHN_UNDEF;
    pb_check_u64(find(&v, sizeof(v), "panic"), 0);
}

/* Else 65535 tables that overlap would be searched, one after the other. */
static void test_elf_has_one_table(void)
{
    Vmlinux v = vmlinux();

    pb_check_u64(find(&v, sizeof(v), "late"), 0);
    v.section[1].sh_type = SHT_NOTE;
    pb_check_u64(find(&v, sizeof(v), "late"), 3);
}

static void test_elf_that_points_outside_is_refused(void)
{
    Vmlinux v = vmlinux();
    size_t len;

    /* The names are last. */
    for (len = 0; len < sizeof(v); len++) {
        pb_check_u64(find(&v, len, "panic"), 0);
    }
    v.symbol[0][0].st_name = sizeof(v.names) - 3;
    pb_check_u64(find(&v, sizeof(v), "panic"), 0);
    v.symbol[0][0].st_name = UINT32_MAX;
    pb_check_u64(find(&v, sizeof(v), "panic"), 0);
    v = vmlinux();
    v.section[1].sh_link = MAX_SECTIONS;
    pb_check_u64(find(&v, sizeof(v), "panic"), 0);
    v = vmlinux();
    v.section[3].sh_offset = UINT32_MAX;
    pb_check_u64(find(&v, sizeof(v), "panic"), 0);
    v = vmlinux();
    v.head.e_shoff = UINT32_MAX;
    pb_check_u64(find(&v, sizeof(v), "panic"), 0);
}

int main(void)
{
    static const PbTest tests[] = {
        PB_TEST(map_tells_a_whole_name),
        PB_TEST(map_with_a_bad_address_is_refused),
        PB_TEST(elf_tells_a_whole_name),
        PB_TEST(elf_has_one_table),
        PB_TEST(elf_that_points_outside_is_refused),
    };

    return pb_tap_run(tests, sizeof(tests) / sizeof(tests[0]));
}
