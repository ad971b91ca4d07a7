# SPDX-License-Identifier: GPL-2.0-or-later
"""One run of the lab: the loop between our stdio, sockets and the agent."""

import fcntl
import os
import selectors
import signal
import struct
import sys
import termios
import time
import tty

from lablib import link, machine, sockets, warm

CHANNELS = range(3, 64)     # for connections, as in init/agent.h
CHUNK = 4096                # a pipe that polls writable takes this much
PATIENCE = 5.0              # seconds a command has to end after a signal


class Ended(Exception):
    """A signal came while there was no machine yet; args[0] is its number."""


class Session:
    def __init__(self, options, listeners):
        self.options = options
        self.listeners = listeners
        self.connections = {}       # channel -> Connection
        self.stdin_credit = link.WINDOW
        self.stdin_open = True
        self.output = {1: bytearray(), 2: bytearray()}
        self.machine = None
        self.started = False
        self.status = None
        self.ending = 0             # the signal we were ended by
        self.kill_at = None
        self.saved_tty = None
        self.is_tty = os.isatty(0) and os.isatty(1)
        self.wake_read, self.wake_write = os.pipe()

    # Set-up and end

    def run(self):
        self._catch_signals()
        try:
            self.machine = warm.start(self.options)
        except Ended as end:
            return 128 + end.args[0]
        self.link = link.Link(self.machine.link_socket)
        if self.options.timeout:
            self.deadline = time.monotonic() + self.options.timeout
        else:
            self.deadline = None
        try:
            if self.machine.waits:
                self._start()
            while self.status is None or any(self.output.values()):
                self._turn()
        finally:
            self._restore_tty()
            self.machine.kill()
        return self.status

    def _catch_signals(self):
        for fd in (self.wake_read, self.wake_write):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(self.wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP,
                       signal.SIGQUIT):
            signal.signal(number, self._on_end_signal)
        signal.signal(signal.SIGWINCH, lambda *_: self._send_size())
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)

    def _on_end_signal(self, number, _frame):
        """The command may end by itself; a second signal is the last."""
        if not self.machine:
            raise Ended(number)
        if self.ending or not self.started:
            self._finish(128 + number)
            return
        self.ending = number
        self.kill_at = time.monotonic() + PATIENCE
        self.link.send(link.SIGNAL, 0, bytes([number]))

    def _finish(self, status):
        self.status = status
        for buffer in self.output.values():
            buffer.clear()

    def _start(self):
        environment = {key: value for key, value in os.environb.items()
                       if not key.startswith((b"LD_", b"PBKVM_LAB"))}
        environment[b"PBKVM_IN_LAB"] = b"1"
        where = ("ioe" if os.isatty(2) else "io") if self.is_tty else "-"
        words = [where.encode(), str(time.time()).encode(),
                 os.urandom(32).hex().encode(), os.fsencode(os.getcwd()),
                 str(len(self.options.command)).encode()]
        words += [os.fsencode(word) for word in self.options.command]
        words += [key + b"=" + value for key, value in environment.items()]
        self.link.send(link.START, 0, b"".join(w + b"\0" for w in words))
        self.started = True
        if self.is_tty:
            self.saved_tty = termios.tcgetattr(0)
            tty.setraw(0)
            self._send_size()

    def _restore_tty(self):
        if self.saved_tty:
            termios.tcsetattr(0, termios.TCSADRAIN, self.saved_tty)

    def _send_size(self):
        if self.is_tty and self.started:
            size = fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8))
            rows, columns = struct.unpack("<HH", size[:4])
            self.link.send(link.SIZE, 0, struct.pack("<HH", rows, columns))

    # One turn of the loop

    def _turn(self):
        with selectors.PollSelector() as poll:
            self._register(poll)
            for key, events in poll.select(self._pause()):
                key.data(events)
        self._time_has_passed()
        self.link.flush()

    def _register(self, poll):
        read, write = selectors.EVENT_READ, selectors.EVENT_WRITE
        poll.register(self.wake_read, read, self._on_wake)
        poll.register(self.link.sock,
                      read | (write if self.link.to_send else 0),
                      self._on_link)
        poll.register(self.machine.console, read, self._on_console)
        if self.started and self.stdin_open and self.stdin_credit \
                and not self.link.is_full():
            poll.register(0, read, self._on_stdin)
        for fd, buffer in self.output.items():
            if buffer:
                poll.register(fd, write, lambda _, fd=fd: self._on_output(fd))
        for listener in self.listeners:
            poll.register(listener.sock, read,
                          lambda _, l=listener: self._on_client(l))
        for connection in self.connections.values():
            wanted = connection.events(self.link)
            if wanted:
                poll.register(connection.sock, wanted,
                              lambda e, c=connection: self._on_traffic(c, e))

    def _pause(self):
        """Seconds until something must be done without an event."""
        moments = [c.retry_at for c in self.connections.values()
                   if c.retry_at]
        moments += [m for m in (self.deadline, self.kill_at) if m]
        if not moments:
            return None
        return max(min(moments) - time.monotonic(), 0)

    def _time_has_passed(self):
        now = time.monotonic()
        if self.kill_at and now >= self.kill_at and self.status is None:
            self._finish(128 + self.ending)
        if self.deadline and now >= self.deadline and self.status is None:
            print(f"lab/run: error: not finished after "
                  f"{self.options.timeout} s", file=sys.stderr)
            self._finish(124)
        for channel, connection in list(self.connections.items()):
            if connection.gone:
                connection.sock.close()
                del self.connections[channel]
            elif connection.retry_at and now >= connection.retry_at:
                connection.ask(self.link)

    # Events

    def _on_wake(self, _):
        os.read(self.wake_read, 4096)

    def _on_console(self, _):
        if not self.machine.read_console():
            self._machine_ended()

    def _machine_ended(self):
        if self.status is not None:
            return
        words = self.machine.last_words()
        self._finish(125)
        raise machine.LabError("the lab's machine ended unexpectedly:\n"
                               + (words or "  (it said nothing)"))

    def _on_stdin(self, _):
        try:
            data = os.read(0, min(self.stdin_credit, 32768))
        except OSError:
            data = b""
        if data:
            self.stdin_credit -= len(data)
            self.link.send(link.DATA, 0, data)
        else:
            self.stdin_open = False
            self.link.send(link.EOF, 0)

    def _on_output(self, fd):
        buffer = self.output[fd]
        try:
            done = os.write(fd, buffer[:CHUNK])
        except BlockingIOError:
            return
        except OSError:             # nobody reads: as a closed pipe, inside
            buffer.clear()
            self.link.send(link.CLOSE, fd)
            return
        del buffer[:done]
        self.link.send(link.CREDIT, fd, done.to_bytes(4, "little"))

    def _on_client(self, listener):
        try:
            sock, _ = listener.sock.accept()
        except OSError:
            return
        free = [c for c in CHANNELS if c not in self.connections]
        if not free:
            sock.close()
            return
        connection = sockets.Connection(sock, listener.where, free[0])
        self.connections[free[0]] = connection
        if self.started:
            connection.ask(self.link)
        else:
            connection.refused()    # asked again when the lab is up

    def _on_traffic(self, connection, events):
        if events & selectors.EVENT_WRITE and connection.pending:
            connection.writable(self.link)
        if events & selectors.EVENT_READ and not connection.gone \
                and connection.open and not connection.client_eof:
            connection.readable(self.link)

    def _on_link(self, _):
        frames = self.link.receive()
        if frames is None:
            self._machine_ended()
            return
        for kind, channel, payload in frames:
            if kind == link.READY:
                self._start()
            elif kind == link.EXIT:
                self.status = payload[0]
            elif channel < CHANNELS.start:
                self._stdio_frame(kind, channel, payload)
            elif channel in self.connections:
                self._connection_frame(kind, self.connections[channel],
                                       payload)

    def _stdio_frame(self, kind, channel, payload):
        if kind == link.DATA:
            self.output[channel] += payload
        elif kind == link.CREDIT:
            self.stdin_credit += int.from_bytes(payload, "little")

    def _connection_frame(self, kind, connection, payload):
        if kind == link.OPENED:
            connection.open = True
        elif kind == link.REFUSED:
            connection.refused()
        elif kind == link.DATA:
            connection.pending += payload
        elif kind == link.CREDIT:
            connection.credit += int.from_bytes(payload, "little")
        elif kind == link.EOF:
            connection.inner_eof = True
            connection.pass_eof()
        elif kind == link.CLOSE:
            self._deliver_rest(connection)
            connection.gone = True

    def _deliver_rest(self, connection):
        """Inside is closed for good: the client gets what is left, once."""
        rest, connection.pending = connection.pending, bytearray()
        try:
            connection.sock.setblocking(True)
            connection.sock.settimeout(1)
            connection.sock.sendall(rest)
        except OSError:
            pass
