# SPDX-License-Identifier: GPL-2.0-or-later
"""pbkvm doctor: what this computer can do, what it lacks, how to mend it."""

import os
import pathlib
import shutil
import subprocess
import textwrap

from pbkvmlib import places
from pbkvmlib.errors import FAILED, OK, PbError

WORDS = {"ok": "ok  ", "FAIL": "FAIL", "warn": "warn"}
COLOURS = {"ok": "32", "FAIL": "31", "warn": "33"}
MERGE = pathlib.Path("/sys/kernel/mm/ksm/run")
NEED_MIB = 2300     # the lab's 1536 and what surrounds it


class Report:
    """Prints findings, one requirement each."""

    def __init__(self, colour):
        self.colour = colour

    def __call__(self, word, what, text, mend=""):
        shown = WORDS[word]
        if self.colour:
            shown = f"\033[{COLOURS[word]}m{shown}\033[0m"
        width = max(40, shutil.get_terminal_size((80, 24)).columns) - 19
        lines = textwrap.wrap(text, width, break_on_hyphens=False,
                              break_long_words=False) or [""]
        print(f"{shown}  {what:<12} {lines[0]}")
        for line in lines[1:]:
            print(" " * 19 + line)
        if mend:
            print(" " * 19 + "to mend: " + mend)
        return word != "FAIL"


def merging(report, run=MERGE):
    """Whether Linux lets Primary and Backup share equal pages."""
    try:
        state = run.read_text().strip()
    except OSError:
        return report("warn", "equal pages", "this Linux cannot merge equal "
                      "pages: the Backup takes as much RAM as its Primary")
    if state == "1":
        return report("ok", "equal pages", "Linux merges them: a Backup takes "
                      "little RAM of its own")
    return report("warn", "equal pages", "Linux does not merge them: a Backup "
                  "takes as much RAM as its Primary", f"echo 1 > {run}")


def host(report):
    """Requirements of the host's own KVM; pbkvm-check knows them."""
    if not places.CHECK.exists():
        return report("FAIL", "pbkvm-check", "not built", "make native")
    try:
        done = subprocess.run([str(places.CHECK)], capture_output=True,
                              text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return report("FAIL", "pbkvm-check", str(error), "make native")
    for line in done.stdout.splitlines():
        word, _, rest = line.partition(" ")
        if word in WORDS:
            rest = rest.strip()
            # The first column may hold a space: its width tells it apart.
            report(word, rest[:10].strip(), rest[10:].strip())
    if done.returncode and "FAIL" not in done.stdout:
        report("FAIL", "pbkvm-check", (done.stderr or "it failed").strip())
    merging(report)
    return done.returncode == 0


def _one(report, path, what, mend):
    if path.exists():
        return report("ok", what, str(path.relative_to(places.TOP)))
    return report("FAIL", what, f"{path.relative_to(places.TOP)} is missing",
                  mend)


def lab(report):
    """Requirements of the lab."""
    lab_qemu = places.BUILD / "qemu" / "qemu-system-x86_64"
    good = [_one(report, lab_qemu, "lab's QEMU", "make qemu"),
            _one(report, places.BUILD / "lab" / "kernel", "lab's kernel",
                 "make lab")]
    with open("/proc/meminfo", encoding="ascii") as file:
        memory = dict(line.split(":") for line in file)
    free = int(memory["MemAvailable"].split()[0]) // 1024
    good.append(report("ok" if free >= NEED_MIB else "FAIL", "memory",
                       f"{free} MiB free, the lab needs {NEED_MIB}",
                       "" if free >= NEED_MIB else "end other programs"))
    if os.environ.get("PBKVM_IN_LAB"):
        good.append(report("FAIL", "nesting", "this is the lab already",
                           "run pbkvm outside of it"))
    return all(good)


def processors(report):
    count = len(os.sched_getaffinity(0))
    if count >= 2:
        return report("ok", "processors", f"{count}: Primary and Backup run "
                      "beside each other")
    return report("warn", "processors", "1: Primary and Backup take turns, "
                  "and the guest runs at half its speed")


def gdb_works():
    """(whether, what was found)."""
    gdb = shutil.which("gdb")
    if not gdb:
        return False, "gdb is not installed"
    done = subprocess.run(
        [gdb, "-nx", "-batch", "-ex", "python print(gdb.VERSION)"],
        capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout.strip():
        return False, f"{gdb} has no Python"
    return True, f"{gdb}, version {done.stdout.strip()}"


def common(report):
    """What both ways need."""
    good = [_one(report, places.QEMU, "QEMU", "make qemu")]
    # Not needed by who brings a kernel of their own.
    _one(report, places.GUEST / "bzImage", "guest", "make guest")
    try:
        good.append(report("ok", "sockets", str(places.runtime_dir())))
    except PbError as error:
        parts = dict(error.parts)
        good.append(report("FAIL", "sockets", parts["got"], parts["to do"]))
    processors(report)
    works, found = gdb_works()
    report("ok" if works else "warn", "gdb", found,
           "" if works else "apt-get install gdb (pbkvm gdb needs it)")
    return all(good)


def doctor(args):
    report = Report(args.colour)
    print("This host by itself:")
    on_host = host(report)
    print("\nThe lab (a virtual machine with KVM and a PMU):")
    in_lab = lab(report)
    print("\nBoth:")
    base = common(report)
    print()
    if base and on_host:
        print("pbkvm run will use this host.")
    elif base and in_lab:
        print("pbkvm run will use the lab.")
    else:
        print("pbkvm run cannot work before the above is mended.")
    usable = on_host if args.host else on_host or in_lab
    return OK if base and usable else FAILED
