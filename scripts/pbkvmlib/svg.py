# SPDX-License-Identifier: GPL-2.0-or-later
"""Draws samples of a machine as an SVG: four panels over one time axis."""

from xml.sax.saxutils import escape

WIDTH = 960
LEFT, RIGHT, TOP = 80, 20, 60
GAP = 46
PRIMARY, BACKUP, WANTED, RING = "#c0392b", "#2471a3", "#888888", "#7d6608"
KINDS = ("#2471a3", "#229954", "#b9770e", "#8e44ad", "#16a085", "#7b241c")
MARKS = {"panic": "#c0392b", "freeze": "#2471a3", "thaw": "#229954",
         "diverged": "#8e44ad", "end": "#555555"}
TICKS = (1, 2, 5)
FONT = "font-family='sans-serif' font-size='12'"


def tick_step(span, about=6):
    """A round step that divides @span into about so many parts."""
    step = 1e-6
    while True:
        for factor in TICKS:
            if span / (step * factor) <= about:
                return step * factor
        step *= 10


def number(value):
    # Without the sign of a negative zero.
    return f"{value + 0.0:.6f}".rstrip("0").rstrip(".") or "0"


class Panel:
    """One diagram: maps values to points and collects SVG elements."""

    def __init__(self, title, y, height, x_range, y_range):
        self.y, self.height = y, height
        self.x0, self.x1 = x_range
        self.y0, self.y1 = y_range
        if self.y1 <= self.y0:
            self.y1 = self.y0 + 1
        self.parts = []
        self.text(LEFT, y - 8, title, weight="bold")
        self._grid()

    def px(self, x):
        return LEFT + (x - self.x0) / (self.x1 - self.x0) * (
            WIDTH - LEFT - RIGHT)

    def py(self, y):
        return self.y + self.height * (1 - (y - self.y0) /
                                       (self.y1 - self.y0))

    def text(self, x, y, text, anchor="start", colour="#222222",
             weight="normal"):
        self.parts.append(
            f"<text x='{x:.1f}' y='{y:.1f}' {FONT} fill='{colour}' "
            f"font-weight='{weight}' text-anchor='{anchor}'>"
            f"{escape(text)}</text>")

    def line(self, x1, y1, x2, y2, colour, extra=""):
        self.parts.append(
            f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' "
            f"stroke='{colour}' {extra}/>")

    def _grid(self):
        step = tick_step(self.y1 - self.y0, 4)
        value = -(-self.y0 // step) * step
        while value <= self.y1 + step * 1e-6:
            y = self.py(value)
            self.line(LEFT, y, WIDTH - RIGHT, y, "#dddddd")
            self.text(LEFT - 6, y + 4, number(value), "end")
            value += step
        step = tick_step(self.x1 - self.x0, 10)
        value = -(-self.x0 // step) * step
        while value <= self.x1 + step * 1e-6:
            x = self.px(value)
            self.line(x, self.y, x, self.y + self.height, "#eeeeee")
            self.text(x, self.y + self.height + 15, number(value), "middle")
            value += step

    def curve(self, points, colour, extra="stroke-width='1.6'"):
        path = " ".join(f"{self.px(x):.1f},{self.py(y):.1f}"
                        for x, y in points)
        self.parts.append(f"<polyline points='{path}' fill='none' "
                          f"stroke='{colour}' {extra}/>")

    def marks(self, marks, with_text):
        for index, mark in enumerate(marks):
            x = self.px(mark["t"])
            colour = MARKS.get(mark["kind"], "#555555")
            self.line(x, self.y, x, self.y + self.height, colour,
                      "stroke-dasharray='4 3'")
            if with_text:
                late = x > WIDTH * 0.7
                self.text(x + (-4 if late else 4),
                          self.y + 14 + 14 * (index % 4), mark["text"],
                          "end" if late else "start", colour)


def legend(panel, entries):
    x = WIDTH - RIGHT
    for text, colour in reversed(entries):
        panel.text(x, panel.y - 8, text, "end", colour, "bold")
        x -= 8 * len(text) + 16


def rate(samples, count):
    """[(moment, per s)] of what count(sample) counts, between samples."""
    return [(b["t"], (count(b) - count(a)) / (b["t"] - a["t"]))
            for a, b in zip(samples, samples[1:]) if b["t"] > a["t"]]


def event_rates(samples):
    """[(name, colour, curve)]: all events, then the commonest kinds."""
    result = [("all", PRIMARY,
               rate(samples, lambda sample: sample["events-written"]))]
    last = samples[-1].get("kinds", {})
    common = sorted(last, key=last.get, reverse=True)[:len(KINDS)]
    for kind, colour in zip(common, KINDS):
        result.append((kind, colour, rate(
            samples, lambda sample, kind=kind: sample["kinds"].get(kind, 0))))
    return result


def _curve(samples, key, scale=1):
    return [(s["t"], s[key] / scale) for s in samples]


def _top(*curves):
    return max((y for curve in curves for _, y in curve), default=1) * 1.08


class Picture:
    """Panels below each other."""

    def __init__(self, samples):
        self.samples = samples
        self.x_range = 0, max(samples[-1]["t"], 1e-3)
        self.y, self.panels = TOP + 20, []

    def panel(self, title, height, low, high):
        self.panels.append(Panel(title, self.y, height, self.x_range,
                                 (low, high)))
        self.y += height + GAP
        return self.panels[-1]

    def positions(self):
        primary = _curve(self.samples, "primary-time", 1e9)
        backup = _curve(self.samples, "backup-time", 1e9)
        panel = self.panel("position, in s of Primary time", 220,
                           min(v for _, v in backup), _top(primary))
        panel.curve(primary, PRIMARY)
        panel.curve(backup, BACKUP)
        legend(panel, [("Primary", PRIMARY), ("Backup", BACKUP)])

    def lag(self):
        lag = _curve(self.samples, "lag-now")
        curves, names = [lag], [("lag", BACKUP)]
        if "lag-wanted" in self.samples[0]:
            curves.append(_curve(self.samples, "lag-wanted"))
            names.insert(0, ("wanted", WANTED))
        panel = self.panel("lag, in ms", 110, 0, _top(*curves))
        for wanted in curves[1:]:
            panel.curve(wanted, WANTED, "stroke-dasharray='6 4'")
        panel.curve(lag, BACKUP)
        legend(panel, names)

    def ring(self):
        ring = [(s["t"], 100 * s["ring-used"] / s["ring-size"])
                for s in self.samples]
        self.panel("ring, in % full", 80, 0,
                   max(1, _top(ring))).curve(ring, RING)

    def branches(self):
        """How busy the guest was."""
        curve = rate(self.samples, lambda sample: sample["branches"] / 1e6)
        self.panel("million branches per s", 80, 0,
                   max(1, _top(curve))).curve(curve, RING)

    def events(self):
        rates = event_rates(self.samples)
        panel = self.panel("events recorded per s", 110, 0,
                           max(1, _top(*(curve for _, _, curve in rates))))
        for _, colour, curve in reversed(rates):
            panel.curve(curve, colour)
        legend(panel, [(name, colour) for name, colour, _ in rates])


def draw(data):
    """The SVG of @data (see timeline.Sampler, timeline.draw_evidence)."""
    picture = Picture(data["samples"])
    picture.positions()
    picture.lag()
    if "ring-used" in data["samples"][0]:
        picture.ring()
    else:
        picture.branches()
    picture.events()
    for one in picture.panels:
        one.marks(data["marks"], one is picture.panels[0])
    y = picture.y
    picture.panels[-1].text(WIDTH - RIGHT, y - 12,
                            data.get("axis", "s since sampling began"), "end")
    body = "\n".join(part for one in picture.panels for part in one.parts)
    return (f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' "
            f"height='{y}' viewBox='0 0 {WIDTH} {y}'>\n"
            f"<rect width='{WIDTH}' height='{y}' fill='white'/>\n"
            f"<text x='{LEFT}' y='32' {FONT} style='font-size:18px'>pbkvm: "
            f"{escape(title_of(data))}</text>\n"
            f"{body}\n</svg>\n")


def title_of(data):
    return data.get("title") or f"machine {data['machine']}"


def page(data, picture):
    """The @picture of @data in a page of HTML, with its marks in words."""
    rows = "\n".join(f"<li>{mark['t']:.3f} s: {escape(mark['text'])}</li>"
                     for mark in data["marks"])
    return ("<!DOCTYPE html>\n<html lang='en'><meta charset='utf-8'>"
            f"<title>pbkvm: {escape(title_of(data))}</title>\n"
            f"<body>\n{picture}<ul>\n{rows}\n</ul>\n</body></html>\n")
