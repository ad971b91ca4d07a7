/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pbkvm-breaks.c: a debugger's breakpoints on the Primary. */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "exec/cpu-common.h"
#include "accel/kvm/kvm-cpus.h"
#include "gdbstub/enums.h"

#include "pbkvm.h"
#include "pbkvm-breaks.h"

/* How many the Primary has in its debug registers; BQL held. */
static unsigned live;

/* As it is kept here. */
static int without_int3(int type)
{
    return type == GDB_BREAKPOINT_SW ? GDB_BREAKPOINT_HW : type;
}

int pbkvm_primary_insert(CPUState *cpu, int type, vaddr addr, vaddr len)
{
    int ret = kvm_insert_breakpoint(cpu, without_int3(type), addr, len);

    live += ret == 0;
    if (type == GDB_BREAKPOINT_SW && ret == -ENOBUFS) {
        /* gdb asks for it also when the Backup alone goes on. */
        warn_report_once("pbkvm: more than 4 breakpoints: the Primary stops "
                         "at the first 4 only, the Backup at all");
        return 0;
    }
    return ret;
}

/* The last one gone, the debug registers are panic-at's again. */
static void give_back(PbkvmState *s)
{
    if (!live) {
        pbkvm_panic_rearm(s);
    }
}

int pbkvm_primary_remove(CPUState *cpu, int type, vaddr addr, vaddr len)
{
    int ret = kvm_remove_breakpoint(cpu, without_int3(type), addr, len);

    live -= ret == 0;
    give_back(pbkvm_state());
    return type == GDB_BREAKPOINT_SW && ret == -ENOENT ? 0 : ret;
}

void pbkvm_primary_remove_all(CPUState *cpu)
{
    kvm_remove_all_breakpoints(cpu);
    live = 0;
    give_back(pbkvm_state());
}
