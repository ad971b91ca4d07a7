/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-tiny.c: a VM with one vCPU and a little RAM, for tests. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pb-tiny.h"

#define MAX_CPUID 256

#define CR0_PE 0x00000001u
#define CR0_NE 0x00000020u
#define CR0_WP 0x00010000u
#define CR0_CD_NW 0x60000000u
#define CR0_PG 0x80000000u
#define CR4_PAE 0x00000020u
#define CR4_OSFXSR 0x00000200u
#define CR4_OSXMMEXCPT 0x00000400u

#define EFER_LONG 0x501u               /* LMA, LME, SCE */

#define PTE_PRESENT_WRITE_USER 7u

static bool fail(char *why, size_t len, const char *what)
{
    snprintf(why, len, "%s: %s", what, strerror(errno));
    return false;
}

static void put32(PbTiny *vm, uint32_t gpa, uint32_t value)
{
    pb_tiny_load(vm, gpa, &value, sizeof(value));
}

static void set_descriptor(PbTiny *vm, unsigned selector, uint32_t base,
                           uint32_t limit, uint32_t flags)
{
    uint32_t gpa = PB_TINY_GDT + (selector & ~7u);

    put32(vm, gpa, (base << 16) | (limit & 0xffff));
    put32(vm, gpa + 4, (base & 0xff000000) | (limit & 0xf0000) |
          ((base >> 16) & 0xff) | flags);
}

static void write_tables(PbTiny *vm)
{
    uint32_t i;

    set_descriptor(vm, PB_TINY_CS0, 0, 0xfffff, 0xc09b00);
    set_descriptor(vm, PB_TINY_DS0, 0, 0xfffff, 0xc09300);
    set_descriptor(vm, PB_TINY_CS3, 0, 0xfffff, 0xc0fb00);
    set_descriptor(vm, PB_TINY_DS3, 0, 0xfffff, 0xc0f300);
    set_descriptor(vm, PB_TINY_TR, PB_TINY_TSS, 0x67, 0x8b00);
    set_descriptor(vm, PB_TINY_CS16, PB_TINY_CODE, 0xffff, 0x9b00);
    put32(vm, PB_TINY_TSS + 4, PB_TINY_STACK);
    put32(vm, PB_TINY_TSS + 8, PB_TINY_DS0);
    for (i = 0; i < 256; i++) {
        uint32_t stub = PB_TINY_STUBS + i * PB_TINY_STUB_SIZE;

        put32(vm, PB_TINY_IDT + 8 * i, (PB_TINY_CS0 << 16) | stub);
        put32(vm, PB_TINY_IDT + 8 * i + 4, 0xee00);   /* 32-bit, DPL 3 */
        put32(vm, 4 * i, stub);          /* real mode: segment 0 */
        vm->ram[stub] = 0xf4;            /* hlt */
    }
    for (i = 0; i < 1024; i++) {
        put32(vm, PB_TINY_PT + 4 * i, (i << 12) | PTE_PRESENT_WRITE_USER);
    }
    put32(vm, PB_TINY_PD, PB_TINY_PT | PTE_PRESENT_WRITE_USER);
}

/* Over what write_tables() has for 32 bits, or beside it. */
static void write_long_tables(PbTiny *vm)
{
    uint32_t i, level;

    set_descriptor(vm, PB_TINY_LONG_CS0, 0, 0xfffff, 0xa09b00);
    set_descriptor(vm, PB_TINY_LONG_DS0, 0, 0xfffff, 0xc09300);
    set_descriptor(vm, PB_TINY_LONG_CS32, 0, 0xfffff, 0xc0fb00);
    set_descriptor(vm, PB_TINY_LONG_DS3, 0, 0xfffff, 0xc0f300);
    set_descriptor(vm, PB_TINY_LONG_CS3, 0, 0xfffff, 0xa0fb00);
    set_descriptor(vm, PB_TINY_LONG_TR, PB_TINY_TSS, 0x67, 0x8b00);
    put32(vm, PB_TINY_TSS + 8, 0);       /* RSP0 has 64 bits */
    for (i = 0; i < 256; i++) {
        uint32_t stub = PB_TINY_STUBS + i * PB_TINY_STUB_SIZE;

        put32(vm, PB_TINY_IDT + 16 * i, (PB_TINY_LONG_CS0 << 16) | stub);
        put32(vm, PB_TINY_IDT + 16 * i + 4, 0xee00);
        put32(vm, PB_TINY_IDT + 16 * i + 8, 0);
    }
    for (level = PB_TINY_PML4; level < PB_TINY_LONG_PT; level += 0x1000) {
        put32(vm, level, (level + 0x1000) | PTE_PRESENT_WRITE_USER);
    }
    put32(vm, PB_TINY_LONG_PT - 0x1000 + 8,
          (PB_TINY_LONG_PT + 0x1000) | PTE_PRESENT_WRITE_USER);
    for (i = 0; i < 1024; i++) {
        put32(vm, PB_TINY_LONG_PT + 8 * i, (i << 12) | PTE_PRESENT_WRITE_USER);
    }
}

static void set_flat(struct kvm_segment *seg, uint16_t selector, uint8_t type)
{
    uint8_t dpl = selector & 3;

    *seg = (struct kvm_segment) {
        .base = 0, .limit = 0xffffffff, .selector = selector, .type = type,
        .present = 1, .dpl = dpl, .db = 1, .s = 1, .g = 1,
    };
}

static void set_flat_segments(struct kvm_sregs *s, uint16_t cs, uint16_t ds)
{
    set_flat(&s->cs, cs, 0xb);
    set_flat(&s->ds, ds, 3);
    s->es = s->fs = s->gs = s->ss = s->ds;
}

static void set_real_segments(struct kvm_sregs *s)
{
    struct kvm_segment *seg[] = { &s->cs, &s->ds, &s->es, &s->fs, &s->gs,
                                  &s->ss };
    size_t i;

    for (i = 0; i < sizeof(seg) / sizeof(seg[0]); i++) {
        seg[i]->base = 0;
        seg[i]->selector = 0;
        seg[i]->limit = 0xffff;
    }
    s->idt.base = 0;
    s->idt.limit = 0x3ff;
}

static void set_protected(struct kvm_sregs *s, bool paged)
{
    set_flat_segments(s, PB_TINY_CS0, PB_TINY_DS0);
    s->tr = (struct kvm_segment) {
        .base = PB_TINY_TSS, .limit = 0x67, .selector = PB_TINY_TR, .type = 0xb,
        .present = 1,
    };
    s->gdt.base = PB_TINY_GDT;
    s->gdt.limit = 0x7f;
    s->idt.base = PB_TINY_IDT;
    s->idt.limit = 0x7ff;
    s->cr0 = (s->cr0 & ~(uint64_t)CR0_CD_NW) | CR0_PE | CR0_NE;
    s->cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT;
    if (paged) {
        s->cr3 = PB_TINY_PD;
        s->cr0 |= CR0_PG | CR0_WP;
    }
}

/* After set_protected(). */
static void set_long(struct kvm_sregs *s)
{
    set_flat_segments(s, PB_TINY_LONG_CS0, PB_TINY_LONG_DS0);
    s->cs.db = 0;
    s->cs.l = 1;
    s->tr.selector = PB_TINY_LONG_TR;
    s->idt.limit = 0xfff;
    s->cr3 = PB_TINY_PML4;
    s->cr4 |= CR4_PAE;
    s->cr0 |= CR0_PG | CR0_WP;
    s->efer |= EFER_LONG;
}

/* The host's CPUID, so that SSE and SYSENTER are there. */
static bool set_cpuid(PbTiny *vm)
{
    struct {
        struct kvm_cpuid2 head;
        struct kvm_cpuid_entry2 entry[MAX_CPUID];
    } cpuid = { .head.nent = MAX_CPUID };

    return ioctl(vm->kvm_fd, KVM_GET_SUPPORTED_CPUID, &cpuid) == 0 &&
           ioctl(vm->vcpu.fd, KVM_SET_CPUID2, &cpuid) == 0;
}

static bool make_vm(PbTiny *vm, char *why, size_t len)
{
    vm->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (vm->kvm_fd < 0) {
        return fail(why, len, "/dev/kvm");
    }
    vm->vm_fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, 0);
    if (vm->vm_fd < 0) {
        return fail(why, len, "KVM_CREATE_VM");
    }
    /* Intel without unrestricted guest wants it; others ignore it. */
    (void)ioctl(vm->vm_fd, KVM_SET_TSS_ADDR, 0xfffbd000ul);
    vm->ram = mmap(NULL, PB_TINY_RAM_SIZE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (vm->ram == MAP_FAILED) {
        vm->ram = NULL;
        return fail(why, len, "mmap of guest RAM");
    }
    return true;
}

static bool make_memory(PbTiny *vm, char *why, size_t len)
{
    PbSlotChange slot = { .gpa = 0, .size = PB_TINY_RAM_SIZE };
    int ret;

    if (!pb_mem_add_block(&vm->mem, "ram", vm->ram, PB_TINY_RAM_SIZE)) {
        errno = ENOSPC;
        return fail(why, len, "pb_mem_add_block");
    }
    ret = pb_mem_apply_slot(&vm->mem, vm->vm_fd, 0, &slot);
    if (ret < 0) {
        errno = -ret;
        return fail(why, len, "KVM_SET_USER_MEMORY_REGION");
    }
    return true;
}

static bool make_vcpu(PbTiny *vm, char *why, size_t len)
{
    int size = ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    void *run;

    vm->vcpu.vm_fd = vm->vm_fd;
    vm->vcpu.mem = &vm->mem;
    vm->vcpu.fd = ioctl(vm->vm_fd, KVM_CREATE_VCPU, 0);
    if (size < 0 || vm->vcpu.fd < 0) {
        return fail(why, len, "KVM_CREATE_VCPU");
    }
    run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vm->vcpu.fd, 0);
    if (run == MAP_FAILED) {
        return fail(why, len, "mmap of the vCPU");
    }
    vm->vcpu.run = run;
    vm->run_size = size;
    return set_cpuid(vm) || fail(why, len, "KVM_SET_CPUID2");
}

static bool set_mode(PbTiny *vm, PbTinyMode mode, char *why, size_t len)
{
    struct kvm_regs regs = { .rflags = 2, .rsp = PB_TINY_STACK,
                             .rip = PB_TINY_CODE };
    struct kvm_sregs sregs, got;

    if (pb_vcpu_get_sregs(&vm->vcpu, &sregs) < 0) {
        return fail(why, len, "KVM_GET_SREGS");
    }
    if (mode == PB_TINY_REAL) {
        set_real_segments(&sregs);
        /* Code at segment PB_TINY_CODE / 16, IP 0; stack below 64 KiB. */
        sregs.cs.selector = PB_TINY_CODE >> 4;
        sregs.cs.base = PB_TINY_CODE;
        regs.rip = 0;
        regs.rsp = 0xff00;
    } else {
        set_protected(&sregs, mode == PB_TINY_PAGED);
    }
    if (mode == PB_TINY_LONG) {
        write_long_tables(vm);
        set_long(&sregs);
    }
    if (pb_vcpu_ioctl(&vm->vcpu, KVM_SET_SREGS, &sregs) < 0 ||
        pb_vcpu_set_regs(&vm->vcpu, &regs) < 0 ||
        pb_vcpu_get_sregs(&vm->vcpu, &got) < 0) {
        return fail(why, len, "setting the vCPU's registers");
    }
    if (got.cr0 != sregs.cr0) {
        snprintf(why, len, "this host's KVM does not take CR0: expected "
                 "0x%llx, got 0x%llx", sregs.cr0, got.cr0);
        return false;
    }
    return true;
}

bool pb_tiny_new(PbTiny *vm, PbTinyMode mode, char *why, size_t len)
{
    memset(vm, 0, sizeof(*vm));
    vm->kvm_fd = vm->vm_fd = vm->vcpu.fd = -1;
    if (!make_vm(vm, why, len) || !make_memory(vm, why, len) ||
        !make_vcpu(vm, why, len)) {
        pb_tiny_free(vm);
        return false;
    }
    write_tables(vm);
    if (!set_mode(vm, mode, why, len)) {
        pb_tiny_free(vm);
        return false;
    }
    return true;
}

void pb_tiny_free(PbTiny *vm)
{
    int fd[] = { vm->vcpu.fd, vm->vm_fd, vm->kvm_fd };
    size_t i;

    if (vm->vcpu.run) {
        munmap(vm->vcpu.run, vm->run_size);
    }
    for (i = 0; i < sizeof(fd) / sizeof(fd[0]); i++) {
        if (fd[i] >= 0) {
            close(fd[i]);
        }
    }
    if (vm->ram) {
        munmap(vm->ram, PB_TINY_RAM_SIZE);
    }
    memset(vm, 0, sizeof(*vm));
    vm->kvm_fd = vm->vm_fd = vm->vcpu.fd = -1;
}

void pb_tiny_load(PbTiny *vm, uint32_t gpa, const void *bytes, size_t len)
{
    assert(gpa <= PB_TINY_RAM_SIZE && len <= PB_TINY_RAM_SIZE - gpa);
    memcpy(vm->ram + gpa, bytes, len);
}

void pb_tiny_stub(PbTiny *vm, uint8_t vector, const void *bytes, size_t len)
{
    assert(len <= PB_TINY_STUB_SIZE);
    pb_tiny_load(vm, PB_TINY_STUBS + vector * PB_TINY_STUB_SIZE, bytes, len);
}

uint32_t *pb_tiny_pte(PbTiny *vm, uint32_t linear)
{
    assert(linear < 0x400000);
    return (uint32_t *)(void *)(vm->ram + PB_TINY_PT) + (linear >> 12);
}

void pb_tiny_start(PbTiny *vm, const void *bytes, size_t len)
{
    pb_tiny_load(vm, PB_TINY_CODE, bytes, len);
}

void pb_tiny_ring3(PbTiny *vm)
{
    struct kvm_sregs sregs;
    struct kvm_regs regs;
    int ret;

    ret = pb_vcpu_get_sregs(&vm->vcpu, &sregs);
    assert(ret == 0);
    set_flat_segments(&sregs, PB_TINY_CS3, PB_TINY_DS3);
    ret = pb_vcpu_ioctl(&vm->vcpu, KVM_SET_SREGS, &sregs);
    assert(ret == 0);
    ret = pb_vcpu_get_regs(&vm->vcpu, &regs);
    assert(ret == 0);
    regs.rsp = PB_TINY_USER_STACK;
    ret = pb_vcpu_set_regs(&vm->vcpu, &regs);
    assert(ret == 0);
    (void)ret;
}

int pb_tiny_set_msr(PbTiny *vm, uint32_t index, uint64_t value)
{
    struct {
        struct kvm_msrs head;
        struct kvm_msr_entry entry;
    } msrs = { .head.nmsrs = 1, .entry = { .index = index, .data = value } };
    int ret = pb_vcpu_ioctl(&vm->vcpu, KVM_SET_MSRS, &msrs);

    return ret == 1 ? 0 : ret < 0 ? ret : -EINVAL;
}

static void log_io(PbTiny *vm, const PbTinyIo *io)
{
    assert(vm->logs < PB_TINY_LOG_MAX);
    vm->log[vm->logs++] = *io;
}

static void transfer(PbTiny *vm, bool write, uint8_t *data, uint32_t len)
{
    while (!write && len--) {
        *data++ = (vm->answers++ * 7 + 3) & 0xff;
    }
}

bool pb_tiny_answer(PbTiny *vm)
{
    struct kvm_run *run = vm->vcpu.run;
    PbTinyIo io = { .reason = run->exit_reason, .count = 1 };
    uint8_t *data;
    uint32_t len;

    if (run->exit_reason == KVM_EXIT_IO) {
        io.write = run->io.direction == KVM_EXIT_IO_OUT;
        io.size = run->io.size;
        io.count = run->io.count;
        io.addr = run->io.port;
        data = (uint8_t *)run + run->io.data_offset;
        len = run->io.size * run->io.count;
    } else if (run->exit_reason == KVM_EXIT_MMIO) {
        io.write = run->mmio.is_write;
        io.size = run->mmio.len;
        io.addr = run->mmio.phys_addr;
        data = run->mmio.data;
        len = run->mmio.len;
    } else {
        return false;
    }
    transfer(vm, io.write, data, len);
    memcpy(&io.data, data, len < 8 ? len : 8);
    log_io(vm, &io);
    return true;
}

int pb_tiny_run(PbTiny *vm)
{
    int ret;

    do {
        ret = pb_vcpu_enter(&vm->vcpu);
        if (ret < 0) {
            return ret;
        }
    } while (pb_tiny_answer(vm));
    return vm->vcpu.run->exit_reason;
}
