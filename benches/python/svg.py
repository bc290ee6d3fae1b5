"""Small charts as SVG text, in the colours of the page that they stand in.

Colours are CSS variables, so that one chart serves light and dark backgrounds. What a mark stands
for is its `<title>`, which browsers show under the pointer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from shown import escaped

Mark = tuple[float, str, str]  # a value, a colour, what it says


def strip(marks: Sequence[Mark], bar: Mark | None, least: float, most: float, width: int) -> str:
    """One row on a logarithmic axis: a bar from 1 to its value, and points."""
    height = 22

    def x(value: float) -> float:
        part = math.log(max(least, min(most, value)) / least) / math.log(most / least)
        return round(6 + part * (width - 12), 1)

    parts = [
        f'<svg class="strip" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    ]
    for tick in ticks(least, most):
        kind = "one" if tick == 1 else "grid"
        parts.append(f'<line class="{kind}" x1="{x(tick)}" x2="{x(tick)}" y1="0" y2="{height}"/>')
    if bar:
        left, right = sorted((x(bar[0]), x(1)))
        parts.append(
            f'<rect x="{left}" y="5" width="{max(right - left, 1):.1f}" height="12" rx="2" '
            f'fill="{bar[1]}"><title>{escaped(bar[2])}</title></rect>'
        )
    for value, colour, says in marks:
        parts.append(
            f'<circle class="dot" cx="{x(value)}" cy="11" r="4.2" fill="{colour}">'
            f"<title>{escaped(says)}</title></circle>"
        )
    return "".join(parts) + "</svg>"


def scale(least: float, most: float, width: int) -> str:
    """The numbers under (or over) strips."""
    parts = [f'<svg class="strip" viewBox="0 0 {width} 16" width="{width}" height="16">']
    for tick in ticks(least, most):
        at = 6 + math.log(tick / least) / math.log(most / least) * (width - 12)
        parts.append(f'<text x="{at:.1f}" y="12" text-anchor="middle">{tick:g}</text>')
    return "".join(parts) + "</svg>"


def ticks(least: float, most: float) -> list[float]:
    """1, 2 and 5 times the powers of ten, thinned out where there are many."""
    powers = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    steps = (1, 2, 5) if most / least < 500 else (1, 3)
    every = (step * 10.0**power for power in powers for step in steps)
    return [round(tick, 6) for tick in every if least <= tick <= most]


def lines(named: dict[str, tuple[str, str, list[tuple[int, float]]]], title: str) -> str:
    """Lines on two logarithmic axes. named: colour, dashes, points."""
    width, height, left, right, top, bottom = 350, 230, 46, 12, 26, 26
    every = [point for _, _, points in named.values() for point in points]
    (x0, x1), (y0, y1) = ((min(v), max(v)) for v in zip(*every, strict=True))
    y0, y1 = y0 / 1.3, y1 * 1.3

    def x(n: float) -> float:
        return left + math.log(n / x0) / math.log(x1 / x0 or 10) * (width - left - right)

    def y(ns: float) -> float:
        return height - bottom - math.log(ns / y0) / math.log(y1 / y0) * (height - top - bottom)

    parts = [
        f'<svg class="lines" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f'<text class="title" x="4" y="14">{escaped(title)}</text>',
    ]
    for tick in ticks(y0, y1):
        ends = f'x1="{left}" x2="{width - right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"'
        parts.append(f'<line class="grid" {ends}/>')
        parts.append(
            f'<text x="{left - 5}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:,g}</text>'
        )
    for n in sorted({n for n, _ in every}):
        text = f"10<tspan dy='-5' font-size='8'>{round(math.log10(n))}</tspan>"
        parts.append(f'<text x="{x(n):.1f}" y="{height - 8}" text-anchor="middle">{text}</text>')
    for name, (colour, dashes, points) in named.items():
        path = " ".join(f"{x(n):.1f},{y(ns):.1f}" for n, ns in points)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.2" '
            f'stroke-dasharray="{dashes}"/>'
        )
        parts += [
            f'<circle cx="{x(n):.1f}" cy="{y(ns):.1f}" r="3.4" fill="{colour}">'
            f"<title>{escaped(f'{name}, n = {n:,}: {ns:,.1f} ns')}</title></circle>"
            for n, ns in points
        ]
    return "".join(parts) + "</svg>"
