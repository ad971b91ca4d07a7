/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * event-fuzz.c: the input is one event as it may stand in a damaged ring or
 * file, after how much of it is printed and the number it has to follow.
 */
#include "fuzz.h"
#include "pb-crc.h"
#include "ring/pb-event.h"

static void check_valid(const PbEvent *e)
{
    uint32_t len = pb_event_payload_len(e);
    int groups = pb_event_is_sync(e->kind) + pb_event_is_async(e->kind) +
                 pb_event_is_change(e->kind);

    fuzz_check(e->kind > PB_EVENT_INVALID && e->kind < PB_EVENT_KINDS);
    fuzz_check(len <= PB_EVENT_MAX_PAYLOAD);
    fuzz_check(pb_event_extra_slots(e) == (len + 63) / 64);
    fuzz_check(groups <= 1);
}

/* Cut to @room bytes it is the beginning of the whole text. */
static void check_print(const PbEvent *e, size_t room)
{
    char whole[512], *cut = malloc(room);
    int len = pb_event_print(e, whole, sizeof(whole));

    fuzz_check(len > 0 && (size_t)len < sizeof(whole));
    fuzz_check(strlen(whole) == (size_t)len);
    fuzz_check(strspn(whole, "abcdefghijklmnopqrstuvwxyz-0123456789. ") ==
               (size_t)len);
    fuzz_check(pb_event_print(e, cut, room) == len);
    if (room) {
        fuzz_check(strlen(cut) == (room <= (size_t)len ? room - 1
                                                       : (size_t)len));
        fuzz_check(!memcmp(whole, cut, strlen(cut)));
    }
    free(cut);
}

static void check_payload(const PbEvent *e, FuzzIn *in)
{
    uint32_t len = pb_event_payload_len(e), crc;
    uint8_t *payload = malloc(len);

    fuzz_bytes(in, payload, len);
    crc = pb_crc_event(e, payload);
    if (len) {
        payload[0] ^= 1;
        fuzz_check(pb_crc_event(e, payload) != crc);
    }
    free(payload);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzIn in = { data, size };
    uint8_t room = fuzz_u8(&in), follows = fuzz_u8(&in);
    PbEvent e;

    fuzz_bytes(&in, &e, sizeof(e));
    if (follows & 1) {
        e.seq = follows;
    }
    if (!pb_event_check(&e, follows & 1 ? follows - 1 : 0)) {
        check_valid(&e);
        check_payload(&e, &in);
    }
    pb_event_extra_slots(&e);
    check_print(&e, room);
    return 0;
}
