/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JMP to itself: every interrupt comes at the same position. */
#include "common.inc"

main:
    sti
    jmp     .

on_32:
    count_tick
    push    %eax
    mov     ticks, %eax
    cmp     rounds, %eax
    jae     1f
    pop     %eax
    iret
1:
    succeed

#include "end.inc"
