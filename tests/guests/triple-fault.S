/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common.inc"

main:
    sti
1:
    inc     %ebx
    mov     %ebx, 0x20000
    until_rounds 1b
    cli
    lidt    nothing
    int3                        /* #GP, #DF, and no gate for either */
nothing:
    .word   0
    .long   0

on_32:
    count_tick
    iret

#include "end.inc"
