# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo's gdb script: who wrote the pointer that the panic followed?

    pbkvm gdb --script scripts/demo-gdb.py          leaves you at the write
    pbkvm gdb --script scripts/demo-gdb.py --batch  goes on to the panic, and
                                                    has the guest live on
                                                    without that write

Looks at the panicked Primary for the bad pointer, puts a hardware watchpoint
on it in the Backup, which is still before it all, and continues there until
somebody writes what the panic found. What it does is what you would type
(docs/tutorial.md); each command is shown.

PBKVM_DEMO_RESULT names a file for the findings, as JSON.
"""

import json
import os

import gdb

SESSION = "(struct pb_session *)pb_sessions.next"
COLOUR = os.environ.get("PBKVM_DEMO_COLOUR") == "1"
CONTEXT = 3         # lines of source before and after
WRITES = 20         # at most, before it is given up
RETURN = 0xc3       # x86's RET


def paint(code, text):
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


# Named unlike what pbkvm-gdb.py has: gdb's scripts share one namespace.
def tell(text):
    gdb.write(paint("1;36", f"\n{text}\n"))
    gdb.flush()


def do(command, quiet=False):
    """Show a command as though typed, and do it."""
    gdb.write(paint("1", f"(gdb) {command}\n"))
    gdb.flush()
    text = gdb.execute(command, to_string=True)
    if not quiet:
        gdb.write(text)
    gdb.flush()
    return text


class Stops:
    """Why the last continue ended."""

    def __init__(self):
        self.last = None
        gdb.events.stop.connect(self.on_stop)

    def on_stop(self, event):
        self.last = event

    def hit(self, breakpoint):
        """Was it that breakpoint?"""
        return isinstance(self.last, gdb.BreakpointEvent) and \
            breakpoint in self.last.breakpoints


def primary_alone():
    return gdb.selected_inferior().pid == 1


def bad_pointer():
    """(address, value) of what the panic followed, from the Primary."""
    if primary_alone():
        # No Backup (to try this script): the session has to be good yet.
        return int(gdb.parse_and_eval(f"&({SESSION})->ops")), None
    tell("The panicked Primary: what the crash dump would have.")
    do("inferior 1", quiet=True)
    MODULES.load(quiet=True)            # from pbkvm-gdb.py
    do("backtrace -frame-arguments none")
    do(f"print *({SESSION})")
    address = int(gdb.parse_and_eval(f"&({SESSION})->ops"))
    value = int(gdb.parse_and_eval(f"({SESSION})->ops"))
    gdb.write(f"ops is {value:#x}: a pointer to nowhere. Nothing here tells "
              "who wrote it.\n")
    do("inferior 2", quiet=True)
    return address, value


def before(pc):
    """Address of the instruction that ends at @pc, as text and number."""
    start = gdb.block_for_pc(pc - 1)
    while start.function is None:
        start = start.superblock
    code = gdb.selected_frame().architecture().disassemble(start.start, pc)
    for insn in code:
        if insn["addr"] + insn["length"] == pc:
            return insn["addr"], insn["asm"]
    # A string instruction: pc stays on it until its last round.
    return code[-1]["addr"], code[-1]["asm"]


def show_source(place):
    """The lines around @place, its own marked."""
    try:
        with open(place.symtab.fullname(), encoding="utf-8") as file:
            lines = file.read().splitlines()
    except OSError as error:
        gdb.write(f"(no source: {error})\n")
        return ""
    for number in range(max(1, place.line - CONTEXT),
                        min(len(lines), place.line + CONTEXT) + 1):
        text = f"{number:5} {lines[number - 1]}"
        gdb.write(paint("1;31", f"==>{text}\n") if number == place.line
                  else f"   {text}\n")
    return lines[place.line - 1].strip()


def guilty():
    """What is known about the write just made, as a dict."""
    pc = int(gdb.parse_and_eval("(unsigned long)$pc"))
    address, insn = before(pc)
    place = gdb.find_pc_line(address)
    function = gdb.block_for_pc(address)
    while function.function is None:
        function = function.superblock
    tell(f"The guilty instruction, at {address:#x} in {function.function}:")
    gdb.write(f"   {insn}\n\n")
    return {"address": address, "instruction": insn,
            "function": str(function.function),
            "file": os.path.basename(place.symtab.filename),
            "line": place.line, "source": show_source(place)}


def find_write(stops, address, bad):
    """Continue until @address holds @bad; or None if it never does."""
    expression = f"*(unsigned int *){address:#x}"
    do(f"watch {expression}")
    watch = gdb.breakpoints()[-1]
    if watch.type != gdb.BP_HARDWARE_WATCHPOINT:
        raise gdb.GdbError("demo: gdb did not make that a hardware "
                           "watchpoint; expected one of the four to be free")
    for _ in range(WRITES):
        do("continue")
        if not stops.hit(watch):
            return None
        value = int(gdb.parse_and_eval(expression))
        if bad is None or value == bad:
            watch.delete()
            return value
        gdb.write(f"It now holds {value:#x}, not yet what the panic found: "
                  "on.\n")
    return None


def to_the_panic(stops):
    """The Backup goes on to where the Primary ended."""
    tell("And on, into the panic itself:")
    if primary_alone():
        do("hbreak panic")
    do("continue")
    do("backtrace -frame-arguments none")
    return type(stops.last).__name__


def live_again(stops, address, found):
    """Back to the last live point before the write, without which the Primary
    lives on from there."""
    tell("And without that write? From the panic back to it, and to the last "
         "moment before\nthat of which the devices are known:")
    do(f"watch *(unsigned int *){address:#x}")
    do("reverse-continue")
    if not isinstance(stops.last, gdb.BreakpointEvent):
        raise gdb.GdbError("demo: error: there is no way back to the write")
    do("delete")
    do("pb-run-to live")
    tell("There the callback is made to return at once, and that is what the "
         "guest becomes:")
    do(f"set variable *(unsigned char *){found['function']} = {RETURN:#x}")
    do("pb-live")


def demo():
    stops = Stops()
    address, bad = bad_pointer()
    if not primary_alone():
        tell("The Backup, in the past: the same pointer is still good.")
        do("pb-where")
    do(f"print/x *(unsigned int *){address:#x}")
    tell("Who will write it? A hardware watchpoint, and on we go.")
    value = find_write(stops, address, bad)
    if value is None:
        raise gdb.GdbError("demo: error: nobody wrote the bad pointer\n"
                           "  expected: a write before the panic\n"
                           "  got:      the Backup was behind it already\n"
                           "  to do:    start again with a longer lag")
    found = guilty()
    found["value"] = value
    tell("It is called by a timer, which was never stopped; what it takes for "
        "its request\nwas freed, and is a session by now:")
    do("backtrace 4")
    do("print pb_pending")
    do(f"print ({SESSION})")
    if os.environ.get("PBKVM_DEMO_STAY") != "1":
        found["end"] = to_the_panic(stops)
        if not primary_alone():
            live_again(stops, address, found)
    if os.environ.get("PBKVM_DEMO_RESULT"):
        with open(os.environ["PBKVM_DEMO_RESULT"], "w",
                  encoding="utf-8") as file:
            json.dump(found, file)
    tell(f"Found: {found['function']}, {found['file']}:{found['line']}: "
        f"{found['source']}")


demo()
