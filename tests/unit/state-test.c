/* SPDX-License-Identifier: GPL-2.0-or-later */
/* state-test.c: a vCPU's state, moved to another one, is whole. */
#include <stdio.h>
#include <string.h>

#include "pb-state.h"
#include "pb-tap.h"
#include "pb-tiny.h"

#define MCG_CAP   0x179
#define TEN_BANKS (10 | 1u << 8)          /* and MCG_CTL */

/* What a guest or a -cpu may have set; no two values are alike. */
static const struct kvm_msr_entry odd[] = {
    { .index = 0x8b, .data = 0x1234567800000000 },        /* microcode */
    { .index = 0x10a, .data = 0x21 },     /* ARCH_CAPABILITIES */
    { .index = 0x175, .data = 0xc0de0000 },               /* SYSENTER_ESP */
    { .index = 0x17b, .data = 0x3 },      /* MCG_CTL */
    { .index = 0x250, .data = 0x0606060606060606 },       /* fixed MTRRs */
    { .index = 0x26f, .data = 0x0505050505050505 },
    { .index = 0x401, .data = 0x8000000000000123 },       /* MC0_STATUS */
    { .index = 0x426, .data = 0x4711 },   /* MC9_ADDR */
    { .index = 0xc0000081, .data = 0x0023001000000000 },  /* STAR */
};

#define ODD (sizeof(odd) / sizeof(odd[0]))

static PbTiny from, to;
static PbState old, moved;

static bool start(void)
{
    static char why[160];

    if (!pb_tiny_new(&from, PB_TINY_FLAT, why, sizeof(why))) {
        pb_skip(why);
        return false;
    }
    if (!pb_tiny_new(&to, PB_TINY_FLAT, why, sizeof(why))) {
        pb_tiny_free(&from);
        pb_skip(why);
        return false;
    }
    return true;
}

static void end(void)
{
    pb_tiny_free(&from);
    pb_tiny_free(&to);
}

/* NULL: this host has none. */
static const struct kvm_msr_entry *find(const PbState *s, uint32_t index)
{
    unsigned i;

    for (i = 0; i < s->msrs && s->msr[i].index != index; i++) {
    }
    return i < s->msrs ? &s->msr[i] : NULL;
}

static bool holds(const PbState *s, const struct kvm_msr_entry *msr)
{
    const struct kvm_msr_entry *found = find(s, msr->index);

    return found && found->data == msr->data;
}

/* Give @from what is odd, as far as this host has it; how many it took. */
static unsigned make_odd(bool took[ODD])
{
    uint64_t cap = TEN_BANKS;
    unsigned i, n = 0;

    pb_check(pb_vcpu_ioctl(&from.vcpu, KVM_X86_SETUP_MCE, &cap) == 0);
    for (i = 0; i < ODD; i++) {
        took[i] = pb_tiny_set_msr(&from, odd[i].index, odd[i].data) == 0;
        n += took[i];
    }
    return n;
}

static void test_all_msrs_come_along(void)
{
    const struct kvm_msr_entry cap = { .index = MCG_CAP, .data = TEN_BANKS };
    char what[160] = "";
    bool took[ODD];
    uint32_t bad;
    unsigned i;

    if (!start()) {
        return;
    }
    pb_check(make_odd(took) >= ODD / 2);
    pb_check(pb_state_get(&from.vcpu, &old) == 0);
    pb_check(pb_state_get(&to.vcpu, &moved) == 0);
    pb_check(!pb_state_equal(&old, &moved, what, sizeof(what)));
    pb_check(pb_state_put(&to.vcpu, &old, &bad) == 0 && !bad);
    pb_check(pb_state_get(&to.vcpu, &moved) == 0);
    pb_check(holds(&moved, &cap));
    for (i = 0; i < ODD; i++) {
        pb_check(!took[i] || holds(&moved, &odd[i]));
    }
    pb_check(pb_state_equal(&old, &moved, what, sizeof(what)));
    pb_check(pb_state_check(&moved) == NULL);
    end();
}

/* An MSR that a state may have, and this host has not; or 0. */
static uint32_t missing(const PbState *s)
{
    static const uint32_t rare[] = { 0xcf, 0x122, 0x4d0, 0xc001011f };
    unsigned i;

    for (i = 0; i < sizeof(rare) / sizeof(rare[0]); i++) {
        if (!find(s, rare[i])) {
            return rare[i];
        }
    }
    return 0;
}

static void test_msr_that_this_host_lacks_is_named(void)
{
    uint32_t index, bad;

    if (!start()) {
        return;
    }
    pb_check(pb_state_get(&from.vcpu, &old) == 0);
    index = missing(&old);
    if (!index) {
        pb_skip("this host's KVM has every one of them");
    } else {
        old.msr[old.msrs++] = (struct kvm_msr_entry) { .index = index };
        pb_check(pb_state_put(&to.vcpu, &old, &bad) == 0);
        old.msr[old.msrs - 1].data = 1;
        pb_check(pb_state_put(&to.vcpu, &old, &bad) < 0);
        pb_check_u64(bad, index);
    }
    end();
}

static void test_what_varies_with_time_stays(void)
{
    pb_check(!pb_msrs_has(0x10));         /* TSC */
    pb_check(!pb_msrs_has(0x4b564d01));   /* kvmclock */
    pb_check(pb_msrs_has(0x277));
    pb_check(pb_msrs_has(0xc0000084));
    pb_check(!pb_msrs_has(0xc0000085));
}

/* The word at PB_TINY_DATA, as the guest sees it. */
static uint64_t guest_reads(void)
{
    static const uint8_t code[] = {
        0xa1, PB_TINY_DATA & 0xff, PB_TINY_DATA >> 8 & 0xff,
        PB_TINY_DATA >> 16, 0,                            /* mov, eax */
        0xf4,                                             /* hlt */
    };
    struct kvm_regs regs = { 0 };

    pb_tiny_start(&from, code, sizeof(code));
    pb_check(pb_vcpu_get_regs(&from.vcpu, &regs) == 0);
    regs.rip = PB_TINY_CODE;
    pb_check(pb_vcpu_set_regs(&from.vcpu, &regs) == 0);
    pb_check_u64(pb_tiny_run(&from), KVM_EXIT_HLT);
    pb_check(pb_vcpu_get_regs(&from.vcpu, &regs) == 0);
    return regs.rax;
}

static void test_translations_are_forgotten(void)
{
    static char why[160];
    struct kvm_sregs before, after;

    if (!pb_tiny_new(&from, PB_TINY_PAGED, why, sizeof(why))) {
        pb_skip(why);
        return;
    }
    from.ram[PB_TINY_DATA] = 1;
    from.ram[PB_TINY_DATA + 0x1000] = 2;
    pb_check_u64(guest_reads(), 1);
    *pb_tiny_pte(&from, PB_TINY_DATA) += 0x1000;
    printf("# without: %s\n", guest_reads() == 1 ? "the old page" : "the new");
    pb_check(pb_vcpu_get_sregs(&from.vcpu, &before) == 0);
    pb_check(pb_vcpu_flush_tlb(&from.vcpu) == 0);
    pb_check(pb_vcpu_get_sregs(&from.vcpu, &after) == 0);
    pb_check(!memcmp(&before, &after, sizeof(before)));
    pb_check_u64(guest_reads(), 2);
    pb_tiny_free(&from);
}

int main(void)
{
    static const PbTest tests[] = {
        PB_TEST(all_msrs_come_along),
        PB_TEST(msr_that_this_host_lacks_is_named),
        PB_TEST(what_varies_with_time_stays),
        PB_TEST(translations_are_forgotten),
    };

    return pb_tap_run(tests, sizeof(tests) / sizeof(tests[0]));
}
