/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interrupts between the iterations of REP STOS, forwards and backwards. */
#include "common.inc"

main:
    sti
1:
    ask_length
    mov     ticks, %eax
    mov     $0x20000, %edi
    mov     length, %ecx
    rep stosb
    mov     $0x5ffff, %edi
    mov     length, %ecx
    std
    rep stosb
    cld
    until_rounds 1b
    succeed

on_32:
    count_tick
    iret

#include "end.inc"
