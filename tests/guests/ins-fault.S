/* SPDX-License-Identifier: GPL-2.0-or-later */
/* REP INS into an absent page: the answer comes, then the fault. */
#include "common.inc"
#include "paging.inc"

main:
    call    paging_on
    sti
1:
    mov     $PORT_RANDOM, %dx
    mov     $0x8fff0, %edi
    mov     $0x30, %ecx
    rep insb
    mov     $0x93ffe, %edi
    insl
    mov     $PORT_RANDOM, %dx
    mov     $0x98000, %edi
    insw
    call    unmap
    until_rounds 1b
    succeed

on_32:
    count_tick
    iret

#include "end.inc"
