/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guest-devices.c: the ports and the MMIO page of the tiny guests. */
#include <string.h>

#include "guests.h"

/* More than one event can carry. */
#define DMA_MAX   6000
#define MSR_TSC   0x10

uint64_t guest_random(uint64_t *state)
{
    uint64_t x = *state;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    *state = x;
    return x * 0x2545f4914f6cdd1dull;
}

static void fill_random(GuestRun *r, uint8_t *to, uint32_t len)
{
    while (len--) {
        *to++ = guest_random(&r->random) >> 32;
    }
}

void guest_dma(GuestRun *r, uint32_t gpa)
{
    uint32_t len = 1 + guest_random(&r->random) % DMA_MAX;
    uint64_t offset;
    uint32_t block;
    uint8_t *host = pb_mem_at(&r->mem, gpa, len);

    if (!host || !pb_mem_find(&r->mem, host, &block, &offset)) {
        guest_fail(r, "the guest let a device write to 0x%x", gpa);
        return;
    }
    fill_random(r, host, len);
    pb_record_mem_write(r->rec, block, offset, len);
}

static void change_slot(GuestRun *r, uint8_t how)
{
    PbSlotChange c = { 0 };
    int ret;

    if (how != SLOT_NONE) {
        c.gpa = GUEST_EXTRA;
        c.size = GUEST_EXTRA_SIZE / 2;
        c.block = 2;
        c.readonly = how == SLOT_READONLY;
        c.offset = how == SLOT_HIGH ? GUEST_EXTRA_SIZE / 2 : 0;
    }
    ret = pb_mem_apply_slot(&r->mem, r->v.vm_fd, 2, &c);
    if (ret < 0) {
        guest_fail(r, "changing a memory slot: %s", strerror(-ret));
    }
    pb_record_mem_slot(r->rec, 2, &c);
}

static void port_write(GuestRun *r, uint16_t port, const uint8_t *data,
                       uint32_t size)
{
    uint32_t value = 0;

    memcpy(&value, data, size);
    switch (port) {
    case PORT_END:
        r->end_code = value;
        r->done = true;
        break;
    case PORT_VERIFY:
        r->want_verify = true;
        break;
    case PORT_DMA:
        guest_dma(r, value);
        break;
    case PORT_SLOT:
        change_slot(r, value);
        break;
    case PORT_MODE:
        r->mode = value;
        break;
    case PORT_CPUS:
        r->takes_turns = true;
        break;
    case PORT_CONSOLE:
        break;
    default:
        guest_fail(r, "the guest wrote to port 0x%x", port);
    }
}

/* How often a guest's rounds do what they do. */
static uint32_t length_of(const GuestRun *r)
{
    const Guest *g = r->guest;

    if (guest_is_stepped(r->o)) {
        return g->step_length;
    }
    return r->o->evidence && g->walk_length ? g->walk_length : g->pmu_length;
}

static void port_read(GuestRun *r, uint16_t port, uint8_t *data, uint32_t len)
{
    uint32_t value = 0;

    switch (port) {
    case PORT_ROUNDS:
        value = r->o->rounds;
        break;
    case PORT_LENGTH:
        value = length_of(r);
        break;
    case PORT_DMA_IN:
        guest_dma(r, GUEST_DMA_AREA);
        value = guest_random(&r->random);
        break;
    case PORT_RANDOM:
        fill_random(r, data, len);
        return;
    default:
        guest_fail(r, "the guest read port 0x%x", port);
    }
    memset(data, 0, len);
    memcpy(data, &value, len < 4 ? len : 4);
}

static void port_io(GuestRun *r)
{
    struct kvm_run *run = r->v.run;
    uint8_t *data = (uint8_t *)run + run->io.data_offset;
    uint32_t i;

    if (run->io.direction == KVM_EXIT_IO_IN) {
        port_read(r, run->io.port, data, run->io.size * run->io.count);
        return;
    }
    for (i = 0; i < run->io.count; i++) {
        port_write(r, run->io.port, data + i * run->io.size, run->io.size);
    }
}

/* The TSC is a random number here, every other MSR faults. */
static void msr(GuestRun *r)
{
    struct kvm_run *run = r->v.run;

    run->msr.error = run->msr.index != MSR_TSC;
    if (run->exit_reason == KVM_EXIT_X86_RDMSR) {
        run->msr.data = guest_random(&r->random);
    }
}

static void unknown_exit(GuestRun *r)
{
    struct kvm_run *run = r->v.run;
    struct kvm_regs regs = { 0 };

    pb_vcpu_get_regs(&r->v, &regs);
    if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR &&
        run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION) {
        /* Some hosts' KVM emulates much and lacks protected-mode IRET. */
        r->result->skipped = true;
        guest_fail(r, "this host's KVM cannot emulate the instruction at "
                   "eip 0x%llx", (unsigned long long)regs.rip);
        return;
    }
    guest_fail(r, "KVM exit %u of the Primary at eip 0x%llx",
               run->exit_reason, (unsigned long long)regs.rip);
}

void guest_devices(GuestRun *r)
{
    struct kvm_run *run = r->v.run;

    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        port_io(r);
        break;
    case KVM_EXIT_MMIO:
        if (!run->mmio.is_write) {
            fill_random(r, run->mmio.data, run->mmio.len);
        }
        break;
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR:
        msr(r);
        break;
    case KVM_EXIT_HLT:
        if (!run->if_flag && r->mode != MODE_NMI && !r->done) {
            guest_fail(r, "the guest halted with interrupts disabled");
        }
        break;
    case KVM_EXIT_SHUTDOWN:
        r->done = true;
        r->end_code = r->guest->shuts_down ? 0 : 0xff;
        break;
    case KVM_EXIT_IRQ_WINDOW_OPEN:
    case KVM_EXIT_INTR:
    case KVM_EXIT_SET_TPR:
    case KVM_EXIT_DEBUG:
        break;
    default:
        unknown_exit(r);
    }
}
