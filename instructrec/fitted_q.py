"""Values of states and actions fitted to a log, linear in features; and folds, so that no row is predicted by itself.

A *step* is a turn of a session, or, for `slate_estimators.cascade_dr`, a position of a slate (then the slate is the
session, and the items above are the state).

References:
    Le et al. (2019), Batch policy learning under constraints, ICML (fitted Q evaluation); Hao et al. (2021),
    Bootstrapping fitted Q-evaluation for off-policy inference, ICML (the spread of the linear one).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Bools, Floats, Ints

Array = npt.NDArray[np.float64]

_ROWS = 65_536


class Rows(Protocol):
    """Features, [n, num_features]: an array, or what makes rows when they are asked for, as large logs need."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, num_features)."""
        ...

    def __getitem__(self, rows: Any, /) -> Any:
        """Returns the features of some rows, given as for an array."""
        ...


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Steps of a log, each session's in their order and all sessions one after the other (`ordered`).

    Attributes:
        rewards: What each step earned, [n].
        session: Which session it is of, numbered 0, 1, … without gaps, int64 [n].
        turn: How many steps of the session came before it, [n].
        shown: φ(s, a), features of what was seen and shown, [n, num_features]; a column of ones among them.
        expected: φ(s, π) = Σ_a π(a | s) φ(s, a), of what was seen and what the evaluated policy would show,
            [n, num_features]; the mean over slates drawn from π will do.
        discount: What a reward one step later counts, above 0 and at most 1.
    """

    rewards: Floats
    session: npt.NDArray[np.int64]
    turn: Ints
    shown: Rows
    expected: Rows
    discount: float = 1.0

    def __post_init__(self) -> None:
        rows = len(self.rewards)
        for name, array in (("session", self.session), ("turn", self.turn)):
            if array.shape != (rows,):
                raise ValueError(f"{name} must hold one number for each of {rows:,} rewards, got {array.shape}")
        for name, features in (("shown", self.shown), ("expected", self.expected)):
            if len(features.shape) != 2 or features.shape[0] != rows or features.shape != self.shown.shape:
                raise ValueError(
                    f"{name} must be [{rows}, num_features], with the same features of what was shown and what is "
                    f"expected; got {features.shape} beside {self.shown.shape}"
                )
            for begin in range(0, rows, _ROWS):
                part = features[begin : begin + _ROWS]
                if not np.isfinite(part).all():
                    row, column = np.argwhere(~np.isfinite(part))[0]
                    raise ValueError(f"feature {column} of row {begin + row} of {name} is {part[row, column]}")
        if not 0 < self.discount <= 1:
            raise ValueError(f"discount lies above 0 and at most at 1, got {self.discount}")
        starts = np.append(True, self.session[1:] != self.session[:-1])
        if (self.turn[starts] != 0).any() or (self.turn[1:][~starts[1:]] != self.turn[:-1][~starts[1:]] + 1).any():
            raise ValueError(
                "steps must stand session by session, turns 0, 1, …: see session_estimators.LoggedSessions"
            )

    @property
    def first(self) -> Bools:
        """Which steps begin a session, [n]."""
        return np.asarray(self.turn == 0)

    @property
    def horizon(self) -> int:
        """How many steps the longest session has."""
        return int(self.turn.max()) + 1


@dataclass(frozen=True)
class FittedQ:
    """Q(s, a) = φ(s, a)ᵀθ and V(s) = φ(s, π)ᵀθ.

    Attributes:
        stages: θ after 0, 1, …, horizon rounds of fitting, [horizon + 1, num_features]; the last one is used.
        inverse: (Φᵀ Φ + ridge)⁻¹ of the steps it was fitted to, [num_features, num_features].
        step: (Φᵀ Φ + ridge)⁻¹ Φᵀ Φ', with Φ' what is expected one step later, [num_features, num_features].
    """

    stages: Array
    inverse: Array
    step: Array

    def session_scores(self, steps: Steps) -> Array:
        """Returns one number per session it was fitted to, whose mean is the value and whose spread is its error's.

        V of the session's first state, plus what the session moved the fitted θ by (its influence), round by round.
        """
        starts = np.flatnonzero(steps.first)
        sessions = len(starts)
        first, begins = np.empty(sessions), np.zeros(len(self.inverse))
        for begin in range(0, sessions, _ROWS):
            part = np.asarray(steps.expected[starts[begin : begin + _ROWS]], np.float64)
            first[begin : begin + _ROWS] = part @ self.stages[-1]
            begins += part.sum(axis=0)
        # What one unit of each coordinate of θ, as it comes out of a round, moves the value by; the last round first.
        matters = [begins / sessions]
        for _ in self.stages[2:]:
            matters.append(steps.discount * (self.step.T @ matters[-1]))
        ways = self.inverse @ np.stack(matters, axis=1)
        moved = np.empty(len(steps.rewards))
        for rows, shown, after in _blocks(steps):
            surprise = steps.rewards[rows, None] + steps.discount * (after @ self.stages[-2::-1].T)
            surprise -= shown @ self.stages[:0:-1].T
            moved[rows] = ((shown @ ways) * surprise).sum(axis=1)
        influence = np.bincount(steps.session, moved, sessions) * sessions
        return np.asarray(first + influence - influence.mean(), np.float64)


def fit_q(steps: Steps, *, ridge: float = 1.0) -> FittedQ:
    """Fits Q by rounds of ridge regression on reward + discount × V one step later, as many as the longest session has.

    θ_k+1 = argmin Σ (r + γ φ(s', π)ᵀθ_k - φ(s, a)ᵀθ)² + ridge |θ|², from θ_0 = 0; nothing comes after a session's last
    step. Where time matters, as it does when sessions end at a turn limit, the turn belongs among the features.

    Args:
        steps: The log.
        ridge: Above 0; what a feature must explain, in squared rewards, before it counts.

    Raises:
        ValueError: If ridge is not above 0.
    """
    if not ridge > 0:
        raise ValueError(f"ridge must be above 0, got {ridge}; 1 is usual")
    return _solved(_Sums.of(steps), ridge, steps.discount, steps.horizon)


@dataclass
class _Sums:
    """ΦᵀΦ, ΦᵀΦ' and Φᵀr of some steps: all that a fit needs of them."""

    shown: Array
    later: Array
    rewards: Array

    @classmethod
    def of(cls, steps: Steps, folds: Ints | None = None, number: int = 0) -> _Sums:
        """Returns the sums of all steps, or of one fold's."""
        width = steps.shown.shape[1]
        found = cls(np.zeros((width, width)), np.zeros((width, width)), np.zeros(width))
        for rows, shown, after in _blocks(steps):
            earned = np.asarray(steps.rewards[rows], np.float64)
            if folds is not None:
                chosen = folds[rows] == number
                shown, after, earned = shown[chosen], after[chosen], earned[chosen]
            found.shown += shown.T @ shown
            found.later += shown.T @ after
            found.rewards += shown.T @ earned
        return found

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(self.shown + other.shown, self.later + other.later, self.rewards + other.rewards)


def _solved(sums: _Sums, ridge: float, discount: float, rounds: int) -> FittedQ:
    inverse = np.asarray(np.linalg.inv(sums.shown + ridge * np.eye(len(sums.shown))), np.float64)
    start, step = inverse @ sums.rewards, inverse @ sums.later
    stages = [np.zeros(len(inverse))]
    for _ in range(rounds):
        stages.append(start + discount * step @ stages[-1])
    return FittedQ(np.stack(stages), inverse, step)


def _blocks(steps: Steps) -> Iterator[tuple[slice, Array, Array]]:
    """Yields rows, their φ(s, a), and what is expected one step later, 0 after a session's last, in double precision.

    A few rows at a time: in double precision a large log's features would not fit into memory.
    """
    size = len(steps.rewards)
    for begin in range(0, size, _ROWS):
        end = min(begin + _ROWS, size)
        after = np.zeros((end - begin, steps.shown.shape[1]))
        last = min(end + 1, size)
        after[: last - begin - 1] = np.where(steps.first[begin + 1 : last, None], 0.0, steps.expected[begin + 1 : last])
        yield slice(begin, end), np.asarray(steps.shown[begin:end], np.float64), after


def folds_of(unit: Ints, count: int = 5, *, seed: int = 0) -> npt.NDArray[np.int64]:
    """Returns the fold of each row, 0 to count - 1, [n]; rows of one unit fall into one, and folds are of like size.

    Predictions for a row must come from a model that was fitted to other folds, or doubly robust estimates believe in
    what the model learned by heart.

    Args:
        unit: What stays together, such as the session or person of each row, [n].
        count: How many folds, 2 or more.
        seed: What units are shuffled with.

    Raises:
        ValueError: If there are fewer units than folds, or fewer than two folds.
    """
    known, place = np.unique(unit, return_inverse=True)
    if not 2 <= count <= len(known):
        raise ValueError(f"expected between 2 folds and one for each of {len(known):,} units, got {count}")
    rng = np.random.Generator(np.random.Philox(key=np.array([seed, count], np.uint64)))
    return np.asarray((rng.permutation(len(known)) % count)[place.ravel()], np.int64)


def out_of_fold(steps: Steps, folds: Ints, *, ridge: float = 1.0) -> tuple[Array, Array]:
    """Returns Q of what was shown and V under the evaluated policy, [n] both, of models fitted to the other folds.

    Args:
        steps: The log.
        folds: The fold of each step, [n]; `folds_of`.
        ridge: As for `fit_q`.

    Raises:
        ValueError: If a session is in two folds, or there is one fold.
    """
    if folds.shape != steps.session.shape or (folds[~steps.first] != folds[:-1][~steps.first[1:]]).any():
        raise ValueError("every step needs a fold, and steps of one session the same one: use folds_of(session)")
    numbers = np.unique(folds)
    if len(numbers) < 2:
        raise ValueError("predicting a fold by the others takes two folds or more")
    parts = {number: _Sums.of(steps, folds, number) for number in numbers}
    models = []
    for number in parts:
        rounds = int(steps.turn[folds != number].max()) + 1
        # Added up from the others: what is taken off the whole leaves a trace of rounding.
        others = functools.reduce(_Sums.__add__, (part for other, part in parts.items() if other != number))
        models.append(_solved(others, ridge, steps.discount, rounds).stages[-1])
    predicted, expected = np.empty(len(folds)), np.empty(len(folds))
    for begin in range(0, len(folds), _ROWS):
        rows = slice(begin, begin + _ROWS)
        model = np.stack(models)[np.searchsorted(numbers, folds[rows])]
        predicted[rows] = (steps.shown[rows] * model).sum(axis=1)
        expected[rows] = (steps.expected[rows] * model).sum(axis=1)
    return predicted, expected
