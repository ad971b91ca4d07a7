/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pbkvm-breaks.c: a debugger's breakpoints, on Primary and Backup. */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "exec/cpu-common.h"
#include "cpu.h"
#include "accel/kvm/kvm-cpus.h"
#include "gdbstub/enums.h"

#include "backup-inspect.h"
#include "pbkvm.h"
#include "pbkvm-breaks.h"

/* ---- the Primary's ---- */

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
                         "at the first 4 only, the Backup at all of them");
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

int pbkvm_primary_update_debug(CPUState *cpu)
{
    int ret, step = cpu->singlestep_enabled;

    cpu->singlestep_enabled = 0;
    ret = kvm_update_guest_debug(cpu, 0);
    cpu->singlestep_enabled = step;
    give_back(pbkvm_state());
    return ret;
}

/* ---- the Backup's ---- */

static bool kind_of(int type, PbBreakKind *kind)
{
    switch (type) {
    case GDB_BREAKPOINT_SW:
        *kind = PB_BREAK_SOFT;
        return true;
    case GDB_BREAKPOINT_HW:
        *kind = PB_BREAK_HARD;
        return true;
    case GDB_WATCHPOINT_WRITE:
        *kind = PB_WATCH_WRITE;
        return true;
    case GDB_WATCHPOINT_ACCESS:
        *kind = PB_WATCH_ACCESS;
        return true;
    default:
        return false;
    }
}

/*
 * gdb may want to watch any number of bytes, a debug register up to 4, or 8 in
 * long mode: how many of @len bytes from @addr the next one takes.
 */
static vaddr piece(PbBreakKind kind, vaddr addr, vaddr len)
{
    const CPUX86State *env = cpu_env(first_cpu);
    vaddr n = env->features[FEAT_8000_0001_EDX] & CPUID_EXT2_LM ? 8 : 4;

    if (kind != PB_WATCH_WRITE && kind != PB_WATCH_ACCESS) {
        return len;
    }
    while (n > 1 && (n > len || addr % n)) {
        n /= 2;
    }
    return n;
}

static int clear(PbkvmState *s, PbBreakKind kind, vaddr addr, vaddr len)
{
    int ret = 0;

    /* It cannot be set, and is too much to go through byte by byte. */
    if (piece(kind, addr, len) < len && len > 4 * PB_MAX_BREAKS) {
        return -ENOENT;
    }
    while (len) {
        vaddr n = piece(kind, addr, len);
        int one = pb_backup_clear_break(s->backup, kind, addr, n);

        ret = ret ?: one;
        addr += n;
        len -= n;
    }
    return ret;
}

int pbkvm_inspect_insert(CPUState *cpu, int type, vaddr addr, vaddr len)
{
    PbkvmState *s = pbkvm_state();
    vaddr n, done = 0;
    PbBreakKind kind;
    int ret = 0;

    addr = (target_ulong)addr;
    if (!kind_of(type, &kind) || !s->backup) {
        return -ENOSYS;
    }
    pbkvm_inspect_synchronize(cpu);
    while (done < len) {
        n = piece(kind, addr + done, len - done);
        ret = pb_backup_set_break(s->backup, kind, addr + done, n);
        if (ret < 0) {
            clear(s, kind, addr, done);
            break;
        }
        done += n;
    }
    return ret;
}

int pbkvm_inspect_remove(CPUState *cpu, int type, vaddr addr, vaddr len)
{
    PbkvmState *s = pbkvm_state();
    PbBreakKind kind;

    if (!kind_of(type, &kind) || !s->backup) {
        return -ENOSYS;
    }
    return clear(s, kind, (target_ulong)addr, len);
}

void pbkvm_inspect_remove_all(CPUState *cpu)
{
    PbkvmState *s = pbkvm_state();

    if (s->backup) {
        pb_backup_clear_breaks(s->backup);
    }
}
