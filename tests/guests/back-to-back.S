/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Three interrupts at one position, a handler without branches. */
#include "common.inc"

main:
    sti
1:
    .rept   20
    incl    0x20000
    nop
    .endr
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
