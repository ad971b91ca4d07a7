#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes the lab's initramfs: initramfs.py OUTPUT INIT MODULES-DIRECTORY

An uncompressed cpio archive ("newc") of /init, the kernel modules that the
lab needs, and the list in which order init loads them.
"""

import lzma
import pathlib
import sys

# Roots of what is loaded, with parameters; dependencies come before them.
WANTED = [
    ("9pnet_virtio", ""),
    ("9p", ""),
    ("kvm-amd", "npt=1"),
]


def fail(message):
    sys.exit(f"lab/build: error: {message}")


def modinfo(blob):
    """Key and value pairs of a module's .modinfo section."""
    for field in (b"\0depends=", b"\0name="):
        at = blob.find(field)
        if at >= 0:
            end = blob.index(b"\0", at + 1)
            yield field[1:-1].decode(), blob[at + len(field):end].decode()


class Modules:
    def __init__(self, directory):
        self.files = {}
        for path in pathlib.Path(directory).rglob("*.ko*"):
            name = path.name.split(".ko")[0].replace("-", "_")
            self.files[name] = path
        self.ordered = []       # (file name, parameters, content)
        self.seen = set()

    def add(self, name, parameters=""):
        name = name.replace("-", "_")
        if name in self.seen:
            return
        self.seen.add(name)
        path = self.files.get(name)
        if not path:
            fail(f"the kernel package has no module {name}")
        blob = path.read_bytes()
        if path.suffix == ".xz":
            blob = lzma.decompress(blob)
        elif path.suffix != ".ko":
            fail(f"{path.name}: expected .ko or .ko.xz")
        for needed in filter(None, dict(modinfo(blob)).get("depends", "")
                             .split(",")):
            self.add(needed)
        self.ordered.append((name + ".ko", parameters, blob))


def entry(name, mode, content=b""):
    """One cpio member: header, name and content, each padded to 4 bytes."""
    fields = [0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
    out = b"070701" + b"".join(b"%08X" % field for field in fields)
    out += name.encode() + b"\0"
    out += bytes(-len(out) % 4) + content
    return out + bytes(-len(out) % 4)


def main(output, init, directory):
    modules = Modules(directory)
    for name, parameters in WANTED:
        modules.add(name, parameters)
    order = "".join(f"{name} {parameters}".rstrip() + "\n"
                    for name, parameters, _ in modules.ordered)
    archive = entry("dev", 0o040755) + entry("modules", 0o040755)
    archive += entry("init", 0o100755, pathlib.Path(init).read_bytes())
    archive += entry("modules/list", 0o100644, order.encode())
    for name, _, blob in modules.ordered:
        archive += entry("modules/" + name, 0o100644, blob)
    archive += entry("TRAILER!!!", 0)
    pathlib.Path(output).write_bytes(archive)


if __name__ == "__main__":
    main(*sys.argv[1:])
