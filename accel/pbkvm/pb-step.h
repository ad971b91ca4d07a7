/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-step.h: execute exactly one guest instruction (one iteration of a REP
 * string), leaving no trace of the stepping in the guest.
 *
 * TF alone leaks into PUSHF, interrupt and fault frames, is held back by
 * MOV SS, and is swallowed by HLT and MMIO writes (Linux
 * arch/x86/kvm/x86.c; Intel SDM 3B 19.3).  So the instruction is decoded
 * first, and wherever its successor is known a hardware breakpoint there
 * takes TF's place; TF is kept for branches, returns and REP strings, with
 * breakpoints on the handlers of the faults they can raise.
 *
 * Called on the vCPU's thread.
 */
#ifndef PB_STEP_H
#define PB_STEP_H

#include "pb-vcpu.h"

typedef enum PbInsnKind {
    PB_INSN_PLAIN,        /* next instruction follows it, unless it faults */
    PB_INSN_BRANCH,       /* JMP/Jcc/LOOP/JCXZ rel: touches no memory */
    PB_INSN_INDIRECT,     /* near RET, JMP/CALL r/m, far transfers, IRET */
    PB_INSN_CALL,         /* CALL rel: pushes, then goes to a known target */
    PB_INSN_REP,          /* REP/REPE/REPNE string */
    PB_INSN_INT,          /* INT n, INT3, INTO: goes to IDT gate @vector */
    PB_INSN_SYSENTER,
    PB_INSN_SYSRET,       /* of 64-bit code: goes to RCX, loads RFLAGS */
    PB_INSN_UNKNOWN,      /* not mapped or not decodable: will fault */
} PbInsnKind;

/* What else the planner of a step must know of an instruction. */
enum {
    PB_INSN_NO_TF = 1 << 0,     /* TF would be seen, lost or held back */
    PB_INSN_SHADOW = 1 << 1,    /* MOV SS, POP SS: traps wait one more */
    PB_INSN_FPU = 1 << 2,       /* x87 or MMX: may raise #NM, #MF */
    PB_INSN_SSE = 1 << 3,       /* may raise #NM, #UD, #XM */
    PB_INSN_DIVIDE = 1 << 4,    /* #DE */
    PB_INSN_BOUND = 1 << 5,     /* #BR */
    PB_INSN_SEGMENT = 1 << 6,   /* loads a segment: #NP, #SS */
    PB_INSN_UD = 1 << 7,        /* made to raise #UD */
    PB_INSN_IRET = 1 << 8,      /* loads EFLAGS from the stack */
    PB_INSN_OP16 = 1 << 9,      /* operand size 16 */
    PB_INSN_ADDR16 = 1 << 10,   /* address size 16: CX counts */
    PB_INSN_SYSCALL = 1 << 11,  /* PB_INSN_SYSENTER: it is SYSCALL */
    PB_INSN_REFUSED = 1 << 12,  /* cannot be stepped: ICEBP, RSM */
    PB_INSN_MOV_DR = 1 << 13,   /* to or from a debug register */
    PB_INSN_SETS_DR6 = 1 << 14, /* of these: to DR6 */
    PB_INSN_OP64 = 1 << 15,     /* operand size 64, by a prefix */
};

/* No instruction has more bytes. */
#define PB_INSN_MAX_LEN 15

typedef struct PbInsn {
    uint8_t kind;         /* PbInsnKind */
    uint8_t len;          /* bytes; 0 when unknown */
    bool conditional;     /* a conditional branch: counted when it retires */
    uint8_t vector;       /* PB_INSN_INT */
    uint8_t from;         /* PB_INSN_SETS_DR6: ModRM's number of the register */
    uint16_t traits;      /* PB_INSN_NO_TF, ... */
    uint64_t target;      /* linear, of PB_INSN_BRANCH and PB_INSN_CALL */
} PbInsn;

/*
 * Decode the instruction at @code (@len bytes available) at linear address
 * @pc whose CS base is @cs_base; @bits is 16, 32 or 64.  Pure.
 * Thread-safe after the first call.
 */
void pb_insn_decode(PbInsn *insn, const uint8_t *code, unsigned len,
                    uint64_t pc, uint64_t cs_base, unsigned bits);

/*
 * Its length alone, of common instructions; 0: ask the disassembler, or there
 * are not so many bytes.  Pure; thread-safe.
 */
unsigned pb_insn_length(const uint8_t *code, unsigned len, unsigned bits);

/*
 * Its length, or 0, and text by the disassembler, for reports.  Thread-safe
 * after the first call.
 */
unsigned pb_insn_print(const uint8_t *code, unsigned len, uint64_t pc,
                       unsigned bits, char *text, size_t size);

/* Fetch and decode the instruction at the vCPU's CS:RIP. */
void pb_insn_fetch(PbVcpu *v, const struct kvm_regs *regs,
                   const struct kvm_sregs *sregs, PbInsn *insn);

/* Whether it is PB_INSN_MOV_DR; no disassembler is asked. */
bool pb_insn_at_mov_dr(const PbMem *mem, const struct kvm_regs *regs,
                       const struct kvm_sregs *sregs);

typedef enum PbStepResult {
    PB_STEP_DONE,         /* one instruction, one REP iteration, or the entry
                             into the handler of the fault it raised */
    PB_STEP_EXIT,         /* the instruction needs an answer: run->exit_reason
                             is PIO, MMIO, HLT, MSR, SHUTDOWN, ...; once it
                             is answered the next step completes it */
    PB_STEP_INTERRUPTED,  /* a signal came first; nothing was executed, or
                             try again */
} PbStepResult;

/*
 * Step once.  PbStepResult, or -errno.  @branch (may be NULL) tells whether
 * a conditional branch retired.  Guest debugging is left as the step needed
 * it: call pb_vcpu_debug_off() before anything is injected or run freely.
 *
 * An interrupt, NMI or exception that waits for delivery is the step: DONE
 * then means the entry into its handler.  MOV SS and the instruction behind
 * it are one step where the CPU does not stop in between.
 *
 * A guest that steps itself has its #DB waiting for delivery after a step.
 *
 * -EOPNOTSUPP: it cannot be stepped unseen (ICEBP, RSM); nothing was executed.
 * -EPROTO: the guest stopped where the instruction cannot lead; -ELOOP: #DB
 * exits without progress (KVM that emulates and ignores RF).  Of the guest's
 * own debug registers those for data are in force if @v says so and the step
 * leaves room; one for the instruction stepped is the caller's to mind.
 */
int pb_step(PbVcpu *v, bool *branch);

/*
 * What -errno from pb_step() or pb_vcpu_run() means, as a text in @why (@len
 * bytes); of -EOPNOTSUPP also which instruction it was.
 */
void pb_step_explain(PbVcpu *v, int err, char *why, size_t len);

/*
 * Linear address of the first instruction of the handler of @vector, from
 * the IDT (or the real-mode table).  0 when there is none.
 */
uint64_t pb_handler_entry(PbVcpu *v, const struct kvm_sregs *sregs,
                          uint8_t vector);

#endif /* PB_STEP_H */
