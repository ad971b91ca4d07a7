/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two guests, each on a processor of the lab, run the same page of code again
 * and again, with breakpoints at other instructions each time. Each breakpoint
 * is met where it is set and nowhere else, however TCG has cut the code for
 * earlier ones or for the other guest's. Status 0 and a line of figures, or 1
 * and what was expected and got.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "tiny.h"

#define INSNS 200u          /* INC CX each, one byte */
#define BLOCK 20u           /* of them, then a jump to the next one */
#define ROUNDS 6000u
#define GUESTS 2u
#define RF 0x10000u

typedef struct Guest {
    Tiny t;
    unsigned number, seed;
    unsigned long met;
} Guest;

static uint8_t code[2 * INSNS];       /* no writes: they share memory */
static unsigned length;
static unsigned at[INSNS + 1];        /* where each INC is, and the HLT */

static void put(uint8_t byte)
{
    code[length++] = byte;
}

/* JMP +0, or MOV AX, imm16 and JMP AX: TCG goes on in two ways. */
static void put_jump(bool direct)
{
    unsigned next = TINY_CODE + length + 5;

    if (direct) {
        put(0xeb);
        put(0);
    } else {
        put(0xb8);
        put(next);
        put(next >> 8);
        put(0xff);
        put(0xe0);
    }
}

static void make_code(void)
{
    for (unsigned i = 0; i < INSNS; i++) {
        if (i && i % BLOCK == 0) {
            put_jump(i / BLOCK % 2);
        }
        at[i] = TINY_CODE + length;
        put(0x41);
    }
    at[INSNS] = TINY_CODE + length;
    put(0xf4);
}

/* The first guest's memory: so TCG has their code only once. */
static void share_memory(Tiny *t, const Tiny *first)
{
    struct kvm_userspace_memory_region slot = { .memory_size = 0 };

    must(ioctl(t->vm, KVM_SET_USER_MEMORY_REGION, &slot), "memory slot");
    slot.memory_size = TINY_MEMORY;
    slot.userspace_addr = (uintptr_t)first->memory;
    must(ioctl(t->vm, KVM_SET_USER_MEMORY_REGION, &slot), "memory slot");
}

static void set_breaks(Guest *g, const unsigned *insn, unsigned n, bool inside)
{
    unsigned jump = BLOCK * (1 + rand_r(&g->seed) % (INSNS / BLOCK - 1));
    struct kvm_guest_debug dbg = {
        .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP,
        .arch.debugreg[7] = 0x600,
    };

    for (unsigned i = 0; i < n; i++) {
        dbg.arch.debugreg[i] = at[insn[i]];
        dbg.arch.debugreg[7] |= 2u << (2 * i);
    }
    if (inside) {
        dbg.arch.debugreg[3] = at[jump] - 1;    /* the end of a jump */
        dbg.arch.debugreg[7] |= 2u << (2 * 3);
    }
    must(ioctl(g->t.vcpu, KVM_SET_GUEST_DEBUG, &dbg), "KVM_SET_GUEST_DEBUG");
}

/* On from a breakpoint. */
static void set_rf(Guest *g)
{
    struct kvm_regs regs;

    must(ioctl(g->t.vcpu, KVM_GET_REGS, &regs), "KVM_GET_REGS");
    regs.rflags |= RF;
    must(ioctl(g->t.vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

/* The guest runs, and stops for @reason before the instruction @insn. */
static void expect_stop(Guest *g, unsigned round, int reason, unsigned insn)
{
    unsigned halted = reason == KVM_EXIT_HLT;
    int got;

    do {
        got = tiny_run(&g->t);
    } while (got < 0);
    if (got != reason || tiny_ip(&g->t) != at[insn] + halted ||
        tiny_ecx(&g->t) != insn) {
        fail("guest %u, round %u: expected exit %d at 0x%x with CX = %u, got "
             "exit %d at 0x%x with CX = %u", g->number, round, reason,
             at[insn] + halted, insn, got, (unsigned)tiny_ip(&g->t),
             (unsigned)tiny_ecx(&g->t));
    }
}

/*
 * None, one or two breakpoints; the second one may be the first.  And at times
 * one inside an instruction, which is none.
 */
static void one_round(Guest *g, unsigned round)
{
    unsigned n = rand_r(&g->seed) % 3, insn[2];

    insn[0] = rand_r(&g->seed) % INSNS;
    insn[1] = insn[0] + rand_r(&g->seed) % (INSNS - insn[0]);
    tiny_restart(&g->t, 0);
    set_breaks(g, insn, n, rand_r(&g->seed) % 2);
    for (unsigned i = 0; i < n; i++) {
        if (i == 0 || insn[1] != insn[0]) {
            expect_stop(g, round, KVM_EXIT_DEBUG, insn[i]);
            set_rf(g);
            g->met++;
        }
    }
    expect_stop(g, round, KVM_EXIT_HLT, INSNS);
}

static void *run_guest(void *opaque)
{
    Guest *g = opaque;
    cpu_set_t own;

    CPU_ZERO(&own);
    CPU_SET(g->number, &own);
    must(sched_setaffinity(0, sizeof(own), &own), "a CPU of its own");
    g->seed = g->number + 1;
    for (unsigned round = 0; round < ROUNDS; round++) {
        one_round(g, round);
    }
    return NULL;
}

int main(void)
{
    static Guest guest[GUESTS];
    pthread_t thread[GUESTS];
    unsigned long met = 0;

    make_code();
    for (unsigned i = 0; i < GUESTS; i++) {
        guest[i].number = i;
        tiny_new(&guest[i].t, code, length);
        if (i) {
            share_memory(&guest[i].t, &guest[0].t);
        }
    }
    for (unsigned i = 0; i < GUESTS; i++) {
        if (pthread_create(&thread[i], NULL, run_guest, &guest[i])) {
            fail("no thread");
        }
    }
    for (unsigned i = 0; i < GUESTS; i++) {
        pthread_join(thread[i], NULL);
        met += guest[i].met;
    }
    printf("%u rounds, %lu breakpoints\n", GUESTS * ROUNDS, met);
    return 0;
}
