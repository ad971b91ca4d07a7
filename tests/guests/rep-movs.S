/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interrupts between the iterations of REP MOVS: only ECX tells them apart. */
#include "common.inc"

main:
    sti
    mov     $0x20000, %edi
    mov     $0x5a17, %eax
    mov     length, %ecx
    rep stosl
1:
    ask_length
    mov     $0x8000, %esi
    mov     $0x20000, %edi
    mov     length, %ecx
    rep movsb
    mov     $0x20003, %esi
    mov     $0x40000, %edi
    mov     length, %ecx
    shr     $2, %ecx
    rep movsl
    incl    0x8ff0
    until_rounds 1b
    succeed

on_32:
    count_tick
    iret

#include "end.inc"
