/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-exit.h: what the guest wrote at an exit, Primary's and Backup's alike.
 *
 * No QEMU.  @run is the vCPU's after KVM_RUN has returned 0; its own thread.
 */
#ifndef PB_EXIT_H
#define PB_EXIT_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

/* Whether it is a PIO OUT or an MMIO write. */
bool pb_exit_is_write(const struct kvm_run *run);

/* The rolling digest of all writes, @digest, with that of @run added. */
uint64_t pb_digest_exit(uint64_t digest, const struct kvm_run *run);

/*
 * A write to the local APIC's task priority is one to CR8 (SDM 3A 11.8.6.1),
 * which KVM takes from @run at the next entry, having no APIC.  The other way
 * round is the Primary's affair, who has one.
 */
void pb_exit_mind_cr8(struct kvm_run *run);

#endif /* PB_EXIT_H */
