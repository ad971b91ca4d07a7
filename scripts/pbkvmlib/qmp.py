# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's own QMP client, called from ordinary code."""

import asyncio
import sys

from pbkvmlib.errors import NO_MACHINE, NOT_OFFERED, PbError
from pbkvmlib.places import TOP, need

LIBRARY = TOP / "qemu" / "src" / "python"
GREETING = 20       # seconds; the lab may still be starting
ANSWER = 30


def _library():
    need(LIBRARY / "qemu" / "qmp", "QEMU's QMP library", "./configure")
    sys.path.insert(0, str(LIBRARY))
    from qemu import qmp         # pylint: disable=import-outside-toplevel
    sys.path.remove(str(LIBRARY))
    return qmp


class Gone(Exception):
    """QEMU has closed the connection."""


class Qmp:
    """A connection to the QMP socket at @path; `with` closes it."""

    def __init__(self, path):
        self.qmp = _library()
        self.path = path
        self.loop = asyncio.new_event_loop()
        self.client = self.qmp.QMPClient("pbkvm")
        # Failures are ours to tell.
        self.client.logger.disabled = True
        try:
            self._wait(self.client.connect(str(path)), GREETING)
        except asyncio.TimeoutError:
            self.close()
            raise PbError(f"no greeting from {path}",
                          f"QEMU's within {GREETING} s", "nothing",
                          "a QMP socket serves one client: end the other "
                          "(pbkvm status, timeline, gdb) or wait for the "
                          "machine to start", NO_MACHINE) from None
        except (self.qmp.ConnectError, OSError) as error:
            self.close()
            raise PbError(f"cannot connect to {path}",
                          "a running QEMU's QMP socket", error,
                          "check the path, or: pbkvm status --list",
                          NO_MACHINE) from None

    def _wait(self, task, seconds):
        return self.loop.run_until_complete(asyncio.wait_for(task, seconds))

    def __call__(self, command, **arguments):
        try:
            return self._wait(self.client.execute(command, arguments or None),
                              ANSWER)
        except self.qmp.ExecuteError as error:
            if error.error_class == "CommandNotFound":
                raise PbError(f"this QEMU has no {command}",
                              "QEMU built by pbkvm, with -accel pbkvm",
                              error, "make, and start the machine with "
                              "pbkvm run", NOT_OFFERED) from None
            raise PbError(f"{command} failed", "it to succeed", error,
                          "see the message above") from None
        except asyncio.TimeoutError:
            raise PbError(f"no answer to {command}",
                          f"one within {ANSWER} s", "nothing",
                          "QEMU is busy (pbkvm-verify?) or hangs; try "
                          "again") from None
        except (self.qmp.QMPError, EOFError, OSError) as error:
            raise Gone(str(error)) from None

    def wait(self, seconds):
        """Let @seconds pass, and events come."""
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def events(self):
        """Events since the last call, oldest first."""
        found = []
        while not self.client.events.empty():
            found.append(self._wait(self.client.events.get(), ANSWER))
        return found

    def wait_for(self, name, seconds):
        """The next event called @name, or None after @seconds."""
        async def next_event():
            while (event := await self.client.events.get())["event"] != name:
                pass
            return event
        try:
            return self._wait(next_event(), seconds)
        except asyncio.TimeoutError:
            return None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        try:
            self._wait(self.client.disconnect(), 5)
        except Exception:               # pylint: disable=broad-except
            pass                        # QEMU may have gone first
        self.loop.close()
