/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pb-uarch.c: which perf event counts retired conditional branches. */
#include <cpuid.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "pb-host.h"
#include "pb-uarch.h"

#define HYBRID_TYPE "/sys/bus/event_source/devices/cpu_core/type"

/*
 * Intel: BR_INST_RETIRED.CONDITIONAL has umask 0x01 up to Comet Lake, 0x11
 * (taken and not taken) from Ice Lake on; Lion Cove splits taken branches by
 * direction and needs umask 0x111, whose ninth bit perf has at config bit 40
 * (umask2).  Atom: BR_INST_RETIRED.JCC.  AMD: ex_ret_cond.
 */
#define EVENT_CORE      0x01c4u
#define EVENT_ICE       0x11c4u
#define EVENT_LION_COVE (0x11c4u | 1ull << 40)
#define EVENT_ATOM      0x7ec4u
#define EVENT_ZEN       0x00d1u

/*
 * Least margins: skids up to 130 branches are known from Intel CPUs, several
 * thousand from Zen; a short self-check may see smaller ones.
 */
#define MARGIN_INTEL 256
#define MARGIN_ZEN   16384
#define MARGIN_LAB   32

typedef struct UarchRow {
    uint16_t model_first, model_last;
    PbUarch uarch;
} UarchRow;

#define ROW(first, last, name, config, margin) \
    { first, last, { name, PERF_TYPE_RAW, config, margin } }
#define CORE(model, name) ROW(model, model, name, EVENT_CORE, MARGIN_INTEL)
#define ICE(model, name) ROW(model, model, name, EVENT_ICE, MARGIN_INTEL)
#define LION(model, name) ROW(model, model, name, EVENT_LION_COVE, \
                              MARGIN_INTEL)
#define ATOM(model, name) ROW(model, model, name, EVENT_ATOM, MARGIN_INTEL)
#define ZEN(first, last, name) ROW(first, last, name, EVENT_ZEN, MARGIN_ZEN)

/*
 * Family 6.  On hybrid CPUs the big cores.  Not here: Knights Landing, which
 * steps up to 64 iterations of a REP string at once.
 */
static const UarchRow intel_6[] = {
    CORE(0x1a, "Intel Nehalem"), CORE(0x1e, "Intel Nehalem"),
    CORE(0x1f, "Intel Nehalem"), CORE(0x2e, "Intel Nehalem"),
    CORE(0x25, "Intel Westmere"), CORE(0x2c, "Intel Westmere"),
    CORE(0x2f, "Intel Westmere"),
    CORE(0x2a, "Intel Sandy Bridge"), CORE(0x2d, "Intel Sandy Bridge"),
    CORE(0x3a, "Intel Ivy Bridge"), CORE(0x3e, "Intel Ivy Bridge"),
    CORE(0x3c, "Intel Haswell"), CORE(0x3f, "Intel Haswell"),
    CORE(0x45, "Intel Haswell"), CORE(0x46, "Intel Haswell"),
    CORE(0x3d, "Intel Broadwell"), CORE(0x47, "Intel Broadwell"),
    CORE(0x4f, "Intel Broadwell"), CORE(0x56, "Intel Broadwell"),
    CORE(0x4e, "Intel Skylake"), CORE(0x5e, "Intel Skylake"),
    CORE(0x55, "Intel Skylake-X"),
    CORE(0x8e, "Intel Kaby Lake"), CORE(0x9e, "Intel Kaby Lake"),
    CORE(0xa5, "Intel Comet Lake"), CORE(0xa6, "Intel Comet Lake"),
    ICE(0x6a, "Intel Ice Lake"), ICE(0x6c, "Intel Ice Lake"),
    ICE(0x7d, "Intel Ice Lake"), ICE(0x7e, "Intel Ice Lake"),
    ICE(0x8c, "Intel Tiger Lake"), ICE(0x8d, "Intel Tiger Lake"),
    ICE(0xa7, "Intel Rocket Lake"),
    ICE(0x97, "Intel Alder Lake"), ICE(0x9a, "Intel Alder Lake"),
    ICE(0xb7, "Intel Raptor Lake"), ICE(0xba, "Intel Raptor Lake"),
    ICE(0xbf, "Intel Raptor Lake"),
    ICE(0xaa, "Intel Meteor Lake"), ICE(0xac, "Intel Meteor Lake"),
    ICE(0xb5, "Intel Arrow Lake-U"),
    ICE(0x8f, "Intel Sapphire Rapids"), ICE(0xcf, "Intel Emerald Rapids"),
    ICE(0xad, "Intel Granite Rapids"), ICE(0xae, "Intel Granite Rapids"),
    LION(0xbd, "Intel Lunar Lake"),
    LION(0xc5, "Intel Arrow Lake"), LION(0xc6, "Intel Arrow Lake"),
    ATOM(0x37, "Intel Silvermont"), ATOM(0x4a, "Intel Silvermont"),
    ATOM(0x4d, "Intel Silvermont"), ATOM(0x5a, "Intel Silvermont"),
    ATOM(0x4c, "Intel Airmont"),
    ATOM(0x5c, "Intel Goldmont"), ATOM(0x5f, "Intel Goldmont"),
    ATOM(0x7a, "Intel Goldmont Plus"),
    ATOM(0x86, "Intel Tremont"), ATOM(0x96, "Intel Tremont"),
    ATOM(0x9c, "Intel Tremont"),
    ATOM(0xbe, "Intel Gracemont"),
    ATOM(0xaf, "Intel Crestmont"), ATOM(0xb6, "Intel Crestmont"),
    { 0 }
};

static const UarchRow amd_17[] = {
    ZEN(0x00, 0x2f, "AMD Zen"), ZEN(0x30, 0xff, "AMD Zen 2"), { 0 }
};

static const UarchRow amd_19[] = {
    ZEN(0x00, 0x0f, "AMD Zen 3"), ZEN(0x10, 0x1f, "AMD Zen 4"),
    ZEN(0x20, 0x5f, "AMD Zen 3"), ZEN(0x60, 0xff, "AMD Zen 4"), { 0 }
};

static const UarchRow amd_1a[] = {
    ZEN(0x00, 0xff, "AMD Zen 5"), { 0 }
};

static const PbUarch lab = {
    "lab (PMU model)", PERF_TYPE_RAW, EVENT_ZEN, MARGIN_LAB
};

static const UarchRow *rows_of(const PbCpuId *id)
{
    if (strcmp(id->vendor, "GenuineIntel") == 0) {
        return id->family == 6 ? intel_6 : NULL;
    }
    if (strcmp(id->vendor, "AuthenticAMD") == 0) {
        switch (id->family) {
        case 0x17:
            return amd_17;
        case 0x19:
            return amd_19;
        case 0x1a:
            return amd_1a;
        }
    }
    return NULL;
}

static void refuse(const PbCpuId *id, char *why, size_t len)
{
    if (strcmp(id->vendor, "AuthenticAMD") == 0 && id->family == 0x15) {
        snprintf(why, len, "AMD family 15h (model 0x%x) has no event that "
                 "counts conditional branches; " PB_USE_LAB, id->model);
        return;
    }
    snprintf(why, len, "no branch-counting event is known for this CPU "
             "(vendor %s, family 0x%x, model 0x%x); " PB_USE_LAB,
             id->vendor, id->family, id->model);
}

const PbUarch *pb_uarch_lookup(const PbCpuId *id, char *why, size_t len)
{
    const UarchRow *row;

    if (strcmp(id->hypervisor, "TCGTCGTCGTCG") == 0) {
        return &lab;
    }
    row = rows_of(id);
    for (; row && row->uarch.name; row++) {
        if (id->model >= row->model_first && id->model <= row->model_last) {
            return &row->uarch;
        }
    }
    refuse(id, why, len);
    return NULL;
}

void pb_cpuid_read(PbCpuId *id)
{
    unsigned a, b, c, d, base_family;
    uint32_t text[3];

    memset(id, 0, sizeof(*id));
    __cpuid(0, a, b, c, d);
    text[0] = b;
    text[1] = d;
    text[2] = c;
    memcpy(id->vendor, text, sizeof(text));
    __cpuid(1, a, b, c, d);
    base_family = (a >> 8) & 0xf;
    id->family = base_family;
    id->model = (a >> 4) & 0xf;
    if (base_family == 0xf) {
        id->family += (a >> 20) & 0xff;
    }
    if (base_family == 0xf || base_family == 6) {
        id->model |= (a >> 12) & 0xf0;
    }
    if (c & (1u << 31)) {
        __cpuid(0x40000000, a, b, c, d);
        text[0] = b;
        text[1] = c;
        text[2] = d;
        memcpy(id->hypervisor, text, sizeof(text));
    }
}

static PbUarch found;
static bool is_found;
static char found_why[256];

static void find_once(void)
{
    const PbUarch *row;
    PbCpuId id;

    pb_cpuid_read(&id);
    row = pb_uarch_lookup(&id, found_why, sizeof(found_why));
    if (row) {
        found = *row;
        found.type = pb_host_number(HYBRID_TYPE, row->type);
        is_found = true;
    }
}

const PbUarch *pb_uarch_find(char *why, size_t len)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, find_once);
    if (!is_found) {
        snprintf(why, len, "%s", found_why);
        return NULL;
    }
    return &found;
}

uint32_t pb_margin(const PbUarch *uarch, uint32_t skid_max,
                   uint32_t min_period)
{
    uint64_t margin = 2 * (uint64_t)skid_max + 16 + min_period;

    if (margin < uarch->margin) {
        margin = uarch->margin;
    }
    return margin <= PB_MARGIN_MAX ? margin : 0;
}
