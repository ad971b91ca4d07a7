/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-memory.c: the Primary's memory as seen from QEMU: which RAM blocks
 * there are, which KVM slots show them, and every write that is not the
 * guest's own.
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/rcu.h"
#include "qapi/error.h"
#include "exec/memory.h"
#include "exec/ramlist.h"
#include "exec/ram_addr.h"
#include "hw/core/cpu.h"
#include "qemu/main-loop.h"

#include "pbkvm.h"

static PbkvmState *watched;

/* What QEMU told KVM before the blocks were known. */
static struct {
    uint64_t gpa, size;
    const void *hva;
    bool readonly;
} early[PB_MEM_MAX_SLOTS];

/*
 * Whether the change happens at a known place in the history; if not, the
 * history ends here.
 */
static bool placed(PbkvmState *s, const char *name)
{
    g_autofree char *why = NULL;

    if (qemu_cpu_is_self(s->cpu) ||
        (bql_locked() && !qatomic_load_acquire(&s->rest.moving))) {
        if (s->at_exit || s->standing) {
            return true;
        }
    }
    why = g_strdup_printf("%s was changed while nobody knew where the guest "
                          "was: a device acts without the BQL, or by a "
                          "pointer of its own", name);
    pbkvm_end(s, why);
    return false;
}

static void slot_changed(int slot, uint64_t gpa, uint64_t size,
                         const void *hva, bool readonly)
{
    PbkvmState *s = watched;
    PbSlotChange c = { .gpa = gpa, .size = size, .readonly = readonly };
    const char *bad = NULL;

    if (slot >= PB_MEM_MAX_SLOTS) {
        error_report("pbkvm: memory slot %d: expected below %d", slot,
                     PB_MEM_MAX_SLOTS);
        exit(1);
    }
    early[slot].gpa = gpa;
    early[slot].size = size;
    early[slot].hva = hva;
    early[slot].readonly = readonly;
    if (!s->recording) {
        return;
    }
    if (size && !pb_mem_find(&s->mem, hva, &c.block, &c.offset)) {
        pbkvm_end(s, "memory was added to the running machine");
        return;
    }
    if (!size) {
        c = (PbSlotChange) { 0 };
    }
    bad = pb_mem_check_slot(&s->mem, slot, &c);
    if (bad) {
        pbkvm_end(s, bad);
        return;
    }
    if (!memcmp(&s->mem.slot[slot], &c, sizeof(c))) {
        return;               /* only dirty logging was switched */
    }
    if (placed(s, "the memory map")) {
        pb_mem_set_slot(&s->mem, slot, &c);
        pb_record_mem_slot(s->rec, slot, &c);
    }
}

static void ram_written(MemoryRegion *mr, uint64_t addr, uint64_t len)
{
    PbkvmState *s = watched;
    uint8_t *host;
    uint64_t offset;
    uint32_t block;

    if (!s->recording || !len) {
        return;
    }
    host = memory_region_get_ram_ptr(mr);
    if (!pb_mem_find(&s->mem, host + addr, &block, &offset)) {
        return;               /* not the guest's: a block added later */
    }
    if (placed(s, s->mem.block[block].name)) {
        pb_record_mem_write(s->rec, block, offset, len);
    }
}

void pbkvm_memory_init(PbkvmState *s)
{
    watched = s;
    kvm_slot_hook = slot_changed;
    memory_write_hook = ram_written;
    memory_bounce_writes = true;
}

static bool add_blocks(PbkvmState *s, Error **errp)
{
    RAMBlock *rb;

    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH(rb) {
        /* A block's size may grow up to max_length (fw_cfg tables). */
        if (!pb_mem_add_block(&s->mem, rb->idstr, rb->host,
                              rb->max_length)) {
            error_setg(errp, "pbkvm: the machine has more than %d RAM blocks",
                       PB_MEM_MAX_BLOCKS);
            return false;
        }
        s->mem.block[s->mem.blocks - 1].sparse =
            rb->fd < 0 && !qemu_ram_is_shared(rb);
    }
    return true;
}

bool pbkvm_memory_start(PbkvmState *s, Error **errp)
{
    int i;

    s->mem = (PbMem) { 0 };
    if (!add_blocks(s, errp)) {
        return false;
    }
    s->mem.merge = machine_mem_merge(current_machine);
    for (i = 0; i < PB_MEM_MAX_SLOTS; i++) {
        PbSlotChange c = {
            .gpa = early[i].gpa, .size = early[i].size,
            .readonly = early[i].readonly,
        };

        if (!c.size) {
            continue;
        }
        if (!pb_mem_find(&s->mem, early[i].hva, &c.block, &c.offset) ||
            pb_mem_check_slot(&s->mem, i, &c)) {
            error_setg(errp, "pbkvm: memory slot %d at 0x%" PRIx64 " is in "
                       "no RAM block", i, c.gpa);
            return false;
        }
        pb_mem_set_slot(&s->mem, i, &c);
    }
    return true;
}
