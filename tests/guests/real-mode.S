/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interrupts in 16-bit real mode, as in firmware. */
    .code16
    .text
    .globl  main
    .set    LOAD, 0x8000

main:
    xor     %ax, %ax
    mov     %ax, %ds
    mov     %ax, %es
    movw    $on_32 - LOAD, 32 * 4
    mov     %cs, %ax
    movw    %ax, 32 * 4 + 2
    movw    $on_64 - LOAD, 64 * 4
    movw    %ax, 64 * 4 + 2
    in      $0xf0, %eax
    mov     %eax, 0x7100
    sti
1:
    incw    0x7200
    mov     $0x1234, %cx
    mov     $0x2000, %ax
    mov     %ax, %es
    xor     %di, %di
    mov     $200, %cx
    rep stosw
    mov     $50, %cx
2:
    add     %cx, %bx
    loop    2b
    pushf
    pop     %ax
    add     %ax, 0x7204
    int     $64
    mov     %ss, %ax
    mov     %ax, %ss
    nop
    mov     0x7300, %eax
    cmp     0x7100, %eax
    jb      1b
    cli
    xor     %al, %al
    out     %al, $0xf4
    hlt

on_32:
    push    %ax
    push    %bp
    mov     %sp, %bp
    mov     4(%bp), %ax         /* IP */
    add     8(%bp), %ax         /* FLAGS */
    add     %ax, 0x7304
    rolw    $3, 0x7304
    incl    0x7300
    pop     %bp
    pop     %ax
    iret
on_64:
    incw    0x7308
    iret
