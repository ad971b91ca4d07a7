/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MSRs that user space answers: a value, or a fault. */
#include "common.inc"

main:
    sti
1:
    mov     $0x10, %ecx         /* TSC: differs in each run */
    rdmsr
    add     %eax, %ebx
    xor     %edx, %ebx
    mov     $0x10, %ecx
    wrmsr
    mov     $0x4b564d00, %ecx   /* faults */
    rdmsr
    wrmsr
    mov     $0x12345, %ecx
    rdmsr
    mov     0x20004, %esi
    xor     %ecx, %ecx
    rdpmc                       /* faults: no virtual PMU */
    cmp     0x20004, %esi
    je      bad
    mov     %ebx, 0x20000
    until_rounds 1b
    succeed
bad:
    cli
    end_with 1

on_13:                          /* all that fault have two bytes */
    incl    0x20004
    addl    $2, 4(%esp)
    add     $4, %esp
    note_frame
    iret

on_32:
    count_tick
    iret

#include "end.inc"
