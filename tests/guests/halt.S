/* SPDX-License-Identifier: GPL-2.0-or-later */
/* HLT waits for an interrupt; the next instruction comes after it. */
#include "common.inc"

main:
    xor     %ebx, %ebx
1:
    sti
    hlt
    inc     %ebx
    mov     %ebx, 0x20000
    sti
    hlt
    cli
    mov     ticks, %eax
    add     %eax, 0x20004
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
