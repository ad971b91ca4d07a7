/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guest-vm.c: the Primary's VM and its first state. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "guests.h"
#include "pb-vm.h"

#define MAX_CPUID 256

#define CR0_PE 0x00000001u
#define CR0_NE 0x00000020u
#define CR4_OSFXSR 0x00000200u
#define CR4_OSXMMEXCPT 0x00000400u

struct kvm_cpuid2 *guest_cpuid(int kvm_fd)
{
    struct kvm_cpuid2 *c = calloc(1, sizeof(*c) +
                                  MAX_CPUID * sizeof(c->entries[0]));

    if (c) {
        c->nent = MAX_CPUID;
        if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, c) < 0) {
            free(c);
            c = NULL;
        }
    }
    return c;
}

static bool add_block(PbMem *m, const char *name, uint64_t size)
{
    void *host = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return host != MAP_FAILED && pb_mem_add_block(m, name, host, size);
}

static bool make_memory(GuestRun *r)
{
    PbMem *m = &r->mem;
    unsigned i;

    if (!add_block(m, "ram", GUEST_RAM_SIZE) ||
        !add_block(m, "rom", GUEST_ROM_SIZE) ||
        !add_block(m, "extra", GUEST_EXTRA_SIZE)) {
        return false;
    }
    m->owned = true;
    m->slot[0] = (PbSlotChange) { .size = GUEST_RAM_SIZE };
    m->slot[1] = (PbSlotChange) { .gpa = GUEST_ROM, .size = GUEST_ROM_SIZE,
                                  .block = 1, .readonly = 1 };
    for (i = 0; i < GUEST_ROM_SIZE; i++) {
        m->block[1].host[i] = i * 37 + (i >> 8);
    }
    memcpy(m->block[0].host + GUEST_CODE, r->guest->code,
           r->guest->code_end - r->guest->code);
    return true;
}

static void flat(struct kvm_segment *seg, uint16_t selector, uint8_t type)
{
    *seg = (struct kvm_segment) {
        .limit = 0xffffffff, .selector = selector, .type = type,
        .present = 1, .db = 1, .s = 1, .g = 1,
    };
}

static bool set_registers(GuestRun *r, unsigned cpu)
{
    struct kvm_regs regs = { .rflags = 2, .rip = GUEST_CODE, .rbx = cpu,
                             .rsp = GUEST_STACK - cpu * 0x1000 };
    PbVcpu *v = pb_cpus_at(&r->cpus, cpu);
    struct kvm_sregs s;

    if (pb_vcpu_get_sregs(v, &s) < 0) {
        return false;
    }
    if (r->guest->real_mode) {
        s.cs.selector = GUEST_CODE >> 4;
        s.cs.base = GUEST_CODE;
        regs.rip = 0;
        regs.rsp = 0x7000;
    } else {
        flat(&s.cs, 0x08, 0xb);
        flat(&s.ds, 0x10, 3);
        s.es = s.fs = s.gs = s.ss = s.ds;
        s.cr0 |= CR0_PE | CR0_NE;
        s.cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT;
    }
    return pb_vcpu_ioctl(v, KVM_SET_SREGS, &s) == 0 &&
           pb_vcpu_set_regs(v, &regs) == 0;
}

bool guest_vm_new(GuestRun *r, struct kvm_cpuid2 *cpuid)
{
    const char *what = "";
    int ret;

    r->v.role = PB_PRIMARY;
    r->v.mem = &r->mem;
    r->v.vm_fd = r->v.fd = r->cpus.rest[1].fd = -1;
    r->cpus.v = &r->v;
    r->cpus.n = r->guest->two_cpus ? 2 : 1;
    if (!make_memory(r)) {
        guest_fail(r, "no memory for the guest");
        return false;
    }
    ret = pb_vm_create(&r->v, r->o->kvm_fd, cpuid, &what);
    if (ret == 0 && r->guest->two_cpus) {
        ret = pb_vm_add_vcpu(&r->cpus.rest[1], &r->v, 1, r->o->kvm_fd, cpuid,
                             &what);
    }
    if (ret < 0) {
        guest_fail(r, "the Primary's VM: %s: %s", what, strerror(-ret));
        return false;
    }
    if (!set_registers(r, 0) ||
        (r->guest->two_cpus && !set_registers(r, 1))) {
        guest_fail(r, "setting the Primary's first registers");
        return false;
    }
    return true;
}

void guest_vm_free(GuestRun *r)
{
    pb_cpus_select(&r->cpus, 0);
    pb_vm_remove_vcpu(&r->cpus.rest[1]);
    pb_vm_destroy(&r->v);
    pb_mem_destroy(&r->mem);
}
