# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's monitor for people, through a unix socket."""

import socket

from pbvm import PATIENCE, Failure


class Monitor:
    """At PATH. A walk over QMP holds up QMP, not this."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(path)
        self._answer()

    def _answer(self):
        data = b""
        while not data.endswith(b"(qemu) "):
            more = self.sock.recv(4096)
            if not more:
                raise Failure("the monitor closed")
            data += more
        return data.decode()

    def __call__(self, command):
        self.sock.sendall(command.encode() + b"\n")
        return self._answer()

    def close(self):
        self.sock.close()
