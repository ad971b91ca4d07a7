/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-mem-log.c: which pages of a VM's RAM were written to. */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "pb-mem-log.h"

#define PAGE_SIZE 4096u

static uint64_t pages(uint64_t bytes)
{
    return (bytes + PAGE_SIZE - 1) / PAGE_SIZE;
}

static uint64_t words(uint64_t bytes)
{
    return (pages(bytes) + 63) / 64;
}

bool pb_mem_log_new(PbMem *m)
{
    unsigned i;

    for (i = 0; i < m->blocks; i++) {
        m->block[i].log = calloc(words(m->block[i].size), sizeof(uint64_t));
        if (!m->block[i].log) {
            pb_mem_log_free(m);
            return false;
        }
    }
    return true;
}

void pb_mem_log_free(PbMem *m)
{
    unsigned i;

    for (i = 0; i < m->blocks; i++) {
        free(m->block[i].log);
        m->block[i].log = NULL;
    }
}

void pb_mem_log_add(PbMem *m, const PbMem *from)
{
    unsigned i;
    uint64_t n;

    for (i = 0; i < m->blocks; i++) {
        PbBlock *b = &m->block[i];

        for (n = 0; b->log && n < words(b->size); n++) {
            b->log[n] |= from->block[i].log ? from->block[i].log[n] : 0;
        }
    }
}

void pb_mem_log_clear(PbMem *m)
{
    unsigned i;

    for (i = 0; i < m->blocks; i++) {
        if (m->block[i].log) {
            memset(m->block[i].log, 0,
                   words(m->block[i].size) * sizeof(uint64_t));
        }
    }
}

int pb_mem_log_tell(PbMem *m, int vm_fd)
{
    unsigned i;
    int ret = 0;

    for (i = 0; i < PB_MEM_MAX_SLOTS && ret == 0; i++) {
        if (m->slot[i].size && !m->slot[i].readonly) {
            ret = pb_mem_tell_slot(m, vm_fd, i);
        }
    }
    return ret;
}

/* @n pages of @b from @first on. */
static void add(PbBlock *b, uint64_t first, uint64_t n)
{
    for (; n; first++, n--) {
        b->log[first / 64] |= 1ull << first % 64;
    }
}

void pb_mem_log_write(PbMem *m, const void *host, uint64_t len)
{
    uint64_t offset;
    uint32_t block;

    if (len && pb_mem_find(m, host, &block, &offset) && m->block[block].log) {
        add(&m->block[block], offset / PAGE_SIZE,
            pages(offset % PAGE_SIZE + len));
    }
}

void pb_mem_log_slot(PbMem *m, int vm_fd, unsigned slot)
{
    const PbSlotChange *s = &m->slot[slot];
    PbBlock *b = &m->block[s->block];
    struct kvm_dirty_log log = { .slot = slot };
    uint64_t first = s->offset / PAGE_SIZE, n, *written;

    if (!s->size || s->readonly || !b->log) {
        return;
    }
    written = calloc(words(s->size), sizeof(uint64_t));
    log.dirty_bitmap = written;
    if (!written || ioctl(vm_fd, KVM_GET_DIRTY_LOG, &log) < 0) {
        add(b, first, pages(s->size));
        free(written);
        return;
    }
    for (n = 0; n < words(s->size); n++) {
        uint64_t left;

        for (left = written[n]; left; left &= left - 1) {
            add(b, first + n * 64 + __builtin_ctzll(left), 1);
        }
    }
    free(written);
}

void pb_mem_log_collect(PbMem *m, int vm_fd)
{
    unsigned i;

    for (i = 0; i < PB_MEM_MAX_SLOTS; i++) {
        pb_mem_log_slot(m, vm_fd, i);
    }
}

void pb_mem_restore(PbMem *m, PbMem *copy)
{
    unsigned i;
    uint64_t n;

    for (i = 0; i < m->blocks; i++) {
        const PbBlock *b = &copy->block[i];

        for (n = 0; n < words(b->size); n++) {
            uint64_t left;

            for (left = b->log[n]; left; left &= left - 1) {
                uint64_t at = (n * 64 + __builtin_ctzll(left)) * PAGE_SIZE;
                uint64_t end = b->size - at;

                memcpy(m->block[i].host + at, b->host + at,
                       end < PAGE_SIZE ? end : PAGE_SIZE);
            }
        }
    }
    pb_mem_log_clear(copy);
}
