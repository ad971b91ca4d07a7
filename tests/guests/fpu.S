/* SPDX-License-Identifier: GPL-2.0-or-later */
/* x87 and SSE registers live across interrupts that use them too. */
#include "common.inc"

main:
    mov     %cr0, %eax
    and     $~0xc, %eax         /* EM, TS */
    or      $0x22, %eax         /* NE, MP */
    mov     %eax, %cr0
    finit
    movl    $0x12345678, seed
    sti
1:
    fildl   seed
    fsqrt
    fadds   half
    fld     %st(0)
    fmulp
    fistpll 0x20000
    movss   half, %xmm0
    cvtsi2ss seed, %xmm1
    mulss   %xmm1, %xmm0
    addps   %xmm0, %xmm2
    movups  %xmm2, 0x20010
    fldpi
    fstpt   0x20030
    incl    seed
    until_rounds 1b
    succeed
    .balign 16
seed:
    .long   0
half:
    .float  0.5

on_32:
    count_tick
    fxsave  0x30000
    fninit
    fldl2e
    fstpl   0x31000
    pxor    %xmm2, %xmm2
    movups  %xmm2, 0x31010
    fxrstor 0x30000
    iret

#include "end.inc"
