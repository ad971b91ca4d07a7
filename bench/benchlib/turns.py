# SPDX-License-Identifier: GPL-2.0-or-later
"""Machines that take turns at the same loads, and the table of what each
load cost them."""

from benchlib.figures import median, number, row

FIRST, WIDTH = 41, 9


def take_turns(kinds, runs, one_life):
    """{kind: [ONE_LIFE(kind, turn), ...]}, beginning with another one of KINDS
    each time."""
    lives = {kind: [] for kind in kinds}
    for turn in range(runs):
        at = turn % len(kinds)
        for kind in kinds[at:] + kinds[:at]:
            lives[kind].append(one_life(kind, turn))
    return lives


def show(title, load, lives, titles, columns):
    """Medians of LOAD in all LIVES, by kind; seconds also as the median of
    their ratios, each to the first kind's of its turn. COLUMNS: what to show
    besides, as (heading, figure's name, digits)."""
    row(f"\n{title}", ["seconds", "x plain",
                       *(heading for heading, _, _ in columns)], FIRST, WIDTH)
    plain = [life[load]["seconds"] for life in next(iter(lives.values()))]
    for kind, mine in lives.items():
        runs = [life[load] for life in mine]
        seconds = [run["seconds"] for run in runs]
        ratio = median([mine / other for mine, other in zip(seconds, plain)])
        row(f"  {titles[kind]}",
            [number(median(seconds), 2), number(ratio, 2),
             *(number(median([run.get(name) for run in runs]), digits)
               for _, name, digits in columns)], FIRST - 1, WIDTH)
