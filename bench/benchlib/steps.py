# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that do the same for ever, and what a thread of QEMU executes for
them, instruction by instruction.

    trace = record("exits", "kvm,kernel-irqchip=off", ["CPU 0/KVM"])
    for burst in trace.threads["CPU 0/KVM"]:
        for run in burst:                         # from a KVM_RUN to the next
            print(run.reason, len(run.steps))
"""

import bisect
import collections
import pathlib
import re
import subprocess

from benchlib.machine import BUILD, OUT, PC, TOP, Failure, host_can

LIBRARY = BUILD / "native" / "bench" / "core" / "exit-steps.so"
QEMU = BUILD / "qemu" / "qemu-system-i386"
PATIENCE = 300
SIZE = 65536
SKIP = 60                         # exits at full speed before each burst
CALL_MOST = 7                     # bytes of a call instruction
IOCTL, KVM_RUN = 16, 0xAE80
# These guests do not set a local APIC up, as a BIOS does for the PIC.
CPU = PC[:2]
CALLS = {0: "read", 1: "write", 7: "poll", 35: "nanosleep", 202: "futex",
         228: "clock_gettime", 230: "clock_nanosleep", 271: "ppoll"}
IOCTLS = {KVM_RUN: "KVM_RUN", 0xAE81: "GET_REGS", 0xAE82: "SET_REGS",
          0xAE83: "GET_SREGS", 0xAE84: "SET_SREGS", 0xAE86: "INTERRUPT",
          0xAE9B: "SET_GUEST_DEBUG", 0xAE9F: "GET_EVENTS",
          0xAEA0: "SET_EVENTS", 0x2400: "PERF_ENABLE", 0x2401: "PERF_DISABLE",
          0x2402: "PERF_REFRESH", 0x2403: "PERF_RESET", 0x2404: "PERF_PERIOD"}

TIMER = """
    31 c0  8e d8  8e d0  xor ax, ax; mov ds, ax; mov ss, ax
    bc 00 70             mov sp, 7000
    c7 06 20 00 60 00    mov word [20], 60       ; vector 8: the handler
    c7 06 22 00 00 f0    mov word [22], f000
    b0 11  e6 20         mov al, 11; out 20, al  ; the PIC: four words,
    b0 08  e6 21         mov al, 8; out 21, al
    b0 04  e6 21         mov al, 4; out 21, al
    b0 01  e6 21         mov al, 1; out 21, al
    b0 fe  e6 21         mov al, fe; out 21, al  ; and all masked but IRQ 0
    b0 34  e6 43         mov al, 34; out 43, al  ; the PIT: 1193 ticks,
    b0 a9  e6 40         mov al, a9; out 40, al  ; a thousand times a second
    b0 04  e6 40         mov al, 4; out 40, al
    e6 ee                out ee, al
"""
HANDLER = """
    @60
    b0 20  e6 20         mov al, 20; out 20, al  ; end of interrupt
    cf                   iret
"""

# 16-bit code at F000:0000, where the reset vector jumps to. Port EE tells that
# the guest is ready. Loops end in a conditional branch, as most do.
GUESTS = {
    # Interrupts are masked, and the PIT stands: else it would kick the vCPU.
    "exits": """
    b0 ff  e6 21         mov al, ff; out 21, al
    b0 30  e6 43         mov al, 30; out 43, al
    2e 0f 01 16 40 00    lgdt cs:[40]
    0f 20 c0  0c 01      mov eax, cr0; or al, 1
    0f 22 c0             mov cr0, eax
    bb 08 00  8e db      mov bx, 8; mov ds, bx   ; DS reaches all 4 GiB
    24 fe  0f 22 c0      and al, fe; mov cr0, eax
    ba f8 03             mov dx, 3f8
    e6 ee                out ee, al
    e4 21                in al, 21               ; the PIC's mask
    e6 80                out 80, al
    ee                   out dx, al              ; a character
    67 a0 00 00 c0 fe    mov al, [fec00000]      ; the I/O APIC
    f8  73 f2            clc; jnc -e
    @40
    0f 00 50 00 0f 00    GDT: limit and base
    @50
    00 00 00 00 00 00 00 00
    ff ff 00 00 00 93 cf 00
""",
    "timer": TIMER + """
    fb  f4               sti; hlt
    f8  73 fb            clc; jnc -5
""" + HANDLER,
    # Longer than the Backup's way from its sampler's stop to its target.
    "busy": TIMER + """
    fb                   sti
    e9 c5 00             jmp 100
""" + HANDLER + "    @100" + """
    f8  73 00            clc; jnc 0""" * 256 + """
    e9 fd fc             jmp 100
""",
}
BYTES = re.compile(r"([0-9a-f]{2}( {1,2}|$))*")
RESET = bytes.fromhex("ea 00 00 00 f0")       # at FFF0: jmp f000:0000


def image(text):
    """A BIOS of lines of bytes, each with its assembly behind it."""
    code = bytearray()
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("@"):
            code += bytes(int(line[1:], 16) - len(code))
        else:
            code += bytes.fromhex(BYTES.match(line)[0])
    code += bytes(SIZE - 16 - len(code)) + RESET
    return bytes(code + bytes(SIZE - len(code)))


Step = collections.namedtuple("Step", "rip call request")
# From a KVM_RUN that ended for REASON (port PORT) to the next.
Run = collections.namedtuple("Run", "reason port steps")


class Trace:
    """What exit-steps wrote: {thread: [[Run]]}, of bursts."""

    def __init__(self, path):
        self.threads, self.maps = {}, []
        self.symbols = {}             # of a file: sorted [(start, end, name)]
        self.names = {}               # (function, whether its entry) of a RIP
        for line in path.read_text().splitlines():
            kind, _, rest = line.partition(" ")
            if kind == "thread":
                bursts = self.threads[rest] = []
            elif kind == "burst":
                bursts.append([])
            elif kind == "run":
                bursts[-1].append(self._run(rest))
            else:
                start, end, offset, *file = rest.split(" ", 3)
                self.maps.append((int(start, 16), int(end, 16),
                                  int(offset, 16), "".join(file)))

    @staticmethod
    def _run(text):
        reason, port, *words = text.split()
        steps, rip = [], 0
        for word in words:
            away, *call = word.split(":")
            rip += int(away)
            steps.append(Step(rip, *(map(int, call) if call
                                     else (None, None))))
        return Run(int(reason), int(port), steps)

    def function(self, step):
        """Its name, and whether STEP is its first instruction."""
        if step.rip not in self.names:
            self.names[step.rip] = self._look_up(step.rip)
        return self.names[step.rip]

    def split(self, steps, functions):
        """STEPS outside calls of FUNCTIONS, and a list of those in each call
        that ended. The caller goes on right behind the call."""
        left, calls, inside, last = [], [], None, 0
        for step in steps:
            if inside and 0 < step.rip - inside[0].rip <= CALL_MOST:
                calls.append(inside[1:])
                inside = None
            if inside is None:
                name, entered = self.function(step)
                if entered and name in functions:
                    inside = [last]
            (left if inside is None else inside).append(step)
            last = step
        return left, calls

    def _look_up(self, rip):
        for start, end, offset, file in self.maps:
            if start <= rip < end:
                break
        else:
            return "?", False
        short = pathlib.Path(file).name.split(".so")[0]
        if file not in self.symbols:
            self.symbols[file] = symbols(file)
        at = rip - start + offset
        table = self.symbols[file]
        found = bisect.bisect(table, (at, float("inf"))) - 1
        if found >= 0 and at < table[found][1]:
            return table[found][2], at == table[found][0]
        return short, False


def symbols(file):
    """Functions of an ELF file by their place in it; none of the vDSO's."""
    if not file.startswith("/"):
        return []
    found = {}
    shift = text_shift(file)
    for option in ("-D", "-a"):
        got = subprocess.run(["nm", "-S", option, file], text=True,
                             capture_output=True, check=False)
        for line in got.stdout.splitlines():
            words = line.split()
            if len(words) == 4 and words[2] in "tTwWiu":
                start = int(words[0], 16) - shift
                name = re.split(r"[.@]", words[3])[0]
                found[start] = (start, start + int(words[1], 16), name)
    return sorted(found.values())


def text_shift(file):
    """Address less place in the file, of its executable part."""
    got = subprocess.run(["readelf", "-lW", file], text=True,
                         capture_output=True, check=False)
    for line in got.stdout.splitlines():
        words = line.split()
        if words[:1] == ["LOAD"] and "E" in words[6:-1]:
            return int(words[2], 16) - int(words[1], 16)
    return 0


def call_name(step):
    if step.call == IOCTL:
        number = step.request & 0xFFFF
        return IOCTLS.get(number, f"ioctl {number:#x}")
    return CALLS.get(step.call, f"call {step.call}")


def record(guest, accel, threads, bursts=20, length=1):
    """Each of THREADS in turn: BURSTS times LENGTH exits."""
    out = OUT / "exits"
    out.mkdir(parents=True, exist_ok=True)
    bios, file = out / f"{guest}.bin", out / "steps"
    bios.write_bytes(image(GUESTS[guest]))
    file.unlink(missing_ok=True)
    command = [
        "env", f"LD_PRELOAD={LIBRARY}", f"PB_STEPS_FILE={file}",
        f"PB_STEPS_THREADS={','.join(threads)}", f"PB_STEPS_SKIP={SKIP}",
        f"PB_STEPS_BURSTS={bursts}", f"PB_STEPS_LENGTH={length}",
        QEMU, "-accel", accel, "-m", "16", "-bios", bios, "-nodefaults",
        "-display", "none", "-vga", "none", "-nic", "none", "-serial", "null",
        "-name", "debug-threads=on",
        *(PC if accel.startswith("kvm") else CPU)]
    if not host_can():
        command = [TOP / "lab" / "run", "--", *command]
    try:
        got = subprocess.run(list(map(str, command)), text=True, check=False,
                             stdin=subprocess.DEVNULL, timeout=PATIENCE,
                             capture_output=True)
    except subprocess.TimeoutExpired as late:
        raise Failure(f"{guest} under {accel}: no end in {PATIENCE} s: "
                      f"{(late.stderr or b'').decode()}") from None
    if got.returncode or not file.exists():
        raise Failure(f"{guest} under {accel}: {got.stderr.strip()}")
    return Trace(file)
