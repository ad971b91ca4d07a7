/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest that single-steps itself in 64-bit code, in both rings: SYSCALL takes
 * TF away from ring 3, and SYSRETQ and IRETQ bring it.  See own-steps.S.
 */
#include "long.inc"

    .macro  set_tf
    pushfq
    orl     $0x100, (%rsp)
    popfq
    .endm

    .macro  clear_tf
    pushfq
    andl    $~0x100, (%rsp)
    popfq
    .endm

main:
    set_msr MSR_STAR, CS3 << 48 | CS0_64 << 32
    point_msr MSR_LSTAR, system
    set_msr MSR_SFMASK, 0x47700
again:
    sti
    set_tf
    lea     1(%r8,%r8,2), %r8
    mov     %r8, 0x20000
    xor     %eax, %eax
    cpuid
    in      $PORT_RANDOM, %al
    mov     %al, 0x20008
    mov     $4, %ecx
    mov     $HIGH + 0x21000, %rsi
    mov     $0x22000, %edi
    rep movsq
    clear_tf
    push    $DS3
    push    $0x60000
    push    $0x302              /* with TF */
    push    $CS3_64
    push_low user
    iretq

user:
    incl    0x20010
    syscall
back:
    pushfq
    pop     %rax
    add     %rax, 0x20018
    int     $0x40
    mov     $3, %ecx
1:
    loop    1b
    mov     %ss, %edx
    mov     %edx, %ss
    incl    0x20020
    call    2f
2:
    pop     %rdx
    mov     %ss, %edx
    mov     %edx, %ss
    syscall
    clear_tf
    syscall
    mov     $9, %ecx
3:
    incl    0x20024
    loop    3b
    int     $0x41

/* With the stack of ring 3, so without interrupts. */
system:
    push    %rcx
    fold    %rcx
    fold    %r11
    mov     $2, %ecx            /* branches, to be counted */
1:
    loop    1b
    pop     %rcx
    sysretq

on_65:
    mov     $HIGH + 0x80000, %rsp
    incl    turns(%rip)
    mov     turns(%rip), %eax
    cmp     %eax, traps(%rip)
    jne     unexpected
    until_rounds again
    succeed

on_1:
    note_frame
    note_dr6 0x4000
    push    %rax
    mov     $back, %eax         /* SYSRETQ's own trap, once a turn */
    cmp     %rax, 8(%rsp)
    sete    %al
    movzbl  %al, %eax
    add     %eax, traps(%rip)
    pop     %rax
    iretq

turns:
    .long   0
traps:
    .long   0

on_64:
    note_frame
    iretq

on_32:
    count_tick
    iretq

#include "end-long.inc"
