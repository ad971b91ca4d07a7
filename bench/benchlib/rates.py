# SPDX-License-Identifier: GPL-2.0-or-later
"""What an event costs by how many come in a second: the same work under plain
KVM, pbkvm alone and with a Backup; and the recorder alone, natively."""

import collections

from benchlib import history
from benchlib.figures import median, number, row
from benchlib.loads import LOADS as ALL, Load, watch_all
from benchlib.machine import OUT, Machine, need_guest
from benchlib.recorder import batches

KINDS = "plain", "alone", "backup"
# From few events a second to as many as a guest of ours makes in the lab.
LOADS = (
    ALL["compute"]._replace(title="compute"),
    Load("compute, print little",
         "i=0; while [ $i -lt 20 ]; do md5sum /bin/busybox /bin/busybox; "
         "seq 1 12 > /dev/ttyS1; i=$((i+1)); done > /dev/null"),
    ALL["compute-1000"]._replace(title="compute at 1000 Hz"),
    ALL["serial"]._replace(title="print"),
)
NATIVE = 1000, 10000, 100000
ROUNDS_S = 2                      # seconds at each of these


def one_life(kind, hz, found):
    """Add to FOUND what KIND needs for each load of this clock."""
    loads = [load for load in LOADS if load.hz == hz]
    with Machine(OUT / f"rate-{kind}", kind, hz=hz) as vm:
        vm.boot()
        for load, figures in zip(loads, watch_all(vm, loads)):
            found[load][kind].append(figures)


def middle(runs, key):
    return median([run.get(key) for run in runs])


def backup_cpu(run):
    return run["cpu_s"] * run["backup_share"] / 100


def one_rate(of):
    """OF: {kind: runs} of one load: (what the table shows, events, and the
    Primary's and the Backup's extra processor us), for each second that the
    plain machine takes."""
    plain, alone, backup = (of[kind] for kind in KINDS)
    base, cpu_s = middle(plain, "seconds"), middle(plain, "cpu_s")
    cells = []
    for runs in alone, backup:
        took = middle(runs, "seconds")
        cells += [f"{middle(runs, 'events') / took:.0f}", f"{took / base:.2f}"]
    extra = [1e6 * (middle(alone, "cpu_s") - cpu_s),
             1e6 * (median([backup_cpu(run) for run in backup]) - cpu_s)]
    cells += [f"{us / middle(runs, 'events'):.0f}"
              for us, runs in zip(extra, (alone, backup))]
    cells.append(number(middle(backup, "late_ms"), 0))
    return cells, (middle(alone, "events") / base,
                   *(us / base for us in extra))


def in_machines(runs):
    """[(events, Primary's and Backup's extra processor us) a second]"""
    clocks = sorted({load.hz for load in LOADS})
    for hz in clocks:
        need_guest(hz)
    found = collections.defaultdict(lambda: collections.defaultdict(list))
    for _ in range(runs):
        for hz in clocks:
            for kind in KINDS:
                one_life(kind, hz, found)
    row("\nrate", ["alone: /s", "x plain", "Backup: /s", "x plain",
                   "Primary us", "Backup us", "late ms"], 25, 12)
    points = []
    for load in LOADS:
        cells, point = one_rate(found[load])
        row(load.title, cells, 24, 12)
        points.append(point)
    print("  (events a second without and with a Backup; us: processor time "
          "beyond what the plain\n  machine takes for the work, by event)")
    return points


def natively():
    """What the lab's guests cannot reach: the recorder alone."""
    history.record()
    row("\nrate wanted", ["events/s", "ns/event", "% of CPU"], 25)
    whole = sum(batches("--rounds", "1")[0].values())
    for rate in NATIVE:
        found = batches("--only", "stream", "--rate", str(rate), "--rounds",
                        str(max(ROUNDS_S * rate // whole, 1)))[1]
        reached, ns = found["rate"][0], median(found["stream"])
        row(str(rate), [f"{reached:.0f}", f"{ns:.0f}",
                        f"{reached * ns / 1e7:.3f}"], 24)
    print("  (the recorder alone, a boot's events 32 at a time, natively)")
