/* SPDX-License-Identifier: GPL-2.0-or-later */
/* counter-uarch-test.c: which CPUs can be counted, and the margin rule. */
#include <linux/perf_event.h>

#include "pb-tap.h"
#include "pb-uarch.h"

static char why[512];

static const PbUarch *lookup(const char *vendor, unsigned family,
                             unsigned model, const char *hypervisor)
{
    PbCpuId id = { .family = family, .model = model };

    snprintf(id.vendor, sizeof(id.vendor), "%s", vendor);
    snprintf(id.hypervisor, sizeof(id.hypervisor), "%s", hypervisor);
    why[0] = 0;
    return pb_uarch_lookup(&id, why, sizeof(why));
}

static void test_known_cpus_have_their_event(void)
{
    static const struct {
        const char *vendor;
        unsigned family, model;
        uint64_t config;
        const char *name;
    } cpus[] = {
        { "GenuineIntel", 6, 0x1a, 0x01c4, "Intel Nehalem" },
        { "GenuineIntel", 6, 0x3c, 0x01c4, "Intel Haswell" },
        { "GenuineIntel", 6, 0x55, 0x01c4, "Intel Skylake-X" },
        { "GenuineIntel", 6, 0xa5, 0x01c4, "Intel Comet Lake" },
        { "GenuineIntel", 6, 0x6a, 0x11c4, "Intel Ice Lake" },
        { "GenuineIntel", 6, 0xb7, 0x11c4, "Intel Raptor Lake" },
        { "GenuineIntel", 6, 0xcf, 0x11c4, "Intel Emerald Rapids" },
        { "GenuineIntel", 6, 0xad, 0x11c4, "Intel Granite Rapids" },
        { "GenuineIntel", 6, 0xbd, 0x100000011c4, "Intel Lunar Lake" },
        { "GenuineIntel", 6, 0x5c, 0x7ec4, "Intel Goldmont" },
        { "GenuineIntel", 6, 0xbe, 0x7ec4, "Intel Gracemont" },
        { "AuthenticAMD", 0x17, 0x01, 0xd1, "AMD Zen" },
        { "AuthenticAMD", 0x17, 0x71, 0xd1, "AMD Zen 2" },
        { "AuthenticAMD", 0x19, 0x21, 0xd1, "AMD Zen 3" },
        { "AuthenticAMD", 0x19, 0x61, 0xd1, "AMD Zen 4" },
        { "AuthenticAMD", 0x1a, 0x44, 0xd1, "AMD Zen 5" },
    };
    unsigned i;

    for (i = 0; i < sizeof(cpus) / sizeof(cpus[0]); i++) {
        const PbUarch *u = lookup(cpus[i].vendor, cpus[i].family,
                                  cpus[i].model, "KVMKVMKVM");

        pb_check_str(u ? u->name : why, cpus[i].name);
        if (u) {
            pb_check_u64(u->config, cpus[i].config);
            pb_check_u64(u->type, PERF_TYPE_RAW);
            pb_check(u->margin > 0 && u->margin <= PB_MARGIN_MAX);
        }
    }
}

static void test_every_model_of_intel_and_amd_is_answered(void)
{
    static const unsigned families[] = { 5, 6, 0xf, 0x15, 0x17, 0x19, 0x1a };
    unsigned f, model, known = 0;

    for (f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
        for (model = 0; model < 256; model++) {
            const PbUarch *i = lookup("GenuineIntel", families[f], model, "");
            const PbUarch *a;

            pb_check(i || strstr(why, "lab/run"));
            pb_check(!i || families[f] == 6);
            a = lookup("AuthenticAMD", families[f], model, "");
            pb_check(a || strstr(why, "lab/run"));
            pb_check(!a == (families[f] < 0x17));
            known += !!i;
        }
    }
    pb_check(known > 50);
}

static void test_lab_is_known_by_its_signature(void)
{
    const PbUarch *u = lookup("AuthenticAMD", 6, 6, "TCGTCGTCGTCG");

    pb_check(u != NULL);
    if (u) {
        pb_check_u64(u->config, 0xd1);
        pb_check(u->margin <= 64);
    }
    pb_check(!lookup("AuthenticAMD", 6, 6, ""));
}

static void test_unknown_cpu_is_refused_with_its_numbers(void)
{
    pb_check(!lookup("CentaurHauls", 7, 0x3b, ""));
    pb_check_str(why, "no branch-counting event is known for this CPU "
                 "(vendor CentaurHauls, family 0x7, model 0x3b); use the "
                 "lab: lab/run");
}

static void test_knights_landing_is_refused(void)
{
    pb_check(!lookup("GenuineIntel", 6, 0x57, ""));
}

static void test_bulldozer_is_refused_with_the_reason(void)
{
    pb_check(!lookup("AuthenticAMD", 0x15, 2, ""));
    pb_check_str(why, "AMD family 15h (model 0x2) has no event that counts "
                 "conditional branches; use the lab: lab/run");
}

static void test_margin_rule(void)
{
    const PbUarch u = { "test", 0, 0, 256 };

    pb_check_u64(pb_margin(&u, 0, 2), 256);
    pb_check_u64(pb_margin(&u, 100, 2), 256);
    pb_check_u64(pb_margin(&u, 200, 2), 2 * 200 + 16 + 2);
    pb_check_u64(pb_margin(&u, 200, 128), 2 * 200 + 16 + 128);
    pb_check_u64(pb_margin(&u, (PB_MARGIN_MAX - 18) / 2, 2), PB_MARGIN_MAX);
    pb_check_u64(pb_margin(&u, PB_MARGIN_MAX / 2, 2), 0);
    pb_check_u64(pb_margin(&u, UINT32_MAX, UINT32_MAX), 0);
}

int main(void)
{
    static const PbTest tests[] = {
        PB_TEST(known_cpus_have_their_event),
        PB_TEST(every_model_of_intel_and_amd_is_answered),
        PB_TEST(lab_is_known_by_its_signature),
        PB_TEST(unknown_cpu_is_refused_with_its_numbers),
        PB_TEST(knights_landing_is_refused),
        PB_TEST(bulldozer_is_refused_with_the_reason),
        PB_TEST(margin_rule),
    };

    return pb_tap_run(tests, sizeof(tests) / sizeof(tests[0]));
}
