# SPDX-License-Identifier: GPL-2.0-or-later
"""Warm starts: the lab's machine as it is just before a command runs.

The first start boots a machine up to the point where its agent waits for a
command and saves it: memory as a file, the rest as QEMU's migration stream.
Every later start maps that file copy-on-write and goes on from there. The
agent sets the clock and the random numbers anew (see init/init.c).

A saved machine is only good for the same QEMU, kernel, memory, processors
and boot of this computer (its clock rate is measured while booting): these
make its name, and older ones are removed.
"""

import fcntl
import hashlib
import json
import os
import pathlib
import shutil
import socket
import sys
import time

from lablib import link, machine

PREFIX = "warm-"
BOOT_LIMIT = 300        # seconds; a busy computer may need a while
KEEP = 2                # saved machines that stay beside a new one
NEED_FREE = 1 << 30     # bytes of disk for the file (it is sparse)


class Monitor:
    """A blocking QMP client, for the few commands needed here."""

    def __init__(self, sock):
        sock.settimeout(BOOT_LIMIT)
        self.stream = sock.makefile("rw")
        self._read()
        self.do("qmp_capabilities")

    def _read(self):
        line = self.stream.readline()
        if not line:
            raise machine.LabError("the lab's machine closed its monitor")
        return json.loads(line)

    def do(self, command, **arguments):
        self.stream.write(json.dumps({"execute": command,
                                      "arguments": arguments}) + "\n")
        self.stream.flush()
        while True:
            answer = self._read()
            if "error" in answer:
                raise machine.LabError(f"{command}: "
                                       + answer["error"]["desc"])
            if "return" in answer:
                return answer["return"]

    def share_memory_file(self):
        self.do("migrate-set-capabilities", capabilities=[
            {"capability": "x-ignore-shared", "state": True}])

    def wait_migrated(self):
        while True:
            status = self.do("query-migrate").get("status")
            if status == "completed":
                return
            if status in ("failed", "cancelled"):
                raise machine.LabError("the lab's state: migration failed")
            time.sleep(0.005)


def _directory(options):
    qemu = os.stat(machine.qemu_path())
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text()
    name = repr((qemu.st_ino, qemu.st_size, qemu.st_mtime_ns, boot,
                 options.mem, options.cpus, machine.APPEND))
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return machine.BUILD.resolve() / (PREFIX + digest)


def _wait_ready(booted):
    """Until the agent waits for its command."""
    booted.link_socket.settimeout(BOOT_LIMIT)
    try:
        frame = booted.link_socket.recv(link.HEADER.size)
    except socket.timeout:
        raise machine.LabError(f"the lab did not boot in {BOOT_LIMIT} s") \
            from None
    if len(frame) < link.HEADER.size:
        raise machine.LabError("the lab did not boot:\n"
                               + booted.last_words())


def _save(options, new):
    booted = machine.Machine(options, ram=(new / "ram", "on"))
    try:
        _wait_ready(booted)
        monitor = Monitor(booted.monitor_socket)
        monitor.share_memory_file()
        monitor.do("migrate", uri=f"file:{new / 'state'}")
        monitor.wait_migrated()
    finally:
        booted.kill()


def _make(options, directory):
    """Make the saved machine. False: it cannot be made here."""
    parent = directory.parent
    if shutil.disk_usage(parent).free < NEED_FREE:
        return False
    old = sorted(parent.glob(PREFIX + "*/"), key=os.path.getmtime)
    for unused in old[:-KEEP]:
        shutil.rmtree(unused, ignore_errors=True)
    new = directory.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    try:
        _save(options, new)
    except machine.LabError as error:
        shutil.rmtree(new, ignore_errors=True)
        print("lab/run: note: this start cannot be kept for faster ones "
              f"({error}); booting again", file=sys.stderr)
        return False
    new.rename(directory)
    return True


def start(options):
    """The machine, (about to be) waiting for its command."""
    machine.check_built()
    if options.cold or options.verbose:
        return machine.Machine(options)
    directory = _directory(options)
    try:
        with open(directory.parent / "warm.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not directory.exists() and not _make(options, directory):
                return machine.Machine(options)
            return _resume(options, directory)
    except PermissionError:         # a cache that somebody else owns
        return machine.Machine(options)


def _resume(options, directory):
    resumed = machine.Machine(options, ram=(directory / "ram", "off"),
                              more=("-incoming", "defer"))
    try:
        monitor = Monitor(resumed.monitor_socket)
        monitor.share_memory_file()
        monitor.do("migrate-incoming", uri=f"file:{directory / 'state'}")
    except machine.LabError as error:
        words = resumed.last_words()
        resumed.kill()
        raise machine.LabError(f"the lab's machine did not start: {error}\n"
                               + words) from None
    resumed.waits = True
    return resumed
