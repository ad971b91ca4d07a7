/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-position.h: a point in the life of a guest, exact to the instruction
 * and to the iteration of a REP string.
 *
 * Branches alone name a stretch of code without conditional branches; RIP
 * and ECX name the place in it; ESP and a hash of the general registers and
 * of the top of the stack tell two passes of one place apart (two calls of
 * one leaf function differ in the return address).  In long mode these are the
 * lower halves of RCX and RSP; the hash is of all of every register.
 *
 * Called on the vCPU's thread, at a moment with no exit pending.
 */
#ifndef PB_POSITION_H
#define PB_POSITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pb-vcpu.h"

/* Bytes of stack that are part of a position. */
#define PB_POSITION_STACK 128

typedef struct PbPosition {
    uint64_t branches;
    uint64_t rip;         /* linear */
    uint32_t hash;        /* of the registers and the top of the stack */
    uint32_t loop;        /* of the memory that a loop without branches
                             moves, 0 in no such loop: see pb-loop.h */
    uint32_t cx;
    uint32_t sp;
    uint16_t injected;    /* 0, or 0x100 | vector of an interrupt that KVM
                             holds and delivers at the next entry, or 0x200 |
                             vector of an NMI or exception: never recorded,
                             so never the same as a recorded position */
    bool resumed;         /* EFLAGS.RF was set: came here by an IRET that
                             switched breakpoints off, or inside a REP; how
                             to land, not where */
} PbPosition;

/*
 * Where @v stands: 0 or -errno.  The first without @loop, which costs more;
 * pb_position_add_loop() sets it later.
 */
int pb_position_take(PbVcpu *v, PbPosition *p);
int pb_position_take_whole(PbVcpu *v, PbPosition *p);
int pb_position_add_loop(PbVcpu *v, PbPosition *p);

/* The position an asynchronous event names. */
PbPosition pb_position_of(const PbEvent *e);

/*
 * Write @p into @e: branches, body.pos and, where the kind has room for it
 * (POINT, VERIFY), `injected` as arg.  Elsewhere nothing is ever injected.
 */
void pb_position_to_event(const PbPosition *p, PbEvent *e);

bool pb_position_same(const PbPosition *a, const PbPosition *b);

/* The same, whatever @loop is. */
bool pb_position_same_place(const PbPosition *a, const PbPosition *b);

int pb_position_print(const PbPosition *p, char *buf, size_t len);

/* What is to be done to get from one position to another. */
typedef enum PbLandState {
    PB_LAND_FAR,     /* run; the sampler is armed margin branches early */
    PB_LAND_NEAR,    /* breakpoint on the target, step off the wrong hits */
    PB_LAND_HERE,    /* exact */
    PB_LAND_PAST,    /* overshot: never continue */
} PbLandState;

/* Pure. */
PbLandState pb_land_classify(const PbPosition *now, const PbPosition *target,
                             uint32_t margin);

#endif /* PB_POSITION_H */
