/* SPDX-License-Identifier: GPL-2.0-or-later */
/* REP MOVS and STOS that run into absent pages. */
#include "common.inc"
#include "paging.inc"

main:
    call    paging_on
    sti
1:
    mov     $0x8000, %esi
    mov     $0x8ff00, %edi
    mov     $0x900, %ecx
    rep movsl
    mov     $0x92800, %esi
    mov     $0x95003, %edi
    mov     $0x1100, %ecx
    rep movsb
    mov     $0x9f000, %edi
    mov     $0x0200, %ecx
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
