"""Intervals that resample people and seeds, crossed: the sessions of a person, and of a training seed, move together.

Everything that is compared comes from *one* draw of people: a bootstrap draw takes the same people for the policy, the
random floor and the reference, so that differences and normalised returns are resampled jointly.

References:
    Owen (2007), The pigeonhole bootstrap (resampling rows and columns of crossed data; conservative); Efron and
    Tibshirani (1993), An Introduction to the Bootstrap (percentile intervals).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from instructrec.arrays import Floats, Ints

THIS_RUN_ONLY = "this run only"


@dataclass(frozen=True)
class Interval:
    """A value with the interval that covers it in 95 % of repetitions, or another share that was asked for.

    Attributes:
        value: The value on the people and seeds at hand.
        low: Lower end; NaN where an interval makes no sense.
        high: Upper end.
    """

    value: float
    low: float
    high: float

    @property
    def above_zero(self) -> bool:
        """Whether the whole interval lies above 0: what "better" means of a paired difference."""
        return self.low > 0

    def as_dict(self) -> dict[str, float | None]:
        """Returns ``{"value", "low", "high"}`` for JSON, which knows no NaN: None stands for it."""
        parts = {"value": self.value, "low": self.low, "high": self.high}
        return {name: None if np.isnan(part) else float(part) for name, part in parts.items()}


@dataclass(frozen=True)
class Estimate:
    """A value with its resampled values. Estimates of one `Crossed` share their draws: arithmetic on them is paired.

    Attributes:
        value: The value on the people and seeds at hand; NaN where it is undefined.
        draws: Its value on each resampling, float64 [num_draws].
    """

    value: float
    draws: npt.NDArray[np.float64]

    def __sub__(self, other: Estimate) -> Estimate:
        return Estimate(self.value - other.value, self.draws - other.draws)

    def __truediv__(self, other: Estimate) -> Estimate:
        draws = np.divide(self.draws, other.draws, out=np.full_like(self.draws, np.nan), where=other.draws != 0)
        return Estimate(self.value / other.value if other.value else float("nan"), draws)

    def interval(self, level: float = 0.95) -> Interval:
        """Returns the percentile interval; resamplings in which the value is undefined are left out."""
        defined = self.draws[np.isfinite(self.draws)]
        if not len(defined):
            return Interval(self.value, float("nan"), float("nan"))
        low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
        return Interval(self.value, float(low), float(high))

    @property
    def variance(self) -> float:
        """The variance over resamplings; NaN where fewer than two are defined."""
        defined = self.draws[np.isfinite(self.draws)]
        return float(defined.var(ddof=1)) if len(defined) > 1 else float("nan")


@dataclass(frozen=True)
class Crossed:
    """One draw of people and seeds, shared by all that is estimated with it. Build one with `of`.

    A resampling takes as many people as there are, with replacement, each with all sessions; and, independently, as
    many seeds as there are. Agents with the same number of seeds share the draw of seeds.

    Attributes:
        person: The place of each session's person among the different ones, int64 [num_sessions].
        people: How often each resampling takes each person, float64 [num_draws, num_people].
        seed: What all draws are made from.
    """

    person: npt.NDArray[np.int64]
    people: npt.NDArray[np.float64]
    seed: int

    @classmethod
    def of(cls, people: Ints | Sequence[int], *, draws: int = 2000, seed: int = 0) -> Crossed:
        """Draws people.

        Args:
            people: Who each session is of, [num_sessions].
            draws: How many resamplings.
            seed: What they are made from.

        Raises:
            ValueError: If there is no session or no draw.
        """
        if not len(people) or draws < 1:
            raise ValueError(f"expected at least one session and one draw, got {len(people)} and {draws}")
        known, person = np.unique(np.asarray(people), return_inverse=True)
        return cls(person.astype(np.int64), _counts(len(known), draws, seed, 0), seed)

    @property
    def num_people(self) -> int:
        """How many different people there are."""
        return int(self.people.shape[1])

    def seeds(self, count: int) -> npt.NDArray[np.float64]:
        """Returns how often each resampling takes each of ``count`` seeds, [num_draws, count]."""
        return _counts(count, len(self.people), self.seed, count)

    def by_person(self, sessions: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Returns sums over each person's sessions: [..., num_sessions] to [..., num_people]."""
        values = np.asarray(sessions, np.float64)
        if values.shape[-1] != len(self.person):
            raise ValueError(f"expected one value for each of {len(self.person)} sessions, got shape {values.shape}")
        order = np.argsort(self.person, kind="stable")
        starts = np.searchsorted(self.person[order], np.arange(self.num_people))
        return np.asarray(np.add.reduceat(values[..., order], starts, axis=-1))

    def ratio(self, sums: npt.ArrayLike, counts: npt.ArrayLike | None = None) -> Estimate:
        """Estimates total sums / total counts: a mean over whatever the counts count.

        Args:
            sums: Per seed and session, [num_seeds, num_sessions], or [num_sessions] for one seed.
            counts: Of the same shape; 1 per session when omitted. Sessions with count 0 do not matter.
        """
        above = np.atleast_2d(np.asarray(sums, np.float64))
        below = np.ones_like(above) if counts is None else np.atleast_2d(np.asarray(counts, np.float64))
        if above.shape != below.shape:
            raise ValueError(f"sums and counts must have one shape, got {above.shape} and {below.shape}")
        above, below = self.by_person(np.where(below > 0, above, 0.0)), self.by_person(below)
        seeds = self.seeds(len(above))
        top = np.einsum("ds,ds->d", self.people @ above.T, seeds)
        bottom = np.einsum("ds,ds->d", self.people @ below.T, seeds)
        total = below.sum()
        draws = np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0)
        return Estimate(float(above.sum() / total) if total > 0 else float("nan"), draws)

    def centred(
        self, value: float, statistic: Callable[[npt.NDArray[np.float64]], Floats], *, draws: int = 200
    ) -> Estimate:
        """Estimates something that depends on how many different people there are, such as coverage.

        A resampling holds fewer different people than the sample, so its values lie lower; they are moved so that
        their mean is ``value``, and only their spread is used.

        Args:
            value: The value on all people.
            statistic: From how often each person is taken, [num_draws, num_people], to the values, [num_draws].
            draws: How many of the resamplings to use.
        """
        used = statistic(self.people[:draws])
        moved = np.full(len(self.people), np.nan)
        moved[: len(used)] = used + (value - used.mean())
        return Estimate(value, moved)


def probability_of_improvement(crossed: Crossed, first: npt.ArrayLike, second: npt.ArrayLike) -> Estimate:
    """Estimates how likely one agent does better than another with the same person: P(X > Y), ties count half.

    For each person every training seed of the one meets every seed of the other (the Mann-Whitney statistic); the mean
    over people. People and seeds are resampled as everywhere.

    Args:
        crossed: The draw of people.
        first: What the one earned per seed and session, [num_seeds, num_sessions].
        second: What the other earned, in the same sessions; it may have another number of seeds.

    References:
        Agarwal et al. (2021), Deep reinforcement learning at the edge of the statistical precipice, arXiv 2108.13264.
    """
    one, other = np.atleast_2d(np.asarray(first, np.float64)), np.atleast_2d(np.asarray(second, np.float64))
    # Sums over sessions of each pair of seeds, by person: [num_first, num_second, num_people].
    wins = np.stack([[crossed.by_person((x > y) + 0.5 * (x == y)) for y in other] for x in one])
    sessions = crossed.by_person(np.ones(one.shape[1]))
    top = np.einsum("ijp,dp->dij", wins, crossed.people)
    top = np.einsum("dij,di,dj->d", top, crossed.seeds(len(one)), crossed.seeds(len(other)))
    bottom = (crossed.people @ sessions) * len(one) * len(other)
    return Estimate(float(wins.sum() / (sessions.sum() * len(one) * len(other))), top / bottom)


def interquartile_mean(values: Floats | Sequence[float], *, draws: int = 2000) -> Interval:
    """Returns the mean of the middle half of runs, with its percentile interval; for seeds × worlds, not for people.

    Args:
        values: One per run, such as normalised returns; the lowest and the highest quarter are left out.
        draws: How many resamplings of runs.

    References:
        Agarwal et al. (2021), arXiv 2108.13264.
    """
    data = np.asarray(values, np.float64)
    if not len(data):
        raise ValueError("an interquartile mean needs at least one run")
    taken = _counts(len(data), draws, 0, len(data)).astype(np.int64)
    found = [float(stats.trim_mean(np.repeat(data, row), 0.25)) for row in taken]
    low, high = np.quantile(found, [0.025, 0.975])
    return Interval(float(stats.trim_mean(data, 0.25)), float(low), float(high))


def _counts(size: int, draws: int, seed: int, stream: int) -> npt.NDArray[np.float64]:
    rng = np.random.Generator(np.random.Philox(key=np.array([seed, stream], np.uint64)))
    taken = rng.integers(0, size, (draws, size)) + size * np.arange(draws)[:, None]
    return np.bincount(taken.ravel(), minlength=draws * size).reshape(draws, size).astype(np.float64)


def variance_saved(first: Estimate, second: Estimate) -> float:
    """Returns the share of a difference's variance that common people and luck saved.

    1 - Var(first - second) / (Var(first) + Var(second)): 0 were they unrelated, 1 when they differ by a constant,
    below 0 when pairing hurts; NaN when neither varies.
    """
    apart = first.variance + second.variance
    return 1.0 - (first - second).variance / apart if apart > 0 else float("nan")


def quantile_interval(values: Floats, quantile: float, *, level: float = 0.95, draws: int = 2000) -> Interval:
    """Returns a quantile of independent measurements, such as latencies, with its percentile interval."""
    data = np.asarray(values, np.float64)
    if not len(data):
        raise ValueError("a quantile needs at least one measurement")
    rng = np.random.Generator(np.random.Philox(key=np.array([0, len(data)], np.uint64)))
    resampled = np.quantile(data[rng.integers(0, len(data), (draws, len(data)))], quantile, axis=1)
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(np.quantile(data, quantile)), float(low), float(high))


def label(num_seeds: int) -> str:
    """Returns what a table says about how far its results carry: one seed speaks of itself alone."""
    return THIS_RUN_ONLY if num_seeds == 1 else f"{num_seeds} seeds"


def as_json(interval: Interval, **more: Any) -> dict[str, Any]:
    """Returns an interval as a dictionary for JSON, with further entries; NaN entries are left out."""
    kept = {name: value for name, value in more.items() if not (isinstance(value, float) and np.isnan(value))}
    return {**interval.as_dict(), **kept}
