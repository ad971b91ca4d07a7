/* SPDX-License-Identifier: GPL-2.0-or-later */
/* symbols-test.c: names and addresses, out of files nobody vouches for. */
#include <elf.h>
#include <sys/mman.h>

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

/* The same of a 64-bit guest. */
typedef struct Vmlinux64 {
    Elf64_Ehdr head;
    Elf64_Shdr section[MAX_SECTIONS];
    Elf64_Sym symbol[2][2];
    char names[32];
} Vmlinux64;

#define PANIC64 0xffffffff81000000ull

static Vmlinux64 vmlinux64(void)
{
    Vmlinux64 v = {
        .head = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3,
                               ELFCLASS64, ELFDATA2LSB },
                  .e_shoff = offsetof(Vmlinux64, section),
                  .e_shnum = MAX_SECTIONS },
        .section[1] = { .sh_type = SHT_SYMTAB, .sh_link = 3,
                        .sh_offset = offsetof(Vmlinux64, symbol[0]),
                        .sh_size = sizeof(v.symbol[0]) },
        .section[2] = { .sh_type = SHT_SYMTAB, .sh_link = 3,
                        .sh_offset = offsetof(Vmlinux64, symbol[1]),
                        .sh_size = sizeof(v.symbol[1]) },
        .section[3] = { .sh_type = SHT_STRTAB,
                        .sh_offset = offsetof(Vmlinux64, names),
                        .sh_size = sizeof(v.names) },
        .symbol = { { { .st_name = 1, .st_value = PANIC64, .st_shndx = 1 },
                      { .st_name = 7, .st_value = PANIC64 + 16,
                        .st_shndx = 1 } },
                    { { .st_name = 11, .st_value = 3, .st_shndx = 1 } } },
        .names = "\0panic\0die\0late",
    };

    return v;
}

/* 0: not found. */
static uint64_t find(const void *file, size_t len, const char *name)
{
    uint64_t addr = 0;

    return pb_symbol_find(file, len, name, &addr) ? addr : 0;
}

static uint64_t in_text(const char *text, const char *name)
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

static void test_map_has_addresses_of_64_bits(void)
{
    const char *map = "ffffffff81000000 T _text\nffffffff81032140 T panic\n"
                      "FFFFFFFF81032160 D last\nc1032170 t short";

    pb_check_u64(in_text(map, "panic"), 0xffffffff81032140);
    pb_check_u64(in_text(map, "last"), 0xffffffff81032160);
    pb_check_u64(in_text(map, "short"), 0xc1032170);
    pb_check_u64(in_text(map, "anic"), 0);
    pb_check_u64(in_text("81032140 T panic", "81032140 T panic"), 0);
    pb_check_u64(in_text("fffffff81032140 T panic\n", "panic"), 0);
    pb_check_u64(in_text("0xffffff81032140 T panic\n", "panic"), 0);
    pb_check_u64(in_text("-fffffff81032140 T panic\n", "panic"), 0);
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

static void test_elf64_tells_a_whole_name(void)
{
    Vmlinux64 v = vmlinux64();

    pb_check_u64(find(&v, sizeof(v), "panic"), PANIC64);
    pb_check_u64(find(&v, sizeof(v), "die"), PANIC64 + 16);
    pb_check_u64(find(&v, sizeof(v), "pani"), 0);
    pb_check_u64(find(&v, sizeof(v), "late"), 0);
    v.symbol[0][0].st_shndx = SHN_UNDEF;
    pb_check_u64(find(&v, sizeof(v), "panic"), 0);
    v.section[1].sh_type = SHT_NOTE;
    pb_check_u64(find(&v, sizeof(v), "late"), 3);
}

static void test_elf_of_another_class_is_refused(void)
{
    Vmlinux64 wide = vmlinux64();
    Vmlinux v = vmlinux();

    v.head.e_ident[EI_CLASS] = ELFCLASSNONE;
    pb_check_u64(find(&v, sizeof(v), "panic"), 0);
    v.head.e_ident[EI_CLASS] = ELFCLASS64;
    pb_check_u64(find(&v, sizeof(v), "panic"), 0);
    wide.head.e_ident[EI_CLASS] = ELFCLASSNONE;
    pb_check_u64(find(&wide, sizeof(wide), "panic"), 0);
    wide.head.e_ident[EI_CLASS] = ELFCLASS32;
    pb_check_u64(find(&wide, sizeof(wide), "panic"), 0);
}

static void test_elf64_that_points_outside_is_refused(void)
{
    Vmlinux64 v = vmlinux64();

    v.symbol[0][0].st_name = sizeof(v.names) - 3;
    pb_check_u64(find(&v, sizeof(v), "panic"), 0);
    v.symbol[0][0].st_name = UINT32_MAX;
    pb_check_u64(find(&v, sizeof(v), "panic"), 0);
    v = vmlinux64();
    v.section[1].sh_link = MAX_SECTIONS;
    pb_check_u64(find(&v, sizeof(v), "panic"), 0);
    v = vmlinux64();
    v.head.e_shnum = 3;                              /* less the names */
    pb_check_u64(find(&v, sizeof(v), "panic"), 0);
    v = vmlinux64();
    v.section[3].sh_size = 6;                        /* less the NUL */
    pb_check_u64(find(&v, sizeof(v), "panic"), 0);
    v = vmlinux64();
    v.section[3].sh_offset = UINT64_MAX - 15;
    pb_check_u64(find(&v, sizeof(v), "panic"), 0);
    v = vmlinux64();
    v.section[3].sh_size = UINT64_MAX - 15;
    pb_check_u64(find(&v, sizeof(v), "panic"), 0);
    v = vmlinux64();
    v.section[1].sh_size = UINT64_MAX - 15;
    pb_check_u64(find(&v, sizeof(v), "panic"), 0);
    v = vmlinux64();
    v.head.e_shoff = UINT64_MAX - 15;
    pb_check_u64(find(&v, sizeof(v), "panic"), 0);
}

/* Right before memory that kills who reads it. */
static uint8_t *before_the_end(const void *file, size_t len)
{
    const size_t page = 4096;
    static uint8_t *pages;

    if (!pages) {
        pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        pb_check(pages != MAP_FAILED &&
                 mprotect(pages + page, page, PROT_NONE) == 0);
    }
    return memcpy(pages + page - len, file, len);
}

static void test_elf64_cut_short_is_not_read_beyond_its_end(void)
{
    Vmlinux64 v = vmlinux64();
    size_t len;

    for (len = 0; len < sizeof(v); len++) {
        pb_check_u64(find(before_the_end(&v, len), len, "panic"), 0);
    }
    pb_check_u64(find(before_the_end(&v, len), len, "panic"), PANIC64);
}

/* Each byte, and each with the one before it. */
static void test_damaged_elf64_is_not_read_beyond_its_end(void)
{
    static const uint8_t damage[] = { 0x01, 0x08, 0x10, 0x80, 0xff };
    Vmlinux64 v = vmlinux64();
    unsigned i, found = 0, tries = 0;
    size_t at;

    for (at = 0; at < sizeof(v); at++) {
        for (i = 0; i < 2 * sizeof(damage); i++) {
            uint8_t *file = before_the_end(&v, sizeof(v));

            file[at] ^= damage[i / 2];
            if (i % 2 && at) {
                file[at - 1] ^= damage[i / 2];
            }
            found += find(file, sizeof(v), "panic") == PANIC64;
            tries++;
        }
    }
    pb_check(found > 0 && found < tries);
}

int main(void)
{
    static const PbTest tests[] = {
        PB_TEST(map_tells_a_whole_name),
        PB_TEST(map_with_a_bad_address_is_refused),
        PB_TEST(map_has_addresses_of_64_bits),
        PB_TEST(elf_tells_a_whole_name),
        PB_TEST(elf_has_one_table),
        PB_TEST(elf_that_points_outside_is_refused),
        PB_TEST(elf64_tells_a_whole_name),
        PB_TEST(elf_of_another_class_is_refused),
        PB_TEST(elf64_that_points_outside_is_refused),
        PB_TEST(elf64_cut_short_is_not_read_beyond_its_end),
        PB_TEST(damaged_elf64_is_not_read_beyond_its_end),
    };

    return pb_tap_run(tests, sizeof(tests) / sizeof(tests[0]));
}
