/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interrupts right after STI and MOV SS, which hold them back by one. */
#include "common.inc"

main:
    xor     %ebx, %ebx
1:
    sti
    inc     %ebx
    lea     1(%ebx), %edx
    cli
    xor     %edx, 0x20000
    sti
    nop
    mov     %ss, %eax
    mov     %ax, %ss
    inc     %ebx
    add     %ebx, 0x20004
    push    %ss
    pop     %ss
    mov     $0x80000, %esp
    lss     stack_pointer, %esp
    add     %ebx, 0x20008
    cli
    call    enable
    sti
    sti
    cli
    until_rounds 1b
    succeed
enable:
    sti
    ret
    .balign 4
stack_pointer:
    .long   0x80000
    .word   DS0

on_32:
    count_tick
    iret

#include "end.inc"
