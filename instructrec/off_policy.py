"""Policies evaluated on a log: every estimator that the log allows, and which to go by, for each of them.

`evaluate_policies` goes over a log block by block. Of each turn it keeps a few numbers: what was earned, how likely the
logging policy and the others were to show it, and what a model of rewards (`instructrec.reward_model`) expects. What
needs all turns at once (weights, fitted values, intervals) is worked out from these. `session_estimates` and
`slate_estimates` do that; they take arrays, wherever those come from.

There are two readings of a log. As *sessions*, a policy is worth what a session earns if it shows every slate. As
*slates*, it is worth what one slate earns in the states that the log visited, whoever led there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Bools, Floats, Ints
from instructrec.estimates import Assumes, Choice, OffPolicyEstimate, Term, choose, summarise
from instructrec.fitted_q import Rows
from instructrec.log_blocks import Block, blocks, folds_of_people
from instructrec.log_files import DiskLog
from instructrec.noise import Purpose
from instructrec.policies import PlackettLuce, best_first, log_prob_of_places, places_of
from instructrec.position_marginals import log_marginals
from instructrec.protocols import Policy
from instructrec.reward_model import RewardModel, fit_rewards
from instructrec.runs import RunError
from instructrec.session_estimators import (
    LoggedSessions,
    fitted_q_evaluation,
    fitted_values,
    per_decision_is,
    trajectory_is,
    weighted_doubly_robust,
)
from instructrec.sessions import World
from instructrec.slate_estimators import (
    LoggedSlates,
    cascade_dr,
    direct_method,
    independent_ips,
    reward_interaction_ips,
    slate_dr,
    standard_ips,
)

Single = npt.NDArray[np.float32]
Progress = Callable[[float], None]

MEMORY = 360 * 2**20
"""How many bytes are kept of a log for policies, about; where all do not fit, the log is read more than once."""

MARGINAL_ROWS, MARGINAL_CANDIDATES = 20_000, 1_000
"""Up to how many turns, and candidates, the chance of each item at each position is worked out: a millisecond each."""

LOGGED = "logged"
"""The name of the policy that logged, in tables."""

_CELLS = 2_000_000  # Rows × candidates worked on at a time.
_DIFFERENT = 1e-3  # Propensities further apart than this are not of the same policy.


# --- From arrays to estimates ------------------------------------------------------------------------------------


def slate_estimates(
    log: LoggedSlates,
    *,
    predicted: Floats | None = None,
    expected: Floats | None = None,
    conditional: tuple[Floats, Floats] | None = None,
) -> list[OffPolicyEstimate]:
    """Returns every estimate of a policy's slates that the arrays allow.

    Args:
        log: What was shown and earned, and how likely both policies were to show it.
        predicted: As for `slate_dr`, [n].
        expected: As for `slate_dr` and `direct_method`, [n].
        conditional: Predicted and expected for `cascade_dr`, [n, slate_size] both.
    """
    found = [standard_ips(log), standard_ips(log, self_normalised=True)]
    found += [reward_interaction_ips(log), reward_interaction_ips(log, self_normalised=True)]
    if log.evaluation_marginal is not None:
        found += [independent_ips(log), independent_ips(log, self_normalised=True)]
    if predicted is not None and expected is not None:
        found += [slate_dr(log, predicted, expected), slate_dr(log, predicted, expected, self_normalised=True)]
    if conditional is not None:
        found += [cascade_dr(log, *conditional), cascade_dr(log, *conditional, self_normalised=True)]
    if expected is not None:
        found.append(direct_method(log, expected))
    return found


def session_estimates(
    log: LoggedSessions, *, shown: Rows | None = None, expected: Rows | None = None
) -> list[OffPolicyEstimate]:
    """Returns every estimate of a policy's sessions that the arrays allow.

    Args:
        log: Whole sessions.
        shown: Features of what was seen and shown, for the estimators with fitted values, [n, num_features].
        expected: The same on average over what the evaluated policy would show, [n, num_features].
    """
    found = [trajectory_is(log), trajectory_is(log, self_normalised=True)]
    found += [per_decision_is(log), per_decision_is(log, self_normalised=True)]
    units = len(np.unique(log.session if log.person is None else log.person))
    if shown is not None and expected is not None and units > 1:
        values = fitted_values(log, shown, expected, folds=min(5, units))
        found += [weighted_doubly_robust(log, *values, self_normalised=False), weighted_doubly_robust(log, *values)]
        del values  # Two numbers a turn, which a large log should not hold beside what follows.
        found.append(fitted_q_evaluation(log, shown, expected))
    return found


SESSION_FEATURES = 10
"""How many features `SessionFeatures` has."""


@dataclass(frozen=True, eq=False)
class SessionFeatures:
    """What the value of a session's rest is fitted to, made when it is asked for: float32 [n, 10].

    Turns left and their square; what the evaluated policy's slate should earn now; how the session went so far; and by
    how much the slate that was shown is better than the policy's, each alone and times the turns left. On average over
    the policy's slates that last part is 0.

    Attributes:
        turn: The turn of each row, session by session, [n].
        rewards: What each turn earned, [n].
        so_far: What the turns before it earned on average, one turn of nothing counted in, [n].
        turn_limit: The world's.
        possible: What a slate of the evaluated policy should earn, [n].
        shown: What the slate that was shown should earn, [n]; what the evaluated policy's should when None.
    """

    turn: Ints
    rewards: Floats
    so_far: Floats
    turn_limit: int
    possible: Floats
    shown: Floats | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(n, 10)."""
        return len(self.turn), SESSION_FEATURES

    def __getitem__(self, rows: Any) -> Single:
        """Returns the features of some rows, float32 [num_rows, 10]."""
        place = np.arange(len(self.turn))[rows]
        turn, possible, so_far = self.turn[rows], self.possible[rows], self.so_far[rows]
        found = np.zeros((len(place), SESSION_FEATURES), np.float32)
        left = (self.turn_limit - turn) / np.float32(self.turn_limit)
        found[:, 0] = 1
        found[:, 1], found[:, 2] = left, left**2
        found[:, 3], found[:, 4] = possible, possible * left
        found[:, 5], found[:, 6] = so_far, so_far * left
        found[:, 7] = np.where(turn > 0, self.rewards[place - 1], 0)
        if self.shown is not None:
            surplus = self.shown[rows] - possible
            found[:, 8], found[:, 9] = surplus, surplus * left
        return found


def earned_so_far(turn: Ints, rewards: Floats) -> Single:
    """Returns what the turns before each earned on average, one turn of nothing counted in, float32 [n].

    Args:
        turn: The turn of each row, session by session, [n].
        rewards: What each turn earned, [n].
    """
    before = np.append(0.0, np.cumsum(rewards, dtype=np.float64)[:-1])
    return np.asarray((before - before[np.arange(len(turn)) - turn]) / (turn + 1), np.float32)


# --- From a log to arrays ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Judged:
    """What one policy makes of a few turns.

    Attributes:
        log_probs: Its conditional log-probabilities of what was shown, [batch, slate_size].
        worth: The mean worth of what it would show at each position after the items shown above, [batch, slate_size];
            None where it only draws.
        expected: What the model expects of its slates, [batch].
        marginals: The log-probability of each item at its position, whatever stands above, [batch, slate_size].
        unsupported: The share of what it shows first that the logging policy never does, [batch]; None where nobody
            knows.
    """

    log_probs: Floats
    worth: Floats | None
    expected: Floats
    marginals: Floats | None = None
    unsupported: Floats | None = None


def _conditional(log_weights: Floats, worth: Floats, places: Ints) -> tuple[Floats, Floats]:
    """Returns Plackett–Luce log-probabilities of a slate, and the mean worth of the item at each position.

    Both given the items above, [batch, slate_size].
    """
    top = log_weights.max(axis=1, keepdims=True)
    weights = np.exp(log_weights - top)
    shown, here = np.take_along_axis(weights, places, axis=1), np.take_along_axis(worth, places, axis=1)
    np.put_along_axis(weights, places, 0.0, axis=1)
    below = np.cumsum(np.stack([shown, shown * here])[:, :, ::-1], axis=2)[:, :, ::-1]
    mass = below[0] + weights.sum(axis=1, keepdims=True)
    total = below[1] + np.einsum("bc,bc->b", weights, worth)[:, None]
    if mass.min(initial=1) > 1e-250:
        log_probs = np.take_along_axis(log_weights, places, axis=1) - top - np.log(mass)
    else:  # What is left is too improbable for plain numbers.
        log_probs = log_prob_of_places(log_weights, places)
    return np.minimum(log_probs, 0.0), np.divide(total, mass, out=np.array(here, np.float64), where=mass > 0)


class _Judge:
    """Goes over a log once and says what each policy makes of it."""

    def __init__(
        self, model: RewardModel, policies: Mapping[str, Policy], logged_by: Policy | None, *, marginals: bool
    ) -> None:
        self.model, self.policies, self.logged_by, self.marginals = model, policies, logged_by, marginals

    def of(self, block: Block) -> tuple[Floats, dict[str, _Judged]]:
        """Returns the model's worth of what was shown, [rows, slate_size], and what each policy makes of it.

        Raises:
            RunError: If the policy that is said to have logged would have done so with other probabilities.
        """
        seen, model, slates = block.observations, self.model, block.turns.slates
        places, scores = places_of(seen, slates), model.scores(seen)
        worth = model.worth(seen, block.fold, scores)
        luck = block.noise.gumbel(Purpose.POLICY, worth.shape[1])
        here = np.take_along_axis(worth, places, axis=1)
        logged = None if self.logged_by is None else _log_weights(self.logged_by, scores)
        absent = None
        if self.logged_by is not None:
            self._check(block, self.logged_by, logged, places)
        if logged is not None:
            absent = np.isneginf(logged)
        own = None if logged is None or not self.marginals else log_marginals(logged, places, nodes=32)
        found = {LOGGED: _Judged(block.turns.log_probs, here, model.shown(block.fold, here).sum(axis=1), own)}
        for name, policy in self.policies.items():
            weights = _log_weights(policy, scores)
            if weights is None:
                drawn = np.take_along_axis(worth, places_of(seen, policy.act(seen, block.noise)), axis=1)
                log_probs = np.minimum(policy.log_prob(seen, slates), 0.0)
                found[name] = _Judged(log_probs, None, model.shown(block.fold, drawn).sum(axis=1))
                continue
            log_probs, after = _conditional(weights, worth, places)
            # Of a slate that is drawn only the items above count at each position: the rest is averaged exactly.
            _, mean = _conditional(weights, worth, best_first(weights + luck, slates.shape[1]))
            found[name] = _Judged(
                log_probs,
                after,
                model.shown(block.fold, mean).sum(axis=1),
                None if own is None else log_marginals(weights, places, nodes=32),
                None if absent is None else _share_of(weights, absent),
            )
        return here, found

    def _check(self, block: Block, policy: Policy, weights: Floats | None, places: Ints) -> None:
        if weights is None:
            again = policy.log_prob(block.observations, block.turns.slates)
        else:
            again = log_prob_of_places(weights, places)
        apart = np.abs(np.asarray(again, np.float64) - block.turns.log_probs).max(initial=0)
        if not apart < _DIFFERENT:
            raise RunError(
                f"the policy that is said to have logged would show items with other probabilities (a logarithm is "
                f"{apart:.3g} off): it has changed since, or is another; name the one that logged, or none"
            )


def _log_weights(policy: Policy, scores: Mapping[int, Floats]) -> Floats | None:
    """Returns what a Plackett–Luce policy draws from, [batch, num_candidates]; None for any other policy."""
    if not isinstance(policy, PlackettLuce):
        return None
    return np.asarray(scores[id(policy.ranker)] / policy.temperature, np.float64)


def _share_of(log_weights: Floats, absent: Bools) -> Floats:
    """Returns how likely what comes first is one of some candidates, [batch]."""
    return (_softmax(log_weights) * absent).sum(axis=1) if absent.any() else np.zeros(len(log_weights))


def _softmax(log_weights: Floats) -> Floats:
    weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


class _Sessions:
    """What is kept of a log to read it as sessions."""

    def __init__(self, log: DiskLog, names: Sequence[str], model: RewardModel, *, same_people: bool) -> None:
        rows = len(log)
        self.model, self.same_people = model, same_people
        self.limit = log.plan.world.turn_limit
        self.rewards, self.behaviour, self.predicted = np.zeros((3, rows), np.float32)
        self.person, self.session = np.zeros(rows, np.int64), np.zeros(rows, np.int32)
        self.turn = np.zeros(rows, np.int32)
        self.policies = {name: np.zeros((3, rows), np.float32) for name in names}

    @staticmethod
    def bytes_of_policy(log: DiskLog) -> int:
        """Returns how much is kept for each policy."""
        return 12 * len(log)

    def keep(self, rows: slice, block: Block, here: Floats, judged: Mapping[str, _Judged]) -> None:
        turns = block.turns
        self.rewards[rows] = turns.item_rewards.sum(axis=1)
        self.behaviour[rows] = turns.log_probs.sum(axis=1)
        self.predicted[rows] = self.model.shown(block.fold, here).sum(axis=1)
        self.person[rows], self.session[rows], self.turn[rows] = turns.person, block.session, turns.turn
        for name, kept in self.policies.items():
            found = judged[name]
            kept[0, rows] = found.log_probs.sum(axis=1)
            kept[1, rows] = found.expected
            kept[2, rows] = np.nan if found.unsupported is None else found.unsupported

    def choice(self, name: str) -> Choice:
        evaluation, possible, unsupported = self.policies[name]
        slates = LoggedSlates(
            rewards=self.rewards[:, None],
            behaviour=self.behaviour[:, None],
            evaluation=evaluation[:, None],
            unsupported=None if np.isnan(unsupported).any() else unsupported,
        )
        person = None if self.same_people else self.person
        log = LoggedSessions(slates=slates, session=self.session, turn=self.turn, person=person)
        expected = SessionFeatures(self.turn, self.rewards, self.so_far, self.limit, possible)
        shown = replace(expected, shown=self.predicted)
        return choose(session_estimates(log, shown=shown, expected=expected))

    @cached_property
    def so_far(self) -> Single:
        return earned_so_far(self.turn, self.rewards)

    def logged(self) -> OffPolicyEstimate:
        starts = np.flatnonzero(self.turn == 0)
        earned = np.add.reduceat(self.rewards.astype(np.float64), starts)
        return _mean("mean_of_log", earned, None if self.same_people else self.person[starts])


class _Slates:
    """What is kept of a log to read it as slates."""

    def __init__(
        self, log: DiskLog, names: Sequence[str], model: RewardModel, *, marginals: bool, same_people: bool
    ) -> None:
        shape = (len(log), log.plan.world.slate_size)
        self.model, self.same_people = model, same_people
        self.rewards, self.behaviour, self.worth = np.zeros((3, *shape), np.float32)
        self.person, self.session = np.zeros(len(log), np.int64), np.zeros(len(log), np.int32)
        self.marginal = np.zeros(shape, np.float32) if marginals else None
        self.policies = {name: _KeptSlates.empty(shape, marginals) for name in names}

    @staticmethod
    def bytes_of_policy(log: DiskLog) -> int:
        """Returns how much is kept for each policy."""
        return 4 * len(log) * (3 * log.plan.world.slate_size + 2)

    def keep(self, rows: slice, block: Block, here: Floats, judged: Mapping[str, _Judged]) -> None:
        turns = block.turns
        self.rewards[rows], self.behaviour[rows], self.worth[rows] = turns.item_rewards, turns.log_probs, here
        self.person[rows], self.session[rows] = turns.person, block.session
        if self.marginal is not None and judged[LOGGED].marginals is not None:
            self.marginal[rows] = judged[LOGGED].marginals
        for name, kept in self.policies.items():
            kept.keep(rows, judged[name])

    @property
    def unit(self) -> Ints:
        """What moves together, [n]."""
        return self.session if self.same_people else self.person

    def choice(self, name: str) -> Choice:
        kept, fold = self.policies[name], folds_of_people(self.person)
        log = LoggedSlates(
            rewards=self.rewards,
            behaviour=self.behaviour,
            evaluation=kept.log_probs,
            behaviour_marginal=self.marginal if kept.marginals is not None else None,
            evaluation_marginal=kept.marginals,
            unit=self.unit,
            unsupported=None if np.isnan(kept.unsupported).any() else kept.unsupported,
        )
        predicted = self.model.shown(fold, self.worth)
        conditional = None
        if kept.draws_in_turn:
            mean = self.model.shown(fold, kept.worth)
            # What positions below should earn may depend on the items above, and not on the one here.
            later = [_later(part)[fold] for part in (self.model.base, self.model.positions)]
            below = later[0] + later[1] * kept.worth
            conditional = (predicted + below, mean + below)
        return choose(
            slate_estimates(log, predicted=predicted.sum(axis=1), expected=kept.expected, conditional=conditional)
        )

    def logged(self) -> OffPolicyEstimate:
        return _mean("mean_of_log", self.rewards.sum(axis=1, dtype=np.float64), self.unit)


@dataclass
class _KeptSlates:
    """What is kept of one policy."""

    log_probs: Single
    worth: Single
    expected: Single
    unsupported: Single
    marginals: Single | None
    draws_in_turn: bool = True

    @classmethod
    def empty(cls, shape: tuple[int, int], marginals: bool) -> _KeptSlates:
        log_probs, worth = np.zeros((2, *shape), np.float32)
        expected, unsupported = np.zeros((2, shape[0]), np.float32)
        return cls(log_probs, worth, expected, unsupported, np.zeros(shape, np.float32) if marginals else None)

    def keep(self, rows: slice, found: _Judged) -> None:
        self.log_probs[rows], self.expected[rows] = found.log_probs, found.expected
        if found.worth is None:
            self.draws_in_turn = False
        else:
            self.worth[rows] = found.worth
        if found.marginals is None:
            self.marginals = None
        elif self.marginals is not None:
            self.marginals[rows] = found.marginals
        self.unsupported[rows] = np.nan if found.unsupported is None else found.unsupported


def _later(values: Floats) -> Floats:
    """Returns the sums over the positions below each, [folds, slate_size]."""
    return np.asarray(values.sum(axis=1, keepdims=True) - np.cumsum(values, axis=1))


def _mean(name: str, earned: Floats, unit: Ints | None) -> OffPolicyEstimate:
    """Returns the mean of what was earned, as an estimate."""
    ones = np.ones(len(earned))
    return summarise(name, iter([Term(earned, ones)]), assumes=Assumes.NOTHING, unit=unit)


# --- All together ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Evaluations:
    """What a log says of some policies.

    Attributes:
        reading: ``sessions`` or ``slates``.
        turns: How many turns it holds.
        sessions: How many sessions.
        people: How many people.
        same_people: Whether intervals are of these people again, and not of others like them.
        logged: What the policy that logged earned: the mean of the log.
        policies: The estimates of each policy, and the choice among them, which alone keeps its ``scores``; that of the
            policy that logged under `LOGGED`, as a check: each of its weights is 1.
        notes: What else there is to say, in sentences.
    """

    reading: str
    turns: int
    sessions: int
    people: int
    same_people: bool
    logged: OffPolicyEstimate
    policies: Mapping[str, Choice]
    notes: tuple[str, ...] = ()

    def gain(self, policy: str) -> tuple[float, float]:
        """Returns by how much a policy is estimated to earn more than the one that logged, and the standard error.

        Both are of the same sessions, whose luck largely cancels.
        """
        chosen = self.policies[policy].chosen
        return chosen.value - self.logged.value, chosen.error_of_difference(self.logged)


def evaluate_policies(
    log: DiskLog,
    world: World,
    policies: Mapping[str, Policy],
    *,
    slates: bool | None = None,
    same_people: bool = False,
    logged_by: Policy | None = None,
    marginals: bool = True,
    memory: int = MEMORY,
    progress: Progress | None = None,
) -> Evaluations:
    """Estimates what each policy would earn, from a log of another one.

    Observations are rebuilt and rankers asked block by block, each ranker once for all temperatures it is drawn at.
    What is kept is about 12 bytes a turn and policy (sessions), or 12 a position (slates).

    Args:
        log: The log.
        world: The world that it was recorded in.
        policies: By name. Those of `plackett_luce` get every estimator; of others there must be
            ``log_prob(observation, slates)`` and ``act``.
        slates: Whether each turn is read by itself; by default where the world's sessions have one turn.
        same_people: What intervals are of. By default others like the people of the log, each of whom counts as one
            trial, with all their sessions. If true, these very people in fresh sessions: each session is a trial, which
            is right where whom it is of was drawn by chance, as in all logs of this package. Such intervals are the
            shorter, the more sessions each has.
        logged_by: The policy that logged, where it is at hand: its probabilities are checked, and marginals need them.
        marginals: Whether the chance of each item at each position may be worked out, for `independent_ips`: most of
            the time of a small log.
        memory: How many bytes may be kept for policies; where more are needed, the log is read several times.
        progress: Is told which share is done.

    Raises:
        RunError: If the log is of another world, deterministic, empty or damaged, or ``logged_by`` did not log it.
        ValueError: If there are too few sessions, or a policy is called `LOGGED`.
    """
    check_evaluable(log)
    log.check_world(world)
    if LOGGED in policies:
        raise ValueError(f"{LOGGED} is the name of the policy that logged; call yours otherwise")
    by_slate = world.turn_limit == 1 if slates is None else slates
    everyone = [*policies.values(), *([] if logged_by is None else [logged_by])]
    rankers = [policy.ranker for policy in everyone if isinstance(policy, PlackettLuce)]
    model = fit_rewards(log, world, rankers)
    candidates = log.plan.world.num_candidates or world.catalogue.num_items
    few = len(log) <= MARGINAL_ROWS and candidates <= MARGINAL_CANDIDATES
    marginals = marginals and by_slate and isinstance(logged_by, PlackettLuce) and few
    each = (_Slates if by_slate else _Sessions).bytes_of_policy(log)
    together = max(1, memory // max(each, 1) - 1)
    names = list(policies)
    groups = [names[place : place + together] for place in range(0, len(names), together)] or [[]]
    found: dict[str, Choice] = {}
    logged = None
    for number, group in enumerate(groups):
        wanted = [*([LOGGED] if not number else []), *group]
        kept: _Slates | _Sessions = (
            _Slates(log, wanted, model, marginals=marginals, same_people=same_people)
            if by_slate
            else _Sessions(log, wanted, model, same_people=same_people)
        )
        judge = _Judge(model, {name: policies[name] for name in group}, logged_by, marginals=marginals)
        for rows, block in _batches(log, world, max(32, _CELLS // candidates)):
            kept.keep(rows, block, *judge.of(block))
            if progress is not None:
                progress((number + rows.stop / len(log)) / len(groups))
        found |= {name: kept.choice(name).lighter() for name in wanted}
        logged = logged or kept.logged()
        people = len(np.unique(kept.person))
    assert logged is not None, "there is at least one group"
    return Evaluations(
        reading="slates" if by_slate else "sessions",
        turns=len(log),
        sessions=log.num_sessions,
        people=people,
        same_people=same_people,
        logged=logged,
        policies=found,
        notes=tuple(_notes(log, by_slate, marginals)),
    )


def evaluate_chances(
    log: DiskLog, chances: Mapping[str, Floats], *, slates: bool | None = None, same_people: bool = False
) -> Evaluations:
    """Estimates what policies would earn of which only the probabilities are known, by weights alone.

    Args:
        log: The log; its world is not asked for.
        chances: By name, the log-probability of each shown item given the ones above it, -inf for what is never shown,
            [num_turns, slate_size] (`instructrec.envs.target_policies`).
        slates: As for `evaluate_policies`.
        same_people: As for `evaluate_policies`.

    Raises:
        RunError: If the log is deterministic, empty or damaged.
        ValueError: If an array has another shape or holds no log-probabilities, there are too few sessions, or a policy
            is called `LOGGED`.
    """
    check_evaluable(log)
    if LOGGED in chances:
        raise ValueError(f"{LOGGED} is the name of the policy that logged; call yours otherwise")
    turns, by_slate = log.read(), log.plan.world.turn_limit == 1 if slates is None else slates

    person = None if same_people else turns.person
    unit = turns.session if person is None else person

    def choice(evaluation: Floats) -> Choice:
        if by_slate:
            return choose(
                slate_estimates(
                    LoggedSlates(
                        rewards=turns.item_rewards, behaviour=turns.log_probs, evaluation=evaluation, unit=unit
                    )
                )
            )
        whole = LoggedSlates(
            rewards=turns.rewards[:, None],
            behaviour=turns.log_probs.sum(axis=1, keepdims=True),
            evaluation=evaluation.sum(axis=1, keepdims=True),
        )
        return choose(
            session_estimates(LoggedSessions(slates=whole, session=turns.session, turn=turns.turn, person=person))
        )

    earned = turns.item_rewards.sum(axis=1, dtype=np.float64)
    if not by_slate:
        starts = np.flatnonzero(turns.begins)
        earned, unit = np.add.reduceat(turns.rewards.astype(np.float64), starts), unit[starts]
    return Evaluations(
        reading="slates" if by_slate else "sessions",
        turns=len(turns),
        sessions=log.num_sessions,
        people=len(np.unique(turns.person)),
        same_people=same_people,
        logged=_mean("mean_of_log", earned, unit),
        policies={name: choice(array) for name, array in {LOGGED: turns.log_probs, **chances}.items()},
        notes=(
            *_notes(log, by_slate, True),
            "The policies are known by their probabilities alone: no model of rewards.",
        ),
    )


def check_evaluable(log: DiskLog) -> None:
    """Checks that a log can say something about other policies, before any is made.

    Raises:
        RunError: If it is deterministic or holds nothing yet.
    """
    if log.plan.policy.deterministic:
        raise RunError(
            f"{log.folder} was recorded with one slate for each moment (--deterministic), so that it says nothing of "
            "other policies: record a log with a policy that draws (`instructrec log` without --deterministic)"
        )
    log.check_some()


def _notes(log: DiskLog, by_slate: bool, marginals: bool) -> Iterator[str]:
    if not log.is_whole:
        yield (
            f"The log is not whole: {log.num_sessions:,} of {log.plan.sessions:,} sessions are there, and these are "
            "evaluated."
        )
    if by_slate and log.plan.world.turn_limit > 1:
        yield "Each slate counts by itself, in the states that the logging policy led to."
    if by_slate and not marginals:
        yield (
            "independent_ips is left out: it is made where the logging policy is at hand, for up to "
            f"{MARGINAL_ROWS:,} turns of up to {MARGINAL_CANDIDATES:,} candidates."
        )


def _batches(log: DiskLog, world: World, size: int) -> Iterator[tuple[slice, Block]]:
    """Yields the log's turns, a few at a time, with their place in it."""
    begin = 0
    for block in blocks(log, world):
        for first in range(0, len(block), size):
            part = block.rows(slice(first, first + size))
            yield slice(begin, begin + len(part)), part
            begin += len(part)
