/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-event.h: one entry of the history, 64 bytes, one cache line.
 *
 * C11 only: no QEMU, no KVM, no GLib.  Little endian; no pointers, so that
 * an event means the same in a ring, in a file and in another process.
 *
 * Offset table (see PbEvent):
 *    0  u64  seq       previous event's seq + 1; the first event has 1
 *    8  u64  time_ns   Primary time when the event was recorded
 *   16  u64  branches  conditional branches the guest had retired; exact at
 *                      asynchronous events, a check (or 0) elsewhere
 *   24  u32  digest    rolling digest of all the guest wrote (PIO OUT, MMIO
 *                      write) before this event: its low half
 *   28  u32  crc       CRC-32C of the event, this field 0, and its payload
 *                      (pb_crc_event() of accel/pbkvm/pb-crc.h)
 *   32  u8   kind      PbEventKind
 *   33  u8   size      access width in bytes: PIO 1, 2 or 4; MMIO 1 to 8 (an
 *                      access across a page border comes in two odd pieces)
 *   34  u16  arg       PIO port; interrupt vector; memory slot; vCPU; else 0
 *   36  u32  writes    PIO OUT and MMIO write exits so far, modulo 2^32
 *   40  24 bytes       body, by kind
 *
 * A payload that does not fit the body follows the event in the next
 * pb_event_extra_slots() slots as plain bytes, in order, the last one padded
 * with zeros.  Any change of this layout, of the list of kinds or of what a
 * digest or hash is made of bumps PB_EVENT_VERSION.
 */
#ifndef PB_EVENT_H
#define PB_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PB_EVENT_VERSION      5
#define PB_EVENT_SIZE         64
#define PB_EVENT_INLINE_DATA  20      /* bytes of PIO data in the body */
#define PB_EVENT_MAX_PAYLOAD  65536   /* bytes that may follow one event */

typedef enum PbEventKind {
    PB_EVENT_INVALID = 0,

    /* Synchronous: the guest asked; replayed in order, needs no position. */
    PB_EVENT_PIO_IN,      /* arg = port, size, body.pio: answer of IN/INS */
    PB_EVENT_MMIO_READ,   /* size, body.mmio: answer of an MMIO read */
    PB_EVENT_RDMSR,       /* body.msr: a filtered or unknown MSR was read */
    PB_EVENT_WRMSR,       /* body.msr: a filtered or unknown MSR was written */
    PB_EVENT_HLT,         /* the guest executed HLT */
    PB_EVENT_SHUTDOWN,    /* triple fault */
    PB_EVENT_READ_BEGIN,  /* a read exit whose answer changes guest memory:
                             the changes follow, then its own event */

    /* Asynchronous: replayed at body.pos, which the Backup lands on. */
    PB_EVENT_IRQ,         /* arg = vector: external interrupt injected */
    PB_EVENT_NMI,         /* NMI injected */
    PB_EVENT_POINT,       /* a position that the changes after it belong to;
                             arg = 0x100 | vector if an interrupt waits in
                             KVM for the next entry, else 0 */
    PB_EVENT_VERIFY,      /* a position where both sides are compared; arg
                             as above */

    /* Changes: applied where the Backup stands, once its writes match. */
    PB_EVENT_MEM_WRITE,   /* body.mem, payload: a device wrote guest RAM */
    PB_EVENT_MEM_SLOT,    /* arg = slot, payload PbSlotChange */
    PB_EVENT_STATE,       /* arg = vCPU, body.blob, payload: its whole state
                             replaced */

    /* Marks: no effect on the guest. */
    PB_EVENT_MARK,        /* progress: the Primary has passed `branches` */
    PB_EVENT_PANIC,       /* the Primary's guest was found to have panicked */
    PB_EVENT_END,         /* the history ends here; arg = PbEndReason */

    /* A change that changes nothing: both sides hold the same there. */
    PB_EVENT_SLICE,       /* body.slice: checksum of some RAM */

    /* Asynchronous, too. */
    PB_EVENT_TURN,        /* arg = the vCPU that goes on instead of this one */

    PB_EVENT_KINDS
} PbEventKind;

/* vCPUs of a guest, which are numbered from 0. */
#define PB_MAX_CPUS 8u

typedef enum PbEndReason {
    PB_END_QUIT = 1,      /* the process ends in good order */
    PB_END_UNRECORDED,    /* something happened that cannot be recorded */
} PbEndReason;

/*
 * Where an asynchronous event happened, together with PbEvent.branches.
 * @hash covers all general registers and EFLAGS (without RF and TF); its
 * bit 0 is no part of it but says that EFLAGS.RF was set.
 */
typedef struct PbEventPosition {
    uint64_t rip;         /* linear address of the next instruction */
    uint32_t cx;          /* ECX, or half of RCX: tells iterations of a REP
                             string apart */
    uint32_t sp;
    uint64_t hash;
} PbEventPosition;

typedef struct PbEventPio {
    uint32_t count;       /* elements, 1 or more; data: count * size bytes */
    uint8_t data[PB_EVENT_INLINE_DATA];   /* if it fits, else payload */
} PbEventPio;

typedef struct PbEventMmio {
    uint64_t gpa;
    uint8_t data[8];
    uint8_t zero[8];
} PbEventMmio;

typedef struct PbEventMsr {
    uint32_t index;
    uint32_t fault;       /* 1: the guest got #GP */
    uint64_t value;
    uint64_t zero;
} PbEventMsr;

typedef struct PbEventMem {
    uint64_t offset;      /* in bytes, in the RAM block */
    uint32_t block;       /* index of the RAM block */
    uint32_t len;         /* payload bytes */
    uint64_t zero;
} PbEventMem;

typedef struct PbEventSlice {
    uint64_t offset;      /* in bytes, in the RAM block */
    uint32_t block;       /* index of the RAM block */
    uint32_t len;         /* bytes, a multiple of 8 */
    uint32_t crc;         /* pb_crc_ram() of them */
    uint32_t zero;
} PbEventSlice;

typedef struct PbEventBlob {
    uint32_t len;         /* payload bytes */
    uint32_t zero32;
    uint64_t zero[2];
} PbEventBlob;

/* Payload of PB_EVENT_MEM_SLOT: KVM's memory slot PbEvent.arg is now this. */
typedef struct PbSlotChange {
    uint64_t gpa;
    uint64_t size;        /* 0: the slot is gone */
    uint64_t offset;      /* of the slot's first byte in the RAM block */
    uint32_t block;
    uint32_t readonly;    /* 1: writes exit as MMIO */
} PbSlotChange;

typedef struct PbEvent {
    uint64_t seq;
    uint64_t time_ns;
    uint64_t branches;
    uint32_t digest;
    uint32_t crc;
    uint8_t kind;
    uint8_t size;
    uint16_t arg;
    uint32_t writes;
    union {
        uint8_t raw[24];
        PbEventPosition pos;
        PbEventPio pio;
        PbEventMmio mmio;
        PbEventMsr msr;
        PbEventMem mem;
        PbEventSlice slice;
        PbEventBlob blob;
    } body;
} PbEvent;

_Static_assert(sizeof(PbEvent) == PB_EVENT_SIZE, "one event, one line");
_Static_assert(offsetof(PbEvent, kind) == 32, "PbEvent layout is fixed");
_Static_assert(offsetof(PbEvent, body) == 40, "PbEvent layout is fixed");

/*
 * Bytes of payload that follow @e in its extra slots (0 for most kinds).
 * Of an event that pb_event_check() refuses it may be any number.
 */
uint32_t pb_event_payload_len(const PbEvent *e);

/* Slots after @e's own that its payload fills. */
uint32_t pb_event_extra_slots(const PbEvent *e);

/*
 * The groups of PbEventKind: the guest stands at an exit that @kind belongs
 * to; the Backup must land on body.pos before it applies @kind; applied once
 * the writes match.  Marks are none of these.
 */
bool pb_event_is_sync(PbEventKind kind);
bool pb_event_is_async(PbEventKind kind);
bool pb_event_is_change(PbEventKind kind);

/*
 * The validity rule.  @e follows an event with seq @previous_seq (0: none):
 * it is valid iff seq follows, the kind is known, the fields the kind uses
 * are in range, those it does not use are zero (bytes of data[] above the
 * access's width included), and its payload is not above
 * PB_EVENT_MAX_PAYLOAD.  Payload and crc are not looked at.  Returns NULL,
 * or a constant text that says what is wrong ("seq does not follow", ...).
 */
const char *pb_event_check(const PbEvent *e, uint64_t previous_seq);

/* The name of a kind as shown to users ("pio-in", "irq", ...), never NULL. */
const char *pb_event_kind_name(PbEventKind kind);

/*
 * One line without newline that describes @e, cut to @len bytes.
 * Returns what snprintf() would.
 */
int pb_event_print(const PbEvent *e, char *buf, size_t len);

/* Rolling digest over what the guest writes; start with PB_DIGEST_START. */
#define PB_DIGEST_START 0x9e3779b97f4a7c15ull

static inline uint64_t pb_digest_mix(uint64_t digest, uint64_t value)
{
    digest = (digest ^ value) * 0xff51afd7ed558ccdull;
    return digest ^ (digest >> 32);
}

/*
 * Mix @len bytes in, eight at a time, the rest padded with zeros; nothing
 * for 0 bytes.  The length itself is not mixed in.
 */
uint64_t pb_digest_bytes(uint64_t digest, const void *data, size_t len);

#endif /* PB_EVENT_H */
