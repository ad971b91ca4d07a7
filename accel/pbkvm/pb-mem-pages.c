/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-mem-pages.c: what is in the RAM of a VM: copied, told, compared. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pb-mem.h"

#define HUGE_PAGE (2u << 20)

static bool page_is_zero(const uint8_t *p)
{
    const uint64_t *w = (const uint64_t *)p;
    unsigned i;

    for (i = 0; i < PB_MEM_PAGE / 8; i += 4) {
        if (w[i] | w[i + 1] | w[i + 2] | w[i + 3]) {
            return false;
        }
    }
    return true;
}

/*
 * Which pages of a block were ever touched, from /proc/self/pagemap (Linux
 * Documentation/admin-guide/mm/pagemap.rst): looked at 512 pages at a time.
 */
typedef struct Touched {
    const PbBlock *block;
    int fd;                   /* -1: all count as touched */
    uint64_t bits;            /* of an entry: any of them tells */
    uint64_t first;           /* page number of entry[0] */
    uint64_t entry[512];
} Touched;

#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_SWAPPED (1ull << 62)

static void touched_open(Touched *t, const PbBlock *b)
{
    t->block = b;
    t->fd = b->sparse ? open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)
                      : -1;
    t->bits = PAGEMAP_PRESENT | PAGEMAP_SWAPPED;
    t->first = UINT64_MAX;
}

static void touched_close(Touched *t)
{
    if (t->fd >= 0) {
        close(t->fd);
        t->fd = -1;
    }
}

/* Whether the page at @at (bytes into the block) may hold anything. */
static bool touched(Touched *t, uint64_t at)
{
    uint64_t page = ((uintptr_t)t->block->host + at) / PB_MEM_PAGE;
    uint64_t first = page & ~511ull;

    if (t->fd >= 0 && t->first != first) {
        memset(t->entry, 0xff, sizeof(t->entry));
        if (pread(t->fd, t->entry, sizeof(t->entry), first * 8) < 8) {
            touched_close(t);
        }
        t->first = first;
    }
    return t->fd < 0 || (t->entry[page & 511] & t->bits);
}

uint64_t pb_mem_touched(const PbMem *m)
{
    uint64_t bytes = 0;
    unsigned i;

    for (i = 0; i < m->blocks; i++) {
        const PbBlock *b = &m->block[i];
        uint64_t at;
        Touched t;

        touched_open(&t, b);
        for (at = 0; at < b->size; at += PB_MEM_PAGE) {
            bytes += touched(&t, at) ? PB_MEM_PAGE : 0;
        }
        touched_close(&t);
    }
    return bytes;
}

static void copy_block(uint8_t *to, const PbBlock *from)
{
    uint64_t at, size = from->size;
    Touched t;

    touched_open(&t, from);
    for (at = 0; at + PB_MEM_PAGE <= size; at += PB_MEM_PAGE) {
        if (touched(&t, at) && !page_is_zero(from->host + at)) {
            memcpy(to + at, from->host + at, PB_MEM_PAGE);
        }
    }
    memcpy(to + at, from->host + at, size - at);
    touched_close(&t);
}

bool pb_mem_scan(const PbMem *m,
                 bool (*page)(void *opaque, unsigned block, uint64_t offset,
                              const uint8_t *data), void *opaque)
{
    unsigned i;
    bool go_on = true;

    for (i = 0; i < m->blocks && go_on; i++) {
        const PbBlock *b = &m->block[i];
        uint64_t at;
        Touched t;

        touched_open(&t, b);
        for (at = 0; at + PB_MEM_PAGE <= b->size && go_on; at += PB_MEM_PAGE) {
            if (touched(&t, at) && !page_is_zero(b->host + at)) {
                go_on = page(opaque, i, at, b->host + at);
            }
        }
        touched_close(&t);
    }
    return go_on;
}

/* Whether Linux may make huge pages of what is marked for it. */
static bool huge_pages(void)
{
    char line[80] = "";
    int fd = open("/sys/kernel/mm/transparent_hugepage/enabled",
                  O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        if (read(fd, line, sizeof(line) - 1) < 0) {
            line[0] = 0;
        }
        close(fd);
    }
    return fd >= 0 && !strstr(line, "[never]");
}

/* Pages of @b that are all zero, from @at to @end; those in a row as one. */
static uint64_t drop_zero(const PbBlock *b, uint64_t at, uint64_t end)
{
    uint64_t row = 0, dropped = 0;
    Touched t;

    touched_open(&t, b);
    t.bits = PAGEMAP_PRESENT;     /* what is swapped out stays there */
    for (; at < end; at += PB_MEM_PAGE) {
        bool zero = touched(&t, at) && t.fd >= 0 && page_is_zero(b->host + at);

        row += zero ? PB_MEM_PAGE : 0;
        if (row && (!zero || at + PB_MEM_PAGE == end)) {
            uint8_t *first = b->host + at + (zero ? PB_MEM_PAGE : 0) - row;

            if (madvise(first, row, MADV_DONTNEED) == 0) {
                dropped += row / PB_MEM_PAGE;
            }
            row = 0;
        }
    }
    touched_close(&t);
    return dropped;
}

bool pb_mem_drop_zero(PbMem *m, PbMemAt *at, uint64_t bytes, uint64_t *dropped)
{
    bool huge = huge_pages();

    while (bytes && at->block < m->blocks) {
        const PbBlock *b = &m->block[at->block];
        uint64_t left = b->size / PB_MEM_PAGE * PB_MEM_PAGE - at->offset;
        uint64_t n = left < bytes ? left : bytes;

        if (b->sparse && !(huge && b->size >= HUGE_PAGE)) {
            *dropped += drop_zero(b, at->offset, at->offset + n);
        }
        bytes -= n;
        at->offset += n;
        if (n == left) {
            *at = (PbMemAt) { .block = at->block + 1 };
        }
    }
    return at->block < m->blocks;
}

/*
 * Memory of @b's size, as far from a huge page's beginning as @b is: KVM maps
 * huge pages only where a guest's and its host's begin together, and QEMU has
 * put the Primary's so.  NULL: errno tells.
 */
static uint8_t *map_like(const PbBlock *b)
{
    uint64_t extra = b->size >= HUGE_PAGE ? HUGE_PAGE : 0;
    uint8_t *p = mmap(NULL, b->size + extra, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    uint64_t skip;

    if (p == MAP_FAILED) {
        return NULL;
    }
    skip = extra ? ((uintptr_t)b->host - (uintptr_t)p) & (HUGE_PAGE - 1) : 0;
    if (skip) {
        munmap(p, skip);
    }
    if (extra - skip) {
        munmap(p + skip + b->size, extra - skip);
    }
    if (extra) {
        madvise(p + skip, b->size, MADV_HUGEPAGE);    /* if Linux has them */
    }
    return p + skip;
}

int pb_mem_like(PbMem *twin, const PbMem *m)
{
    unsigned i;

    memset(twin, 0, sizeof(*twin));
    twin->owned = true;
    twin->merge = m->merge;
    for (i = 0; i < m->blocks; i++) {
        const PbBlock *b = &m->block[i];
        uint8_t *host = map_like(b);

        if (!host) {
            int ret = -errno;

            pb_mem_destroy(twin);
            return ret;
        }
        if (twin->merge) {
            madvise(host, b->size, MADV_MERGEABLE);   /* if Linux has it */
        }
        pb_mem_add_block(twin, b->name, host, b->size);
        twin->block[i].sparse = true;
    }
    memcpy(twin->slot, m->slot, sizeof(twin->slot));
    return 0;
}

int pb_mem_twin(PbMem *twin, const PbMem *m)
{
    int ret = pb_mem_like(twin, m);
    unsigned i;

    for (i = 0; ret == 0 && i < m->blocks; i++) {
        copy_block(twin->block[i].host, &m->block[i]);
    }
    return ret;
}

void pb_mem_destroy(PbMem *m)
{
    unsigned i;

    for (i = 0; m->owned && i < m->blocks; i++) {
        munmap(m->block[i].host, m->block[i].size);
        free(m->block[i].log);
        free(m->block[i].part);
    }
    memset(m, 0, sizeof(*m));
}

/* Words of one page; most pages are equal and never come here. */
static void compare_page(PbMemDiff *d, unsigned block, uint64_t offset,
                         const uint8_t *pa, const uint8_t *pb, uint64_t len)
{
    uint64_t at;

    for (at = 0; at + 4 <= len; at += 4) {
        uint32_t a, b;

        memcpy(&a, pa + at, 4);
        memcpy(&b, pb + at, 4);
        if (a == b) {
            continue;
        }
        d->differences++;
        if (!((a ^ b) & ~PB_PTE_USED) && (a & PB_PTE_PRESENT)) {
            d->accessed_bits++;
        } else if (d->differences - d->accessed_bits == 1) {
            d->block = block;
            d->offset = offset + at;
            d->a = a;
            d->b = b;
        }
    }
}

/* Tell @page of every page in which @a and its twin @b differ. */
static void each_difference(const PbBlock *a, const PbBlock *b,
                            void (*page)(void *opaque, uint64_t at,
                                         uint8_t *pa, const uint8_t *pb,
                                         uint64_t len), void *opaque)
{
    uint64_t at;
    Touched ta, tb;

    touched_open(&ta, a);
    touched_open(&tb, b);
    for (at = 0; at < a->size; at += PB_MEM_PAGE) {
        uint64_t len = a->size - at < PB_MEM_PAGE ? a->size - at : PB_MEM_PAGE;

        if ((touched(&ta, at) || touched(&tb, at)) &&
            memcmp(a->host + at, b->host + at, len)) {
            page(opaque, at, a->host + at, b->host + at, len);
        }
    }
    touched_close(&ta);
    touched_close(&tb);
}

typedef struct Compare {
    PbMemDiff *diff;
    unsigned block;
} Compare;

static void compare(void *opaque, uint64_t at, uint8_t *pa, const uint8_t *pb,
                    uint64_t len)
{
    Compare *c = opaque;

    compare_page(c->diff, c->block, at, pa, pb, len);
}

void pb_mem_compare(const PbMem *a, const PbMem *b, PbMemDiff *diff)
{
    Compare c = { .diff = diff };

    memset(diff, 0, sizeof(*diff));
    for (; c.block < a->blocks; c.block++) {
        each_difference(&a->block[c.block], &b->block[c.block], compare, &c);
        diff->bytes += a->block[c.block].size;
    }
}

static void copy(void *opaque, uint64_t at, uint8_t *to, const uint8_t *from,
                 uint64_t len)
{
    memcpy(to, from, len);
}

void pb_mem_copy(PbMem *to, const PbMem *from)
{
    unsigned i;

    for (i = 0; i < to->blocks; i++) {
        each_difference(&to->block[i], &from->block[i], copy, NULL);
    }
}
