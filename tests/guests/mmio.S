/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads and writes of a device's memory, strings and odd pieces too. */
#include "common.inc"

main:
    sti
    mov     $MMIO, %esi
1:
    mov     (%esi), %eax
    add     %eax, %ebx
    mov     %ebx, 8(%esi)
    movzbl  3(%esi), %eax
    movzwl  6(%esi), %edx
    add     %eax, %edx
    mov     %dl, 1(%esi)
    mov     %dx, 2(%esi)
    incl    16(%esi)
    xchg    %eax, 32(%esi)
    push    %esi
    mov     $0x20000, %edi
    mov     $5, %ecx
    rep movsl
    mov     $0x20000, %esi
    mov     $MMIO + 64, %edi
    mov     $6, %ecx
    rep movsb
    pop     %esi
    mov     0xffffe, %eax       /* half RAM, half nothing */
    add     %eax, %ebx
    mov     %ebx, 0xffffd
    pushl   (%esi)
    popl    4(%esi)
    cmpb    $0, 5(%esi)
    jne     2f
    inc     %ebx
2:
    push    %esi
    lea     32(%esi), %edi
    cmpsl                       /* two reads of one instruction, */
    pop     %esi
    setc    %al
    add     %al, %bl
    movdqu  6(%esi), %xmm0      /* and one in two pieces */
    movdqu  %xmm0, 0x20100
    until_rounds 1b
    succeed

on_32:
    count_tick
    iret

#include "end.inc"
