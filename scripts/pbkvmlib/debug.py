# SPDX-License-Identifier: GPL-2.0-or-later
"""pbkvm gdb: a real gdb at the Backup (or the Primary), with symbols."""

import os
import pathlib
import re
import stat
import sys

from pbkvmlib import doctor, places, qmp
from pbkvmlib.errors import NO_MACHINE, NOT_BUILT, PbError

SIDE = pathlib.Path(__file__).resolve().parents[1] / "pbkvm-gdb.py"


def is_socket(path):
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def target(args):
    """(gdb's target, its Machine or None)."""
    name = args.machine
    if name and ("/" in name or ":" in name):
        if "/" in name and not is_socket(name):
            raise PbError("that is no gdb socket", "a unix socket, or "
                          "HOST:PORT", name, "check the path (QEMU's option "
                          "is -gdb unix:PATH,server=on,wait=off)",
                          NO_MACHINE)
        return name, None
    machine = places.find(name)
    return str(machine.socket("gdb")), machine


def symbols(args, machine):
    """The vmlinux to use, or None."""
    if args.symbols:
        if not os.path.isfile(args.symbols):
            raise PbError("no such symbols", "a vmlinux with DWARF",
                          args.symbols, "check the path")
        return os.path.abspath(args.symbols)
    if machine:
        info = machine.info()
        # A replay names no kernel whose symbols could be found.
        if info.get("symbols") or not any(
                "replay=" in word for word in info.get("command", ())):
            return info.get("symbols")
    default = places.GUEST / "vmlinux"
    if default.exists():
        # pbkvm-gdb.py sees whether they fit.
        print(f"pbkvm: taking our own guest's symbols ({default}); "
              "--symbols FILE for another kernel", file=sys.stderr)
        return str(default)
    return None


def introduce(machine, primary):
    """Say which of the two this will be, and where they are."""
    side = "Primary" if primary else "Backup"
    where = machine.info().get("where", "host")
    where = "the lab" if where == "lab" else "this host"
    text = f"pbkvm: attaching to the {side} of machine {machine.name} " \
           f"(in {where})"
    try:
        with qmp.Qmp(machine.socket("qmp-gdb")) as connection:
            info = connection("query-pbkvm")
        behind = (info["primary-time"] - info["backup-time"]) / 1e6
        text += f"; the Backup is {info['status']}, {behind:.0f} ms behind"
    except (PbError, qmp.Gone) as error:
        # gdb may still work; what it meets it tells.
        text += f"; its state is not known ({error.args[0]})"
    print(text, file=sys.stderr)


def command(args, address, vmlinux):
    """gdb's command line, and what pbkvm-gdb.py finds in its environment."""
    words = ["gdb", "-q", "-nx"]
    if args.batch:
        words += ["-batch"]
    if vmlinux:
        # Beside it stands the kernel's own vmlinux-gdb.py, which finds the
        # rest of itself only if no other script loads it.
        folder = os.path.dirname(vmlinux)
        words += ["-iex", f"add-auto-load-safe-path {folder}", vmlinux]
    words += ["-iex", "set pagination off", "-x", str(SIDE)]
    if args.script:
        if not os.path.isfile(args.script):
            raise PbError("no such gdb script", "a file", args.script,
                          "check the path")
        words += ["-x", args.script]
    environment = {
        "PBKVM_GDB_TARGET": address,
        "PBKVM_GDB_SIDE": "primary" if args.primary else "backup",
        "PBKVM_GDB_SYMBOLS": vmlinux or "",
    }
    return words + args.rest, environment


def gdb(args):
    works, found = doctor.gdb_works()
    if not works:
        raise PbError("gdb cannot be used", "gdb with Python", found,
                      "apt-get install gdb", NOT_BUILT)
    address, machine = target(args)
    vmlinux = symbols(args, machine)
    if machine:
        introduce(machine, args.primary)
    elif re.fullmatch(r"[^/]*:\d+", address):
        print(f"pbkvm: attaching to the "
              f"{'Primary' if args.primary else 'Backup'} of the QEMU at "
              f"{address}", file=sys.stderr)
    if not vmlinux:
        print("pbkvm: no vmlinux beside the guest's kernel: no symbols "
              "(--symbols FILE)", file=sys.stderr)
    words, environment = command(args, address, vmlinux)
    sys.stderr.flush()
    os.execvpe(words[0], words, {**os.environ, **environment})
