/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * random.S: what every generated guest has in common.  guest-gen.c writes its
 * code to BODY: a header, a main part and a part for the interrupt's handler.
 *
 * Code is made of items.  An item that may fault says before where to go on
 * (`recover`); the part says where its stack is (`stack`).  So no fault and
 * no unbalanced stack keeps a guest from its end.
 */
#include "common.inc"

#define PAGE_FLAGS      7
#define FAULT_ELSEWHERE fault
#include "paging.inc"

#define BODY            0xa000    /* as in guest-gen.h */
#define BODY_CONFIG     BODY      /* 1: paging */
#define BODY_MODE       (BODY + 4)
#define BODY_MAIN       (BODY + 8)
#define BODY_HANDLER    (BODY + 12)

#define RECOVER         0x1f000
#define STACK           0x1f004
#define STACK_RING0     0x1f008   /* of the item that went to ring 3, */
#define BACK_RING0      0x1f00c   /* and where that goes on */

#define REAL_ESP        0x7f00    /* of the item that went to real mode, */
#define REAL_BACK       0x7f04    /* and where that goes on, in 32 bits */
#define REAL_SS         0x5000

#define READONLY        0x2f000   /* with paging */
#define MMIO_ALIAS      0x3f0000

main:
    mov     $0x7f000, %esp
    mov     %cr0, %eax
    and     $~0xc, %eax           /* EM, TS */
    or      $0x22, %eax           /* NE, MP */
    mov     %eax, %cr0
    fninit
    testl   $1, BODY_CONFIG
    jz      1f
    call    paging_on
    movl    $READONLY + 5, PT + (READONLY >> 12) * 4
    movl    $MMIO + PAGE_FLAGS, PT + (MMIO_ALIAS >> 12) * 4
    mov     %cr3, %eax
    mov     %eax, %cr3
1:
    mov     BODY_MODE, %al
    out     %al, $PORT_MODE
    sti
    call    *BODY_MAIN
    cld
    pusha
    mov     $8, %ecx
2:
    pop     %eax
    call    fold
    dec     %ecx
    jnz     2b
    out     %eax, $PORT_CONSOLE
    testl   $1, BODY_CONFIG
    jz      3f
    call    unmap
3:
    until_rounds 1b
    succeed

/* Goes on at the item's end, with neither TF, NT nor AC. */
    .macro  recovers vector
on_\vector:
    push    $\vector
    jmp     fault
    .endm
    recovers 0
    recovers 5
    recovers 6
    recovers 7
    recovers 16
    recovers 19
on_10:
on_11:
on_12:
on_13:
on_17:
fault:
    push    %eax
    mov     4(%esp), %eax         /* error code or vector */
    call    fold
    mov     8(%esp), %eax         /* EIP */
    call    fold
    mov     16(%esp), %eax        /* EFLAGS */
    call    fold
    mov     RECOVER, %eax
    mov     %eax, 8(%esp)
    andl    $~0x44100, 16(%esp)
    pop     %eax
    add     $4, %esp
    iret

on_3:
on_4:
on_64:
    note_frame
    iret

/* The guest's own single-steps and breakpoints. */
on_1:
    push    %eax
    mov     4(%esp), %eax
    call    fold
    mov     12(%esp), %eax
    call    fold
    note_dr6 0x4000               /* B0 to B3: see own-steps.S */
    orl     $0x10000, 12(%esp)
    pop     %eax
    iret

/* From ring 3 back to the item that went there. */
on_65:
    mov     STACK_RING0, %esp
    mov     %esp, STACK
    push    $CS0
    push    BACK_RING0
    mov     $DS0, %eax
    mov     %eax, %ds
    mov     %eax, %es
    sti
    lret

on_2:
    note_frame
    iret

on_32:
    count_tick
    pusha
    mov     ticks, %eax           /* a long handler must not go on for ever */
    shr     $2, %eax
    cmp     rounds, %eax
    jae     1f
    pushl   RECOVER
    pushl   STACK
    push    %es
    mov     $DS0, %eax
    mov     %eax, %es
    call    *BODY_HANDLER
    pop     %es
    popl    STACK
    popl    RECOVER
1:
    popa
    iret

/* ---- real mode, for the item `real` ---- */

/*
 * Interrupts are off at the source while IDT and mode do not fit each other: an
 * NMI would find neither table.
 */
    .macro  source mode:vararg
    mov     \mode, %al
    out     %al, $PORT_MODE
    .endm

/* To the 16-bit code at %eax; it ends with a jump to leave_real. */
enter_real:
    cli
    mov     %esp, REAL_ESP
    mov     %eax, %ebx
    source  $MODE_OFF
    push    %ds
    pop     %es
    mov     $256, %ecx
    xor     %edi, %edi
    mov     $fault16, %eax
    cld
    rep stosl
    movl    $return16, 2 * 4
    movl    $return16, 3 * 4
    movl    $return16, 4 * 4
    movl    $tick16, 32 * 4
    movl    $return16, 64 * 4
    ljmp    $CS16, $1f
    .code16
1:
    mov     %cr0, %eax
    and     $~1, %al
    mov     %eax, %cr0
    ljmp    $0, $2f
2:
    lidtl   ivt_ptr
    xor     %ax, %ax
    mov     %ax, %ds
    mov     %ax, %es
    mov     $REAL_SS, %ax
    mov     %ax, %ss
    mov     $0x8000, %esp         /* SS may still have 32 bits */
    source  BODY_MODE
    sti
    jmp     *%bx

leave_real:
    cli
    source  $MODE_OFF
    mov     %cr0, %eax
    or      $1, %al
    mov     %eax, %cr0
    ljmpl   $CS0, $3f
    .code32
3:
    mov     $DS0, %eax
    mov     %eax, %ds
    mov     %eax, %es
    mov     %eax, %ss
    lidt    idt_ptr
    mov     REAL_ESP, %esp
    source  BODY_MODE
    sti
    jmp     *REAL_BACK

    .code16
tick16:
    push    %bp
    mov     %sp, %bp
    push    %eax
    mov     2(%bp), %ax           /* IP and flags of what it interrupted */
    add     6(%bp), %ax
    add     %ax, %cs:mix
    incl    %cs:ticks
    pop     %eax
    pop     %bp
return16:
    iret

fault16:
    push    %bp
    mov     %sp, %bp
    push    %ax
    mov     2(%bp), %ax
    add     %ax, %cs:mix
    movw    $leave_real, 2(%bp)
    pop     %ax
    pop     %bp
    iret
    .code32

ivt_ptr:
    .word   0x3ff
    .long   0

#include "end.inc"
    .org    BODY - 8 - 0x8000
    .long   enter_real, leave_real    /* where guest-gen.h looks for them */
