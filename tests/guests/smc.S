/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Code that rewrites itself while interrupts come. */
#include "common.inc"

main:
    sti
    xor     %ebx, %ebx
1:
    incl    patch + 1
    jmp     2f
2:
patch:
    mov     $1, %eax
    add     %eax, %ebx
    xorb    $0x08, flip         /* inc %edx <-> dec %edx */
    jmp     3f
3:
flip:
    .byte   0x42                /* inc %edx; 0x4a: dec %edx */
    mov     %edx, 0x20000
    mov     %ebx, 0x20004
    until_rounds 1b
    succeed

on_32:
    count_tick
    iret

#include "end.inc"
