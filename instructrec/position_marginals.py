"""How likely a Plackett–Luce policy shows an item at a position, whatever stands above.

Drawing items without replacement in proportion to weights v_i = e^score is a race: item i arrives at an exponential
time of rate v_i, and the slate is the order of arrival. Given the time t of item i the others have arrived or not
independently, so that

    P(i at j) = ∫ v_i e^(-v_i t) P(exactly j - 1 of the others have arrived by t) dt,

a smooth integral in one dimension. The trapezoidal rule in x, t = exp(x - e^-x), converges exponentially; the number of
arrivals has as its generating function Π (e^(-v t) + (1 - e^(-v t)) z), cut off after slate_size coefficients.

References:
    Plackett (1975), The analysis of permutations; Takahasi and Mori (1974), Double exponential formulas for numerical
    integration; Efraimidis and Spirakis (2006), Weighted random sampling with a reservoir (the race).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Floats, Ints
from instructrec.policies import log_prob_of_places

Array = npt.NDArray[np.float64]

NODES = 64
"""How many points the integral is evaluated at, at least."""

WIDEST_STEP = 0.25
"""How far apart points may lie in x; scores far apart, and slates longer than four, get more of them."""

MAX_SLATES = 40_000
"""Up to how many ordered slates `slate_gram` enumerates."""

_CELLS = 2_000_000  # Rows × candidates × points worked on at a time: 16 MB an array.
_LEFT = -3.6  # t = exp(x - e^-x) is 1e-17 there.
_FURTHEST = 600.0  # e^-600 is still a number.
_NEGLIGIBLE = 36.0  # e^-36 = 2e-16.


def position_marginals(scores: Floats, slate_size: int, *, nodes: int = NODES) -> Array:
    """Returns P(item i stands at position j) of a Plackett–Luce policy.

    With 32 points errors are below 1e-9, with 64 below 1e-13. Time grows with candidates × points × positions; rows are
    worked on in blocks of bounded memory.

    Args:
        scores: Scores over the temperature, [batch, num_candidates]; -inf for what is never shown.
        slate_size: How many positions a slate has.
        nodes: How many points the integral is evaluated at, at least.

    Returns:
        float64 [batch, slate_size, num_candidates]; every position sums to 1.

    Raises:
        ValueError: If a score is NaN or +inf, a row has fewer candidates above -inf than the slate is long, or even
            they lie hundreds apart.
    """
    _check(scores, slate_size, nodes)
    found = np.empty((len(scores), slate_size, scores.shape[1]))
    for rows in _blocks(scores, nodes):
        race = _Race(scores[rows], slate_size, nodes)
        found[rows] = race.of_all()
    return found


def log_marginals(scores: Floats, places: Ints, *, nodes: int = NODES) -> Array:
    """Returns log P(the item shown at j stands at j), [batch, slate_size]: what `independent_ips` needs.

    Args:
        scores: Scores over the temperature, [batch, num_candidates]; -inf for what is never shown.
        places: Places of the shown items among the candidates, [batch, slate_size].
        nodes: As for `position_marginals`.

    Raises:
        ValueError: As `position_marginals`, and if places do not fit the scores.
    """
    if places.ndim != 2 or len(places) != len(scores):
        raise ValueError(f"places must be [{len(scores)}, slate_size] for these scores, got {places.shape}")
    _check(scores, places.shape[1], nodes)
    if places.size and not 0 <= places.min() <= places.max() < scores.shape[1]:
        raise ValueError(
            f"places must be numbers of {scores.shape[1]} candidates, got {places.min()} to {places.max()}"
        )
    found = np.empty(places.shape)
    for rows in _blocks(scores, nodes):
        race = _Race(scores[rows], places.shape[1], nodes)
        found[rows] = race.of_shown(places[rows])
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.clip(found, 0, 1)))


def ordered_slates(num_candidates: int, slate_size: int) -> npt.NDArray[np.int64]:
    """Returns every ordered slate of distinct places, [num_slates, slate_size], in lexicographic order.

    Raises:
        ValueError: If there are more than `MAX_SLATES`.
    """
    count = math.perm(num_candidates, slate_size)
    if not 0 < count <= MAX_SLATES:
        raise ValueError(
            f"{slate_size} of {num_candidates} candidates make {count:,} ordered slates; between 1 and {MAX_SLATES:,} "
            "can be enumerated: take fewer candidates or shorter slates, or another estimator"
        )
    return np.array(list(itertools.permutations(range(num_candidates), slate_size)), np.int64)


def slate_gram(scores: Floats, slate_size: int) -> Array:
    """Returns Γ = E[1_s 1_sᵀ] of a Plackett–Luce policy: P(i at j and i' at j'), by enumerating every slate.

    Args:
        scores: Scores over the temperature, [batch, num_candidates]; -inf for what is never shown.
        slate_size: How many positions a slate has; num_candidates! / (num_candidates - slate_size)! ordered slates are
            at most `MAX_SLATES` (5 of 9 candidates, 3 of 35).

    Returns:
        float64 [batch, slate_size × num_candidates, the same]; row j × num_candidates + i is item i at position j.

    Raises:
        ValueError: If there are too many slates, or as for `position_marginals`.
    """
    _check(scores, slate_size, 2)
    candidates = scores.shape[1]
    slates = ordered_slates(candidates, slate_size)
    size = slate_size * candidates
    marked = slates + candidates * np.arange(slate_size)
    pairs = (marked[:, :, None] * size + marked[:, None, :]).reshape(len(slates), -1)
    found = np.empty((len(scores), size, size))
    for row, score in enumerate(np.asarray(scores, np.float64)):
        possible = np.isfinite(score[slates]).all(axis=1)
        kept = slates[possible]
        log_prob = log_prob_of_places(np.broadcast_to(score, (len(kept), candidates)), kept)
        chance = np.exp(log_prob.sum(axis=1))
        weights = np.repeat(chance, slate_size**2)
        found[row] = np.bincount(pairs[possible].ravel(), weights, size * size).reshape(size, size)
    return found


def _check(scores: Floats, slate_size: int, nodes: int) -> None:
    if scores.ndim != 2 or not 1 <= slate_size <= scores.shape[1]:
        raise ValueError(
            "expected scores [batch, num_candidates] and a slate of 1 to num_candidates, got "
            f"{scores.shape} and {slate_size}"
        )
    if nodes < 2:
        raise ValueError(f"an integral needs at least two points, got {nodes}; {NODES} are usual")
    if np.isnan(scores).any() or np.isposinf(scores).any():
        row, place = np.argwhere(np.isnan(scores) | np.isposinf(scores))[0]
        raise ValueError(f"the score of candidate {place} in row {row} is {scores[row, place]}; scores are below +inf")
    few = np.isfinite(scores).sum(axis=1) < slate_size
    if few.any():
        raise ValueError(f"row {np.argmax(few)} has fewer candidates above -inf than a slate of {slate_size} needs")
    best = -np.partition(-scores, slate_size - 1, axis=1)[:, :slate_size]
    far = best.max(axis=1) - best.min(axis=1) > _FURTHEST
    if far.any():
        raise ValueError(
            f"the {slate_size} best scores of row {np.argmax(far)} lie more than {_FURTHEST:g} apart: such a policy "
            "draws nothing; use a higher temperature"
        )


def _blocks(scores: Floats, nodes: int) -> Iterator[slice]:
    step = max(1, _CELLS // (scores.shape[1] * nodes))
    return (slice(begin, begin + step) for begin in range(0, len(scores), step))


class _Race:
    """The race of a block of rows, at every point of the integral.

    The 2 × slate_size fastest items are *heavy* and multiplied out one by one; of the others, whose odds of having
    arrived are small wherever the integrand is not, the elementary symmetric sums come from power sums, and leaving one
    out is a division of power series. Either would be unstable for the other.
    """

    def __init__(self, scores: Floats, slate_size: int, nodes: int) -> None:
        logs = np.asarray(scores, np.float64)
        top = logs.max(axis=1, keepdims=True)
        logs = logs - (top + np.log(np.exp(logs - top).sum(axis=1, keepdims=True)))
        self.size = slate_size
        self.order = np.argsort(-logs, axis=1, kind="stable")
        self.rates = np.exp(np.take_along_axis(logs, self.order, axis=1))  # [rows, candidates], fastest first, sum 1
        self.times, self.masses = _points(self.rates, slate_size, nodes)  # [rows, points] both
        self.heavy = min(2 * slate_size, logs.shape[1])
        self.light = self._light_counts()
        self.before, self.after = self._heavy_counts()
        # P(k have arrived), times the mass of the point, [rows, points, size].
        self.counts = _product(self.light, self.before[-1]) * self.masses[:, :, None]

    def _odds(self, rates: Array) -> Array:
        """Returns P(arrived) / P(not yet), [rows, items, points]; capped where all that it multiplies is 0 anyway."""
        return np.expm1(np.minimum(rates[:, :, None] * self.times[:, None, :], 500.0 / self.size))

    def _light_counts(self) -> Array:
        """Returns P(k of the light items have arrived), k < size, [rows, points, size]."""
        rates = self.rates[:, self.heavy :]
        counts = np.zeros((*self.times.shape, self.size))
        counts[:, :, 0] = 1.0
        if rates.shape[1]:
            odds = self._odds(rates)
            power, sums = odds.copy(), []
            for k in range(1, self.size):
                sums.append(power.sum(axis=1))
                signed = sum((-1) ** s * counts[:, :, k - 1 - s] * sums[s] for s in range(k))
                counts[:, :, k] = signed / k
                power *= odds
            counts *= np.exp(-rates.sum(axis=1)[:, None] * self.times)[:, :, None]
        return counts

    def _heavy_counts(self) -> tuple[list[Array], list[Array]]:
        """Returns P(k have arrived) of the first 0, 1, … heavy items, and of those from the 0th, 1st, … on."""
        late = np.exp(-self.rates[:, : self.heavy, None] * self.times[:, None, :])
        none = np.zeros((*self.times.shape, self.size))
        none[:, :, 0] = 1.0
        before, after = [none], [none]
        for place in range(self.heavy):
            before.append(_joined_by(before[-1], late[:, place]))
            after.append(_joined_by(after[-1], late[:, self.heavy - 1 - place]))
        return before, after[::-1]

    def _of_heavy(self, place: int) -> Array:
        """Returns P(the heavy item is at each position), [rows, size]."""
        others = _product(self.light, _product(self.before[place], self.after[place + 1]))
        rate = self.rates[:, place, None]
        density = rate * np.exp(-rate * self.times) * self.masses
        return np.asarray(np.einsum("rt,rtk->rk", density, others))

    def _of_light(self, rates: Array) -> Array:
        """Returns P(items of these rates are at each position), [rows, items, size]: one divided out of all."""
        found = np.zeros((*rates.shape, self.size))
        odds = self._odds(rates)
        power = np.ones_like(odds)
        for k in range(self.size):
            found[:, :, k:] += power @ self.counts[:, :, : self.size - k]
            power *= -odds
        return found * rates[:, :, None]

    def of_all(self) -> Array:
        """Returns P(item at position), [rows, size, candidates]."""
        found = np.empty((*self.rates.shape, self.size))
        for place in range(self.heavy):
            found[:, place] = self._of_heavy(place)
        if self.heavy < self.rates.shape[1]:
            found[:, self.heavy :] = self._of_light(self.rates[:, self.heavy :])
        back = np.empty_like(found)
        np.put_along_axis(back, self.order[:, :, None], found, axis=1)
        return np.asarray(np.clip(back, 0, 1).transpose(0, 2, 1))

    def of_shown(self, places: Ints) -> Array:
        """Returns P(the item shown at j is at j), [rows, size]."""
        ranks = np.empty_like(self.order)
        np.put_along_axis(ranks, self.order, np.broadcast_to(np.arange(self.order.shape[1]), self.order.shape), axis=1)
        shown = np.take_along_axis(ranks, places, axis=1)
        positions = np.arange(self.size)
        found = self._of_light(np.take_along_axis(self.rates, shown, axis=1))[:, positions, positions]
        for place in range(self.heavy):
            row, position = np.nonzero(shown == place)
            if len(row):
                found[row, position] = self._of_heavy(place)[row, position]
        return np.asarray(found)


def _points(rates: Array, slate_size: int, nodes: int) -> tuple[Array, Array]:
    """Returns times between which the whole race is run, and the mass of each, [rows, points] both."""
    end = np.log(_last_time(rates, slate_size)) + 1e-3
    # The time of the k-th arrival is spread over about 1/√k in x.
    widest = WIDEST_STEP * min(1.0, 2.0 / math.sqrt(slate_size))
    count = max(nodes, math.ceil(float((end - _LEFT).max()) / widest))
    x = _LEFT + (end - _LEFT)[:, None] * np.linspace(0, 1, count)
    times = np.exp(x - np.exp(-x))
    step = (end - _LEFT)[:, None] / (count - 1)
    return times, times * (1 + np.exp(-x)) * step


def _last_time(rates: Array, slate_size: int) -> Array:
    """Returns when slate_size items have arrived but for a chance of about 1e-15, [rows]; rates fastest first."""
    with np.errstate(divide="ignore"):
        bound = _NEGLIGIBLE / rates[:, slate_size - 1]
        # By Chernoff, where the expected number of arrivals is this, fewer than slate_size are as unlikely.
        needed = _NEGLIGIBLE + 6 * slate_size
        ranks = np.arange(1, rates.shape[1] + 1)
        enough = ranks > needed
        if enough.any():
            each = -np.log1p(-needed / ranks[enough]) / rates[:, enough]
            bound = np.minimum(bound, each.min(axis=1))
    return np.asarray(bound)


def _product(one: Array, other: Array) -> Array:
    """Returns the distribution of a sum from those of its parts, cut off, [..., size]."""
    found = one[..., :1] * other
    for k in range(1, one.shape[-1]):
        found[..., k:] += one[..., k : k + 1] * other[..., :-k]
    return found


def _joined_by(counts: Array, late: Array) -> Array:
    """Returns the number of arrivals with one more item, which is late with this chance, [rows, points]."""
    found = counts * late[:, :, None]
    found[:, :, 1:] += counts[:, :, :-1] * (1 - late)[:, :, None]
    return found
