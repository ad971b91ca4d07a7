/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-symbols.c: the address of a name, from a vmlinux or a System.map. */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "pb-symbols.h"

/* In a System.map: "c1032140 T panic". */
#define HEX_DIGITS 8
#define BEFORE_NAME (HEX_DIGITS + 3)

typedef struct File {
    const uint8_t *bytes;
    size_t len;
    Elf32_Ehdr head;
} File;

/* Eight digits and nothing else: strtoul() would take blanks and signs. */
static bool parse_address(const char *text, uint32_t *addr)
{
    char hex[HEX_DIGITS + 1] = { 0 };

    memcpy(hex, text, HEX_DIGITS);
    if (strspn(hex, "0123456789abcdefABCDEF") != HEX_DIGITS) {
        return false;
    }
    *addr = strtoul(hex, NULL, 16);
    return true;
}

static bool in_map(const File *f, const char *name, uint32_t *addr)
{
    const char *line = (const char *)f->bytes, *end = line + f->len;
    size_t len = strlen(name);

    while (line < end) {
        const char *eol = memchr(line, '\n', end - line) ?: end;

        if ((size_t)(eol - line) == BEFORE_NAME + len &&
            line[BEFORE_NAME - 1] == ' ' &&
            !memcmp(line + BEFORE_NAME, name, len)) {
            return parse_address(line, addr);
        }
        line = eol + 1;
    }
    return false;
}

/* The part of the file that section @i says it is, if it is there. */
static const uint8_t *section(const File *f, unsigned i, Elf32_Shdr *s)
{
    uint64_t at = f->head.e_shoff + (uint64_t)i * sizeof(*s);

    if (i >= f->head.e_shnum || at + sizeof(*s) > f->len) {
        return NULL;
    }
    memcpy(s, f->bytes + at, sizeof(*s));
    return (uint64_t)s->sh_offset + s->sh_size <= f->len
           ? f->bytes + s->sh_offset : NULL;
}

static bool in_table(const File *f, const Elf32_Shdr *table,
                     const uint8_t *symbols, const char *name, uint32_t *addr)
{
    size_t i, size = strlen(name) + 1;
    Elf32_Shdr strings;
    const uint8_t *text = section(f, table->sh_link, &strings);

    for (i = 0; text && i < table->sh_size / sizeof(Elf32_Sym); i++) {
        Elf32_Sym s;

        memcpy(&s, symbols + i * sizeof(s), sizeof(s));
        if (s.st_shndx != SHN_UNDEF && s.st_name < strings.sh_size &&
            strings.sh_size - s.st_name >= size &&
            !memcmp(text + s.st_name, name, size)) {
            *addr = s.st_value;
            return true;
        }
    }
    return false;
}

/* A file has one table of symbols; to look at more could take for ever. */
static bool in_elf(const File *f, const char *name, uint32_t *addr)
{
    unsigned i;

    for (i = 0; i < f->head.e_shnum; i++) {
        Elf32_Shdr s;
        const uint8_t *data = section(f, i, &s);

        if (data && s.sh_type == SHT_SYMTAB) {
            return in_table(f, &s, data, name, addr);
        }
    }
    return false;
}

static bool is_elf32(File *f)
{
    if (f->len < sizeof(f->head)) {
        return false;
    }
    memcpy(&f->head, f->bytes, sizeof(f->head));
    return !memcmp(f->head.e_ident, ELFMAG, SELFMAG) &&
           f->head.e_ident[EI_CLASS] == ELFCLASS32 &&
           f->head.e_ident[EI_DATA] == ELFDATA2LSB;
}

bool pb_symbol_find(const void *file, size_t len, const char *name,
                    uint32_t *addr)
{
    File f = { .bytes = file, .len = len };

    return is_elf32(&f) ? in_elf(&f, name, addr) : in_map(&f, name, addr);
}
