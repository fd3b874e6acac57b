"""Checkups: now and then during training, a few people whom training never meets show where an agent stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
import numpy.typing as npt

from instructrec.experiments.evaluation import Competitor, Episodes, evaluate, without_words
from instructrec.noise import Noise
from instructrec.sessions import Sessions, World, observe, start, step

METRICS = {
    "return": "reward/checkup_return",
    "session_length": "reward/checkup_session_length",
    "leave_rate": "reward/checkup_leave_rate",
    "csr": "language/csr",
    "strict": "language/strict",
    "violation": "language/violation",
    "diversity": "language/diversity",
}
"""What a checkup measures, and its name in TensorBoard."""


@dataclass(frozen=True)
class Checkup:
    """Where an agent stands.

    Attributes:
        values: By TensorBoard name.
        milliseconds: Times by stage of one decision for one person, and of one step of users and of the environment.
    """

    values: Mapping[str, float]
    milliseconds: Mapping[str, npt.NDArray[np.float64]]


@dataclass
class Examiner:
    """Examines agents on the same people with the same luck each time.

    Attributes:
        world: Where; its people are none that training meets.
        bounds: ``random`` and, where the population tells, ``oracle``; returns are normalised by them.
        seed: The sessions' seed.
        sessions: How many sessions.
        timed_decisions: How many decisions to time.
    """

    world: World
    bounds: Mapping[str, Competitor]
    seed: int = 7
    sessions: int = 96
    timed_decisions: int = 40
    _returns: dict[str, float] = field(default_factory=dict)

    def examine(self, competitor: Competitor) -> Checkup:
        """Examines one agent."""
        played = self._play(competitor, self.timed_decisions)
        values = {told: played.mean(name) for name, told in METRICS.items() if name in played.metrics}
        silent = without_words(competitor)
        if silent is not None and "csr" in played.metrics:
            values["language/control_gain"] = played.mean("csr") - self._play(silent[0]).mean("csr")
        for name, bound in self.bounds.items():
            if name not in self._returns:
                self._returns[name] = self._play(bound).mean("return")
        if {"random", "oracle"} <= set(self._returns):
            low, high = self._returns["random"], self._returns["oracle"]
            values["reward/oracle_normalised_return"] = (played.mean("return") - low) / max(high - low, 1e-9)
        stages = dict(played.latency.milliseconds) if played.latency is not None else {}
        return Checkup(values, {**stages, **self._world_times()})

    def _play(self, competitor: Competitor, timed: int = 0) -> Episodes:
        people = Sessions.first(self.seed, self.sessions)
        return evaluate(self.world, competitor, people, timed_decisions=timed)

    def _world_times(self) -> dict[str, npt.NDArray[np.float64]]:
        """Times one user's reaction and one step of the environment with its observation, on arbitrary slates."""
        world, state = self.world, start(self.world, Sessions.first(self.seed, 1))
        user, environment = [], []
        for turn in range(self.timed_decisions):
            slates = (np.arange(world.slate_size, dtype=np.int32) + turn * world.slate_size) % world.catalogue.num_items
            begun = perf_counter()
            world.population.react(state.population, slates[None], Noise(state.sessions.keys, state.turn))
            user.append(perf_counter() - begun)
            begun = perf_counter()
            after, outcome = step(world, state, slates[None])
            observe(world, after)
            environment.append(perf_counter() - begun)
            state = start(world, Sessions.first(self.seed + turn + 1, 1)) if outcome.done[0] else after
        # The first of each pays for compiling.
        return {"user": np.array(user[1:]) * 1e3, "environment": np.array(environment[1:]) * 1e3}
