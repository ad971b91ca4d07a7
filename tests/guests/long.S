/* SPDX-License-Identifier: GPL-2.0-or-later */
/* 64-bit code: registers, strings, branches and faults, low and high. */
#include "long.inc"

#define SOURCE 0x20000
#define TO     0x30000

main:
    movl    $0, PT + 0xa0 * 8
    sti
1:
    go_to   HIGH
    call    pass
    call    faults
    go_to   HALF
    call    pass
    call    moves
    go_to   GIANT
    call    pass
    call    branches
    go_to   0
    call    faults
    call    strings
    call    by_r8
    call    moves
    until_rounds 1b
    succeed

/* Registers and data that only 64-bit code has. */
pass:
    lea     1(%r8,%r9,2), %r8
    imul    $3, %r8, %r9
    xor     %r8, %r10
    rol     $13, %r10
    mov     %r10, spot(%rip)
    add     spot(%rip), %r11
    adc     %r11d, %r12d
    shld    $3, %r8, %r13
    bswap   %r13
    movabs  $0x123456789abcdef0, %r14
    xor     %r13, %r14
    cmp     %r14, %r15
    cmovb   %r14, %r15
    seta    spot+8(%rip)
    mov     %r15b, %sil
    movslq  %r14d, %rbx
    pushfq
    popq    spot+16(%rip)
    pushfq
    orl     $0x801, (%rsp)      /* OF, CF */
    popfq
    adc     $0, %r12
    pushfw
    popw    spot+24(%rip)
    movq    %r10, %xmm8
    paddq   %xmm8, %xmm15
    movups  %xmm15, spot+32(%rip)
    lea     spot+48(%rip), %rsi
    mov     (%rsi), %rax
    mov     8(%rsi), %rdx
    mov     %r8, %rcx
    mov     %rcx, %rbx
    lock cmpxchg16b (%rsi)
    xchg    %r9, spot+64(%rip)
    enter   $16, $0
    mov     %r9, -8(%rbp)
    leave
    movabs  %rax, TO + 0x4000
    ret

/* What stops, each with a handler. */
faults:
    mov     $5, %eax
    xor     %edx, %edx
    xor     %ecx, %ecx
    div     %rcx
    ud2
    movabs  $NOWHERE, %rdi
    mov     (%rdi), %rax
    push    %rbp
    mov     %rdi, %rbp
    mov     (%rbp), %eax        /* #SS, or #GP in the lab */
    pop     %rbp
    int3
    int     $0x40
    call    unmap
    incl    0x90000
    mov     HIGH + 0x91004, %rax
    mov     %rax, HIGH + 0x92ffa    /* two pages */
    push    HIGH + 0x94000
    popq    0x95000
    movabs  $HALF + 0x96000, %rsi
    mov     $0x97ff0, %edi
    mov     length(%rip), %ecx
    rep movsq
    mov     length(%rip), %ecx
    neg     %rcx
    lea     0xa0000(,%rcx,8), %rdi
    mov     $1, %ecx
    shl     $33, %rcx           /* more than there is: until on_14 */
    rep stosq
    ret

/* IN, MOV SS, and the ways to go there. */
moves:
    in      $PORT_RANDOM, %al
    mov     %al, spot+72(%rip)
    mov     $HIGH + TO, %rdi
    mov     $PORT_RANDOM, %edx
    mov     $3, %ecx
    rep insl
    mov     MMIO, %rax
    mov     %rax, spot+80(%rip)
    mov     %ss, %ebx
    mov     %ebx, %ss
    incl    spot+88(%rip)
    xor     %eax, %eax
    cpuid
    mov     %cr8, %rax
    xor     $5, %eax            /* down each second time: an exit */
    mov     %rax, %cr8
    add     %rax, spot+120(%rip)
    lea     way(%rip), %rax
    call    *%rax
    mov     %rax, spot+96(%rip)
    call    *spot+96(%rip)
    lea     1f(%rip), %rax
    push    $CS0_64
    push    %rax
    lretq
1:
    mov     %rsp, %rcx
    push    $DS0
    push    %rcx
    pushfq
    push    $CS0_64
    lea     2f(%rip), %rax
    push    %rax
    iretq
2:
    lea     3f(%rip), %rax
    push    %rax
    ret
3:
    sti
    incl    spot+92(%rip)
    ret
way:
    ret     $0

/* Each kind of conditional branch. */
branches:
    mov     length(%rip), %ecx
1:
    lea     (%r8,%rcx), %r8
    loop    1b
    mov     $9, %ecx
2:
    test    %cl, %r8b
    jz      3f
    incl    spot+104(%rip)
3:
    jns     4f
    .byte   0x0f, 0x84          /* JZ with 32 bits */
    .long   5f - 4f
4:
    dec     %ecx
    jrcxz   5f
    jecxz   5f
    jmp     2b
5:
    ret

/* A loop without conditional branches, whose rounds R8 alone tells apart. */
by_r8:
    mov     $63, %r8d
    mov     $2f, %r9d
1:
    mov     %r8, spot+104(%rip)
    lea     -1(%r8), %r8
    mov     %eax, %eax
    mov     %ebx, %ebx
    jmp     *(%r9,%r8,8)
3:
    ret
    .balign 8
2:
    .long   3b, 0
    .rept   62
    .long   1b, 0
    .endr

strings:
    mov     $HIGH + SOURCE, %rsi
    mov     $TO, %edi
    mov     length(%rip), %ecx
    rep movsq
    mov     $HIGH + TO + 0x2000, %rdi
    mov     %r10, %rax
    mov     length(%rip), %ecx
    rep stosq
    movabs  $HALF + TO + 0x4000, %rdi
    mov     length(%rip), %ecx
    std
    rep stosw
    cld
    mov     $-1, %rcx           /* as a strlen() */
    mov     $SOURCE, %edi
    mov     length(%rip), %ebx
    mov     $0x5a, %eax
    mov     %al, (%rdi,%rbx)
    repne scasb
    mov     %rcx, spot+112(%rip)
    movb    $0, SOURCE(%rbx)
    mov     length(%rip), %ecx
    mov     $SOURCE, %esi
    mov     $HIGH + SOURCE, %rdi
    repe cmpsq
    mov     length(%rip), %ecx
    mov     $SOURCE, %esi
    addr32 rep lodsl
    ret

/* Pages 0x90000 to 0x9ffff are gone: see paging.inc. */
unmap:
    pushfq
    cli
    mov     $PT + 0x90 * 8, %edi
    xor     %eax, %eax
    mov     $16, %ecx
    rep stosq
    mov     %cr3, %rax
    mov     %rax, %cr3
    popfq
    ret

on_14:
    note_frame 8
    push    %rax
    push    %rdx
    fold_in 16(%rsp)            /* error code */
    fold_in %cr2
    mov     %cr2, %rax
    mov     %eax, %edx
    and     $0x1ff000, %edx
    lea     7(%rdx), %eax
    shr     $12, %edx
    cmp     $0x90, %edx
    jb      unexpected
    cmp     $0xa0, %edx
    ja      unexpected
    je      1f
    mov     %rax, PT(,%rdx,8)
2:
    pop     %rdx
    pop     %rax
    add     $8, %rsp
    iretq
1:
    xor     %ecx, %ecx
    jmp     2b

    .set    ist_13, 1
on_0:
    skip    3
on_6:
    skip    2
on_12:
on_13:
    skip    3, 8
on_3:
on_64:
    note_frame
    iretq
on_32:
    count_tick
    iretq

    .balign 16
spot:
    .fill   16, 8, 0

#include "end-long.inc"
