/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-calib.h: the calibration guest: a VM of its own with a few loops whose
 * branches are known, for the self-check.
 *
 * Flat 32-bit protected mode, no paging, interrupts on.  One thread.  The
 * struct is the caller's and must not move.
 */
#ifndef PB_CALIB_H
#define PB_CALIB_H

#include "pb-vcpu.h"

/*
 * Where each loop begins; all run ECX times (RDTSC once), then HLT.
 * LOOP:   dec, jnz: 1 branch each time
 * LOCKED: lock add, dec, jnz: 1; catches AMD's SpecLockMap
 * MIXED:  forward and backward, taken and not taken: 3
 * PORTS:  out, in, dec, jnz: 1 branch and 2 exits
 * BREAKS: nop, nop, dec, jnz: 1; see PB_CALIB_BREAK2
 * RDTSC:  tells the low half at a port
 * STILL:  ends early, at a port, when that is no longer what it was
 */
#define PB_CALIB_LOOP   0x1000u
#define PB_CALIB_LOCKED 0x1020u
#define PB_CALIB_MIXED  0x1040u
#define PB_CALIB_PORTS  0x1060u
#define PB_CALIB_BREAKS 0x1080u
#define PB_CALIB_RDTSC  0x10c0u
#define PB_CALIB_STILL  0x10e0u

/* The second nop of BREAKS. */
#define PB_CALIB_BREAK2 (PB_CALIB_BREAKS + 1)

#define PB_CALIB_MIXED_BRANCHES 3

/* An interrupt with this vector runs a handler of so many branches. */
#define PB_CALIB_VECTOR           0x30
#define PB_CALIB_HANDLER_BRANCHES 3

typedef struct PbCalib {
    PbVcpu v;
    PbMem mem;
    uint8_t *ram;
    unsigned ports;        /* port exits answered */
    unsigned inject_every; /* interrupt after so many of them; 0: never */
    unsigned injected;
} PbCalib;

/* False with @why naming what KVM refused. */
bool pb_calib_new(PbCalib *g, int kvm_fd, char *why, size_t len);
void pb_calib_free(PbCalib *g);

/* Stand at @loop, to run it @times.  0 or -errno. */
int pb_calib_start(PbCalib *g, uint32_t loop, uint32_t times);

/*
 * Run, answering port exits.  0: HLT was reached; -EINTR; -EPROTO: another
 * exit, see run->exit_reason; else -errno.
 */
int pb_calib_run(PbCalib *g);

/* Give the guest PB_CALIB_VECTOR where it stands.  0 or -errno. */
int pb_calib_interrupt(PbCalib *g);

#endif /* PB_CALIB_H */
