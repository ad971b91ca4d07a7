# SPDX-License-Identifier: GPL-2.0-or-later
"""Small evidence files, written as docs/evidence.md says, for the tests of
what reads them in scripts/. No QEMU would open them: they hold no RAM.
"""

import struct
import sys

from front import TOP

sys.path.insert(0, str(TOP / "scripts"))

from pbkvmlib import evidence                               # noqa: E402

FIRST, TIME, STEP, BRANCHES = 100, 2_000_000_000, 10_000_000, 5000
CRC = evidence.crc32c


def event(seq, time, kind, branches=0, body=b"", extra=b""):
    number = evidence.KINDS.index(kind)
    head = struct.pack("<QQQQBBHI", seq, time, branches, 0, number, 0, 0, 0)
    return head + body.ljust(24, b"\0") + \
        extra.ljust(-(-len(extra) // 64) * 64, b"\0")


def history():
    """50 events, one each 10 ms, and a panic behind them."""
    found = []
    for index in range(50):
        seq, time = FIRST + 1 + index, TIME + (index + 1) * STEP
        if index % 5 == 1:
            data = b"device" * 20
            found.append(event(seq, time, "mem-write", body=struct.pack(
                "<QIIQ", 4096, 0, len(data), 0), extra=data))
        else:
            found.append(event(seq, time, "irq" if index % 2 else "mark",
                               BRANCHES + 100 * index))
    found.append(event(FIRST + 51, TIME + 50 * STEP, "panic"))
    return found


def block(number, kind, payload):
    head = struct.pack("<IIQIII", evidence.MARK, kind, len(payload), number,
                       CRC(payload), 0)
    return head + struct.pack("<I", CRC(head)) + payload


def head(version=evidence.VERSION):
    data = evidence.MAGIC + struct.pack(
        "<5I", version, evidence.EVENT_VERSION, 64, 4096, evidence.INFO_SIZE)
    data = data.ljust(60, b"\0")
    return data + struct.pack("<I", CRC(data))


def info(cpus):
    data = bytearray(evidence.INFO_SIZE)
    struct.pack_into("<I", data, evidence.CPUS, cpus)
    evidence.AT.pack_into(data, 0, FIRST, 0, BRANCHES, TIME)
    for name, text in (("cpu", b"A CPU"), ("machine", b"pc-i440fx-10.0")):
        at, _ = evidence.TEXTS[name]
        data[at:at + len(text)] = text
    return bytes(data)


def cpuid(wide):
    """Two entries of KVM's; WIDE: of a processor with 64 bits."""
    return struct.pack("<20I", 1, 0, 0, 1, 2, 3, 1 << 29, 0, 0, 0,
                       0x80000001, 0, 0, 0, 0, 0, wide << 29, 0, 0, 0)


def parts(wide=False, cpus=1):
    """The file's head and its blocks."""
    events = history()
    slots = b"".join(events)
    table = b"".join(struct.pack("<I", CRC(one)) for one in events)
    start = struct.pack("<QIII", FIRST + 1, len(events), len(slots) // 64, 0)
    start += struct.pack("<I", CRC(start + table))
    memory = struct.pack("<II48sQ48sQ", 2, 64, b"pc.bios", 262144,
                         b"pc.ram", 64 << 20) + bytes(64 * 32)
    payloads = [(1, info(cpus)), *[(2, cpuid(wide))] * cpus, (3, memory),
                *[(4, bytes(4096))] * cpus, (6, bytes(16)),
                (7, start + table + slots),
                (8, struct.pack("<QQ", len(events), FIRST + len(events)))]
    return [head(), *(block(number, kind, payload) for number,
                      (kind, payload) in enumerate(payloads, 1))]


def whole(wide=False, cpus=1):
    return b"".join(parts(wide, cpus))


def torn():
    """Without its end and the last two events."""
    return b"".join(parts()[:-1])[:-100]


def damaged():
    """[(name, bytes, exit status, words)]"""
    good = parts()
    flip = bytearray(good[6])
    flip[-200] ^= 1
    cut = b"".join(good[:4])
    return [
        ("version", b"".join([head(evidence.VERSION + 1), *good[1:]]), 4,
         "another version of evidence files"),
        ("head", good[0][:20] + b"x" + good[0][21:], 1, "damaged"),
        ("events", b"".join([*good[:6], bytes(flip), good[7]]), 1,
         "block 6 at byte"),
        ("cut", cut, 1, "the file ends before the Backup's state is "
         "complete"),
        ("order", b"".join([*good[:2], *good[3:]]), 1,
         "the block's head is damaged"),
        ("empty history", b"".join([*good[:6], block(6, 8, bytes(16))]), 1,
         "too little was seen to draw"),
    ]
