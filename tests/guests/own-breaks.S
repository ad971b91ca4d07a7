/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest with breakpoints of its own: on an instruction, and on what is
 * written.  It sets and clears them where no interrupt is near.
 */
#include "common.inc"

#define WATCHED   0x20000
#define DR7       0x000d060a      /* 0: 4 bytes written, 1: executed */

    .macro  far_from_interrupts
    mov     length, %ecx
1:
    loop    1b
    .endm

main:
    mov     $WATCHED, %eax
    mov     %eax, %dr0
    mov     $executed, %eax
    mov     %eax, %dr1
    mov     $DR7, %eax
    mov     %eax, %dr7
    far_from_interrupts
    sti
2:
    incl    WATCHED
    mov     $7, %ecx
3:
    loop    3b
executed:
    lea     1(%ebx), %ebx
    mov     %bl, WATCHED + 3
    pushf
    mov     $WATCHED, %edi
    stosl
    popf
    mov     %ebx, WATCHED + 8
    until_rounds 2b
    cli
    far_from_interrupts
    xor     %eax, %eax
    mov     %eax, %dr7
    succeed

on_1:
    note_frame
    note_dr6 0xffffffff
    orl     $0x10000, 8(%esp)
    iret

on_32:
    count_tick
    iret

#include "end.inc"
