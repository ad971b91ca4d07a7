/* SPDX-License-Identifier: GPL-2.0-or-later */
/* INT n, INT3 and INTO between interrupts. */
#include "common.inc"

main:
    sti
1:
    int     $0x40
    incl    0x20000
    int3
    mov     $0x7fffffff, %eax
    add     $1, %eax
    into
    int     $0x41
    until_rounds 1b
    succeed

on_3:
on_4:
on_64:
    note_frame
    iret
on_65:
    note_frame
    sti
    incl    0x20004
    int     $0x40
    iret

on_32:
    count_tick
    iret

#include "end.inc"
