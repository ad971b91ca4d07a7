/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ring 3 of 64 bits: in by IRETQ and SYSRETQ, out by SYSCALL, INT, faults and
 * interrupts.  As in Linux interrupts are disabled around SYSCALL and SYSRETQ,
 * where RSP is still ring 3's; an NMI, which has a stack, comes even there.
 */
#include "long.inc"

#define KERNEL   0x20100      /* GS of ring 0: its RSP, ring 3's */
#define USER     0x20200      /* GS of ring 3 */

#define FAST     1            /* RAX of SYSCALL: return by SYSRETQ, */
#define SLOW     2            /* or by IRETQ */

main:
    set_msr MSR_STAR, CS3 << 48 | CS0_64 << 32
    point_msr MSR_LSTAR, system
    set_msr MSR_SFMASK, 0x47700         /* AC, NT, IOPL, DF, IF, TF */
    set_msr MSR_GS_BASE, HIGH + KERNEL
    set_msr MSR_KERNEL_GS, USER
    movq    $HIGH + 0x70000, KERNEL
    swapgs
    push    $DS3
    push    $0x60000
    push    $0x202
    push    $CS3_64
    push_low user
    iretq

user:
    mov     $FAST, %eax
    syscall
    incl    %gs:0
    std
    mov     $SLOW, %eax
    syscall
    cld
    lea     3(%r8,%rax,4), %r8
    push    %r8
    go_to   GIANT
    mov     $FAST, %eax
    syscall
    xor     %r8, 0x20000
    pop     %r9
    mov     $FAST, %eax
    mov     %ss, %edx
    mov     %edx, %ss
    syscall
    int     $0x40
    go_to   0
    cli                         /* faults in ring 3 */
    until_rounds user
    int     $0x41

system:
    swapgs
    mov     %rsp, %gs:8
    mov     %gs:0, %rsp
    push    $DS3
    push    %gs:8
    push    %r11
    push    $CS3_64
    push    %rcx
    sti
    fold    %rcx
    fold    %r11
    cmp     $FAST, %eax
    je      1f
    mov     $MODE_BOTH, %al
    out     %al, $PORT_MODE
    mov     $3, %eax
    cli
    swapgs
    iretq
1:
    mov     $3, %eax
    cli
    pop     %rcx
    add     $8, %rsp
    pop     %r11
    mov     (%rsp), %rsp
    swapgs
    sysretq

    .set    ist_2, 2
on_2:
    push    %rax
    fold_in 8(%rsp)
    fold_in 32(%rsp)
    mov     $MODE_IRQ, %al      /* one at a time, or nothing else is done */
    out     %al, $PORT_MODE
    pop     %rax
    iretq

on_13:
    skip    1, 8

on_64:
    note_frame
    iretq

on_65:
    succeed

on_32:
    testl   $3, 8(%rsp)
    jz      1f
    swapgs
    incl    %gs:16
    count_tick
    swapgs
    iretq
1:
    count_tick
    iretq

#include "end-long.inc"
