"""Values of states and actions fitted to a log, linear in features; and folds, so that no row is predicted by itself.

A *step* is a turn of a session, or, for `slate_estimators.cascade_dr`, a position of a slate (then the slate is the
session, and the items above are the state).

References:
    Le et al. (2019), Batch policy learning under constraints, ICML (fitted Q evaluation); Hao et al. (2021),
    Bootstrapping fitted Q-evaluation for off-policy inference, ICML (the spread of the linear one).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Bools, Floats, Ints

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Steps of a log, each session's in their order and all sessions one after the other (`ordered`).

    Attributes:
        rewards: What each step earned, [n].
        session: Which session it is of, numbered 0, 1, … without gaps, int64 [n].
        turn: How many steps of the session came before it, int64 [n].
        shown: φ(s, a), features of what was seen and shown, [n, num_features]; a column of ones among them.
        expected: φ(s, π) = Σ_a π(a | s) φ(s, a), of what was seen and what the evaluated policy would show,
            [n, num_features]; the mean over slates drawn from π will do.
        discount: What a reward one step later counts, above 0 and at most 1.
    """

    rewards: Floats
    session: npt.NDArray[np.int64]
    turn: npt.NDArray[np.int64]
    shown: Floats
    expected: Floats
    discount: float = 1.0

    def __post_init__(self) -> None:
        rows = len(self.rewards)
        for name, array in (("session", self.session), ("turn", self.turn)):
            if array.shape != (rows,):
                raise ValueError(f"{name} must hold one number for each of {rows:,} rewards, got {array.shape}")
        for name, features in (("shown", self.shown), ("expected", self.expected)):
            if features.ndim != 2 or len(features) != rows or features.shape != self.shown.shape:
                raise ValueError(
                    f"{name} must be [{rows}, num_features], with the same features of what was shown and what is "
                    f"expected; got {features.shape} beside {self.shown.shape}"
                )
            if not np.isfinite(features).all():
                row, column = np.argwhere(~np.isfinite(features))[0]
                raise ValueError(f"feature {column} of row {row} of {name} is {features[row, column]}")
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

    def rows(self, chosen: Bools) -> Steps:
        """Returns some sessions, renumbered."""
        session = np.unique(self.session[chosen], return_inverse=True)[1].astype(np.int64)
        return Steps(
            rewards=self.rewards[chosen],
            session=session.ravel(),
            turn=self.turn[chosen],
            shown=self.shown[chosen],
            expected=self.expected[chosen],
            discount=self.discount,
        )


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

    def predicted(self, steps: Steps) -> Array:
        """Returns Q of what was shown, [n]."""
        return np.asarray(steps.shown @ self.stages[-1], np.float64)

    def expected(self, steps: Steps) -> Array:
        """Returns V under the evaluated policy, [n]."""
        return np.asarray(steps.expected @ self.stages[-1], np.float64)

    def session_scores(self, steps: Steps) -> Array:
        """Returns one number per session it was fitted to, whose mean is the value and whose spread is its error's.

        V of the session's first state, plus what the session moved the fitted θ by (its influence), round by round.
        """
        sessions = int(steps.session[-1]) + 1
        first = steps.expected[steps.first] @ self.stages[-1]
        # What one unit of each coordinate of θ, as it comes out of a round, moves the value by.
        matter = steps.expected[steps.first].mean(axis=0, dtype=np.float64)
        moved, after = np.zeros(len(steps.rewards)), _next(steps)
        for later, earlier in zip(self.stages[:0:-1], self.stages[-2::-1], strict=True):
            surprise = steps.rewards + steps.discount * (after @ earlier) - steps.shown @ later
            moved += (steps.shown @ (self.inverse @ matter)) * surprise
            matter = steps.discount * (self.step.T @ matter)
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
    shown = np.asarray(steps.shown, np.float64)
    inverse = np.asarray(np.linalg.inv(shown.T @ shown + ridge * np.eye(shown.shape[1])), np.float64)
    rewards = np.asarray(steps.rewards, np.float64)
    start, step = inverse @ (shown.T @ rewards), inverse @ (shown.T @ _next(steps))
    stages = [np.zeros(len(inverse))]
    for _ in range(steps.horizon):
        stages.append(start + steps.discount * step @ stages[-1])
    return FittedQ(np.stack(stages), inverse, step)


def _next(steps: Steps) -> Array:
    """Returns what is expected one step later, 0 after the last step of a session, [n, num_features]."""
    later = np.zeros(steps.expected.shape)
    later[:-1] = np.where(steps.first[1:, None], 0.0, steps.expected[1:])
    return later


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
    predicted, expected = np.empty(len(folds)), np.empty(len(folds))
    for number in numbers:
        held = folds == number
        model = fit_q(steps.rows(~held), ridge=ridge)
        predicted[held] = steps.shown[held] @ model.stages[-1]
        expected[held] = steps.expected[held] @ model.stages[-1]
    return predicted, expected
