/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pbkvm-symbols.c: what panic-at names, as an address. */
#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qapi/error.h"
#include "cpu.h"

#include "pb-symbols.h"
#include "pbkvm-symbols.h"

/* The guest's last address. */
#define MOST ((uint64_t)(target_ulong)-1)

bool pbkvm_symbol(const char *file, const char *name, uint64_t *addr,
                  Error **errp)
{
    g_autoptr(GMappedFile) map = NULL;
    g_autoptr(GError) gerr = NULL;
    const char *data;

    if (g_str_has_prefix(name, "0x") &&
        qemu_strtou64(name, NULL, 16, addr) == 0) {
        if (*addr == 0 || *addr > MOST) {
            error_setg(errp, "pbkvm: panic-at=%s: expected an address from "
                       "0x1 to 0x%" PRIx64, name, MOST);
        }
        return *addr > 0 && *addr <= MOST;
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
    if (data && pb_symbol_find(data, g_mapped_file_get_length(map), name,
                               addr)) {
        return true;
    }
    error_setg(errp, "pbkvm: panic-at=%s: no such symbol in symbols=%s: "
               "expected the guest's vmlinux or System.map",
               name, file);
    return false;
}
