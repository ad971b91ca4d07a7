/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A device writes memory when it is told, while it is read, by itself. */
#include "common.inc"

main:
    sti
1:
    mov     $DMA_AREA, %eax
    out     %eax, $PORT_DMA
    call    sum
    in      $PORT_DMA_IN, %eax
    add     %eax, %ebx
    call    sum
    mov     %ebx, 0x20000
    mov     $MODE_DMA, %al
    out     %al, $PORT_MODE
    mov     $3, %edx
2:
    call    sum
    dec     %edx
    jnz     2b
    mov     $MODE_IRQ, %al
    out     %al, $PORT_MODE
    call    sum
    until_rounds 1b
    succeed

sum:
    mov     $DMA_AREA, %esi
    mov     $32, %ecx
3:
    lodsl
    add     %eax, %ebx
    rol     $1, %ebx
    dec     %ecx
    jnz     3b
    ret

on_32:
    count_tick
    iret

#include "end.inc"
