/* SPDX-License-Identifier: GPL-2.0-or-later */
/* evidence-host-test.c: which files a host refuses, and what it says. */
#include "evidence-host.h"
#include "pb-tap.h"

#define ENTRIES 4

static const PbUarch lab = { .name = "lab (PMU model)" };
static const PbUarch zen = { .name = "AMD Zen 4" };

/* A table of the leaves that matter. */
static struct kvm_cpuid2 *table(void)
{
    struct kvm_cpuid2 *c = calloc(1, sizeof(*c) +
                                  ENTRIES * sizeof(c->entries[0]));

    c->nent = ENTRIES;
    c->entries[0] = (struct kvm_cpuid_entry2) {
        .function = 1, .ecx = 1u << 0 | 1u << 20, .edx = 1u << 26,
    };
    c->entries[1] = (struct kvm_cpuid_entry2) { .function = 7 };
    c->entries[2] = (struct kvm_cpuid_entry2) { .function = 0x80000001 };
    c->entries[3] = (struct kvm_cpuid_entry2) { .function = 0x80000008,
                                                .eax = 40 };
    return c;
}

static PbEvidenceInfo info;
static PbEvidenceHost host;
static struct kvm_cpuid2 *needs;
static char text[400];

static void set_up(void)
{
    memset(&info, 0, sizeof(info));
    memset(&host, 0, sizeof(host));
    strcpy(host.vendor, "AuthenticAMD");
    strcpy(host.cpu, "A CPU");
    strcpy(host.kernel, "6.12.0");
    pb_evidence_note_host(&info, &host, PB_COUNTER_PMU, &lab);
    host.supported = table();
    needs = table();
}

static bool check(const PbUarch *uarch)
{
    bool ok = pb_evidence_check_host(&info, needs, &host, uarch, text,
                                     sizeof(text));

    pb_evidence_host_free(&host);
    free(needs);
    return ok;
}

static void test_the_same_host_is_accepted(void)
{
    set_up();
    pb_check(check(&lab));
    pb_check_str(text, "");
}

static void test_more_features_are_accepted(void)
{
    set_up();
    host.supported->entries[1].ebx = ~0u;
    host.supported->entries[3].eax = 52;
    pb_check(check(&lab));
    pb_check_str(text, "");
}

static void test_missing_features_are_named(void)
{
    set_up();
    host.supported->entries[0].ecx = 1;
    host.supported->entries[0].edx = 0;
    needs->entries[1].ebx = 1u << 31;
    needs->entries[1].edx = 1u << 30;
    pb_check(!check(&lab));
    pb_check_str(text, "the file needs CPU features that this host lacks: "
                 "sse4.2, sse2, avx512vl, CPUID 0x7.0 EDX bit 30; it was "
                 "written on: A CPU, Linux 6.12.0");
}

static void test_a_missing_leaf_is_a_missing_feature(void)
{
    set_up();
    host.supported->entries[2].function = 0x80000002;
    needs->entries[2].edx = 1u << 20;
    pb_check(!check(&lab));
    pb_check(strstr(text, "lacks: nx; ") != NULL);
}

static void test_what_kvm_gives_everywhere_is_not_asked_for(void)
{
    set_up();
    needs->entries[0].ecx |= 1u << 31 | 1u << 27 | 1u << 21;
    needs->entries[0].edx |= 1u << 28 | 1u << 9 | 1u << 12;
    pb_check(check(&lab));
}

static void test_another_vendor_is_refused(void)
{
    set_up();
    strcpy(host.vendor, "GenuineIntel");
    pb_check(!check(&lab));
    pb_check_str(text, "the file needs a CPU of AuthenticAMD, this host's is "
                 "of GenuineIntel; it was written on: A CPU, Linux 6.12.0");
}

static void test_all_differences_are_named(void)
{
    set_up();
    strcpy(host.vendor, "GenuineIntel");
    host.supported->entries[0].ecx = 0;
    host.supported->entries[3].eax = 36;
    pb_check(!check(&lab));
    pb_check_str(text, "the file needs a CPU of AuthenticAMD, this host's is "
                 "of GenuineIntel; the file needs 40 bits of physical "
                 "address, this host has 36; the file needs CPU features "
                 "that this host lacks: sse3, sse4.2; it was written on: A "
                 "CPU, Linux 6.12.0");
}

static void test_another_counter_is_a_note(void)
{
    set_up();
    pb_check(check(&zen));
    pb_check(strstr(text, "counted on lab (PMU model), this host counts as "
                    "AMD Zen 4") != NULL);
}

static void test_stepping_has_no_counter_to_differ(void)
{
    set_up();
    pb_check(check(NULL));
    pb_check_str(text, "");
}

static void test_long_lists_are_cut(void)
{
    set_up();
    needs->entries[0].ecx = needs->entries[0].edx = ~0u;
    needs->entries[1].ebx = needs->entries[1].ecx = needs->entries[1].edx =
        ~0u;
    memset(text, 'x', sizeof(text));
    pb_check(!check(&lab));
    pb_check_u64(strlen(text), sizeof(text) - 1);
}

int main(void)
{
    static const PbTest tests[] = {
        PB_TEST(the_same_host_is_accepted),
        PB_TEST(more_features_are_accepted),
        PB_TEST(missing_features_are_named),
        PB_TEST(a_missing_leaf_is_a_missing_feature),
        PB_TEST(what_kvm_gives_everywhere_is_not_asked_for),
        PB_TEST(another_vendor_is_refused),
        PB_TEST(all_differences_are_named),
        PB_TEST(another_counter_is_a_note),
        PB_TEST(stepping_has_no_counter_to_differ),
        PB_TEST(long_lists_are_cut),
    };

    return pb_tap_run(tests, sizeof(tests) / sizeof(tests[0]));
}
