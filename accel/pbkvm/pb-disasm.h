/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pb-disasm.h: handles of the disassembler (Capstone), for code of 16, 32 and
 * 64 bits: number PB_DISASM(bits).  One thread at a time uses one.
 */
#ifndef PB_DISASM_H
#define PB_DISASM_H

#include <capstone/capstone.h>

#define PB_DISASM_HANDLES 3
#define PB_DISASM(bits)   ((bits) / 32)

/* Open them; CS_OPT_ON for @detail: they tell operands.  0: that failed. */
static inline void pb_disasm_open(csh handle[PB_DISASM_HANDLES],
                                  cs_opt_value detail)
{
    static const cs_mode mode[] = { CS_MODE_16, CS_MODE_32, CS_MODE_64 };
    unsigned i;

    for (i = 0; i < PB_DISASM_HANDLES; i++) {
        if (cs_open(CS_ARCH_X86, mode[i], &handle[i]) != CS_ERR_OK) {
            handle[i] = 0;
        } else {
            cs_option(handle[i], CS_OPT_DETAIL, detail);
        }
    }
}

#endif /* PB_DISASM_H */
