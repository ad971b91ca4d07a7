/* SPDX-License-Identifier: GPL-2.0-or-later */
/* REP MOVS and STOS that run into absent pages. */
#include "common.inc"
#include "paging.inc"

main:
    call    paging_on
    sti
1:
    mov     length, %ecx
    mov     %ecx, %ebx
    shr     $1, %ebx            /* half of it before the page that faults */
    lea     (,%ebx,4), %edx
    mov     $0x8000, %esi
    mov     $0x90000, %edi
    sub     %edx, %edi
    rep movsl
    mov     length, %ecx
    mov     $0x94000, %esi
    sub     %ebx, %esi
    mov     $0x96005, %edi
    sub     %ebx, %edi
    rep movsb
    mov     length, %ecx
    mov     $0x9f000, %edi
    add     %edx, %edi
    std
    rep stosl
    cld
    call    unmap
    until_rounds 1b
    succeed

on_32:
    count_tick
    iret

#include "end.inc"
