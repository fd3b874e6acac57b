"""From the measured cells of a comparison to one document: what every table, page and picture is made of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from instructrec import metrics
from instructrec.experiments.cells import Cell
from instructrec.experiments.headline import FLAGSHIP
from instructrec.experiments.results import FLOOR, HONEST, KNOWING, Document, Played, results_of
from instructrec.experiments.statistics import (
    Crossed,
    Estimate,
    as_json,
    interquartile_mean,
    probability_of_improvement,
)
from instructrec.experiments.totals import Totals

SPLIT_METRICS = ("return", "csr", "violation", "session_length")
"""What stands in the table of splits, with normalised returns where their references were played."""
CURVE_POINTS = 20
_FEWEST_RUNS = 4

Table = dict[str, dict[str, Any]]
Band = list[dict[str, float]]


@dataclass
class Measured:
    """What is known of a cell.

    Attributes:
        cell: Which.
        parts: Totals by aspect and part.
        trained: What came of its training.
        seconds: How long it took to measure each aspect, of those of which that is known.
        failed: Why aspects could not be finished: aspect, kind and error.
        absent: Why aspects make no sense with it, by aspect.
        error: The latest failure itself.
    """

    cell: Cell
    parts: dict[str, Mapping[str, Totals]] = field(default_factory=dict)
    trained: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    failed: list[dict[str, str]] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    error: Exception | None = None

    @property
    def training_seconds(self) -> float | None:
        """How long its training took; None where there was none."""
        return self.trained.get("seconds") or None

    @property
    def evaluation_seconds(self) -> float | None:
        """How long it took to measure it; None where that is not known."""
        return sum(self.seconds.values()) if self.seconds else None

    def took(self) -> dict[str, Any]:
        """Returns what a results document says of the time it took."""
        named = {"cell": self.cell.named(), "agent": self.cell.label, "seed": self.cell.seed}
        seconds = {"training_seconds": self.training_seconds, "evaluation_seconds": self.evaluation_seconds}
        return {**named, **seconds, "aspects": dict(self.seconds)}


def assemble(measured: Sequence[Measured], *, seeds: Sequence[int], draws: int = 2000) -> Document:
    """Returns the document.

    Args:
        measured: The cells, those of a label in the order of their seeds.
        seeds: Training seeds, for the record and the label.
        draws: Resamplings of people and seeds.

    Raises:
        ValueError: If no cell was finished.
    """
    seen = [one for one in measured if not one.cell.unseen]
    played: dict[str, Played] = {}
    for label in dict.fromkeys(one.cell.label for one in seen):
        own = parts_of(seen, label, "held_out", "own")
        if not own:
            continue
        controls = {kind: parts_of(seen, label, "held_out", kind) for kind in ("blank", "swapped")}
        played[label] = Played(own, *(totals if len(totals) == len(own) else None for totals in controls.values()))
        if label == FLAGSHIP and played[label].blank:
            played[f"{label}_blank"] = Played(played[label].blank or ())
    document = results_of(played, seeds=seeds, draws=draws)
    document["training_sessions"] = _sessions(seen)
    document["training_steps"] = {
        one.cell.label: int(one.trained.get("steps") or 0) for one in reversed(seen) if one.cell.label in played
    }
    document["notes"] = {one.cell.label: one.trained["note"] for one in reversed(seen) if one.trained.get("note")}
    for label in played:
        known = [one.trained for one in seen if one.cell.label == label and one.trained.get("steps")]
        if known:
            document["timing"][label] |= {
                "training_steps": known[0]["steps"],
                "training_seconds": float(np.mean([one["seconds"] for one in known])),
            }
    document["cells"] = [one.took() for one in measured]
    document["curves"] = curves_of(seen)
    document["probability_of_improvement"] = improvements(played, draws=draws)
    document["selectivity"] = _selectivity(played, draws)
    document["generalisation"] = _generalisation(measured, draws)
    document["iqm"] = _iqm(measured)
    document["cold_start"] = _by_part(seen, "cold_start", ("return", "csr"), draws)
    for name, parts in (("pmrr", "edits"), ("phrasing", "edits"), ("recovery", "edits")):
        document[name] = _by_part(seen, parts, None, draws).get(name, {})
    for label, row in document["recovery"].items():
        row |= _retention(parts_of(seen, label, "edits", "recovery"), draws)
    document["ranking"] = _by_part(seen, "ranking", None, draws).get("arrival", {})
    document["held_out_ratings"] = _by_part(seen, "held_out_ratings", None, draws).get("later", {})
    document["failed"] = [_told(one.cell, why) for one in measured for why in one.failed]
    document["absent"] = [
        {"agent": one.cell.label, "aspect": aspect, "why": why}
        for one in measured
        for aspect, why in one.absent.items()
    ]
    return document


def parts_of(measured: Iterable[Measured], label: str, aspect: str, part: str) -> tuple[Totals, ...]:
    """Returns one part of an aspect of a label, one per seed that has it."""
    found = [one.parts.get(aspect, {}).get(part) for one in measured if one.cell.label == label]
    return tuple(totals for totals in found if totals is not None)


def _told(cell: Cell, why: Mapping[str, str]) -> dict[str, Any]:
    return {"agent": cell.label, "seed": cell.seed, "cell": cell.named(), **why}


def _sessions(measured: Sequence[Measured]) -> dict[str, int | None]:
    found: dict[str, list[int | None]] = defaultdict(list)
    for one in measured:
        learns = one.cell.fitted or one.cell.run
        found[one.cell.label].append(one.trained.get("sessions") if learns else 0)
    return {
        label: None if None in counts else round(float(np.mean([count or 0 for count in counts])))
        for label, counts in found.items()
    }


def estimate(crossed: Crossed, totals: Sequence[Totals], metric: str) -> Estimate:
    """Returns a metric's estimate over seeds and people; NaN where somebody lacks it."""
    if not totals or any(metric not in one.metrics for one in totals):
        return Estimate(float("nan"), np.full(len(crossed.people), np.nan))
    sums, counts = zip(*(one.totals(metric) for one in totals), strict=True)
    return crossed.ratio(np.stack(sums), np.stack(counts))


def _with_cases(found: Estimate, totals: Sequence[Totals], metric: str) -> dict[str, Any]:
    return as_json(found.interval(), cases=int(sum(one.totals(metric)[1].sum() for one in totals)))


def _by_part(measured: Sequence[Measured], aspect: str, names: Sequence[str] | None, draws: int) -> dict[str, Table]:
    """Returns part → label → metric → interval and number of cases, of what exists."""
    parts = dict.fromkeys(part for one in measured for part in one.parts.get(aspect, {}))
    labels = dict.fromkeys(one.cell.label for one in measured)
    tables: dict[str, Table] = {}
    for part in parts:
        rows: Table = {}
        for label in labels:
            totals = parts_of(measured, label, aspect, part)
            if not totals:
                continue
            crossed = Crossed.of(totals[0].person, draws=draws)
            known = [name for name in totals[0].metrics if names is None or name in names]
            row = {name: (estimate(crossed, totals, name), name) for name in known}
            rows[label] = {
                name: _with_cases(found, totals, name) for name, (found, _) in row.items() if np.isfinite(found.value)
            }
        tables[part] = {label: row for label, row in rows.items() if row}
    return tables


def _retention(totals: Sequence[Totals], draws: int) -> dict[str, Any]:
    """Returns what is left of the adherence to what was said before a critique, as a share of what it was."""
    if not totals:
        return {}
    crossed = Crossed.of(totals[0].person, draws=draws)
    found = estimate(crossed, totals, "earlier_after") / estimate(crossed, totals, "earlier_before")
    return {"retention": _with_cases(found, totals, "earlier_after")} if np.isfinite(found.value) else {}


def _selectivity(played: Mapping[str, Played], draws: int) -> Table:
    table: Table = {}
    for label, one in played.items():
        totals = [each for each in one.episodes if isinstance(each, Totals)]
        crossed = Crossed.of(totals[0].person, draws=draws)
        row = {}
        for name in metrics.SELECTIVITIES:
            found = estimate(crossed, totals, f"csr_{name}")
            if np.isfinite(found.value):
                row[name] = _with_cases(found, totals, f"csr_{name}")
        if row:
            table[label] = row
    return table


def _generalisation(measured: Sequence[Measured], draws: int) -> dict[str, Table]:
    """Returns split → label → metric → interval; the splits in the order in which they ask for more."""
    seen = [one for one in measured if not one.cell.unseen]
    held = [one for one in measured if one.cell.unseen]
    labels = dict.fromkeys(one.cell.label for one in seen)
    parts = dict.fromkeys(part for one in seen for part in one.parts.get("generalisation", {}))
    if not parts and not held and not any(one.parts.get("other") for one in seen):
        return {}
    split: dict[str, dict[str, tuple[Totals, ...]]] = {}
    for part in parts:
        split[part] = {label: parts_of(seen, label, "generalisation", part) for label in labels}
    split["held_out"] = {label: parts_of(seen, label, "held_out", "own") for label in labels}
    if held:
        split["unseen_items"] = {
            # Who learns nothing has seen no item more than another.
            label: parts_of(held, label, "unseen_items", "unseen_items")
            or (() if _learns(seen, label) else parts_of(seen, label, "generalisation", "items"))
            for label in labels
        }
    split["other_world"] = {label: parts_of(seen, label, "other", "other") for label in labels}
    order = ["seen", "users", "templates", "synonyms", "combinations", "held_out", "all", "items", "unseen_items"]
    ranked = sorted(split, key=lambda name: order.index(name) if name in order else len(order))
    return {name: _of_split(split[name], draws) for name in ranked if any(split[name].values())}


def _learns(measured: Sequence[Measured], label: str) -> bool:
    return any(one.cell.fitted or one.cell.run for one in measured if one.cell.label == label)


def _of_split(rows: Mapping[str, tuple[Totals, ...]], draws: int) -> Table:
    known = {label: totals for label, totals in rows.items() if totals}
    crossed = Crossed.of(next(iter(known.values()))[0].person, draws=draws)
    table: Table = {}
    for label, totals in known.items():
        found = {name: estimate(crossed, totals, name) for name in SPLIT_METRICS}
        for name, reference in (("informed_normalised_return", HONEST), ("oracle_normalised_return", KNOWING)):
            if reference in known and FLOOR in known:
                floor = estimate(crossed, known[FLOOR], "return")
                found[name] = (found["return"] - floor) / (estimate(crossed, known[reference], "return") - floor)
        table[label] = {name: one.interval().as_dict() for name, one in found.items() if np.isfinite(one.value)}
    return table


def _iqm(measured: Sequence[Measured]) -> dict[str, dict[str, Any]]:
    """Returns the interquartile mean of normalised returns over seeds and worlds, of those with enough runs."""
    seen = [one for one in measured if not one.cell.unseen]
    runs: dict[str, list[float]] = defaultdict(list)
    for aspect, part in (("held_out", "own"), ("other", "other")):
        bounds = [parts_of(seen, name, aspect, part) for name in (FLOOR, KNOWING)]
        if not all(bounds):
            continue
        low, high = (one[0].mean("return") for one in bounds)
        for label in dict.fromkeys(one.cell.label for one in seen):
            for totals in parts_of(seen, label, aspect, part):
                runs[label].append((totals.mean("return") - low) / (high - low))
    return {
        label: as_json(interquartile_mean(values), runs=len(values))
        for label, values in runs.items()
        if len(values) >= _FEWEST_RUNS
    }


def improvements(played: Mapping[str, Played], *, draws: int) -> Table:
    """Returns one → other → how likely the one earns more with the same person, with its interval; of all pairs."""
    returns = {label: np.stack([one.totals("return")[0] for one in each.episodes]) for label, each in played.items()}
    labels = list(returns)
    table: Table = {label: {} for label in labels}
    for place, one in enumerate(labels):
        crossed = Crossed.of(played[one].episodes[0].person, draws=draws)
        for other in labels[place + 1 :]:
            found = probability_of_improvement(crossed, returns[one], returns[other])
            table[one][other] = found.interval().as_dict()
            table[other][one] = Estimate(1 - found.value, 1 - found.draws).interval().as_dict()
    return {one: {other: table[one][other] for other in labels if other != one} for one in labels}


# --- Learning curves -------------------------------------------------------------------------------------------------


def curves_of(measured: Sequence[Measured]) -> dict[str, dict[str, Band]]:
    """Returns label → metric → points of its learning curve: step, mean over seeds, and a band of resampled seeds.

    Metrics: ``checkup_return`` and others of checkups on people whom training never meets, where there are checkups;
    ``return`` of training sessions. Seeds are brought to the same steps by straight lines between their points.
    """
    rows: dict[str, list[Sequence[Mapping[str, float]]]] = defaultdict(list)
    for one in measured:
        if one.trained.get("curve"):
            rows[one.cell.label].append(one.trained["curve"])
    found = {}
    for label, curves in rows.items():
        names = dict.fromkeys(name for curve in curves for row in curve for name in row if name != "step")
        bands = {name: band for name in names if (band := _band(curves, name))}
        if bands:
            found[label] = bands
    return found


def _band(curves: Sequence[Sequence[Mapping[str, float]]], name: str) -> Band:
    lines = [[(row["step"], row[name]) for row in curve if row.get(name) is not None] for curve in curves]
    known = [np.array(line, np.float64) for line in lines if len(line) > 1]
    if not known:
        return []
    begin, end = max(line[0, 0] for line in known), min(line[-1, 0] for line in known)
    own = np.unique(np.concatenate([line[:, 0] for line in known]))
    steps = own[(own >= begin) & (own <= end)]
    if len(steps) > CURVE_POINTS:
        steps = np.linspace(begin, end, CURVE_POINTS)
    values = np.stack([np.interp(steps, line[:, 0], line[:, 1]) for line in known])  # [num_seeds, num_steps]
    taken = Crossed.of([0]).seeds(len(values)) / len(values)
    low, high = np.quantile(taken @ values, [0.025, 0.975], axis=0)
    return [
        {"step": float(step), "value": float(value), "low": float(least), "high": float(most), "seeds": len(values)}
        for step, value, least, most in zip(steps, values.mean(axis=0), low, high, strict=True)
    ]
