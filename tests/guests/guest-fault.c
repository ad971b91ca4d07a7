/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guest-fault.c: damage one thing between the recorder and the Backup. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backup-internal.h"
#include "guest-fault.h"
#include "pb-crc.h"

#define WAIT_MS     5
#define MAX_SLOTS   (1 + PB_EVENT_MAX_PAYLOAD / PB_EVENT_SIZE)

/* One event with its payload, as it lies in a ring. */
typedef struct Whole {
    PbEvent slot[MAX_SLOTS];
    uint32_t slots;
} Whole;

static struct Pump {
    GuestRun *run;            /* NULL: no fault is to be made */
    pthread_t thread;
    bool stop;                /* atomic */
    Whole now, held;
    bool holding;             /* `held` comes after the next one */
    int64_t shift;            /* of all numbers from now on */
} pump;

const char *__real_pb_event_check(const PbEvent *e, uint64_t previous_seq);
const char *__wrap_pb_event_check(const PbEvent *e, uint64_t previous_seq);

static uint64_t pick(GuestFault *f, uint64_t n)
{
    return (guest_random(&f->random) >> 11) % n;
}

static void note(GuestFault *f, const PbEvent *e, const char *what)
{
    snprintf(f->what, sizeof(f->what), "%s at %s", what,
             pb_event_kind_name(e->kind));
    f->seq = e->seq;
    f->branches = e->branches;
    __atomic_store_n(&f->done, true, __ATOMIC_RELEASE);
}

static void seal(Whole *w)
{
    w->slot[0].crc = pb_crc_event(&w->slot[0], &w->slot[1]);
}

static void flip(GuestFault *f, void *p, size_t from, size_t to,
                 const PbEvent *e, const char *name)
{
    size_t bit = from * 8 + pick(f, (to - from) * 8);
    char what[60];

    snprintf(what, sizeof(what), "%s byte %zu bit %zu", name, bit / 8,
             bit % 8);
    note(f, e, what);
    ((uint8_t *)p)[bit / 8] ^= 1 << bit % 8;
}

/* Whether @e can bear a fault of the kind. */
static bool suits(const GuestFault *f, const PbEvent *e)
{
    bool pos = pb_event_is_async(e->kind) && e->kind != PB_EVENT_VERIFY;

    /* The last ones: nothing comes after them. */
    if (f->done || e->seq < f->at || e->kind == PB_EVENT_END ||
        f->kind >= FAULT_RAM) {
        return false;
    }
    switch (f->kind) {
    case FAULT_HEAD:
    case FAULT_BODY:
    case FAULT_GARBAGE:
        return true;
    case FAULT_PAYLOAD:
        return pb_event_payload_len(e) != 0;
    case FAULT_VECTOR:
        return e->kind == PB_EVENT_IRQ;
    case FAULT_BRANCH:
    case FAULT_RIP:
        return pos;
    case FAULT_ANSWER:
        return e->kind == PB_EVENT_PIO_IN || e->kind == PB_EVENT_MMIO_READ;
    case FAULT_DMA:
        return e->kind == PB_EVENT_MEM_WRITE;
    case FAULT_UNRECORDED:
    case FAULT_RECORDED_TWICE:
    case FAULT_RECORDED_LATE:
        return e->kind != PB_EVENT_VERIFY && e->kind != PB_EVENT_MARK;
    default:
        return e->kind != PB_EVENT_VERIFY;
    }
}

static void put(GuestRun *r, const Whole *w)
{
    PbRing *to = r->backup_ring;

    while (!pb_ring_wait_room(to, w->slots, WAIT_MS) ||
           !pb_ring_put(to, w->slot, w->slots)) {
        if (__atomic_load_n(&pump.stop, __ATOMIC_ACQUIRE)) {
            return;
        }
    }
}

/* The bytes of @w itself. */
static void damage(GuestFault *f, Whole *w)
{
    PbEvent *e = &w->slot[0], was = *e;
    uint32_t len = pb_event_payload_len(e), i;

    switch (f->kind) {
    case FAULT_HEAD:
        flip(f, e, 0, 40, &was, "event");
        return;
    case FAULT_BODY:
        flip(f, e, 40, 64, &was, "event");
        return;
    case FAULT_PAYLOAD:
        flip(f, e + 1, 0, len, &was, "payload");
        return;
    case FAULT_GARBAGE:
        for (i = 0; i < sizeof(*e); i++) {
            ((uint8_t *)e)[i] = pick(f, 256);
        }
        note(f, &was, "random bytes");
        return;
    case FAULT_VECTOR:
        e->arg ^= 1 << pick(f, 8);
        break;
    case FAULT_BRANCH:
        e->branches += e->branches == 0 || pick(f, 2) ? 1 : -1;
        break;
    case FAULT_RIP:
        e->body.pos.rip += pick(f, 2) ? 1 + pick(f, 5) : -1 - pick(f, 5);
        break;
    default:
        if (e->kind == PB_EVENT_MMIO_READ) {
            e->body.mmio.data[pick(f, e->size)] ^= 1 << pick(f, 8);
        } else {
            ((uint8_t *)(len ? (void *)(e + 1) : e->body.pio.data))
                [pick(f, len ? len : e->body.pio.count * e->size)]
                ^= 1 << pick(f, 8);
        }
    }
    note(f, &was, "changed");
    seal(w);
}

static void renumber(Whole *w)
{
    if (pump.shift) {
        w->slot[0].seq += pump.shift;
        seal(w);
    }
}

static void number_and_put(GuestRun *r, Whole *w)
{
    renumber(w);
    put(r, w);
}

/* Both, the later one first; their numbers exchanged if @sound. */
static void put_swapped(GuestRun *r, bool sound)
{
    if (sound) {
        pump.now.slot[0].seq--;
        pump.held.slot[0].seq++;
        seal(&pump.now);
        seal(&pump.held);
    }
    put(r, &pump.now);
    put(r, &pump.held);
    pump.holding = false;
}

static void pass(GuestRun *r)
{
    GuestFault *f = r->o->fault;
    Whole *w = &pump.now;

    if (pump.holding) {
        put_swapped(r, f->kind == FAULT_RECORDED_LATE);
        return;
    }
    if (!suits(f, &w->slot[0])) {
        number_and_put(r, w);
        return;
    }
    switch (f->kind) {
    case FAULT_DMA:
    case FAULT_UNRECORDED:
        pump.shift = -1;
        /* fall through */
    case FAULT_LOST:
        note(f, &w->slot[0], "lost");
        break;
    case FAULT_RECORDED_TWICE:
    case FAULT_TWICE:
        note(f, &w->slot[0], "twice");
        put(r, w);
        pump.shift = f->kind == FAULT_RECORDED_TWICE;
        number_and_put(r, w);
        break;
    case FAULT_SWAPPED:
    case FAULT_RECORDED_LATE:
        note(f, &w->slot[0], "exchanged with the next");
        pump.held = *w;
        pump.holding = true;
        break;
    default:
        damage(f, w);
        put(r, w);
    }
}

static void *pump_thread(void *opaque)
{
    GuestRun *r = opaque;
    const PbEvent *e;
    uint32_t i;

    while (!__atomic_load_n(&pump.stop, __ATOMIC_ACQUIRE)) {
        e = pb_ring_peek(r->ring, 0);
        if (!e) {
            pb_ring_wait_events(r->ring, 1, WAIT_MS);
            continue;
        }
        pump.now.slots = 1 + pb_event_extra_slots(e);
        for (i = 0; i < pump.now.slots; i++) {
            pump.now.slot[i] = *pb_ring_peek(r->ring, i);
        }
        pb_ring_release(r->ring, pump.now.slots);
        pass(r);
    }
    return NULL;
}

bool guest_fault_start(GuestRun *r)
{
    if (!r->o->fault) {
        return true;
    }
    memset(&pump, 0, sizeof(pump));
    pump.run = r;
    return pthread_create(&pump.thread, NULL, pump_thread, r) == 0;
}

void guest_fault_stop(GuestRun *r)
{
    if (pump.run == r) {
        __atomic_store_n(&pump.stop, true, __ATOMIC_RELEASE);
        pthread_join(pump.thread, NULL);
        pump.run = NULL;
    }
}

/* ---- on the Backup's thread ---- */

static void damage_ram(GuestFault *f, PbBackup *b, const PbEvent *e)
{
    PbBlock *m = &b->mem.block[pick(f, b->mem.blocks)];
    uint64_t at = pick(f, m->size);
    char what[60];

    snprintf(what, sizeof(what), "RAM %s+0x%llx", m->name,
             (unsigned long long)at);
    m->host[at] ^= 1 << pick(f, 8);
    note(f, e, what);
}

static void damage_register(GuestFault *f, PbBackup *b, const PbEvent *e)
{
    struct kvm_regs regs;
    unsigned n = pick(f, 8), bit = pick(f, 32);
    char what[60];

    if (b->asking || pb_backup_settle(b) != PB_REPLAY_DONE || b->asking ||
        pb_vcpu_get_regs(&b->v, &regs) < 0) {
        return;
    }
    (&regs.rax)[n] ^= 1ull << bit;
    if (pb_vcpu_set_regs(&b->v, &regs) == 0) {
        snprintf(what, sizeof(what), "register %u bit %u", n, bit);
        note(f, e, what);
    }
}

const char *__wrap_pb_event_check(const PbEvent *e, uint64_t previous_seq)
{
    GuestRun *r = pump.run;
    GuestFault *f = r ? r->o->fault : NULL;
    PbBackup *b = r ? r->backup : NULL;

    /* After the last verify nobody would look. */
    if (f && b && f->kind >= FAULT_RAM && !f->done && e->seq >= f->at &&
        e->kind != PB_EVENT_END &&
        pthread_equal(pthread_self(), r->backup_thread)) {
        if (f->kind == FAULT_RAM) {
            damage_ram(f, b, e);
        } else if (f->kind == FAULT_REGISTER) {
            damage_register(f, b, e);
        } else {
            note(f, e, "counter");
            pb_counter_set(b->v.counter, pb_counter_read(b->v.counter) +
                           (pick(f, 2) ? 1 : -1));
        }
        f->branches = pb_counter_read(b->v.counter);
        f->slices = b->stats.slices;
    }
    return __real_pb_event_check(e, previous_seq);
}

void guest_fault_found(GuestRun *r, bool verify, uint64_t seq,
                       uint64_t branches)
{
    GuestFault *f = r->o->fault;
    PbBackupStats s;

    if (f && !f->found) {
        pb_backup_stats(r->backup, &s);
        f->found_slices = s.slices;
        f->found = true;
        f->verify = verify;
        f->found_seq = seq;
        f->found_branches = branches;
    }
}
