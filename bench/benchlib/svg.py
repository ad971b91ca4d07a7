# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures of the benches, as SVG."""

from math import log

COLOURS = ("#2471a3", "#b9770e", "#229954", "#884ea0", "#c0392b", "#7f8c8d")


def bars(path, title, groups, names, unit):
    """@groups: {label: {name: value or None}}; logarithmic from 0.1 of the
    least power of ten on, values written above the bars."""
    values = [v for g in groups.values() for v in g.values() if v]
    low, high = 1e-9, 0
    if values:
        low, high = min(values) / 2, max(values) * 1.5
    width = max(60 + len(groups) * (len(names) * 44 + 30),
                20 + 130 * len(names))
    out = [f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' "
           "height='340' font-family='sans-serif' font-size='11'>",
           f"<rect width='{width}' height='340' fill='white'/>",
           f"<text x='20' y='20' font-weight='bold'>{title}</text>",
           f"<text x='20' y='36'>{unit}, logarithmic</text>"]
    for i, name in enumerate(names):
        x = 20 + 130 * i
        out.append(f"<rect x='{x}' y='322' width='10' height='10' "
                   f"fill='{COLOURS[i]}'/><text x='{x + 14}' y='331'>{name}"
                   "</text>")
    x = 30
    for label, group in groups.items():
        for i, name in enumerate(names):
            value = group.get(name)
            if value:
                tall = 230 * log_share(value, low, high)
                out.append(f"<rect x='{x}' y='{290 - tall:.1f}' width='38' "
                           f"height='{tall:.1f}' fill='{COLOURS[i]}'/>"
                           f"<text x='{x + 19}' y='{286 - tall:.1f}' "
                           f"text-anchor='middle'>{value:.3g}</text>")
            x += 44
        out.append(f"<text x='{x - 22 * len(names)}' y='306' "
                   f"text-anchor='middle'>{label}</text>")
        x += 30
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(out) + "\n</svg>\n", encoding="utf-8")


def log_share(value, low, high):
    return log(value / low) / log(high / low)


def thinned(points, most=400):
    """Enough of them for a picture, the last one too."""
    return points[::-max(len(points) // most, 1)][::-1]


def axis(values_of, logarithmic):
    """(x of a value, value of a share of the width) for sorted values, of
    which the last 0.5 % are cut off."""
    right = max(v[min(int(len(v) * 0.995), len(v) - 1)] for v in values_of)
    left = min(v[0] for v in values_of)
    left = max(left, 1) if logarithmic else left
    right = max(right, left + 1)

    def at(value):
        value = min(max(value, left), right)
        return 60 + 560 * (log_share(value, left, right) if logarithmic
                           else (value - left) / (right - left))

    def value_of(share):
        return (left * (right / left) ** share if logarithmic
                else left + (right - left) * share)

    return at, value_of


def shares(path, title, curves, unit, logarithmic=False):
    """@curves: {name: sorted values}; x: a value, y: the share of the values
    that are at most so much."""
    at, value_of = axis(list(curves.values()), logarithmic)
    out = ["<svg xmlns='http://www.w3.org/2000/svg' width='640' height='320' "
           "font-family='sans-serif' font-size='12'>",
           "<rect width='640' height='320' fill='white'/>",
           f"<text x='60' y='20' font-weight='bold'>{title}</text>",
           f"<text x='620' y='314' text-anchor='end'>{unit}</text>"]
    for percent in (0, 50, 90, 100):
        y = 280 - 240 * percent / 100
        out.append(f"<line x1='60' x2='620' y1='{y}' y2='{y}' stroke='#ddd'/>"
                   f"<text x='52' y='{y + 4}' text-anchor='end'>{percent} %"
                   "</text>")
    for value in (value_of(i / 5) for i in range(6)):
        out.append(f"<text x='{at(value):.0f}' y='298' "
                   f"text-anchor='middle'>{value:.0f}</text>")
    for n, (name, values) in enumerate(curves.items()):
        points = " ".join(
            f"{at(v):.1f},{280 - 240 * (i + 1) / len(values):.1f}"
            for i, v in thinned(list(enumerate(values))))
        out.append(f"<polyline points='{points}' fill='none' "
                   f"stroke='{COLOURS[n]}' stroke-width='2'/>"
                   f"<text x='{60 + 100 * n}' y='314' fill='{COLOURS[n]}'>"
                   f"{name}</text>")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(out) + "\n</svg>\n", encoding="utf-8")
