"""Playing sessions with an agent and keeping what happened: the same people with the same luck for every agent.

Everybody who is compared meets the same sessions at ordinal 0, without autoreset, under the noise of those sessions;
what an agent sees, how its slates are judged and how its time is taken does not depend on who it is.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from instructrec import metrics
from instructrec.arrays import Bools, Floats, Ints, put, take
from instructrec.goals import Goals, satisfied
from instructrec.noise import Noise
from instructrec.policies import Blank, Greedy, PlackettLuce, Swapped, best_first, items_at
from instructrec.protocols import Policy, PrivilegedRanker, Ranker
from instructrec.sessions import (
    Observation,
    Outcome,
    Sessions,
    SessionState,
    World,
    observe,
    persons_of,
    start,
    step,
)

Competitor: TypeAlias = Policy | Ranker | PrivilegedRanker
"""Whoever shows slates: a policy, a ranker (shown greedily), or a reference that sees the hidden state (greedily)."""

Decide: TypeAlias = Callable[[Observation, SessionState, Noise], Ints]

Judge: TypeAlias = Callable[[Goals, Mapping[str, Floats]], Mapping[str, Floats]]
"""Makes further metrics of one turn, each [batch], from its goals and the metrics that are known, by name."""

SESSION_METRICS = ("return", "session_length", "leave_rate")
GOAL_METRICS = (
    "csr",
    "csr_include",
    "csr_exclude",
    "csr_range",
    "csr_hidden",
    "strict",
    "strict_slate",
    "violation",
)

UNSUITABLE = "unsuitable"
"""The share of positions that show what must never be shown to the person, in worlds with such rules."""


@dataclass(frozen=True)
class Latency:
    """How long one decision for one person took, text known, stage by stage.

    Attributes:
        milliseconds: Times per stage, each [num_decisions]: ``decision`` is the whole; where the competitor is a ranker
            that is shown greedily or drawn from, also ``score`` and ``draw``, and ``encode`` if it has an ``encode``
            method (scoring includes it).
    """

    milliseconds: Mapping[str, npt.NDArray[np.float64]]

    def summary(self) -> dict[str, dict[str, float]]:
        """Returns ``p50_ms``, ``p95_ms`` and ``p99_ms`` per stage."""
        return {
            stage: {f"p{rank}_ms": float(np.percentile(times, rank)) for rank in (50, 95, 99)}
            for stage, times in self.milliseconds.items()
        }


@dataclass(frozen=True)
class Episodes:
    """What happened in a batch of sessions, [num_sessions] or [num_sessions, turn_limit, ...].

    Attributes:
        world: The world's name.
        fingerprint: The world's fingerprint.
        num_items: Items in its catalogue.
        sessions: Which sessions they are.
        person: Whose session it is, int64; the lane where the population does not say.
        rewards: What each turn brought, float64 [num_sessions, turn_limit], 0 after the end.
        length: Slates shown.
        left: Whether the user left, rather than the turn limit coming first.
        instruction: Text ids, -1 after the end.
        shown: Slates, int32 [num_sessions, turn_limit, slate_size], -1 after the end.
        clicked: What was clicked of them.
        turns: Per-turn metrics by name, each float64 [num_sessions, turn_limit]; NaN after the end and where the
            question does not arise. Those of goals are absent where instructions have none.
        goals: The goals of each turn, where asked for and known.
        latency: How long decisions take, where measured.
        seconds: How long the evaluation took, without `latency`.
    """

    world: str
    fingerprint: str
    num_items: int
    sessions: Sessions
    person: npt.NDArray[np.int64]
    rewards: npt.NDArray[np.float64]
    length: npt.NDArray[np.int64]
    left: Bools
    instruction: npt.NDArray[np.int64]
    shown: npt.NDArray[np.int32]
    clicked: Bools
    turns: Mapping[str, npt.NDArray[np.float64]]
    goals: tuple[Goals, ...] | None
    latency: Latency | None
    seconds: float

    @property
    def returns(self) -> npt.NDArray[np.float64]:
        """The undiscounted sum of each session's rewards."""
        return np.asarray(self.rewards.sum(axis=1))

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names that `totals` knows."""
        return (*SESSION_METRICS, *self.turns)

    def totals(self, metric: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Returns a metric's sum and count per session: its mean is total sum / total count.

        ``return``, ``session_length`` and ``leave_rate`` count sessions; all others count the turns in which the
        question arises.
        """
        whole = {"return": self.returns, "session_length": self.length, "leave_rate": self.left}
        if metric in whole:
            return whole[metric].astype(np.float64), np.ones(len(self.length))
        values = self.turns[metric]
        return np.nansum(values, axis=1), (~np.isnan(values)).sum(axis=1).astype(np.float64)

    def mean(self, metric: str) -> float:
        """Returns a metric's mean; NaN where the question never arises."""
        sums, counts = self.totals(metric)
        return float(sums.sum() / counts.sum()) if counts.sum() else float("nan")

    @property
    def first_slates(self) -> npt.NDArray[np.int32]:
        """What each user was shown first, int32 [num_sessions, slate_size]."""
        return self.shown[:, 0]


def decider(world: World, competitor: Competitor) -> Decide:
    """Returns how a competitor chooses slates: policies act, rankers and references show their best.

    Raises:
        TypeError: If it is none of the three.
    """
    if callable(getattr(competitor, "act", None)):
        policy = cast(Policy, competitor)
        return lambda observation, state, noise: policy.act(observation, noise)
    given = arguments_of_scores(competitor)
    if given == 1:
        return decider(world, Greedy(cast(Ranker, competitor), world.slate_size))
    if given == 2:
        reference = cast(PrivilegedRanker, competitor)

        def best(observation: Observation, state: SessionState, noise: Noise) -> Ints:
            return items_at(observation, best_first(reference.scores(observation, state), world.slate_size))

        return best
    raise TypeError(
        f"cannot evaluate a {type(competitor).__name__}; expected act(observation, noise), scores(observation) or "
        "scores(observation, state)"
    )


def arguments_of_scores(competitor: object) -> int:
    """Returns 1 for a ranker, 2 for a reference that also sees the hidden state, 0 for what has no scores."""
    scores = getattr(competitor, "scores", None)
    return len(inspect.signature(scores).parameters) if callable(scores) else 0


def without_words(competitor: Competitor) -> tuple[Competitor, Competitor] | None:
    """Returns the same competitor hearing nothing, and hearing another person: controls for understanding.

    A reference offers its own as ``blank()`` and ``swapped()``. None where a competitor's words cannot be taken away.
    """
    if hasattr(competitor, "blank") and hasattr(competitor, "swapped"):
        return competitor.blank(), competitor.swapped()
    if isinstance(competitor, Greedy | PlackettLuce):
        ranker = competitor.ranker
        return replace(competitor, ranker=Blank(ranker)), replace(competitor, ranker=Swapped(ranker))
    if not hasattr(competitor, "act") and arguments_of_scores(competitor) == 1:
        ranker = cast(Ranker, competitor)
        return Blank(ranker), Swapped(ranker)
    return None


def evaluate(
    world: World,
    competitor: Competitor,
    sessions: Sessions,
    *,
    batch_size: int = 256,
    keep_goals: bool = False,
    timed_decisions: int = 0,
    progress: Callable[[int], None] | None = None,
    hears: Callable[[Observation, SessionState], Observation] | None = None,
    also: Judge | None = None,
) -> Episodes:
    """Plays each session once, from arrival to the end.

    Args:
        world: Where.
        competitor: Who chooses slates.
        sessions: Who is met; for people who are compared, `Sessions.first`.
        batch_size: Sessions played at a time; bounds the memory for scores, and is what `Swapped` rotates within.
        keep_goals: Whether to keep each turn's goals, for showing conversations.
        timed_decisions: How many decisions to time, one person at a time; 0 for none.
        progress: Called with the number of sessions that ended, after every turn.
        hears: What the competitor observes instead, such as edited words; as it is when omitted.
        also: Further per-turn metrics, where goals are known.

    Raises:
        TypeError: If the competitor is none of the three kinds.
        ValueError: If there is no session, or a slate is wrong.
    """
    size = len(sessions.lane)
    if size == 0 or batch_size < 1:
        raise ValueError(f"expected at least one session and a batch_size of 1 or more, got {size} and {batch_size}")
    decide = decider(world, competitor)
    tape, clock = (
        _Tape(world, size, keep_goals, also),
        _Moments(timed_decisions, -(-timed_decisions // world.turn_limit)),
    )
    began = perf_counter()
    for begin in range(0, size, batch_size):
        rows = np.arange(begin, min(begin + batch_size, size))
        state = start(world, take(sessions, rows))
        tape.person[rows] = persons_of(world, state)
        while len(rows):
            observation, noise = observe(world, state), Noise(state.sessions.keys, state.turn)
            if hears is not None:
                observation = hears(observation, state)
            clock.keep(observation, state)
            slates = decide(observation, state, noise)
            after, outcome = step(world, state, slates)
            tape.write(rows, state, after, outcome)
            running = ~outcome.done
            if progress is not None and not running.all():
                progress(int((~running).sum()))
            rows, state = rows[running], take(after, running)
    seconds = perf_counter() - began
    latency = time_decisions(world, competitor, clock.moments) if timed_decisions else None
    return tape.episodes(sessions, latency, seconds)


def returns_of(
    world: World, competitors: Sequence[Competitor], sessions: Sessions, *, batch_size: int = 256
) -> npt.NDArray[np.float64]:
    """Plays each session once with each competitor for what it earns, and judges no slate: much faster than `evaluate`.

    Args:
        world: Where.
        competitors: Who choose slates; all begin with the very same observations.
        sessions: Who is met.
        batch_size: Sessions played at a time.

    Returns:
        Returns, up to rounding those of `evaluate`, [num_competitors, num_sessions].

    Raises:
        TypeError: If a competitor is none of the three kinds.
    """
    deciding, size = [decider(world, competitor) for competitor in competitors], len(sessions.lane)
    earned = np.zeros((len(competitors), size))
    for begin in range(0, size, batch_size):
        everybody = np.arange(begin, min(begin + batch_size, size))
        first = start(world, take(sessions, everybody))
        seen = observe(world, first)
        for row, decide in enumerate(deciding):
            rows, state, observation = everybody, first, seen
            while len(rows):
                slates = decide(observation, state, Noise(state.sessions.keys, state.turn))
                after, outcome = step(world, state, slates)
                earned[row, rows] += outcome.reward
                rows, state = rows[~outcome.done], take(after, ~outcome.done)
                if len(rows):
                    observation = observe(world, state)
    return earned


class _Tape:
    """Records turns of many sessions into arrays of all of them."""

    def __init__(self, world: World, size: int, keep_goals: bool, also: Judge | None) -> None:
        shape, slate = (size, world.turn_limit), (size, world.turn_limit, world.slate_size)
        self.world = world
        self.person = np.zeros(size, np.int64)
        self.rewards = np.zeros(shape)
        self.length = np.zeros(size, np.int64)
        self.left = np.zeros(size, np.bool_)
        self.instruction = np.full(shape, -1, np.int64)
        self.shown = np.full(slate, -1, np.int32)
        self.clicked = np.zeros(slate, np.bool_)
        self.turns: dict[str, npt.NDArray[np.float64]] = {}
        self.keep_goals, self.also = keep_goals, also
        self.goals: dict[int, Goals] = {}

    def write(self, rows: Ints, state: SessionState, after: SessionState, outcome: Outcome) -> None:
        turn = int(state.turn[0])
        slates = after.slates[:, turn]
        self.rewards[rows, turn] = outcome.reward
        self.length[rows] += 1
        self.left[rows] = outcome.terminated
        self.instruction[rows, turn] = state.instructions.texts
        self.shown[rows, turn] = slates
        self.clicked[rows, turn] = outcome.reactions.clicked
        goals = state.instructions.goals
        judged = _judged(self.world, goals, slates)
        if self.also is not None and goals is not None:
            judged |= self.also(goals, judged)
        for name, values in judged.items():
            if name not in self.turns:
                self.turns[name] = np.full(self.rewards.shape, np.nan)
            self.turns[name][rows, turn] = values
        broken = outcome.reactions.unsuitable
        if broken is not None:
            self.turns.setdefault(UNSUITABLE, np.full(self.rewards.shape, np.nan))[rows, turn] = broken.mean(axis=1)
        if self.keep_goals and goals is not None:
            known = self.goals.setdefault(turn, Goals.empty(len(self.length), goals.num_predicates))
            self.goals[turn] = put(known, rows, goals)

    def episodes(self, sessions: Sessions, latency: Latency | None, seconds: float) -> Episodes:
        return Episodes(
            world=self.world.name,
            fingerprint=self.world.fingerprint,
            num_items=self.world.catalogue.num_items,
            sessions=sessions,
            person=self.person,
            rewards=self.rewards,
            length=self.length,
            left=self.left,
            instruction=self.instruction,
            shown=self.shown,
            clicked=self.clicked,
            turns=self.turns,
            goals=tuple(self.goals[turn] for turn in sorted(self.goals)) if self.goals else None,
            latency=latency,
            seconds=seconds,
        )


def _judged(world: World, goals: Goals | None, slates: Ints) -> dict[str, Floats]:
    """Returns every per-turn metric of one turn's slates."""
    judged: dict[str, Floats] = {
        "diversity": metrics.diversity(world.catalogue, slates),
        "novelty": metrics.novelty(world.catalogue, slates),
    }
    if goals is None:
        return judged
    met = satisfied(goals, world.catalogue, slates)
    feasible = _feasible(world, goals, met)
    for name in GOAL_METRICS:
        measure = getattr(metrics, name)
        judged[name] = measure(goals, met, feasible=feasible) if name.startswith("csr") else measure(goals, met)
    return judged


def _feasible(world: World, goals: Goals, met: Bools) -> Bools:
    """Returns which predicates some item meets; the catalogue is searched only for those that no shown item does."""
    feasible = np.array(met.any(axis=2), np.bool_)
    rows = np.flatnonzero(~feasible.all(axis=1))
    if len(rows):
        matches, places = metrics.matching(take(goals, rows), world.catalogue)
        feasible[rows] = np.array(matches.any(axis=1), np.bool_)[places]
    return feasible


@dataclass(frozen=True)
class Moment:
    """One person's situation: what the agent sees, the hidden state for references, and the luck of a draw."""

    observation: Observation
    state: SessionState
    noise: Noise


class _Moments:
    """Keeps situations to time decisions in: ``count`` at most, and ``each`` of them at a time."""

    def __init__(self, count: int, each: int) -> None:
        self.moments: list[Moment] = []
        self._count, self._each = count, each

    def keep(self, observation: Observation, state: SessionState) -> None:
        for row in range(min(self._each, self._count - len(self.moments), observation.batch)):
            one = np.array([row])  # An index array, since it copies: a slice would keep views of live arrays.
            kept = take(state, one)
            self.moments.append(Moment(observation.rows(one), kept, Noise(kept.sessions.keys, kept.turn)))


def time_decisions(world: World, competitor: Competitor, moments: list[Moment]) -> Latency:
    """Times decisions, one person at a time, on words that the competitor has met before.

    Every decision is made twice and the second is timed, so that no text is new to any cache.

    Raises:
        ValueError: If there is no moment.
    """
    if not moments:
        raise ValueError("timing needs at least one moment; evaluate with timed_decisions > 0 keeps them")
    decide = decider(world, competitor)
    stages = {"decision": [_time(decide, moment.observation, moment.state, moment.noise) for moment in moments]}
    ranker: Any = getattr(competitor, "ranker", competitor)
    given = arguments_of_scores(ranker)
    if given:
        hidden = [(moment.state,) if given == 2 else () for moment in moments]
        stages["score"] = [
            _time(ranker.scores, moment.observation, *state) for moment, state in zip(moments, hidden, strict=True)
        ]
        # What is left of a decision after scoring; both are measured, so a slow moment can make it seem below 0.
        whole, score = np.array(stages["decision"]), np.array(stages["score"])
        stages["draw"] = np.maximum(whole - score, 0.0).tolist()
    while not hasattr(ranker, "encode") and hasattr(ranker, "ranker"):
        ranker = ranker.ranker
    if callable(getattr(ranker, "encode", None)):
        stages["encode"] = [_time(ranker.encode, moment.observation) for moment in moments]
    return Latency({stage: np.array(times) for stage, times in stages.items()})


def _time(act: Callable[..., object], *arguments: object) -> float:
    act(*arguments)
    began = perf_counter()
    act(*arguments)
    return (perf_counter() - began) * 1e3
