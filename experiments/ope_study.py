"""How good is off-policy evaluation? Estimates from many fresh logs, held against what the policies truly earn.

In each world of a grid, logs of several sizes are recorded with one policy; every other policy is estimated from each
of them, and played itself, once, on fresh sessions. These are of the same people as the logs', and so are the
intervals. What was found of a log is kept as soon as it is known, so that a killed study goes on where it stood, and
one with more logs keeps those it has. Smaller logs are the beginnings of larger ones; logs of one size are of different
sessions.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from instructrec import __version__, runs
from instructrec.experiments.cells import CELLS, hash_of, kept
from instructrec.experiments.competitors import world_of
from instructrec.experiments.log_sessions import behaviour
from instructrec.experiments.ope import Cast, Target, picked, truth_of
from instructrec.experiments.ope_study_measures import MEAN_OF_LOG, measured
from instructrec.experiments.ope_study_page import to_markdown
from instructrec.experiments.outputs import check_place, command_line
from instructrec.experiments.progress import Narrator
from instructrec.log_files import DiskLog
from instructrec.log_manifest import LoggedPolicy, LoggedWorld, LogPlan
from instructrec.log_recording import record_log
from instructrec.off_policy import LOGGED, Evaluations, evaluate_policies
from instructrec.protocols import Policy
from instructrec.sessions import Sessions, World

PAGE = "ope_study.md"
LOGS = "logs"
KEPT = 3
"""Raised whenever logs are made or evaluated in another way, so that older findings are not taken for the same."""
DISTINCT = 2.0
"""Two policies count as truly apart where their true values are, by this many standard errors of the difference."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is studied.

    Attributes:
        world: The world's id.
        policy: Who logs: an agent by name, or NAME=RUN.
        temperature: What its scores are divided by.
        policies: Who is evaluated, each NAME, NAME=RUN, NAME@T or NAME=RUN@T; the temperature is 1 without @T.
        sizes: How many sessions the logs hold.
        logs: How many logs of each size; one number for all, or as many as sizes.
        world_settings: Settings of every world.
        grid: Settings with several values each; every combination is a world.
        truth_sessions: On how many fresh sessions the truth is measured.
        marginals: Whether `independent_ips` is among the estimators of small logs; it takes most of the time.
        split: Whose people and phrasings.
        seed: Of the truth's sessions; the logs have those that follow.
    """

    world: str
    policy: str
    temperature: float = 1.0
    policies: tuple[str, ...]
    sizes: tuple[int, ...]
    logs: tuple[int, ...] = (20,)
    world_settings: Mapping[str, Any] = field(default_factory=dict)
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    truth_sessions: int = 20_000
    marginals: bool = False
    split: str = "train"
    seed: int = 0

    def __post_init__(self) -> None:
        for policy in self.policies:
            Target.read(policy)
        if len(set(self.policies)) < max(len(self.policies), 2):
            raise ValueError(
                f"a study ranks two policies or more, each named once; got {', '.join(self.policies) or 'none'}"
            )
        if not self.sizes or min(self.sizes) < 2 or len(set(self.sizes)) < len(self.sizes):
            raise ValueError(f"logs hold 2 sessions or more, and each size is given once; got {_told(self.sizes)}")
        if len(self.logs) not in (1, len(self.sizes)) or min(self.logs) < 1:
            raise ValueError(
                f"the number of logs is 1 or more, one for all sizes ({_told(self.sizes)}) or one for each of them; "
                f"got {_told(self.logs)}"
            )
        if twice := sorted(set(self.grid) & set(self.world_settings)):
            raise ValueError(f"{twice[0]} is a setting of every world and part of the grid; give it once")
        if thin := [name for name, values in self.grid.items() if len(set(map(repr, values))) < max(len(values), 2)]:
            raise ValueError(f"the grid needs two values or more of {thin[0]}, each once, such as {thin[0]}=5,10")
        if self.truth_sessions < 2:
            raise ValueError(f"the truth needs 2 sessions or more, got {self.truth_sessions}")

    @property
    def plan(self) -> tuple[tuple[int, int], ...]:
        """Sizes from the smallest, each with its number of logs."""
        logs = self.logs * len(self.sizes) if len(self.logs) == 1 else self.logs
        return tuple(sorted(zip(self.sizes, logs, strict=True)))

    def settings(self) -> list[dict[str, Any]]:
        """Returns what differs between the worlds, one entry for each."""
        return [dict(zip(self.grid, values, strict=True)) for values in itertools.product(*self.grid.values())]


def _told(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"


def ope_study(study: Study, *, out: str | os.PathLike[str], keep_logs: bool = False, narrator: Narrator) -> Any:
    """Records and evaluates the logs of a study that the folder lacks, and measures all of them.

    Args:
        study: What is studied.
        out: The folder for ``results.json``, ``ope_study.md``, pictures, and what was found of every log.
        keep_logs: Whether logs stay, under ``logs``; those recorded by an earlier run may be gone.
        narrator: Is told how far it has come.

    Returns:
        The document that is written: for each world the truth, and for each size of log what
        `instructrec.experiments.ope_study_measures.measured` finds.

    Raises:
        ImportError: If pyarrow is not installed.
        RunError: If the folder is in use or cannot be written, or a run that is named is none.
        ValueError: If a policy is unknown, has to be trained first or sees what is hidden, or the world refuses a
            setting.
    """
    folder = Path(out)
    check_place(folder / runs.RESULTS)
    grounds = [_Ground.of(study, settings, folder) for settings in study.settings()]  # A mistake shows at once.
    with runs.locked(folder):
        worlds = []
        for ground in grounds:
            truth = ground.truth(narrator)
            logs = ground.logs(keep_logs, narrator)
            worlds.append(ground.about() | {"truth": truth, **measured(truth, logs)})
        found = {"study": study, "command": command_line(), "version": __version__, "worlds": worlds}
        document = json.loads(runs.to_json(found))  # As it will be read again: null for what is not known.
        pictures = _pictures(document)
        runs.write_json(folder / runs.RESULTS, document)
        for name, content in pictures.items():
            runs.write_bytes(folder / name, content)
        runs.write_text(folder / PAGE, to_markdown(document, list(pictures)))
    return document


def _pictures(document: Mapping[str, Any]) -> dict[str, bytes]:
    from instructrec.experiments.ope_study_plots import draw  # Matplotlib takes a second.

    return draw(document)


@dataclass(frozen=True)
class _Ground:
    """One world of a study, who logs there, and who is evaluated."""

    study: Study
    different: Mapping[str, Any]
    world: World
    logger: Policy
    described: LoggedPolicy
    targets: Mapping[str, Policy]
    identity: Mapping[str, Any]
    folder: Path

    @classmethod
    def of(cls, study: Study, different: Mapping[str, Any], folder: Path) -> _Ground:
        world = world_of(study.world, {**study.world_settings, **different}, study.split)
        cast = Cast(world)
        # Refuses what no log can hold, in the words of `instructrec log`.
        described = behaviour(study.policy, world, temperature=study.temperature)[1]
        targets = [Target.read(typed) for typed in study.policies]
        everyone = {one.typed: cast.policy(one.agent, one.temperature or 1.0) for one in targets}
        identity = {
            "kept": KEPT,
            "version": __version__,
            "world": world.fingerprint,
            "split": study.split,
            "policy": described.fingerprint,
            "policies": {name: fingerprint for name, (_, fingerprint) in everyone.items()},
        }
        return cls(
            study=study,
            different=different,
            world=world,
            logger=cast.policy(study.policy, study.temperature)[0],
            described=described,
            targets={name: policy for name, (policy, _) in everyone.items()},
            identity=identity,
            folder=folder,
        )

    def about(self) -> dict[str, Any]:
        return {
            "settings": dict(self.different),
            "fingerprint": self.world.fingerprint,
            "slate_size": self.world.slate_size,
            "turn_limit": self.world.turn_limit,
        }

    def _cell(self, kind: str, **more: Any) -> Path:
        return self.folder / CELLS / f"{kind}-{hash_of({**self.identity, **more})}.json"

    def truth(self, narrator: Narrator) -> dict[str, Any]:
        """Returns what everybody truly earns, played now if it was not before."""
        count, seed = self.study.truth_sessions, self.study.seed
        return kept(self._cell("truth", sessions=count, seed=seed), lambda: self._played(narrator), "policies", "span")

    def _played(self, narrator: Narrator) -> dict[str, Any]:
        count, seed = self.study.truth_sessions, self.study.seed
        real = truth_of(self.world, {**self.targets, LOGGED: self.logger}, Sessions.first(seed, count), narrator)
        if real.span is None:
            raise ValueError(
                f"the oracle of {self.study.world} earns no more than chance, so that errors have no measure; "
                "choose other settings, or more --truth-sessions"
            )
        found = real.policies
        alike = [
            [one, other]
            for one, other in itertools.combinations(self.targets, 2)
            if abs(found[one].value - found[other].value) <= DISTINCT * found[one].error_of_difference(found[other])
        ]
        return {
            "sessions": count,
            "seed": seed,
            "oracle": real.oracle,
            "random": real.random,
            "span": real.span,
            "policies": {name: {"value": one.value, "error": one.error} for name, one in found.items()},
            "alike": alike,
        }

    def logs(self, keep: bool, narrator: Narrator) -> dict[int, list[dict[str, Any]]]:
        """Returns what was found of each log, by size; those not known yet are recorded and evaluated."""
        total = sum(size * logs for size, logs in self.study.plan)
        done, found = 0, dict[int, list[dict[str, Any]]]()
        where = "".join(f", {name} {value}" for name, value in self.different.items())
        with narrator.task(f"Recording and evaluating {total:,} sessions{where}") as advance:
            for size, logs in self.study.plan:
                found[size] = []
                for number in range(logs):
                    found[size].append(self._log(size, self.study.seed + 1 + number, keep))
                    done += size
                    advance(done / total, f"log {number + 1} of {logs} with {size:,} sessions")
        return found

    def _log(self, size: int, seed: int, keep: bool) -> dict[str, Any]:
        path = self._cell("log", sessions=size, seed=seed, marginals=self.study.marginals)
        return kept(path, lambda: self._recorded(path.stem.removeprefix("log-"), size, seed, keep), "policies", "turns")

    def _recorded(self, name: str, size: int, seed: int, keep: bool) -> dict[str, Any]:
        place = self.folder / LOGS / name
        found = self._found(record_log(self.world, self.logger, self._plan(size, seed), place))
        if not keep:  # Before it counts as done: a killed study leaves no log behind.
            shutil.rmtree(place)
        return found

    def _plan(self, size: int, seed: int) -> LogPlan:
        settings = {**self.study.world_settings, **self.different}
        world = LoggedWorld.of(self.world, name=self.study.world, settings=settings, split=self.study.split)
        return LogPlan(world=world, policy=self.described, sessions=size, seed=seed)

    def _found(self, log: DiskLog) -> dict[str, Any]:
        everyone, marginals = self.targets, self.study.marginals
        found = evaluate_policies(
            log, self.world, everyone, same_people=True, logged_by=self.logger, marginals=marginals
        )
        gains = {name: (*found.gain(name), found.policies[name].chosen.trusted) for name in everyone}
        return {
            "sessions": found.sessions,
            "turns": found.turns,
            "people": found.people,
            "logged": found.logged.value,
            "selected": picked(gains, found.logged.units),
            "policies": {name: _estimates(found, name) for name in everyone},
        }


def _estimates(found: Evaluations, name: str) -> list[dict[str, Any]]:
    """Returns what a log says of a policy by each estimator, and the mean of the log as if that said it, too."""
    choice = found.policies[name]
    rows = [
        {
            "estimator": one.estimator,
            "value": one.value,
            "low": one.low,
            "high": one.high,
            "error": one.error,
            "ess": one.ess,
            "trusted": one.trusted,
            "chosen": place == choice.place,
        }
        for place, one in enumerate(choice.estimates)
    ]
    mean = {part: getattr(found.logged, part) for part in ("value", "low", "high", "error")}
    return [*rows, {"estimator": MEAN_OF_LOG, **mean, "ess": np.nan, "trusted": False, "chosen": False}]
