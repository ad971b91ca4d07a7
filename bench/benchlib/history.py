# SPDX-License-Identifier: GPL-2.0-or-later
"""A real history for the benches that need one: Linux from power-on to its
shell, then a little of everything, as evidence files in build/bench/."""

import struct
import sys

from benchlib.machine import BUILD, OUT, TOP, Machine

sys.path.insert(0, str(TOP / "scripts"))

from pbkvmlib.evidence import EVENT_SIZE, EVENTS, Reader  # noqa: E402

# The whole of it, from the first event on; its boot alone; and the Backup
# when it has lived through all of it, for registers and memory as Linux has.
WHOLE, BOOT, STATE = (OUT / f"history{what}.pbkvm"
                      for what in ("", "-boot", "-state"))
ACCEL = "pbkvm,lag=3600000,ring-size=1048576"
LINES = (
    "md5sum $(yes /bin/busybox | head -n 8) > /dev/null",
    "i=0; while [ $i -lt 40 ]; do (busybox true); i=$((i+1)); done",
    "cat /proc/interrupts; seq 1 200",
    "i=0; while [ $i -lt 40 ]; do sleep 0.001; i=$((i+1)); done",
)


def save(vm, path):
    """The Backup, which is frozen."""
    path.unlink(missing_ok=True)
    return vm.qmp("pbkvm-save-evidence", filename=str(path))


def record():
    """Make the files, unless they are newer than QEMU and the guest."""
    sources = [BUILD / "qemu" / "qemu-system-i386", *(
        BUILD / "guest" / name for name in ("bzImage", "initramfs.cpio.gz"))]
    newest = max(path.stat().st_mtime for path in sources)
    if all(path.exists() and path.stat().st_mtime > newest
           for path in (WHOLE, BOOT, STATE)):
        return
    with Machine(OUT / "history", accel=ACCEL) as vm:
        vm.boot()
        vm.qmp("pbkvm-freeze")
        save(vm, BOOT)
        vm.qmp("pbkvm-thaw")
        for line in LINES:
            vm.run(line)
        vm.qmp("pbkvm-freeze")
        save(vm, WHOLE)
        vm.qmp("pbkvm-set-lag", lag=0)
        vm.qmp("pbkvm-thaw")
        vm.settle()
        vm.qmp("pbkvm-freeze")
        save(vm, STATE)


def payload_bytes(path):
    """Bytes that follow the events of an evidence file, in slots of theirs:
    what devices wrote to memory."""
    total = 0
    reader = Reader(path)
    with reader.file as file:
        while found := reader.block():
            kind, length = found
            if kind == EVENTS:
                _, events, slots = struct.unpack("<QII", file.read(16))
                total += EVENT_SIZE * (slots - events)
            reader.skip(length)
    return total
