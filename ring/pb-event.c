/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-event.c: validity, names and printing of events. */
#include "pb-event.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "events are little endian and used as they are");
_Static_assert(sizeof(PbSlotChange) == 32, "PbSlotChange layout is fixed");

#define PB_BODY_SIZE  sizeof(((PbEvent *)0)->body)

/* Which access widths a kind allows: bit n stands for n bytes. */
#define SIZE_NONE     (1u << 0)
#define SIZE_PIO      (1u << 1 | 1u << 2 | 1u << 4)
#define SIZE_MMIO     0x1feu

typedef struct PbKindRule {
    const char *name;
    uint16_t sizes;
    uint16_t arg_min;
    uint16_t arg_max;
    uint8_t body_used;    /* the rest of the body is zero */
    enum { NOTHING, SYNC, ASYNC, CHANGE, MARK } is;
} PbKindRule;

static const PbKindRule rules[PB_EVENT_KINDS] = {
    [PB_EVENT_INVALID]    = { "invalid",    0,         0, 0,      0,  NOTHING },
    [PB_EVENT_PIO_IN]     = { "pio-in",     SIZE_PIO,  0, 0xffff, 24, SYNC },
    [PB_EVENT_MMIO_READ]  = { "mmio-read",  SIZE_MMIO, 0, 0,      16, SYNC },
    [PB_EVENT_RDMSR]      = { "rdmsr",      SIZE_NONE, 0, 0,      16, SYNC },
    [PB_EVENT_WRMSR]      = { "wrmsr",      SIZE_NONE, 0, 0,      16, SYNC },
    [PB_EVENT_HLT]        = { "hlt",        SIZE_NONE, 0, 0,      0,  SYNC },
    [PB_EVENT_SHUTDOWN]   = { "shutdown",   SIZE_NONE, 0, 0,      0,  SYNC },
    [PB_EVENT_READ_BEGIN] = { "read-begin", SIZE_NONE, 0, 0,      0,  SYNC },
    [PB_EVENT_IRQ]        = { "irq",        SIZE_NONE, 0, 255,    24, ASYNC },
    [PB_EVENT_NMI]        = { "nmi",        SIZE_NONE, 0, 0,      24, ASYNC },
    [PB_EVENT_POINT]      = { "point",      SIZE_NONE, 0, 0x1ff,  24, ASYNC },
    [PB_EVENT_VERIFY]     = { "verify",     SIZE_NONE, 0, 0x1ff,  24, ASYNC },
    [PB_EVENT_MEM_WRITE]  = { "mem-write",  SIZE_NONE, 0, 0,      16, CHANGE },
    [PB_EVENT_MEM_SLOT]   = { "mem-slot",   SIZE_NONE, 0, 0xffff, 0,  CHANGE },
    [PB_EVENT_STATE]      = { "state",      SIZE_NONE, 0,
                              PB_MAX_CPUS - 1, 4, CHANGE },
    [PB_EVENT_MARK]       = { "mark",       SIZE_NONE, 0, 0,      0,  MARK },
    [PB_EVENT_PANIC]      = { "panic",      SIZE_NONE, 0, 0,      0,  MARK },
    [PB_EVENT_END]        = { "end",        SIZE_NONE, PB_END_QUIT,
                              PB_END_UNRECORDED, 0, MARK },
    [PB_EVENT_SLICE]      = { "slice",      SIZE_NONE, 0, 0,      20, CHANGE },
    [PB_EVENT_TURN]       = { "turn",       SIZE_NONE, 0,
                              PB_MAX_CPUS - 1, 24, ASYNC },
};

static bool all_zero(const uint8_t *p, size_t from, size_t to)
{
    while (from < to) {
        if (p[from++]) {
            return false;
        }
    }
    return true;
}

static uint64_t pio_bytes(const PbEvent *e)
{
    return (uint64_t)e->body.pio.count * e->size;
}

uint32_t pb_event_payload_len(const PbEvent *e)
{
    uint64_t len;

    switch (e->kind) {
    case PB_EVENT_PIO_IN:
        len = pio_bytes(e);
        if (len <= PB_EVENT_INLINE_DATA) {
            return 0;
        }
        /* Only an invalid event is that long; it must not look short. */
        return len > UINT32_MAX ? UINT32_MAX : len;
    case PB_EVENT_MEM_WRITE:
        return e->body.mem.len;
    case PB_EVENT_MEM_SLOT:
        return sizeof(PbSlotChange);
    case PB_EVENT_STATE:
        return e->body.blob.len;
    default:
        return 0;
    }
}

uint32_t pb_event_extra_slots(const PbEvent *e)
{
    uint64_t len = pb_event_payload_len(e);

    return (len + PB_EVENT_SIZE - 1) / PB_EVENT_SIZE;
}

bool pb_event_is_sync(PbEventKind kind)
{
    return (unsigned)kind < PB_EVENT_KINDS && rules[kind].is == SYNC;
}

bool pb_event_is_async(PbEventKind kind)
{
    return (unsigned)kind < PB_EVENT_KINDS && rules[kind].is == ASYNC;
}

bool pb_event_is_change(PbEventKind kind)
{
    return (unsigned)kind < PB_EVENT_KINDS && rules[kind].is == CHANGE;
}

const char *pb_event_kind_name(PbEventKind kind)
{
    return (unsigned)kind < PB_EVENT_KINDS ? rules[kind].name : "unknown";
}

static const char *check_pio(const PbEvent *e)
{
    uint64_t len = pio_bytes(e);
    size_t used = len <= PB_EVENT_INLINE_DATA ? len : 0;

    if (len == 0) {
        return "count is zero";
    }
    if (!all_zero(e->body.pio.data, used, PB_EVENT_INLINE_DATA)) {
        return "data beyond count * size is not zero";
    }
    return NULL;
}

static const char *check_body(const PbEvent *e)
{
    switch (e->kind) {
    case PB_EVENT_PIO_IN:
        return check_pio(e);
    case PB_EVENT_MMIO_READ:
        return all_zero(e->body.mmio.data, e->size, 8)
               ? NULL : "data beyond size is not zero";
    case PB_EVENT_RDMSR:
    case PB_EVENT_WRMSR:
        return e->body.msr.fault <= 1 ? NULL : "fault is neither 0 nor 1";
    case PB_EVENT_POINT:
    case PB_EVENT_VERIFY:
        return !e->arg || e->arg >= 0x100
               ? NULL : "arg is out of range for the kind";
    case PB_EVENT_MEM_WRITE:
        return e->body.mem.len ? NULL : "len is zero";
    case PB_EVENT_SLICE:
        return e->body.slice.len && e->body.slice.len % 8 == 0
               ? NULL : "len is no multiple of 8";
    case PB_EVENT_STATE:
        return e->body.blob.len ? NULL : "len is zero";
    default:
        return NULL;
    }
}

const char *pb_event_check(const PbEvent *e, uint64_t previous_seq)
{
    const PbKindRule *rule;
    const char *wrong;

    if (e->seq != previous_seq + 1) {
        return "seq does not follow";
    }
    if (e->kind == PB_EVENT_INVALID || e->kind >= PB_EVENT_KINDS) {
        return "kind is unknown";
    }
    rule = &rules[e->kind];
    if (e->size > 8 || !(rule->sizes & (1u << e->size))) {
        return "size is out of range for the kind";
    }
    if (e->arg < rule->arg_min || e->arg > rule->arg_max) {
        return "arg is out of range for the kind";
    }
    if (!all_zero(e->body.raw, rule->body_used, PB_BODY_SIZE)) {
        return "unused bytes of the body are not zero";
    }
    wrong = check_body(e);
    if (!wrong && pb_event_payload_len(e) > PB_EVENT_MAX_PAYLOAD) {
        wrong = "payload is too long";
    }
    return wrong;
}

/* A text that grows like snprintf()'s: @pos counts what was cut off, too. */
typedef struct PbText {
    char *buf;
    size_t len;
    size_t pos;
} PbText;

static void __attribute__((format(printf, 2, 3)))
put(PbText *t, const char *fmt, ...)
{
    bool fits = t->pos < t->len;
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(fits ? t->buf + t->pos : NULL, fits ? t->len - t->pos : 0,
                  fmt, ap);
    va_end(ap);
    t->pos += n > 0 ? n : 0;
}

static void put_data(PbText *t, const uint8_t *data, size_t len)
{
    put(t, " data");
    for (size_t i = 0; i < len; i++) {
        put(t, " %02x", data[i]);
    }
}

static void put_pio(PbText *t, const PbEvent *e)
{
    uint64_t len = pio_bytes(e);

    put(t, " port 0x%x size %u count %" PRIu32, e->arg, e->size,
        e->body.pio.count);
    if (len <= PB_EVENT_INLINE_DATA) {
        put_data(t, e->body.pio.data, len);
    } else {
        put(t, " payload %" PRIu64 " bytes", len);
    }
}

static void put_position(PbText *t, const PbEventPosition *pos)
{
    put(t, " rip 0x%" PRIx64 " cx 0x%" PRIx32 " sp 0x%" PRIx32
        " hash 0x%" PRIx64, pos->rip, pos->cx, pos->sp, pos->hash);
}

static void put_body(PbText *t, const PbEvent *e)
{
    switch (e->kind) {
    case PB_EVENT_PIO_IN:
        put_pio(t, e);
        break;
    case PB_EVENT_MMIO_READ:
        put(t, " gpa 0x%" PRIx64 " size %u", e->body.mmio.gpa, e->size);
        put_data(t, e->body.mmio.data, e->size <= 8 ? e->size : 8);
        break;
    case PB_EVENT_RDMSR:
    case PB_EVENT_WRMSR:
        put(t, " index 0x%" PRIx32 " value 0x%" PRIx64 "%s",
            e->body.msr.index, e->body.msr.value,
            e->body.msr.fault ? " fault" : "");
        break;
    case PB_EVENT_IRQ:
        put(t, " vector 0x%x", e->arg);
        break;
    case PB_EVENT_MEM_WRITE:
        put(t, " block %" PRIu32 " offset 0x%" PRIx64 " len %" PRIu32,
            e->body.mem.block, e->body.mem.offset, e->body.mem.len);
        break;
    case PB_EVENT_SLICE:
        put(t, " block %" PRIu32 " offset 0x%" PRIx64 " len %" PRIu32
            " crc 0x%08" PRIx32, e->body.slice.block, e->body.slice.offset,
            e->body.slice.len, e->body.slice.crc);
        break;
    case PB_EVENT_MEM_SLOT:
        put(t, " slot %u", e->arg);
        break;
    case PB_EVENT_STATE:
        put(t, " cpu %u len %" PRIu32, e->arg, e->body.blob.len);
        break;
    case PB_EVENT_TURN:
        put(t, " cpu %u", e->arg);
        break;
    case PB_EVENT_END:
        put(t, e->arg == PB_END_QUIT ? " reason quit" :
            e->arg == PB_END_UNRECORDED ? " reason unrecorded" :
            " reason %u", e->arg);
        break;
    default:
        break;
    }
}

int pb_event_print(const PbEvent *e, char *buf, size_t len)
{
    PbText t = { .buf = buf, .len = len };

    put(&t, "event %" PRIu64 " %s", e->seq, pb_event_kind_name(e->kind));
    if (e->kind >= PB_EVENT_KINDS) {
        put(&t, " kind %u", e->kind);
    }
    put_body(&t, e);
    put(&t, " branches %" PRIu64, e->branches);
    if (pb_event_is_async(e->kind)) {
        put_position(&t, &e->body.pos);
    }
    put(&t, " time %" PRIu64 ".%09" PRIu64 " digest 0x%" PRIx32
        " writes %" PRIu32, e->time_ns / 1000000000,
        e->time_ns % 1000000000, e->digest, e->writes);
    return (int)t.pos;
}

uint64_t pb_digest_bytes(uint64_t digest, const void *data, size_t len)
{
    const uint8_t *p = data;

    while (len) {
        size_t n = len < 8 ? len : 8;
        uint64_t value = 0;

        memcpy(&value, p, n);
        digest = pb_digest_mix(digest, value);
        p += n;
        len -= n;
    }
    return digest;
}
