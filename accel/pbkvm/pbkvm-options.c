/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pbkvm-options.c: options that are a number of ms. */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/visitor.h"

#include "pbkvm.h"
#include "pbkvm-options.h"

static uint32_t *value_of(Object *obj, void *opaque)
{
    return (uint32_t *)((char *)obj + (size_t)opaque);
}

void pbkvm_get_u32(Object *obj, Visitor *v, const char *name, void *opaque,
                   Error **errp)
{
    uint32_t value = *value_of(obj, opaque);

    visit_type_uint32(v, name, &value, errp);
}

void pbkvm_set_ms(Object *obj, Visitor *v, const char *name, void *opaque,
                  Error **errp)
{
    uint32_t value;

    if (!visit_type_uint32(v, name, &value, errp) ||
        !pbkvm_not_yet_running(errp)) {
        return;
    }
    if (value > PBKVM_MS_MAX) {
        error_setg(errp, "pbkvm: %s=%" PRIu32 ": expected 0 to %d ms", name,
                   value, PBKVM_MS_MAX);
        return;
    }
    *value_of(obj, opaque) = value;
}

void pbkvm_add_ms(ObjectClass *oc, const char *name, size_t offset,
                  const char *text)
{
    object_class_property_add(oc, name, "uint32", pbkvm_get_u32, pbkvm_set_ms,
                              NULL, (void *)offset);
    object_class_property_set_description(oc, name, text);
}
