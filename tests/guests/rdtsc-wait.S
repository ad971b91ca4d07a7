/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 200 delays of 10 us by RDTSC, as a driver has that shifts bits out, with no
 * exit and no interrupt. All together they must take less than 6.4 s: without
 * somebody who looks, each would take a tick of the slow counter (64 ms in the
 * lab).
 */
#include "common.inc"

#define DELAYS 200
#define DELAY  10000
#define MOST   6400000000     /* 200 ticks of the lab's, halved */

main:
    cli
    rdtsc
    mov     %eax, %esi
    mov     %edx, %edi
    mov     $DELAYS, %ecx
1:
    rdtsc
    mov     %eax, %ebx
2:
    rdtsc
    sub     %ebx, %eax
    cmp     $DELAY, %eax
    jb      2b
    loop    1b
    rdtsc
    sub     %esi, %eax
    sbb     %edi, %edx
    sub     $(MOST & 0xffffffff), %eax
    sbb     $(MOST >> 32), %edx
    jnc     slow
    succeed

slow:
    end_with 0x72

on_32:
    iret

#include "end.inc"
