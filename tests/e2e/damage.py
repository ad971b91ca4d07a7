# SPDX-License-Identifier: GPL-2.0-or-later
"""What can be wrong with an evidence file, and what must be said then.

DAMAGES: name -> function of the file's bytes and the path of the damaged one,
which returns the damaged bytes and what QEMU must print.
"""

import struct
import sys

from pbvm import TOP

sys.path.insert(0, str(TOP / "scripts"))

from pbkvmlib.evidence import (BLOCK, BLOCK_SIZE, CPUS,  # noqa: E402
                               EVENT_VERSION, HEAD_SIZE, VERSION, crc32c)

KINDS = {1: "info", 2: "cpuid", 3: "memory", 4: "state", 5: "pages",
         6: "start", 7: "events", 8: "end", 9: "point", 10: "disk",
         11: "undo"}
VENDOR = CPUS + 4             # PbEvidenceInfo.vendor, behind .cpus
CPUID_ENTRY = 40              # struct kvm_cpuid_entry2: ECX is at 20
DAMAGED = "damaged: wrong checksum"


def blocks(data):
    """{kind: (number, offset, length of the payload)} of the first ones."""
    found, at = {}, HEAD_SIZE
    while at < len(data):
        _, kind, length, number, *_ = BLOCK.unpack_from(data, at)
        found.setdefault(KINDS[kind], (number, at, length))
        at += BLOCK_SIZE + length
    return found


def seal(data, at, length):
    """Make the block's checksums right again."""
    start = at + BLOCK_SIZE
    struct.pack_into("<I", data, at + 20, crc32c(data[start:start + length]))
    struct.pack_into("<I", data, at + 28, crc32c(data[at:at + 28]))


def nothing_of_ours(_, path):
    return b"hello\n" * 20, f"pbkvm: {path}: this is no evidence file of pbkvm"


def empty(_, path):
    return b"", f"pbkvm: {path}: this is no evidence file of pbkvm: too short"


def version(data, path):
    data = bytearray(data)
    struct.pack_into("<I", data, 8, VERSION + 1)
    struct.pack_into("<I", data, 60, crc32c(data[:60]))
    return data, (f"pbkvm: {path}: another version of the format: version "
                  f"{VERSION + 1} with events of version {EVENT_VERSION}, "
                  f"expected {VERSION} and {EVENT_VERSION}; open it with the "
                  "pbkvm that wrote it")


def vendor(data, path):
    """Written on a CPU of the other vendor."""
    data = bytearray(data)
    _, at, length = blocks(data)["info"]
    name = at + BLOCK_SIZE + VENDOR
    mine = bytes(data[name:name + 12]).decode()
    other = "GenuineIntel" if mine == "AuthenticAMD" else "AuthenticAMD"
    data[name:name + 12] = other.encode()
    seal(data, at, length)
    return data, (f"pbkvm: {path} cannot be replayed on this host: the file "
                  f"needs a CPU of {other}, this host's is of {mine}; it was "
                  "written on: ")


def feature(data, path):
    """Written on a CPU with a feature that no CPU has."""
    data = bytearray(data)
    _, at, length = blocks(data)["cpuid"]
    for entry in range(at + BLOCK_SIZE, at + BLOCK_SIZE + length,
                       CPUID_ENTRY):
        if struct.unpack_from("<II", data, entry) == (1, 0):
            ecx, = struct.unpack_from("<I", data, entry + 20)
            struct.pack_into("<I", data, entry + 20, ecx | 1 << 16)
    seal(data, at, length)
    return data, (f"pbkvm: {path} cannot be replayed on this host: the file "
                  "needs CPU features that this host lacks: CPUID 0x1.0 ECX "
                  "bit 16; it was written on: ")


def cut(data, path):
    """Before the Backup's state is whole."""
    _, at, length = blocks(data)["state"]
    return data[:at + BLOCK_SIZE + length // 2], \
        (f"pbkvm: {path}: the file ends before the Backup's state is "
         "complete: it cannot be opened")


def flipped_head(data, path):
    data = bytearray(data)
    data[12] ^= 4
    return data, f"pbkvm: {path}: the file's head is {DAMAGED}"


def flipped_block_head(data, path):
    data = bytearray(data)
    number, at, _ = blocks(data)["memory"]
    data[at + 9] ^= 1
    return data, (f"pbkvm: {path}: block {number} at byte {at}: the block's "
                  f"head is {DAMAGED}")


def flipped(kind):
    """One bit in the middle of the payload of the first block of KIND."""
    def damage(data, path):
        data = bytearray(data)
        number, at, length = blocks(data)[kind]
        data[at + BLOCK_SIZE + length // 2] ^= 16
        return data, (f"pbkvm: {path}: block {number} at byte {at}: {kind}: "
                      f"{DAMAGED}")
    return damage


DAMAGES = {
    "nothing-of-ours": nothing_of_ours, "empty": empty, "version": version,
    "vendor": vendor, "feature": feature, "cut": cut,
    "flipped-head": flipped_head, "flipped-block-head": flipped_block_head,
    **{f"flipped-{kind}": flipped(kind)
       for kind in ("info", "cpuid", "state", "point", "pages", "events")},
}
