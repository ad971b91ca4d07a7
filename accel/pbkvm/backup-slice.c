/* SPDX-License-Identifier: GPL-2.0-or-later */
/* backup-slice.c: the RAM of both sides, compared slice by slice. */
#include <stdio.h>

#include "backup-internal.h"
#include "pb-crc.h"

static const char *slice_name(const PbBackup *b, const PbEventSlice *s,
                              char *buf, size_t len)
{
    snprintf(buf, len, "RAM block %s offset 0x%llx length %u",
             b->mem.block[s->block].name, (unsigned long long)s->offset,
             s->len);
    return buf;
}

/* The first and the last one make it a pass over all RAM. */
static void note_slice(PbBackup *b, const PbEvent *e)
{
    const PbEventSlice *s = &e->body.slice;

    b->stats.slices++;
    if (s->block == 0 && s->offset == 0) {
        b->pass_begun = e->time_ns;
    }
    if (b->pass_begun && s->block == b->mem.blocks - 1 &&
        s->offset + s->len == b->mem.block[s->block].size) {
        b->stats.passes++;
        b->stats.pass_ns = e->time_ns - b->pass_begun;
        b->pass_begun = 0;
    }
}

/* A debugger has changed something, or may have an INT3 there. */
static bool slices_may_differ(const PbBackup *b)
{
    return pb_backup_detached(b) || b->breaks;
}

PbReplayEnd pb_backup_compare_slice(PbBackup *b, const PbEvent *e)
{
    const PbEventSlice *s = &e->body.slice;
    char name[120], expected[160];
    uint32_t crc;

    if (!pb_mem_has(&b->mem, s->block, s->offset, s->len)) {
        return pb_backup_diverge(b, e, "a slice of a RAM block",
                                 "block %u offset 0x%llx length %u",
                                 s->block, (unsigned long long)s->offset,
                                 s->len);
    }
    crc = pb_crc_ram(b->mem.block[s->block].host + s->offset, s->len);
    if (crc != s->crc && !slices_may_differ(b)) {
        snprintf(expected, sizeof(expected), "checksum 0x%08x of %s", s->crc,
                 slice_name(b, s, name, sizeof(name)));
        return pb_backup_diverge(b, e, expected, "0x%08x", crc);
    }
    note_slice(b, e);
    return PB_REPLAY_DONE;
}
