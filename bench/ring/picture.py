# SPDX-License-Identifier: GPL-2.0-or-later
"""Bar charts of the ring's bench, as SVG."""

COLOURS = ("#2471a3", "#b9770e", "#229954", "#884ea0", "#c0392b", "#7f8c8d")


def bars(path, title, groups, names, unit):
    """@groups: {label: {name: value or None}}; logarithmic from 0.1 of the
    least power of ten on, values written above the bars."""
    values = [v for g in groups.values() for v in g.values() if v]
    low, high = 1e-9, 0
    if values:
        low, high = min(values) / 2, max(values) * 1.5
    width = max(60 + len(groups) * (len(names) * 44 + 30), 420)
    out = [f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' "
           "height='340' font-family='sans-serif' font-size='11'>",
           f"<rect width='{width}' height='340' fill='white'/>",
           f"<text x='20' y='20' font-weight='bold'>{title}</text>",
           f"<text x='20' y='36'>{unit}, logarithmic</text>"]
    for i, name in enumerate(names):
        x = 20 + 110 * i
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
    path.write_text("\n".join(out) + "\n</svg>\n", encoding="utf-8")


def log_share(value, low, high):
    from math import log
    return log(value / low) / log(high / low)
