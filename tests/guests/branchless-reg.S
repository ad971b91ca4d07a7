/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A loop without a conditional branch that counts in a register. */
#include "common.inc"

main:
    sti
1:
    inc     %ebx
    jmp     1b

on_32:
    count_tick
    push    %eax
    mov     %ebx, %eax
    call    fold
    mov     ticks, %eax
    cmp     rounds, %eax
    jae     1f
    pop     %eax
    iret
1:
    succeed

#include "end.inc"
