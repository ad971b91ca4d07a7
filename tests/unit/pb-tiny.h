/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-tiny.h: a VM with one vCPU and a little RAM, for tests that need a guest
 * of a few bytes of code and no QEMU.
 *
 * One thread: the one that calls pb_tiny_new() runs the vCPU.  The struct is
 * the caller's and open: tests look into it.  Functions that can fail for
 * reasons of the host say why, so that a test can skip with the reason;
 * wrong use (code outside RAM) asserts.
 *
 * Guest physical memory, which is also the linear one (paging, when on,
 * maps the first 4 MiB one to one):
 *
 *    0x000000  real-mode interrupt table
 *    0x001000  GDT: see the selectors below
 *    0x002000  IDT: 256 interrupt gates to the stubs, DPL 3, of 8 bytes or,
 *              for long mode, of 16
 *    0x003000  TSS (stack for entries from ring 3)
 *    0x004000  stubs: 16 bytes per vector; each is `hlt` until replaced
 *    0x005000  page directory, 0x006000 page table
 *    0x007000  PML4, 0x008000 and 0x009000 the levels below it, 0x00a000 page
 *              tables (two pages), for long mode
 *    0x010000  code: where pb_tiny_start() goes
 *    0x020000  free for data
 *    0x080000  top of the ring 0 stack; 0x090000 that of ring 3
 *    0x200000  end of RAM: an access above is MMIO
 */
#ifndef PB_TINY_H
#define PB_TINY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pb-mem.h"
#include "pb-vcpu.h"

#define PB_TINY_GDT        0x1000u
#define PB_TINY_IDT        0x2000u
#define PB_TINY_TSS        0x3000u
#define PB_TINY_STUBS      0x4000u
#define PB_TINY_STUB_SIZE  16u
#define PB_TINY_PD         0x5000u
#define PB_TINY_PT         0x6000u
#define PB_TINY_PML4       0x7000u
#define PB_TINY_LONG_PT    0xa000u
#define PB_TINY_CODE       0x10000u
#define PB_TINY_DATA       0x20000u
#define PB_TINY_STACK      0x80000u
#define PB_TINY_USER_STACK 0x90000u
#define PB_TINY_RAM_SIZE   0x200000u
#define PB_TINY_MMIO       0x300000u

#define PB_TINY_CS0        0x08        /* ring 0, 32-bit, flat */
#define PB_TINY_DS0        0x10
#define PB_TINY_CS3        0x1b        /* ring 3, 32-bit, flat */
#define PB_TINY_DS3        0x23
#define PB_TINY_TR         0x28
#define PB_TINY_CS16       0x30        /* ring 0, 16-bit, base PB_TINY_CODE */

/* For long mode; those of ring 3 are in SYSRET's order. */
#define PB_TINY_LONG_CS0   0x40
#define PB_TINY_LONG_DS0   0x48
#define PB_TINY_LONG_CS32  0x53        /* ring 3 */
#define PB_TINY_LONG_DS3   0x5b
#define PB_TINY_LONG_CS3   0x63
#define PB_TINY_LONG_TR    0x68

#define PB_TINY_LOG_MAX    1024

typedef enum PbTinyMode {
    PB_TINY_REAL,       /* 16-bit real mode, all segment bases 0 */
    PB_TINY_FLAT,       /* 32-bit protected mode, ring 0, no paging */
    PB_TINY_PAGED,      /* the same with 4 KiB pages */
    PB_TINY_LONG,       /* 64-bit mode, ring 0, with 4 KiB pages */
} PbTinyMode;

/* What the guest asked of its devices, in order. */
typedef struct PbTinyIo {
    uint32_t reason;  /* KVM_EXIT_IO or KVM_EXIT_MMIO */
    bool write;
    uint8_t size;     /* bytes of one element */
    uint32_t count;   /* elements; 1 for MMIO */
    uint64_t addr;    /* port or guest physical address */
    uint64_t data;    /* first 8 bytes, written or answered */
} PbTinyIo;

typedef struct PbTiny {
    int kvm_fd;
    int vm_fd;
    uint8_t *ram;     /* PB_TINY_RAM_SIZE bytes */
    PbMem mem;
    PbVcpu vcpu;
    size_t run_size;
    PbTinyIo log[PB_TINY_LOG_MAX];
    unsigned logs;
    uint64_t answers; /* what the next read is answered from */
} PbTiny;

/* False with @why when this host cannot run it. */
bool pb_tiny_new(PbTiny *vm, PbTinyMode mode, char *why, size_t len);
void pb_tiny_free(PbTiny *vm);

/* Copy @len bytes to guest address @gpa. */
void pb_tiny_load(PbTiny *vm, uint32_t gpa, const void *bytes, size_t len);

/* Replace the stub of @vector, at most PB_TINY_STUB_SIZE bytes. */
void pb_tiny_stub(PbTiny *vm, uint8_t vector, const void *bytes, size_t len);

/* The page table entry that maps @linear; the guest must not have run. */
uint32_t *pb_tiny_pte(PbTiny *vm, uint32_t linear);

/* Load @bytes at PB_TINY_CODE and point the vCPU there. */
void pb_tiny_start(PbTiny *vm, const void *bytes, size_t len);

/* Continue in ring 3 at the present EIP (protected modes only). */
void pb_tiny_ring3(PbTiny *vm);

/* 0 or -errno. */
int pb_tiny_set_msr(PbTiny *vm, uint32_t index, uint64_t value);

/*
 * Answer a PIO or MMIO exit and log it: reads get numbers that differ each
 * time but are the same in every run.  False for any other exit.
 */
bool pb_tiny_answer(PbTiny *vm);

/*
 * Run freely, answering PIO and MMIO, until another exit: its exit_reason,
 * or -errno.
 */
int pb_tiny_run(PbTiny *vm);

#endif /* PB_TINY_H */
