# SPDX-License-Identifier: GPL-2.0-or-later
"""The inputs a fuzz target starts from: one per line, in hex.

A line after a comment is there for a reason (a bug it found) and stays;
the others come and go with `tests/fuzz/run --keep`.
"""

import hashlib
import shutil

# A target's other inputs, in bytes.
MOST = 1500


class Corpus:
    def __init__(self, here, name):
        self.path = here / "corpus" / f"{name}.hex"
        lines = (self.path.read_text(encoding="ascii").splitlines()
                 if self.path.exists() else [])
        self.reasons = []
        self.others = []
        for before, line in zip([""] + lines, lines):
            if line.startswith("#"):
                self.reasons.append(line)
            elif before.startswith("#") and "SPDX" not in before:
                self.reasons.append(line)
            elif line:
                self.others.append(line)

    def unpack(self, folder, empty=False):
        """Write them as files to @folder, which libFuzzer reads."""
        if empty:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        for line in self.reasons + self.others:
            if not line.startswith("#"):
                data = bytes.fromhex(line)
                (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)
        return folder

    def keep(self, folder):
        """The shortest of @folder's inputs, besides those with a reason."""
        room = MOST
        lines = []
        for data in sorted((path.read_bytes() for path in folder.iterdir()),
                           key=lambda data: (len(data), data)):
            room -= len(data)
            if room >= 0 and data and data.hex() not in self.reasons:
                lines.append(data.hex())
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_text("\n".join(self.reasons + [""] + lines) + "\n",
                             encoding="ascii")
