/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * peer-urcu.c: liburcu's wait-free queue.  It has no slots: nodes come from a
 * pool and go back to it in order, an eighth at a time or when it is empty.
 */
#define _LGPL_SOURCE
#include <stdbool.h>
#include <urcu/wfcqueue.h>

#include "bench.h"

typedef struct Pool {
    struct cds_wfcq_head head;
    struct cds_wfcq_tail tail __attribute__((aligned(128)));
    uint64_t put __attribute__((aligned(128)));   /* producer's */
    uint64_t back_seen;
    uint64_t got __attribute__((aligned(128)));   /* consumer's */
    uint64_t told;
    uint64_t back __attribute__((aligned(128)));  /* nodes back, shared */
    uint32_t slots __attribute__((aligned(128)));
    char *node;
} Pool;

/* Whole pairs of words: a pointer must not lie across two lines. */
#define BYTES(size) ((sizeof(struct cds_wfcq_node) + (size) + 15) / 16 * 16)

static void *make(uint32_t slots, size_t size)
{
    Pool *p = aligned_alloc(128, sizeof(*p));

    *p = (Pool) { .slots = slots };
    p->node = aligned_alloc(64, slots * BYTES(size));
    cds_wfcq_init(&p->head, &p->tail);
    return p;
}

static void destroy(void *q)
{
    free(((Pool *)q)->node);
    free(q);
}

static inline void give_back(Pool *p)
{
    p->told = p->got;
    __atomic_store_n(&p->back, p->got, __ATOMIC_RELEASE);
}

static inline bool put(Pool *p, const void *rec, size_t size)
{
    struct cds_wfcq_node *node;

    if (p->put - p->back_seen == p->slots) {
        p->back_seen = __atomic_load_n(&p->back, __ATOMIC_ACQUIRE);
        if (p->put - p->back_seen == p->slots) {
            return false;
        }
    }
    node = (void *)(p->node + (p->put++ & (p->slots - 1)) * BYTES(size));
    cds_wfcq_node_init(node);
    memcpy(node + 1, rec, size);
    cds_wfcq_enqueue(&p->head, &p->tail, node);
    return true;
}

static inline bool get(Pool *p, void *rec, size_t size)
{
    struct cds_wfcq_node *node;

    node = __cds_wfcq_dequeue_blocking(&p->head, &p->tail);
    if (!node) {
        if (p->told != p->got) {
            give_back(p);
        }
        return false;
    }
    memcpy(rec, node + 1, size);
    if (++p->got - p->told >= p->slots / 8) {
        give_back(p);
    }
    return true;
}

#define PEER(size) \
    BENCH_REC(size) \
    static void *make_##size(uint32_t slots) \
    { \
        return make(slots, size); \
    }
#define OPS(size) { \
        make_##size, destroy, { produce_##size }, { consume_##size }, \
    }

PEER(4)
PEER(8)
PEER(16)
PEER(32)
PEER(64)
#define REC BENCH_NAME(Rec, SIZE)
#define Q Pool
#define PUT(q, rec) put(q, rec, SIZE)
#define GET(q, rec) get(q, rec, SIZE)
#include "each-size.h"

const BenchQueue bench_urcu = {
    "wfcqueue", { OPS(4), OPS(8), OPS(16), OPS(32), OPS(64) },
};
