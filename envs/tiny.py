"""A tiny world whose optimal value is known exactly: the test bed for agents and for the machinery.

There are ``num_colours`` colours. Every turn the user names one, drawn afresh, in one of ten phrasings. Of each colour
there are ``per_colour`` plain items and one *bait*. Every item of a slate is clicked or not, independently:

| item | clicked with probability |
|---|---|
| plain, of the colour asked for | ``match`` (.8) |
| bait, of the colour asked for | ``lure`` (.9) |
| any other | ``stray`` (.05) |

The reward is the number of clicks. A user who clicks a bait leaves; any other leaves with probability ``leave`` (.05).

So bait is the best item for one turn and nearly always the worst for the session. With b baits of the right colour in
a slate of K (0 or 1; everything else plain and right), the turn is worth r(b) = b · lure + (K - b) · match, the session
goes on with probability s(b) = (1 - leave)(1 - b · lure), and with n turns to go

    V(0) = 0,    V(n) = max over b of r(b) + s(b) · V(n - 1).

At the defaults (K = 3, 6 turns) that is 12.79. The best policy shows bait in the last turn only, which is worth .08 of
it; always showing it gives 2.76, about what random slates give. The best slates for one colour, shown whatever the
user says, give 3.8: an agent that is deaf cannot pass a third of the optimum.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Floats, Ints, take
from instructrec.catalogue import Catalogue, Column
from instructrec.goals import Goals, Operator, Predicate, compile_goals
from instructrec.names import written
from instructrec.noise import Noise, Purpose
from instructrec.rewards import EngagementReward
from instructrec.sessions import Instructions, Observation, Reactions, Sessions, World
from instructrec.splits import Splits, split_group
from instructrec.texts import Texts

COLOURS = ("red", "green", "blue", "yellow", "white", "black", "purple", "orange")
PHRASINGS = (
    "{} please",
    "I want {}",
    "show me {} things",
    "something {}",
    "anything {}?",
    "could it be {}",
    "{}, if you have it",
    "in the mood for {}",
    "only {} will do",
    "make it {}",
)


@dataclass(frozen=True)
class TinyState:
    """Tiny's users: ``colour`` is the colour asked for, int8 [batch]."""

    colour: npt.NDArray[np.int8]


@dataclass(frozen=True, kw_only=True)
class TinyPopulation:
    """The users of the tiny world; the module says how they behave.

    Attributes:
        num_colours: How many colours there are, 2 to 8.
        per_colour: Plain items of each colour.
        match: Probability that a plain item of the right colour is clicked.
        lure: Probability that a bait of the right colour is clicked.
        stray: Probability that any other item is clicked.
        leave: Probability that a user who clicked no bait leaves after a turn.
        splits: Which phrasings are heard: of the ten, train has six, validation and test two each.

    Raises:
        ValueError: If a setting is out of range.
    """

    num_colours: int = 4
    per_colour: int = 4
    match: float = 0.8
    lure: float = 0.9
    stray: float = 0.05
    leave: float = 0.05
    splits: Splits = field(default_factory=Splits)

    def __post_init__(self) -> None:
        if not 2 <= self.num_colours <= len(COLOURS):
            raise ValueError(f"num_colours must be from 2 to {len(COLOURS)}, got {self.num_colours}")
        if self.per_colour < 1:
            raise ValueError(f"per_colour must be at least 1, got {self.per_colour}")
        for name in ("match", "lure", "stray", "leave"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a probability, from 0 to 1; got {getattr(self, name)}")
        if self.stray > min(self.match, self.lure):
            raise ValueError(f"stray must not exceed match ({self.match}) or lure ({self.lure}), got {self.stray}")

    @cached_property
    def catalogue(self) -> Catalogue:
        """The items: colour by colour the plain ones, then its bait. Baits are the more popular."""
        colours = [colour for colour in COLOURS[: self.num_colours] for _ in range(self.per_colour + 1)]
        baits = [place == self.per_colour for _ in range(self.num_colours) for place in range(self.per_colour + 1)]
        numbers = [place + 1 for _ in range(self.num_colours) for place in range(self.per_colour + 1)]
        titles = tuple(
            f"Shiny {colour} thing" if bait else f"{colour.capitalize()} thing {number}"
            for colour, bait, number in zip(colours, baits, numbers, strict=True)
        )
        finishes = ["shiny" if bait else "plain" for bait in baits]
        return Catalogue(
            columns={
                "colour": Column.categorical("colour", colours, COLOURS[: self.num_colours]),
                "finish": Column.categorical("finish", finishes, ("plain", "shiny")),
            },
            titles=titles,
            texts=tuple(f"a {finish} {colour} thing" for colour, finish in zip(colours, finishes, strict=True)),
            item_ids=tuple(f"{colour}-{number}" for colour, number in zip(colours, numbers, strict=True)),
            popularity=np.where(baits, 2.0, 1.0).astype(np.float32),
        )

    @cached_property
    def texts(self) -> Texts:
        """Every phrasing of every colour, held out or not, so that ids are the same in every split."""
        return Texts([phrasing.format(colour) for colour in COLOURS[: self.num_colours] for phrasing in PHRASINGS])

    @property
    def fingerprint(self) -> str:
        """A hash of every setting."""
        parts = f"('tiny 0', {written(self)}, {COLOURS!r}, {PHRASINGS!r})"
        return hashlib.sha256(parts.encode()).hexdigest()[:16]

    def arrive(self, sessions: Sessions, noise: Noise) -> tuple[TinyState, Instructions]:
        """Returns users who each name a colour."""
        return self._say(noise)

    def react(self, state: TinyState, slates: Ints, noise: Noise) -> tuple[TinyState, Reactions]:
        """Returns who clicked what, who left, and the colour each names next."""
        likely = self._click_probability[state.colour[:, None], slates]
        clicked = noise.uniform(Purpose.CLICK, slates.shape[1]) < likely
        lured = (clicked & self._bait[slates]).any(axis=1)
        left = lured | (noise.uniform(Purpose.LEAVING)[:, 0] < self.leave)
        after, instructions = self._say(Noise(noise.keys, noise.turn + 1))
        satisfaction = np.where(lured, 0.0, clicked.mean(axis=1)).astype(np.float32)
        return after, Reactions(clicked, clicked.copy(), instructions, left, satisfaction=satisfaction)

    def past(self, state: TinyState) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Returns nothing: these users have no past, shape [batch, 0]."""
        shape = (len(state.colour), 0)
        return np.zeros(shape, np.int32), np.zeros(shape, np.float32)

    def expected_utility(self, state: TinyState) -> Floats:
        """Returns the probability that each item is clicked, [batch, num_items]: highest for the bait."""
        return self._click_probability[state.colour]

    def _say(self, noise: Noise) -> tuple[TinyState, Instructions]:
        colour = (noise.uniform(Purpose.GOAL)[:, 0] * self.num_colours).astype(np.int8)
        heard = self._heard[(noise.uniform(Purpose.PHRASING)[:, 0] * len(self._heard)).astype(np.int64)]
        # Id 0 is the empty text.
        texts = 1 + colour * np.int64(len(PHRASINGS)) + heard
        return TinyState(colour), Instructions(texts, take(self._goals, colour))

    @cached_property
    def _heard(self) -> npt.NDArray[np.int64]:
        split = split_group("templates", PHRASINGS)
        heard = [place for place, phrasing in enumerate(PHRASINGS) if self.splits.has("templates", split[phrasing])]
        return np.array(heard, np.int64)

    @cached_property
    def _goals(self) -> Goals:
        colours = COLOURS[: self.num_colours]
        wishes = [(Predicate(field="colour", operator=Operator.INCLUDE, values=(colour,)),) for colour in colours]
        return compile_goals(wishes, self.catalogue)

    @cached_property
    def _bait(self) -> npt.NDArray[np.bool_]:
        place = np.arange(self.catalogue.num_items) % (self.per_colour + 1)
        return np.asarray(place == self.per_colour)

    @cached_property
    def _click_probability(self) -> npt.NDArray[np.float64]:
        """For each colour asked for, how likely each item is clicked, [num_colours, num_items]."""
        right = np.arange(self.catalogue.num_items) // (self.per_colour + 1) == np.arange(self.num_colours)[:, None]
        return np.where(right, np.where(self._bait, self.lure, self.match), self.stray)


def tiny_world(
    *,
    split: str = "train",
    splits: Splits | None = None,
    slate_size: int = 3,
    turn_limit: int = 6,
    num_colours: int = 4,
    per_colour: int = 4,
    match: float = 0.8,
    lure: float = 0.9,
    stray: float = 0.05,
    leave: float = 0.05,
) -> World:
    """Builds the tiny world; see `TinyPopulation` for what is not named here.

    Args:
        split: "train", "validation" or "test": whose phrasings.
        splits: Finer than ``split``: from which split each axis is drawn; only templates matter here.
        slate_size: Things per slate.
        turn_limit: Slates per session at most.
        num_colours: How many colours there are.
        per_colour: Plain things of each colour.
        match: Probability that a plain thing of the right colour is clicked.
        lure: Probability that a bait of the right colour is clicked.
        stray: Probability that any other thing is clicked.
        leave: Probability that a user who clicked no bait leaves after a turn.

    Raises:
        ValueError: If a setting is out of range, or a slate is longer than there are plain items of a colour.
    """
    if slate_size > per_colour:
        raise ValueError(
            f"slate_size {slate_size} needs as many plain items of each colour, but per_colour is {per_colour}: "
            "the optimal value holds only where a slate can be filled with the right colour"
        )
    population = TinyPopulation(
        num_colours=num_colours,
        per_colour=per_colour,
        match=match,
        lure=lure,
        stray=stray,
        leave=leave,
        splits=splits if splits is not None else Splits.of(split),
    )
    return World(
        name="instructrec/Tiny-v0",
        catalogue=population.catalogue,
        population=population,
        reward=EngagementReward(),
        slate_size=slate_size,
        turn_limit=turn_limit,
    )


def _users_of(world: World) -> TinyPopulation:
    if not isinstance(world.population, TinyPopulation):
        raise TypeError(
            f"only the tiny world's value is known exactly, and {world.name!r} is another; use tiny_world()"
        )
    return world.population


def _turn(world: World, baits: int) -> tuple[float, float]:
    """Returns what a turn with 0 or 1 baits is worth, and how likely the session goes on."""
    users = _users_of(world)
    worth = baits * users.lure + (world.slate_size - baits) * users.match
    return worth, (1 - users.leave) * (1 - baits * users.lure)


def _values(world: World, discount: float, choices: tuple[int, ...]) -> list[tuple[float, int]]:
    """Returns the value and the best number of baits with 0, 1, … ``turn_limit`` turns to go."""
    values = [(0.0, 0)]
    for _ in range(world.turn_limit):
        turns = {baits: _turn(world, baits) for baits in choices}
        values.append(max((worth + discount * stay * values[-1][0], -baits) for baits, (worth, stay) in turns.items()))
    return [(value, -negated) for value, negated in values]


def optimal_value(world: World, discount: float = 1.0) -> float:
    """Returns the expected return of the best policy.

    Args:
        world: A tiny world.
        discount: What a click in the next turn is worth beside one now.
    """
    return _values(world, discount, (0, 1))[-1][0]


def myopic_value(world: World, discount: float = 1.0) -> float:
    """Returns the expected return of the policy that shows the likeliest clicks, bait included, every turn."""
    return _values(world, discount, (1 if _users_of(world).lure > _users_of(world).match else 0,))[-1][0]


@dataclass(frozen=True)
class TinyOptimum:
    """The best policy of a tiny world. It reads the words and the turn, nothing hidden."""

    world: World

    def act(self, observation: Observation, noise: Noise) -> Ints:
        """Returns plain items of the colour asked for; in turns where it pays, its bait in front."""
        users = _users_of(self.world)
        colour = (observation.instruction - 1) // len(PHRASINGS)
        plan = _values(self.world, 1.0, (0, 1))
        left = np.maximum(self.world.turn_limit - observation.turn, 1)
        baits = np.array([baits for _, baits in plan])[left]
        places = np.arange(self.world.slate_size) - baits[:, None]
        return colour[:, None] * (users.per_colour + 1) + np.where(places < 0, users.per_colour, places)

    def log_prob(self, observation: Observation, slates: Ints) -> Floats:
        """Returns 0 where the slate shows what this policy shows, and minus infinity elsewhere."""
        return np.where(self.act(observation, Noise(np.empty(0, np.uint64), observation.turn)) == slates, 0.0, -np.inf)


def optimal_policy(world: World) -> TinyOptimum:
    """Returns the policy that reaches `optimal_value`."""
    _users_of(world)
    return TinyOptimum(world)
