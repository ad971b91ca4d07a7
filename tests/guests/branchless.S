/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A loop without a conditional branch that moves only memory. */
#include "common.inc"

main:
    sti
1:
    incl    0x20000
    jmp     1b

on_32:
    count_tick
    push    %eax
    mov     0x20000, %eax
    call    fold
    mov     ticks, %eax
    cmp     rounds, %eax
    jae     1f
    pop     %eax
    iret
1:
    succeed

#include "end.inc"
