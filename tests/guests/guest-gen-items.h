/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guest-gen-items.h: what the files that make a guest's items share.
 */
#ifndef GUEST_GEN_ITEMS_H
#define GUEST_GEN_ITEMS_H

#include "guest-gen.h"

/* Selectors, as in common.inc. */
#define CS0  0x08
#define DS3  0x23
#define CS3  0x1b
#define CS16 0x30

#define GEN_NO_RING3 (GEN_IN_MAIN | GEN_IN_HANDLER)

/* Each ends with an item that has no name. */
extern const GenItem gen_items_inside[];     /* guest-gen-items.c */
extern const GenItem gen_items_outside[];    /* guest-gen-outside.c */
extern const GenItem gen_items_modes[];      /* guest-gen-modes.c */

/* ---- guest-gen-items.c ---- */

void gen_set_ecx(Gen *g, uint32_t n);

/* Eight bytes that nobody else writes to. */
uint32_t gen_scratch(const Gen *g);

/* One branch, or several. */
void gen_branch(Gen *g);

/* ESI, EDI, ECX, ES and DF for a string instruction; many elements, or few. */
void gen_set_string(Gen *g, bool many);

/* An operand-size prefix, now and then. */
void gen_op16(Gen *g);

/* ---- guest-gen-outside.c ---- */

/* What may come right behind STI or MOV SS. */
void gen_in_shadow(Gen *g);

#endif /* GUEST_GEN_ITEMS_H */
