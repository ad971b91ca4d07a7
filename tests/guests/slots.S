/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory that comes, goes, turns read-only and shows other RAM. */
#include "common.inc"

main:
    sti
1:
    mov     $SLOT_RAM, %al
    out     %al, $PORT_SLOT
    call    touch
    mov     $SLOT_READONLY, %al
    out     %al, $PORT_SLOT
    call    touch
    mov     $SLOT_HIGH, %al
    out     %al, $PORT_SLOT
    call    touch
    mov     $SLOT_NONE, %al
    out     %al, $PORT_SLOT
    call    touch
    until_rounds 1b
    succeed

touch:
    mov     EXTRA, %eax
    add     %eax, %ebx
    incl    EXTRA + 4
    mov     %ebx, EXTRA + 0x1000
    mov     EXTRA + 0x1000, %eax
    xor     %eax, %ebx
    mov     %ebx, 0x20000
    ret

on_32:
    count_tick
    iret

#include "end.inc"
