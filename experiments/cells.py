"""Cells of a comparison: one agent, with settings, regime and training seed, and what of it was measured already.

A cell has a folder under ``OUT/cells``, named by a hash of all that decides it, and in it one file for each aspect that
was measured, named by a hash of all that decides that. A comparison that was killed finds the files and goes on; one
with other settings has other names. Every file appears by rename, so that none is ever half there.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from instructrec import __version__, runs
from instructrec.agents.learners import LEARNERS
from instructrec.agents.recording import Regime
from instructrec.agents.slate_ppo import SlatePPOConfig
from instructrec.experiments.competitors import check_names
from instructrec.experiments.headline import DEAF, FLAGSHIP
from instructrec.experiments.totals import Parts, Totals, read_parts, write_parts
from instructrec.experiments.trainers import configured
from instructrec.names import unknown_name

CELLS, ABOUT_CELL, FAILED, RUN = "cells", "cell.json", "failed.json", "run"
MEASURED = 1
"""Raised whenever aspects are measured in another way, so that older files are not taken for the same."""
LISTENERS = frozenset({FLAGSHIP, DEAF})
"""Agents whose training is a run folder of its own."""
ONCE = ("informed",)
"""References that are fitted, with one seed of their own."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One agent to be trained, where it learns, and measured.

    Attributes:
        label: The row that it belongs to; cells of one label differ by their seed.
        agent: The agent's name.
        settings: Settings that differ from the agent's defaults.
        regime: Where those that are fitted to a log have it from.
        seed: The training seed; None for those that learn nothing.
        run: The folder of a run that was trained before.
        unseen: Whether it is trained without the items that are held out.
    """

    label: str
    agent: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    regime: Regime = Regime.FIXED
    seed: int | None = None
    run: str = ""
    unseen: bool = False

    @property
    def learns(self) -> bool:
        """Whether there is something to train, so that seeds and held-out items matter."""
        return not self.run and (self.agent in LISTENERS or self.agent in LEARNERS)

    @property
    def fitted(self) -> bool:
        """Whether it depends on a training world."""
        return self.learns or self.agent in ONCE

    def named(self) -> str:
        """Returns what messages call it."""
        return self.label + ("" if self.seed is None else f", seed {self.seed}") + (", unseen items" * self.unseen)


def hash_of(what: Mapping[str, Any]) -> str:
    """Returns a hash of a document, hex; equal exactly when the documents are, whatever the order of their names."""
    return hashlib.sha256(runs.to_json(_sorted(runs.plain(what)), ascii_only=True).encode()).hexdigest()[:16]


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(entry) for entry in value] if isinstance(value, list) else value


def kept(path: Path, make: Callable[[], Mapping[str, Any]], *parts: str) -> dict[str, Any]:
    """Returns what a file says, which is made and written first where it is not there.

    Args:
        path: The JSON file, named by a hash of all that decides it.
        make: Makes its content.
        parts: What it must have.

    Raises:
        RunError: If it is damaged, or cannot be written.
    """
    if not path.exists():
        runs.write_json(path, make())
    try:
        found = runs.read_json(path)
    except runs.RunError as error:
        raise runs.RunError(f"{error}; delete it, and it is made again") from error
    if lacking := [part for part in parts if not (isinstance(found, dict) and part in found)]:
        raise runs.RunError(f"{path} is damaged: it has no {lacking[0]!r}; delete it, and it is made again")
    return dict(found)


class CellFolder:
    """The folder of one cell.

    Args:
        out: The folder of the comparison.
        identity: All that decides the cell.
    """

    def __init__(self, out: str | os.PathLike[str], identity: Mapping[str, Any]) -> None:
        self.identity = {**identity, "version": __version__}
        self.key = hash_of(self.identity)
        self.path = Path(out) / CELLS / self.key

    def file(self, aspect: str, conditions: Mapping[str, Any]) -> Path:
        """Returns where an aspect stands that was measured under some conditions."""
        return self.path / f"{aspect}-{hash_of({**conditions, 'measured': MEASURED})}.safetensors"

    def known(self, aspect: str, conditions: Mapping[str, Any]) -> dict[str, Totals] | None:
        """Returns what was measured before; None where nothing was.

        Raises:
            RunError: If the file is damaged.
        """
        path = self.file(aspect, conditions)
        return read_parts(path) if path.exists() else None

    def keep(self, aspect: str, conditions: Mapping[str, Any], parts: Parts, seconds: float) -> dict[str, Totals]:
        """Writes what was measured, and in how many seconds, and returns it as it will be read."""
        path = self.file(aspect, conditions)
        self._tell("seconds", {**self._told("seconds"), path.stem: seconds})
        write_parts(path, parts)
        return read_parts(path)

    def seconds(self, aspect: str, conditions: Mapping[str, Any]) -> float | None:
        """Returns how long it took to measure an aspect; None where that is not known."""
        return self._told("seconds").get(self.file(aspect, conditions).stem)

    def leave_out(self, aspect: str, conditions: Mapping[str, Any], why: str) -> None:
        """Writes why an aspect makes no sense with the cell."""
        self._tell("absent", {**self._told("absent"), self.file(aspect, conditions).stem: why})

    def left_out(self, aspect: str, conditions: Mapping[str, Any]) -> str | None:
        """Returns why an aspect makes no sense with the cell; None where that was not found."""
        return self._told("absent").get(self.file(aspect, conditions).stem)

    def failed_since(self, moment: float) -> bool:
        """Whether it could not be finished at a moment, in seconds since 1970, or later."""
        path = self.path / FAILED
        return path.exists() and path.stat().st_mtime >= moment

    def describe(self, trained: Mapping[str, Any]) -> None:
        """Writes what came of the cell's training."""
        self._tell("trained", trained)

    def trained(self) -> dict[str, Any]:
        """Returns what came of its training; nothing where that is not known."""
        return self._told("trained")

    def _told(self, part: str) -> dict[str, Any]:
        path = self.path / ABOUT_CELL
        return dict(runs.read_json(path).get(part, {})) if path.exists() else {}

    def _tell(self, part: str, what: Mapping[str, Any]) -> None:
        """Writes one part of what is told of the cell; the others stay."""
        before = {name: self._told(name) for name in ("trained", "seconds", "absent")}
        runs.write_json(self.path / ABOUT_CELL, {"cell": self.identity, **before, part: what})

    def fail(self, aspect: str, error: Exception) -> dict[str, str]:
        """Writes why it could not be finished, and returns that; the next call tries again."""
        told = {"aspect": aspect, "kind": type(error).__name__, "error": str(error) or type(error).__name__}
        runs.write_json(self.path / FAILED, {"cell": self.identity, **told})
        return told

    def succeed(self) -> None:
        """Takes back an earlier failure."""
        (self.path / FAILED).unlink(missing_ok=True)


# --- From what was asked for to cells --------------------------------------------------------------------------------


def cells_of(
    names: Sequence[str],
    variants: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    seeds: Sequence[int],
    encoder: str = "minilm",
) -> list[Cell]:
    """Returns the cells of a comparison: one per seed for those that learn, else one.

    Args:
        names: Agents by name; ``NAME@REGIME`` says where a fitted one has its log from, ``NAME=RUN`` takes a trained
            one from its run folder.
        variants: Agents with other settings by the label they get: ``agent`` (slate_ppo when omitted), ``regime``, and
            settings of the agent.
        seeds: Training seeds.
        encoder: The language model of those that read.

    Raises:
        ValueError: If nobody is named, or one is named twice, unknown, or has no such setting or regime.
    """
    variants = variants or {}
    if not names and not variants:
        raise ValueError("nobody to compare: name at least one agent, such as --agents random,popularity")
    plans = [_named(name) for name in names]
    plans += [_variant(label, given) for label, given in variants.items()]
    blank = f"{FLAGSHIP}_blank"
    if any(plan.label == blank for plan in plans) and not any(plan.label == FLAGSHIP for plan in plans):
        plans.append(Cell(label=FLAGSHIP, agent=FLAGSHIP))
    plans = [plan for plan in plans if plan.label != blank]
    labels = [plan.label for plan in plans]
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise ValueError(f"{twice[0]} is given twice; give the second a label of its own by --variant LABEL:...")
    for plan in plans:
        _check(plan, encoder)
    return [replace(plan, seed=seed) for plan in plans for seed in (seeds if plan.learns else [None])]


def _named(given: str) -> Cell:
    name, mark, run = given.partition("=")
    if mark:
        return Cell(label=name, agent=name, run=run)
    agent, mark, regime = name.partition("@")
    return Cell(label=given, agent=agent, regime=_regime(agent, regime) if mark else Regime.FIXED)


def _variant(label: str, given: Mapping[str, Any]) -> Cell:
    settings = dict(given)
    agent = str(settings.pop("agent", FLAGSHIP))
    regime = settings.pop("regime", "")
    chosen = _regime(agent, str(regime)) if regime else Regime.FIXED
    return Cell(label=label, agent=agent, settings=settings, regime=chosen)


def _regime(agent: str, name: str) -> Regime:
    if name not in tuple(Regime):
        raise ValueError(unknown_name("regime", name, [str(one) for one in Regime]))
    check_names([agent])
    if not (agent in LEARNERS and LEARNERS[agent].fits):
        raise ValueError(f"{agent} is not fitted to a log, so it has no regime; leave @{name} out")
    return Regime(name)


def _check(cell: Cell, encoder: str) -> None:
    check_names([cell.agent])
    settings = dict(cell.settings)
    if cell.agent in LISTENERS:
        settings.pop("encoder", encoder)
        configured(SlatePPOConfig, settings, others=("encoder",))
    elif cell.agent in LEARNERS:
        configured(LEARNERS[cell.agent].config, settings)
    elif settings:
        raise ValueError(
            f"{cell.agent} learns nothing and has no settings; {cell.label} gives it {', '.join(settings)}"
        )
