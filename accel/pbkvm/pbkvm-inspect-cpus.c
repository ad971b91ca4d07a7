/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-inspect-cpus.c: the CPU objects that show the Backup's vCPUs, and the
 * memory that they see.
 *
 * They belong to no machine and are never realized.  A cluster of their own
 * makes them a process of gdb's, with a thread for each.
 */
#include "qemu/osdep.h"
#include <sys/ioctl.h>
#include "qemu/bswap.h"
#include "qemu/error-report.h"
#include "cpu.h"
#include "exec/address-spaces.h"
#include "hw/boards.h"
#include "hw/cpu/cluster.h"
#include "hw/qdev-properties.h"
#include "system/cpus.h"

#include "backup-inspect.h"
#include "pb-vm.h"
#include "pbkvm.h"
#include "pbkvm-dump.h"
#include "pbkvm-inspect.h"
#include "pbkvm-reverse.h"

/* gdb's process numbers are these and one more. */
enum { CLUSTER_PRIMARY, CLUSTER_BACKUP };

bool pbkvm_is_backup(const CPUState *cpu)
{
    const PbkvmState *s = pbkvm_state();

    /* They come behind the machine's. */
    return s && s->inspect && cpu->cpu_index >= (int)s->cpus.n;
}

/* ---- its memory ---- */

static MemTxResult read_memory(void *opaque, hwaddr addr, uint64_t *data,
                               unsigned size, MemTxAttrs attrs)
{
    PbkvmState *s = opaque;
    const void *at = s->backup ? pb_mem_at(pb_backup_mem(s->backup), addr,
                                           size) : NULL;

    *data = at ? ldn_le_p(at, size) : 0;
    return at ? MEMTX_OK : MEMTX_DECODE_ERROR;
}

static MemTxResult write_memory(void *opaque, hwaddr addr, uint64_t data,
                                unsigned size, MemTxAttrs attrs)
{
    PbkvmState *s = opaque;
    uint8_t bytes[8];

    if (!s->backup || !pb_mem_at(pb_backup_mem(s->backup), addr, size)) {
        return MEMTX_DECODE_ERROR;
    }
    pbkvm_detach(s, "its memory");
    stn_le_p(bytes, size, data);
    pb_backup_write(s->backup, addr, bytes, size);
    return MEMTX_OK;
}

static const MemoryRegionOps memory_ops = {
    .read_with_attrs = read_memory,
    .write_with_attrs = write_memory,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 1, .max_access_size = 8,
               .unaligned = true },
    .impl = { .min_access_size = 1, .max_access_size = 8,
              .unaligned = true },
};

/* ---- set-up ---- */

/* One process of gdb's. */
static void make_process(uint32_t id, const char *name)
{
    Object *cluster = object_new(TYPE_CPU_CLUSTER);

    qdev_prop_set_uint32(DEVICE(cluster), "cluster-id", id);
    object_property_add_child(OBJECT(current_machine), name, cluster);
    object_unref(cluster);
}

static CpuInstanceProperties (*machine_props)(MachineState *ms, unsigned i);

/* The Backup has no place in the machine's topology. */
static CpuInstanceProperties props_of(MachineState *ms, unsigned i)
{
    return i < ms->possible_cpus->len ? machine_props(ms, i)
                                      : (CpuInstanceProperties) { };
}

/*
 * A vCPU that never runs, for what QEMU's KVM code does to all CPUs alike:
 * the Backup's own are for its thread alone.
 */
static int stand_in(PbkvmState *s)
{
    int vm = pb_vm_open(s->parent_obj.fd);
    int fd = vm < 0 ? -1 : ioctl(vm, KVM_CREATE_VCPU, 0);

    if (fd < 0) {
        error_report("pbkvm: a VM for the debugger's view of the Backup: %s",
                     strerror(errno));
        exit(1);
    }
    close(vm);                /* the vCPU keeps it */
    return fd;
}

static CPUState *make_cpu(PbkvmState *s, unsigned i)
{
    Object *obj = object_new(object_get_typename(OBJECT(first_cpu)));
    g_autofree char *name = i ? g_strdup_printf("pbkvm-backup-%u", i)
                              : g_strdup("pbkvm-backup");
    CPUState *cpu = CPU(obj);

    object_property_add_child(OBJECT(current_machine), name, obj);
    object_unref(obj);
    /* As when it is realized, which this one never is. */
    DEVICE(cpu)->canonical_path = object_get_canonical_path(obj);
    cpu->cluster_index = CLUSTER_BACKUP;
    cpu->cpu_index = s->cpus.n + i;
    cpu_env(cpu)->a20_mask = -1;
    cpu->kvm_state = &s->parent_obj;
    cpu->kvm_fd = stand_in(s);
    cpu->kvm_vcpu_stats_fd = -1;
    cpu->num_ases = 1;
    cpu_address_space_init(cpu, 0, "pbkvm-backup", &s->inspect->memory);
    return cpu;
}

static void make_cpus(PbkvmState *s)
{
    PbkvmInspect *p = s->inspect;
    unsigned i;

    for (i = 0; i < s->cpus.n; i++) {
        p->cpu[i] = make_cpu(s, i);
    }
    pbkvm_inspect_forget(s);
    for (i = 0; i < s->cpus.n; i++) {
        cpu_list_add(p->cpu[i]);
        qemu_init_vcpu(p->cpu[i]);
    }
}

void pbkvm_inspect_init(PbkvmState *s)
{
    MachineClass *mc = MACHINE_GET_CLASS(current_machine);
    PbkvmInspect *p = g_new0(PbkvmInspect, 1);
    CPUState *cpu;

    machine_props = mc->cpu_index_to_instance_props;
    mc->cpu_index_to_instance_props = props_of;
    make_process(CLUSTER_PRIMARY, "pbkvm-process-primary");
    make_process(CLUSTER_BACKUP, "pbkvm-process-backup");
    CPU_FOREACH(cpu) {
        cpu->cluster_index = CLUSTER_PRIMARY;
    }
    memory_region_init_io(&p->memory, OBJECT(s), &memory_ops, s,
                          "pbkvm-backup-memory",
                          1ull << TARGET_PHYS_ADDR_SPACE_BITS);
    s->inspect = p;
    make_cpus(s);
    pbkvm_dump_init(s);
    pbkvm_reverse_init();
}
