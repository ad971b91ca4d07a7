/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-symbols.c: the address of a name, from a vmlinux or a System.map. */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "pb-symbols.h"

/* In a System.map: "c1032140 T panic", or "ffffffff81032140 T panic". */
#define BEHIND_DIGITS 3

typedef struct File {
    const uint8_t *bytes;
    size_t len;
    bool wide;                /* ELF64 */
    uint64_t sections;        /* where their headers are, */
    unsigned n;               /* and how many */
} File;

/* @digits of them and nothing else: strtoull() would take blanks and signs. */
static bool parse_address(const char *text, unsigned digits, uint64_t *addr)
{
    char hex[17] = { 0 };

    memcpy(hex, text, digits);
    if (strspn(hex, "0123456789abcdefABCDEF") != digits) {
        return false;
    }
    *addr = strtoull(hex, NULL, 16);
    return true;
}

static bool in_line(const char *line, size_t len, unsigned digits,
                    const char *name, uint64_t *addr)
{
    size_t before = digits + BEHIND_DIGITS;

    return len == before + strlen(name) && line[before - 1] == ' ' &&
           !memcmp(line + before, name, strlen(name)) &&
           parse_address(line, digits, addr);
}

static bool in_map(const File *f, const char *name, uint64_t *addr)
{
    const char *line = (const char *)f->bytes, *end = line + f->len;

    while (line < end) {
        const char *eol = memchr(line, '\n', end - line) ?: end;

        if (in_line(line, eol - line, 8, name, addr) ||
            in_line(line, eol - line, 16, name, addr)) {
            return true;
        }
        line = eol + 1;
    }
    return false;
}

/* The part of the file that section @i says it is, if it is there. */
static const uint8_t *section(const File *f, unsigned i, Elf64_Shdr *s)
{
    size_t size = f->wide ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr);
    uint64_t at = f->sections + (uint64_t)i * size;
    Elf32_Shdr narrow;

    if (i >= f->n || at > f->len || size > f->len - at) {
        return NULL;
    }
    if (f->wide) {
        memcpy(s, f->bytes + at, size);
    } else {
        memcpy(&narrow, f->bytes + at, size);
        *s = (Elf64_Shdr) {
            .sh_type = narrow.sh_type, .sh_link = narrow.sh_link,
            .sh_offset = narrow.sh_offset, .sh_size = narrow.sh_size,
        };
    }
    return s->sh_offset <= f->len && s->sh_size <= f->len - s->sh_offset
           ? f->bytes + s->sh_offset : NULL;
}

static Elf64_Sym symbol_at(const File *f, const uint8_t *symbols, size_t i)
{
    Elf32_Sym narrow;
    Elf64_Sym s;

    if (f->wide) {
        memcpy(&s, symbols + i * sizeof(s), sizeof(s));
        return s;
    }
    memcpy(&narrow, symbols + i * sizeof(narrow), sizeof(narrow));
    return (Elf64_Sym) {
        .st_name = narrow.st_name, .st_shndx = narrow.st_shndx,
        .st_value = narrow.st_value,
    };
}

static bool in_table(const File *f, const Elf64_Shdr *table,
                     const uint8_t *symbols, const char *name, uint64_t *addr)
{
    size_t i, size = strlen(name) + 1;
    size_t each = f->wide ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);
    Elf64_Shdr strings;
    const uint8_t *text = section(f, table->sh_link, &strings);

    for (i = 0; text && i < table->sh_size / each; i++) {
        Elf64_Sym s = symbol_at(f, symbols, i);

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
static bool in_elf(const File *f, const char *name, uint64_t *addr)
{
    unsigned i;

    for (i = 0; i < f->n; i++) {
        Elf64_Shdr s;
        const uint8_t *data = section(f, i, &s);

        if (data && s.sh_type == SHT_SYMTAB) {
            return in_table(f, &s, data, name, addr);
        }
    }
    return false;
}

static bool is_elf(File *f)
{
    const uint8_t *id = f->bytes;
    Elf32_Ehdr narrow;
    Elf64_Ehdr wide;

    if (f->len < sizeof(narrow) || memcmp(id, ELFMAG, SELFMAG) ||
        id[EI_DATA] != ELFDATA2LSB) {
        return false;
    }
    f->wide = id[EI_CLASS] == ELFCLASS64;
    if (f->wide && f->len >= sizeof(wide)) {
        memcpy(&wide, f->bytes, sizeof(wide));
        f->sections = wide.e_shoff;
        f->n = wide.e_shnum;
        return true;
    }
    memcpy(&narrow, f->bytes, sizeof(narrow));
    f->sections = narrow.e_shoff;
    f->n = narrow.e_shnum;
    return id[EI_CLASS] == ELFCLASS32;
}

bool pb_symbol_find(const void *file, size_t len, const char *name,
                    uint64_t *addr)
{
    File f = { .bytes = file, .len = len };

    return is_elf(&f) ? in_elf(&f, name, addr) : in_map(&f, name, addr);
}
