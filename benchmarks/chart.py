"""A bar chart as SVG, by hand: one pair of bars a case, on a logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from itertools import cycle

from benchmarks.report import SHOWN, Line

LABELS = 330
BARS = 420
RIGHT = 120
BAR = 14
GAP = 16
COLORS = ("#2a6f4e", "#b9b4aa", "#4a6fa5", "#c08a3e", "#8a5a83")
INK = "#222"


def chart(lines: Sequence[Line], title: str) -> str:
    """Bars of each line's medians; the quantity with the smaller bar first is the reader's to judge by its name."""
    lines = [line for line in lines if all(median > 0 for median, _, _ in line.sides.values())]
    if not lines:
        return _document(title, [], 40)
    values = [median for line in lines for median, _, _ in line.sides.values()]
    low = 10 ** math.floor(math.log10(min(values)))
    high = max(values)
    sides = dict.fromkeys(side for line in lines for side in line.sides)
    colors = dict(zip(sides, cycle(COLORS), strict=False))
    parts = []
    top = 60
    for line in lines:
        parts.append(_text(LABELS - 8, top + BAR, f"{line.case}: {SHOWN[line.quantity]}", anchor="end"))
        for place, (side, (median, _, _)) in enumerate(line.sides.items()):
            width = max(2.0, BARS * math.log(median / low) / max(math.log(high / low), 1e-9))
            y = top + place * BAR
            parts.append(f'<rect x="{LABELS}" y="{y}" width="{width:.0f}" height="{BAR - 2}" fill="{colors[side]}"/>')
            if line.ratio and place == 0:
                better = f"  ({line.ratio:.1f}x)"
            else:
                better = ""
            parts.append(_text(LABELS + width + 5, y + BAR - 4, f"{median:,.3g}{better}"))
        top += BAR * len(line.sides) + GAP
    legend = []
    for place, (side, color) in enumerate(colors.items()):
        x = LABELS + place * 110
        legend.append(f'<rect x="{x}" y="34" width="10" height="10" fill="{color}"/>')
        legend.append(_text(x + 15, 43, side))
    return _document(title, legend + parts, top)


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(text)}</text>'


def _document(title: str, parts: Sequence[str], height: float) -> str:
    width = LABELS + BARS + RIGHT
    start = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}" width="{width}"'
    style = f'font-family="system-ui, sans-serif" font-size="11" fill="{INK}"'
    heading = f'<text x="8" y="20" font-size="14" font-weight="600">{escape(title)} (logarithmic)</text>'
    paper = '<rect width="100%" height="100%" fill="white"/>'
    return "\n".join([f"{start} {style}>", paper, heading, *parts, "</svg>", ""])
