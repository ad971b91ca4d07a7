/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-panic.c: notice that the Primary's guest has panicked, freeze the
 * Backup in the past, stop the Primary and say so.
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qapi/error.h"
#include "qapi/qapi-events-pbkvm-target.h"
#include "hw/core/cpu.h"
#include "qom/object.h"
#include "system/runstate.h"
#include "system/runstate-action.h"

#include "pbkvm.h"
#include "pbkvm-panic.h"
#include "pbkvm-symbols.h"

/* Transmit registers of the four serial ports of a PC. */
static const uint16_t consoles[PBKVM_CONSOLES] = {
    0x3f8, 0x2f8, 0x3e8, 0x2e8,
};

#define PVPANIC_PANICKED 1

/* ---- what is noticed; the Primary's thread ---- */

/* The next byte of a console: true when the text is complete. */
static bool match(PbkvmPanic *p, unsigned console, uint8_t byte)
{
    size_t *at = &p->matched[console];

    while (*at && (uint8_t)p->text[*at] != byte) {
        *at = p->fallback[*at - 1];
    }
    *at += (uint8_t)p->text[*at] == byte;
    if (p->text[*at]) {
        return false;
    }
    *at = 0;
    return true;
}

static void look_at_console(PbkvmState *s, const struct kvm_run *run)
{
    const uint8_t *data = (const uint8_t *)run + run->io.data_offset;
    unsigned i, n;

    for (i = 0; i < PBKVM_CONSOLES; i++) {
        if (run->io.port != consoles[i] || run->io.size != 1) {
            continue;
        }
        for (n = 0; n < run->io.count; n++) {
            if (match(&s->panic, i, data[n])) {
                pbkvm_panic(s, PBKVM_PANIC_SOURCE_CONSOLE, s->panic.text);
            }
        }
    }
}

void pbkvm_panic_look(PbkvmState *s, const struct kvm_run *run)
{
    const uint8_t *data = (const uint8_t *)run + run->io.data_offset;

    if (s->panic.seen) {
        return;
    }
    if (s->panic.pvpanic_port && run->io.port == s->panic.pvpanic_port &&
        (*data & PVPANIC_PANICKED)) {
        s->panic.acted = true;      /* the device stops the machine itself */
        pbkvm_panic(s, PBKVM_PANIC_SOURCE_PVPANIC, "the pvpanic device");
    } else if (s->panic.text[0]) {
        look_at_console(s, run);
    }
}

/*
 * A debug register of the Primary's own, in each vCPU: gdb's breakpoints on the
 * Primary take its place.
 */
static int watch_address(PbkvmState *s, bool on)
{
    uint32_t control = on ? KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP : 0;
    unsigned i;
    int ret = 0;

    for (i = 0; ret == 0 && i < s->cpus.n; i++) {
        PbVcpu *v = pb_cpus_at(&s->cpus, i);

        ret = pb_vcpu_debug(v, control, &s->panic.at_addr, on);
        /* Not for an injection to switch off. */
        v->debug_control = 0;
    }
    return ret;
}

static void watch_again(CPUState *cpu, run_on_cpu_data data)
{
    watch_address(data.host_ptr, true);
}

void pbkvm_panic_rearm(PbkvmState *s)
{
    if (s->recording && s->panic.at_addr && !s->panic.seen) {
        run_on_cpu(s->cpu, watch_again, RUN_ON_CPU_HOST_PTR(s));
    }
}

bool pbkvm_panic_at(PbkvmState *s)
{
    uint64_t pc;

    if (!s->panic.at_addr || s->panic.seen ||
        pb_vcpu_pc(&s->primary, &pc) < 0 || pc != s->panic.at_addr ||
        pb_record_point(s->rec, PB_EVENT_POINT) < 0) {
        return false;
    }
    s->standing = true;
    watch_address(s, false);
    pbkvm_panic(s, PBKVM_PANIC_SOURCE_ADDRESS, s->panic.at_name);
    return true;
}

/* ---- what follows; main thread ---- */

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static void announce(PbkvmState *s)
{
    const PbRecordStats r = s->panic.place;
    PbkvmPlace primary = { .event = 0 }, backup = { .event = 0 };

    primary.event = r.events;
    primary.time = r.time_ns;
    primary.branches = r.branches;
    primary.has_cpu = true;
    primary.cpu = s->panic.cpu;
    if (s->backup) {
        pbkvm_backup_place(s, &backup);
    }
    warn_report("pbkvm: the guest has panicked (%s: %s)%s",
                PbkvmPanicSource_str(s->panic.source), s->panic.detail,
                s->backup ? "; the Backup stands before it" : "");
    qapi_event_send_pbkvm_panic(s->panic.source, s->panic.detail, &primary,
                                s->backup ? &backup : NULL,
                                less(r.time_ns, backup.time),
                                less(r.branches, backup.branches),
                                less(r.events, backup.event));
}

static void panicked(void *opaque)
{
    PbkvmState *s = opaque;

    if (s->backup) {
        pb_backup_freeze(s->backup);     /* asked for already: wait */
    }
    if (!s->panic.acted) {
        qemu_system_guest_panicked(NULL);
    }
    announce(s);
    pbkvm_save_panicked(s);
}

void pbkvm_panic(PbkvmState *s, PbkvmPanicSource source, const char *detail)
{
    if (s->panic.seen) {
        return;
    }
    pbkvm_make_rest(s);
    s->panic.seen = true;
    s->panic.source = source;
    s->panic.detail = g_strdup(detail);
    if (s->backup) {
        pb_backup_freeze_soon(s->backup);
    }
    if (!s->ended) {
        pb_record_note(s->rec, PB_EVENT_PANIC, 0);
    }
    pb_record_stats(s->rec, &s->panic.place);
    s->panic.cpu = s->cpus.now;
    s->panic.stop = panic_action != PANIC_ACTION_NONE;
    aio_bh_schedule_oneshot(qemu_get_aio_context(), panicked, s);
}

void pbkvm_panic_forget(PbkvmState *s)
{
    memset(s->panic.matched, 0, sizeof(s->panic.matched));
    if (s->panic.seen) {
        s->panic.seen = s->panic.stop = s->panic.acted = false;
        g_free(g_steal_pointer(&s->panic.detail));
        pbkvm_panic_rearm(s);
    }
}

/* ---- set-up ---- */

void pbkvm_panic_set_text(PbkvmPanic *p, const char *text)
{
    size_t i, at = 0;

    g_free(p->text);
    g_free(p->fallback);
    p->text = g_strdup(text);
    p->fallback = g_new0(size_t, strlen(text) + 1);
    for (i = 1; text[i - 1] && text[i]; i++) {
        while (at && text[at] != text[i]) {
            at = p->fallback[at - 1];
        }
        at += text[at] == text[i];
        p->fallback[i] = at;
    }
}

bool pbkvm_panic_check(PbkvmState *s, Error **errp)
{
    if (!s->panic.at_name) {
        return true;
    }
    if (s->counter == PB_COUNTER_STEP) {
        error_setg(errp, "pbkvm: panic-at needs counter=pmu: stepping uses "
                   "the debug registers itself");
        return false;
    }
    return pbkvm_symbol(s->panic.symbols, s->panic.at_name,
                        &s->panic.at_addr, errp);
}

void pbkvm_panic_start(PbkvmState *s)
{
    bool ambiguous;
    Object *dev = object_resolve_path_type("", "pvpanic", &ambiguous);

    s->panic.pvpanic_port = dev ? object_property_get_uint(dev, "ioport",
                                                           NULL) : 0;
    if (s->panic.at_addr && watch_address(s, true) < 0) {
        error_report("pbkvm: panic-at: no debug register");
        exit(1);
    }
}
