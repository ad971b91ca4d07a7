/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tables-fuzz.c: the input is a guest that tries to mislead who walks its
 * page tables and its IDT: registers, memory slots, and words of its RAM.
 */
#include "fuzz.h"
#include "pb-tables.h"

#define BLOCK_SIZE 0x4000u
#define MAX_LEN    9000u

typedef struct Guest {
    struct kvm_sregs sregs;
    PbMem mem;
} Guest;

static void set_registers(Guest *g, FuzzIn *in)
{
    g->sregs.cr0 = fuzz_u8(in) & 1 ? 0x80000001 : fuzz_u8(in) & 1;
    g->sregs.cr4 = fuzz_u8(in);
    g->sregs.cr3 = fuzz_u32(in);
    g->sregs.efer = fuzz_u8(in) == 0xff ? 0x400 : 0;
    g->sregs.idt.base = fuzz_u32(in);
    g->sregs.idt.limit = fuzz_u16(in);
    g->sregs.gdt.base = fuzz_u32(in);
    g->sregs.gdt.limit = fuzz_u16(in);
    g->sregs.ldt.base = fuzz_u32(in);
    g->sregs.ldt.limit = fuzz_u32(in);
}

/* One that covers the first block, further ones as the input has them. */
static void set_slots(Guest *g, FuzzIn *in)
{
    unsigned i, n = fuzz_u8(in) % 4;
    PbSlotChange c = { .size = BLOCK_SIZE };

    pb_mem_set_slot(&g->mem, 0, &c);
    for (i = 1; i <= n; i++) {
        fuzz_bytes(in, &c, sizeof(c));
        if (!pb_mem_check_slot(&g->mem, i, &c)) {
            pb_mem_set_slot(&g->mem, i, &c);
        }
    }
}

static void set_memory(Guest *g, FuzzIn *in)
{
    unsigned i, n = fuzz_u8(in);

    for (i = 0; i < n && in->left; i++) {
        uint16_t at = fuzz_u16(in);

        fuzz_bytes(in, g->mem.block[at >> 15].host + at % (BLOCK_SIZE - 7),
                   8);
    }
}

static void look(Guest *g, uint32_t linear, unsigned len)
{
    uint8_t *buf = malloc(len);
    unsigned n = pb_tables_read(&g->mem, &g->sregs, linear, buf, len), vector;

    fuzz_check(n <= len);
    fuzz_check(pb_tables_write(&g->mem, &g->sregs, linear, buf, n) <= n);
    free(buf);
    for (vector = 0; vector < 256; vector += 15) {
        PbGate gate = pb_tables_gate(&g->mem, &g->sregs, vector);

        bool wide = g->sregs.efer && gate.bits == 64;

        fuzz_check(gate.kind != PB_GATE_ENTRY || wide || gate.bits == 16 ||
                   gate.bits == 32);
        fuzz_check(wide || gate.entry <= UINT32_MAX);
        pb_tables_vm86_gate(&g->mem, &g->sregs, vector);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzIn in = { data, size };
    Guest g = { .mem.blocks = 0 };
    uint8_t *ram[2] = { calloc(1, BLOCK_SIZE), calloc(1, BLOCK_SIZE) };
    uint32_t linear;

    pb_mem_add_block(&g.mem, "ram", ram[0], BLOCK_SIZE);
    pb_mem_add_block(&g.mem, "more", ram[1], BLOCK_SIZE);
    set_registers(&g, &in);
    linear = fuzz_u32(&in);
    set_slots(&g, &in);
    set_memory(&g, &in);
    look(&g, linear, size % MAX_LEN);
    look(&g, linear, MAX_LEN);
    free(ram[0]);
    free(ram[1]);
    return 0;
}
