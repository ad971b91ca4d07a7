# SPDX-License-Identifier: GPL-2.0-or-later
"""Fetches the peers and builds the ring's bench with those that are there."""

import pathlib
import subprocess

TOP = pathlib.Path(__file__).resolve().parents[2]
HERE = TOP / "bench" / "ring"
OUT = TOP / "build" / "bench" / "ring"
ARCH = "x86_64-linux-gnu"
FLAGS = ["-O2", "-g", "-Wall", f"-I{TOP / 'ring'}", f"-I{HERE}"]

# Where a loop of some 20 instructions lies changes its speed by up to 1.5 on
# Zen 5, of any queue and by chance: so all are built in these ways, as the
# compiler lays loops out, and packed, begun a quarter of a line later each.
LAYOUTS = [["-falign-functions=64"]] + [
    ["-falign-functions=64", "-fno-align-loops", "-fno-align-jumps",
     f"-fpatchable-function-entry={later},{later}"]
    for later in (0, 16, 32, 48)]

# Debian 13's package, source file, folders with headers, further flags.
# All are used by their headers alone, so that any host's libc will do.
PEERS = {
    "ck_ring": ("libck-dev", "peer-ck.c", ["", "gcc/x86_64"], []),
    "rte_ring": ("libdpdk-dev", "peer-rte.c", ["dpdk", f"{ARCH}/dpdk"],
                 ["-msse4.2"]),
    "boost": ("libboost1.83-dev", "peer-boost.cc", [""], []),
    "wfcqueue": ("liburcu-dev", "peer-urcu.c", ["", ARCH], []),
}


class Missing(Exception):
    """A peer cannot be had; the bench goes on without it."""


def first_line(text, *signs):
    for line in text.splitlines():
        if any(sign in line for sign in signs):
            return line.split(":", 1)[-1].strip()
    return text.strip().splitlines()[-1] if text.strip() else "no message"


def compile_one(source, layout, flags=()):
    tool = (["c++", "-std=gnu++17"] if source.suffix == ".cc"
            else ["cc", "-std=gnu11"])
    target = OUT / f"{source.stem}-{layout}.o"
    got = subprocess.run([*tool, *FLAGS, *LAYOUTS[layout], *flags,
                          "-c", source, "-o", target],
                         capture_output=True, text=True, check=False)
    if got.returncode:
        raise Missing("does not build: " + first_line(got.stderr, "error:"))
    return target


def unpack(package):
    """Its version; afterwards its files are in OUT/PACKAGE."""
    got = subprocess.run([TOP / "scripts" / "pb-apt", "deb", package],
                         capture_output=True, text=True, check=False)
    if got.returncode:
        raise Missing(f"not installed: {package}: "
                      + first_line(got.stderr, "got:"))
    deb = pathlib.Path(got.stdout.strip())
    version = deb.name.split("_")[1]
    done = OUT / package / f".{version}"
    if not done.exists():
        subprocess.run(["dpkg-deb", "-x", deb, OUT / package], check=True)
        done.touch()
    return version


def build_one(layout, state):
    objects = [compile_one(path, layout) for path in (
        TOP / "ring" / "pb-ring.c", TOP / "ring" / "pb-ring-wait.c",
        HERE / "ours.c", HERE / "limit.c", HERE / "place.c",
        HERE / "ring-bench.c")]
    for name, (package, source, folders, flags) in PEERS.items():
        if isinstance(state[name], Missing):
            continue
        try:
            include = OUT / package / "usr" / "include"
            objects.append(compile_one(HERE / source, layout, flags + [
                f"-isystem{include / folder}" for folder in folders]))
        except Missing as why:
            state[name] = why
    program = OUT / f"ring-bench-{layout}"
    cxx = ["-lstdc++"] if not isinstance(state["boost"], Missing) else []
    subprocess.run(["cc", "-pthread", *objects, *cxx, "-o", program],
                   check=True)
    return program


def build():
    """A bench for each of LAYOUTS; for each peer its version or a Missing."""
    OUT.mkdir(parents=True, exist_ok=True)
    state = {}
    for name, (package, *_) in PEERS.items():
        try:
            state[name] = unpack(package)
        except Missing as why:
            state[name] = why
    return [build_one(i, state) for i in range(len(LAYOUTS))], state
