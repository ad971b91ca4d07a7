# SPDX-License-Identifier: GPL-2.0-or-later
"""pbkvm run and pbkvm replay: start QEMU so that the others find it."""

import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import time

from pbkvmlib import evidence, places
from pbkvmlib.errors import (FAILED, NOT_BUILT, NOT_OFFERED, WRONG_CALL,
                             PbError)
from pbkvmlib.places import GUEST, LAB, QEMU, QEMU_64, TOP, need

# A command line that has one of these says itself what is booted.
BOOTS = {"kernel", "bios", "pflash", "fda", "fdb", "hda", "hdb", "cdrom",
         "drive", "blockdev", "incoming", "loadvm"}
CHECK_PATIENCE = 30


class Own:
    """pbkvm's own options, taken out of a QEMU command line."""

    def __init__(self, words):
        self.where = None
        self.bits = None
        self.name = None
        self.print_only = False
        self.qemu = []
        words = list(words)
        while words:
            word = words.pop(0)
            if word == "--":
                self.qemu += words
                break
            if word in ("--lab", "--host"):
                if self.where not in (None, word[2:]):
                    raise PbError("--lab and --host exclude each other",
                                  "one of them", "both", "leave one out",
                                  WRONG_CALL)
                self.where = word[2:]
            elif word in ("--32", "--64"):
                if self.bits not in (None, word[2:]):
                    raise PbError("--32 and --64 exclude each other",
                                  "one of them", "both", "leave one out",
                                  WRONG_CALL)
                self.bits = word[2:]
            elif word == "--print":
                self.print_only = True
            elif word == "--as":
                if not words:
                    raise PbError("--as lacks its argument", "--as NAME",
                                  "the end", "give a name", WRONG_CALL)
                self.name = words.pop(0)
            else:
                self.qemu.append(word)


def choose_place(wanted):
    """(host or lab, why)."""
    if wanted == "lab":
        return "lab", "as asked for"
    check = need(places.CHECK, "the check of this host")
    try:
        done = subprocess.run([str(check)], capture_output=True, text=True,
                              timeout=CHECK_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PbError("the check of this host does not work",
                      f"{check} to say what it finds", error,
                      "pbkvm run --lab", NOT_BUILT) from None
    if done.returncode == 0:
        return "host", "its KVM counts branches exactly"
    why = [line for line in done.stdout.splitlines()
           if line.startswith("FAIL")]
    reason = why[0][17:].strip() if why else done.stderr.strip()
    if wanted == "host":
        raise PbError("this host cannot run pbkvm by itself",
                      "pbkvm-check to pass", reason,
                      "mend that (pbkvm doctor tells more), or: "
                      "pbkvm run --lab")
    return "lab", reason


def _names(words):
    return {word.lstrip("-") for word in words if word.startswith("-")}


def _values(words, option):
    return [value for word, value in zip(words, words[1:])
            if word.startswith("-") and word.lstrip("-") == option]


def _has_accel(words):
    return "accel" in _names(words) or "enable-kvm" in _names(words) or any(
        "accel=" in value for option in ("machine", "M")
        for value in _values(words, option))


def _has_network(words):
    """Or a folder that is shared: what our guest needs drivers for."""
    return bool(_names(words) & {"netdev", "virtfs"} or
                set(_values(words, "nic")) - {"none"})


def _cpus(words):
    """How many CPUs are asked for: -smp 2, -smp cpus=2,..."""
    found = [re.match(r"(?:cpus=)?(\d+)(?:,|$)", value)
             for value in _values(words, "smp")]
    return max((int(one[1]) for one in found if one), default=1)


def guest_options(words):
    """Our own guest, if none is named."""
    names, cpus = _names(words), _cpus(words)
    if names & BOOTS:
        return []
    guest, options = GUEST, []
    need(guest / "bzImage", "the guest")
    if cpus > 1:
        guest = places.GUEST_SMP
        need(guest / "bzImage", "the guest for several CPUs", "make guest-smp")
        if not any("," in value for value in _values(words, "smp")):
            # It looks for sockets, not for cores; told in pieces, -smp adds up.
            options += ["-smp", f"sockets={cpus}"]
    options += ["-kernel", str(guest / "bzImage")]
    if "initrd" not in names:
        name = "initramfs-drivers" if _has_network(words) else "initramfs"
        options += ["-initrd", str(guest / f"{name}.cpio.gz")]
    if "append" not in names:
        options += ["-append", (TOP / "guest" / "cmdline").read_text()
                    .strip()]
    return options


def console(names):
    """The terminal: the guest's, with the monitor behind Ctrl-a c."""
    if names & {"serial", "monitor", "nodefaults", "daemonize"}:
        return []
    if "nographic" in names:
        # What it means by itself, but not when there is -qmp.
        return ["-serial", "mon:stdio"]
    return [] if "display" in names else ["-display", "none", "-serial",
                                          "mon:stdio"]


def defaults(words, memory="128"):
    """What a command line lacks to be pbkvm's; nothing it has."""
    names = _names(words)
    options = []
    if not _has_accel(words):
        options += ["-accel", "pbkvm"]
    if not names & {"nic", "net", "netdev", "nodefaults"}:
        options += ["-nic", "none"]
    if "m" not in names:
        options += ["-m", memory]
    if "vga" not in names and "nodefaults" not in names:
        options += ["-vga", "none"]
    options += console(names)
    actions = ",".join(_values(words, "action"))
    if "no-reboot" not in names and "reboot=" not in actions:
        options += ["-no-reboot"]
    if "no-shutdown" not in names and "panic=" not in actions:
        # QEMU would end, and the Backup with it.
        options += ["-action", "panic=pause"]
    return options


def socket_options(machine):
    options = []
    for name in places.SOCKETS:
        # A comma in a path is told by two.
        path = str(machine.socket(name)).replace(",", ",,")
        options += ["-gdb" if name == "gdb" else "-qmp",
                    f"unix:{path},server=on,wait=off"]
    return options


def symbols_of(words):
    """The vmlinux that belongs to a command line, if it can be found."""
    for kernel in _values(words, "kernel"):
        kernel = pathlib.Path(kernel).resolve()
        for folder in (kernel.parent, *kernel.parents[:5]):
            if (folder / "vmlinux").exists():
                return str(folder / "vmlinux")
    return None


def is_64_bits(kernel):
    """Whether that is a kernel of 64 bits: an ELF file, or a bzImage (Linux'
    boot protocol 2.12: bit 0 of xloadflags). No file: QEMU will say so."""
    try:
        with open(kernel, "rb") as file:
            head = file.read(0x238)
    except OSError:
        return False
    if head.startswith(b"\x7fELF"):
        return head[4:5] == b"\2"
    return head[0x202:0x206] == b"HdrS" and head[0x237:] != b"" and \
        int.from_bytes(head[0x206:0x208], "little") >= 0x20c and \
        bool(head[0x236] & 1)


def program(own, wide):
    """The QEMU that was asked for, or else of 64 bits if @wide."""
    return QEMU_64 if own.bits == "64" or (not own.bits and wide) else QEMU


def with_symbols(words):
    """panic-at=SYMBOL finds its symbols, if we know where they are."""
    vmlinux = symbols_of(words)
    result = list(words)
    for at, (option, value) in enumerate(zip(words, words[1:]), 1):
        if option.lstrip("-") == "accel" and ",panic-at=" in value \
                and ",symbols=" not in value and vmlinux:
            result[at] += ",symbols=" + vmlinux.replace(",", ",,")
    return result


def _popen(command, **keywords):
    """Start QEMU. Signals that end us end it, from its first moment on; Ctrl-C
    reaches it by itself."""
    process, early = None, []

    def forward(number, _frame):
        if process is None:
            early.append(number)
        elif process.poll() is None:
            process.send_signal(number)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, forward)
    process = subprocess.Popen(command, **keywords)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in early:
        process.send_signal(number)
    return process


def start(machine, command, where, symbols):
    """Run @command to its end; its exit status."""
    machine.write_info(where=where, command=command, started=time.time(),
                       symbols=symbols)
    # The lock is the child's too: it holds for as long as QEMU lives.
    os.set_inheritable(machine.lock, True)
    process = _popen(command, pass_fds=[machine.lock])
    status = process.wait()
    return 128 - status if status < 0 else status


def launch(own, qemu, words, symbols):
    """Print or run @qemu with @words at the place @own asks for; pbkvm gdb
    takes @symbols."""
    need(qemu, "QEMU")
    where, why = choose_place(own.where)
    wrap = []
    if where == "lab":
        need(places.BUILD / "lab" / "kernel", "the lab")
        wrap = [str(LAB), "--"]
    if own.print_only:
        # Without our sockets: their folder is there while we are.
        print(shlex.join([*wrap, str(qemu), *words]))
        return 0
    machine = places.new(own.name)
    try:
        command = [*wrap, str(qemu), *words, *socket_options(machine)]
        print(f"pbkvm: running in {'the lab' if where == 'lab' else where}"
              f" ({why})\n"
              f"pbkvm: this is machine {machine.name}; from another "
              "terminal: pbkvm status, pbkvm gdb", file=sys.stderr)
        if sys.stdin.isatty() and "mon:stdio" in words:
            print("pbkvm: Ctrl-a x ends it, Ctrl-a c is the monitor",
                  file=sys.stderr)
        sys.stderr.flush()
        return start(machine, command, where, symbols)
    finally:
        machine.forget()


def run(args):
    own = Own(args)
    words = own.qemu
    wide = any(map(is_64_bits, _values(words, "kernel")))
    words = [*defaults(words, "512" if wide else "128"),
             *guest_options(words), *words]
    return launch(own, program(own, wide), with_symbols(words),
                  symbols_of(words))


def offers(option):
    """Whether this build's -accel pbkvm has @option."""
    done = subprocess.run([str(need(QEMU, "QEMU")), "-accel", "pbkvm,help"],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        raise PbError("QEMU does not work", "a list of pbkvm's options",
                      done.stderr.strip(), "make")
    return f" {option}=" in done.stdout


def like_the_saved(machine, ram, cpus, words):
    """The machine of an evidence file, as far as @words leave that open."""
    names = _names(words)
    options = []
    if ram and "m" not in names:
        options += ["-m", f"{ram // 1024}K"]
    if machine and not names & {"machine", "M"}:
        options += ["-machine", machine]
    if cpus and cpus > 1 and "smp" not in names:
        options += ["-smp", str(cpus)]
    return options


def replay(args):
    own = Own(args)
    if not own.qemu or own.qemu[0].startswith("-"):
        raise PbError("no evidence file given",
                      "pbkvm replay FILE [QEMU options]",
                      " ".join(own.qemu) or "nothing", "name the file first",
                      WRONG_CALL)
    file, *words = own.qemu
    try:
        with open(file, "rb") as saved:
            saved.read(1)
    except OSError as error:
        raise PbError("cannot read the evidence file", file, error.strerror,
                      "check the path", FAILED) from None
    if not offers("replay"):
        raise PbError("this build cannot replay evidence files",
                      "-accel pbkvm to have the option replay",
                      "it has none", "update pbkvm and make", NOT_OFFERED)
    path = str(pathlib.Path(file).resolve()).replace(",", ",,")
    if _has_accel(words):
        raise PbError("-accel is set by pbkvm replay", "other options",
                      " ".join(words), "leave -accel out", WRONG_CALL)
    machine, ram, cpus, wide = evidence.machine_of(file)
    own_words = ["-accel", f"pbkvm,replay={path}",
                 *like_the_saved(machine, ram, cpus, words)]
    ours = sorted(places.BUILD.glob("guest*/vmlinux"))
    return launch(own, program(own, wide),
                  [*defaults([*own_words, *words]), *own_words, *words],
                  symbols_of(words) or evidence.kernel_in(file, ours))
