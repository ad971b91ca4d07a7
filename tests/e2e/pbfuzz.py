# SPDX-License-Identifier: GPL-2.0-or-later
"""What the fuzzers share: values at the limits, and what an error must be."""

from pbgdb import expect

NUMBERS = [0, 1, 2, -1, 99, 3600000, 3600001, 10 ** 12, 10 ** 12 + 1,
           2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 63 - 1, 2 ** 63,
           2 ** 64 - 1, 2 ** 64, -2 ** 63, 1.5, 1e308]
TEXTS = ["", "x", "/", "/nonexistent/x", "/dev/null", "x" * 300,
         "/" + "x" * 5000, "%s%n%999999d", "\u00e4\u20ac", "two\nlines",
         "\a\x1b[2J", "auto", "on", "0x10", "-1"]
OTHERS = [None, True, False, [], {}, [1], {"x": 1}]
OF_TYPE = {"int": NUMBERS, "str": TEXTS, "bool": [True, False]}


def clear(text, given):
    """An error is one line that says enough."""
    expect(text.isprintable() and len(text) >= 15 and text[-1] != ":" and
           len(text) <= 300 + 2 * len(given),    # QEMU says it, and we do
           f"{text[:500]!r} is not one clear line, for {given[:500]}")
