# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest under any accelerator, whose threads and memory are metered.

    with Machine(log_dir, "backup") as vm:
        vm.boot()
        vm.type("md5sum /bin/busybox")
        before = vm.used()
        vm.enter()
        print(vm.used().cpu_s - before.cpu_s)
"""

import collections
import json
import pathlib
import re
import socket
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests" / "e2e"))

from pbvm import (BUILD, PACE, PATIENCE, PROMPT,        # noqa: E402
                  Failure, Guest, host_can, plain_pc)

OUT = BUILD / "bench"
MEMORY = 128
LAB_MEMORY = 1536                 # lab/run's default
INNER = "/run/lab/meter"          # where the meter listens in the lab
COUNTER = BUILD / "native" / "bench" / "core" / "count-thread"
FIFO = 8                          # a UART's, and room for other characters

PC = plain_pc()
RECORD = ["-icount", "shift=auto,rr=record,rrfile={file}"]

# What is compared: QEMU's options, and what tables call it.
Kind = collections.namedtuple("Kind", "accel extra title")
KINDS = {
    "plain": Kind("kvm,kernel-irqchip=off", PC, "kvm, irqchip off"),
    "counted": Kind("kvm,kernel-irqchip=off", PC, "the same, counted"),
    "irqchip": Kind("kvm", PC, "kvm, irqchip on"),
    "alone": Kind("pbkvm,backup=off", [], "pbkvm, no Backup"),
    "backup": Kind("pbkvm,lag=500", [], "pbkvm, Backup"),
    "rr": Kind("tcg", PC + RECORD, "tcg, rr=record"),
}

Use = collections.namedtuple("Use", "cpu_s threads peak_mib")


def place():
    return "this host" if host_can() else "the lab"


def need_guest(hz=100, cpus=1):
    """The guest whose clock ticks HZ times a second, for so many CPUs, is
    there."""
    name, words = "guest", []
    if hz != 100:
        name, words = f"{name}-hz{hz}", [*words, "--hz", str(hz)]
    if cpus > 1:
        name, words = f"{name}-smp", [*words, "--smp"]
    if words and subprocess.run(
            [TOP / "scripts" / "pb-log", name, TOP / "guest" / "build",
             *words], check=False).returncode:
        raise Failure(f"no {name}")


class Machine(Guest):
    """One of KINDS, or with ACCEL another. MEMORY in MiB; PATIENCE in
    seconds, for the boot and each command; HZ of the guest's clock; DEBIAN: its
    own kernel of 64 bits; MORE options of QEMU's."""

    def __init__(self, log, kind="backup", accel=None, memory=MEMORY,
                 patience=PATIENCE, hz=100, drivers=False, debian=False,
                 more=()):
        self.patience = patience
        log.mkdir(parents=True, exist_ok=True)
        self.rr_file = log / "rr.bin"
        extra = [word.format(file=self.rr_file) for word in KINDS[kind].extra]
        accel = accel or KINDS[kind].accel
        super().__init__(
            log, accel=accel, memory=memory, hz=hz, drivers=drivers,
            debian=debian,
            # The second serial port is for load: where the console goes costs
            # a busy lab much more than pbkvm does.
            extra=extra + ["-serial", "null", "-name", "debug-threads=on",
                           "-S", *more],
            wrap=[str(TOP / "bench" / "meter"), INNER])
        self.counted = kind == "counted"
        self.pbkvm = accel.startswith("pbkvm")
        self.kvm = "kvm" in accel
        self.has_backup = self.pbkvm and "backup=off" not in accel
        self.meter = None
        self.prompt_due = False   # enter() leaves it to type()
        outer = f"{self.dir.name}/meter"
        if self.native:
            self.command[1] = outer
        else:
            self.lab += ["--unix", f"{outer}={INNER}"]
            if memory >= LAB_MEMORY:
                self.lab += ["--mem", str(LAB_MEMORY + memory)]

    def __enter__(self):
        super().__enter__()
        self._wait_for_socket("meter")
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(f"{self.dir.name}/meter")
        self.meter = sock.makefile("rw")
        sock.close()              # the file has it now
        if self.counted:
            self._count_branches()
        return self

    def __exit__(self, *exception):
        if self.meter:
            self.meter.close()
        super().__exit__(*exception)
        self.rr_file.unlink(missing_ok=True)

    def _ask_meter(self, word):
        self.meter.write(word + "\n")
        self.meter.flush()
        line = self.meter.readline()
        if not line:
            raise Failure("the meter is gone: " + self.said())
        return json.loads(line)

    def _count_branches(self):
        """As pbkvm does, but nobody asks how many they are."""
        said = self._ask_meter(f"count {COUNTER}")["counter"]
        if said != "counting":
            raise Failure(f"the guest's branches are not counted: {said}")

    def share(self):
        """QEMU's share of the memory, MiB: shared pages count in part; and
        how often Linux has looked at all pages for equal ones."""
        answer = self._ask_meter("share")
        return answer["share_kib"] / 1024, answer["scans"]

    def merge_pages(self):
        """Equal pages become one from now on; in the lab only."""
        if self.native:
            raise Failure("merging pages is the host's own affair: see "
                          "/sys/kernel/mm/ksm")
        self._ask_meter("merge")

    def used(self, fresh=False):
        """What QEMU has used so far; FRESH: then the peak begins anew."""
        answer = self._ask_meter("fresh" if fresh else "look")
        return Use(answer["cpu_s"], answer["threads"],
                   answer["peak_kib"] / 1024)

    def boot(self):
        """From power-on to the prompt."""
        self.qmp("cont")
        self.console.expect(re.escape(PROMPT), self.patience)

    def type(self, command):
        """All but the Enter: QEMU's recorder overruns a UART's FIFO that is
        given more than it holds, so wait for each piece's echo."""
        if self.prompt_due:
            self.console.expect(re.escape(PROMPT), self.patience)
            self.prompt_due = False
        self.marks += 1
        line = f'{command}; echo "="done-{self.marks} $?'
        self.console.text = ""
        for at in range(0, len(line), FIFO):
            self.console.send(line[at:at + FIFO])
            self._await_echo(len(line[:at + FIFO]))

    def _await_echo(self, length):
        until = time.monotonic() + self.patience
        while len(self.console.text) < length:
            if time.monotonic() > until:
                raise Failure(f"no echo: {self.console.text!r}")
            self.console.take(PACE)

    def enter(self):
        """What was typed is run; it must succeed."""
        self.console.text = ""
        self.console.send("\n")
        self.console.expect(f"=done-{self.marks} 0\n", self.patience)
        self.prompt_due = True
