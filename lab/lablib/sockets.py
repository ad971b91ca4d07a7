# SPDX-License-Identifier: GPL-2.0-or-later
"""Sockets of the command in the lab, reachable from outside.

plan() finds the sockets on which a QEMU command line listens; Listener
listens at the same addresses outside; Connection is one client, carried to
the inner socket over a channel of the link. A client that comes before the
inner side listens is kept waiting, as long as it likes.
"""

import os
import re
import selectors
import socket
import stat
import time

from lablib import link

INNER_DIR = "/run/lab"
RETRY = 0.05        # seconds until a refused connection is tried again


class BadAddress(Exception):
    pass


def _options(text):
    """KEY=VALUE,KEY,... after QEMU's manner (",," is a comma)."""
    parts = re.split(r",(?!,)(?<!,,)", text)
    return [part.replace(",,", ",") for part in parts]


def _is_server(options):
    return "server" in options or "server=on" in options \
        or "server=yes" in options


def _tcp(where):
    """HOST:PORT -> (host, port) to listen at outside."""
    host, _, port = where.rpartition(":")
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise BadAddress(f"expected HOST:PORT with a port number 1..65535, "
                         f"got {where}")
    return (host.strip("[]") or "127.0.0.1", int(port))


class Plan:
    """What to listen at outside, and the command line for inside."""

    def __init__(self):
        self.argv = []
        self.forwards = []      # (outer address, where: "tPORT" or "uPATH")

    def unix(self, path):
        inner = f"{INNER_DIR}/{len(self.forwards)}.sock"
        self.forwards.append((path, "u" + inner))
        return inner

    def tcp(self, where):
        host, port = _tcp(where)
        self.forwards.append(((host, port), f"t{port}"))

    def chardev(self, text):
        """-chardev socket,...: rewritten if it is a unix server."""
        options = _options(text)
        if options[0] != "socket" or not _is_server(options):
            return text
        pairs = dict(o.split("=", 1) for o in options if "=" in o)
        if "path" in pairs and pairs.get("abstract") != "on":
            inner = self.unix(pairs["path"])
            return ",".join("path=" + inner if o.startswith("path=")
                            else o.replace(",", ",,") for o in options)
        if "port" in pairs:
            self.tcp(pairs.get("host", "") + ":" + pairs["port"])
        return text

    def short(self, option, text):
        """unix:PATH,server or tcp:HOST:PORT,server, as -serial takes it."""
        prefix = "mon:" if text.startswith("mon:") else ""
        options = _options(text[len(prefix):])
        kind, _, where = options[0].partition(":")
        server = _is_server(options) or option == "gdb"
        if kind == "unix" and server:
            options[0] = "unix:" + self.unix(where)
            return prefix + ",".join(o.replace(",", ",,") for o in options)
        if kind in ("tcp", "telnet") and server:
            self.tcp(where)
        return text


def plan(argv):
    """The sockets in a command line. Raises BadAddress."""
    result = Plan()
    option = ""
    for word in argv:
        if option == "chardev":
            new = result.chardev(word)
        elif option in ("qmp", "qmp-pretty", "monitor", "serial", "parallel",
                        "gdb"):
            new = result.short(option, word)
        else:
            new = word
        option = ""
        if word.startswith("-") and new == word:
            option = word.lstrip("-")
        if word in ("-s", "--s") and "qemu-system" in argv[0]:
            result.tcp("127.0.0.1:1234")
        result.argv.append(new)
    return result


class Listener:
    def __init__(self, address, where):
        self.address = address
        self.where = where
        if isinstance(address, str):
            self.sock = self._unix(address)
        else:
            self.sock = self._tcp(address)
        self.sock.setblocking(False)

    @staticmethod
    def _unix(path):
        try:
            # As QEMU does it: an old socket makes room, nothing else.
            if stat.S_ISSOCK(os.lstat(path).st_mode):
                os.unlink(path)
        except FileNotFoundError:
            pass
        sock = socket.socket(socket.AF_UNIX)
        old = os.umask(0o177)
        try:
            # Who sees it can connect: it appears only once it listens.
            sock.bind(path + ".new")
            sock.listen(16)
            os.rename(path + ".new", path)
        except OSError as error:
            raise BadAddress(f"cannot listen at {path}: "
                             f"{error.strerror or error}") from None
        finally:
            os.umask(old)
        return sock

    @staticmethod
    def _tcp(address):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        sock = socket.socket(family)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(address)
            sock.listen(16)
        except OSError as error:
            raise BadAddress(f"cannot listen at {address[0]}:{address[1]}: "
                             f"{error.strerror or error}") from None
        return sock

    def close(self):
        self.sock.close()
        if isinstance(self.address, str):
            try:
                os.unlink(self.address)
            except FileNotFoundError:
                pass


class Connection:
    """One client outside <-> one channel of the link."""

    def __init__(self, sock, where, channel):
        self.sock = sock
        sock.setblocking(False)
        self.where = where.encode()
        self.channel = channel
        self.open = False           # the inner side has accepted
        self.retry_at = 0.0         # when to ask again; 0: asked
        self.credit = link.WINDOW
        self.pending = bytearray()  # from inside, for the client
        self.client_eof = False
        self.inner_eof = False
        self.gone = False           # to be removed

    def ask(self, to):
        self.retry_at = 0.0
        self.credit = link.WINDOW
        to.send(link.OPEN, self.channel, self.where)

    def refused(self):
        self.retry_at = time.monotonic() + RETRY

    def events(self, to):
        wanted = 0
        if self.open and not self.client_eof and self.credit \
                and not to.is_full():
            wanted |= selectors.EVENT_READ
        if self.pending:
            wanted |= selectors.EVENT_WRITE
        return wanted

    def readable(self, to):
        try:
            data = self.sock.recv(min(self.credit, 32768))
        except BlockingIOError:
            return
        except OSError:
            self.abort(to)
            return
        if data:
            self.credit -= len(data)
            to.send(link.DATA, self.channel, data)
        else:
            self.client_eof = True
            to.send(link.EOF, self.channel)

    def writable(self, to):
        try:
            sent = self.sock.send(self.pending)
        except BlockingIOError:
            return
        except OSError:
            self.abort(to)
            return
        del self.pending[:sent]
        to.send(link.CREDIT, self.channel, sent.to_bytes(4, "little"))
        self.pass_eof()

    def pass_eof(self):
        if self.inner_eof and not self.pending:
            try:
                self.sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass

    def abort(self, to):
        """The client has vanished: drop the inner end too."""
        to.send(link.CLOSE, self.channel)
        self.gone = True
