# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads evidence files (docs/evidence.md), as far as a picture needs them.

The history and where the Backup stands; each block that is used is checked.
RAM is not read: QEMU checks it when the file is replayed.
"""

import mmap
import os
import re
import struct

from pbkvmlib.errors import FAILED, NOT_OFFERED, PbError

MAGIC = b"\x89PBKVM\r\n"
VERSION, EVENT_VERSION = 6, 5
HEAD = struct.Struct("<8s6I")       # magic, version, event's, sizes
HEAD_SIZE, BLOCK_SIZE = 64, 32
BLOCK = struct.Struct("<IIQIIII")   # mark, kind, len, number, crc, zero, crc
MARK = 0x42454250
INFO, CPUID, MEMORY, START, EVENTS, END = 1, 2, 3, 6, 7, 8
MAX_EVENTS = 1 << 20                # bytes of a block of events, and more
AT = struct.Struct("<QQQQ")         # seq, digest, branches, time_ns
INFO_SIZE = 984
CPUS = 660                          # in the info block
TEXTS = {"cpu": (728, 64), "program": (856, 64), "machine": (920, 64)}
EVENT_SIZE, EVENT = 64, struct.Struct("<QQQIIBBHI")
# PbEventKind, by number; a payload's length by kind.
KINDS = ("invalid", "pio-in", "mmio-read", "rdmsr", "wrmsr", "hlt",
         "shutdown", "read-begin", "irq", "nmi", "point", "verify",
         "mem-write", "mem-slot", "state", "mark", "panic", "end", "slice",
         "turn")
# These tell branches; others have them as 0 or as a check.
COUNTED = {"irq", "nmi", "point", "verify", "mark", "turn"}
INLINE, SLOT_CHANGE = 20, 32
BANNER = re.compile(rb"Linux version \d[^\n\0]*\n")


def _table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82f63b78 if value & 1 else 0)
        table.append(value)
    return table


TABLE = _table()


def crc32c(data, crc=0):
    """CRC-32C of @data, going on from @crc."""
    table, crc = TABLE, ~crc & 0xffffffff
    for byte in data:
        crc = table[(crc ^ byte) & 0xff] ^ crc >> 8
    return ~crc & 0xffffffff


def is_one(path):
    """Whether the file begins as evidence does."""
    with open(path, "rb") as file:
        return file.read(len(MAGIC)) == MAGIC


class Reader:
    """A file, and how far it was read."""

    def __init__(self, path):
        self.path = str(path)
        self.offset, self.number = HEAD_SIZE, 0
        self.file = open(path, "rb")
        self.size = os.fstat(self.file.fileno()).st_size

    def bad(self, what):
        return PbError("that evidence file cannot be drawn",
                       "a file as pbkvm-save-evidence writes it",
                       f"{self.path}: block {self.number + 1} at byte "
                       f"{self.offset}: {what}",
                       "copy it again from where it was made", FAILED)

    def head(self):
        self.file.seek(0)
        head = self.file.read(HEAD_SIZE)
        if len(head) < HEAD_SIZE or crc32c(head[:60]) != \
                int.from_bytes(head[60:], "little"):
            raise PbError("that is no whole evidence file", "its head",
                          f"{self.path}: damaged, or too short",
                          "copy it again from where it was made", FAILED)
        _, version, event_version, event, _, info, _ = HEAD.unpack(head[:32])
        if (version, event_version, event, info) != \
                (VERSION, EVENT_VERSION, EVENT_SIZE, INFO_SIZE):
            raise PbError("another version of evidence files",
                          f"version {VERSION} with events of version "
                          f"{EVENT_VERSION}",
                          f"{version} and {event_version} in {self.path}",
                          "draw it with the pbkvm that wrote it", NOT_OFFERED)

    def block(self):
        """(kind, length) of the next block, or None at the file's end."""
        self.file.seek(self.offset)
        head = self.file.read(BLOCK_SIZE)
        if len(head) < BLOCK_SIZE or not any(head):
            return None
        mark, kind, length, number, self.crc, _, crc = BLOCK.unpack(head)
        if mark != MARK or crc != crc32c(head[:28]) or \
                number != self.number + 1:
            raise self.bad("the block's head is damaged")
        return kind, length

    def payload(self, length):
        """The block's payload; shorter where the file ends in it."""
        if length > MAX_EVENTS:
            raise self.bad(f"{length} bytes are too many")
        data = self.file.read(length)
        if len(data) == length and crc32c(data) != self.crc:
            raise self.bad("damaged: wrong checksum")
        return data

    def skip(self, length):
        self.offset += BLOCK_SIZE + length
        self.number += 1


def _payload_len(kind, size, body):
    """Bytes that follow an event in the slots behind it."""
    if kind == "pio-in":
        length = int.from_bytes(body[:4], "little") * size
        return length if length > INLINE else 0
    return {"mem-write": int.from_bytes(body[12:16], "little"),
            "mem-slot": SLOT_CHANGE,
            "state": int.from_bytes(body[:4], "little")}.get(kind, 0)


def _events(reader, data, whole):
    """The events of a block's payload: (seq, time, branches, kind)."""
    found = []
    if len(data) < 24:
        return found
    _, events, slots = struct.unpack("<QII", data[:16])
    at = first = 24 + 4 * events
    if whole and len(data) != first + EVENT_SIZE * slots:
        raise reader.bad("the length does not match the contents")
    for number in range(events):
        slot = data[at:at + EVENT_SIZE]
        if len(slot) < EVENT_SIZE:
            break
        seq, time, branches, _, _, kind, size, _, _ = EVENT.unpack(slot[:40])
        if kind == 0 or kind >= len(KINDS):
            raise reader.bad(f"an event of unknown kind {kind}")
        extra = -(-_payload_len(KINDS[kind], size, slot[40:]) // EVENT_SIZE)
        end = at + EVENT_SIZE * (1 + extra)
        if end > len(data):
            break
        crc, = struct.unpack_from("<I", data, 24 + 4 * number)
        if not whole and crc != crc32c(data[at:end]):
            raise reader.bad(f"event {seq} is damaged: wrong checksum")
        found.append((seq, time, branches, KINDS[kind]))
        at = end
    return found


def machine_of(path):
    """(machine type, bytes of RAM, CPUs, whether it has 64 bits) of a file;
    None where it does not tell.

    A file that is damaged tells neither: who opens it says what is wrong.
    """
    try:
        return _machine_of(path)
    except (PbError, OSError):
        return None, None, None, None


def kernel_in(path, kernels):
    """Of @kernels, files as vmlinux is, the first whose banner is in the RAM of
    a file; or None."""
    if not os.path.getsize(path):
        return None                     # nothing can be mapped of it
    with open(path, "rb") as file, \
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as saved:
        for kernel in kernels:
            with open(kernel, "rb") as vmlinux:
                found = BANNER.search(vmlinux.read())
            if found and saved.find(found[0]) >= 0:
                return str(kernel)
    return None


def _machine_of(path):
    machine = ram = cpus = wide = None
    reader = Reader(path)
    with reader.file:
        reader.head()
        while (found := reader.block()) and found[0] <= MEMORY:
            kind, length = found
            data = reader.payload(length)
            if kind == INFO:
                at, size = TEXTS["machine"]
                machine = data[at:at + size].split(b"\0")[0].decode() or None
                cpus, = struct.unpack_from("<I", data, CPUS)
            elif kind == CPUID:
                wide = _has_long_mode(data)
            elif kind == MEMORY:
                ram = _ram(data)
            reader.skip(length)
    return machine, ram, cpus, wide


def _has_long_mode(data):
    """Of the entries of KVM's (struct kvm_cpuid_entry2): function, index,
    flags, EAX to EDX, padding."""
    return any(entry[0] == 0x80000001 and entry[6] >> 29 & 1
               for entry in struct.iter_unpack("<10I", data))


def _ram(data):
    """Bytes of the PC's RAM, of all RAM blocks there are."""
    blocks, _ = struct.unpack_from("<II", data)
    for number in range(blocks):
        name, size = struct.unpack_from("<48sQ", data, 8 + 56 * number)
        if name.split(b"\0")[0] == b"pc.ram":
            return size
    return None


class Evidence:
    """Where the Backup of a file stands, and what it has before it."""

    def __init__(self, path):
        self.events, self.whole, self.info = [], False, {}
        reader = Reader(path)
        with reader.file:
            reader.head()
            self._state(reader)
            self._history(reader)

    def _state(self, reader):
        kind = None
        while kind != START:
            found = reader.block()
            if not found:
                raise reader.bad("the file ends before the Backup's state is "
                                 "complete")
            kind, length = found
            if reader.number == 0:
                if (kind, length) != (INFO, INFO_SIZE):
                    raise reader.bad("expected the info block")
                self._info(reader.payload(length))
            reader.skip(length)

    def _info(self, data):
        self.seq, _, self.branches, self.time = AT.unpack(data[:AT.size])
        for name, (at, size) in TEXTS.items():
            text = data[at:at + size].split(b"\0")[0]
            self.info[name] = text.decode("utf-8", "replace")

    def _history(self, reader):
        while found := reader.block():
            kind, length = found
            data = reader.payload(length)
            if kind == END:
                self.whole = True
                return
            if kind != EVENTS:
                raise reader.bad(f"expected events, got a block of kind "
                                 f"{kind}")
            self.events += _events(reader, data, len(data) == length)
            if len(data) < length:
                return
            reader.skip(length)
