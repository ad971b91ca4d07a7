/* SPDX-License-Identifier: GPL-2.0-or-later */
/* evidence-host.c: whether this host can live through an evidence file. */
#include <cpuid.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>

#include "evidence-host.h"
#include "pb-uarch.h"

enum { EAX = PB_CPUID_EAX, EBX, ECX, EDX = PB_CPUID_EDX };

/* A word of CPUID whose bits are features that a guest can use. */
typedef struct Word {
    uint32_t leaf, subleaf;
    int reg;
    uint32_t ignore;          /* KVM gives these on every host, or they follow
                                 from what the guest does */
    const char *names;        /* of bits 0 to 31, "-": has none */
} Word;

static const Word words[] = {
    { 1, 0, ECX, 1u << 31 | 1u << 27 | 1u << 21,
      "sse3 pclmulqdq dtes64 monitor ds-cpl vmx smx est tm2 ssse3 cid - fma "
      "cx16 xtpr pdcm - pcid dca sse4.1 sse4.2 x2apic movbe popcnt "
      "tsc-deadline aes xsave osxsave avx f16c rdrand hypervisor" },
    { 1, 0, EDX, 1u << 28 | 1u << 16 | 1u << 14 | 1u << 12 | 1u << 9 |
                 1u << 7,
      "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat "
      "pse36 pn clflush - ds acpi mmx fxsr sse sse2 ss ht tm ia64 pbe" },
    { 7, 0, EBX, 0,
      "fsgsbase tsc-adjust sgx bmi1 hle avx2 fdp-excptn-only smep bmi2 erms "
      "invpcid rtm cmt zero-fcs-fds mpx rdt-a avx512f avx512dq rdseed adx "
      "smap avx512ifma pcommit clflushopt clwb intel-pt avx512pf avx512er "
      "avx512cd sha-ni avx512bw avx512vl" },
    { 7, 0, ECX, 1u << 4,
      "prefetchwt1 avx512vbmi umip pku ospke waitpkg avx512vbmi2 cet-ss gfni "
      "vaes vpclmulqdq avx512vnni avx512bitalg - avx512-vpopcntdq - la57" },
    { 7, 0, EDX, 0, "- - avx512-4vnniw avx512-4fmaps fsrm" },
    { 7, 1, EAX, 0, "" },
    { 0xd, 1, EAX, 0, "xsaveopt xsavec xgetbv1 xsaves" },
    { 0x80000001, 0, ECX, 1u << 22 | 1u << 1,
      "lahf-lm cmp-legacy svm extapic cr8legacy abm sse4a misalignsse "
      "3dnowprefetch osvw ibs xop skinit wdt - lwp fma4 tce - nodeid-msr - "
      "tbm topoext perfctr-core perfctr-nb" },
    { 0x80000001, 0, EDX, 1u << 16 | 1u << 14 | 1u << 12 | 1u << 9 |
                          1u << 7,
      "- - - - - - - - - - - syscall - - - - - - - mp nx - mmxext - - "
      "fxsr-opt pdpe1gb rdtscp - lm 3dnowext 3dnow" },
    { 0x80000008, 0, EBX, 0, "clzero - xsaveerptr" },
};

uint32_t pb_cpuid_entry(const struct kvm_cpuid2 *c, uint32_t leaf,
                        uint32_t subleaf, int reg)
{
    uint32_t i;

    for (i = 0; i < c->nent; i++) {
        const struct kvm_cpuid_entry2 *e = &c->entries[i];

        if (e->function == leaf && e->index == subleaf) {
            const uint32_t regs[] = { e->eax, e->ebx, e->ecx, e->edx };

            return regs[reg];
        }
    }
    return 0;
}

/* ---- this host ---- */

static void brand_string(char *text, size_t len)
{
    uint32_t word[12] = { 0 };
    char *from = (char *)word;
    unsigned i, a, b, c, d;

    if (!__get_cpuid(0x80000000, &a, &b, &c, &d) || a < 0x80000004) {
        return;
    }
    for (i = 0; i < 3; i++) {
        __get_cpuid(0x80000002 + i, &word[i * 4], &word[i * 4 + 1],
                    &word[i * 4 + 2], &word[i * 4 + 3]);
    }
    while (*from == ' ') {
        from++;
    }
    snprintf(text, len, "%.47s", from);
}

int pb_evidence_host(int kvm_fd, PbEvidenceHost *host)
{
    struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + PB_EVIDENCE_MAX_CPUID *
                                  sizeof(c->entries[0]));
    struct utsname name;
    PbCpuId id;

    memset(host, 0, sizeof(*host));
    if (!c) {
        return -ENOMEM;
    }
    c->nent = PB_EVIDENCE_MAX_CPUID;
    if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, c) < 0) {
        int ret = -errno;

        free(c);
        return ret;
    }
    host->supported = c;
    pb_cpuid_read(&id);
    snprintf(host->vendor, sizeof(host->vendor), "%s", id.vendor);
    brand_string(host->cpu, sizeof(host->cpu));
    if (uname(&name) == 0) {
        snprintf(host->kernel, sizeof(host->kernel), "%.63s", name.release);
    }
    return 0;
}

void pb_evidence_host_free(PbEvidenceHost *host)
{
    free(host->supported);
    host->supported = NULL;
}

/* What a text in a file may hold: see pb_evidence_check_info(). */
static void clean(char *text)
{
    for (; *text; text++) {
        if ((uint8_t)*text < ' ' || (uint8_t)*text > '~') {
            *text = '?';
        }
    }
}

void pb_evidence_note_host(PbEvidenceInfo *info, const PbEvidenceHost *host,
                           PbCounterKind counter, const PbUarch *uarch)
{
    info->counter = counter == PB_COUNTER_STEP ? PB_COUNTER_STEP
                                               : PB_COUNTER_PMU;
    memcpy(info->vendor, host->vendor, sizeof(info->vendor));
    memcpy(info->cpu, host->cpu, sizeof(info->cpu));
    memcpy(info->kernel, host->kernel, sizeof(info->kernel));
    if (info->counter == PB_COUNTER_PMU && uarch) {
        snprintf(info->uarch, sizeof(info->uarch), "%s", uarch->name);
    }
    clean(info->vendor);
    clean(info->cpu);
    clean(info->kernel);
}

/* ---- comparing ---- */

typedef struct Text {
    char *to;
    size_t len, used;
} Text;

static void say(Text *t, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void say(Text *t, const char *fmt, ...)
{
    va_list ap;
    int n;

    if (t->used + 1 < t->len) {
        va_start(ap, fmt);
        n = vsnprintf(t->to + t->used, t->len - t->used, fmt, ap);
        va_end(ap);
        t->used += n > 0 ? n : 0;
    }
}

/* The @bit-th name of @w, or where the bit is. */
static void say_feature(Text *t, const Word *w, unsigned bit)
{
    static const char *const regs[] = { "EAX", "EBX", "ECX", "EDX" };
    const char *name = w->names;
    size_t len;
    unsigned i;

    for (i = 0; i < bit && *name; i++) {
        name += strcspn(name, " ");
        name += *name == ' ';
    }
    len = strcspn(name, " ");
    if (len == 0 || *name == '-') {
        say(t, "CPUID 0x%x.%u %s bit %u", w->leaf, w->subleaf, regs[w->reg],
            bit);
    } else {
        say(t, "%.*s", (int)len, name);
    }
}

static unsigned missing_features(Text *t, const struct kvm_cpuid2 *needs,
                                 const struct kvm_cpuid2 *has)
{
    unsigned i, bit, n = 0;

    for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        const Word *w = &words[i];
        uint32_t lacks = pb_cpuid_entry(needs, w->leaf, w->subleaf, w->reg) &
                         ~pb_cpuid_entry(has, w->leaf, w->subleaf, w->reg) &
                         ~w->ignore;

        for (bit = 0; bit < 32; bit++) {
            if (lacks & 1u << bit) {
                say(t, n++ ? ", " : "the file needs CPU features that this "
                    "host lacks: ");
                say_feature(t, w, bit);
            }
        }
    }
    return n;
}

bool pb_evidence_check_host(const PbEvidenceInfo *info,
                            const struct kvm_cpuid2 *cpuid,
                            const PbEvidenceHost *host, const PbUarch *uarch,
                            char *text, size_t len)
{
    Text t = { .to = text, .len = len };
    uint8_t needs_bits = pb_cpuid_entry(cpuid, 0x80000008, 0, EAX);
    uint8_t has_bits = pb_cpuid_entry(host->supported, 0x80000008, 0, EAX);
    bool ok = true;

    text[0] = 0;
    if (strcmp(info->vendor, host->vendor)) {
        say(&t, "the file needs a CPU of %s, this host's is of %s",
            info->vendor, host->vendor);
        ok = false;
    }
    if (needs_bits > has_bits) {
        say(&t, "%sthe file needs %u bits of physical address, this host "
            "has %u", ok ? "" : "; ", needs_bits, has_bits);
        ok = false;
    }
    if (!ok) {
        say(&t, "; ");
    }
    if (missing_features(&t, cpuid, host->supported)) {
        ok = false;
    } else if (!ok) {
        t.used -= 2;
        text[t.used < len ? t.used : len - 1] = 0;
    }
    if (!ok) {
        say(&t, "; it was written on: %s, Linux %s",
            info->cpu[0] ? info->cpu : "an unknown CPU",
            info->kernel[0] ? info->kernel : "unknown");
    } else if (uarch && info->uarch[0] && strcmp(info->uarch, uarch->name)) {
        say(&t, "the file's branches were counted on %s, this host counts "
            "as %s: should they differ, the Backup will say that it has "
            "diverged", info->uarch, uarch->name);
    }
    return ok;
}
