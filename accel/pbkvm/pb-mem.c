/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-mem.c: RAM blocks and memory slots of one KVM VM. */
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "pb-mem.h"

bool pb_mem_add_block(PbMem *m, const char *name, void *host, uint64_t size)
{
    PbBlock *b;

    if (m->blocks == PB_MEM_MAX_BLOCKS) {
        return false;
    }
    b = &m->block[m->blocks++];
    b->host = host;
    b->size = size;
    snprintf(b->name, sizeof(b->name), "%s", name);
    return true;
}

bool pb_mem_find(const PbMem *m, const void *hva, uint32_t *block,
                 uint64_t *offset)
{
    const uint8_t *p = hva;
    unsigned i;

    for (i = 0; i < m->blocks; i++) {
        const PbBlock *b = &m->block[i];

        if (p >= b->host && p < b->host + b->size) {
            *block = i;
            *offset = p - b->host;
            return true;
        }
    }
    return false;
}

bool pb_mem_has(const PbMem *m, uint32_t block, uint64_t offset, uint64_t len)
{
    return block < m->blocks && offset <= m->block[block].size &&
           len <= m->block[block].size - offset;
}

const char *pb_mem_check_slot(const PbMem *m, unsigned slot,
                              const PbSlotChange *c)
{
    if (slot >= PB_MEM_MAX_SLOTS) {
        return "slot number out of range";
    }
    if (c->size == 0) {
        return NULL;
    }
    if (c->block >= m->blocks) {
        return "no such RAM block";
    }
    if (!pb_mem_has(m, c->block, c->offset, c->size)) {
        return "beyond the end of the RAM block";
    }
    if ((c->gpa | c->size | c->offset) & (PB_MEM_PAGE - 1)) {
        return "not page aligned";
    }
    if (c->readonly > 1) {
        return "read-only is neither 0 nor 1";
    }
    return NULL;
}

void pb_mem_set_slot(PbMem *m, unsigned slot, const PbSlotChange *c)
{
    m->slot[slot] = *c;
}

static int kvm_slot(const PbMem *m, int vm_fd, unsigned slot,
                    const PbSlotChange *c, uint64_t size)
{
    struct kvm_userspace_memory_region r = {
        .slot = slot,
        .flags = c->readonly ? KVM_MEM_READONLY
               : m->block[c->block].log ? KVM_MEM_LOG_DIRTY_PAGES : 0,
        .guest_phys_addr = c->gpa,
        .memory_size = size,
    };

    if (size) {
        r.userspace_addr = (uintptr_t)(m->block[c->block].host + c->offset);
    }
    return ioctl(vm_fd, KVM_SET_USER_MEMORY_REGION, &r) < 0 ? -errno : 0;
}

int pb_mem_apply_slot(PbMem *m, int vm_fd, unsigned slot,
                      const PbSlotChange *c)
{
    const PbSlotChange *old = &m->slot[slot];
    int ret;

    if (old->size && old->size == c->size && old->gpa == c->gpa &&
        old->block == c->block && old->offset == c->offset &&
        old->readonly == c->readonly) {
        return 0;
    }
    if (old->size) {
        /* KVM refuses to change a slot's size or flags in place. */
        ret = kvm_slot(m, vm_fd, slot, old, 0);
        if (ret < 0) {
            return ret;
        }
    }
    if (c->size) {
        ret = kvm_slot(m, vm_fd, slot, c, c->size);
        if (ret < 0) {
            return ret;
        }
    }
    pb_mem_set_slot(m, slot, c);
    return 0;
}

int pb_mem_tell_slot(const PbMem *m, int vm_fd, unsigned slot)
{
    const PbSlotChange *s = &m->slot[slot];

    return kvm_slot(m, vm_fd, slot, s, s->size);
}

__thread unsigned pb_mem_last;

void *pb_mem_look_for(const PbMem *m, uint64_t gpa, uint64_t len)
{
    unsigned i;

    for (i = 0; i < PB_MEM_MAX_SLOTS; i++) {
        if (pb_mem_covers(&m->slot[i], gpa, len)) {
            pb_mem_last = i;
            return pb_mem_host(m, &m->slot[i], gpa);
        }
    }
    return NULL;
}
