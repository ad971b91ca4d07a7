#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Add up what gcc's counters in the builds of TREE say of our lines: one file
is compiled for several programs, and a line counts as run if it ran in one.

  coverage-sum.py TREE
"""

import collections
import json
import pathlib
import subprocess
import sys

OURS = ("accel", "hw", "ring")


def documents(tree):
    """gcov's words about each file of counters, and where it was compiled."""
    for counters in sorted((tree / "build").rglob("*.gcda")):
        top = tree / "build" / counters.relative_to(tree / "build").parts[0]
        done = subprocess.run(["gcov", "-t", "-j", counters], cwd=top,
                              capture_output=True, text=True, check=False)
        for line in done.stdout.splitlines():
            if line.startswith("{"):
                yield top, json.loads(line)


def add_up(tree):
    """{file: {line: how often it ran}}"""
    lines = collections.defaultdict(collections.Counter)
    for top, document in documents(tree):
        for file in document["files"]:
            path = (top / file["file"]).resolve()
            if not path.is_relative_to(tree):
                continue
            name = path.relative_to(tree)
            if name.parts[0] in OURS:
                for line in file["lines"]:
                    lines[str(name)][line["line_number"]] += line["count"]
    return lines


def main():
    tree = pathlib.Path(sys.argv[1]).resolve()
    lines = add_up(tree)
    (tree / "lines.json").write_text(json.dumps(lines))
    rows = [(sum(count > 0 for count in file.values()), len(file), name)
            for name, file in lines.items()]
    if not rows:
        sys.exit("coverage-sum.py: no counters in the builds of "
                 f"{tree}: did its tests run?")
    rows.sort(key=lambda row: row[0] / row[1])
    rows.append((sum(r[0] for r in rows), sum(r[1] for r in rows), "all"))
    for ran, total, name in rows:
        print(f"{100 * ran / total:5.1f} %  {ran:5} of {total:5}  {name}")


if __name__ == "__main__":
    main()
