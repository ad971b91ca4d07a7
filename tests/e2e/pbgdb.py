# SPDX-License-Identifier: GPL-2.0-or-later
"""A real gdb on the Backup of a pbvm.Guest: it walks into the panic."""

import re
import subprocess

from pbvm import BUILD, Failure

VMLINUX = BUILD / "guest" / "vmlinux"
PATIENCE = 90
PRIMARY = """
set pagination off
set confirm off
set architecture i386
file {vmlinux}
target extended-remote {gdb}
"""
ATTACH = PRIMARY + """
add-inferior
inferior 2
file {vmlinux}
attach 2
echo \\n=attached\\n
info threads
printf "=before %#x %#x\\n", $pc, $ecx
"""
INTO_THE_PANIC = """
stepi
printf "=stepped %#x %#x\\n", $pc, $ecx
hbreak panic
continue
printf "=panic %#x\\n", $pc
backtrace 3
delete
continue
printf "=end %#x\\n", $pc
info registers
"""
LEAVE = """
detach
quit
"""


def expect(condition, what):
    if not condition:
        raise Failure(what)


def run_gdb(log, script, *words):
    """gdb's output for the SCRIPT; kept in LOG."""
    path = log / "gdb-script"
    path.write_text(script)
    try:
        done = subprocess.run(
            ["gdb", "-q", "-nx", "-batch", *words, "-x", path],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired as late:
        (log / "gdb.log").write_bytes((late.stdout or b"") +
                                      (late.stderr or b""))
        raise Failure(f"gdb did not end in {PATIENCE} s: see "
                      f"{log / 'gdb.log'}") from None
    (log / "gdb.log").write_text(done.stdout + done.stderr)
    return done.stdout + done.stderr


def on_the_backup(vm, log, commands):
    """What gdb says to COMMANDS, attached to the Backup."""
    return run_gdb(log, ATTACH.format(vmlinux=VMLINUX, gdb=vm.gdb) +
                   commands + LEAVE)


def on_the_primary(vm, log, commands):
    """What gdb says to COMMANDS, attached to the Primary, which it stops."""
    return run_gdb(log, PRIMARY.format(vmlinux=VMLINUX, gdb=vm.gdb) +
                   commands + LEAVE)


def said(text, mark):
    """The address behind =MARK."""
    found = re.search(rf"^={mark} (0x[0-9a-f]+)", text, re.MULTILINE)
    expect(found, f"gdb did not get to {mark!r}: {text[-1500:]}")
    return int(found.group(1), 16)


def registers(text):
    """Those of gdb's `info registers`."""
    return {k: int(v, 16) for k, v in
            re.findall(r"^(e[a-z]{2}) +(0x[0-9a-f]+)", text, re.MULTILINE)}


def cpu_registers(vm, cpu):
    """Those the monitor shows of CPU."""
    text = vm.qmp("human-monitor-command",
                  **{"command-line": "info registers", "cpu-index": cpu})
    return {k.lower(): int(v, 16)
            for k, v in re.findall(r"(E[A-Z]{2})=([0-9a-f]{8})", text)}


def compare(mine, theirs):
    different = {k: (hex(v), hex(theirs[k])) for k, v in mine.items()
                 if k in theirs and theirs[k] != v}
    expect(mine and not different,
           f"registers at the panic (Backup, Primary): {different}")


def into_the_panic(vm, log):
    """Walk there; gdb's words, and where panic() is."""
    text = on_the_backup(vm, log, INTO_THE_PANIC)
    panic = said(text, "panic")
    # A step of a REP leaves the pc where it was and counts ECX down.
    places = re.findall(r"^=(?:before|stepped) (.*)", text, re.MULTILINE)
    expect(len(set(places)) == 2, f"stepi did not move: {places}")
    expect("sysrq_handle_crash" in text, "no backtrace into the panic")
    expect("SIGABRT" in text.split("=panic")[1],
           "continuing did not end at the panic")
    said(text, "end")
    return text, panic
