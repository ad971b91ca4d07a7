/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-tables.c: page tables, IDT and GDT, read from the guest's RAM. */
#include <string.h>

#include "pb-linear.h"
#include "pb-tables.h"

#define CR0_PG 0x80000000ull
#define CR4_PSE 0x10ull
#define CR4_PAE 0x20ull

#define PTE_P  0x01ull
#define PTE_PS 0x80ull

#define PAE_ADDRESS 0x000ffffffffff000ull

#define PAGE 4096u

static inline __attribute__((always_inline))
bool read_entry(const PbMem *mem, uint64_t gpa, unsigned size, uint64_t *entry)
{
    const void *p = pb_mem_at(mem, gpa, size);

    *entry = 0;
    if (p) {
        memcpy(entry, p, size);
    }
    return p && (*entry & PTE_P);
}

static bool walk_32(const PbMem *mem, const struct kvm_sregs *s,
                    uint32_t linear, uint64_t *gpa)
{
    uint64_t e;

    if (!read_entry(mem, (s->cr3 & 0xfffff000) + (linear >> 22) * 4, 4, &e)) {
        return false;
    }
    if ((e & PTE_PS) && (s->cr4 & CR4_PSE)) {
        /* PSE-36: bits 13 to 20 are address bits 32 to 39. */
        *gpa = (e & 0xffc00000) | ((e & 0x1fe000) << 19) |
               (linear & 0x3fffff);
        return true;
    }
    if (!read_entry(mem, (e & 0xfffff000) + ((linear >> 12) & 0x3ff) * 4, 4,
                    &e)) {
        return false;
    }
    *gpa = (e & 0xfffff000) | (linear & 0xfff);
    return true;
}

static bool walk_pae(const PbMem *mem, const struct kvm_sregs *s,
                     uint32_t linear, uint64_t *gpa)
{
    uint64_t e;

    if (!read_entry(mem, (s->cr3 & 0xffffffe0) + (linear >> 30) * 8, 8, &e) ||
        !read_entry(mem, (e & PAE_ADDRESS) + ((linear >> 21) & 0x1ff) * 8, 8,
                    &e)) {
        return false;
    }
    if (e & PTE_PS) {
        *gpa = (e & PAE_ADDRESS & ~0x1fffffull) | (linear & 0x1fffff);
        return true;
    }
    if (!read_entry(mem, (e & PAE_ADDRESS) + ((linear >> 12) & 0x1ff) * 8, 8,
                    &e)) {
        return false;
    }
    *gpa = (e & PAE_ADDRESS) | (linear & 0xfff);
    return true;
}

/* Four or five levels, each for nine bits; pages of 1 GiB and 2 MiB. */
static bool walk_long(const PbMem *mem, const struct kvm_sregs *s,
                      uint64_t linear, uint64_t *gpa)
{
    unsigned bits = pb_linear_bits(s);
    uint64_t e = s->cr3;

    if (!pb_is_canonical(s, linear)) {
        return false;
    }
    do {
        bits -= 9;
        if (!read_entry(mem, (e & PAE_ADDRESS) + (linear >> bits & 0x1ff) * 8,
                        8, &e)) {
            return false;
        }
    } while (bits > 12 && !(e & PTE_PS && bits <= 30));
    *gpa = (e & PAE_ADDRESS & ~0ull << bits) |
           (linear & ~(~0ull << bits));
    return true;
}

bool pb_tables_walk(const PbMem *mem, const struct kvm_sregs *sregs,
                    uint64_t linear, uint64_t *gpa)
{
    if (pb_long_mode(sregs)) {
        return walk_long(mem, sregs, linear, gpa);
    }
    if (!(sregs->cr0 & CR0_PG)) {
        *gpa = (uint32_t)linear;
        return true;
    }
    return sregs->cr4 & CR4_PAE ? walk_pae(mem, sregs, linear, gpa)
                                : walk_32(mem, sregs, linear, gpa);
}

/* Host memory of @linear, and how much of @len lies in its page. */
static uint8_t *host_at(const PbMem *mem, const struct kvm_sregs *sregs,
                        uint64_t linear, unsigned len, unsigned *n)
{
    uint64_t gpa;

    *n = PAGE - (linear & (PAGE - 1));
    *n = *n < len ? *n : len;
    if (!pb_tables_walk(mem, sregs, linear, &gpa)) {
        return NULL;
    }
    return pb_mem_at(mem, gpa, *n);
}

unsigned pb_tables_read(const PbMem *mem, const struct kvm_sregs *sregs,
                        uint64_t linear, void *buf, unsigned len)
{
    unsigned done, n;

    for (done = 0; done < len; done += n) {
        uint8_t *p = host_at(mem, sregs, linear + done, len - done, &n);

        if (!p) {
            break;
        }
        /* GCC makes REP MOVS of a memcpy() here, slow for so few bytes. */
        memmove((uint8_t *)buf + done, p, n);
    }
    return done;
}

bool pb_tables_equal(const PbMem *mem, const struct kvm_sregs *sregs,
                     uint64_t linear, const void *buf, unsigned len)
{
    unsigned done, n;

    for (done = 0; done < len; done += n) {
        uint8_t *p = host_at(mem, sregs, linear + done, len - done, &n);

        if (!p || memcmp(p, (const uint8_t *)buf + done, n) != 0) {
            return false;
        }
    }
    return true;
}

unsigned pb_tables_write(const PbMem *mem, const struct kvm_sregs *sregs,
                         uint64_t linear, const void *buf, unsigned len)
{
    unsigned done, n;

    for (done = 0; done < len; done += n) {
        uint8_t *p = host_at(mem, sregs, linear + done, len - done, &n);

        if (!p) {
            break;
        }
        memcpy(p, (const uint8_t *)buf + done, n);
    }
    return done;
}

/* A TSS of 32 bits: in its descriptor's second half. */
#define IS_TSS32  0x800

static bool descriptor(const PbMem *mem, const struct kvm_sregs *sregs,
                       uint16_t selector, uint32_t d[2])
{
    bool local = selector & 4;
    uint64_t table = local ? sregs->ldt.base : sregs->gdt.base;
    uint32_t limit = local ? sregs->ldt.limit : sregs->gdt.limit;
    uint32_t offset = selector & ~7u;

    return offset != 0 && offset + 7 <= limit &&
           pb_tables_read(mem, sregs, table + offset, d, 8) == 8;
}

static uint32_t base_of(const uint32_t d[2])
{
    uint32_t low = d[0] >> 16;

    return low | (d[1] & 0xff) << 16 | (d[1] & 0xff000000);
}

/* Base of the code segment @selector names; false when there is none. */
static bool segment_base(const PbMem *mem, const struct kvm_sregs *sregs,
                         uint16_t selector, uint32_t *base)
{
    uint32_t d[2];
    bool is = descriptor(mem, sregs, selector, d);

    *base = is ? base_of(d) : 0;
    return is;
}

/* Where the task goes on whose TSS @selector names; 0: nowhere. */
static uint64_t task_entry(const PbMem *mem, const struct kvm_sregs *sregs,
                           uint16_t selector)
{
    uint32_t d[2], tss, base, ip = 0;
    uint16_t cs;
    unsigned size;
    bool wide;

    if (!descriptor(mem, sregs, selector, d)) {
        return 0;
    }
    tss = base_of(d);
    wide = d[1] & IS_TSS32;
    size = wide ? 4 : 2;
    if (pb_tables_read(mem, sregs, tss + (wide ? PB_TSS32_EIP : PB_TSS16_IP),
                       &ip, size) != size ||
        pb_tables_read(mem, sregs, tss + (wide ? PB_TSS32_CS : PB_TSS16_CS),
                       &cs, 2) != 2 ||
        !segment_base(mem, sregs, cs, &base)) {
        return 0;
    }
    return (uint32_t)(base + ip);
}

static PbGate real_gate(const PbMem *mem, const struct kvm_sregs *sregs,
                        uint64_t table, uint8_t vector)
{
    PbGate gate = { .kind = PB_GATE_NONE };
    uint16_t e[2];               /* IP, CS */

    if (pb_tables_read(mem, sregs, table + vector * 4u, e, 4) == 4) {
        gate.kind = PB_GATE_ENTRY;
        gate.entry = e[1] * 16u + e[0];
        gate.bits = 16;
    }
    return gate;
}

static PbGate idt_gate(const PbMem *mem, const struct kvm_sregs *sregs,
                       uint8_t vector)
{
    PbGate gate = { .kind = PB_GATE_NONE };
    uint32_t e[2], base, offset;
    unsigned type;

    if (vector * 8u + 7 > sregs->idt.limit ||
        pb_tables_read(mem, sregs, sregs->idt.base + vector * 8u, e, 8) != 8 ||
        !(e[1] & 0x8000)) {
        return gate;
    }
    type = (e[1] >> 8) & 0x1f;
    if (type == 0x05) {
        gate.entry = task_entry(mem, sregs, e[0] >> 16);
        gate.kind = gate.entry ? PB_GATE_TASK : PB_GATE_NONE;
        return gate;
    }
    if ((type & 0x17) != 0x06 && (type & 0x17) != 0x07) {
        return gate;
    }
    gate.bits = type & 8 ? 32 : 16;
    offset = (e[0] & 0xffff) | (gate.bits == 32 ? e[1] & 0xffff0000 : 0);
    if (segment_base(mem, sregs, e[0] >> 16, &base)) {
        gate.kind = PB_GATE_ENTRY;
        gate.entry = (uint32_t)(base + offset);
    }
    return gate;
}

/* Of 16 bytes, always to 64-bit code. */
static PbGate long_gate(const PbMem *mem, const struct kvm_sregs *sregs,
                        uint8_t vector)
{
    PbGate gate = { .kind = PB_GATE_NONE };
    uint32_t e[4];
    unsigned size = sizeof(e), type;

    if (vector * size + size - 1 > sregs->idt.limit ||
        pb_tables_read(mem, sregs, sregs->idt.base + vector * size, e, size) !=
        size || !(e[1] & 0x8000)) {
        return gate;
    }
    type = (e[1] >> 8) & 0x1f;
    if (type == 0x0e || type == 0x0f) {
        gate.kind = PB_GATE_ENTRY;
        gate.entry = (uint64_t)e[2] << 32 | (e[1] & 0xffff0000) |
                     (e[0] & 0xffff);
        gate.bits = 64;
    }
    return gate;
}

PbGate pb_tables_gate(const PbMem *mem, const struct kvm_sregs *sregs,
                      uint8_t vector)
{
    if (pb_long_mode(sregs)) {
        return long_gate(mem, sregs, vector);
    }
    if (!(sregs->cr0 & PB_CR0_PE)) {
        if (vector * 4u + 3 > sregs->idt.limit) {
            return (PbGate) { .kind = PB_GATE_NONE };
        }
        return real_gate(mem, sregs, sregs->idt.base, vector);
    }
    return idt_gate(mem, sregs, vector);
}

PbGate pb_tables_vm86_gate(const PbMem *mem, const struct kvm_sregs *sregs,
                           uint8_t vector)
{
    return real_gate(mem, sregs, 0, vector);
}
