/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pbkvm-refuse-test.c: what cannot be recorded is refused, each with one
 * clear error.  Only the command line counts here, no guest runs.
 */
#include "qemu/osdep.h"

typedef struct Refusal {
    const char *name;
    const char *args;         /* after -display none -vga none */
    const char *error;        /* must be part of stderr */
} Refusal;

static const Refusal refusals[] = {
    { "lag-text", "-accel pbkvm,lag=soon", "Parameter 'lag' expects uint64" },
    { "lag-range", "-accel pbkvm,lag=3600001",
      "pbkvm: lag=3600001: expected 0 to 3600000 ms" },
    { "ring-power", "-accel pbkvm,ring-size=5000",
      "pbkvm: ring-size=5000: expected a power of two from 4096 to "
      "67108864 events" },
    { "ring-small", "-accel pbkvm,ring-size=1024",
      "pbkvm: ring-size=1024: expected a power of two from 4096 to "
      "67108864 events" },
    { "lag-min-range", "-accel pbkvm,lag-min=3600001",
      "pbkvm: lag-min=3600001: expected 0 to 3600000 ms" },
    { "lag-max-range", "-accel pbkvm,lag-max=3600001",
      "pbkvm: lag-max=3600001: expected 0 to 3600000 ms" },
    { "lag-min-above-lag", "-accel pbkvm,lag=300,lag-min=301 -nic none",
      "pbkvm: lag-min=301: expected at most lag=300" },
    { "evidence-exists", "-accel pbkvm,evidence=/tmp -nic none",
      "pbkvm: evidence=/tmp: it is there already and is not overwritten: "
      "name a new file" },
    { "evidence-folder", "-accel pbkvm,evidence=/nowhere/file -nic none",
      "pbkvm: evidence=/nowhere/file: it cannot be made: No such file or "
      "directory" },
    { "only-migratable", "-accel pbkvm -only-migratable -nic none",
      "disallowing migration blocker (--only-migratable) for: pbkvm cannot "
      "migrate or save a recorded machine" },
    { "lag-max-below-lag", "-accel pbkvm,lag=500,lag-max=499 -nic none",
      "pbkvm: lag-max=499: expected 0 (the Primary never waits) or at least "
      "lag=500" },
    { "lag-events-range", "-accel pbkvm,lag-events=1000000000001",
      "pbkvm: lag-events=1000000000001: expected 0 to 1000000000000" },
    { "lag-branches-range", "-accel pbkvm,lag-branches=1000000000001",
      "pbkvm: lag-branches=1000000000001: expected 0 to 1000000000000" },
    { "verify-interval", "-accel pbkvm,verify-interval=3600001",
      "pbkvm: verify-interval=3600001: expected 0 to 3600000 ms" },
    { "live-interval", "-accel pbkvm,live-interval=3600001",
      "pbkvm: live-interval=3600001: expected 0 to 3600000 ms" },
    { "spill-exists", "-accel pbkvm,spill=/etc/passwd -nic none",
      "pbkvm: spill=/etc/passwd: it is there already and is not overwritten: "
      "name a new file" },
    { "spill-folder", "-accel pbkvm,spill=/nowhere/spill -nic none",
      "pbkvm: spill=/nowhere/spill: it cannot be made: No such file or "
      "directory" },
    { "spill-no-backup", "-accel pbkvm,backup=off,spill=/tmp/spill -nic none",
      "pbkvm: spill=/tmp/spill: with backup=off there is no Backup to keep "
      "events for" },
    { "panic-at-name", "-accel pbkvm,panic-at=panic -nic none",
      "pbkvm: panic-at=panic: expected an address (0x...), or a name and "
      "symbols=FILE to look it up in" },
    { "panic-at-far", "-accel pbkvm,panic-at=0x100000000 -nic none",
      "pbkvm: panic-at=0x100000000: expected an address from 0x1 to "
      "0xffffffff" },
    { "panic-at-unknown", "-accel pbkvm,panic-at=panic,symbols=/etc/passwd "
      "-nic none",
      "pbkvm: panic-at=panic: no such symbol in symbols=/etc/passwd: expected "
      "the guest's vmlinux or System.map" },
    { "symbols-file", "-accel pbkvm,panic-at=panic,symbols=/nowhere "
      "-nic none",
      "pbkvm: symbols=/nowhere: Failed to open file" },
    { "counter", "-accel pbkvm,counter=clock",
      "pbkvm: counter=clock: expected auto, pmu or step" },
    { "unknown-option", "-accel pbkvm,colour=red",
      "Property 'pbkvm-accel.colour' not found" },
    { "smp", "-accel pbkvm -smp 9",
      "pbkvm: -smp 9,maxcpus=9: expected 1 to 8 CPUs, all there from the "
      "start" },
    { "smp-later", "-accel pbkvm -smp 2,maxcpus=4",
      "pbkvm: -smp 2,maxcpus=4: expected 1 to 8 CPUs, all there from the "
      "start" },
    { "chaos-alone", "-accel pbkvm,chaos=on",
      "pbkvm: chaos: this machine has 1 CPU, which takes no turns: expected "
      "several" },
    { "second-accel", "-accel pbkvm -accel tcg",
      "pbkvm: 2 -accel options: expected -accel pbkvm alone, for another "
      "accelerator would not record" },
    { "irqchip", "-accel pbkvm,kernel-irqchip=on",
      "pbkvm: kernel-irqchip=on: expected off; the kernel's interrupt "
      "controller acts unseen" },
    { "irqchip-split", "-accel pbkvm,kernel-irqchip=split",
      "pbkvm: kernel-irqchip=split: expected off; the kernel's interrupt "
      "controller acts unseen" },
    { "rapl", "-accel pbkvm,rapl=on",
      "pbkvm: rapl=on: expected off; how much energy the host takes cannot "
      "be recorded" },
    { "smm", "-accel pbkvm -nic none -machine pc,smm=on",
      "pbkvm: -machine smm=on: system management mode cannot be recorded; "
      "use smm=off" },
    { "vmport", "-accel pbkvm -nic none -machine pc,vmport=on",
      "pbkvm: -machine vmport=on: the VMware port changes registers behind "
      "the guest's back; use vmport=off" },
    { "incoming", "-accel pbkvm -nic none -incoming tcp:127.0.0.1:0",
      "pbkvm: -incoming: a history cannot start in the middle of a "
      "migration" },
    { "cpu-rdrand", "-accel pbkvm -nic none -cpu qemu32,+rdrand",
      "pbkvm: -cpu asks for rdrand, which a Backup cannot repeat: its "
      "value is random" },
    { "cpu-rdtscp", "-accel pbkvm -nic none -cpu qemu32,+rdtscp",
      "pbkvm: -cpu asks for rdtscp, which a Backup cannot repeat: its value "
      "is the host's time" },
    { "cpu-tsc-frequency", "-accel pbkvm -nic none -cpu "
      "qemu32,+tsc,tsc-frequency=2000000000",
      "pbkvm: -cpu asks for tsc-frequency=2000000000: expected 1000000000, "
      "or nothing" },
    { "cpu-pmu", "-accel pbkvm -nic none -cpu qemu32,pmu=on",
      "pbkvm: -cpu asks for pmu, which a Backup cannot repeat: its counts "
      "include the host's doing" },
    { "cpu-host-pmu", "-accel pbkvm -nic none -cpu host,pmu=on",
      "pbkvm: -cpu asks for pmu, which a Backup cannot repeat: its counts "
      "include the host's doing" },
    { "cpu-kvm", "-accel pbkvm -nic none -cpu qemu32,kvm=on",
      "pbkvm: -cpu asks for kvm, which a Backup cannot repeat: KVM writes "
      "guest memory unseen" },
    { "cpu-hyperv", "-accel pbkvm -nic none -cpu qemu32,hv-time",
      "pbkvm: -cpu asks for Hyper-V's enlightenments, which a Backup cannot "
      "repeat: KVM writes guest memory unseen" },
    { "balloon", "-accel pbkvm -device virtio-balloon-pci -nic none",
      "pbkvm: virtio-balloon-device is a device that takes memory away, which "
      "cannot be recorded yet" },
    { "megasas", "-accel pbkvm -device megasas -nic none",
      "pbkvm: megasas is a disk controller that writes memory unseen, which "
      "cannot be recorded yet" },
    { "ati", "-accel pbkvm -device ati-vga -nic none",
      "pbkvm: ati-vga is a display that writes memory unseen, which cannot be "
      "recorded yet" },
    { "kvmvapic", "-accel pbkvm -global apic-common.vapic=on -nic none",
      "pbkvm: kvmvapic is a ROM that patches the guest's code, which cannot be "
      "recorded yet" },
    { "nvme-pmr", "-accel pbkvm -object memory-backend-ram,id=m,size=1M "
      "-device nvme,serial=1,pmrdev=m -nic none",
      "pbkvm: pmrdev=, of nvme, is memory that is written unseen, which "
      "cannot be recorded yet" },
    { "cpu-pm", "-accel pbkvm -overcommit cpu-pm=on -nic none",
      "pbkvm: -overcommit cpu-pm=on: expected off; a guest that halts unseen "
      "cannot be recorded" },
    { "iothread", "-accel pbkvm -object iothread,id=io -nic none",
      "pbkvm: iothread is a thread of devices, which cannot be recorded yet" },
};

static char *run(const char *args, int *status)
{
    g_autofree char *line =
        g_strdup_printf("%s -display none -vga none %s",
                        g_getenv("QTEST_QEMU_BINARY"), args);
    char *errors = NULL;

    g_assert(g_spawn_command_line_sync(line, NULL, &errors, status, NULL));
    return errors;
}

static void test_refused(const void *opaque)
{
    const Refusal *r = opaque;
    g_autofree char *errors = NULL;
    int status;

    errors = run(r->args, &status);
    g_assert(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 1);
    if (!strstr(errors, r->error)) {
        g_test_message("expected: %s", r->error);
        g_test_message("got: %s", errors);
        g_test_fail();
    }
}

static void test_help_lists_options(void)
{
    g_autofree char *line =
        g_strdup_printf("%s -accel pbkvm,help",
                        g_getenv("QTEST_QEMU_BINARY"));
    g_autofree char *out = NULL;
    int status;

    g_assert(g_spawn_command_line_sync(line, &out, NULL, &status, NULL));
    g_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    g_assert(strstr(out, "lag=<uint32>"));
    g_assert(strstr(out, "default: 2000"));
    g_assert(strstr(out, "ring-size=<uint32>"));
    g_assert(strstr(out, "lag-events=<uint64>"));
    g_assert(strstr(out, "lag-branches=<uint64>"));
    g_assert(strstr(out, "spill=<string>"));
    g_assert(strstr(out, "counter=<string>"));
    g_assert(strstr(out, "backup=<bool>"));
}

static void test_small_ring_warns(void)
{
    static const char *const cases[][2] = {
        { "lag=60000", "pbkvm: lag=60000 is more than ring-size=4096 holds of "
          "a busy guest (about 81 ms at 50 events per ms): when the ring "
          "fills, the Backup comes closer; a larger ring or spill=FILE "
          "prevents that" },
        { "lag=1,lag-events=3585", "pbkvm: lag-events=3585 is more than "
          "ring-size=4096 holds (at most 3584 events while the Backup keeps "
          "its lag)" },
        { "lag=1,lag-branches=716801", "pbkvm: lag-branches=716801 is more "
          "than ring-size=4096 holds of a busy guest (about 716800 branches "
          "at 200 per event)" },
        /* These fit. */
        { "lag=81,lag-events=3584,lag-branches=716800", NULL },
    };
    size_t i;

    for (i = 0; i < G_N_ELEMENTS(cases); i++) {
        /* Refused in the end, for a reason that comes after the warning. */
        g_autofree char *args =
            g_strdup_printf("-accel pbkvm,ring-size=4096,%s -nic none "
                            "-object iothread,id=io", cases[i][0]);
        g_autofree char *errors = NULL;
        int status;

        errors = run(args, &status);
        if (cases[i][1]) {
            g_assert_nonnull(strstr(errors, cases[i][1]));
        } else {
            g_assert_null(strstr(errors, "is more than ring-size"));
        }
    }
}

int main(int argc, char **argv)
{
    size_t i;

    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pbkvm/help", test_help_lists_options);
    for (i = 0; i < G_N_ELEMENTS(refusals); i++) {
        g_autofree char *path = g_strdup_printf("/pbkvm/refuse/%s",
                                                refusals[i].name);

        g_test_add_data_func(path, &refusals[i], test_refused);
    }
    g_test_add_func("/pbkvm/warn/small-ring", test_small_ring_warns);
    return g_test_run();
}
