/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest that single-steps itself, also over what KVM runs for it.  Of DR6 it
 * looks at BS alone: a processor may set B0 to B3 for what others left in DR0
 * to DR3, though it is not in force (SDM 3B 19.2.3).
 */
#include "common.inc"

    .macro  set_tf
    pushf
    orl     $0x100, (%esp)
    popf
    .endm

    .macro  clear_tf
    pushf
    andl    $~0x100, (%esp)
    popf
    .endm

main:
    sti
1:
    set_tf
    incl    0x20000
    lea     1(%ebx), %ebx
    xor     %eax, %eax
    cpuid
    pushf
    pop     %eax
    add     %eax, 0x20004
    int     $0x40
    in      $PORT_RANDOM, %al
    mov     %al, 0x20008
    mov     $3, %ecx
2:
    loop    2b
    mov     $0x21000, %esi
    mov     $0x22000, %edi
    mov     $4, %ecx
    rep movsl
    mov     %ss, %edx
    mov     %dx, %ss
    incl    0x2000c
    call    3f
3:
    pop     %edx
    clear_tf
    mov     $9, %ecx
4:
    incl    0x20010
    loop    4b
    until_rounds 1b
    succeed

on_1:
    note_frame
    note_dr6 0x4000
    iret

on_64:
    note_frame
    iret

on_32:
    count_tick
    iret

#include "end.inc"
