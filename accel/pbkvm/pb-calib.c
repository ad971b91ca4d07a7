/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-calib.c: a guest of a few loops whose branches are known. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "branch-counter.h"
#include "pb-calib.h"
#include "pb-inject.h"
#include "pb-vm.h"

#define RAM_SIZE 0x10000u
#define GDT      0x2000u
#define IDT      0x3000u
#define HANDLER  0x10a0u
#define STACK    0x8000u
#define CS       0x08
#define DS       0x10

#define CR0_PE_ET_NE 0x31
#define RFLAGS_IF    0x202

static const struct {
    uint32_t at;
    uint8_t bytes[16];
} code[] = {
    { PB_CALIB_LOOP, {
        0x49,                          /* 1: dec ecx */
        0x75, 0xfd,                    /* jnz 1b */
        0xf4 } },                      /* hlt */
    { PB_CALIB_LOCKED, {
        0xf0, 0x83, 0x05, 0x00, 0x50, 0x00, 0x00, 0x01,
                                       /* 1: lock add [0x5000], 1 */
        0x49,                          /* dec ecx */
        0x75, 0xf5,                    /* jnz 1b */
        0xf4 } },                      /* hlt */
    { PB_CALIB_MIXED, {
        0xf6, 0xc1, 0x01,              /* 1: test cl, 1 */
        0x74, 0x01,                    /* jz 2f */
        0x90,                          /* nop */
        0x72, 0x01,                    /* 2: jc 3f: never */
        0x90,                          /* nop */
        0x49,                          /* 3: dec ecx */
        0x75, 0xf4,                    /* jnz 1b */
        0xf4 } },                      /* hlt */
    { PB_CALIB_PORTS, {
        0xe6, 0x10,                    /* 1: out 0x10, al */
        0xe4, 0x10,                    /* in al, 0x10 */
        0x49,                          /* dec ecx */
        0x75, 0xf9,                    /* jnz 1b */
        0xf4 } },                      /* hlt */
    { PB_CALIB_BREAKS, {
        0x90, 0x90,                    /* 1: nop; nop */
        0x49,                          /* dec ecx */
        0x75, 0xfb,                    /* jnz 1b */
        0xf4 } },                      /* hlt */
    { PB_CALIB_RDTSC, {
        0x0f, 0x31,                    /* rdtsc */
        0xe7, 0x10,                    /* out 0x10, eax */
        0xf4 } },                      /* hlt */
    { PB_CALIB_STILL, {
        0x0f, 0x31,                    /* rdtsc */
        0x89, 0xc3,                    /* mov ebx, eax */
        0x0f, 0x31,                    /* 1: rdtsc */
        0x39, 0xd8,                    /* cmp eax, ebx */
        0x75, 0x04,                    /* jne 2f */
        0x49,                          /* dec ecx */
        0x75, 0xf7,                    /* jnz 1b */
        0xf4,                          /* hlt */
        0xe7, 0x10 } },                /* 2: out 0x10, eax */
    { HANDLER, {
        0x51,                          /* push ecx */
        0xb9, PB_CALIB_HANDLER_BRANCHES, 0x00, 0x00, 0x00,
                                       /* mov ecx, 3 */
        0x49,                          /* 1: dec ecx */
        0x75, 0xfd,                    /* jnz 1b */
        0x59,                          /* pop ecx */
        0xcf } },                      /* iret */
};

static void fill_ram(uint8_t *ram)
{
    static const uint64_t gdt[] = {
        0, 0x00cf9b000000ffffull, 0x00cf93000000ffffull,
    };
    const uint64_t gate = HANDLER | CS << 16 | 0x8e00ull << 32;
    unsigned i;

    for (i = 0; i < sizeof(code) / sizeof(code[0]); i++) {
        memcpy(ram + code[i].at, code[i].bytes, sizeof(code[i].bytes));
    }
    memcpy(ram + GDT, gdt, sizeof(gdt));
    memcpy(ram + IDT + PB_CALIB_VECTOR * 8, &gate, sizeof(gate));
}

static int set_sregs(PbVcpu *v)
{
    const struct kvm_segment data = {
        .limit = 0xffffffff, .selector = DS, .type = 3, .present = 1,
        .db = 1, .s = 1, .g = 1,
    };
    struct kvm_sregs s;
    int ret = pb_vcpu_get_sregs(v, &s);

    if (ret < 0) {
        return ret;
    }
    s.ds = s.es = s.fs = s.gs = s.ss = s.cs = data;
    s.cs.selector = CS;
    s.cs.type = 0xb;
    s.gdt = (struct kvm_dtable){ .base = GDT, .limit = 3 * 8 - 1 };
    s.idt = (struct kvm_dtable){ .base = IDT, .limit = 256 * 8 - 1 };
    s.cr0 = CR0_PE_ET_NE;
    return pb_vcpu_ioctl(v, KVM_SET_SREGS, &s);
}

bool pb_calib_new(PbCalib *g, int kvm_fd, char *why, size_t len)
{
    const char *what = "KVM_SET_SREGS";
    int ret;

    memset(g, 0, sizeof(*g));
    g->v.fd = g->v.vm_fd = -1;
    g->v.mem = &g->mem;
    g->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g->ram == MAP_FAILED) {
        g->ram = NULL;
        snprintf(why, len, "out of memory");
        return false;
    }
    fill_ram(g->ram);
    pb_mem_add_block(&g->mem, "calibration", g->ram, RAM_SIZE);
    pb_mem_set_slot(&g->mem, 0, &(PbSlotChange){ .size = RAM_SIZE });
    ret = pb_vm_create(&g->v, kvm_fd, NULL, &what);
    if (ret == 0) {
        ret = set_sregs(&g->v);
    }
    if (ret < 0) {
        snprintf(why, len, "KVM refused %s for the calibration guest: %s",
                 what, strerror(-ret));
        pb_calib_free(g);
        return false;
    }
    return true;
}

void pb_calib_free(PbCalib *g)
{
    pb_vm_destroy(&g->v);
    if (g->ram) {
        munmap(g->ram, RAM_SIZE);
        g->ram = NULL;
    }
}

int pb_calib_start(PbCalib *g, uint32_t loop, uint32_t times)
{
    struct kvm_regs regs = {
        .rip = loop, .rcx = times, .rsp = STACK, .rflags = RFLAGS_IF,
    };

    return pb_vcpu_set_regs(&g->v, &regs);
}

int pb_calib_interrupt(PbCalib *g)
{
    int ret = pb_inject_irq(&g->v, PB_CALIB_VECTOR);

    g->injected += ret == 0;
    return ret;
}

static int answer_port(PbCalib *g)
{
    struct kvm_run *run = g->v.run;
    int ret;

    memset((uint8_t *)run + run->io.data_offset, 0, run->io.size);
    g->ports++;
    if (!g->inject_every || g->ports % g->inject_every) {
        return 0;
    }
    ret = pb_vcpu_complete(&g->v);
    if (ret == 0 && !run->ready_for_interrupt_injection) {
        ret = -EAGAIN;
    }
    return ret == 0 ? pb_calib_interrupt(g) : ret;
}

int pb_calib_run(PbCalib *g)
{
    int ret;

    do {
        ret = pb_vcpu_run(&g->v);
        if (ret == 0 && g->v.run->exit_reason == KVM_EXIT_HLT) {
            return 0;
        }
        if (ret == 0) {
            ret = g->v.run->exit_reason == KVM_EXIT_IO ? answer_port(g)
                                                       : -EPROTO;
        }
    } while (ret == 0);
    return ret < 0 ? ret : -EPROTO;
}
