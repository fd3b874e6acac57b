"""The picture of a study of learning from a log, as PNG: what is learned as logs grow, and as feedback gets worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context

from instructrec.experiments.fidelity_plots import INK, SOFT, STYLE, WORLD
from instructrec.experiments.headline import FLAGSHIP
from instructrec.experiments.learn_study_page import AT_ITS_BEST, LOGGER, SPOILED, START, called
from instructrec.experiments.ope_study_plots import COLOURS, figure_of, png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = Mapping[str, Any]
_TURNS = "turns in the log"
_LEVELS = {LOGGER: ":", AT_ITS_BEST: "--", START: "-."}


def draw(document: Mapping[str, Any]) -> dict[str, bytes]:
    """Returns pictures by file name: one, with panels for sizes, if there are several, and ways to spoil feedback."""
    sizes = [(size["turns"], size["rows"]) for size in document["sizes"]]
    clean = next(size["rows"] for size in document["sizes"] if size["sessions"] == document["spoiled_sessions"])
    panels: list[tuple[str, Sequence[tuple[float, Sequence[Row]]]]] = []
    if len(sizes) > 1 or not document["spoiled"]:
        panels.append((_TURNS, sizes))
    for kind, words in SPOILED.items():
        spoiled = [(one["share"], one["rows"]) for one in document["spoiled"] if one["kind"] == kind]
        if spoiled:
            panels.append((f"share whose {words}", [(0.0, clean), *spoiled]))
    names = [row["agent"] for row in document["sizes"][0]["rows"] if row["agent"] != FLAGSHIP]
    with rc_context(STYLE):
        figure = figure_of(3.6 * len(panels) + 2.4, 3.6)
        for number, (axes, (across, points)) in enumerate(
            zip(figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels, strict=True)
        ):
            _levels(axes, document["references"])
            for name in [FLAGSHIP, *names]:
                _line(axes, name, names, points)
            axes.set_xlabel(across)
            if across == _TURNS:
                axes.set_xscale("log")
            if not number:
                axes.set_ylabel("return of a session")
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=8)
        return {"learning.png": png(figure)}


def _levels(axes: Axes, references: Sequence[Row]) -> None:
    for row in references:
        if row["agent"] in _LEVELS:
            style = _LEVELS[row["agent"]]
            axes.axhline(row["return"]["value"], color=SOFT, linewidth=1, linestyle=style, label=row["agent"])


def _line(axes: Axes, name: str, names: Sequence[str], points: Sequence[tuple[float, Sequence[Row]]]) -> None:
    found = [(at, row["return"]) for at, rows in points for row in rows if row["agent"] == name]
    if not found:
        return
    colour = WORLD if name == FLAGSHIP else COLOURS[names.index(name) % len(COLOURS)]
    across = [at for at, _ in found]
    axes.plot(
        across,
        [one["value"] for _, one in found],
        "o-",
        color=colour,
        markersize=3.5,
        linewidth=1.6,
        label=called(name),
    )
    axes.fill_between(
        across,
        [one["low"] for _, one in found],
        [one["high"] for _, one in found],
        color=colour,
        alpha=0.1,
        linewidth=0,
    )
    axes.tick_params(labelcolor=INK)
