/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * evidence-host.h: whether this host can live through an evidence file that
 * another one may have written.
 *
 * No QEMU.  Any thread.
 */
#ifndef EVIDENCE_HOST_H
#define EVIDENCE_HOST_H

#include "evidence.h"

enum { PB_CPUID_EAX, PB_CPUID_EBX, PB_CPUID_ECX, PB_CPUID_EDX };

/* What CPUID has in @reg (of these) for a leaf that is in @c; else 0.  Pure. */
uint32_t pb_cpuid_entry(const struct kvm_cpuid2 *c, uint32_t leaf,
                        uint32_t subleaf, int reg);

/* What a replay depends on. */
typedef struct PbEvidenceHost {
    struct kvm_cpuid2 *supported; /* KVM_GET_SUPPORTED_CPUID; owned */
    char vendor[16];
    char cpu[64];                 /* its name */
    char kernel[64];
} PbEvidenceHost;

/* Ask /dev/kvm, open as @kvm_fd, and the CPU.  0 or -errno. */
int pb_evidence_host(int kvm_fd, PbEvidenceHost *host);
void pb_evidence_host_free(PbEvidenceHost *host);

/* Note @host, and the counter in use, in @info. */
void pb_evidence_note_host(PbEvidenceInfo *info, const PbEvidenceHost *host,
                           PbCounterKind counter, const PbUarch *uarch);

/*
 * Pure.  True: the file can be replayed on @host; @text may hold a note on
 * a difference that should not matter, else "".  False: @text names each
 * difference.  @uarch is NULL with counter=step.
 */
bool pb_evidence_check_host(const PbEvidenceInfo *info,
                            const struct kvm_cpuid2 *cpuid,
                            const PbEvidenceHost *host, const PbUarch *uarch,
                            char *text, size_t len);

#endif /* EVIDENCE_HOST_H */
