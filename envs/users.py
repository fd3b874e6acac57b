"""People written one at a time: a crowd made of any `User`, and a user that follows a script."""

from __future__ import annotations

import difflib
import hashlib
import inspect
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Ints
from instructrec.catalogue import Catalogue
from instructrec.goals import RELATIVE, Goals, Predicate, compile_goals, resolved
from instructrec.names import in_a_line
from instructrec.noise import Noise, Purpose
from instructrec.protocols import CandidateSource, Instruction, Reaction, Reward, Slate, User
from instructrec.rewards import EngagementReward
from instructrec.sessions import Instructions, PlugInError, Reactions, Sessions, World
from instructrec.texts import Texts

_SESSION = tuple[int, int, int]


@dataclass(frozen=True)
class UserState:
    """The saved state of users written one at a time: who they are and what happened to them, arrays only.

    Attributes:
        sessions: Who they are.
        turn: How many slates each saw, int32 [batch].
        instruction: The text id of what each said last, int64 [batch].
        goals: What each has in mind, or None where these users do not tell.
        slates: What each was shown, padded with -1, int32 [batch, turn_limit, slate_size].
        clicked: What each clicked, [batch, turn_limit, slate_size].
    """

    sessions: Sessions
    turn: npt.NDArray[np.int32]
    instruction: npt.NDArray[np.int64]
    goals: Goals | None
    slates: npt.NDArray[np.int32]
    clicked: npt.NDArray[np.bool_]


@dataclass
class _Living:
    """A user object and the slates it has seen, as bytes: how it is recognised."""

    user: User
    seen: bytes


class UserPopulation:
    """A `Population` of users written one at a time; made by `population_of`, which documents the arguments."""

    def __init__(
        self,
        make_user: Callable[[], User],
        catalogue: Catalogue,
        *,
        slate_size: int,
        turn_limit: int,
        num_predicates: int | None,
        bank: Iterable[str],
        keep: int,
        fingerprint: str | None,
    ) -> None:
        if not callable(make_user):
            raise TypeError(
                f"expected a class, or a function that makes a new User, got an object of type "
                f"{type(make_user).__name__}; every session has a user of its own"
            )
        if min(slate_size, turn_limit, keep) < 1:
            raise ValueError(f"slate_size, turn_limit and keep are at least 1, got {slate_size}, {turn_limit}, {keep}")
        self._make_user, self._catalogue = make_user, catalogue
        self._slate_size, self._turn_limit, self._keep = slate_size, turn_limit, keep
        self._texts = Texts(tuple(bank))
        self._living: OrderedDict[_SESSION, _Living] = OrderedDict()
        self._sound: set[type] = set()
        self._compiled: dict[tuple[Predicate, ...], Goals] = {}
        self._philox = np.random.Philox(key=0)
        self._generator = np.random.Generator(self._philox)
        # Keys and an empty buffer: setting this is several times as fast as making a generator.
        self._fresh = self._philox.state
        if num_predicates is None or not fingerprint:
            # One user is asked, to learn what kind it is; where all is told, nobody is: it may be a person.
            user, first = self._begin((0, 0, 0), _keys_alone(Sessions.first(0, 1), 0, None))
            num_predicates = num_predicates if num_predicates is not None else 0 if first.goal is None else 8
            fingerprint = fingerprint or fingerprint_of(make_user, type(user))
        self._num_predicates, self._fingerprint = num_predicates, fingerprint

    @property
    def texts(self) -> Texts:
        """Everything they have said; grows as they speak."""
        return self._texts

    @property
    def fingerprint(self) -> str:
        """A hash of the code of the user and of its factory, and of the settings."""
        parts = (self._fingerprint, self._texts.bank, self._slate_size, self._turn_limit, self._num_predicates)
        return hashlib.sha256(repr(parts).encode(errors="surrogatepass")).hexdigest()[:16]

    def __repr__(self) -> str:
        return in_a_line(self, f"fingerprint {self.fingerprint}")

    def arrive(self, sessions: Sessions, noise: Noise) -> tuple[UserState, Instructions]:
        """Returns newly made users and what they say first."""
        batch = len(sessions.lane)
        goals = Goals.empty(batch, self._num_predicates) if self._num_predicates else None
        keys, said = noise.integers(Purpose.PERSON, 2), []
        for row, session in enumerate(_sessions(sessions)):
            user, instruction = self._begin(session, keys[row])
            said.append(instruction.text)
            self._write_goal(goals, row, instruction, None, user)
            self._remember(session, _Living(user, b""))
        shape = (batch, self._turn_limit, self._slate_size)
        texts = self._texts.ids(said)
        state = UserState(
            sessions=sessions,
            turn=np.zeros(batch, np.int32),
            instruction=texts,
            goals=goals,
            slates=np.full(shape, -1, np.int32),
            clicked=np.zeros(shape, np.bool_),
        )
        return state, Instructions(texts, goals)

    def react(self, state: UserState, slates: Ints, noise: Noise) -> tuple[UserState, Reactions]:
        """Shows every user a slate; rebuilds those of which no living copy is at this point of the session.

        Raises:
            ValueError: If slates or turns exceed what the population was made for, or a reaction makes no sense.
            TypeError: If a user returns something else than a `Reaction`.
            RuntimeError: If a user's method raises, or a user does not do the same again when rebuilt.
        """
        batch = len(state.turn)
        if slates.shape != (batch, self._slate_size):
            raise ValueError(
                f"this population was made for slates of {self._slate_size}, got shape {slates.shape}; "
                f"make it with population_of(..., slate_size={slates.shape[-1]})"
            )
        if batch and int(state.turn.max()) >= self._turn_limit:
            raise ValueError(f"this population was made for {self._turn_limit} turns; make it with a higher turn_limit")
        clicked, consumed = np.zeros((2, batch, self._slate_size), np.bool_)
        left, texts = np.zeros(batch, np.bool_), state.instruction.copy()
        goals = None if state.goals is None else replace(
            state.goals, **{name: getattr(state.goals, name).copy() for name in state.goals.__dataclass_fields__}
        )  # fmt: skip
        keys, turns = noise.integers(Purpose.USER, 2), state.turn.tolist()
        shown = slates.astype(np.int32)  # A copy: users may do with their slate what they like.
        seen = shown.copy()
        clicks: list[int] = []  # Places in the batch's slates laid end to end.
        kept: list[int] = []
        for row, session in enumerate(_sessions(state.sessions)):
            living = self._living_copy(state, row, session)
            reaction = self._react(living.user, shown[row], turns[row], keys[row], session)
            for position in reaction.clicked:
                clicks.append(row * self._slate_size + position)
            for position in reaction.clicked if reaction.consumed is None else reaction.consumed:
                kept.append(row * self._slate_size + position)
            left[row] = reaction.left
            if reaction.next is not None:
                texts[row] = self._texts.ids([reaction.next.text])[0]
                self._write_goal(goals, row, reaction.next, slates[row], living.user)
            self._remember(session, _Living(living.user, living.seen + seen[row].tobytes()))
        clicked.reshape(-1)[clicks], consumed.reshape(-1)[kept] = True, True
        rows, slates_so_far, clicked_so_far = np.arange(batch), state.slates.copy(), state.clicked.copy()
        slates_so_far[rows, state.turn] = slates
        clicked_so_far[rows, state.turn] = clicked
        after = UserState(state.sessions, state.turn + np.int32(1), texts, goals, slates_so_far, clicked_so_far)
        return after, Reactions(clicked, consumed, Instructions(texts, goals), left)

    def past(self, state: UserState) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Returns nothing: a `User` tells of no past, shape [batch, 0]."""
        shape = (len(state.turn), 0)
        return np.zeros(shape, np.int32), np.zeros(shape, np.float32)

    def _rng(self, key: npt.NDArray[np.uint64]) -> np.random.Generator:
        self._fresh["state"]["key"] = key
        self._philox.state = self._fresh
        return self._generator

    def _begin(self, session: _SESSION, key: npt.NDArray[np.uint64]) -> tuple[User, Instruction]:
        user: User = _called("the user factory", session, 0, self._make_user)
        if type(user) not in self._sound:
            if lacking := lacking_of(user):
                raise TypeError(lacking)
            self._sound.add(type(user))
        first = _called("arrive", session, 0, user.arrive, self._rng(key))
        if not isinstance(first, Instruction):
            raise TypeError(
                f"{type(user).__name__}.arrive must return an Instruction, got {type(first).__name__} "
                f"({_where(session, 0)})"
            )
        return user, first

    def _react(
        self, user: User, items: npt.NDArray[np.int32], turn: int, key: npt.NDArray[np.uint64], session: _SESSION
    ) -> Reaction:
        # From here on the object is neither before nor after the turn; should it raise, it must not be met again.
        self._living.pop(session, None)
        titles = tuple(map(self._catalogue.titles.__getitem__, items.tolist()))
        slate = Slate(items=items, titles=titles, turn=turn)
        reaction = _called("react", session, turn, user.react, slate, self._rng(key))
        if not isinstance(reaction, Reaction):
            raise TypeError(
                f"{type(user).__name__}.react must return a Reaction, got {type(reaction).__name__} "
                f"({_where(session, turn)})"
            )
        if reaction.clicked and reaction.clicked[-1] >= self._slate_size:
            raise ValueError(
                f"{type(user).__name__}.react clicked position {reaction.clicked[-1]}; positions of a slate of "
                f"{self._slate_size} are 0 to {self._slate_size - 1} ({_where(session, turn)})"
            )
        return reaction

    def _living_copy(self, state: UserState, row: int, session: _SESSION) -> _Living:
        turn = int(state.turn[row])
        seen = state.slates[row, :turn].tobytes()
        living = self._living.get(session)
        if living is not None and living.seen == seen:
            return living
        user, instruction = self._begin(session, _keys_alone(state.sessions, row, None))
        text = self._texts.ids([instruction.text])[0]
        for past_turn in range(turn):
            key = _keys_alone(state.sessions, row, past_turn)
            reaction = self._react(user, state.slates[row, past_turn].copy(), past_turn, key, session)
            if reaction.clicked != tuple(np.flatnonzero(state.clicked[row, past_turn])):
                raise PlugInError(_did_otherwise(user, "clicked", _where(session, past_turn)))
            text = text if reaction.next is None else self._texts.ids([reaction.next.text])[0]
        if text != state.instruction[row]:
            raise PlugInError(_did_otherwise(user, "said", _where(session, turn)))
        return _Living(user, seen)

    def _remember(self, session: _SESSION, living: _Living) -> None:
        self._living.pop(session, None)
        self._living[session] = living
        if len(self._living) > self._keep:
            self._living.popitem(last=False)

    def _write_goal(self, goals: Goals | None, row: int, said: Instruction, shown: Ints | None, user: User) -> None:
        if goals is None:
            if said.goal is None:
                return
            raise ValueError(
                f"{type(user).__name__} gives a goal with {said.text!r} but gave none with its first instruction in "
                "session (0, 0, 0); say how many predicates a goal may have: population_of(..., num_predicates=8)"
            )
        compiled = self._compile(_resolved(said, shown, self._catalogue, user))
        for name in goals.__dataclass_fields__:
            getattr(goals, name)[row] = getattr(compiled, name)[0]

    def _compile(self, goal: tuple[Predicate, ...]) -> Goals:
        if goal not in self._compiled:
            if len(self._compiled) >= 10_000:
                self._compiled.clear()
            self._compiled[goal] = compile_goals([goal], self._catalogue, self._num_predicates)
        return self._compiled[goal]


def population_of(
    make_user: Callable[[], User],
    catalogue: Catalogue,
    *,
    slate_size: int = 10,
    turn_limit: int = 10,
    num_predicates: int | None = None,
    bank: Iterable[str] = (),
    keep: int = 20_000,
    fingerprint: str | None = None,
) -> UserPopulation:
    """Makes a population of users written one at a time.

    Every session has a user of its own, made by ``make_user``. Nothing of it is saved but what happened to it: where
    the object at hand is not at the point of the session that is asked for, a new one is made and lives through the
    same slates again. So a user needs no saving or copying, but must be deterministic: all its luck comes from the
    ``rng`` it is handed, which is meant for that call alone.

    Args:
        make_user: Makes a new user: a class, or a function without arguments.
        catalogue: The items.
        slate_size: Items per slate, as in the world.
        turn_limit: Slates per session at most, as in the world.
        num_predicates: How many predicates a goal may have; 0 means that these users tell no goals. Omitted: 8, or 0
            if the user of the session (0, 0, 0) gives none with its first words.
        bank: Texts known beforehand: an encoder can embed them before the first step.
        keep: How many user objects to keep between steps; more users than that are rebuilt every turn.
        fingerprint: What stands for the users' behaviour in the world's fingerprint; a hash of their code if omitted.
            Give one where the behaviour depends on data or other code.

    Raises:
        TypeError: If what is made is no `User`, or ``arrive`` returns something else than an `Instruction`.
        RuntimeError: If making a user fails, or its ``arrive`` raises.
    """
    return UserPopulation(
        make_user,
        catalogue,
        slate_size=slate_size,
        turn_limit=turn_limit,
        num_predicates=num_predicates,
        bank=bank,
        keep=keep,
        fingerprint=fingerprint,
    )


def world_of(
    make_user: Callable[[], User],
    catalogue: Catalogue,
    *,
    name: str = "users/Mine-v0",
    reward: Reward | None = None,
    candidates: CandidateSource | None = None,
    slate_size: int = 10,
    turn_limit: int = 10,
    **settings: Any,
) -> World:
    """Makes a whole world of users written one at a time; see `population_of` for ``settings``.

    Args:
        make_user: Makes a new user: a class, or a function without arguments.
        catalogue: The items.
        name: The world's name.
        reward: What a reaction is worth; a point per click if omitted.
        candidates: Which items may be ranked each turn; all if omitted.
        slate_size: Items per slate.
        turn_limit: Slates per session at most.
        settings: Further arguments of `population_of`.
    """
    users = population_of(make_user, catalogue, slate_size=slate_size, turn_limit=turn_limit, **settings)
    return World(
        name=name,
        catalogue=catalogue,
        population=users,
        reward=EngagementReward() if reward is None else reward,
        candidates=candidates,
        slate_size=slate_size,
        turn_limit=turn_limit,
    )


@dataclass
class ScriptedUser:
    """A user who says and does what is written down, whatever is shown; leaves when the script ends.

    Attributes:
        first: What it says first.
        reactions: What it does, slate by slate.
        slates: What it was shown.
    """

    first: Instruction | str
    reactions: tuple[Reaction, ...] = ()
    slates: list[Slate] = field(default_factory=list)

    def arrive(self, rng: np.random.Generator) -> Instruction:
        """Returns the first line."""
        return Instruction(self.first) if isinstance(self.first, str) else self.first

    def react(self, slate: Slate, rng: np.random.Generator) -> Reaction:
        """Returns the next reaction of the script."""
        self.slates.append(slate)
        return self.reactions[slate.turn] if slate.turn < len(self.reactions) else Reaction(left=True)


_RETURNS = {
    "arrive": "an Instruction: what the person says first",
    "react": "a Reaction: what the person does with a slate",
}


def lacking_of(user: object) -> str:
    """Returns what an object lacks to be a `User`, in a sentence; "" where it is one.

    Its methods are looked for, and whether they take what they are handed.
    """
    kind = type(user)
    for name, returned in _RETURNS.items():
        handed = tuple(inspect.signature(getattr(User, name)).parameters)
        needed = f"{name}({', '.join(handed)}), which returns {returned}"
        method = getattr(user, name, None)
        if not callable(method):
            written = [each for each in dir(kind) if not each.startswith("_") and each not in _RETURNS]
            near = difflib.get_close_matches(name, written, n=1)
            return f"{kind.__name__} has no method {needed}" + (f"; is {near[0]!r} meant to be it?" if near else "")
        try:
            inspect.signature(method).bind(*handed[1:])
        except TypeError:
            shown = inspect.signature(method)
            return f"{kind.__name__}.{name} takes {shown}; it must be {needed}"
        except ValueError:  # What is not written in Python may not tell what it takes.
            continue
    return ""


def _sessions(sessions: Sessions) -> Iterator[_SESSION]:
    return zip(sessions.seed.tolist(), sessions.lane.tolist(), sessions.ordinal.tolist(), strict=True)


def _keys_alone(sessions: Sessions, row: int, turn: int | None) -> npt.NDArray[np.uint64]:
    """Returns the key of one user's generator in a turn, or at the arrival, [2]."""
    noise = Noise(sessions.keys[row : row + 1], np.array([turn or 0], np.int32))
    key: npt.NDArray[np.uint64] = noise.integers(Purpose.PERSON if turn is None else Purpose.USER, 2)[0]
    return key


def _where(session: _SESSION, turn: int) -> str:
    seed, lane, ordinal = session
    return f"session seed {seed}, lane {lane}, ordinal {ordinal}, turn {turn + 1}"


def _called(name: str, session: _SESSION, turn: int, method: Callable[..., Any], *given: Any) -> Any:
    try:
        return method(*given)
    except (Exception, SystemExit) as error:
        whose = getattr(method, "__self__", None)
        called = name if whose is None or name not in ("arrive", "react") else f"{type(whose).__name__}.{name}"
        where = _where(session, turn)
        raise PlugInError(f"{called} raised {type(error).__name__}: {error} ({where})") from error


def _did_otherwise(user: User, did: str, where: str) -> str:
    return (
        f"{type(user).__name__} {did} something else when it lived through the same session again ({where}); "
        "all of a user's luck must come from the rng it is handed, and none of it from outside"
    )


def _resolved(said: Instruction, shown: Ints | None, catalogue: Catalogue, user: User) -> tuple[Predicate, ...]:
    """Returns the goal with what is relative to the shown slate turned into plain predicates."""
    goal = []
    for predicate in said.goal or ():
        if predicate.operator not in RELATIVE:
            goal.append(predicate)
            continue
        if shown is None or predicate.position > len(shown):
            seen = "no slate was shown yet" if shown is None else f"the slate holds {len(shown)} items"
            raise ValueError(
                f"{type(user).__name__} said {said.text!r}, a critique of position {predicate.position}, but {seen}"
            )
        item = int(shown[predicate.position - 1])
        plain = resolved(predicate, catalogue, item, [other for other in said.goal or () if other is not predicate])
        if plain is None:
            raise ValueError(
                f"{type(user).__name__} said {said.text!r}, but item {item} in position "
                f"{predicate.position} has no {predicate.field!r} to compare with"
            )
        goal.append(plain)
    return tuple(goal)


def fingerprint_of(make_user: Callable[..., User], kind: type) -> str:
    """Returns a hash of the code of what makes a user and of the user's class and its bases, and of their arguments."""
    parts: list[str] = []
    maker: Any = make_user
    while isinstance(maker, partial):
        parts.append(repr((maker.args, sorted(maker.keywords.items()))))
        maker = maker.func
    held = [cell.cell_contents for cell in getattr(maker, "__closure__", None) or ()]
    parts.append(repr((held, getattr(getattr(maker, "__self__", None), "__dict__", None))))
    for thing in (maker, *kind.__mro__[:-1]):
        parts.append(f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', type(thing).__qualname__)}")
        try:
            parts.append(inspect.getsource(thing))
        except (OSError, TypeError):
            parts.append("source unknown")
    # An object's address differs from process to process.
    return hashlib.sha256(re.sub(r" at 0x[0-9a-fA-F]+", "", repr(parts)).encode(errors="surrogatepass")).hexdigest()[
        :16
    ]
