/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-vm.c: a KVM VM that hides nothing from user space. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pb-remedy.h"
#include "pb-vm.h"

/* Where QEMU puts them too: below the BIOS at 4 GiB. */
#define TSS_ADDR      0xfeffd000ul
#define IDENTITY_ADDR 0xfeffc000ull

/*
 * Filtered: reads differ from one moment or one host to the next.
 * 0x10 TSC; 0x34 SMI count; 0x3b TSC_ADJUST; 0x6e0 TSC deadline;
 * 0xe7-0xe8 MPERF, APERF; 0x4b564d00-08 and 0x11-0x12 KVM's clocks and
 * paravirtual pages.  A zero bit in the bitmap denies.
 */
static uint8_t deny_all[32];

static const struct kvm_msr_filter msr_filter = {
    .flags = KVM_MSR_FILTER_DEFAULT_ALLOW,
    .ranges = {
#define DENY(first, count) { .flags = KVM_MSR_FILTER_READ | \
                                      KVM_MSR_FILTER_WRITE, \
                             .nmsrs = (count), .base = (first), \
                             .bitmap = deny_all }
        DENY(0x10, 3), DENY(0x34, 1), DENY(0x3b, 1), DENY(0xe7, 2),
        DENY(0x6e0, 1), DENY(0x4b564d00, 9),
#undef DENY
    },
};

/* QEMU does: KVM_GET/SET_VCPU_EVENTS must mean the same in both VMs. */
static void enable_if_there(int vm_fd, unsigned cap)
{
    struct kvm_enable_cap enable = { .cap = cap, .args[0] = 1 };

    if (ioctl(vm_fd, KVM_CHECK_EXTENSION, cap) > 0) {
        ioctl(vm_fd, KVM_ENABLE_CAP, &enable);
    }
}

static bool knows_after_run(int vm_fd)
{
    int has = ioctl(vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS);

    return has > 0 && (has & PB_VCPU_SYNC) == PB_VCPU_SYNC;
}

int pb_vm_policy(int vm_fd, const char **what)
{
    struct kvm_enable_cap msr_exits = {
        .cap = KVM_CAP_X86_USER_SPACE_MSR,
        .args[0] = KVM_MSR_EXIT_REASON_FILTER | KVM_MSR_EXIT_REASON_UNKNOWN |
                   KVM_MSR_EXIT_REASON_INVAL,
    };
    struct kvm_enable_cap no_pmu = {
        .cap = KVM_CAP_PMU_CAPABILITY,
        .args[0] = KVM_PMU_CAP_DISABLE,
    };

    if (ioctl(vm_fd, KVM_ENABLE_CAP, &msr_exits) < 0) {
        *what = "KVM_CAP_X86_USER_SPACE_MSR (Linux 5.10 or later)";
        return -errno;
    }
    if (ioctl(vm_fd, KVM_X86_SET_MSR_FILTER, &msr_filter) < 0) {
        *what = "KVM_CAP_X86_MSR_FILTER (Linux 5.10 or later)";
        return -errno;
    }
    if (!knows_after_run(vm_fd)) {
        *what = "KVM_CAP_SYNC_REGS (Linux 4.17 or later)";
        return -EOPNOTSUPP;
    }
    enable_if_there(vm_fd, KVM_CAP_EXCEPTION_PAYLOAD);
    enable_if_there(vm_fd, KVM_CAP_X86_TRIPLE_FAULT_EVENT);
    /* A kernel without a virtual PMU to switch off refuses: just as good. */
    if (pb_remedy(PB_REMEDY_VPMU) &&
        ioctl(vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_PMU_CAPABILITY) > 0 &&
        ioctl(vm_fd, KVM_ENABLE_CAP, &no_pmu) < 0) {
        *what = "KVM_CAP_PMU_CAPABILITY";
        return -errno;
    }
    return 0;
}

/* Linux 5.10 or later; before that a guest can only be asked not to. */
void pb_vm_vcpu_policy(int vcpu_fd)
{
    struct kvm_enable_cap enforce = {
        .cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID, .args[0] = 1,
    };

    ioctl(vcpu_fd, KVM_ENABLE_CAP, &enforce);
}

int pb_vm_open(int kvm_fd)
{
    int fd;

    do {
        fd = ioctl(kvm_fd, KVM_CREATE_VM, 0);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

static int create_vm(PbVcpu *v, int kvm_fd, const char **what)
{
    uint64_t identity = IDENTITY_ADDR;

    v->vm_fd = pb_vm_open(kvm_fd);
    if (v->vm_fd < 0) {
        *what = "KVM_CREATE_VM";
        return -errno;
    }
    if (ioctl(v->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0) {
        *what = "KVM_SET_IDENTITY_MAP_ADDR";
        return -errno;
    }
    if (ioctl(v->vm_fd, KVM_SET_TSS_ADDR, TSS_ADDR) < 0) {
        *what = "KVM_SET_TSS_ADDR";
        return -errno;
    }
    return pb_vm_policy(v->vm_fd, what);
}

static int create_slots(PbVcpu *v, const char **what)
{
    PbMem *m = v->mem;
    unsigned i;

    for (i = 0; i < PB_MEM_MAX_SLOTS; i++) {
        PbSlotChange c = m->slot[i];
        int ret;

        if (c.size == 0) {
            continue;
        }
        m->slot[i].size = 0;          /* KVM does not know it yet */
        ret = pb_mem_apply_slot(m, v->vm_fd, i, &c);
        if (ret < 0) {
            *what = "KVM_SET_USER_MEMORY_REGION";
            return ret;
        }
    }
    return 0;
}

struct kvm_cpuid2 *pb_vm_copy_cpuid(const struct kvm_cpuid2 *cpuid)
{
    size_t len = sizeof(*cpuid) + cpuid->nent * sizeof(cpuid->entries[0]);
    struct kvm_cpuid2 *copy = malloc(len);

    if (copy) {
        memcpy(copy, cpuid, len);
    }
    return copy;
}

static int create_vcpu(PbVcpu *v, unsigned index, int kvm_fd,
                       const struct kvm_cpuid2 *cpuid, const char **what)
{
    int size = ioctl(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);

    v->fd = ioctl(v->vm_fd, KVM_CREATE_VCPU, (unsigned long)index);
    if (v->fd < 0) {
        *what = "KVM_CREATE_VCPU";
        return -errno;
    }
    pb_vm_vcpu_policy(v->fd);
    v->run_size = size;
    v->run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
    if (v->run == MAP_FAILED) {
        v->run = NULL;
        *what = "mapping the vCPU's run page";
        return -errno;
    }
    if (cpuid && ioctl(v->fd, KVM_SET_CPUID2, cpuid) < 0) {
        *what = "KVM_SET_CPUID2";
        return -errno;
    }
    return 0;
}

int pb_vm_create(PbVcpu *v, int kvm_fd, const struct kvm_cpuid2 *cpuid,
                 const char **what)
{
    int ret;

    v->vm_fd = v->fd = -1;
    v->run = NULL;
    ret = create_vm(v, kvm_fd, what);
    if (ret == 0) {
        ret = create_slots(v, what);
    }
    if (ret == 0) {
        ret = create_vcpu(v, 0, kvm_fd, cpuid, what);
    }
    return ret;
}

int pb_vm_add_vcpu(PbVcpu *v, const PbVcpu *first, unsigned index, int kvm_fd,
                   const struct kvm_cpuid2 *cpuid, const char **what)
{
    *v = (PbVcpu) {
        .role = first->role, .vm_fd = first->vm_fd, .mem = first->mem,
    };
    return create_vcpu(v, index, kvm_fd, cpuid, what);
}

void pb_vm_remove_vcpu(PbVcpu *v)
{
    if (v->run) {
        munmap(v->run, v->run_size);
    }
    if (v->fd >= 0) {
        close(v->fd);
    }
    v->run = NULL;
    v->fd = -1;
}

void pb_vm_destroy(PbVcpu *v)
{
    pb_vm_remove_vcpu(v);
    if (v->vm_fd >= 0) {
        close(v->vm_fd);
    }
    v->vm_fd = -1;
}
