# SPDX-License-Identifier: GPL-2.0-or-later
"""Where things are: the tree, its build, and the machines that run.

Each machine has a folder of its own with its sockets and `machine.json`,
below $XDG_RUNTIME_DIR/pbkvm or /tmp/pbkvm-UID, open to its user alone. A
lock, held as long as the machine lives, tells it from what a killed one left.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import re
import shutil
import stat

from pbkvmlib.errors import NO_MACHINE, NOT_BUILT, WRONG_CALL, PbError

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = TOP / "build"
QEMU = BUILD / "qemu" / "qemu-system-i386"
QEMU_64 = BUILD / "qemu" / "qemu-system-x86_64"
CHECK = BUILD / "native" / "pbkvm-check"
GUEST = BUILD / "guest"
GUEST_SMP = BUILD / "guest-smp"
LAB = TOP / "lab" / "run"

# One client each: a QMP socket serves no second one.
SOCKETS = ("qmp", "qmp-status", "qmp-timeline", "qmp-gdb", "gdb")
LONGEST_SOCKET = 107


def need(path, what, make="make"):
    """@path must have been built."""
    if not path.exists():
        raise PbError(f"{what} is missing", path, "no such file",
                      f"{make} (in {TOP})", NOT_BUILT)
    return path


def runtime_dir():
    """The folder of all machines, made if need be."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    path = pathlib.Path(base) / "pbkvm" if base and os.path.isdir(base) \
        else pathlib.Path(f"/tmp/pbkvm-{os.getuid()}")
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise PbError("no place for the sockets", f"a folder {path}",
                      error.strerror, "set XDG_RUNTIME_DIR to a folder of "
                      "your own") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() \
            or found.st_mode & 0o077:
        raise PbError("the place for the sockets is not safe",
                      f"{path} to be your own folder, mode 0700",
                      f"{stat.filemode(found.st_mode)} of user "
                      f"{found.st_uid}",
                      "remove it, or set XDG_RUNTIME_DIR to another folder")
    return path


class Machine:
    """One machine, running or being made."""

    def __init__(self, folder):
        self.folder = folder
        self.name = folder.name
        self.lock = None

    def socket(self, name):
        return self.folder / name

    def info(self):
        try:
            return json.loads((self.folder / "machine.json").read_text())
        except (OSError, ValueError):
            return {}

    def write_info(self, **info):
        new = self.folder / "machine.json.new"
        new.write_text(json.dumps(info, indent=1) + "\n")
        new.rename(self.folder / "machine.json")

    def take(self):
        """Become the one who runs it; False if another does."""
        # The sockets are its owner's alone, whatever the umask.
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self.lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT,
                            0o600)
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self.lock)
            self.lock = None
            return False
        for name in ("machine.json", *SOCKETS):
            (self.folder / name).unlink(missing_ok=True)
        return True

    def runs(self):
        try:
            lock = os.open(self.folder / "lock", os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def forget(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.lock is not None:
            os.close(self.lock)


def machines():
    """Those that run, by name."""
    with contextlib.suppress(FileNotFoundError):
        return [machine for folder in sorted(runtime_dir().iterdir())
                if (machine := Machine(folder)).runs()]
    return []


def find(name=None):
    """The machine of that name, or the only one."""
    found = machines()
    names = [machine.name for machine in found]
    if name in names:
        return found[names.index(name)]
    if name is None and len(found) == 1:
        return found[0]
    if not found:
        raise PbError("no machine is running",
                      f"one started by pbkvm run (in {runtime_dir()})",
                      "none of yours", "pbkvm run; for one started with "
                      "sudo, use sudo here too", NO_MACHINE)
    if name is None:
        raise PbError("several machines are running", "one of their names",
                      "no name", "give one of: " + " ".join(names),
                      NO_MACHINE)
    raise PbError(f"no machine called {name} is running",
                  "one of: " + " ".join(names), name, "use that name",
                  NO_MACHINE)


def new(name=None):
    """A folder for a machine to be started; its lock is ours."""
    if name is not None and not re.fullmatch(r"[A-Za-z0-9][\w.+-]{0,30}",
                                             name):
        raise PbError("that is no name for a machine",
                      "letters, digits, and . _ + - behind the first",
                      name, "choose another", WRONG_CALL)
    top = runtime_dir()
    longest = max(len(os.fsencode(top / (name or "vm-99") / socket))
                  for socket in SOCKETS)
    if longest > LONGEST_SOCKET:
        raise PbError("a socket's path would be too long",
                      f"at most {LONGEST_SOCKET} bytes", f"{longest} bytes",
                      "set XDG_RUNTIME_DIR to a shorter path", WRONG_CALL)
    for number in range(1, 100):
        machine = Machine(top / (name or ("vm" if number == 1 else
                                          f"vm-{number}")))
        if machine.take():
            return machine
        if name:
            break
    raise PbError(f"machine {machine.name} is running already",
                  "a name not in use", machine.name,
                  "pbkvm run --as ANOTHER-NAME", NO_MACHINE)
