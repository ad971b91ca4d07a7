/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes to a read-only slot reach nobody but are counted. */
#include "common.inc"

main:
    sti
1:
    mov     ROM, %eax
    add     %eax, %ebx
    incl    ROM + 8
    mov     %ebx, ROM + 4
    mov     $ROM, %esi
    mov     $0x20000, %edi
    mov     $64, %ecx
    rep movsl
    mov     $0x20000, %esi
    mov     $ROM + 32, %edi
    mov     $3, %ecx
    rep movsl
    cmpb    $0, ROM
    jne     bad                 /* the harness made byte 0 a 0 */
    until_rounds 1b
    succeed
bad:
    cli
    end_with 1

on_32:
    count_tick
    iret

#include "end.inc"
