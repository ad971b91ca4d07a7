/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guest-gen.h: a guest's code from a random number.
 *
 * The same seed makes the same bytes, everywhere.  What is made always ends:
 * jumps go forward, but for loops that count ECX down; every item that may
 * fault says where to go on.  random.S is what surrounds it.
 */
#ifndef GUEST_GEN_H
#define GUEST_GEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GEN_REAL_BACK 0x7f04u     /* as in random.S, */
#define GEN_ENTER_REAL 0x9ff8u    /* where pointers to its code are, too */
#define GEN_LEAVE_REAL 0x9ffcu
#define GEN_BODY      0xa000u
#define GEN_END       0x10000u
#define GEN_RECOVER   0x1f000u
#define GEN_STACK     0x1f004u
#define GEN_STACK_RING0 0x1f008u
#define GEN_BACK_RING0 0x1f00cu
#define GEN_SCRATCH   0x1f040u
#define GEN_DATA      0x20000u
#define GEN_DATA_SIZE 0xf000u
#define GEN_READONLY  0x2f000u    /* with paging */
#define GEN_LAZY      0x90000u    /* 16 pages that are absent at first */
#define GEN_STACK_RING3 0x60000u
#define GEN_MMIO      0x3f0000u

/* Where an item may stand. */
enum {
    GEN_IN_MAIN = 1,
    GEN_IN_HANDLER = 2,       /* interrupts are off and stay off */
    GEN_IN_RING3 = 4,
    GEN_ANYWHERE = 7,
    GEN_IF_NAMED = 8,         /* and only if --items names it: pbkvm cannot
                                 replay it yet, or on some hosts alone
                                 (docs/caveats.md) */
};

typedef struct Gen {
    uint64_t random;
    uint8_t *code;            /* of GEN_BODY */
    uint32_t at;              /* where the next byte goes, as the guest's
                                 address */
    unsigned in;              /* GEN_IN_... */
    bool paging;
    bool counting;            /* ECX is a loop's */
    const char *only;         /* names of items, or NULL: all */
    char *list;               /* of items made, with their addresses */
    size_t list_len, list_size;
} Gen;

typedef struct GenItem {
    const char *name;
    unsigned where;           /* it may stand */
    void (*make)(Gen *g);
} GenItem;

/* ---- guest-gen.c ---- */

/*
 * Fill @code, GEN_END - GEN_BODY bytes, from @seed.  With @only, a list of
 * items by name, those alone.  @list gets what was made, as text.
 */
void gen_guest(uint8_t *code, uint64_t seed, const char *only, char *list,
               size_t list_size);

/* Whether @list, "a,b,c" or NULL, has @name in it. */
bool gen_named(const char *list, const char *name);

uint32_t gen_pick(Gen *g, uint32_t n);     /* 0..n - 1 */
bool gen_chance(Gen *g, uint32_t n);       /* one in n */

void gen_bytes(Gen *g, const uint8_t *bytes, unsigned n);
#define GEN(g, ...) \
    gen_bytes(g, (const uint8_t[]){ __VA_ARGS__ }, \
              sizeof((const uint8_t[]){ __VA_ARGS__ }))
void gen_word(Gen *g, uint16_t value);
void gen_long(Gen *g, uint32_t value);

/* movl $value, address */
void gen_store(Gen *g, uint32_t address, uint32_t value);

/* A displacement is to be written at @g->at, to be known later: its place. */
uint32_t gen_hole8(Gen *g);
uint32_t gen_hole32(Gen *g);
void gen_to_here8(Gen *g, uint32_t hole);  /* relative to behind the hole */
void gen_to_here32(Gen *g, uint32_t hole);
void gen_here32(Gen *g, uint32_t hole);    /* absolute */

/* Faults go on behind what is made between. */
uint32_t gen_recover(Gen *g);
void gen_recovered(Gen *g, uint32_t hole);

/* One item, any that may stand here. */
void gen_item(Gen *g);

/* ---- guest-gen-plain.c: what only goes on to the next instruction ---- */

/* Where memory is accessed: mostly data, else any trouble there is. */
uint32_t gen_address(Gen *g);
uint32_t gen_data(Gen *g);

/* 1 to @most instructions. */
void gen_plain(Gen *g, unsigned most);

#endif /* GUEST_GEN_H */
