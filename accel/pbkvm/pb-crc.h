/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-crc.h: CRC-32C (Castagnoli, RFC 3720 appendix B.4).
 *
 * C11, ISA-L and ring/pb-event.h only.  Any thread.  Uses the CPU's instruction
 * where it has one, and ISA-L for what is long.
 */
#ifndef PB_CRC_H
#define PB_CRC_H

#include <stddef.h>
#include <stdint.h>

#include "ring/pb-event.h"

/*
 * The checksum of what @crc is the checksum of, followed by @len bytes at
 * @data.  Start with 0.
 */
uint32_t pb_crc(uint32_t crc, const void *data, size_t len);

/* The same without both; for the tests. */
uint32_t pb_crc_plain(uint32_t crc, const void *data, size_t len);

/*
 * The checksum of @len bytes of guest RAM, a multiple of 8, with Accessed and
 * Dirty bits of what may be a page table entry (bit 0 is set) taken for 0: a
 * CPU may set them by itself (pb_mem_compare()).
 */
uint32_t pb_crc_ram(const void *data, size_t len);

/*
 * What PbEvent.crc of @e has to be with the pb_event_payload_len() bytes at
 * @payload (may be NULL if there are none).  Whoever makes an event stores it
 * last; whoever takes one from elsewhere compares it after pb_event_check()
 * and before all use.
 */
uint32_t pb_crc_event(const PbEvent *e, const void *payload);

#endif /* PB_CRC_H */
