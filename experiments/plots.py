"""Plots as inline SVG: drawn in the page's own colours, sharp on any screen, readable in light and dark.

Every plot carries a title and a description for people who cannot see it. Nothing in it is fetched.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LEFT, RIGHT, TOP, ROW = 480, 124, 58, 10, 25
"""Pixels: of a plot, its label gutters, its head, one row. Narrow, so that a phone need not shrink the words."""


@dataclass(frozen=True)
class Spread:
    """One row of a plot: a value with its interval, or two values with the line between them.

    Attributes:
        name: The row's label.
        low: The left end.
        value: The dot; the right end of a pair.
        high: The right end of an interval; None for a pair.
        kind: CSS class: flagship, baseline, control or reference.
        label: What to write at the right end.
    """

    name: str
    low: float
    value: float
    high: float | None
    kind: str
    label: str


@dataclass(frozen=True)
class Line:
    """A curve: its name, its points from left to right, its CSS class, and a band around it where there is one.

    Attributes:
        name: The curve's name.
        xs: From left to right.
        ys: Of the points.
        kind: CSS class: flagship, baseline, control or reference.
        lows: The lower edge of the band; empty where there is none.
        highs: The upper edge.
    """

    name: str
    xs: tuple[float, ...]
    ys: tuple[float, ...]
    kind: str = "flagship"
    lows: tuple[float, ...] = ()
    highs: tuple[float, ...] = ()


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Returns about ``count`` round numbers inside [low, high]."""
    span = high - low
    if not span > 0 or not math.isfinite(span):
        return [low]
    rough = span / count
    power = 10.0 ** math.floor(math.log10(rough))
    width = next(step * power for step in (1, 2, 5, 10) if step * power >= rough * 0.999)
    first = math.ceil(low / width - 1e-9)
    return [round(place * width, 12) for place in range(first, math.floor(high / width + 1e-9) + 1)]


def decades(low: float, high: float) -> list[float]:
    """Returns the powers of ten inside [low, high], one more step each side where needed."""
    return [10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]


def _number(value: float) -> str:
    return f"{value / 1000:g}k" if abs(value) >= 10_000 and value % 100 == 0 else f"{value:g}"


def _frame(height: float, title: str, summary: str, body: list[str]) -> str:
    return (
        f'<svg class="plot" viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title, quote=True)}">'
        f"<title>{escape(title)}</title><desc>{escape(summary)}</desc>{''.join(body)}</svg>"
    )


def _text(x: float, y: float, words: str, css: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{css}" text-anchor="{anchor}">{escape(words)}</text>'


def rows_chart(rows: Sequence[Spread], *, title: str, summary: str, axis: str, log: bool = False) -> str:
    """Draws one row per agent: a dot with its interval, or a pair of dots with the line between them.

    Args:
        rows: The rows, top first; at least one.
        title: What it shows, for screen readers.
        summary: The same in a sentence with the numbers that matter.
        axis: What the horizontal axis measures.
        log: Whether that axis is logarithmic; every number is then > 0.
    """
    ends = [end for row in rows for end in (row.low, row.value, row.high) if end is not None]
    marks = decades(min(ends), max(ends)) if log else ticks(min(*ends, 0.0), max(ends))
    low, high = min(*marks, *ends, *(() if log else (0.0,))), max(*marks, *ends)

    def across(value: float) -> float:
        if log:
            share = (math.log(value) - math.log(low)) / max(math.log(high) - math.log(low), 1e-9)
        else:
            share = (value - low) / max(high - low, 1e-9)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    bottom = TOP + ROW * len(rows)
    body = []
    for mark in marks:
        x = across(mark)
        body.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}"/>')
        body.append(_text(x, bottom + 15, _number(mark), "tick", "middle"))
    for place, row in enumerate(rows):
        y = TOP + ROW * (place + 0.5)
        right = row.value if row.high is None else row.high
        body.append(_text(LEFT - 8, y + 4, row.name, f"name {row.kind}", "end"))
        body.append(
            f'<line class="span {row.kind}" x1="{across(row.low):.1f}" x2="{across(right):.1f}" y1="{y}" y2="{y}"/>'
        )
        if row.high is None:
            body.append(f'<circle class="hollow {row.kind}" cx="{across(row.low):.1f}" cy="{y}" r="4"/>')
        body.append(f'<circle class="dot {row.kind}" cx="{across(row.value):.1f}" cy="{y}" r="4.5"/>')
        body.append(_text(WIDTH - 2, y + 4, row.label, f"value {row.kind}", "end"))
    body.append(_text((LEFT + WIDTH - RIGHT) / 2, bottom + 33, axis, "axis", "middle"))
    return _frame(bottom + 40, title, summary, body)


def lines_chart(lines: Sequence[Line], *, title: str, summary: str, across: str, up: str) -> str:
    """Draws curves, each named at its right end.

    Args:
        lines: The curves; each has at least one point.
        title: What it shows, for screen readers.
        summary: The same in a sentence with the numbers that matter.
        across: What the horizontal axis measures.
        up: What the vertical axis measures.
    """
    height, left, right = 250, 44, 96
    xs = [x for line in lines for x in line.xs]
    ys = [y for line in lines for y in (*line.ys, *line.lows, *line.highs)]
    y_marks = ticks(min(*ys, 0.0), max(*ys, 1e-9))
    x_low, x_high = min(xs), max(xs)
    y_low, y_high = min(*y_marks, *ys), max(*y_marks, *ys)

    def place(x: float, y: float) -> tuple[float, float]:
        wide, tall = max(x_high - x_low, 1e-9), max(y_high - y_low, 1e-9)
        return left + (x - x_low) / wide * (WIDTH - left - right), 24 + (y_high - y) / tall * (height - 70)

    body = [_text(0, 12, up, "axis")]
    for mark in y_marks:
        y = place(x_low, mark)[1]
        body.append(f'<line class="grid" x1="{left}" x2="{WIDTH - right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        body.append(_text(left - 6, y + 4, _number(mark), "tick", "end"))
    for mark in ticks(x_low, x_high, 4):
        body.append(_text(place(mark, y_low)[0], height - 28, _number(mark), "tick", "middle"))
    for line in lines:
        edge = [place(x, y) for x, y in [*zip(line.xs, line.highs, strict=False)]]
        edge += [place(x, y) for x, y in [*zip(line.xs, line.lows, strict=False)][::-1]]
        if edge:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in edge)
            body.append(f'<polygon class="band {line.kind}" points="{path}"/>')
    for line in lines:
        points = [place(x, y) for x, y in zip(line.xs, line.ys, strict=True)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        body.append(f'<polyline class="curve {line.kind}" points="{path}"/>')
    for line, y in _apart(lines, [place(line.xs[-1], line.ys[-1])[1] for line in lines]):
        body.append(_text(WIDTH - right + 6, y + 4, line.name, f"value {line.kind}"))
    body.append(_text((left + WIDTH - right) / 2, height - 8, across, "axis", "middle"))
    return _frame(height, title, summary, body)


def _apart(lines: Sequence[Line], heights: list[float], gap: float = 15.0) -> list[tuple[Line, float]]:
    """Moves labels down until none covers another."""
    placed: list[tuple[Line, float]] = []
    for height, place in sorted((height, place) for place, height in enumerate(heights)):
        placed.append((lines[place], max(height, placed[-1][1] + gap) if placed else height))
    return placed
