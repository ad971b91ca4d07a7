/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-mem-log.h: which pages of a VM's RAM were written to, so that it can be
 * made what it was without a look at all of it.
 *
 * KVM logs what the guest writes (KVM_MEM_LOG_DIRTY_PAGES); who writes in the
 * guest's place says so.  A copy of that RAM (pb_mem_twin()) has a log, too: of
 * the pages that may differ from it by now.  A later copy needs no more pages
 * than those in the earlier one's log.
 *
 * No QEMU.  Called by who may change the PbMem; @vm_fd is the VM that it is the
 * RAM of.
 */
#ifndef PB_MEM_LOG_H
#define PB_MEM_LOG_H

#include "pb-mem.h"

/* An empty log for @m, which has none; false: no memory. */
bool pb_mem_log_new(PbMem *m);
void pb_mem_log_free(PbMem *m);

/* What is in the log of @from, of the same blocks, is in that of @m, too. */
void pb_mem_log_add(PbMem *m, const PbMem *from);
void pb_mem_log_clear(PbMem *m);

/*
 * KVM logs from here on, if @m has a log; else not, or no more.  A VM that is
 * made later logs from its beginning.  0 or -errno.
 */
int pb_mem_log_tell(PbMem *m, int vm_fd);

/* @len bytes at @host, in one of @m's blocks, are written to by us. */
void pb_mem_log_write(PbMem *m, const void *host, uint64_t len);

/*
 * Add what the guest has written to memory slot @slot since it was asked for
 * last, or to any: also before the slot changes, for KVM then forgets it.  What
 * KVM does not tell counts as written.
 */
void pb_mem_log_slot(PbMem *m, int vm_fd, unsigned slot);
void pb_mem_log_collect(PbMem *m, int vm_fd);

/* Bytes of the pages in its log. */
uint64_t pb_mem_logged(const PbMem *m);

/*
 * Make @part a copy of @m that holds only the pages in the log of @whole: all
 * others are what they are in @whole.  With an empty log of its own.  0 or
 * -errno; pb_mem_destroy(part) gives the memory back.
 */
int pb_mem_copy_part(PbMem *part, const PbMem *m, const PbMem *whole);

/*
 * The pages of @m in the log of @copy, which is @whole or a part, are what they
 * are in @copy; its log is empty then.
 */
void pb_mem_restore(PbMem *m, PbMem *copy, const PbMem *whole);

#endif /* PB_MEM_LOG_H */
