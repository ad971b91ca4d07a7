/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interrupts around PUSHF, POPF and IRET: no flag of a step may be seen. */
#include "common.inc"

main:
    sti
1:
    pushf
    pop     %eax
    add     %eax, 0x20000
    pushf
    popf
    pushf
    cli
    pushf
    pop     %edx
    add     %edx, 0x20004
    popf
    pushf
    push    $CS0
    push    $2f
    iret
2:
    pushf
    orl     $0x40cd5, (%esp)    /* AC and the arithmetic flags */
    popf
    pushf
    pop     %ebx
    rol     $1, %ebx
    xor     %ebx, 0x20008
    pushf
    andl    $~0x40cd5, (%esp)
    popf
    pushfw
    popw    %ax
    add     %ax, 0x2000c
    until_rounds 1b
    succeed

on_32:
    count_tick
    iret

#include "end.inc"
