/* SPDX-License-Identifier: GPL-2.0-or-later */
/* own-breaks.S in 64-bit code: addresses above 4 GiB, and 8 bytes watched. */
#include "long.inc"

#define WATCHED   HIGH + 0x20000
#define DR7       0x0009060a      /* 0: 8 bytes written, 1: executed */

    .macro  far_from_interrupts
    mov     length(%rip), %ecx
1:
    loop    1b
    .endm

main:
    mov     $WATCHED, %rax
    mov     %rax, %dr0
    lea     executed(%rip), %rax
    mov     %rax, %dr1
    mov     $DR7, %eax
    mov     %rax, %dr7
    far_from_interrupts
    sti
2:
    incq    WATCHED
    mov     $7, %ecx
3:
    loop    3b
executed:
    lea     1(%rbx), %rbx
    mov     %bl, WATCHED + 7
    pushfq
    mov     $WATCHED, %rdi
    stosq
    popfq
    mov     %rbx, WATCHED + 8
    mov     %rbx, 0x20000       /* the same memory, but no breakpoint */
    go_to   0
    xor     %ebx, WATCHED + 4
    go_to   HIGH
    until_rounds 2b
    cli
    far_from_interrupts
    xor     %eax, %eax
    mov     %rax, %dr7
    succeed

on_1:
    note_frame
    note_dr6 0xffff
    orl     $0x10000, 16(%rsp)
    iretq

on_32:
    count_tick
    iretq

#include "end-long.inc"
