"""The learning curves of an ablation as PNG: a panel per variant, the full agent grey behind each."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from instructrec.experiments.fidelity_plots import INK, LOG, SOFT, STYLE, WORLD

_ACROSS, _WIDTH, _HEIGHT = 4, 2.4, 1.9


def draw(variants: Mapping[str, Mapping[str, Any]], bounds: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Returns the picture.

    Args:
        variants: Rows of an ablation by name, the full agent first; those that failed are left out.
        bounds: Returns of those that bound the others; random's is drawn as a line.
    """
    drawn = {name: row for name, row in variants.items() if "checkups" in row}
    first = next(iter(variants))
    across = min(_ACROSS, max(len(drawn), 1))
    down = max(-(-len(drawn) // across), 1)
    with rc_context(STYLE):
        figure = Figure(figsize=(_WIDTH * across, _HEIGHT * down), dpi=110, layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        panels = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True).ravel()
        for axes in panels[len(drawn) :]:
            axes.set_axis_off()
        for axes, (name, row) in zip(panels, drawn.items(), strict=False):
            axes.set_title(name, loc="left", size=9, weight="bold", color=INK)
            axes.axhline(bounds["random"]["return"]["value"], color=SOFT, linewidth=0.8, linestyle=":")
            if first in drawn and name != first:
                axes.plot(*_mean(drawn[first]["checkups"]), color=LOG, linewidth=1.4)
            for checkups in row["checkups"]:
                axes.plot(*np.array(checkups).T, color=WORLD, linewidth=0.8, alpha=0.4)
            axes.plot(*_mean(row["checkups"]), color=WORLD, linewidth=2)
            axes.xaxis.set_major_formatter(lambda steps, _: f"{steps / 1000:g}k")
        figure.supxlabel("user-steps", size=8.5, color=SOFT)
        figure.supylabel("points a session", size=8.5, color=SOFT)
        content = io.BytesIO()
        figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()


def _mean(curves: Sequence[Sequence[tuple[int, float]]]) -> tuple[Any, Any]:
    """Returns the mean of curves over as many checkups as all of them have."""
    length = min(map(len, curves))
    steps, returns = np.mean([np.array(curve[:length], np.float64) for curve in curves], axis=0).T
    return steps, returns
