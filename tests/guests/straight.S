/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interrupts in code without branches: the branch count alone is no place. */
#include "common.inc"

main:
    sti
1:
    .rept   40
    inc     %ebx
    lea     3(%ebx,%ecx,2), %edx
    xor     %edx, 0x20000
    add     $0x1234567, %ecx
    rol     $3, %ecx
    .endr
    until_rounds 1b
    succeed

on_32:
    count_tick
    iret

#include "end.inc"
