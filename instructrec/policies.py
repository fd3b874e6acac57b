"""A ranker scores, a policy draws: any ranker becomes a policy with exact propensities.

References:
    Plackett (1975), The analysis of permutations; Kool et al. (2019), Stochastic beams and where to find them (drawing
    ordered slates without replacement by perturbing scores with Gumbel noise).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from instructrec.arrays import Floats, Ints
from instructrec.noise import Noise, Purpose
from instructrec.protocols import Policy, Ranker
from instructrec.sessions import Observation


def best_first(scores: Floats, slate_size: int) -> Ints:
    """Returns the places of the highest scores, best first, [batch, slate_size]; ties go to the lower place.

    Raises:
        ValueError: If a score is NaN or there are fewer candidates than the slate is long.
    """
    if scores.shape[1] < slate_size:
        raise ValueError(f"a slate of {slate_size} needs as many candidates, got {scores.shape[1]}")
    if np.isnan(scores).any():
        raise ValueError(f"a ranker gave NaN as the score of candidate {int(np.argwhere(np.isnan(scores))[0][1])}")
    if slate_size < scores.shape[1]:
        # A partition finds the cut; everything above it is in, and ties at the cut go to the lower places.
        cut = -np.partition(-scores, slate_size - 1, axis=1)[:, slate_size - 1 : slate_size]
        above, level = scores > cut, scores == cut
        level &= np.cumsum(level, axis=1) <= slate_size - above.sum(axis=1, keepdims=True)
        places = np.nonzero(above | level)[1].reshape(len(scores), slate_size)
    else:
        places = np.broadcast_to(np.arange(slate_size), scores.shape)
    order = np.argsort(-np.take_along_axis(scores, places, axis=1), axis=1, kind="stable")
    return np.take_along_axis(places, order, axis=1)


def items_at(observation: Observation, places: Ints) -> Ints:
    """Turns places among the candidates into item numbers."""
    if observation.candidates is None:
        return places
    return np.take_along_axis(observation.candidates, places, axis=1)


def places_of(observation: Observation, slates: Ints) -> Ints:
    """Turns item numbers into places among the candidates, [batch, slate_size].

    Raises:
        ValueError: If an item is not a candidate.
    """
    if observation.candidates is None:
        return slates
    equal = observation.candidates[:, None, :] == slates[:, :, None]
    if not equal.any(axis=2).all():
        row, position = np.argwhere(~equal.any(axis=2))[0]
        raise ValueError(f"item {slates[row, position]} in slate {row} is not among the candidates")
    return np.asarray(equal.argmax(axis=2))


@dataclass(frozen=True)
class Greedy:
    """Shows the best-scored items."""

    ranker: Ranker
    slate_size: int

    def act(self, observation: Observation, noise: Noise) -> Ints:
        """Returns the highest-scored items, best first; ``noise`` is not used."""
        return items_at(observation, best_first(self.ranker.scores(observation), self.slate_size))

    def log_prob(self, observation: Observation, slates: Ints) -> Floats:
        """Returns 0 where the slate shows what this policy shows, and minus infinity elsewhere."""
        best = items_at(observation, best_first(self.ranker.scores(observation), self.slate_size))
        return np.where(best == slates, 0.0, -np.inf)


@dataclass(frozen=True)
class PlackettLuce:
    """Draws items one after the other without replacement, each with probability softmax(score / temperature)."""

    ranker: Ranker
    slate_size: int
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"temperature must be > 0, got {self.temperature}; for no randomness use greedy")

    def act(self, observation: Observation, noise: Noise) -> Ints:
        """Returns a slate drawn by perturbing every score with Gumbel noise."""
        scores = self.ranker.scores(observation) / self.temperature
        drawn = best_first(scores + noise.gumbel(Purpose.POLICY, scores.shape[1]), self.slate_size)
        return items_at(observation, drawn)

    def log_prob(self, observation: Observation, slates: Ints) -> Floats:
        """Returns the exact log-probability of each position given the ones above it, [batch, slate_size]."""
        scores = np.asarray(self.ranker.scores(observation) / self.temperature, np.float64)
        return log_prob_of_places(scores, places_of(observation, slates))


class Remembering:
    """The same ranker, asked once for what several ask it in turn: it keeps what it said of the last observation.

    To draw a slate and to tell its probability takes the same scores, and so do policies at different temperatures.

    Args:
        ranker: Whose scores; they must follow from the observation alone.
    """

    def __init__(self, ranker: Ranker) -> None:
        self.ranker = ranker
        self._last: tuple[Observation, Floats] | None = None

    def scores(self, observation: Observation) -> Floats:
        """Returns the ranker's scores, read-only, [batch, num_candidates]."""
        if self._last is None or self._last[0] is not observation:
            scores = np.asarray(self.ranker.scores(observation)).view()
            scores.setflags(write=False)
            self._last = observation, scores
        return self._last[1]


def log_prob_of_places(scores: Floats, places: Ints) -> Floats:
    """Returns Plackett–Luce log-probabilities per position.

    Args:
        scores: Scores over the temperature, [batch, num_candidates].
        places: Places of the shown items among the candidates, [batch, slate_size].

    Returns:
        [batch, slate_size]: log P(item at j | items above j).
    """
    shown = np.take_along_axis(scores, places, axis=1)
    rest = scores.copy()
    np.put_along_axis(rest, places, -np.inf, axis=1)
    # The denominator at position j: everything not shown, and what is shown at j and below.
    top = scores.max(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        unshown = np.log(np.exp(rest - top).sum(axis=1)) + top[:, 0]
    tail = np.logaddexp.accumulate(shown[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(shown - np.logaddexp(tail, unshown[:, None]))


def greedy(ranker: Ranker, slate_size: int) -> Policy:
    """Returns the policy that shows a ranker's best items."""
    return Greedy(ranker, slate_size)


def plackett_luce(ranker: Ranker, slate_size: int, temperature: float = 1.0) -> Policy:
    """Returns the policy that draws slates from a ranker's scores, with exact propensities."""
    return PlackettLuce(ranker, slate_size, temperature)


@dataclass(frozen=True)
class Blank:
    """The same ranker, deprived of every word: the control for understanding."""

    ranker: Ranker

    def scores(self, observation: Observation) -> Floats:
        """Returns the ranker's scores had the user said nothing, now or before."""
        nothing = np.where(observation.said >= 0, 0, -1)
        return self.ranker.scores(observation.saying(np.zeros_like(observation.instruction), nothing))


@dataclass(frozen=True)
class Swapped:
    """The same ranker, hearing the next person's words: the control for listening to *this* person."""

    ranker: Ranker

    def scores(self, observation: Observation) -> Floats:
        """Returns the ranker's scores with the words of each batch rotated by one person."""
        return self.ranker.scores(
            observation.saying(np.roll(observation.instruction, 1), np.roll(observation.said, 1, axis=0))
        )
