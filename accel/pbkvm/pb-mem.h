/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-mem.h: the RAM of one KVM VM: blocks of host memory and the memory
 * slots that show parts of them to the guest.
 *
 * No QEMU.  A PbMem is changed by the thread that runs its vCPU, or while
 * that vCPU does not run; the memory it describes belongs to the caller
 * (Primary) or to the PbMem (Backup, pb_mem_twin()).
 */
#ifndef PB_MEM_H
#define PB_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring/pb-event.h"

#define PB_MEM_PAGE       4096u
#define PB_MEM_MAX_BLOCKS 32
#define PB_MEM_MAX_SLOTS  64

/*
 * What a CPU may set by itself in a present page table entry, Accessed and
 * Dirty: pb_mem_compare() and pb_crc_ram() make allowance for it.
 */
#define PB_PTE_PRESENT 0x01u
#define PB_PTE_USED    0x60u

typedef struct PbBlock {
    uint8_t *host;
    uint64_t size;
    char name[48];
    bool sparse;                           /* private anonymous memory: a
                                              page never touched is zero */
    uint64_t *log;                         /* of its pages, a bit each, or */
    uint64_t *part;                        /* NULL: pb-mem-log.h */
} PbBlock;

typedef struct PbMem {
    PbBlock block[PB_MEM_MAX_BLOCKS];
    unsigned blocks;
    PbSlotChange slot[PB_MEM_MAX_SLOTS];   /* size 0: not in use */
    bool owned;                            /* blocks are unmapped at the end */
    bool merge;                            /* equal pages may be shared (KSM) */
} PbMem;

/* Append a block, not sparse; false when the table is full. */
bool pb_mem_add_block(PbMem *m, const char *name, void *host, uint64_t size);

/*
 * Find host address @hva of @m: its block and the offset in it.
 * False when no block covers it.
 */
bool pb_mem_find(const PbMem *m, const void *hva, uint32_t *block,
                 uint64_t *offset);

/* Whether @len bytes at @offset of block number @block are there. */
bool pb_mem_has(const PbMem *m, uint32_t block, uint64_t offset, uint64_t len);

/* Whether @c names existing memory of @m; NULL or what is wrong. */
const char *pb_mem_check_slot(const PbMem *m, unsigned slot,
                              const PbSlotChange *c);

/* Note that slot number @slot is now @c (which pb_mem_check_slot() passed). */
void pb_mem_set_slot(PbMem *m, unsigned slot, const PbSlotChange *c);

/*
 * The same, and tell KVM VM @vm_fd.  0 or -errno.
 */
int pb_mem_apply_slot(PbMem *m, int vm_fd, unsigned slot,
                      const PbSlotChange *c);

/* Tell KVM what it may be told anew of slot number @slot: whether to log. */
int pb_mem_tell_slot(const PbMem *m, int vm_fd, unsigned slot);

/* Slots do not overlap: there is one at most. */
static inline bool pb_mem_covers(const PbSlotChange *s, uint64_t gpa,
                                 uint64_t len)
{
    uint64_t at = gpa - s->gpa;       /* below it: beyond any size */

    return at < s->size && len <= s->size - at;
}

static inline void *pb_mem_host(const PbMem *m, const PbSlotChange *s,
                                uint64_t gpa)
{
    return m->block[s->block].host + s->offset + (gpa - s->gpa);
}

/* The slot that was found last: mostly it is that one again. */
extern __thread unsigned pb_mem_last;

/* pb_mem_at(), when it is not. */
void *pb_mem_look_for(const PbMem *m, uint64_t gpa, uint64_t len);

/*
 * Host memory behind guest physical [gpa, gpa + len), or NULL when a slot
 * does not cover all of it.  A position asks for half a dozen places.
 */
static inline void *pb_mem_at(const PbMem *m, uint64_t gpa, uint64_t len)
{
    const PbSlotChange *s = &m->slot[pb_mem_last];

    return pb_mem_covers(s, gpa, len) ? pb_mem_host(m, s, gpa)
                                      : pb_mem_look_for(m, gpa, len);
}

/*
 * Make @twin a copy of @m with memory of its own: same blocks, same slots,
 * same contents; pages that are all zero stay untouched.  If @m's may be
 * merged, so may the twin's, most of which are equal.  0 or -errno.
 * pb_mem_destroy(twin) gives the memory back.
 */
int pb_mem_twin(PbMem *twin, const PbMem *m);

/* The same, but all of it is zero yet. */
int pb_mem_like(PbMem *twin, const PbMem *m);
void pb_mem_destroy(PbMem *m);

/* What is in the blocks of @to becomes that of its twin @from. */
void pb_mem_copy(PbMem *to, const PbMem *from);

/* Bytes of the pages that may hold anything: about what a twin takes. */
uint64_t pb_mem_touched(const PbMem *m);

/* A place in the RAM of a VM. */
typedef struct PbMemAt {
    unsigned block;
    uint64_t offset;
} PbMemAt;

/*
 * Give Linux back the pages that are all zero among the next @bytes from *@at
 * on, which moves on; *@dropped grows by their number.  False when nothing
 * comes after them.  Of sparse blocks alone, and not where Linux may have made
 * huge pages, which would have to be split.  Nobody writes them meanwhile.
 */
bool pb_mem_drop_zero(PbMem *m, PbMemAt *at, uint64_t bytes,
                      uint64_t *dropped);

/*
 * Tell @page of every page of @m (4096 bytes; blocks are whole pages)
 * that is not all zero, in order.  False when @page returned false, which
 * ends it.
 */
bool pb_mem_scan(const PbMem *m,
                 bool (*page)(void *opaque, unsigned block, uint64_t offset,
                              const uint8_t *data), void *opaque);

/* What pb_mem_compare() found. */
typedef struct PbMemDiff {
    uint64_t bytes;          /* bytes compared */
    uint64_t differences;    /* 4-byte words that differ */
    uint64_t accessed_bits;  /* of these: differ in a present PTE's A or D */
    unsigned block;          /* the first real difference: block, offset, */
    uint64_t offset;
    uint32_t a, b;           /* and both words */
} PbMemDiff;

/*
 * Compare every byte of every block.  A word that differs only in bits 5 and
 * 6 and has bit 0 set on both sides may be a page table entry: its Accessed
 * bit was set by speculation (SDM 3A 5.10.2.3), or both by an instruction
 * that an exit interrupted, and that begins anew.  Counted apart.
 */
void pb_mem_compare(const PbMem *a, const PbMem *b, PbMemDiff *diff);

#endif /* PB_MEM_H */
