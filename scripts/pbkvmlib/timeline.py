# SPDX-License-Identifier: GPL-2.0-or-later
"""pbkvm timeline: sample a machine, draw what was seen."""

import json
import pathlib
import stat
import sys
import time

from pbkvmlib import status, svg
from pbkvmlib.errors import FAILED, NOT_OFFERED, OK, PbError
from pbkvmlib.qmp import Gone, Qmp

FORMAT = "pbkvm-samples-1"
KEEP = ("status", "primary-time", "backup-time", "events-written",
        "events-read", "ring-used", "ring-size", "lag-now", "lag-wanted")
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


def load(path):
    """The samples in a file that --samples wrote."""
    with open(path, "rb") as file:
        text = file.read()
    try:
        data = json.loads(text)
        if data.get("format") == FORMAT:
            return data
    except (ValueError, AttributeError):
        pass
    raise PbError("that file cannot be drawn",
                  "samples, as pbkvm timeline --samples FILE writes them",
                  path, "evidence files cannot be drawn yet; run pbkvm "
                  "timeline beside the machine that writes one", NOT_OFFERED)


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
        raise PbError("too little was seen to draw", "two samples or more",
                      len(data["samples"]), "sample for longer")
    if args.samples:
        write(args.samples, json.dumps(data))
    write(args.output, svg.draw(data))
    panics = sum(mark["kind"] == "panic" for mark in data["marks"])
    print(f"{args.output}: {len(data['samples'])} samples in "
          f"{data['samples'][-1]['t']:.1f} s, {panics} panics")
    return OK
