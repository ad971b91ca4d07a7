/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pbkvm-symbols.c: the address of a name, from a vmlinux or a System.map. */
#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qapi/error.h"
#include "elf.h"

#include "pbkvm-symbols.h"

/* "c1032140 T panic" */
static bool in_map(const char *text, size_t len, const char *name,
                   uint64_t *addr)
{
    const char *end = text + len, *line = text;
    size_t name_len = strlen(name);

    while (line < end) {
        const char *eol = memchr(line, '\n', end - line) ?: end;
        const char *at = eol - name_len;

        if (at - line == 11 && !memcmp(at, name, name_len) &&
            at[-1] == ' ') {
            g_autofree char *hex = g_strndup(line, 8);

            return qemu_strtou64(hex, NULL, 16, addr) == 0;
        }
        line = eol + 1;
    }
    return false;
}

/* The part of the file that section @i says it is, if it is there. */
static const void *section(const char *file, size_t len, unsigned i,
                           Elf32_Shdr *s)
{
    const Elf32_Ehdr *e = (const Elf32_Ehdr *)file;
    uint64_t at = e->e_shoff + (uint64_t)i * sizeof(*s);

    if (i >= e->e_shnum || at + sizeof(*s) > len) {
        return NULL;
    }
    memcpy(s, file + at, sizeof(*s));
    return (uint64_t)s->sh_offset + s->sh_size <= len ? file + s->sh_offset
                                                      : NULL;
}

static bool in_table(const char *file, size_t len, const Elf32_Shdr *table,
                     const Elf32_Sym *sym, const char *name, uint64_t *addr)
{
    size_t i, size = strlen(name) + 1;
    Elf32_Shdr strings;
    const char *text = section(file, len, table->sh_link, &strings);

    for (i = 0; text && i < table->sh_size / sizeof(*sym); i++) {
        Elf32_Sym s;

        memcpy(&s, &sym[i], sizeof(s));
        if (s.st_shndx != SHN_UNDEF && s.st_name < strings.sh_size &&
            strings.sh_size - s.st_name >= size &&
            !memcmp(text + s.st_name, name, size)) {
            *addr = s.st_value;
            return true;
        }
    }
    return false;
}

static bool in_elf(const char *file, size_t len, const char *name,
                   uint64_t *addr)
{
    const Elf32_Ehdr *e = (const Elf32_Ehdr *)file;
    unsigned i;

    for (i = 0; i < e->e_shnum; i++) {
        Elf32_Shdr s;
        const void *data = section(file, len, i, &s);

        if (data && s.sh_type == SHT_SYMTAB &&
            in_table(file, len, &s, data, name, addr)) {
            return true;
        }
    }
    return false;
}

static bool is_elf32(const char *file, size_t len)
{
    return len >= sizeof(Elf32_Ehdr) && !memcmp(file, ELFMAG, SELFMAG) &&
           file[EI_CLASS] == ELFCLASS32 && file[EI_DATA] == ELFDATA2LSB;
}

bool pbkvm_symbol(const char *file, const char *name, uint64_t *addr,
                  Error **errp)
{
    g_autoptr(GMappedFile) map = NULL;
    g_autoptr(GError) gerr = NULL;
    const char *data;
    size_t len;

    if (qemu_strtou64(name, NULL, 16, addr) == 0 && g_str_has_prefix(name,
                                                                     "0x")) {
        return true;
    }
    if (!file) {
        error_setg(errp, "pbkvm: panic-at=%s: expected an address (0x...), or "
                   "a name and symbols=FILE to look it up in", name);
        return false;
    }
    map = g_mapped_file_new(file, false, &gerr);
    if (!map) {
        error_setg(errp, "pbkvm: symbols=%s: %s", file, gerr->message);
        return false;
    }
    data = g_mapped_file_get_contents(map);
    len = g_mapped_file_get_length(map);
    if (data && (is_elf32(data, len) ? in_elf(data, len, name, addr)
                                     : in_map(data, len, name, addr))) {
        return true;
    }
    error_setg(errp, "pbkvm: panic-at=%s: no such symbol in symbols=%s: "
               "expected the guest's vmlinux (32-bit ELF) or System.map",
               name, file);
    return false;
}
