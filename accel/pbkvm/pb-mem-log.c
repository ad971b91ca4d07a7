/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-mem-log.c: which pages of a VM's RAM were written to. */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "pb-mem-log.h"

static uint64_t pages(uint64_t bytes)
{
    return (bytes + PB_MEM_PAGE - 1) / PB_MEM_PAGE;
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
        free(m->block[i].part);
        m->block[i].log = m->block[i].part = NULL;
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
        add(&m->block[block], offset / PB_MEM_PAGE,
            pages(offset % PB_MEM_PAGE + len));
    }
}

/* The first page from @page on that is in @bits; @end: there is none. */
static uint64_t next(const uint64_t *bits, uint64_t page, uint64_t end)
{
    uint64_t left;

    while (page < end) {
        left = bits[page / 64] >> page % 64;
        if (left) {
            return page + __builtin_ctzll(left);
        }
        page = (page / 64 + 1) * 64;
    }
    return end;
}

void pb_mem_log_slot(PbMem *m, int vm_fd, unsigned slot)
{
    const PbSlotChange *s = &m->slot[slot];
    PbBlock *b = &m->block[s->block];
    struct kvm_dirty_log log = { .slot = slot };
    uint64_t first = s->offset / PB_MEM_PAGE, n = pages(s->size), i, *written;

    if (!s->size || s->readonly || !b->log) {
        return;
    }
    written = calloc(words(s->size), sizeof(uint64_t));
    log.dirty_bitmap = written;
    if (!written || ioctl(vm_fd, KVM_GET_DIRTY_LOG, &log) < 0) {
        add(b, first, n);
    } else {
        for (i = next(written, 0, n); i < n; i = next(written, i + 1, n)) {
            add(b, first + i, 1);
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

uint64_t pb_mem_logged(const PbMem *m)
{
    uint64_t bytes = 0, n;
    unsigned i;

    for (i = 0; i < m->blocks; i++) {
        for (n = 0; n < words(m->block[i].size); n++) {
            bytes += __builtin_popcountll(m->block[i].log[n]) * PB_MEM_PAGE;
        }
    }
    return bytes;
}

/* Page @page of @to becomes that of @from, a block of the same size. */
static void copy_page(const PbBlock *to, const PbBlock *from, uint64_t page)
{
    uint64_t at = page * PB_MEM_PAGE, left = to->size - at;

    memcpy(to->host + at, from->host + at,
           left < PB_MEM_PAGE ? left : PB_MEM_PAGE);
}

int pb_mem_copy_part(PbMem *part, const PbMem *m, const PbMem *whole)
{
    int ret = pb_mem_like(part, m);
    unsigned i;

    for (i = 0; ret == 0 && i < m->blocks; i++) {
        const PbBlock *w = &whole->block[i];
        uint64_t n = pages(w->size), p;
        PbBlock *b = &part->block[i];

        b->part = calloc(words(w->size), sizeof(uint64_t));
        if (!b->part) {
            ret = -ENOMEM;
            continue;
        }
        /* A page here and there is no use of huge ones. */
        madvise(b->host, b->size, MADV_NOHUGEPAGE);
        memcpy(b->part, w->log, words(w->size) * sizeof(uint64_t));
        for (p = next(w->log, 0, n); p < n; p = next(w->log, p + 1, n)) {
            copy_page(b, &m->block[i], p);
        }
    }
    if (ret == 0 && !pb_mem_log_new(part)) {
        ret = -ENOMEM;
    }
    if (ret < 0) {
        pb_mem_destroy(part);
    }
    return ret;
}

void pb_mem_restore(PbMem *m, PbMem *copy, const PbMem *whole)
{
    unsigned i;

    for (i = 0; i < m->blocks; i++) {
        const PbBlock *b = &copy->block[i];
        uint64_t n = pages(b->size), p;

        for (p = next(b->log, 0, n); p < n; p = next(b->log, p + 1, n)) {
            bool here = !b->part || next(b->part, p, p + 1) == p;

            copy_page(&m->block[i], here ? b : &whole->block[i], p);
        }
    }
    pb_mem_log_clear(copy);
}
