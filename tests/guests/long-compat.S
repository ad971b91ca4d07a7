/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 32-bit code beside 64-bit code, in ring 3 and in ring 0.  Not all processors
 * have SYSCALL there: who does not gets the same by #UD.
 */
#include "long.inc"

main:
    set_msr MSR_STAR, CS3 << 48 | CS0_64 << 32
    point_msr MSR_CSTAR, system
    set_msr MSR_SFMASK, 0x47700
    push    $DS3
    push    $0x60000
    push    $0x202
    push    $CS3
    push_low user
    iretq

    .code32
user:
    mov     $DS3, %eax
    mov     %eax, %ds
    mov     %eax, %es
1:
    lea     3(%ebx,%ecx,4), %ecx
    inc     %ebx                /* a prefix in 64-bit code */
    push    %ecx
    xor     %ecx, 0x20000
    pop     %edx
    int     $0x80
    push    %cs
    call    2f
    mov     $5, %ecx
    xor     %ebx, 0x20000(,%ecx,4)
    loop    .-7
    pushf
    pop     %edx
    mov     $0x21000, %esi
    mov     $0x22000, %edi
    mov     length, %ecx
    rep movsl
    mov     %ebp, %esi
    mov     %esp, %ebp
    syscall                     /* ECX is where it returns to */
    mov     %esi, %ebp
    ljmp    $CS3_64, $3f
2:
    lret
4:
    cli                         /* faults in ring 3 */
    mov     ticks, %eax
    cmp     rounds, %eax
    jb      1b
    int     $0x41

    .code64
3:
    inc     %r8
    mov     %r8, 0x20010
    push    $CS3
    push_low 4b
    lretq

/* SYSCALL of 32-bit code, and back. */
system:
    mov     $HIGH + 0x70000, %rsp
    fold    %rcx
    fold    %r11
    mov     $2, %edx            /* branches, to be counted */
1:
    dec     %edx
    jnz     1b
    mov     %ebp, %esp
    sysretl

on_6:
    note_frame
    xor     %edx, %edx
    mov     (%rsp), %rcx
    add     $2, %rcx
    mov     %rcx, (%rsp)
    mov     16(%rsp), %r11
    iretq

/* Code of 32 bits in ring 0, with a stack that it can reach. */
on_128:
    note_frame
    push    %rbp
    push    %rdx
    mov     %rsp, %rbp
    mov     $DS0, %eax          /* it is null, and 32-bit code minds */
    mov     %eax, %ss
    mov     $0x50000, %esp
    push    $CS0
    push_low 1f
    lretq
    .code32
1:
    inc     %edx
    push    %edx
    pushf
    pop     %edx
    mov     %ss, %edx
    mov     %edx, %ss
    pop     %edx
    int     $0x40
    ljmp    $CS0_64, $1f
    .code64
1:
    mov     %rbp, %rsp
    pop     %rdx
    pop     %rbp
    iretq

on_13:
    skip    1, 8

on_64:
    note_frame
    iretq

on_65:
    succeed

on_32:
    count_tick
    iretq

#include "end-long.inc"
