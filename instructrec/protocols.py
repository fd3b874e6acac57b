"""The seams: what a plug-in implements. Each is one to three small methods; none is a base class.

Everything here is structural: a class that has the methods is a `Population`, a `Ranker`, and so on. The checks in
`instructrec.testing` tell whether it keeps the promises.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Floats, Ints
from instructrec.goals import Predicate
from instructrec.noise import Noise
from instructrec.sessions import Instructions, Observation, Reactions, Sessions, SessionState
from instructrec.texts import Texts

State = Any


class Population(Protocol):
    """A batch of users stepped together: the fast way to plug in your own.

    A state is a record (`instructrec.arrays`): a dataclass of arrays with one row per user. Methods never change the
    state they are given, and draw only from ``noise``.
    """

    @property
    def texts(self) -> Texts:
        """The table of everything its users may say."""
        ...

    @property
    def fingerprint(self) -> str:
        """A hash of all that decides how it behaves."""
        ...

    def arrive(self, sessions: Sessions, noise: Noise) -> tuple[State, Instructions]:
        """Returns new users and what they say first."""
        ...

    def react(self, state: State, slates: Ints, noise: Noise) -> tuple[State, Reactions]:
        """Returns the users after seeing ``slates`` [batch, slate_size], and what they did."""
        ...

    def past(self, state: State) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Returns what agents may know from before: items padded with -1, and ratings, both [batch, past_length]."""
        ...


@runtime_checkable
class KnowsUtility(Protocol):
    """A population that can say how good every item is: rows and metrics that need it are absent without it."""

    def expected_utility(self, state: State) -> Floats:
        """Returns the probability that an examined item is clicked, [batch, num_items]."""
        ...


@runtime_checkable
class TellsNumbers(Protocol):
    """A population that counts something worth watching: training writes it to TensorBoard as ``users/NAME``."""

    def scalars(self) -> dict[str, float]:
        """Returns numbers so far, by name."""
        ...


@dataclass(frozen=True)
class Instruction:
    """What one person says: the text, and the goal it expresses where one is known.

    Raises:
        TypeError: If the text is not a string, or the goal holds something else than predicates.
    """

    text: str
    goal: tuple[Predicate, ...] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise TypeError(f"the text of an Instruction is a string, got {type(self.text).__name__}")
        if self.goal is not None:
            object.__setattr__(self, "goal", tuple(self.goal))
            for predicate in self.goal:
                if not isinstance(predicate, Predicate):
                    raise TypeError(f"the goal of an Instruction holds predicates, got {type(predicate).__name__}")


@dataclass(frozen=True)
class Slate:
    """What one person is shown.

    Attributes:
        items: Item numbers, best first, int32 [slate_size].
        titles: Their titles.
        turn: How many slates this person saw before.
    """

    items: npt.NDArray[np.int32]
    titles: tuple[str, ...]
    turn: int


@dataclass(frozen=True, kw_only=True)
class Reaction:
    """What one person does with a slate.

    Attributes:
        clicked: Positions clicked, counted from 0.
        consumed: Positions consumed; all the clicked ones when omitted.
        next: What the person says next; the same instruction again when omitted.
        left: Whether the person leaves.

    Raises:
        TypeError: If positions are not whole numbers, ``next`` is not an `Instruction` or ``left`` not a truth value.
        ValueError: If a position is negative or named twice, or something is consumed that was not clicked.
    """

    clicked: tuple[int, ...] = ()
    consumed: tuple[int, ...] | None = None
    next: Instruction | None = None
    left: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "clicked", _positions("clicked", self.clicked))
        if self.consumed is not None:
            object.__setattr__(self, "consumed", _positions("consumed", self.consumed))
            for position in self.consumed:
                if position not in self.clicked:
                    raise ValueError(f"position {position} is consumed but not clicked; click it too")
        if self.next is not None and not isinstance(self.next, Instruction):
            raise TypeError(f"next is an Instruction or None, got {type(self.next).__name__}")
        if not isinstance(self.left, bool | np.bool_):
            raise TypeError(f"left is True or False, got {self.left!r}")


def _positions(name: str, given: Any) -> tuple[int, ...]:
    """Returns positions as a sorted tuple of plain integers, whatever sequence of whole numbers they came in."""
    if type(given) is tuple and (not given or (len(given) == 1 and type(given[0]) is int and given[0] >= 0)):
        return given  # What most users do, without the cost of looking further.
    if not isinstance(given, tuple | list | np.ndarray):
        raise TypeError(f"{name} is a tuple of positions in the slate, got {type(given).__name__}")
    for position in given:
        if isinstance(position, bool | np.bool_) or not isinstance(position, int | np.integer):
            raise TypeError(f"{name} holds positions, whole numbers counted from 0; got {position!r}")
        if position < 0:
            raise ValueError(f"{name} holds position {position}; positions are counted from 0")
    positions = tuple(sorted(int(position) for position in given))
    if len(set(positions)) != len(positions):
        raise ValueError(f"{name} names a position twice: {positions}")
    return positions


class User(Protocol):
    """One simulated person: the easy way to plug in your own. `instructrec.envs.population_of` makes a crowd of it."""

    def arrive(self, rng: np.random.Generator) -> Instruction:
        """Begins a session and returns what the person says first."""
        ...

    def react(self, slate: Slate, rng: np.random.Generator) -> Reaction:
        """Returns what the person does with a slate."""
        ...


class Ranker(Protocol):
    """Gives every candidate a score: baselines, the actor of a trained agent, your model."""

    def scores(self, observation: Observation) -> Floats:
        """Returns scores [batch, num_candidates], higher is better; candidates are all items when none are named."""
        ...


class PrivilegedRanker(Protocol):
    """A reference that also sees the hidden state; only evaluation passes it."""

    def scores(self, observation: Observation, state: SessionState) -> Floats:
        """Returns scores [batch, num_candidates]."""
        ...


class Policy(Protocol):
    """Draws slates, and says with which probability."""

    def act(self, observation: Observation, noise: Noise) -> Ints:
        """Returns item numbers [batch, slate_size], distinct within a slate."""
        ...

    def log_prob(self, observation: Observation, slates: Ints) -> Floats:
        """Returns the log-probability of each position given the ones above it, [batch, slate_size]."""
        ...


class InstructionEncoder(Protocol):
    """Turns texts into vectors; language models live here."""

    @property
    def fingerprint(self) -> str:
        """A hash of the model and how it is used: the key of its cache."""
        ...

    def encode(self, texts: list[str]) -> npt.NDArray[np.float32]:
        """Returns one vector per text, [num_texts, width]."""
        ...


class CandidateSource(Protocol):
    """Chooses which items may be ranked this turn."""

    def draw(self, observation: Observation, noise: Noise) -> npt.NDArray[np.int32]:
        """Returns distinct item numbers per row, int32 [batch, num_candidates]."""
        ...


class Reward(Protocol):
    """What a reaction is worth. Its ``repr`` names every setting, since it enters the world's fingerprint."""

    def __call__(self, reactions: Reactions) -> npt.NDArray[np.float32]:
        """Returns what each position earned, [batch, slate_size]; a turn's reward is the sum."""
        ...


__all__ = [
    "CandidateSource",
    "Instruction",
    "InstructionEncoder",
    "KnowsUtility",
    "Policy",
    "Population",
    "PrivilegedRanker",
    "Ranker",
    "Reaction",
    "Reward",
    "Slate",
    "State",
    "TellsNumbers",
    "User",
]
