/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * RDTSC, again and again; its values go into memory, and must never go back.
 * Then a wait for it to go on, as in a kernel's delays.
 */
#include "common.inc"

#define LAST  0x20000         /* 8 bytes: what it said last */
#define MIXED 0x20010

    .macro  read_tsc
    rdtsc
    mov     %eax, %esi
    mov     %edx, %edi
    sub     LAST, %esi
    sbb     LAST + 4, %edi
    jc      back
    mov     %eax, LAST
    mov     %edx, LAST + 4
    .endm

main:
    sti
1:
    mov     length, %ecx
2:
    cli
    read_tsc
    sti
    xor     %eax, MIXED
    roll    $5, MIXED
    add     %edx, MIXED
    dec     %ecx
    jnz     2b
    mov     LAST, %ebx
3:
    rdtsc
    cmp     %eax, %ebx
    je      3b
    until_rounds 1b
    succeed

back:
    end_with 0x71

on_32:
    count_tick
    push    %eax
    push    %edx
    push    %esi
    push    %edi
    read_tsc
    pop     %edi
    pop     %esi
    pop     %edx
    pop     %eax
    iret

#include "end.inc"
