# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts instructions by function: the same count in each run, however busy
the machine is."""

import collections
import re
import subprocess

from benchlib.machine import TOP, Failure

PATIENCE = 600


def have():
    """Whether there is a valgrind; it is installed when first needed."""
    return subprocess.run([TOP / "scripts" / "pb-need", "valgrind"],
                          stdout=subprocess.DEVNULL,
                          check=False).returncode == 0


def own_costs(file):
    """{function: instructions of its own}, from what callgrind wrote."""
    names, costs = {}, collections.Counter()
    function = None
    called = False            # the line after calls= is not the function's own
    for line in file.read_text().splitlines():
        if found := re.match(r"c?fn=\((\d+)\)(?: (.*))?", line):
            if found[2]:
                names[found[1]] = found[2]
            if line.startswith("fn="):
                function = names[found[1]]
        elif line.startswith("calls="):
            called = True
        elif re.match(r"[+*\d-]", line):
            if not called:
                costs[function] += int(line.split()[1])
            called = False
    return costs


def run(command, within, file):
    """COMMAND's end, and own_costs() while the function WITHIN runs."""
    file.parent.mkdir(parents=True, exist_ok=True)
    got = subprocess.run(
        ["valgrind", "-q", "--tool=callgrind", f"--toggle-collect={within}",
         f"--callgrind-out-file={file}", *command],
        stdout=subprocess.PIPE, text=True, check=False, timeout=PATIENCE)
    if not file.exists():
        raise Failure(f"callgrind left no {file}")
    return got, own_costs(file)
