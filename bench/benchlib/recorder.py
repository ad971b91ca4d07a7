# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the native program that gives the recorder a boot's events again."""

import collections
import subprocess

from benchlib import history
from benchlib.machine import BUILD, Failure

PROGRAM = BUILD / "native" / "bench" / "core" / "record-bench"
PATIENCE = 300


def run(*options):
    """({kind: how many in the history}, {kind: [(ns, instructions)]})."""
    got = subprocess.run([PROGRAM, history.BOOT, history.STATE, *options],
                         stdout=subprocess.PIPE, text=True, check=False,
                         timeout=PATIENCE)
    mix, found = {}, collections.defaultdict(list)
    for text in got.stdout.splitlines():
        name, *values = text.split()
        if name == "error:":
            raise Failure(text.removeprefix("error: "))
        if name == "mix":
            mix[values[0]] = int(values[1])
        else:
            found[name].append(tuple(map(float, values)))
    if got.returncode:
        raise Failure(f"{PROGRAM.name} ended with {got.returncode}")
    return mix, found


def batches(*options):
    """The same with ns alone."""
    mix, found = run(*options)
    return mix, {name: [ns for ns, _ in each] for name, each in found.items()}
