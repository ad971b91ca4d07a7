/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two calls of one function: same RIP, same branch count. */
#include "common.inc"

main:
    sti
1:
    .rept   8
    call    leaf
    .endr
    push    %ebx
    call    leaf
    pop     %ebx
    until_rounds 1b
    succeed

leaf:
    .rept   12
    incl    0x20000
    nop
    .endr
    ret

on_32:
    count_tick
    iret

#include "end.inc"
