"""The fidelity card's pictures: the log in grey, the world in the report's green, as PNG."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from instructrec.experiments.distances import TOP_SHARES
from instructrec.experiments.fidelity_aspects import ASPECTS, Finding

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The colours of `instructrec.experiments.report_style`, light.
INK, SOFT, LINE, LOG, WORLD = "#1d2228", "#5b6570", "#e0ddd5", "#8b95a0", "#0b7a75"
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans", "font.size": 9, "text.color": INK, "axes.edgecolor": LINE, "axes.labelcolor": SOFT,
    "xtick.color": SOFT, "ytick.color": SOFT, "axes.grid": True, "grid.color": LINE, "grid.linewidth": 0.8,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False, "axes.axisbelow": True,
    "xtick.bottom": False, "ytick.left": False, "axes.labelsize": 8.5, "xtick.labelsize": 8.5, "ytick.labelsize": 8.5,
}  # fmt: skip
_WIDTH, _HEIGHT, _DPI = 9.2, 2.75, 110
_SHARES = ("exclusions", "accept_rate", "reject_rate", "critique_rate")
_SPOKEN = {
    "exclusions": "exclude something",
    "accept_rate": "taken up",
    "reject_rate": "turned down",
    "critique_rate": "change asked for",
}
_MOST_NAMES = 8

Draw: TypeAlias = "Callable[[Axes, Finding], None]"


def draw(findings: Sequence[Finding], source: str) -> bytes | None:
    """Returns the picture of one log's findings as PNG; None where there is nothing to draw.

    Args:
        findings: What was found, of this log.
        source: The log's name, for the heading.
    """
    # Imported when first needed: it takes a second, and the command line answers at once.
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels: list[Callable[[Axes], None]] = [
        lambda axes, finding=finding: _DRAWN[finding.name](axes, finding)  # type: ignore[misc]
        for finding in findings
        if finding.name in _DRAWN
    ]
    shares = [finding for finding in findings if finding.name in _SHARES]
    if shares:
        panels.append(lambda axes: _shares(axes, shares))
    if not panels:
        return None
    with rc_context(STYLE):
        rows = -(-len(panels) // 2)
        height = _HEIGHT * rows + 0.45
        figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        figure.get_layout_engine().set(rect=(0, 0, 1, 1 - 0.42 / height), hspace=0.08, wspace=0.06)  # type: ignore[union-attr, call-arg]
        top = 1 - 0.13 / height
        for x, words, colour in ((0.012, f"■ log: {source}", LOG), (0.5, "■ world", WORLD)):
            figure.text(x, top, words, color=colour, weight="bold", size=10, va="top")
        grid = figure.subplots(rows, min(len(panels), 2), squeeze=False).ravel()
        for place, axes in enumerate(grid):
            if place < len(panels):
                panels[place](axes)
            else:
                axes.set_axis_off()
        content = io.BytesIO()
        figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()


def _titled(axes: Axes, finding: Finding, across: str, up: str = "") -> None:
    floor = "" if finding.floor is None else f"  (noise {finding.floor:.2g})"
    axes.set_title(ASPECTS[finding.name].title, loc="left", size=9.5, weight="bold", pad=16)
    axes.text(0, 1.03, f"distance {finding.distance:.2g}{floor}", transform=axes.transAxes, size=8.5, color=SOFT)
    axes.set_xlabel(across)
    axes.set_ylabel(up)


def _both(finding: Finding) -> tuple[tuple[Any, str], tuple[Any, str]]:
    return (finding.drawing["log"], LOG), (finding.drawing["world"], WORLD)


def _curve(axes: Axes, finding: Finding) -> None:
    for values, colour in _both(finding):
        axes.plot(TOP_SHARES, values, color=colour, linewidth=2.2)
    axes.set_xscale("log")
    axes.set_ylim(0, 1.02)
    axes.xaxis.set_major_formatter(lambda value, place: f"{value * 100:g} %")
    axes.yaxis.set_major_formatter(_percent)
    _titled(axes, finding, "top share of the items", "share of all choices")


def _spread(axes: Axes, finding: Finding) -> None:
    """Draws two samples of measured numbers as densities."""
    low, high = (function([function(values) for values, _ in _both(finding)]) for function in (np.min, np.max))
    bins = np.linspace(low, high + 1e-9, 26).tolist()
    for values, colour in _both(finding):
        axes.hist(values, bins=bins, density=True, histtype="stepfilled", color=colour, alpha=0.45, linewidth=0)
        axes.hist(values, bins=bins, density=True, histtype="step", color=colour, linewidth=1.6)
    axes.set_yticks([])
    axes.grid(False, axis="y")
    _titled(axes, finding, ASPECTS[finding.name].distance.split(", ")[1])


def _whole(axes: Axes, finding: Finding) -> None:
    """Draws two samples of few different numbers as pairs of bars; the uppermost two per cent stand together."""
    cut = max(np.quantile(values, 0.98) for values, _ in _both(finding))
    marks = np.unique(np.concatenate([np.minimum(values, cut) for values, _ in _both(finding)]))
    width = 0.38 * float(np.diff(marks).min() if len(marks) > 1 else 1.0)
    for side, (values, colour) in zip((-0.5, 0.5), _both(finding), strict=True):
        shares = [float((np.minimum(values, cut) == mark).mean()) for mark in marks]
        axes.bar(marks + side * width * 1.08, shares, width, color=colour)
    axes.yaxis.set_major_formatter(_percent)
    axes.grid(False, axis="x")
    across = {"rating_distribution": "stars", "instruction_length": "words"}.get(finding.name, "slates")
    if any(values.max() > cut for values, _ in _both(finding)):
        across += f" (last pair: {cut:.0f} or more)"
    _titled(axes, finding, across, "share")


def _calibration(axes: Axes, finding: Finding) -> None:
    (given, _), (said, _) = _both(finding)
    ends = [min(given.min(), said.min()) - 0.1, max(given.max(), said.max()) + 0.1]
    axes.plot(ends, ends, color=LOG, linewidth=1.4, linestyle=(0, (4, 3)))
    axes.plot(said, given, color=WORLD, marker="o", markersize=5, linewidth=1.2)
    axes.text(0.6, 0.38, "dashed: right on average", transform=axes.transAxes, color=SOFT, size=8.5)
    _titled(axes, finding, "predicted, mean of a tenth (stars)", "given (stars)")


def _names(axes: Axes, finding: Finding) -> None:
    sides = _both(finding)
    shares: Mapping[str, list[float]] = {
        str(name): [float((values == name).mean()) for values, _ in sides]
        for name in np.unique(np.concatenate([values for values, _ in sides]))
    }
    kept = sorted(sorted(shares, key=lambda name: -max(shares[name]))[:_MOST_NAMES], key=lambda name: shares[name][0])
    for place, name in enumerate(kept):
        for side, (_, colour), value in zip((0.2, -0.2), sides, shares[name], strict=True):
            axes.barh(place + side, value, 0.36, color=colour)
            axes.text(value + 0.008, place + side, f"{value:.0%}", va="center", size=7.5, color=SOFT)
    axes.set_yticks(range(len(kept)), kept, color=INK)
    axes.set_xlim(0, max(map(max, shares.values())) * 1.14)
    axes.set_xticks([])
    axes.grid(False)
    _titled(axes, finding, "")
    if finding.name == "covered_request_kinds":
        axes.set_title("the same, of requests the world covers", loc="left", size=9.5, weight="bold", pad=16)


def _positions(axes: Axes, finding: Finding) -> None:
    for values, colour in _both(finding):
        axes.plot(np.arange(1, len(values) + 1), values, color=colour, marker="o", markersize=4.5, linewidth=2)
    axes.set_ylim(0)
    axes.xaxis.set_major_formatter(lambda value, place: f"{value:.0f}" if value == int(value) else "")
    axes.yaxis.set_major_formatter(_percent)
    _titled(axes, finding, "position in the slate", "clicks per shown item")


def _shares(axes: Axes, findings: Sequence[Finding]) -> None:
    """Draws shares as pairs of dots with the line between them."""
    places = range(len(findings))[::-1]
    for place, finding in zip(places, findings, strict=True):
        ends = [value for value, _ in _both(finding)]
        axes.plot(ends, [place, place], color=LINE, linewidth=4, solid_capstyle="round", zorder=1)
        outward = (-1, 1) if ends[0] <= ends[1] else (1, -1)
        for (value, colour), side in zip(_both(finding), outward, strict=True):
            axes.scatter(value, place, s=52, color=colour, zorder=2)
            anchor = "left" if side > 0 else "right"
            axes.text(value + 0.022 * side, place, f"{value:.0%}", ha=anchor, va="center", size=8.5, color=colour)
        far = f"distance {finding.distance:.2g}  (noise {finding.floor:.2g})"
        axes.text(1.0, place + 0.28, far, ha="right", size=8, color=SOFT)
    axes.set_yticks(list(places), [_SPOKEN[finding.name] for finding in findings], color=INK)
    axes.set_ylim(-0.6, len(findings) - 0.35)
    axes.set_xlim(-0.08, 1.0)
    axes.xaxis.set_major_formatter(_percent)
    axes.grid(False, axis="y")
    what = "requests" if findings[0].name == "exclusions" else "recommendations"
    axes.set_title(f"shares of {what}", loc="left", size=9.5, weight="bold", pad=8)


def _percent(value: float, place: float) -> str:
    return f"{value * 100:.0f} %"


_DRAWN: Mapping[str, Draw] = {
    "popularity_curve": _curve,
    "genre_entropy": _spread,
    "rating_calibration": _calibration,
    "rating_distribution": _whole,
    "instruction_length": _whole,
    "request_kinds": _names,
    "covered_request_kinds": _names,
    "rounds": _whole,
    "click_rate_by_position": _positions,
    "session_length": _whole,
}
