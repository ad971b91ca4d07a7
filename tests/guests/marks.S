/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A long computation that nothing from outside disturbs. */
#include "common.inc"

main:
    mov     $MODE_OFF, %al
    out     %al, $PORT_MODE
    mov     length, %ecx
1:
    imul    $0x19660d, %eax
    add     $0x3c6ef35f, %eax
    test    $0x80, %ah
    jz      2f
    xor     %eax, 0x20000
2:
    dec     %ecx
    jnz     1b
    out     %al, $PORT_VERIFY
    mov     length, %ecx
3:
    loop    3b
    succeed

on_32:
    count_tick
    iret

#include "end.inc"
