/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interrupts around IN and INS, whose data differ in each run. */
#include "common.inc"

main:
    sti
    xor     %ebx, %ebx
1:
    in      $PORT_RANDOM, %al
    add     %eax, %ebx
    in      $PORT_RANDOM, %ax
    add     %eax, %ebx
    mov     $PORT_RANDOM, %dx
    in      %dx, %eax
    add     %eax, %ebx
    mov     $0x20000, %edi
    mov     $13, %ecx
    rep insb
    insw
    mov     $7, %ecx
    rep insl
    mov     $3000, %ecx
    rep insb
    mov     $0x20000, %esi
    mov     $PORT_CONSOLE, %dx
    mov     $40, %ecx
    rep outsb
    mov     %ebx, %eax
    out     %eax, %dx
    until_rounds 1b
    succeed

on_32:
    count_tick
    iret

#include "end.inc"
