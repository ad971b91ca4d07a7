# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the native program that gives the recorder a boot's events again."""

import collections
import subprocess

from benchlib import callgrind, history
from benchlib.machine import BUILD, OUT, Failure

PROGRAM = BUILD / "native" / "bench" / "core" / "record-bench"
PATIENCE = 300
ROUNDS = "20"                     # what is decoded once hardly counts

Batch = collections.namedtuple("Batch", "ns instructions each")


def parse(program):
    """({kind: how many in the history}, {kind: [Batch]})."""
    mix, found = {}, collections.defaultdict(list)
    for text in program.stdout.splitlines():
        name, *values = text.split()
        if name == "error:":
            raise Failure(text.removeprefix("error: "))
        if name == "mix":
            mix[values[0]] = int(values[1])
        else:
            found[name].append(Batch(*map(float, values)))
    if program.returncode:
        raise Failure(f"{PROGRAM.name} ended with {program.returncode}")
    return mix, found


def run(*options):
    got = subprocess.run([PROGRAM, history.BOOT, history.STATE, *options],
                         stdout=subprocess.PIPE, text=True, check=False,
                         timeout=PATIENCE)
    return parse(got)


def batches(*options):
    """The same with ns alone."""
    mix, found = run(*options)
    return mix, {name: [one.ns for one in each]
                 for name, each in found.items()}


def count(what):
    """Instructions for each WHAT, in all and {function: its own}; callgrind
    runs them."""
    got, spent = callgrind.run(
        [PROGRAM, history.BOOT, history.STATE, "--only", what,
         "--rounds", ROUNDS], "stream_play", OUT / f"record-{what}.callgrind")
    each = sum(one.each for one in parse(got)[1][what])
    return (sum(spent.values()) / each,
            {name: own / each for name, own in spent.items()})
