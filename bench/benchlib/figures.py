# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures: quantiles, straight lines, tables."""

import math
import os
import platform
import statistics
import time

from benchlib.machine import place


def quantile(values, share):
    """The value below which SHARE of the sorted VALUES are."""
    return values[min(int(len(values) * share), len(values) - 1)]


def median(values):
    """Of those that are there; None if there are none."""
    there = [value for value in values if value is not None]
    return statistics.median(there) if there else None


def line(points):
    """(a, b, r2) of the straight line a + b x closest to POINTS."""
    fit = statistics.linear_regression(*zip(*points))
    ys = [y for _, y in points]
    mean = statistics.fmean(ys)
    off = sum((y - fit.intercept - fit.slope * x) ** 2 for x, y in points)
    whole = sum((y - mean) ** 2 for y in ys)
    return fit.intercept, fit.slope, 1 - off / whole if whole else 1.0


def number(value, digits=1):
    """"-" for what was not measured."""
    if value is None or math.isnan(value):
        return "-"
    return f"{value:.{digits}f}"


def row(head, cells, first=22, width=10):
    print(f"{head:{first}}" + "".join(f"{cell:>{width}}" for cell in cells),
          flush=True)


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for text in file:
            if text.startswith("model name"):
                return text.split(":", 1)[1].strip()
    return platform.machine()


def heading(title, where=None):
    """What, where and when; and whether the machine had other work."""
    load = os.getloadavg()[0]
    print(f"{title}\n  {time.strftime('%Y-%m-%d')}, in {where or place()}, "
          f"{os.cpu_count()} x {processor()}, load before {load:.1f}",
          flush=True)
