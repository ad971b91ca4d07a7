/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interrupts inside REPE CMPS, REPNE SCAS and LODS. */
#include "common.inc"

main:
    sti
    xor     %ebx, %ebx
1:
    mov     $0x20000, %esi
    mov     $0x40000, %edi
    mov     length, %ecx
    repe cmpsb
    add     %ecx, %ebx
    mov     $0x20000, %edi
    mov     length, %ecx
    mov     $0xff, %al
    repne scasb
    add     %edi, %ebx
    mov     $0x8000, %esi
    mov     length, %ecx
    rep lodsb
    add     %eax, %ebx
    mov     %ebx, 0x60000
    until_rounds 1b
    succeed

on_32:
    count_tick
    iret

#include "end.inc"
