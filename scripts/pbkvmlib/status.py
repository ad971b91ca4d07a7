# SPDX-License-Identifier: GPL-2.0-or-later
"""pbkvm status: where Primary and Backup are, once or live."""

import json
import shutil
import signal
import sys
import time

from pbkvmlib import places
from pbkvmlib.errors import FAILED, OK, PbError
from pbkvmlib.qmp import Gone, Qmp

COLOURS = {"running": "32", "frozen": "36", "diverged": "31",
           "failed": "31"}
# Statuses in which the Backup cannot be trusted any further.
BAD = ("diverged", "failed")


class Rates:
    """Events per second, from one look to the next."""

    def __init__(self):
        self.last = None

    def update(self, info):
        """{name: events/s}; the sum first, empty at the first look."""
        now = time.monotonic()
        counts = {"all": info["events-written"], **kinds(info)}
        rates = {}
        if self.last and now > self.last[0]:
            then, old = self.last
            rates = {name: (count - old.get(name, 0)) / (now - then)
                     for name, count in counts.items()}
        self.last = now, counts
        return rates


def kinds(info):
    """Events by kind, if this QEMU counts them."""
    found = info.get("events-by-kind", {})
    if isinstance(found, list):
        found = {entry["kind"]: entry["count"] for entry in found}
    return found


def bar(part, whole, width, mark=None):
    """[####|   ]: how full, and where the mark stands."""
    cells = list(" " * width)
    for cell in range(min(width, round(width * part / (whole or 1)))):
        cells[cell] = "#"
    if mark is not None:
        cells[min(width - 1, round(width * mark / (whole or 1)))] = "|"
    return "[" + "".join(cells) + "]"


def seconds(ns):
    return f"{ns / 1e9:.3f} s"


def rows(name, where, state, info, rates, width=30):
    """The view as (title, text) pairs; also what --once prints."""
    lag, wanted = info["lag-now"], info["lag-wanted"]
    used, size = info["ring-used"], info["ring-size"]
    landings = info["landings"]
    result = [
        ("machine", f"{name}, in {'the lab' if where == 'lab' else where}"),
        ("Primary", f"{state}, at {seconds(info['primary-time'])}, "
         f"{info['primary-branches']} branches, event "
         f"{info['events-written']}"),
        ("Backup", f"{info['status']}, at {seconds(info['backup-time'])}, "
         f"{info['backup-branches']} branches, event {info['events-read']}, "
         f"rip 0x{info['backup-rip']:x}"),
        ("lag", f"{lag} ms, wanted {wanted} "
         + bar(lag, 2 * max(wanted, 1), width, wanted)),
        ("ring", f"{100 * used / size:.1f} % of {size} events "
         + bar(used, size, width)),
        ("landings", f"{landings['count']}, KVM exits each: median "
         f"{landings['exits-median']}, p99 {landings['exits-p99']}"),
    ]
    if "spill" in info:
        spill = info["spill"]
        result.insert(5, ("spilled", f"{spill['events']} events now, "
                          f"{spill['all-events']} in all"
                          + (f"; no longer: {spill['error']}"
                             if "error" in spill else "")))
    if info.get("cpus", 1) > 1:
        result.insert(3, ("CPUs", f"{info['cpus']}, one at a time"
                          + (", in chaos" if info["chaos"] else "")
                          + f"; the Backup's CPU {info['backup-cpu']} is on"))
    if "slices" in info:
        result.append(("compared", f"{info['slices']['compared']} slices of "
                       f"RAM, {info['slices']['passes']} passes"))
    if rates:
        texts = [f"{rate:.0f} {kind}" for kind, rate in
                 sorted(rates.items(), key=lambda item: -item[1])
                 if kind != "all" and rate >= 0.5]
        result.append(("events/s", f"{rates['all']:.0f}"
                       + (": " + ", ".join(texts) if texts else "")))
    if "panic" in info:
        result.append(("panic", panic_text(
            info["panic"], info["primary-time"] - info["backup-time"])))
    if info.get("detached"):
        result.append(("detached", "a debugger has changed the Backup: what "
                       "it does now never happened"))
    if "history-ended" in info:
        result.append(("history", f"ended: {info['history-ended']}"))
    if "divergence" in info:
        found = info["divergence"]
        result.append(("divergence", f"at event {found['event']} "
                       f"({found['kind']}): expected {found['expected']}, "
                       f"got {found['got']}"))
    return result


def panic_text(detected_by, away):
    """A panic in one line; the Backup is @away ns before it."""
    return (f"found by {detected_by}; the Backup is {away / 1e6:.0f} ms "
            "before it: pbkvm gdb")


def describe_event(event):
    """One line about a QMP event, or None if it is not ours."""
    name, data = event["event"], event.get("data", {})
    if name == "PBKVM_PANIC":
        return "panic " + panic_text(data["detected-by"],
                                     data["distance-time"])
    if name == "PBKVM_DIVERGED":
        return f"the Backup diverged at event {data['event']}"
    if name in ("PBKVM_FROZEN", "PBKVM_RING_FULL", "SHUTDOWN",
                "GUEST_PANICKED", "RESET"):
        return name.lower().replace("_", " ")
    return None


class Screen:
    """Paints over what it painted before."""

    def __init__(self, colour):
        self.lines = 0
        self.colour = colour

    def paint(self, pairs):
        width = shutil.get_terminal_size((80, 24)).columns - 1
        out = f"\033[{self.lines}A" if self.lines else ""
        self.lines = 0
        for title, text in pairs:
            text = f"{title:<10} {text}"[:width]
            if self.colour:
                for word, code in COLOURS.items():
                    if title == "Backup":
                        text = text.replace(f" {word},",
                                            f" \033[{code}m{word}\033[0m,")
                text = f"\033[1m{text[:10]}\033[0m{text[10:]}"
            out += "\r" + text + "\033[K\n"
            self.lines += 1
        sys.stdout.write(out + "\033[J")
        sys.stdout.flush()


def resolve(args, socket):
    """(name, where, path of the QMP socket) of what the user named."""
    if args.machine and "/" in args.machine:
        return args.machine, "an unknown place", args.machine
    machine = places.find(args.machine)
    where = machine.info().get("where", "host")
    return machine.name, where, machine.socket(socket)


def look(qmp):
    """(run state, query-pbkvm)."""
    return qmp("query-status")["status"], qmp("query-pbkvm")


def live(qmp, name, where, args):
    screen, rates, news = Screen(args.colour), Rates(), []
    ended = []

    def end(*_):
        # Where Python can only ignore it, the next round ends the view.
        ended.append(True)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, end)
    while not ended:
        state, info = look(qmp)
        news += [text for event in qmp.events()
                 if (text := describe_event(event))]
        pairs = rows(name, where, state, info, rates.update(info))
        pairs += [("news", text) for text in news[-3:]]
        screen.paint([*pairs, ("", "Ctrl-C ends this view, not the machine")])
        qmp.wait(args.interval)
    raise KeyboardInterrupt


def list_machines():
    found = places.machines()
    for machine in found:
        info = machine.info()
        print(f"{machine.name}  {info.get('where', '?')}  "
              f"{machine.folder}")
    if not found:
        places.find()
    return OK


def status(args):
    if args.list:
        return list_machines()
    name, where, path = resolve(args, "qmp-status")
    with Qmp(path) as qmp:
        try:
            if not args.once and not args.json and sys.stdout.isatty():
                live(qmp, name, where, args)
            state, info = look(qmp)
            if args.json:
                print(json.dumps({"machine": name, "where": where,
                                  "primary": state, "pbkvm": info},
                                 indent=1, sort_keys=True))
            else:
                for title, text in rows(name, where, state, info, {}):
                    print(f"{title:<10} {text}")
            return FAILED if info["status"] in BAD else OK
        except Gone as gone:
            if not args.once and not args.json:
                print("the machine has ended")
                return OK
            raise PbError("the machine has gone", "its answer",
                          gone, "pbkvm status --list") from None
