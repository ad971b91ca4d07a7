/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Page faults, whose handlers return to the instruction that faulted. */
#include "common.inc"
#include "paging.inc"

main:
    call    paging_on
    sti
1:
    incl    0x90000
    mov     0x91004, %eax
    mov     %eax, 0x92ffe       /* two pages */
    push    0x94000
    popl    0x95000
    mov     0x96000, %edx
    incl    0x20000
    call    unmap
    until_rounds 1b
    succeed

on_32:
    count_tick
    iret

#include "end.inc"
