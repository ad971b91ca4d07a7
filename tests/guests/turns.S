/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two vCPUs that take turns: a lock of theirs, counters with a race, HLT.  EBX
 * is the vCPU's number.
 */
#include "common.inc"

lock:
    .long   0
shared:
    .long   0
count:
    .long   0, 0
over:
    .long   0

main:
    test    %ebx, %ebx
    jnz     1f
    out     %al, $PORT_CPUS
1:
    sti
2:
    mov     $1, %eax
    xchg    %eax, lock
    test    %eax, %eax
    jz      3f
    pause
    jmp     2b
3:
    mov     shared, %eax              /* under the lock */
    rol     $3, %eax
    lea     1(%eax, %ebx, 2), %eax
    mov     %eax, shared
    movl    $0, lock
    mov     0x20000, %eax             /* not under it */
    rol     $5, %eax
    lea     7(%eax, %ebx, 4), %eax
    mov     %eax, 0x20000
    lock incl count(, %ebx, 4)
    mov     length, %ecx
4:
    dec     %ecx
    jnz     4b
    testl   $15, count(, %ebx, 4)
    jnz     5f
    hlt
5:
    until_rounds 2b
    test    %ebx, %ebx
    jnz     7f
6:
    pause
    cmpl    $0, over
    je      6b
    succeed
7:
    incl    over
8:
    hlt
    jmp     8b

on_32:
    count_tick
    iret

#include "end.inc"
