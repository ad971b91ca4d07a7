/* SPDX-License-Identifier: GPL-2.0-or-later */
/* NMIs around INT n and INT3. */
#include "common.inc"

main:
    mov     $MODE_NMI, %al
    out     %al, $PORT_MODE
1:
    .rept   8
    int     $0x40
    incl    0x20000
    int     $0x41
    int3
    mov     $100, %ecx
2:
    loop    2b
    .endr
    until_nmis 1b
    succeed
    counts_nmis

on_3:
on_64:
on_65:
    note_frame
    iret

on_32:
    count_tick
    iret

#include "end.inc"
