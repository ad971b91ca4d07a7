/* SPDX-License-Identifier: GPL-2.0-or-later */
/* divergence.c: the report of the first difference. */
#include <stdio.h>

#include "divergence.h"

int pb_divergence_print(const PbDivergence *d, char *buf, size_t len)
{
    char at[120];

    pb_position_print(&d->at, at, sizeof(at));
    return snprintf(buf, len, "backup diverged at event %llu (%s): expected "
                    "%s, got %s, at %s", (unsigned long long)d->event.seq,
                    pb_event_kind_name(d->event.kind), d->expected, d->got,
                    at);
}
