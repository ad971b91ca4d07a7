/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compared again and again, interrupts waiting or not. */
#include "common.inc"

main:
    sti
1:
    .rept   5
    incl    0x20000
    out     %al, $PORT_VERIFY
    incl    0x20000
    .endr
    until_rounds 1b
    succeed

on_32:
    count_tick
    iret

#include "end.inc"
