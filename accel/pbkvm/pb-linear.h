/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-linear.h: what mode a vCPU is in, and the linear addresses of its code and
 * its stack there.
 *
 * Addresses are of 32 bits and wrap, but in 64-bit mode, where CS, SS, DS and
 * ES have no base (SDM 3A 3.2.4).  Pure.
 */
#ifndef PB_LINEAR_H
#define PB_LINEAR_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#define PB_CR0_PE   0x00000001ull
#define PB_CR4_LA57 0x1000ull
#define PB_EFER_LMA 0x400ull

/* IA-32e mode: 64-bit mode, or compatibility mode beside it. */
static inline bool pb_long_mode(const struct kvm_sregs *s)
{
    return s->efer & PB_EFER_LMA;
}

/* Of the code at CS:RIP: 16, 32 or 64. */
static inline unsigned pb_code_bits(const struct kvm_sregs *s)
{
    return pb_long_mode(s) && s->cs.l ? 64 : s->cs.db ? 32 : 16;
}

/* In long mode: bits of a linear address, by four or five levels of tables. */
static inline unsigned pb_linear_bits(const struct kvm_sregs *s)
{
    return s->cr4 & PB_CR4_LA57 ? 57 : 48;
}

/* In long mode: whether @linear is an address at all. */
static inline bool pb_is_canonical(const struct kvm_sregs *s, uint64_t linear)
{
    unsigned above = 64 - pb_linear_bits(s);

    return (int64_t)(linear << above) >> above == (int64_t)linear;
}

/* CS:@ip */
static inline uint64_t pb_linear(const struct kvm_sregs *s, uint64_t ip)
{
    return pb_code_bits(s) == 64 ? ip : (uint32_t)(s->cs.base + ip);
}

/* What IP is at that linear address. */
static inline uint64_t pb_ip_of(const struct kvm_sregs *s, uint64_t linear)
{
    return pb_code_bits(s) == 64 ? linear : (uint32_t)(linear - s->cs.base);
}

/* SS:@sp */
static inline uint64_t pb_stack(const struct kvm_sregs *s, uint64_t sp)
{
    return pb_code_bits(s) == 64 ? sp :
           (uint32_t)(s->ss.base + (s->ss.db ? sp : sp & 0xffff));
}

#endif /* PB_LINEAR_H */
