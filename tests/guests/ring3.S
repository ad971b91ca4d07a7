/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interrupts in ring 3: another stack, INT and faults from there. */
#include "common.inc"

main:
    push    $DS3
    push    $0x60000
    pushf
    orl     $0x200, (%esp)
    push    $CS3
    push    $user
    mov     $DS3, %ax
    mov     %ax, %ds
    mov     %ax, %es
    iret
user:
    inc     %ebx
    lea     3(%ebx,%ecx,4), %ecx
    push    %ecx
    xor     %ecx, 0x20000
    pop     %edx
    int     $0x40
    cli                         /* faults in ring 3 */
    until_rounds user
    int     $0x41

on_64:
    note_frame
    iret
on_13:
    incl    0x20004
    incl    4(%esp)             /* past CLI */
    add     $4, %esp
    note_frame
    iret
on_65:
    succeed

on_32:
    count_tick
    iret

#include "end.inc"
