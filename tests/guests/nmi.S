/* SPDX-License-Identifier: GPL-2.0-or-later */
/* NMIs, which no flag holds back. */
#include "common.inc"

main:
    cli
    mov     $MODE_NMI, %al
    out     %al, $PORT_MODE
1:
    .rept   10
    incl    0x20000
    lea     1(%ebx,%ecx), %ebx
    .endr
    mov     $9, %ecx
2:
    dec     %ecx
    jnz     2b
    until_nmis 1b
    mov     $MODE_BOTH, %al
    out     %al, $PORT_MODE
    movl    $0, nmis
3:
    sti
    incl    0x20004
    cli
    pushf
    incl    0x20004
    popf
    until_nmis 3b
    succeed
    counts_nmis

on_32:
    count_tick
    iret

#include "end.inc"
