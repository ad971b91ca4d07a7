/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-options.h: options of the accelerator that are a number of ms, at
 * @opaque bytes in a PbkvmState, a uint32_t.
 *
 * Main thread.
 */
#ifndef PBKVM_OPTIONS_H
#define PBKVM_OPTIONS_H

#include "qom/object.h"

/* An hour. */
#define PBKVM_MS_MAX 3600000

/* Getter of any uint32_t; setter, which refuses more than PBKVM_MS_MAX. */
void pbkvm_get_u32(Object *obj, Visitor *v, const char *name, void *opaque,
                   Error **errp);
void pbkvm_set_ms(Object *obj, Visitor *v, const char *name, void *opaque,
                  Error **errp);

void pbkvm_add_ms(ObjectClass *oc, const char *name, size_t offset,
                  const char *text);

#endif /* PBKVM_OPTIONS_H */
