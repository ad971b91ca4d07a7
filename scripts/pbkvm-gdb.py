# SPDX-License-Identifier: GPL-2.0-or-later
"""gdb's side of pbkvm gdb: attaches, says to what, loads symbols of modules.

By hand, in any gdb with Python:

    (gdb) file vmlinux
    (gdb) source scripts/pbkvm-gdb.py
    (gdb) pb-attach HOST:PORT

Commands: pb-attach TARGET [primary], pb-modules, pb-where, pb-run-to PLACE,
pb-live [EVENT].
"""

import os
import pathlib
import re
import struct
import tempfile

import gdb

PRIMARY, BACKUP = 1, 2      # process numbers of QEMU's gdbstub
NOT_OFFERED = 4             # exit status, as pbkvmlib.errors has it


def say(text):
    gdb.write(f"pbkvm: {text}\n")
    gdb.flush()


def side():
    """Which of the two the selected inferior is, or None."""
    pid = gdb.selected_inferior().pid
    return {PRIMARY: "Primary", BACKUP: "Backup"}.get(pid)


def prompt(_current):
    return f"(gdb {side()}) " if side() else "(gdb) "


def without_addresses(elf):
    """The module @elf with all its sections at 0.

    The kernel's linker script gives .data an address of its own, if small;
    gdb then looks for its variables in .text.
    """
    data = bytearray(elf)
    wide = data[4] == 2             # ELFCLASS64
    at, = struct.unpack_from("<Q" if wide else "<I", data,
                             0x28 if wide else 0x20)
    size, count = struct.unpack_from("<HH", data, 0x3a if wide else 0x2e)
    for header in range(at, at + size * count, size):
        struct.pack_into("<Q" if wide else "<I", data,
                         header + (0x10 if wide else 0x0c), 0)
    return bytes(data)


class Modules:
    """Symbols of the guest's modules, per inferior."""

    def __init__(self):
        self.loaded = {}        # inferior number -> {(name, address)}
        self.first = {}         # inferior number -> modules.next, last seen
        self.copies = tempfile.TemporaryDirectory(prefix="pbkvm-gdb-")

    def _list(self):
        """struct module * of each, newest first."""
        head = gdb.parse_and_eval("&modules")
        module = gdb.lookup_type("struct module")
        offset = next(field.bitpos // 8 for field in module.fields()
                      if field.name == "list")
        at = head["next"]
        while at != head:
            yield gdb.Value(int(at) - offset).cast(module.pointer())
            at = at["next"]

    @staticmethod
    def _sections(module):
        """{section: address}, as sysfs tells."""
        attrs = module["sect_attrs"]
        if int(attrs) == 0:
            return {}
        return {attrs["attrs"][i]["battr"]["attr"]["name"].string():
                int(attrs["attrs"][i]["address"])
                for i in range(int(attrs["nsections"]))}

    @staticmethod
    def _file(name):
        """The .ko with symbols: below the vmlinux's folder."""
        symbols = gdb.current_progspace().filename
        if not symbols:
            return None
        names = {f"{name}.ko", f"{name.replace('_', '-')}.ko"}
        for found in sorted(pathlib.Path(symbols).parent.rglob("*.ko")):
            if found.name in names:
                return found
        return None

    def _load_one(self, name, module, quiet):
        sections = self._sections(module)
        text = sections.pop(".text", None)
        file = self._file(name)
        if text is None or file is None:
            if not quiet:
                say(f"module {name}: " + ("its sections are not known"
                    if text is None else "no .ko with symbols found"))
            return
        rest = " ".join(f"-s {section} {address:#x}"
                        for section, address in sections.items()
                        if section.startswith((".data", ".bss", ".rodata",
                                               ".init", ".exit")))
        copy = pathlib.Path(self.copies.name) / file.name
        copy.write_bytes(without_addresses(file.read_bytes()))
        gdb.execute(f"add-symbol-file {copy} {text:#x} {rest}",
                    to_string=True)
        say(f"module {name} is at {text:#x}, symbols from {file.name}")

    def load(self, quiet=False):
        number = gdb.selected_inferior().num
        seen = self.loaded.setdefault(number, set())
        for module in self._list():
            name = module["name"].string()
            if (name, int(module)) not in seen:
                seen.add((name, int(module)))
                self._load_one(name, module, quiet)
        self.first[number] = int(gdb.parse_and_eval("modules.next"))

    def on_stop(self, _event):
        """One read when nothing has changed."""
        try:
            first = int(gdb.parse_and_eval("modules.next"))
            if first != self.first.get(gdb.selected_inferior().num):
                self.load(quiet=True)
        except gdb.error:
            pass                # no symbols, or too early in the boot


MODULES = Modules()


def check_symbols(vmlinux):
    """Say so if the guest's kernel is another one than @vmlinux."""
    try:
        # By its address: gdb may take a declaration for it, which has no size.
        banner = gdb.parse_and_eval("(const char *)&linux_banner")
        banner = banner.string("latin-1")
        data = pathlib.Path(vmlinux).read_bytes()
    except (gdb.error, OSError):
        return                  # too early in the boot, or no such symbol
    if not banner.startswith("Linux version ") or \
            banner.encode("latin-1") not in data:
        say(f"warning: {vmlinux} does not belong to the guest's kernel, or "
            "that has not started yet: what symbols tell is wrong\n"
            f"  expected: {data_banner(data)}\n"
            f"  got:      {banner.strip()!r}\n"
            "  to do:    pbkvm gdb --symbols THE-GUEST'S-VMLINUX")


def data_banner(data):
    """The kernel's version in a vmlinux."""
    start = data.find(b"Linux version ")
    return repr(data[start:data.find(b"\n", start)].decode("latin-1"))


def attach_backup(vmlinux):
    """Process 2 becomes inferior 2, which is selected."""
    words = f"-exec {vmlinux}" if vmlinux else ""
    gdb.execute(f"add-inferior {words}", to_string=True)
    gdb.execute("inferior 2", to_string=True)
    gdb.execute(f"attach {BACKUP}", to_string=True)


def attach(target, backup):
    """Connect to QEMU and select one of the two; gdb.error if it fails."""
    vmlinux = gdb.current_progspace().filename
    if vmlinux:
        folder = os.path.dirname(vmlinux)
        for sources in (folder, os.path.join(folder, "linux")):
            if os.path.isdir(sources):
                gdb.execute(f"directory {sources}", to_string=True)
    gdb.execute(f"target extended-remote {target}", to_string=True)
    if backup:
        attach_backup(vmlinux)
        select_cpu()
    if vmlinux:
        check_symbols(vmlinux)
    try:
        MODULES.load()
    except gdb.error as error:
        if vmlinux:
            say(f"the guest's modules cannot be read here: {error}")
    gdb.prompt_hook = prompt
    gdb.events.stop.connect(MODULES.on_stop)


def select_cpu():
    """The thread of the Backup's CPU that goes on; gdb takes the first."""
    told = gdb.execute("monitor info pbkvm", to_string=True)
    found = re.search(r"in the Backup CPU (\d+) goes on", told)
    if found:
        number = gdb.selected_inferior().num
        gdb.execute(f"thread {number}.{int(found.group(1)) + 1}",
                    to_string=True)


def where():
    """Say what is debugged, and where it stands."""
    gdb.execute("frame", to_string=True)
    place = gdb.execute("info symbol $pc", to_string=True)
    place = place.split(" in section")[0].strip()
    pc = int(gdb.parse_and_eval("(unsigned long)$pc"))
    if side() == "Backup":
        say("this is the BACKUP: the guest's past, frozen. continue runs "
            "what happened, up to the panic")
    else:
        say("this is the PRIMARY: the guest itself, stopped while gdb "
            "looks at it")
    say(f"it stands at {pc:#x}, {place}")


class Attach(gdb.Command):
    """pb-attach TARGET [primary]: attach to QEMU's Backup, or its Primary."""

    def __init__(self):
        super().__init__("pb-attach", gdb.COMMAND_RUNNING)

    def invoke(self, argument, from_tty):
        words = gdb.string_to_argv(argument)
        if not words or words[1:] not in ([], ["primary"]):
            raise gdb.GdbError("pb-attach: expected TARGET [primary]")
        attach(words[0], not words[1:])
        where()


class LoadModules(gdb.Command):
    """pb-modules: load the symbols of the guest's modules."""

    def __init__(self):
        super().__init__("pb-modules", gdb.COMMAND_FILES)

    def invoke(self, argument, from_tty):
        MODULES.load()


class Where(gdb.Command):
    """pb-where: is this the Primary or the Backup, and where does it stand?"""

    def __init__(self):
        super().__init__("pb-where", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        where()


def monitor(command, done):
    """What QEMU's monitor says to COMMAND; it must have DONE in it."""
    told = gdb.execute(f"monitor {command}", to_string=True).strip()
    if done not in told:
        raise gdb.GdbError(told)
    return told


def forget():
    """gdb does not know that a command of the monitor's changes all."""
    gdb.execute("maintenance flush register-cache", to_string=True)
    gdb.execute("maintenance flush dcache", to_string=True)


def look_again():
    MODULES.on_stop(None)
    where()


class RunTo(gdb.Command):
    """pb-run-to live|panic|EVENT: take the Backup there, forth or back."""

    def __init__(self):
        super().__init__("pb-run-to", gdb.COMMAND_RUNNING)

    def invoke(self, argument, from_tty):
        if side() != "Backup":
            raise gdb.GdbError("pb-run-to: expected the Backup to be selected "
                               "(inferior 2)")
        say(monitor(f"pbkvm_run_to {argument}", ": event "))
        forget()
        select_cpu()
        look_again()


class Live(gdb.Command):
    """pb-live [EVENT]: put the Primary where the Backup stands, or to the live
    point behind EVENT (monitor info pbkvm); continue has it live on."""

    def __init__(self):
        super().__init__("pb-live", gdb.COMMAND_RUNNING)

    def invoke(self, argument, from_tty):
        told = monitor(f"pbkvm_go_live {argument}", "stands behind event")
        say(told.split(";")[0])
        # First: who looks at the new Backup freezes it.
        gdb.execute("inferior 1", to_string=True)
        forget()
        look_again()


def give_up(target, backup, error):
    """End gdb: without what was asked for it would only confuse."""
    say(f"error: cannot attach to the {'Backup' if backup else 'Primary'}\n"
        f"  expected: it as process {BACKUP if backup else PRIMARY} of the "
        f"gdb server at {target}\n"
        f"  got:      {error}\n"
        "  to do:    " + ("pbkvm status shows what the Backup does; pbkvm "
                          "gdb --primary attaches to the other"
                          if backup else "check that QEMU runs, and that no "
                          "other gdb is attached"))
    gdb.execute("set confirm off")
    gdb.execute(f"quit {NOT_OFFERED}")


def selected_first():
    """Have the kernel's commands look at the selected inferior.

    lx-dmesg and others read gdb.inferiors()[0], which with gdb 13 is the one
    made last and with gdb 16 the one made first: the Primary, also while the
    Backup is looked at.
    """
    all_of_them = gdb.inferiors

    def inferiors():
        chosen = gdb.selected_inferior()
        return (chosen, *(i for i in all_of_them() if i.num != chosen.num))

    gdb.inferiors = inferiors


def main():
    selected_first()
    Attach()
    LoadModules()
    Where()
    RunTo()
    Live()
    target = os.environ.get("PBKVM_GDB_TARGET")
    if not target:
        return
    backup = os.environ.get("PBKVM_GDB_SIDE") != "primary"
    vmlinux = os.environ.get("PBKVM_GDB_SYMBOLS")
    try:
        if vmlinux and not gdb.current_progspace().filename:
            gdb.execute(f"file {vmlinux}", to_string=True)
        attach(target, backup)
        where()
    except gdb.error as error:
        give_up(target, backup, error)


main()
