"""Clickbait engages now and costs satisfaction later: RecSim's chocolate and kale, and the best that can be done there.

An item's *clickbait score* c lies between 0 (kale) and 1 (chocolate). Everybody takes the first item of the slate, for

    engagement = exp(N(s (c · choc + (1 - c) · kale), (c · choc_spread + (1 - c) · kale_spread)²)),

where the satisfaction s = 1 / (1 + exp(-sensitivity · x)) hangs on the net positive exposure x, which nobody sees:

    x' = memory · x - 2 (c - 1/2) + N(0, noise²).

Nobody says what they want; everybody stays for ``turn_limit`` slates. What the best policy that sees x would earn is
worked out by dynamic programming (`ClickbaitPopulation.optimum`).

Items may be shown again here, while SlatePPO starts out sure that nobody wants an item twice: train it with
``--set scorer.start_marks=[0,0,0]``.

References:
    Ie et al. (2019), RecSim: a configurable simulation platform for recommender systems, arXiv 1909.04847, section 5
    (long-term satisfaction); the constants are those of its published environment.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Floats, Ints
from instructrec.catalogue import Catalogue
from instructrec.envs.populations import PopulationSpec
from instructrec.names import in_a_line, unknown_name
from instructrec.noise import Noise, Purpose
from instructrec.sessions import Instructions, Reactions, Sessions
from instructrec.texts import Texts

SAID = "recommend something"
"""What everybody says, always."""

_NODES, _GRID = 15, 1201


@dataclass(frozen=True)
class ClickbaitState:
    """Who these users are: ``exposure`` is the net positive exposure, float64 [batch]."""

    exposure: npt.NDArray[np.float64]


class ClickbaitPopulation:
    """Users whom clickbait engages and wears out; the module says how.

    Args:
        catalogue: The items.
        turn_limit: Slates until a user leaves, 1 or more.
        column: The numbers that are clickbait scores. Where they leave the range from 0 to 1, their ranks stand for
            them; items without a number score 0.5.
        memory: What is left of the exposure after a slate, 0 to below 1.
        sensitivity: How strongly satisfaction hangs on exposure, per unit, 0 to 100.
        noise: Spread of the exposure's luck per slate, 0 to 100.
        choc: Mean log engagement with pure clickbait at a satisfaction of 1, -20 to 20.
        kale: The same without any.
        choc_spread: Spread of log engagement with pure clickbait, 0 to 5.
        kale_spread: The same without any.

    Raises:
        ValueError: If a setting is out of range, or the column is missing or holds no numbers.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        turn_limit: int = 60,
        column: str = "clickbait",
        memory: float = 0.7,
        sensitivity: float = 0.01,
        noise: float = 0.05,
        choc: float = 5.0,
        kale: float = 4.0,
        choc_spread: float = 1.0,
        kale_spread: float = 1.0,
    ) -> None:
        if isinstance(turn_limit, bool) or not isinstance(turn_limit, int) or turn_limit < 1:
            raise ValueError(f"turn_limit must be at least 1 slate, a whole number; got {turn_limit!r}")
        for name, value, low, high in (
            ("memory", memory, 0.0, np.nextafter(1, 0)),
            ("sensitivity", sensitivity, 0.0, 100.0),
            ("noise", noise, 0.0, 100.0),
            ("choc", choc, -20.0, 20.0),
            ("kale", kale, -20.0, 20.0),
            ("choc_spread", choc_spread, 0.0, 5.0),
            ("kale_spread", kale_spread, 0.0, 5.0),
        ):
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                below = "below 1" if name == "memory" else f"{high:g}"
                raise ValueError(f"{name} must be from {low:g} to {below}, got {value!r}")
        self.turn_limit, self.memory = turn_limit, float(memory)
        self.sensitivity, self.noise = float(sensitivity), float(noise)
        self.choc, self.kale = float(choc), float(kale)
        self.choc_spread, self.kale_spread = float(choc_spread), float(kale_spread)
        self.scores = _scores(catalogue, column)
        """Every item's clickbait score, float64 [num_items]."""
        self.texts = Texts([SAID])
        """The one thing they say."""
        moods = (self.turn_limit, self.memory, self.sensitivity, self.noise)
        tastes = (self.choc, self.kale, self.choc_spread, self.kale_spread)
        parts = repr(("clickbait 1", column, moods, tastes)).encode() + self.scores.tobytes()
        self.fingerprint = hashlib.sha256(parts).hexdigest()[:16]
        """A hash of every setting and of the items' scores."""

    def __repr__(self) -> str:
        return in_a_line(self, f"fingerprint {self.fingerprint}")

    def arrive(self, sessions: Sessions, noise: Noise) -> tuple[ClickbaitState, Instructions]:
        """Returns users whose exposure is spread evenly over half of what it can become."""
        exposure = (noise.uniform(Purpose.PERSON)[:, 0] - 0.5) * self._widest
        return ClickbaitState(exposure), self._say(len(exposure))

    def react(self, state: ClickbaitState, slates: Ints, noise: Noise) -> tuple[ClickbaitState, Reactions]:
        """Returns how much of the first item everybody took in, and what that did to them."""
        batch, scores = len(state.exposure), self.scores[slates[:, 0]]
        satisfaction = self.satisfaction(state.exposure)
        mean, spread = self._engagement(scores, satisfaction)
        engagement = np.zeros(slates.shape, np.float32)
        engagement[:, 0] = np.exp(mean + spread * _normal(noise, Purpose.CONSUMPTION))
        exposure = self._next(state.exposure, scores) + self.noise * _normal(noise, Purpose.DRIFT)
        clicked = np.zeros(slates.shape, np.bool_)
        clicked[:, 0] = True
        reactions = Reactions(
            clicked,
            clicked.copy(),
            self._say(batch),
            noise.turn + 1 >= self.turn_limit,
            engagement=engagement,
            examined=clicked.copy(),
            satisfaction=self.satisfaction(exposure).astype(np.float32),
        )
        return ClickbaitState(exposure), reactions

    def past(self, state: ClickbaitState) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Returns nothing: these users have no past, shape [batch, 0]."""
        shape = (len(state.exposure), 0)
        return np.zeros(shape, np.int32), np.zeros(shape, np.float32)

    def satisfaction(self, exposure: Floats) -> npt.NDArray[np.float64]:
        """Returns the satisfaction that goes with an exposure, 0 to 1."""
        return np.asarray(0.5 + 0.5 * np.tanh(0.5 * self.sensitivity * exposure))

    def optimum(self, slates: int | None = None) -> Optimum:
        """Works out the best policy that sees the exposure, by backward induction over a grid of it.

        Exact to about a thousandth while noise × sensitivity stays below 1; beyond that satisfaction changes faster
        than the grid follows.

        Args:
            slates: How many slates a session has; ``turn_limit`` if omitted.

        Raises:
            ValueError: If there is no slate.
        """
        if slates is not None and slates < 1:
            raise ValueError(f"a session has at least 1 slate, got {slates}")
        turns = self.turn_limit if slates is None else min(slates, self.turn_limit)
        scores = np.unique(self.scores)
        nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
        weights = weights / weights.sum()
        edge = 1 / (1 - self.memory) + 6 * self.noise / np.sqrt(1 - self.memory**2)
        grid = np.linspace(-edge, edge, _GRID)
        mean, spread = self._engagement(scores, self.satisfaction(grid)[:, None])
        now = np.exp(mean + spread**2 / 2)
        after = self._next(grid[:, None], scores)[:, :, None] + self.noise * nodes
        value, best = np.zeros(_GRID), np.zeros((turns, _GRID), np.int64)
        for turn in reversed(range(turns)):
            worth = now + np.interp(after, grid, value) @ weights
            best[turn], value = worth.argmax(axis=1), worth.max(axis=1)
        start = np.linspace(-0.5, 0.5, 2001) * self._widest
        return Optimum(float(np.interp(start, grid, value).mean()), grid, scores[best])

    @property
    def _widest(self) -> float:
        return 1 / (1 - self.memory)

    def _engagement(self, scores: Floats, satisfaction: Floats) -> tuple[Floats, Floats]:
        """Returns mean and spread of log engagement."""
        mean = satisfaction * (scores * self.choc + (1 - scores) * self.kale)
        return mean, scores * self.choc_spread + (1 - scores) * self.kale_spread

    def _next(self, exposure: Floats, scores: Floats) -> Floats:
        return self.memory * exposure - 2 * (scores - 0.5)

    def _say(self, batch: int) -> Instructions:
        # Id 0 is the empty text.
        return Instructions(np.ones(batch, np.int64))


@dataclass(frozen=True)
class Optimum:
    """The best that can be done with the exposure in sight.

    Attributes:
        value: Engagement of a session on average over those who arrive.
        grid: Exposures, ascending, [num_exposures].
        scores: The clickbait score to show first at each turn and exposure, [num_turns, num_exposures].
    """

    value: float
    grid: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]


def _scores(catalogue: Catalogue, column: str) -> npt.NDArray[np.float64]:
    if column not in catalogue.columns:
        others = [name for name, known in catalogue.columns.items() if not known.is_set]
        raise ValueError(
            unknown_name("column of clickbait scores", column, others) + "; the setting column names another"
        )
    if catalogue.column(column).is_set:
        raise ValueError(f"the column {column!r} holds words; clickbait scores are numbers from 0 to 1")
    numbers = catalogue.column(column).numbers.astype(np.float64)
    known = ~np.isnan(numbers)
    scores = np.full(len(numbers), 0.5)
    if ((numbers[known] < 0) | (numbers[known] > 1)).any():
        ranks = np.unique(numbers[known], return_inverse=True)[1]
        scores[known] = ranks / max(int(ranks.max()), 1)
    else:
        scores[known] = numbers[known]
    return scores


def _normal(noise: Noise, purpose: Purpose) -> npt.NDArray[np.float64]:
    """Returns a standard normal draw per user, [batch] (Box and Muller 1958)."""
    uniform = noise.uniform(purpose, 2)
    return np.asarray(np.sqrt(-2 * np.log1p(-uniform[:, 0])) * np.cos(2 * np.pi * uniform[:, 1]))


POPULATION = PopulationSpec(
    name="clickbait",
    summary="Clickbait engages them now and wears them out later.",
    reference="Ie et al. (2019), RecSim, arXiv 1909.04847: long-term satisfaction (chocolate and kale).",
    maker=ClickbaitPopulation,
)
"""How it is known."""
