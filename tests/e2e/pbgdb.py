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
# Of a guest with 64 bits, whose kernel has no symbols.
ATTACH_64 = """
set pagination off
set confirm off
set architecture i386:x86-64
target extended-remote {gdb}
add-inferior
inferior 2
attach 2
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
# So many instructions forth and back.
STEPS = 12
FORTH_AND_BACK = """
define place
  printf "%#x %#x %#x %#x %#x\\n", $pc, $esp, $eax, $ecx, $eflags
end
printf "\\n=start "
place
""" + "stepi\nprintf \"\\n=step \"\nplace\n" * STEPS + \
    "reverse-stepi\nprintf \"\\n=back \"\nplace\n" * STEPS + """
hbreak sysrq_handle_crash
continue
printf "\\n=there "
place
delete
continue
printf "\\n=panic "
place
watch jiffies_64
reverse-continue
reverse-continue
printf "\\n=old %d\\n", (int)jiffies_64
continue
continue
printf "\\n=new %d\\n", (int)jiffies_64
delete
continue
hbreak sysrq_handle_crash
reverse-continue
printf "\\n=again "
place
delete
continue
reverse-stepi
stepi
printf "\\n=beside "
place
reverse-continue
printf "\\n=begin "
place
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
    return run_gdb(log, ATTACH.format(vmlinux=vm.vmlinux, gdb=vm.gdb) +
                   commands + LEAVE)


def on_the_primary(vm, log, commands):
    """What gdb says to COMMANDS, attached to the Primary, which it stops."""
    return run_gdb(log, PRIMARY.format(vmlinux=vm.vmlinux, gdb=vm.gdb) +
                   commands + LEAVE)


def said(text, mark):
    """The address behind =MARK."""
    found = re.search(rf"^={mark} (0x[0-9a-f]+)", text, re.MULTILINE)
    expect(found, f"gdb did not get to {mark!r}: {text[-1500:]}")
    return int(found.group(1), 16)


def registers(text):
    """Those of gdb's `info registers`."""
    return {k: int(v, 16) for k, v in
            re.findall(r"^(e[a-z]{2}|r[a-z0-9]{1,2}) +(0x[0-9a-f]+)", text,
                       re.MULTILINE)}


def cpu_registers(vm, cpu):
    """Those the monitor shows of CPU."""
    text = vm.qmp("human-monitor-command",
                  **{"command-line": "info registers", "cpu-index": cpu})
    return {k.lower(): int(v, 16)
            for k, v in re.findall(r"(E[A-Z]{2}|R[A-Z0-9]{1,2}) *="
                                   r"([0-9a-f]{8,16})\b", text)}


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


def places_of(text):
    """{name: [what is behind =NAME, ...]} of gdb's words."""
    places = {}
    for name, place in re.findall(r"^=(\w+) (.*)$", text, re.MULTILINE):
        places.setdefault(name, []).append(place)
    return places


def stepped(places):
    """Those that were stepped through forth; and back through all of them."""
    forth = places["start"] + places["step"]
    expect(places["back"] == forth[-2::-1],
           f"forth {forth}, back {places['back']}")
    return forth


def forth_and_back(vm, log):
    """From before the panic there and back: by single instructions, to a
    breakpoint, to what wrote a variable, to the beginning."""
    text = on_the_backup(vm, log, FORTH_AND_BACK)
    places = places_of(text)
    forth = stepped(places)
    expect(len(forth) == STEPS + 1, f"forth {forth}")
    expect(places["again"] == places["there"], f"the breakpoint: {places}")
    expect(places["begin"] == places["start"], f"the beginning: {places}")
    expect(places["beside"] == places["panic"], f"the panic: {places}")
    expect(int(places["new"][0]) == int(places["old"][0]) + 2,
           f"the clock's ticks: {places['old']}, {places['new']}")
    return f"{STEPS} instructions, a breakpoint, two ticks of the clock"
