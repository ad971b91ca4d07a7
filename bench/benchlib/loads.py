# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest is given to do, and what that costs outside."""

import collections
import time

from benchlib.machine import OUT, Machine

EVENT = 64                        # bytes of one event in the history
WITH_PAYLOAD = ("mem-write", "mem-slot", "state")
BOOT = "boot"
BACKUP = "Backup/pbkvm"           # the thread
PRIMARY = "/machine/unattached/device[0]"

# What tables call it, what the shell is told, and the clock of its guest.
Load = collections.namedtuple("Load", "title command hz", defaults=(100,))

COMPUTE = "md5sum $(yes /bin/busybox | head -n {files}) > /dev/null"
SLEEPERS = ("for n in 1 2 3 4 5 6 7 8; do (i=0; while [ $i -lt {times} ]; do "
            "sleep 0.001; i=$((i+1)); done) & done; wait")
# Each takes longer than the Backup's lag, or it would be over before the
# Backup begins. Sleepers make the guest wake at each tick of its clock. At
# 1000 Hz the lab is slow, so there is less to do.
LOADS = {
    "compute": Load("compute (md5sum of 85 MB)",
                    COMPUTE.format(files=40)),
    "forks": Load("fork and exec, 300 each",
                  "i=0; while [ $i -lt 300 ]; do (busybox true); "
                  "i=$((i+1)); done"),
    "serial": Load("serial port, 6.9 kB of text",
                   "seq 1 1600 > /dev/ttyS1"),
    "timers": Load("timers, 8 sleepers, 40 times each",
                   SLEEPERS.format(times=40)),
    "compute-1000": Load("compute at 1000 Hz (21 MB)",
                         COMPUTE.format(files=10), 1000),
    "timers-1000": Load("timers at 1000 Hz, 10 times each",
                        SLEEPERS.format(times=10), 1000),
}
# Each lasts as long as it is let.
ENDLESS = {
    "idle": "true",
    "compute": "(while :; do md5sum /bin/busybox; done) > /dev/null & true",
    "fork and exec": "(while :; do (busybox true); done) & true",
    "I/O": "(while :; do dd if=/dev/urandom of=/tmp/x bs=4096 count=64 "
           "2>/dev/null; cat /proc/interrupts; (true | cat); done) & true",
}
# A quarter of the RAM, if TIMES is an eighth of its MiB: busybox has 2 MiB.
FILL = ("i=0; while [ $i -lt {times} ]; do cat /bin/busybox; i=$((i+1)); done "
        "> /tmp/fill")
LIGHT = "(while sleep 0.05; do busybox true; done) & true"
TITLES = {BOOT: "boot to the shell"} | {
    name: load.title for name, load in LOADS.items()}
# QEMU's recorder takes minutes for the others in the lab; what counting costs is
# seen at one pace of the clock.
SOME_LOADS = {
    "rr": ["compute", "forks", "serial"],
    "counted": [name for name, load in LOADS.items() if load.hz == 100],
}
# Of each the guest lives a life.
HERTZ = sorted({load.hz for load in LOADS.values()})


def kinds_of(info):
    return {one["kind"]: one["count"] for one in info["events-by-kind"]}


def history(vm, before, after):
    """Events and bytes of history that came between two answers of pbkvm,
    or two sizes of the other recorder's file."""
    if not vm.pbkvm:
        size = (after or 0) - (before or 0)
        return {"bytes": size} if size else {}
    events = after["events-written"] - before["events-written"]
    figures = {"events": events}
    old, new = kinds_of(before), kinds_of(after)
    figures |= {kind: new.get(kind, 0) - old.get(kind, 0)
                for kind in ("mem-write", "point", "turn")}
    if all(new.get(kind, 0) == old.get(kind, 0) for kind in WITH_PAYLOAD):
        figures["bytes"] = events * EVENT
    if vm.has_backup:
        figures["late_ms"] = max(after["lag-now"] - after["lag-wanted"], 0)
    return figures


def recorded(vm):
    if vm.pbkvm:
        return vm.query()
    return vm.rr_file.stat().st_size if vm.rr_file.exists() else None


def counts(vm):
    """What is counted of the guest so far: KVM's exits, or the instructions
    that QEMU's recorder has counted."""
    if vm.kvm:
        return {"exits": vm.exits()[PRIMARY]}
    return {"instructions": vm.qmp("query-replay")["icount"]}


def watch(vm, work):
    """What WORK costs. A Backup's processor time is counted until it has
    lived through all of it."""
    before, old, count = vm.used(fresh=True), recorded(vm), counts(vm)
    start = time.monotonic()
    work()
    figures = {"seconds": time.monotonic() - start}
    figures |= history(vm, old, recorded(vm))
    figures |= {name: now - count[name] for name, now in counts(vm).items()}
    if vm.has_backup:
        vm.settle()
    after = vm.used()
    figures |= {"cpu_s": after.cpu_s - before.cpu_s,
                "peak_mib": after.peak_mib}
    if vm.has_backup:
        spent = after.threads[BACKUP] - before.threads.get(BACKUP, 0)
        figures["backup_share"] = 100 * spent / figures["cpu_s"]
    return figures


def landings(hz):
    """What those of a life are called among its figures."""
    return f"landings-{hz}"


def loads_of(kind, hz):
    return {name: load for name, load in LOADS.items()
            if load.hz == hz and name in SOME_LOADS.get(kind, LOADS)}


def watch_all(vm, loads):
    """What each of the LOADS costs, one after the other; in the end both sides
    are equal."""
    figures = []
    for load in loads:
        vm.type(load.command)
        if vm.has_backup:
            vm.settle()
        figures.append(watch(vm, vm.enter))
    if vm.has_backup:
        vm.verify()
    return figures


def one_life(vm, hz, loads, boot_payload):
    """{load: figures}, and the landings at its end."""
    figures = {BOOT: watch(vm, vm.boot)}
    if vm.pbkvm:                  # with what devices wrote: kernel, initrd
        boot = figures[BOOT]
        boot["bytes"] = boot["events"] * EVENT + boot_payload
    figures |= zip(loads, watch_all(vm, loads.values()))
    if vm.has_backup:
        figures[landings(hz)] = vm.must_run()["landings"]
    return figures


def live(kind, number, patience, boot_payload):
    """One machine's life with each clock. The first one's boot is kept."""
    figures = {}
    for hz in HERTZ:
        loads = loads_of(kind, hz)
        if loads:
            with Machine(OUT / f"{kind}-{number}-{hz}", kind,
                         patience=patience, hz=hz) as vm:
                figures = one_life(vm, hz, loads, boot_payload) | figures
    return figures
