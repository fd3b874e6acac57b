"""What another policy would have earned in sessions of many slates: weighting over turns, fitted values, and both.

All take a `LoggedSessions` and return an `OffPolicyEstimate` of the expected (discounted) reward of a session. With s_t
what was seen before turn t, a_t the slate, r_t its reward, ρ_t = π(a_t | s_t) / μ(a_t | s_t) and w_t = ρ_0 … ρ_t.
Sessions that have ended keep their last weight and earn nothing more. The unit of intervals is the session, or what
``person`` says. Weights multiply over turns: ten turns of five positions are fifty factors, and the effective sample
size, which every estimate tells, is what is left.

References:
    Precup et al. (2000), Eligibility traces for off-policy policy evaluation, ICML; Jiang and Li (2016), Doubly robust
    off-policy value evaluation for reinforcement learning, ICML; Thomas and Brunskill (2016), Data-efficient off-policy
    policy evaluation for reinforcement learning, ICML; Le et al. (2019), Batch policy learning under constraints, ICML.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Floats, Ints
from instructrec.estimates import Assumes, OffPolicyEstimate, Scores, Term, summarise, weights_of
from instructrec.fitted_q import Array, Rows, Steps, fit_q, folds_of, out_of_fold
from instructrec.slate_estimators import LoggedSlates, doubly_robust_terms

Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True, kw_only=True)
class LoggedSessions:
    """Turns of whole sessions, in any order.

    Attributes:
        slates: One row a turn; its ``unit`` must be None.
        session: Which session each turn is of, [n].
        turn: How many turns of the session came before, from 0, [n].
        person: Who the session is of, [n], where people have several; their sessions then move together in intervals.
        discount: What a reward one turn later counts, above 0 and at most 1.
        order: The turns session by session, int64 [n]; None where they were given so. This and what follows are worked
            out.
        starts: Where each session begins in ``order``, int64 [num_sessions].
        lengths: How many turns each session has, int64 [num_sessions].
    """

    slates: LoggedSlates
    session: Ints
    turn: Ints
    person: Ints | None = None
    discount: float = 1.0
    order: npt.NDArray[np.int64] | None = field(init=False, repr=False)
    starts: npt.NDArray[np.int64] = field(init=False, repr=False)
    lengths: npt.NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rows = len(self.slates)
        given = {"session": self.session, "turn": self.turn}
        if self.person is not None:
            given["person"] = self.person
        for name, array in given.items():
            if array.shape != (rows,) or not np.issubdtype(array.dtype, np.integer):
                raise ValueError(
                    f"{name} must hold one whole number for each of {rows:,} turns, got {array.dtype} {array.shape}"
                )
        if not 0 < self.discount <= 1:
            raise ValueError(f"discount lies above 0 and at most at 1, got {self.discount}")
        if self.slates.unit is not None:
            raise ValueError(
                "turns of a session move together: give person to LoggedSessions, and no unit to its slates"
            )
        # Most logs are in order already, and the arrays of a large one should be in memory once.
        later, same = self.session[1:] > self.session[:-1], self.session[1:] == self.session[:-1]
        ordered = bool((later | (same & (self.turn[1:] > self.turn[:-1]))).all())
        order = None if ordered else np.lexsort((self.turn, self.session)).astype(np.int64)
        session, turn = (self.session, self.turn) if order is None else (self.session[order], self.turn[order])
        first = np.append(True, session[1:] != session[:-1])
        starts = np.flatnonzero(first)
        lengths = np.diff(np.append(starts, rows))
        wrong = turn != np.where(first, 0, np.append(0, turn[:-1] + 1))
        if wrong.any():
            row = int(np.argmax(wrong))
            expected = row - starts[np.searchsorted(starts, row, side="right") - 1]
            raise ValueError(
                f"session {session[row]} has turn {turn[row]} where turn {expected} should stand: every session "
                "needs its turns from 0 on, each once; leave out sessions that are not whole"
            )
        if self.person is not None:
            person = self.person if order is None else self.person[order]
            if ((person[1:] != person[:-1]) & ~first[1:]).any():
                raise ValueError("person changes within a session: a session is of one person")
        if len(starts) < 2:
            raise ValueError("one session says nothing about chance: expected two or more")
        for name, found in (("order", order), ("starts", starts), ("lengths", lengths)):
            object.__setattr__(self, name, found)

    @property
    def num_sessions(self) -> int:
        """How many sessions there are."""
        return len(self.starts)

    @property
    def horizon(self) -> int:
        """How many turns the longest session has."""
        return int(self.lengths.max())

    def at_turn(self, values: Floats, turn: int) -> tuple[npt.NDArray[np.int64], Scores]:
        """Returns which sessions, counted from 0, have this turn, and one value of each there, float64.

        Args:
            values: One per turn of the log as it was given, [n].
            turn: From 0.
        """
        alive = np.flatnonzero(self.lengths > turn)
        place = self.starts[alive] + turn
        return alive, np.asarray(values[place if self.order is None else self.order[place]], np.float64)

    def filled(self, values: Floats, turn: int) -> Scores:
        """Returns one value of each session at a turn, 0 for sessions that have ended, [num_sessions]."""
        found = np.zeros(self.num_sessions)
        alive, there = self.at_turn(values, turn)
        found[alive] = there
        return found

    def in_order(self, values: npt.NDArray[Number]) -> npt.NDArray[Number]:
        """Returns one value per turn session by session: the array itself where that is how it was given, [n]."""
        return values if self.order is None else values[self.order]

    def rewards(self) -> Floats:
        """Returns the reward of each turn's slate, [n]."""
        if self.slates.slate_size == 1:  # As they are: a large log's should be in memory once.
            return self.slates.rewards[:, 0]
        return np.asarray(self.slates.rewards.sum(axis=1, dtype=np.float64))

    def summarise(
        self, name: str, terms: Iterator[Term], *, assumes: Assumes, self_normalised: bool = False
    ) -> OffPolicyEstimate:
        """Adds terms of these sessions up to an estimate, with what is known of people and support."""
        missing = self.slates.unsupported
        return summarise(
            name,
            terms,
            assumes=assumes,
            self_normalised=self_normalised,
            unit=None if self.person is None else self.in_order(self.person)[self.starts],
            unsupported=None if missing is None else float(missing.mean()),
        )


def _log_ratios(log: LoggedSessions) -> Scores:
    """Returns log ρ of each turn, [n]."""
    slates = log.slates
    ratio = np.zeros(len(slates))
    for position in range(slates.slate_size):
        ratio += slates.evaluation[:, position]
        ratio -= slates.behaviour[:, position]
    return ratio


def _weights(log: LoggedSessions) -> Iterator[Scores]:
    """Yields w_t of every session, turn by turn, [num_sessions] at a time."""
    ratios, so_far = _log_ratios(log), np.zeros(log.num_sessions)
    for turn in range(log.horizon):
        alive, there = log.at_turn(ratios, turn)
        so_far[alive] += there
        yield weights_of(so_far)


def _discounted(log: LoggedSessions, values: Floats) -> Iterator[Scores]:
    """Yields γ^t times the value of every session at turn t, 0 where it has ended."""
    for turn in range(log.horizon):
        yield log.discount**turn * log.filled(values, turn)


def trajectory_is(log: LoggedSessions, *, self_normalised: bool = False) -> OffPolicyEstimate:
    """Weights whole sessions: V = mean of w_T Σ_t γ^t r_t, with w_T over all of a session's turns.

    Assumes nothing but that μ can show whatever π does. Unbiased; the variance grows exponentially with turns ×
    positions.

    Args:
        log: Whole sessions.
        self_normalised: Divides by the mean weight (weighted importance sampling): bias O(1/n), less variance.

    References:
        Precup et al. (2000).
    """
    earned = np.zeros(log.num_sessions)
    for part in _discounted(log, log.rewards()):
        earned += part
    weights = weights_of(np.add.reduceat(log.in_order(_log_ratios(log)), log.starts))
    terms = iter([Term(earned, weights)])
    return log.summarise("trajectory_is", terms, assumes=Assumes.NOTHING, self_normalised=self_normalised)


def per_decision_is(log: LoggedSessions, *, self_normalised: bool = False) -> OffPolicyEstimate:
    """Weights each turn by what was shown up to it: V = mean of Σ_t γ^t w_t r_t.

    Assumes nothing but that what is shown later does not change what was earned before. Unbiased, with less variance
    than `trajectory_is` where early turns earn; the last turn's weight is the same.

    Args:
        log: Whole sessions.
        self_normalised: Divides each turn by its mean weight (weighted per-decision): bias O(1/n), less variance.

    References:
        Precup et al. (2000).
    """
    terms = (Term(part, now) for now, part in zip(_weights(log), _discounted(log, log.rewards()), strict=True))
    return log.summarise("per_decision_is", terms, assumes=Assumes.NOTHING, self_normalised=self_normalised)


def weighted_doubly_robust(
    log: LoggedSessions, predicted: Floats, expected: Floats, *, self_normalised: bool = True
) -> OffPolicyEstimate:
    """Corrects fitted values turn by turn: V = mean of Σ_t γ^t (w_t (r_t - q̂(s_t, a_t)) + w_t-1 v̂(s_t)), w_-1 = 1.

    Assumes nothing about rewards or states. Normalised (as the name says, and as is usual) the bias is O(1/n); not
    normalised it is unbiased whatever the model (Jiang and Li's doubly robust), if the model was not fitted to the same
    session: `fitted_values`. The better the model, the smaller the variance: w_t times the residuals. A model
    of zeros makes it `per_decision_is`.

    Args:
        log: Whole sessions.
        predicted: q̂(s_t, a_t), the sum of rewards from turn t on under π, [n].
        expected: v̂(s_t) = Σ_a π(a | s_t) q̂(s_t, a), [n].
        self_normalised: Divides weights of every turn by their mean.

    References:
        Thomas and Brunskill (2016), section 5; Jiang and Li (2016).
    """
    for name, values in (("predicted", predicted), ("expected", expected)):
        if values.shape != (len(log.slates),) or not np.isfinite(values).all():
            raise ValueError(
                f"{name} must hold one finite number for each of {len(log.slates):,} turns, got shape {values.shape}"
            )
    columns = zip(*(_discounted(log, values) for values in (log.rewards(), predicted, expected)), strict=True)
    terms = doubly_robust_terms(_weights(log), columns)
    return log.summarise("weighted_doubly_robust", terms, assumes=Assumes.NOTHING, self_normalised=self_normalised)


def steps_of(log: LoggedSessions, shown: Rows, expected: Rows) -> Steps:
    """Returns the log's turns in order, as `fitted_q` takes them; in the order of ``log.in_order``.

    Args:
        log: Whole sessions.
        shown: Features of what was seen and shown, [n, num_features].
        expected: The same on average over what the evaluated policy would show, [n, num_features].
    """
    for name, features in (("shown", shown), ("expected", expected)):
        if len(features.shape) != 2 or features.shape[0] != len(log.slates):
            raise ValueError(f"{name} must be [{len(log.slates)}, num_features], got {features.shape}")
    return Steps(
        rewards=log.in_order(log.rewards()),
        session=np.repeat(np.arange(log.num_sessions), log.lengths),
        turn=log.in_order(log.turn),
        shown=shown if log.order is None else shown[log.order],
        expected=expected if log.order is None else expected[log.order],
        discount=log.discount,
    )


def fitted_values(
    log: LoggedSessions, shown: Rows, expected: Rows, *, folds: int = 5, ridge: float = 1.0, seed: int = 0
) -> tuple[Array, Array]:
    """Returns q̂(s_t, a_t) and v̂(s_t) for `weighted_doubly_robust`, [n] both, each from a fit to other folds.

    Args:
        log: Whole sessions; a person's fall into one fold.
        shown: As for `fitted_q_evaluation`.
        expected: As for `fitted_q_evaluation`.
        folds: How many parts the log is split into.
        ridge: As for `fitted_q.fit_q`.
        seed: What sessions, or people, are shuffled with.
    """
    steps = steps_of(log, shown, expected)
    unit = np.arange(log.num_sessions) if log.person is None else log.in_order(log.person)[log.starts]
    number = folds_of(unit, folds, seed=seed).astype(np.min_scalar_type(folds))
    found = out_of_fold(steps, np.repeat(number, log.lengths), ridge=ridge)
    if log.order is None:
        return found
    back = np.empty_like(log.order)
    back[log.order] = np.arange(len(back))
    return found[0][back], found[1][back]


def fitted_q_evaluation(log: LoggedSessions, shown: Rows, expected: Rows, *, ridge: float = 1.0) -> OffPolicyEstimate:
    """Fits values and reads them off where sessions begin: V = mean of φ(s_0, π)ᵀθ, with θ from `fitted_q.fit_q`.

    Uses no weights, so no length of session is too long. Assumes that the values of π are linear in the features, and
    that the log shows what π shows often enough to fit them; its bias is the model's, does not shrink with the log, and
    is not in the interval, which holds what fitting to other sessions would change. It never is trusted by itself.

    Args:
        log: Whole sessions.
        shown: φ(s_t, a_t), features of what was seen and shown, with a column of ones, [n, num_features].
        expected: φ(s_t, π), the same on average over what the evaluated policy would show, [n, num_features].
        ridge: As for `fitted_q.fit_q`.

    References:
        Le et al. (2019); Hao et al. (2021), for the interval.
    """
    steps = steps_of(log, shown, expected)
    terms = iter([Term(fit_q(steps, ridge=ridge).session_scores(steps))])
    return log.summarise("fitted_q_evaluation", terms, assumes=Assumes.MODEL)
