# SPDX-License-Identifier: GPL-2.0-or-later
"""The runner's end of the port to the agent in the lab; see init/link.h."""

import struct

(DATA, EOF, CREDIT, CLOSE) = (1, 2, 3, 4)
(START, SIGNAL, SIZE, OPEN) = (16, 17, 18, 19)
(READY, OPENED, REFUSED, EXIT) = (32, 33, 34, 35)

PAYLOAD_MAX = 1 << 20
WINDOW = 256 * 1024
HEADER = struct.Struct("<BBHI")


class Link:
    """Frames over a non-blocking socket. Not to be used after it closed."""

    ENOUGH = 256 * 1024

    def __init__(self, sock):
        self.sock = sock
        sock.setblocking(False)
        self.received = bytearray()
        self.to_send = bytearray()

    def send(self, kind, channel=0, payload=b""):
        if len(payload) > PAYLOAD_MAX:
            raise ValueError("command line and environment are longer than "
                             f"{PAYLOAD_MAX} bytes")
        self.to_send += HEADER.pack(kind, 0, channel, len(payload))
        self.to_send += payload

    def is_full(self):
        return len(self.to_send) >= self.ENOUGH

    def flush(self):
        try:
            while self.to_send:
                sent = self.sock.send(self.to_send[:65536])
                del self.to_send[:sent]
        except BlockingIOError:
            pass
        except OSError:             # QEMU has gone; its exit is handled
            self.to_send.clear()

    def receive(self):
        """The frames that have arrived, or None if the lab has gone."""
        try:
            more = self.sock.recv(1 << 18)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not more:
            return None
        self.received += more
        return list(self._frames())

    def _frames(self):
        while len(self.received) >= HEADER.size:
            kind, _, channel, length = HEADER.unpack_from(self.received)
            end = HEADER.size + length
            if len(self.received) < end:
                return
            payload = bytes(self.received[HEADER.size:end])
            del self.received[:end]
            yield kind, channel, payload
