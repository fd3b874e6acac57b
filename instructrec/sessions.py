"""A session as a pure state machine over arrays: ``(state, slates) -> (state', what happened)``.

`start`, `observe` and `step` are the whole of it. Every environment, training loop and evaluation is a face of these
three functions, and none of them knows a rule of its own.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Bools, Floats, Ints, put, some_rows, take
from instructrec.catalogue import Catalogue
from instructrec.goals import Goals
from instructrec.names import in_a_line
from instructrec.noise import Noise, session_keys
from instructrec.texts import Texts

if TYPE_CHECKING:
    from instructrec.protocols import CandidateSource, Population, Reward


_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Sessions:
    """Who is simulated: each session is (seed, lane, ordinal), arrays int64 [batch].

    Attributes:
        seed: The experiment's seed.
        lane: The place in the batch.
        ordinal: How many sessions that lane had before.
    """

    seed: npt.NDArray[np.int64]
    lane: npt.NDArray[np.int64]
    ordinal: npt.NDArray[np.int64]

    @classmethod
    def first(cls, seed: int, lanes: int | Ints) -> Sessions:
        """Returns the first session of each lane: of lanes 0 … ``lanes`` - 1, or of the given ones."""
        lane = np.arange(lanes, dtype=np.int64) if isinstance(lanes, int) else np.asarray(lanes, np.int64)
        if seed < 0 or (lane < 0).any():
            raise ValueError(f"seed and lanes must be 0 or more, got seed {seed} and lanes {lane.min()} …")
        return cls(np.full(len(lane), seed, np.int64), lane, np.zeros(len(lane), np.int64))

    @cached_property
    def keys(self) -> npt.NDArray[np.uint64]:
        """One noise key per session, uint64 [batch]."""
        return session_keys(self.seed, self.lane, self.ordinal)


@dataclass(frozen=True)
class Instructions:
    """What a batch of users said.

    Attributes:
        texts: Text ids, int64 [batch].
        goals: What each of them has in mind, or None where it is not known. Agents never see it.
    """

    texts: npt.NDArray[np.int64]
    goals: Goals | None = None


@dataclass(frozen=True)
class Reactions:
    """What a batch of users did with their slates.

    Attributes:
        clicked: [batch, slate_size].
        consumed: [batch, slate_size]; only clicked items are consumed.
        instructions: What they say next; ignored for those who left.
        left: Whether they left, [batch].
        examined: Hidden from agents: which positions they looked at, [batch, slate_size], or None.
        satisfaction: Hidden from agents: 0 to 1, [batch], or None.
        trust: Hidden from agents: 0 to 1, [batch], or None.
        engagement: How much of each item they took in, 0 or more and 0 where not clicked, float32 [batch, slate_size],
            in the population's units; None where clicks say it all. Rewards may count it; observations do not show it.
        unsuitable: Hidden from agents: which positions hold what must never be shown to the person,
            [batch, slate_size]; None where nobody lives by such a rule. Rewards may count it.
        days_away: Days until they come back, where this slate ended a visit, and 0 where the visit goes on, float32
            [batch]; None where sessions are single visits. Rewards may count it; observations do not show it.
    """

    clicked: Bools
    consumed: Bools
    instructions: Instructions
    left: Bools
    examined: Bools | None = None
    satisfaction: Floats | None = None
    trust: Floats | None = None
    engagement: Floats | None = None
    unsuitable: Bools | None = None
    days_away: Floats | None = None


@dataclass(frozen=True)
class Observation:
    """All that an agent sees of a batch of sessions.

    Attributes:
        instruction: Text ids of what was just said, int64 [batch].
        said: Text ids of the session's earlier instructions, oldest first, padded with -1, int64 [batch, turn_limit].
        past: Items from before the session, oldest first, padded with -1, int32 [batch, past_length].
        past_ratings: Their ratings, 0 where padded, float32 [batch, past_length].
        slates: The slates shown this session, padded with -1, int32 [batch, turn_limit, slate_size].
        clicked: What was clicked of them, [batch, turn_limit, slate_size].
        turn: How many slates were shown, int32 [batch].
        candidates: The items that may be ranked, distinct, int32 [batch, num_candidates]; None means all of them.
        texts: The table that turns text ids into strings.
    """

    instruction: npt.NDArray[np.int64]
    said: npt.NDArray[np.int64]
    past: npt.NDArray[np.int32]
    past_ratings: npt.NDArray[np.float32]
    slates: npt.NDArray[np.int32]
    clicked: Bools
    turn: npt.NDArray[np.int32]
    candidates: npt.NDArray[np.int32] | None
    texts: Texts

    @property
    def batch(self) -> int:
        """How many sessions it shows."""
        return len(self.instruction)

    def rows(self, rows: Ints | Bools | slice) -> Observation:
        """Returns the observation of some of the sessions."""
        return Observation(
            self.instruction[rows],
            self.said[rows],
            self.past[rows],
            self.past_ratings[rows],
            self.slates[rows],
            self.clicked[rows],
            self.turn[rows],
            None if self.candidates is None else some_rows(self.candidates, rows),
            self.texts,
        )

    def saying(self, texts: npt.NDArray[np.int64], said: npt.NDArray[np.int64] | None = None) -> Observation:
        """Returns the same observation with other words: for blank and swapped controls.

        Args:
            texts: Text ids to put in the place of the instruction, [batch].
            said: Text ids to put in the place of the earlier instructions; they stay as they are when omitted.
        """
        return replace(self, instruction=texts, said=self.said if said is None else said)


@dataclass(frozen=True)
class SessionState:
    """Everything a batch of running sessions is: a record (see `instructrec.arrays`) with one row per session.

    Attributes:
        sessions: Who they are.
        turn: How many slates were shown, int32 [batch].
        population: The population's own state. Hidden from agents.
        instructions: What was said last. Its goals are hidden from agents.
        said: As in `Observation`.
        past: As in `Observation`.
        past_ratings: As in `Observation`.
        slates: As in `Observation`.
        clicked: As in `Observation`.
    """

    sessions: Sessions
    turn: npt.NDArray[np.int32]
    population: Any
    instructions: Instructions
    said: npt.NDArray[np.int64]
    past: npt.NDArray[np.int32]
    past_ratings: npt.NDArray[np.float32]
    slates: npt.NDArray[np.int32]
    clicked: Bools


@dataclass(frozen=True)
class Outcome:
    """What one step brought.

    Attributes:
        reward: float32 [batch], the sum of ``item_rewards``.
        item_rewards: float32 [batch, slate_size], what each position earned.
        reactions: What the users did.
        terminated: The user left, [batch].
        truncated: The turn limit came first, [batch].
    """

    reward: npt.NDArray[np.float32]
    item_rewards: npt.NDArray[np.float32]
    reactions: Reactions
    terminated: Bools
    truncated: Bools

    @property
    def done(self) -> Bools:
        """Whether the session is over, [batch]."""
        return self.terminated | self.truncated


@dataclass(frozen=True, kw_only=True)
class World:
    """A catalogue, a population that speaks, a reward and candidates, under a name.

    Attributes:
        name: The name, as in ``gymnasium.make``.
        catalogue: The items.
        population: The users and what they say.
        reward: What a reaction is worth.
        candidates: Which items may be ranked each turn; None means all of them.
        slate_size: Items per slate, at least 1 and at most the number of items.
        turn_limit: Slates per session at most, at least 1.
        language: What people speak, by ISO 639-1 code; agents may know it.
        words: The vocabulary that the world's own people use, whoever else comes: for parsers and displays, and no part
            of the fingerprint. None where it has none.
    """

    name: str
    catalogue: Catalogue
    population: Population
    reward: Reward
    candidates: CandidateSource | None = None
    slate_size: int = 10
    turn_limit: int = 10
    language: str = "en"
    words: Any = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 1 <= self.slate_size <= self.catalogue.num_items:
            raise ValueError(
                f"slate_size must be from 1 to the number of items ({self.catalogue.num_items}), got {self.slate_size}"
            )
        if self.turn_limit < 1:
            raise ValueError(f"turn_limit must be at least 1, got {self.turn_limit}")

    def __repr__(self) -> str:
        return in_a_line(
            self,
            self.name,
            f"{self.catalogue.num_items:,} items",
            type(self.population).__name__,
            f"{self.turn_limit} slates of {self.slate_size}",
            f"fingerprint {self.fingerprint}",
        )

    @property
    def fingerprint(self) -> str:
        """A hash of all that decides what happens here, hex. Results of different fingerprints cannot be compared."""
        parts = (
            self.name,
            self.catalogue.fingerprint,
            self.population.fingerprint,
            repr(self.reward),
            repr(self.candidates),
            self.slate_size,
            self.turn_limit,
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _noise(state_sessions: Sessions, turn: Ints) -> Noise:
    return Noise(state_sessions.keys, turn)


def start(world: World, sessions: Sessions) -> SessionState:
    """Begins sessions: the users arrive and say their first instruction.

    Raises:
        PlugInError: If the population raises.
        TypeError: If what it returns is not of the kinds and shapes of `instructrec.protocols.Population`.
        ValueError: If it names a text or an item that cannot be.
    """
    batch = len(sessions.lane)
    turn = np.zeros(batch, np.int32)
    population, instructions = _asked(world.population, "arrive", Instructions, sessions, _noise(sessions, turn))
    _check_said(world.population, "arrive", instructions, batch)
    past, ratings = _past(world, population, batch)
    return SessionState(
        sessions=sessions,
        turn=turn,
        population=population,
        instructions=instructions,
        said=np.full((batch, world.turn_limit), -1, np.int64),
        past=past,
        past_ratings=ratings,
        slates=np.full((batch, world.turn_limit, world.slate_size), -1, np.int32),
        clicked=np.zeros((batch, world.turn_limit, world.slate_size), np.bool_),
    )


def pasts_of(world: World, sessions: Sessions) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Returns the visible pasts of those who come, as `start` does, without asking anybody what they say.

    A population whose words are dear (a language model writes them) names as ``unspoken`` the one that has the same
    pasts without them; it is asked instead.

    Returns:
        Items padded with -1, int32 [batch, past_length], and their ratings, float32 [batch, past_length].
    """
    state = start(replace(world, population=getattr(world.population, "unspoken", world.population)), sessions)
    return state.past, state.past_ratings


def persons_of(world: World, state: SessionState) -> npt.NDArray[np.int64]:
    """Returns whose session each is, [batch]; the lane where the population does not say."""
    persons = getattr(world.population, "persons", None)
    return np.asarray(state.sessions.lane if persons is None else persons(state.population), np.int64)


def observe(world: World, state: SessionState) -> Observation:
    """Returns what agents see. Its arrays are the state's own: copy them before keeping them past a step."""
    observation = Observation(
        instruction=state.instructions.texts,
        said=state.said,
        past=state.past,
        past_ratings=state.past_ratings,
        slates=state.slates,
        clicked=state.clicked,
        turn=state.turn,
        candidates=None,
        texts=world.population.texts,
    )
    if world.candidates is None:
        return observation
    return replace(observation, candidates=world.candidates.draw(observation, _noise(state.sessions, state.turn)))


def check_slates(world: World, slates: Any, batch: int) -> npt.NDArray[np.int32]:
    """Returns ``slates`` as int32 [batch, slate_size] after checking them.

    Raises:
        TypeError: If they are not integers.
        ValueError: If the shape is wrong, an item does not exist, or a slate repeats an item.
    """
    array = np.asarray(slates)
    if not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"a slate holds item numbers (integers), got an array of {array.dtype}")
    if array.shape != (batch, world.slate_size):
        raise ValueError(
            f"expected slates of shape {(batch, world.slate_size)} (one row per user, {world.slate_size} items each), "
            f"got {array.shape}"
        )
    if batch == 1:
        # One user: a set is several times as fast as arrays this small.
        items = set(array[0].tolist())
        if len(items) == world.slate_size and min(items) >= 0 and max(items) < world.catalogue.num_items:
            return array.astype(np.int32)
    outside = (array < 0) | (array >= world.catalogue.num_items)
    if outside.any():
        row, place = np.argwhere(outside)[0]
        raise ValueError(
            f"item {array[row, place]} in position {place + 1} of slate {row} does not exist; "
            f"items are numbered 0 to {world.catalogue.num_items - 1}"
        )
    ordered = np.sort(array, axis=1)
    if (ordered[:, 1:] == ordered[:, :-1]).any():
        row = int(np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(axis=1))[0])
        place = next(p for p in range(world.slate_size) if array[row, p] in array[row, :p])
        raise ValueError(
            f"slate {row} repeats item {array[row, place]} in position {place + 1}; a slate holds distinct items"
        )
    return array.astype(np.int32)


class PlugInError(RuntimeError):
    """Code that was plugged in failed: it is not a mistake of what runs it."""


def _called(population: Any, method: str, *given: Any) -> Any:
    """Returns what a population's method returns; what it raises is told as its own failure."""
    try:
        return getattr(population, method)(*given)
    except (PlugInError, ValueError, TypeError, ImportError, OSError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        raise PlugInError(f"{type(population).__name__}.{method} raised {type(error).__name__}: {error}") from error


def _asked(population: Any, method: str, kind: type[_Answer], *given: Any) -> tuple[Any, _Answer]:
    """Returns what a population's method returns, a state and an answer of a kind."""
    found = _called(population, method, *given)
    if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], kind)):
        got = ", ".join(type(part).__name__ for part in found) if isinstance(found, tuple) else type(found).__name__
        name = f"{type(population).__name__}.{method}"
        raise TypeError(f"{name} must return a state and {kind.__name__}, got {got}")
    return found


def _kind(value: object) -> str:
    return f"{value.dtype} of shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


def _check_said(population: Any, method: str, said: Instructions, batch: int) -> None:
    texts, name = said.texts, f"{type(population).__name__}.{method}"
    if not isinstance(texts, np.ndarray) or texts.dtype != np.int64 or texts.shape != (batch,):
        raise TypeError(f"{name} must give texts as ids, int64 of shape {(batch,)}, got {_kind(texts)}")
    if batch and texts.min() < 0:
        raise ValueError(
            f"{name} gives the text id {texts.min()}; ids are 0 (silence) or more, as the population's `texts` has them"
        )


def _past(world: World, state: Any, batch: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Returns the pasts of those who arrived, after checking them: nobody looks at them again."""
    name = f"{type(world.population).__name__}.past"
    found = _called(world.population, "past", state)
    if not (isinstance(found, tuple) and len(found) == 2 and all(isinstance(part, np.ndarray) for part in found)):
        raise TypeError(f"{name} must return two arrays, items and their ratings, got {_kind(found)}")
    past, ratings = found
    if past.ndim != 2 or len(past) != batch or ratings.shape != past.shape or past.dtype.kind not in "iu":
        raise TypeError(
            f"{name} must return items, integers [batch, past_length] with {batch} rows, and ratings of the same "
            f"shape, got {_kind(past)} and {_kind(ratings)}"
        )
    if past.size and not (past.min() >= -1 and past.max() < world.catalogue.num_items):
        wrong = past[(past < -1) | (past >= world.catalogue.num_items)][0]
        raise ValueError(
            f"{name} names item {wrong}; items are numbered 0 to {world.catalogue.num_items - 1}, and -1 is padding"
        )
    if not np.isfinite(ratings).all():
        raise ValueError(f"{name} holds a rating that is not finite; ratings are numbers, and 0 where the item is -1")
    return past, ratings


def _check_shapes(population: Any, reactions: Reactions, shape: tuple[int, ...]) -> None:
    for name, expected in (("clicked", shape), ("consumed", shape), ("left", shape[:1])):
        value = getattr(reactions, name)
        if not isinstance(value, np.ndarray) or value.dtype != np.bool_ or value.shape != expected:
            method = f"{type(population).__name__}.react"
            raise TypeError(f"{method} must give {name} as booleans of shape {expected}, got {_kind(value)}")
    _check_said(population, "react", reactions.instructions, shape[0])


def step(world: World, state: SessionState, slates: Any) -> tuple[SessionState, Outcome]:
    """Shows a slate to every user and returns the state after it and what happened.

    Args:
        world: Where it happens.
        state: The sessions; not changed.
        slates: Item numbers, integers [batch, slate_size], best first, distinct within a slate.

    Raises:
        TypeError: If the slates are not integers.
        ValueError: If a slate has the wrong shape, an unknown item or a repeated one.
    """
    batch = len(state.turn)
    shown = check_slates(world, slates, batch)
    luck = _noise(state.sessions, state.turn)
    population, reactions = _asked(world.population, "react", Reactions, state.population, shown, luck)
    _check_shapes(world.population, reactions, shown.shape)
    item_rewards = world.reward(reactions)
    said, slates_so_far, clicked = state.said.copy(), state.slates.copy(), state.clicked.copy()
    at: tuple[Any, Any]
    if batch == 1:
        # One user: a slice is several times as fast as arrays of one index.
        at = slice(0, 1), min(int(state.turn[0]), world.turn_limit - 1)
    else:
        at = np.arange(batch), np.minimum(state.turn, world.turn_limit - 1)
    said[at] = state.instructions.texts
    slates_so_far[at] = shown
    clicked[at] = reactions.clicked
    after = replace(
        state,
        turn=state.turn + np.int32(1),
        population=population,
        instructions=reactions.instructions,
        said=said,
        slates=slates_so_far,
        clicked=clicked,
    )
    truncated = (after.turn >= world.turn_limit) & ~reactions.left
    reward = item_rewards.sum(axis=1, dtype=np.float32)
    return after, Outcome(reward, item_rewards, reactions, reactions.left, truncated)


def restart(world: World, state: SessionState, rows: Ints) -> SessionState:
    """Returns the state with the sessions of ``rows`` replaced by their lanes' next ones."""
    ended = take(state.sessions, rows)
    return put(state, rows, start(world, replace(ended, ordinal=ended.ordinal + 1)))
