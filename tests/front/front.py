# SPDX-License-Identifier: GPL-2.0-or-later
"""For the tests of scripts/pbkvm: TAP, a tree of stand-ins, a QMP server."""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading

TOP = pathlib.Path(__file__).resolve().parents[2]
PATIENCE = 60

GOOD_HOST = "echo 'ok    PMU        rdpmc'; exit 0"
BAD_HOST = "echo 'FAIL  PMU        no PMU here; use the lab'; exit 1"

INFO = {
    "status": "running", "events-written": 1000, "events-read": 900,
    "ring-size": 4096, "ring-used": 100, "primary-time": 5000000000,
    "primary-branches": 77, "backup-time": 3000000000,
    "backup-branches": 66, "backup-rip": 0xc0001234, "backup-cpu": 0,
    "lag-wanted": 2000, "lag-now": 2001,
    "counter": {"kind": "pmu", "rdpmc": True, "margin": 16,
                "skid-measured": 0, "skid-seen": 0},
    "landings": {"count": 5, "exits-median": 3, "exits-p99": 9,
                 "exits-max": 20, "steps": 11},
}


class Skip(Exception):
    """The rest of a test cannot be had here; args[0] says why."""


def run_tests(tests):
    """Run them in order, print TAP; the exit status."""
    failed = 0
    for number, test in enumerate(tests, 1):
        name = test.__name__.replace("_", " ")
        try:
            test()
            print(f"ok {number} {name}", flush=True)
        except Skip as reason:
            print(f"ok {number} {name} # SKIP {reason}", flush=True)
        except Exception as error:      # whatever it is, the test failed
            failed += 1
            text = f"{type(error).__name__}: {error}".replace("\n", "\n# ")
            print(f"not ok {number} {name}\n# {text}", flush=True)
    print(f"1..{len(tests)}")
    return 1 if failed else 0


def expect(what, wanted, got):
    assert wanted == got, f"{what}: expected {wanted!r}, got {got!r}"


def contains(what, text, *parts):
    for part in parts:
        assert part in text, f"{what}: expected {part!r} in {text[-900:]!r}"


def is_one_error(done, status, *parts):
    """A run that ended with @status and one error of the project's form."""
    contains("stderr", done.stderr, "error: ", "\n  expected: ",
             "\n  got:      ", "\n  to do:    ", *parts)
    expect("errors", 1, done.stderr.count("error: "))
    expect("no traceback", False, "Traceback" in done.stderr)
    expect("exit status", status, done.returncode)


class Tree:
    """A tree with scripts/ copied and stand-ins for all that is built."""

    def __enter__(self):
        self.dir = tempfile.TemporaryDirectory(prefix="pbf-")
        self.path = pathlib.Path(self.dir.name) / "tree"
        self.runtime = pathlib.Path(self.dir.name) / "run"
        self.runtime.mkdir(mode=0o700)
        shutil.copytree(TOP / "scripts", self.path / "scripts")
        (self.path / "qemu").symlink_to(TOP / "qemu")
        self.script("build/native/pbkvm-check", BAD_HOST)
        self.script("build/qemu/qemu-system-i386", 'echo "host $*"')
        self.script("build/qemu/qemu-system-x86_64", 'echo "64 $*"')
        self.script("lab/run", 'shift; echo "lab $*"')
        for file in ("build/lab/kernel", "build/guest/bzImage",
                     "build/guest/vmlinux",
                     "build/guest/initramfs.cpio.gz"):
            self.write(file, "")
        self.write("guest/cmdline", "console=ttyS0 quiet\n")
        return self

    def __exit__(self, *_):
        self.dir.cleanup()

    def write(self, name, text):
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def script(self, name, body):
        self.write(name, f"#!/bin/sh\n{body}\n").chmod(0o755)

    def environment(self, **more):
        return {**os.environ, "XDG_RUNTIME_DIR": str(self.runtime), **more}

    def popen(self, *words, **kwargs):
        return subprocess.Popen(
            [str(self.path / "scripts" / "pbkvm"), *map(str, words)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env=self.environment(),
            cwd=self.dir.name, **kwargs)

    def __call__(self, *words, **env):
        """The finished pbkvm @words."""
        return subprocess.run(
            [str(self.path / "scripts" / "pbkvm"), *map(str, words)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=PATIENCE, env=self.environment(**env),
            cwd=self.dir.name, check=False)


class QmpServer:
    """Answers QMP at a unix socket from a table, one client at a time.

    None stands for a command that is not there. @events are sent before the
    answer to the first query-pbkvm.
    """

    def __init__(self, path, answers=None, events=()):
        self.answers = {"qmp_capabilities": {},
                        "query-status": {"status": "running",
                                         "running": True},
                        "query-pbkvm": INFO, **(answers or {})}
        self.events = list(events)
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(str(path))
        self.sock.listen()
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        # Wakes the accept; close alone would not.
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        self.thread.join(PATIENCE)

    def _serve(self):
        while True:
            try:
                client, _ = self.sock.accept()
            except OSError:
                return
            with client, contextlib.suppress(OSError):
                self._client(client)

    def _client(self, client):
        def send(message):
            client.sendall((json.dumps(message) + "\r\n").encode())

        send({"QMP": {"version": {"qemu": {"micro": 0, "minor": 0,
                                           "major": 10}, "package": ""},
                      "capabilities": []}})
        text, decoder = "", json.JSONDecoder()
        while data := client.recv(65536):
            text += data.decode()
            # Requests may stand together, and need no line of their own.
            while text := text.lstrip():
                try:
                    request, end = decoder.raw_decode(text)
                except ValueError:
                    break
                text = text[end:]
                self._answer(request, send)

    def _answer(self, request, send):
        if request["execute"] == "query-pbkvm":
            for event in self.events:
                send(event)
            self.events = []
        answer = self.answers.get(request["execute"])
        reply = {"return": answer} if answer is not None else {
            "error": {"class": "CommandNotFound", "desc": "no such command"}}
        if "id" in request:
            reply["id"] = request["id"]
        send(reply)
