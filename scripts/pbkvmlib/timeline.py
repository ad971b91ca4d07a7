# SPDX-License-Identifier: GPL-2.0-or-later
"""pbkvm timeline: draw what was seen of a machine, or an evidence file."""

import json
import pathlib
import stat
import sys
import time

from pbkvmlib import evidence, status, svg
from pbkvmlib.errors import FAILED, NOT_OFFERED, OK, PbError
from pbkvmlib.qmp import Gone, Qmp

FORMAT = "pbkvm-samples-1"
KEEP = ("status", "primary-time", "backup-time", "events-written",
        "events-read", "ring-used", "ring-size", "lag-now", "lag-wanted")
# The parts into which the history of an evidence file is cut, and the
# shortest: a progress mark comes every 10 ms.
PARTS, SHORTEST = 200, 0.01
# After a panic both stand still: a little of that shows it.
AFTER_PANIC = 1.0


class Sampler:
    """What is seen of a machine: samples, and marks at moments."""

    def __init__(self, name):
        self.name = name
        self.start = time.monotonic()
        self.samples = []
        self.marks = []

    def now(self):
        return round(time.monotonic() - self.start, 4)

    def mark(self, kind, text):
        self.marks.append({"t": self.now(), "kind": kind, "text": text})

    def take(self, qmp):
        """One look; True if it showed a panic."""
        state, info = status.look(qmp)
        sample = {key: info[key] for key in KEEP}
        sample.update(t=self.now(), state=state, kinds=status.kinds(info))
        before = self.samples[-1]["status"] if self.samples else None
        if before and before != info["status"]:
            kind = {"frozen": "freeze", "diverged": "diverged"}.get(
                info["status"], "thaw" if before == "frozen" else "")
            if kind:
                self.mark(kind, f"Backup {info['status']}")
        self.samples.append(sample)
        panic = False
        for event in qmp.events():
            if event["event"] == "PBKVM_PANIC":
                panic = True
                self.mark("panic", "panic (found by "
                          f"{event['data']['detected-by']})")
        return panic

    def data(self):
        return {"format": FORMAT, "machine": self.name,
                "samples": self.samples, "marks": self.marks}


def sample(args):
    """Sample the machine args name, until it is time to draw."""
    name, _, path = status.resolve(args, "qmp-timeline")
    with Qmp(path) as qmp:
        sampler = Sampler(name)
        until = args.seconds
        print("pbkvm: sampling; " + (f"{until:g} s" if until else
              "Ctrl-C, a panic or its end draws"), file=sys.stderr)
        try:
            while until is None or sampler.now() < until:
                if sampler.take(qmp):
                    end = sampler.now() + AFTER_PANIC
                    until = min(until or end, end)
                qmp.wait(args.interval)
        except KeyboardInterrupt:
            pass
        except Gone:
            sampler.mark("end", "machine ended")
        return sampler.data()


def _sample_of(found, events, t, kinds, branches):
    """What a look @t s after @found's Backup froze would have shown."""
    return {"t": t, "primary-time": found.time + round(t * 1e9),
            "backup-time": found.time, "events-written": found.seq + events,
            "lag-now": t * 1e3, "branches": branches, "kinds": dict(kinds)}


def samples_of(found):
    """The history of Evidence @found, as though it had been sampled."""
    span = max(found.events[-1][1] - found.time, 1) / 1e9 \
        if found.events else 0
    step, until = max(span / PARTS, SHORTEST), 0
    kinds = dict.fromkeys(sorted({event[3] for event in found.events}), 0)
    branches = found.branches
    samples = [_sample_of(found, 0, 0, kinds, branches)]
    for count, (_, time_ns, counted, kind) in enumerate(found.events, 1):
        kinds[kind] += 1
        if kind in evidence.COUNTED:
            branches = counted
        t = (time_ns - found.time) / 1e9
        if t >= until + step or count == len(found.events):
            samples.append(_sample_of(found, count, t, kinds, branches))
            until = t
    return samples


def draw_evidence(path):
    """The data of a picture of an evidence file."""
    found = evidence.Evidence(path)
    samples = samples_of(found)
    marks = [{"t": 0, "kind": "freeze",
              "text": f"Backup stands here, at event {found.seq}"}]
    for seq, time_ns, _, kind in found.events:
        if kind == "panic":
            marks.append({"t": (time_ns - found.time) / 1e9, "kind": "panic",
                          "text": f"panic, event {seq}"})
    if not found.whole:
        marks.append({"t": samples[-1]["t"], "kind": "end",
                      "text": "the file was not written to its end"})
    info = found.info
    return {"format": FORMAT, "machine": pathlib.Path(path).name,
            "title": f"evidence file {pathlib.Path(path).name} "
            f"({info['machine']}, {info['cpu']})",
            "axis": "s since the Backup froze",
            "samples": samples, "marks": marks}


def load(path):
    """What is in a file: evidence, or samples that --samples wrote."""
    if evidence.is_one(path):
        return draw_evidence(path)
    with open(path, "rb") as file:
        text = file.read()
    try:
        data = json.loads(text)
        if data.get("format") == FORMAT:
            return data
    except (ValueError, AttributeError):
        pass
    raise PbError("that file cannot be drawn",
                  "an evidence file, or samples as pbkvm timeline --samples "
                  "FILE writes them", path, "name another file", NOT_OFFERED)


def source(args):
    """A file is loaded; all else is a machine."""
    name = args.source
    args.machine = name
    if name is None:
        return sample(args)
    path = pathlib.Path(name)
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
        args.machine = str(path.resolve())
        return sample(args)
    if path.is_file():
        return load(path)
    if "/" in name:
        raise PbError("there is nothing to draw", "a socket or a file",
                      f"{name}: no such file", "check the path")
    return sample(args)


def write(path, text):
    try:
        pathlib.Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise PbError(f"cannot write {path}", "a file that can be written",
                      error.strerror, "choose another place",
                      FAILED) from None


def timeline(args):
    data = source(args)
    if len(data["samples"]) < 2:
        raise PbError("too little was seen to draw", "two samples, or one "
                      "event, or more", len(data["samples"]) - 1,
                      "sample for longer; save a Backup that is behind")
    if args.samples:
        write(args.samples, json.dumps(data))
    picture = svg.draw(data)
    if args.output.endswith((".html", ".htm")):
        picture = svg.page(data, picture)
    write(args.output, picture)
    panics = sum(mark["kind"] == "panic" for mark in data["marks"])
    print(f"{args.output}: {len(data['samples'])} samples in "
          f"{data['samples'][-1]['t']:.1f} s, {panics} panics")
    return OK
