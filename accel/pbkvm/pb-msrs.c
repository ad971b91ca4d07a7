/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-msrs.c: the MSRs that are part of a vCPU's state. */
#include <errno.h>
#include <string.h>

#include "pb-msrs.h"

/* How many banks of machine checks there are: set by a call of its own. */
#define MCG_CAP 0x179

/* In this order; MCG_CAP is before what it makes. */
static const struct {
    uint32_t first;
    unsigned count;
} ranges[] = {
    { MCG_CAP, 1 },
    { 0x3a, 1 },              /* FEATURE_CONTROL */
    { 0x48, 1 },              /* SPEC_CTRL */
    { 0x8b, 1 },              /* the microcode's revision */
    { 0xce, 2 },              /* PLATFORM_INFO, CORE_CAPABILITIES */
    { 0x10a, 1 },             /* ARCH_CAPABILITIES */
    { 0x122, 1 },             /* TSX_CTRL */
    { 0x140, 1 },             /* MISC_FEATURES_ENABLES */
    { 0x174, 3 },             /* SYSENTER CS, ESP, EIP */
    { 0x17a, 2 },             /* MCG_STATUS, MCG_CTL */
    { 0x1a0, 1 },             /* MISC_ENABLE */
    { 0x1d9, 1 },             /* DEBUGCTL */
    { 0x1fc, 1 },             /* POWER_CTL */
    { 0x200, 16 },            /* variable MTRRs */
    { 0x250, 1 },             /* fixed MTRRs */
    { 0x258, 2 },
    { 0x268, 8 },
    { 0x277, 1 },             /* PAT */
    { 0x280, 10 },            /* MCi_CTL2 */
    { 0x2ff, 1 },             /* MTRR default type */
    { 0x400, 40 },            /* QEMU's ten banks of machine checks */
    { 0x4d0, 1 },             /* MCG_EXT_CTL */
    { 0xc0000081, 4 },        /* STAR, LSTAR, CSTAR, SFMASK */
    { 0xc0000102, 1 },        /* KERNEL_GS_BASE */
    { 0xc0010015, 1 },        /* HWCR */
    { 0xc0010117, 1 },        /* VM_HSAVE_PA */
    { 0xc001011f, 1 },        /* VIRT_SPEC_CTRL */
    { 0xc0011029, 1 },        /* DE_CFG */
};

#define RANGES (sizeof(ranges) / sizeof(ranges[0]))

typedef struct Msrs {
    struct kvm_msrs info;
    struct kvm_msr_entry entry[PB_MSRS_MAX];
} Msrs;

bool pb_msrs_has(uint32_t index)
{
    unsigned i;

    for (i = 0; i < RANGES; i++) {
        if (index - ranges[i].first < ranges[i].count) {
            return true;
        }
    }
    return false;
}

static unsigned list_all(struct kvm_msr_entry all[PB_MSRS_MAX])
{
    unsigned i, j, n = 0;

    memset(all, 0, PB_MSRS_MAX * sizeof(all[0]));
    for (i = 0; i < RANGES; i++) {
        for (j = 0; j < ranges[i].count && n < PB_MSRS_MAX; j++) {
            all[n++].index = ranges[i].first + j;
        }
    }
    return n;
}

unsigned pb_msrs_get(PbVcpu *v, struct kvm_msr_entry msr[PB_MSRS_MAX])
{
    struct kvm_msr_entry want[PB_MSRS_MAX];
    unsigned wanted = list_all(want), at, n = 0;
    int got;
    Msrs m;

    /* KVM stops at the first that this host lacks: go on behind it. */
    for (at = 0; at < wanted; at += got + 1) {
        m.info = (struct kvm_msrs) { .nmsrs = wanted - at };
        memcpy(m.entry, want + at, m.info.nmsrs * sizeof(want[0]));
        got = pb_vcpu_ioctl(v, KVM_GET_MSRS, &m);
        got = got < 0 ? 0 : got;
        memcpy(msr + n, m.entry, got * sizeof(msr[0]));
        n += got;
    }
    return n;
}

static int put_one(PbVcpu *v, const struct kvm_msr_entry *msr)
{
    struct {
        struct kvm_msrs info;
        struct kvm_msr_entry entry;
    } one = { .info.nmsrs = 1, .entry = *msr };
    uint64_t cap = msr->data;

    if (msr->index == MCG_CAP) {
        return pb_vcpu_ioctl(v, KVM_X86_SETUP_MCE, &cap);
    }
    return pb_vcpu_ioctl(v, KVM_SET_MSRS, &one) == 1 ? 0 : -EINVAL;
}

/* What one of the @n at @msr holds; one that is not there: 0. */
static uint64_t value_of(const struct kvm_msr_entry *msr, unsigned n,
                         uint32_t index)
{
    unsigned i;

    for (i = 0; i < n && msr[i].index != index; i++) {
    }
    return i < n ? msr[i].data : 0;
}

/* Some can be read but not written; those have their value already. */
int pb_msrs_put(PbVcpu *v, const struct kvm_msr_entry *msr, unsigned n,
                uint32_t *bad)
{
    struct kvm_msr_entry now[PB_MSRS_MAX];
    unsigned have = pb_msrs_get(v, now), i;

    for (i = 0; i < n; i++) {
        int ret;

        if (value_of(now, have, msr[i].index) == msr[i].data) {
            continue;
        }
        ret = put_one(v, &msr[i]);
        if (ret < 0) {
            *bad = msr[i].index;
            return ret;
        }
        if (msr[i].index == MCG_CAP) {
            have = pb_msrs_get(v, now);    /* it reset its banks */
        }
    }
    return 0;
}
