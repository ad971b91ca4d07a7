/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interrupts in a loop of two instructions: only ECX and branches move. */
#include "common.inc"

main:
    sti
1:
    mov     length, %ecx
2:
    dec     %ecx
    jnz     2b
    until_rounds 1b
    succeed

on_32:
    count_tick
    iret

#include "end.inc"
