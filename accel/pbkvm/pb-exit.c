/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-exit.c: what the guest wrote at an exit. */
#include "pb-exit.h"
#include "ring/pb-event.h"

bool pb_exit_is_write(const struct kvm_run *run)
{
    return (run->exit_reason == KVM_EXIT_IO &&
            run->io.direction == KVM_EXIT_IO_OUT) ||
           (run->exit_reason == KVM_EXIT_MMIO && run->mmio.is_write);
}

uint64_t pb_digest_exit(uint64_t digest, const struct kvm_run *run)
{
    if (run->exit_reason == KVM_EXIT_IO) {
        digest = pb_digest_mix(digest, run->io.port |
                               (uint64_t)run->io.size << 16 |
                               (uint64_t)run->io.count << 24);
        return pb_digest_bytes(digest,
                               (const uint8_t *)run + run->io.data_offset,
                               (size_t)run->io.size * run->io.count);
    }
    digest = pb_digest_mix(digest, run->mmio.phys_addr);
    return pb_digest_bytes(digest, run->mmio.data, run->mmio.len);
}
