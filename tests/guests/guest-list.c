/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guest-list.c: which guests there are, and what each one claims. */
#include <stdlib.h>
#include <string.h>

#include "guests.h"

#define CODE(symbol) \
    .code = code_##symbol, .code_end = code_##symbol##_end
#define DECLARE(symbol) \
    extern const uint8_t code_##symbol[], code_##symbol##_end[]

DECLARE(straight);
DECLARE(tight_loop);
DECLARE(rep_movs);
DECLARE(rep_stos);
DECLARE(rep_scan);
DECLARE(port_input);
DECLARE(sti_shadow);
DECLARE(flags);
DECLARE(halt);
DECLARE(int_n);
DECLARE(page_fault);
DECLARE(rep_fault);
DECLARE(ins_fault);
DECLARE(smc);
DECLARE(leaf);
DECLARE(back_to_back);
DECLARE(jump_self);
DECLARE(branchless);
DECLARE(branchless_reg);
DECLARE(mmio);
DECLARE(rom);
DECLARE(dma);
DECLARE(slots);
DECLARE(msr);
DECLARE(fpu);
DECLARE(nmi);
DECLARE(nmi_int);
DECLARE(nmi_shadow);
DECLARE(own_steps);
DECLARE(own_breaks);
DECLARE(rdtsc);
DECLARE(rdtsc_wait);
DECLARE(ring3);
DECLARE(real_mode);
DECLARE(task);
DECLARE(marks);
DECLARE(triple_fault);
DECLARE(verify);
DECLARE(turns);
DECLARE(long);
DECLARE(long_ring3);
DECLARE(long_compat);
DECLARE(long_steps);
DECLARE(long_breaks);

const Guest guests[] = {
    {
        .name = "turns", CODE(turns), .two_cpus = true,
        .claim = "two vCPUs that take turns, anywhere",
        .step_length = 5, .pmu_length = 3000,
    },
    {
        .name = "straight", CODE(straight),
        .claim = "interrupts in code without branches",
    },
    {
        .name = "tight-loop", CODE(tight_loop),
        .claim = "interrupts in a loop of two instructions",
        .step_length = 60, .pmu_length = 1000000,
    },
    {
        .name = "rep-movs", CODE(rep_movs),
        .claim = "interrupts between iterations of REP MOVS",
        .step_length = 100, .pmu_length = 65536, .walk_length = 4096,
    },
    {
        .name = "rep-stos", CODE(rep_stos),
        .claim = "interrupts between iterations of REP STOS, both ways",
        .step_length = 100, .pmu_length = 65536, .walk_length = 4096,
    },
    {
        .name = "rep-scan", CODE(rep_scan),
        .claim = "interrupts inside REPE CMPS, REPNE SCAS, REP LODS",
        .step_length = 60, .pmu_length = 300,
    },
    {
        .name = "port-input", CODE(port_input),
        .claim = "interrupts around IN, INS and OUTS",
    },
    {
        .name = "sti-shadow", CODE(sti_shadow),
        .claim = "interrupts right after STI and MOV SS",
    },
    {
        .name = "flags", CODE(flags),
        .claim = "interrupts around PUSHF, POPF and IRET",
    },
    {
        .name = "halt", CODE(halt),
        .claim = "HLT waits for an interrupt",
        .step_length = 20, .pmu_length = 20000,
    },
    {
        .name = "int-n", CODE(int_n),
        .claim = "INT n, INT3 and INTO between interrupts",
    },
    {
        .name = "page-fault", CODE(page_fault),
        .claim = "page faults and interrupts at the return",
    },
    {
        .name = "rep-fault", CODE(rep_fault),
        .claim = "REP MOVS and STOS that fault midway",
        .step_length = 16, .pmu_length = 0x900,
    },
    {
        .name = "ins-fault", CODE(ins_fault),
        .claim = "REP INS that faults after its answer",
    },
    {
        .name = "smc", CODE(smc),
        .claim = "code that rewrites itself", .computes_code = true,
    },
    {
        .name = "leaf", CODE(leaf),
        .claim = "two calls of one leaf function",
    },
    {
        .name = "back-to-back", CODE(back_to_back),
        .claim = "three interrupts at one position",
        .step_length = 10, .pmu_length = 1000,
        .mode = MODE_BURST,
    },
    {
        .name = "jump-self", CODE(jump_self),
        .claim = "JMP to itself, all interrupts at one position",
        .no_branches = true,
    },
    {
        .name = "branchless", CODE(branchless),
        .claim = "a loop that moves only memory",
        .slow = "every round of the loop is looked at",
        .no_branches = true,
    },
    {
        .name = "branchless-reg", CODE(branchless_reg),
        .claim = "a loop without a conditional branch that counts in a "
                 "register",
        .slow = "every round of the loop is looked at",
        .no_branches = true,
    },
    {
        .name = "mmio", CODE(mmio),
        .claim = "MMIO reads and writes",
    },
    {
        .name = "rom", CODE(rom),
        .claim = "writes to a read-only slot",
    },
    {
        .name = "dma", CODE(dma),
        .claim = "devices that write guest memory",
    },
    {
        .name = "slots", CODE(slots),
        .claim = "memory slots that change",
    },
    {
        .name = "msr", CODE(msr),
        .claim = "MSR accesses answered by user space",
    },
    {
        .name = "fpu", CODE(fpu),
        .claim = "x87 and SSE state across interrupts",
    },
    {
        .name = "nmi", CODE(nmi),
        .claim = "NMIs, alone and with interrupts",
    },
    {
        .name = "nmi-int", CODE(nmi_int),
        .claim = "NMIs around INT n and INT3",
    },
    {
        .name = "nmi-shadow", CODE(nmi_shadow),
        .claim = "NMIs around MOV SS and POP SS",
    },
    {
        .name = "own-steps", CODE(own_steps),
        .claim = "a guest that single-steps itself",
    },
    {
        .name = "own-breaks", CODE(own_breaks),
        .claim = "a guest with breakpoints of its own", .sets_breaks = true,
        .step_length = 10, .pmu_length = 30000,
    },
    {
        .name = "rdtsc", CODE(rdtsc),
        .claim = "RDTSC, whose counter goes on with the events",
        .has_tsc = true, .step_length = 20, .pmu_length = 5000,
    },
    {
        .name = "rdtsc-wait", CODE(rdtsc_wait),
        .claim = "short delays by RDTSC, which nothing else ends",
        .has_tsc = true, .mode = MODE_OFF,
    },
    {
        .name = "ring3", CODE(ring3),
        .claim = "interrupts, INT and faults in ring 3",
    },
    {
        .name = "real-mode", CODE(real_mode),
        .claim = "interrupts in 16-bit real mode",
        .real_mode = true,
    },
    {
        .name = "task", CODE(task),
        .claim = "task switches by far CALL, task gate and IRET",
    },
    {
        .name = "marks", CODE(marks),
        .claim = "progress marks alone",
        .step_length = 3000, .pmu_length = 50000000,
    },
    {
        .name = "triple-fault", CODE(triple_fault),
        .claim = "a triple fault shuts both down",
        .shuts_down = true,
    },
    {
        .name = "verify", CODE(verify),
        .claim = "compared again and again",
    },
    {
        .name = "long", CODE(long),
        .claim = "64-bit code at high addresses, its strings and faults",
        .step_length = 5, .pmu_length = 600,
    },
    {
        .name = "long-ring3", CODE(long_ring3),
        .claim = "SYSCALL and SYSRET, with interrupts and NMIs around them",
    },
    {
        .name = "long-compat", CODE(long_compat),
        .claim = "32-bit code beside 64-bit code",
        .step_length = 5, .pmu_length = 600,
    },
    {
        .name = "long-steps", CODE(long_steps),
        .claim = "64-bit code that single-steps itself, over SYSCALL too",
    },
    {
        .name = "long-breaks", CODE(long_breaks),
        .claim = "breakpoints of its own at 64-bit addresses",
        .sets_breaks = true, .step_length = 10, .pmu_length = 30000,
    },
};

const unsigned guests_count = sizeof(guests) / sizeof(guests[0]);

const Guest *guest_named(const char *name)
{
    unsigned i;

    for (i = 0; i < guests_count; i++) {
        if (strcmp(guests[i].name, name) == 0) {
            return &guests[i];
        }
    }
    abort();
}
