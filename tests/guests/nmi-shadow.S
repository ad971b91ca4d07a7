/* SPDX-License-Identifier: GPL-2.0-or-later */
/* NMIs around MOV SS and POP SS, which Intel's take no breakpoint behind. */
#include "common.inc"

main:
    mov     $MODE_NMI, %al
    out     %al, $PORT_MODE
1:
    .rept   10
    mov     %ss, %edx
    mov     %dx, %ss
    incl    0x20000
    push    %ss
    pop     %ss
    incl    0x20004
    .endr
    mov     $9, %ecx
2:
    loop    2b
    until_nmis 1b
    succeed
    counts_nmis

on_32:
    count_tick
    iret

#include "end.inc"
