"""The pictures of a study of off-policy evaluation, as PNG: the chosen estimate in green, estimators beside it."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from instructrec.experiments.fidelity_plots import INK, SOFT, STYLE, WORLD
from instructrec.experiments.ope_study_measures import CHOSEN, MEAN_OF_LOG
from instructrec.experiments.ope_study_page import PICKED, checked, named, where

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Draw = Callable[["Axes", Mapping[str, Any]], None]
COLOURS = ("#8b95a0", "#5566aa", "#aa4466", "#c58b2b", "#6f8f3f", "#8866aa", "#447799", "#bb6644")
_FEW = 5
"""Ranges of effective sample size with fewer estimates are left out."""


def draw(document: Mapping[str, Any]) -> dict[str, bytes]:
    """Returns pictures by file name; those of errors by size and by world only where there are several."""
    worlds = document["worlds"]
    found = {"error_by_size.png": _panels(worlds, _by_size)} if len(worlds[0]["sizes"]) > 1 else {}
    found |= {
        "error_by_ess.png": _panels(worlds, _by_ess),
        "coverage.png": _panels(worlds, _coverage),
        "ranking.png": _panels(worlds, _ranking),
    }
    return found | ({"error_by_world.png": _between(worlds)} if len(worlds) > 1 else {})


def _panels(worlds: Sequence[Mapping[str, Any]], each: Draw) -> bytes:
    """Returns a picture with a panel for each world, and one legend beside them."""
    across = min(len(worlds), 3)
    down = -(-len(worlds) // across)
    with rc_context(STYLE):
        figure = figure_of(4.2 * across + 2.3, 3.1 * down)
        panels = figure.subplots(down, across, squeeze=False).ravel()
        for axes in panels[len(worlds) :]:
            axes.set_axis_off()
        for axes, world in zip(panels, worlds, strict=False):
            each(axes, world)
            axes.set_title(where(world), loc="left", size=9, weight="bold", color=INK)
        handles: dict[str, Any] = {}
        for axes in panels:
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
                handles.setdefault(label, handle)
        figure.legend(handles.values(), handles.keys(), loc="outside right upper", frameon=False, fontsize=8)
        return png(figure)


def figure_of(width: float, height: float) -> Figure:
    """Returns an empty figure, in inches, that needs no screen."""
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure) -> bytes:
    """Returns a figure as PNG; the same figure is the same bytes."""
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()


def _look(names: Sequence[str], name: str) -> dict[str, Any]:
    """Returns how an estimator's line is drawn."""
    look: dict[str, Any] = {"label": named(name), "marker": "o", "markersize": 3.5, "linewidth": 1.1}
    if name == CHOSEN:
        return look | {"color": WORLD, "linewidth": 2.4, "markersize": 5, "zorder": 3}
    if name == MEAN_OF_LOG:
        return look | {"color": INK, "linestyle": ":"}
    others = [other for other in names if other not in (CHOSEN, MEAN_OF_LOG)]
    place = others.index(name)
    return look | {"color": COLOURS[place // 2 % len(COLOURS)], "linestyle": ("-", "--")[place % 2]}


def _names(world: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(row["estimator"] for size in world["sizes"] for row in size["estimators"]))


def _by_size(axes: Axes, world: Mapping[str, Any]) -> None:
    names = _names(world)
    for name in names:
        rows = [
            (size["turns"], row) for size in world["sizes"] for row in size["estimators"] if row["estimator"] == name
        ]
        axes.plot([turns for turns, _ in rows], [checked(row["median_error"]) for _, row in rows], **_look(names, name))
    _truth_line(axes, world["sizes"][0]["estimators"][0]["truth_error"])
    _logs(axes, "turns in the log")


def _by_ess(axes: Axes, world: Mapping[str, Any]) -> None:
    names = _names(world)
    for name in names:
        rows = [row for row in world["by_ess"] if row["estimator"] == name and row["points"] >= _FEW]
        middle = [np.sqrt(row["low"] * row["high"]) for row in rows]
        axes.plot(middle, [checked(row["median_error"]) for row in rows], **_look(names, name))
    _truth_line(axes, world["sizes"][0]["estimators"][0]["truth_error"])
    _logs(axes, "effective sample size of the full weights")


def _truth_line(axes: Axes, error: float) -> None:
    axes.axhspan(0, error, color=SOFT, alpha=0.15, linewidth=0, label="below the truth's own error")


def _logs(axes: Axes, across: str) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(across)
    axes.set_ylabel("median |error| / (V oracle − V random)")


def _coverage(axes: Axes, world: Mapping[str, Any]) -> None:
    """Draws a line for each estimator: filled for all its intervals, hollow for those marked trusted."""
    names = _names(world)[::-1]
    for shift, size in zip(_shifts(len(world["sizes"])), world["sizes"], strict=True):
        colour = COLOURS[world["sizes"].index(size) % len(COLOURS)] if size is not world["sizes"][-1] else WORLD
        for kind, face, words in (("coverage", colour, "all"), ("coverage_trusted", "white", "trusted")):
            held = [(row["estimator"], row[kind]) for row in size["estimators"] if row[kind]["intervals"]]
            share = np.array([one["share"] for _, one in held])
            reach = np.array([[one["share"] - one["low"], one["high"] - one["share"]] for _, one in held])
            axes.errorbar(
                share,
                [names.index(name) + shift - 0.08 * (kind != "coverage") for name, _ in held],
                xerr=np.clip(reach, 0, None).T if len(held) else None,
                fmt="o",
                color=colour,
                markerfacecolor=face,
                markersize=3.5,
                linewidth=1,
                label=f"{size['logs']:,} × {size['sessions']:,} sessions, {words}",
            )
    axes.axvline(0.95, color=INK, linewidth=0.8, linestyle=":")
    axes.set_xlim(None, 1.005)
    axes.set_yticks(range(len(names)), [named(name) for name in names])
    axes.set_xlabel("95 % intervals that hold the truth")


def _ranking(axes: Axes, world: Mapping[str, Any]) -> None:
    """Draws Spearman's rho of each estimator, and the regret of each way to pick below."""
    names = [name for name in _names(world) if name != MEAN_OF_LOG][::-1]
    ways = list(PICKED)[::-1]
    for shift, size in zip(_shifts(len(world["sizes"])), world["sizes"], strict=True):
        colour = COLOURS[world["sizes"].index(size) % len(COLOURS)] if size is not world["sizes"][-1] else WORLD
        ranks = {row["estimator"]: row["rank_correlation"] for row in size["estimators"]}
        rows = [(len(ways) + names.index(name), ranks[name]) for name in names if name in ranks]
        rows += [(ways.index(way), found) for way, found in size["picks"].items()]
        for place, found in rows:
            value, low, high = (checked(found[part]) for part in ("value", "low", "high"))
            axes.plot([low, high], [place + shift] * 2, color=colour, linewidth=1)
            axes.plot([value], [place + shift], "o", color=colour, markersize=3.5)
        axes.plot([], [], "o-", color=colour, markersize=3.5, label=f"{size['logs']:,} × {size['sessions']:,} sessions")
    axes.axhline(len(ways) - 0.5, color=SOFT, linewidth=0.8)
    regrets = [f"regret of {PICKED[way].replace('`', '')}" for way in ways]
    axes.set_yticks(range(len(ways) + len(names)), [*regrets, *map(named, names)])
    axes.set_xlabel("Spearman's ρ with the truth; regret / (V oracle − V random)")


def _shifts(count: int) -> list[float]:
    return [0.0] if count == 1 else list(np.linspace(0.25, -0.25, count))


def _between(worlds: Sequence[Mapping[str, Any]]) -> bytes:
    """Returns median errors of each estimator in each world, from its largest logs, and how many are trusted."""
    names = list(dict.fromkeys(name for world in worlds for name in _names(world)))
    with rc_context(STYLE):
        figure = figure_of(max(6.5, 1.1 * len(worlds) + 4), 5.2)
        errors, trust = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        rows = [{row["estimator"]: row for row in world["sizes"][-1]["estimators"]} for world in worlds]
        for name in names:
            found = [checked(row[name]["median_error"]) if name in row else np.nan for row in rows]
            errors.plot(range(len(worlds)), found, **_look(names, name))
        errors.set_yscale("log")
        errors.set_ylabel("median |error| / (V oracle − V random)")
        trust.bar(range(len(worlds)), [row[CHOSEN]["trusted"] for row in rows], color=WORLD, width=0.5)
        trust.set_ylabel("share trusted")
        trust.set_ylim(0, 1)
        trust.set_xticks(range(len(worlds)), [where(world).replace(", ", "\n") for world in worlds])
        figure.legend(*errors.get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=8)
        return png(figure)
