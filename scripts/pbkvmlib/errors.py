# SPDX-License-Identifier: GPL-2.0-or-later
"""The project's one form of error, and what exit statuses mean."""

OK = 0
FAILED = 1          # tried, and it did not work; or the answer is no
WRONG_CALL = 2      # the command line
NO_MACHINE = 3      # no such machine runs, or one must be named
NOT_OFFERED = 4     # this QEMU cannot do that
NOT_BUILT = 5       # a part or a program is missing
INTERRUPTED = 130   # Ctrl-C


class PbError(Exception):
    """Ends the command with @status."""

    def __init__(self, what, expected, got, todo, status=FAILED):
        super().__init__(what)
        self.parts = (("expected", expected), ("got", got), ("to do", todo))
        self.status = status

    def __str__(self):
        text = f"pbkvm: error: {self.args[0]}"
        for name, value in self.parts:
            value = str(value).replace("\n", "\n            ")
            text += f"\n  {name + ':':<10}{value}"
        return text
