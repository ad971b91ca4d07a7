/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-msrs.c: the MSRs that are part of a vCPU's state. */
#include <errno.h>
#include <string.h>

#include "pb-msrs.h"

/* How many banks of machine checks there are: set by a call of its own. */
#define MCG_CAP 0x179

/* In this order; MCG_CAP is before what it makes. */
static const uint32_t all[] = {
    MCG_CAP,
    0x3a,                                /* FEATURE_CONTROL */
    0x48,                                /* SPEC_CTRL */
    0x8b,                                /* the microcode's revision */
    0xce, 0xcf,                          /* PLATFORM_INFO, CORE_CAPS */
    0x10a,                               /* ARCH_CAPABILITIES */
    0x122,                               /* TSX_CTRL */
    0x140,                               /* MISC_FEATURES_ENABLES */
    0x174, 0x175, 0x176,                 /* SYSENTER CS, ESP, EIP */
    0x17a, 0x17b,                        /* MCG_STATUS, MCG_CTL */
    0x1a0,                               /* MISC_ENABLE */
    0x1d9,                               /* DEBUGCTL */
    0x1fc,                               /* POWER_CTL */
    0x200, 0x201, 0x202, 0x203, 0x204,   /* variable MTRRs */
    0x205, 0x206, 0x207, 0x208, 0x209,
    0x20a, 0x20b, 0x20c, 0x20d, 0x20e,
    0x20f,
    0x250, 0x258, 0x259, 0x268, 0x269,   /* fixed MTRRs */
    0x26a, 0x26b, 0x26c, 0x26d, 0x26e,
    0x26f,
    0x277,                               /* PAT */
    0x280, 0x281, 0x282, 0x283, 0x284,   /* MCi_CTL2 */
    0x285, 0x286, 0x287, 0x288, 0x289,
    0x2ff,                               /* MTRR default type */
    0x400, 0x401, 0x402, 0x403, 0x404,   /* QEMU's ten banks */
    0x405, 0x406, 0x407, 0x408, 0x409,
    0x40a, 0x40b, 0x40c, 0x40d, 0x40e,
    0x40f, 0x410, 0x411, 0x412, 0x413,
    0x414, 0x415, 0x416, 0x417, 0x418,
    0x419, 0x41a, 0x41b, 0x41c, 0x41d,
    0x41e, 0x41f, 0x420, 0x421, 0x422,
    0x423, 0x424, 0x425, 0x426, 0x427,
    0x4d0,                               /* MCG_EXT_CTL */
    0xc0000081, 0xc0000082,              /* STAR to SFMASK */
    0xc0000083, 0xc0000084,
    0xc0000102,                          /* KERNEL_GS_BASE */
    0xc0010015,                          /* HWCR */
    0xc0010117,                          /* VM_HSAVE_PA */
    0xc001011f,                          /* VIRT_SPEC_CTRL */
    0xc0011029,                          /* DE_CFG */
};

#define ALL (sizeof(all) / sizeof(all[0]))

_Static_assert(ALL <= PB_MSRS_MAX, "room for every MSR");

typedef struct Msrs {
    struct kvm_msrs info;
    struct kvm_msr_entry entry[PB_MSRS_MAX];
} Msrs;

bool pb_msrs_has(uint32_t index)
{
    unsigned i;

    for (i = 0; i < ALL && all[i] != index; i++) {
    }
    return i < ALL;
}

unsigned pb_msrs_get(PbVcpu *v, struct kvm_msr_entry msr[PB_MSRS_MAX])
{
    unsigned at, i, n = 0;
    int got;
    Msrs m;

    /* KVM stops at the first that this host lacks: go on behind it. */
    for (at = 0; at < ALL; at += got + 1) {
        memset(&m, 0, sizeof(m));
        m.info.nmsrs = ALL - at;
        for (i = 0; i < m.info.nmsrs; i++) {
            m.entry[i].index = all[at + i];
        }
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
