/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Task switches by far CALL, task gate and IRET; interrupts in either task. */
#include "common.inc"

#define TR2           0x38

/* Flags outlive a switch to the other task and back. */
    .macro  keeps_flags switch:vararg
    xor     %eax, %eax
    \switch
    jnz     unexpected
    jnp     unexpected
    inc     %eax
    \switch
    jz      unexpected
    jp      unexpected
    .endm

main:
    mov     $tss2, %eax
    mov     %ax, gdt2 + TR2 + 2
    mov     $gdt, %esi
    mov     $gdt2, %edi
    mov     $14, %ecx
    rep movsl
    lgdt    gdt2_ptr
    movl    $TR2 << 16, idt + 0x42 * 8
    movl    $0xe500, idt + 0x42 * 8 + 4
    sti
1:
    inc     %ebx
    keeps_flags lcall $TR2, $0
    keeps_flags int $0x42
    mov     $20, %ecx
2:
    lea     3(%ebx,%ecx), %ebx
    loop    2b
    until_rounds 1b
    succeed

/* The other task: from where it left off, each time. */
task2:
    incl    0x20000
    mov     $9, %ecx
3:
    add     %ecx, 0x20004
    loop    3b
    keeps_flags iret
    jmp     task2

on_32:
    count_tick
    iret

    .balign 16
gdt2:
    .fill   7, 8, 0
    .long   0x67, 0x00008900
gdt2_ptr:
    .word   gdt2_ptr - gdt2 - 1
    .long   gdt2
    .balign 16
tss2:
    .fill   8, 4, 0             /* back link, stacks, CR3 */
    .long   task2, 0x202        /* EIP, EFLAGS */
    .long   0, 0, 0, 0, 0x60000, 0, 0, 0
    .long   DS0, CS0, DS0, DS0, DS0, DS0
    .long   0, 0x680000

#include "end.inc"
