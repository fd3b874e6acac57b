"""Checks that anyone can run on a plug-in of their own, and an encoder to test with.

Every check plays with the plug-in as the rest of the project does. It returns silently, or raises `BrokenPromiseError`
and names what is broken and the likely cause. ``check_world`` runs all that concern a world.

What they do not show: that the behaviour is plausible, or that a population does not put what is hidden into a text.
"""

from __future__ import annotations

import hashlib
import inspect
import itertools
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from instructrec._testing import (
    AGAIN,
    TOLERANCE,
    BrokenPromiseError,
    asked_for_two,
    check_fingerprint,
    check_matrix,
    check_past,
    check_reactions,
    check_record,
    check_repr,
    check_rowwise,
    check_said,
    check_slates,
    check_utility,
    kind,
    loaded,
    luck_of,
    moments,
    near,
    random_slates,
    repeated,
    require,
    same,
    untouched,
)
from instructrec.arrays import Ints, take
from instructrec.catalogue import Catalogue
from instructrec.goals import RELATIVE, Operator, compile_goals
from instructrec.noise import Noise
from instructrec.protocols import (
    CandidateSource,
    Instruction,
    InstructionEncoder,
    KnowsUtility,
    Policy,
    Population,
    Ranker,
    Reaction,
    Reward,
    Slate,
    User,
)
from instructrec.sessions import (
    Instructions,
    Observation,
    Reactions,
    Sessions,
    World,
    observe,
)

__all__ = [
    "BrokenPromiseError",
    "HashingEncoder",
    "check_candidate_source",
    "check_encoder",
    "check_policy",
    "check_population",
    "check_ranker",
    "check_reward",
    "check_user",
    "check_world",
]

_ANY_NUMBER = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
# How many ordered slates may be enumerated to see whether their probabilities sum to one.
_ENUMERABLE = 20_000


@dataclass(frozen=True)
class HashingEncoder:
    """Bags of hashed words as unit vectors: an `InstructionEncoder` that needs no model, for tests and examples.

    Attributes:
        width: The length of the vectors.
    """

    width: int = 64

    @property
    def fingerprint(self) -> str:
        """The width is all there is to know."""
        return f"hashing-{self.width}"

    def encode(self, texts: list[str]) -> npt.NDArray[np.float32]:
        """Returns one unit vector per text (zeros where there is no word), [num_texts, width]."""
        vectors = np.zeros((len(texts), self.width), np.float32)
        for row, text in enumerate(texts):
            for word in re.findall(r"\w+", text.lower()):
                code = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big")
                vectors[row, code % self.width] += 1 if code >> 63 else -1
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: npt.NDArray[np.float32] = vectors / np.maximum(lengths, np.float32(1e-9))
        return unit


def check_world(world: World, *, batch: int = 8, seed: int = 0) -> None:
    """Checks a world: its population, reward and candidates, and that what agents see is blind to what is hidden.

    Raises:
        BrokenPromiseError: If any of them does not keep its promises.
    """
    check_population(
        world.population, world.catalogue, slate_size=world.slate_size, turns=world.turn_limit, batch=batch, seed=seed
    )
    check_reward(world.reward, slate_size=world.slate_size)
    if world.candidates is not None:
        check_candidate_source(world.candidates, world, batch=batch, seed=seed)
    for state, observation, _ in moments(world, batch, seed):
        # Everybody gets the hidden part of somebody else; what agents see of this moment must stay the same.
        others = np.roll(np.arange(batch), 1)
        goals = None if state.instructions.goals is None else take(state.instructions.goals, others)
        said = Instructions(state.instructions.texts, goals)
        swapped = replace(state, population=take(state.population, others), instructions=said)
        same("what agents see depends on what is hidden from them", observation, observe(world, swapped))


def check_population(
    population: Population | Callable[..., Population],
    catalogue: Catalogue,
    *,
    slate_size: int = 3,
    turns: int = 5,
    batch: int = 8,
    seed: int = 0,
    ends_within: int | None = None,
) -> None:
    """Checks a population; given its class or a function that makes one, also that a second one behaves the same.

    It must be a pure function of session, state, slates and noise: the same again, alone as in a batch, in any order,
    after saving and loading. It must leave its arguments alone, return well-formed reactions, and bear being stepped on
    after a user left, as paired evaluation does.

    Args:
        population: The population, or what makes one: it is handed what it asks for by parameter name of
            ``catalogue``, ``slate_size``, ``turn_limit`` and ``split``, as worlds do.
        catalogue: The items.
        slate_size: Items per slate.
        turns: Slates shown.
        batch: How many users.
        seed: Of users and slates.
        ends_within: Slates of luck within which everybody must have left; None where people may stay for as long as
            the world lets them.

    Raises:
        BrokenPromiseError: If it does not keep its promises.
    """
    offer = {"catalogue": catalogue, "slate_size": slate_size, "turn_limit": max(turns, 1), "split": "train"}
    first, second = (_made(population, offer) for _ in range(2)) if callable(population) else (population, population)
    check_fingerprint(first.fingerprint, second.fingerprint)
    sessions = Sessions.first(seed, batch)

    def arrive(users: Population, rows: Ints) -> dict[str, Any]:
        who = take(sessions, rows)
        luck = Noise(who.keys, np.zeros(len(rows), np.int32))
        state, said = asked_for_two(users, "arrive", "a state and Instructions", who, luck, batch=len(rows))
        return {"state": state, "instructions": said}

    everyone = np.arange(batch)
    came = arrive(first, everyone)
    state = came["state"]
    check_record(state, batch, "the state that arrive returned")
    check_said(came["instructions"], first, catalogue, batch, "arrive")
    same(AGAIN.format("arrive"), came, arrive(second, everyone))
    check_rowwise("arrive", came, lambda rows: arrive(second, rows), batch)
    check_past(first, state, catalogue, batch)
    for turn, slates in enumerate(random_slates(catalogue, slate_size, batch, turns, seed)):

        def react(users: Population, now: Any, rows: Ints, shown: Ints = slates, turn: int = turn) -> dict[str, Any]:
            luck = Noise(sessions.keys[rows], np.full(len(rows), turn, np.int32))
            given = (now, shown[rows], luck)
            after, reactions = asked_for_two(users, "react", "a state and Reactions", *given, batch=len(rows))
            return {"state": after, "reactions": reactions}

        did = react(first, state, everyone)
        check_record(did["state"], batch, "the state that react returned")
        check_reactions(did["reactions"], slate_size, batch)
        check_said(did["reactions"].instructions, first, catalogue, batch, "react")
        same(AGAIN.format("react"), did, react(second, state, everyone))
        same("a state does not survive saving and loading", did, react(second, loaded(state), everyone))
        check_rowwise("react", did, partial(_react_alone, react, second, state), batch)
        if isinstance(first, KnowsUtility):
            check_utility(first, state, catalogue, batch)
        state = did["state"]
    if ends_within is not None:
        _check_ends(first, catalogue, slate_size, batch, seed, ends_within)


def _made(maker: Callable[..., Population], offer: Mapping[str, Any]) -> Population:
    """Returns what a class or function makes, handed what it asks for by name."""
    asked = inspect.signature(maker).parameters
    missing = [n for n, p in asked.items() if p.default is p.empty and n not in offer and p.kind not in _ANY_NUMBER]
    require(not missing, f"making a population needs {', '.join(missing)}; give a function that fills them in")
    return maker(**{name: offer[name] for name in asked if name in offer})


def _check_ends(
    users: Population, catalogue: Catalogue, slate_size: int, batch: int, seed: int, ends_within: int
) -> None:
    """Requires that everybody leaves."""
    sessions = Sessions.first(seed, batch)
    state, _ = users.arrive(sessions, Noise(sessions.keys, np.zeros(batch, np.int32)))
    left = np.zeros(batch, np.bool_)
    for turn, slates in enumerate(random_slates(catalogue, slate_size, batch, ends_within, seed)):
        state, reactions = users.react(state, slates, Noise(sessions.keys, np.full(batch, turn, np.int32)))
        left |= reactions.left
    require(
        bool(left.all()),
        f"{np.count_nonzero(~left)} of {batch} users did not leave within {ends_within} slates; set `left` in react, "
        "or give a larger ends_within (None where they may stay for as long as the world lets them)",
    )


def _react_alone(react: Callable[..., dict[str, Any]], users: Population, state: Any, rows: Ints) -> dict[str, Any]:
    return react(users, take(state, rows), rows)


def check_user(
    make_user: Callable[[], User],
    catalogue: Catalogue,
    *,
    slate_size: int = 3,
    turns: int = 10,
    sessions: int = 20,
    seed: int = 0,
    ends_within: int | None = None,
) -> None:
    """Checks users written one at a time.

    The same luck and slates must lead to the same words and deeds, in an object of its own and beside other objects of
    its class; what it says and does must be well formed.

    Args:
        make_user: The class, or a function that makes a new user.
        catalogue: The items.
        slate_size: Items per slate.
        turns: Slates shown.
        sessions: How many users are made.
        seed: Of luck and slates.
        ends_within: Slates of luck within which everybody must have left, at least ``turns``; None where people may
            stay for as long as the world lets them.

    Raises:
        BrokenPromiseError: If it does not.
    """
    require(
        callable(make_user),
        f"check_user takes a class, or a function that makes a new User, got a {type(make_user).__name__}",
    )
    name = type(make_user()).__name__
    turns = turns if ends_within is None else max(turns, ends_within)
    lives = []
    for session in range(sessions):
        one, again = (_Life(make_user(), catalogue, slate_size, seed, session) for _ in range(2))
        alone = [one.live(turn) for turn in range(turns + 1)]
        # Whoever draws from NumPy's global generator draws something else now.
        np.random.seed(session)  # noqa: NPY002
        repeated = [again.live(turn) for turn in range(turns + 1)]
        for turn, (did, did_again) in enumerate(zip(alone, repeated, strict=True)):
            require(
                did == did_again,
                f"{name} did {did} and, given the same luck and slates, {did_again} (turn {turn}); "
                "all its luck must come from the rng it is handed",
            )
        lives.append(alone)
    crowd = [_Life(make_user(), catalogue, slate_size, seed, session) for session in range(sessions)]
    for turn in range(turns + 1):
        for session, life in enumerate(crowd):
            did = life.live(turn)
            require(
                did == lives[session][turn],
                f"{name} did {lives[session][turn]} alone but {did} beside other users (turn {turn}); "
                "objects of the class must not share anything that changes",
            )
    staying = sum(not life.over for life in crowd)
    require(
        ends_within is None or not staying,
        f"{staying} of {sessions} users of {name} did not leave within {turns} slates; return Reaction(left=True) from "
        "react some time, or give a larger ends_within",
    )


class _Life:
    """One user living through one session, turn by turn."""

    def __init__(self, user: User, catalogue: Catalogue, slate_size: int, seed: int, session: int) -> None:
        self._user, self._catalogue, self._size = user, catalogue, slate_size
        self._key = (seed, session)
        self.over = False

    def live(self, turn: int) -> Any:
        """Returns what the user says or does in a turn, 0 being the arrival; None after it left."""
        name, rng = type(self._user).__name__, np.random.default_rng((*self._key, turn, 0))
        if turn == 0:
            said = self._did("arrive", rng)
            require(
                isinstance(said, Instruction), f"{name}.arrive must return an Instruction, got {type(said).__name__}"
            )
            self._check_goal(said, name, critiques=False)
            return said
        if self.over:
            return None
        drawn = np.random.default_rng((*self._key, turn, 1)).permutation(self._catalogue.num_items)[: self._size]
        items = drawn.astype(np.int32)
        titles = tuple(self._catalogue.titles[item] for item in items)
        reaction = self._did("react", Slate(items=items.copy(), titles=titles, turn=turn - 1), rng)
        require(isinstance(reaction, Reaction), f"{name}.react must return a Reaction, got {type(reaction).__name__}")
        highest = max(reaction.clicked, default=0)
        require(
            highest < self._size,
            f"{name} clicked position {highest}; a slate of {self._size} has positions 0 to {self._size - 1}",
        )
        if reaction.next is not None:
            self._check_goal(reaction.next, name, critiques=True)
        self.over = bool(reaction.left)
        return reaction

    def _did(self, method: str, *given: Any) -> Any:
        name = f"{type(self._user).__name__}.{method}"
        try:
            return getattr(self._user, method)(*given)
        except (Exception, SystemExit) as error:
            asked = "(rng)" if method == "arrive" else "(slate, rng)"
            raise BrokenPromiseError(
                f"{name}, called as {method}{asked}, raised {type(error).__name__}: {error}"
            ) from error

    def _check_goal(self, said: Instruction, name: str, *, critiques: bool) -> None:
        plain = []
        for predicate in said.goal or ():
            if predicate.operator not in RELATIVE:
                plain.append(predicate)
                continue
            require(critiques, f"{name} criticises a slate in {said.text!r} before it saw one")
            require(
                predicate.position <= self._size,
                f"{name} criticises position {predicate.position} in {said.text!r}; the slate holds {self._size} items",
            )
            require(
                predicate.operator in (Operator.LIKE, Operator.UNLIKE)
                or not self._catalogue.column(predicate.field).is_set,
                f"{name} compares {predicate.field!r} in {said.text!r}, which has no order",
            )
        try:
            compile_goals([plain], self._catalogue)
        except ValueError as error:
            raise BrokenPromiseError(
                f"the goal {name} gives with {said.text!r} does not fit the catalogue: {error}"
            ) from error


def check_ranker(ranker: Ranker, world: World, *, batch: int = 8, seed: int = 0) -> None:
    """Checks a ranker on observations of ``world``: shape, no NaN, the same again, alone as in a batch (to 1e-5).

    Raises:
        BrokenPromiseError: If it does not keep its promises.
    """
    for _, observation, _ in moments(world, batch, seed):
        count = world.catalogue.num_items if observation.candidates is None else observation.candidates.shape[1]
        scores = untouched("scores", ranker.scores, observation)
        check_matrix("scores", scores, (batch, count), "[batch, num_candidates]")
        near(AGAIN.format("scores"), scores, ranker.scores(observation))
        alone = np.concatenate([ranker.scores(observation.rows(slice(row, row + 1))) for row in range(batch)])
        near("scores of one user depend on the others in the batch", scores, alone)


def check_policy(policy: Policy, world: World, *, batch: int = 8, draws: int = 2_000, seed: int = 0) -> None:
    """Checks a policy on observations of ``world``.

    Slates must be distinct candidates and follow from observation and noise alone; log-probabilities must be those of a
    distribution (where few enough slates are possible, they are enumerated), must not depend on lower positions, and
    must be those with which `act` draws.

    Raises:
        BrokenPromiseError: If it does not keep its promises.
    """
    size = world.slate_size
    for _, observation, noise in moments(world, batch, seed):
        slates = np.asarray(untouched("act", policy.act, observation, noise))
        check_slates(slates, observation, world, batch)
        same(AGAIN.format("act"), slates, np.asarray(policy.act(observation, noise)))
        log_prob = untouched("log_prob", policy.log_prob, observation, slates)
        check_matrix("log_prob", log_prob, (batch, size), "[batch, slate_size]")
        require(
            bool((log_prob <= TOLERANCE).all() and np.isfinite(log_prob).all()),
            "the slate that act drew has a probability of 0 or above 1 by log_prob",
        )
        for row in range(batch):
            one, rows = observation.rows(slice(row, row + 1)), slice(row, row + 1)
            alone = np.asarray(policy.act(one, luck_of(noise, row)))
            same("act of one user depends on the others in the batch (or scores tie)", slates[rows], alone)
            near("log_prob of one user depends on the others", log_prob[rows], policy.log_prob(one, slates[rows]))
        _check_distribution(policy, observation.rows(slice(0, 1)), world, draws, seed)


def _check_distribution(policy: Policy, one: Observation, world: World, draws: int, seed: int) -> None:
    size = world.slate_size
    items = np.arange(world.catalogue.num_items) if one.candidates is None else one.candidates[0]
    # Every item in first place, completed by any others: the first position alone must sum to one.
    rotated = np.stack([np.roll(items, -shift)[:size] for shift in range(len(items))])
    first = np.exp(policy.log_prob(repeated(one, len(items)), rotated)[:, 0].astype(np.float64))
    require(abs(first.sum() - 1) < 1e-3, f"the probabilities of the first position sum to {first.sum():.4f}, not to 1")
    turned = rotated.copy()
    turned[:, 1:] = turned[:, 1:][:, ::-1]
    other = np.exp(policy.log_prob(repeated(one, len(items)), turned)[:, 0].astype(np.float64))
    near("log_prob of the first position depends on the positions below it", first, other)
    if math.perm(len(items), size) <= _ENUMERABLE:
        slates = np.array(list(itertools.permutations(items.tolist(), size)))
        total = np.exp(policy.log_prob(repeated(one, len(slates)), slates).astype(np.float64).sum(axis=1)).sum()
        require(abs(total - 1) < 1e-3, f"the probabilities of all slates sum to {total:.4f}, not to 1")
    luck = Noise(Sessions.first(seed + 1, draws).keys, np.zeros(draws, np.int32))
    drawn = np.asarray(policy.act(repeated(one, draws), luck))[:, 0]
    shares = (drawn[:, None] == rotated[:, 0]).mean(axis=0)
    # Six standard deviations, and a draw of tolerance.
    wrong = np.flatnonzero(abs(shares - first) > 6 * np.sqrt(first * (1 - first) / draws) + 1.5 / draws)
    if len(wrong):
        item = wrong[0]
        raise BrokenPromiseError(
            f"act does not draw what log_prob says: item {rotated[item, 0]} came first in {shares[item]:.3f} "
            f"of {draws} draws, its probability is {first[item]:.3f}"
        )


def check_encoder(encoder: InstructionEncoder) -> None:
    """Checks an encoder: shape, no NaN, the same again, alone as in a batch (to 1e-5), any text of any language.

    Raises:
        BrokenPromiseError: If it does not keep its promises.
    """
    texts = ["", "no horror please", "I want horror", "别放恐怖片", "naïve 🎬", "a " * 600, "no horror please"]
    check_fingerprint(encoder.fingerprint, encoder.fingerprint)
    vectors = encoder.encode(list(texts))
    width = vectors.shape[1] if getattr(vectors, "ndim", 0) == 2 else 0
    check_matrix("encode", vectors, (len(texts), width), "[num_texts, width]")
    require(vectors.dtype == np.float32, f"encode must return float32, got {vectors.dtype}")
    require(bool(np.isfinite(vectors).all()), "encode gave an infinite number")
    near(AGAIN.format("encode"), vectors, encoder.encode(list(texts)))
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    near("the vector of a text depends on the other texts of the call", vectors, alone)
    require(not np.allclose(vectors[1], vectors[2]), f"{texts[1]!r} and {texts[2]!r} have the same vector")
    require(encoder.encode([]).shape == (0, width), "encode of no texts must return no vectors, shape (0, width)")


def check_candidate_source(source: CandidateSource, world: World, *, batch: int = 8, seed: int = 0) -> None:
    """Checks a candidate source: always as many distinct items, enough for a slate, from observation and noise alone.

    Raises:
        BrokenPromiseError: If it does not keep its promises.
    """
    check_repr(source)
    counts = set()
    for _, observation, noise in moments(replace(world, candidates=None), batch, seed):
        drawn = untouched("draw", source.draw, observation, noise)
        require(
            isinstance(drawn, np.ndarray) and drawn.ndim == 2 and len(drawn) == batch and drawn.dtype == np.int32,
            f"draw must return int32 [batch, num_candidates] with {batch} rows, got {kind(drawn)}",
        )
        counts.add(drawn.shape[1])
        require(len(counts) == 1, f"the number of candidates must be the same every turn, got {sorted(counts)}")
        require(
            drawn.shape[1] >= world.slate_size,
            f"draw gave {drawn.shape[1]} candidates; a slate of {world.slate_size} needs as many",
        )
        require(
            bool((drawn >= 0).all() and (drawn < world.catalogue.num_items).all()),
            f"draw gave an item that does not exist; items are 0 to {world.catalogue.num_items - 1}",
        )
        require(all(len(set(row)) == len(row) for row in drawn.tolist()), "draw gave an item twice in one row")
        same(AGAIN.format("draw"), drawn, source.draw(observation, noise))
        for row in range(batch):
            one = source.draw(observation.rows(slice(row, row + 1)), luck_of(noise, row))
            same("the candidates of one user depend on the others in the batch", drawn[row : row + 1], one)


def check_reward(reward: Reward, *, slate_size: int = 3, batch: int = 64, seed: int = 0) -> None:
    """Checks a reward: one finite number per position, the same again, alone as in a batch, a ``repr`` that is stable.

    Raises:
        BrokenPromiseError: If it does not keep its promises.
    """
    check_repr(reward)
    rng = np.random.default_rng(seed)
    clicked = rng.random((batch, slate_size)) < 0.4
    reactions = Reactions(
        clicked=clicked,
        consumed=clicked & (rng.random((batch, slate_size)) < 0.5),
        instructions=Instructions(np.zeros(batch, np.int64)),
        left=rng.random(batch) < 0.2,
        examined=clicked | (rng.random((batch, slate_size)) < 0.5),
        satisfaction=rng.random(batch),
        trust=rng.random(batch),
        engagement=clicked * rng.exponential(2.0, clicked.shape),
        unsuitable=rng.random((batch, slate_size)) < 0.2,
        days_away=(rng.integers(0, 4, batch) * (rng.random(batch) < 0.3)).astype(np.float32),
    )
    points = untouched("the reward", reward, reactions)
    check_matrix("the reward", points, (batch, slate_size), "[batch, slate_size]")
    require(points.dtype == np.float32, f"the reward must be float32, got {points.dtype}")
    require(bool(np.isfinite(points).all()), "the reward gave an infinite number")
    same(AGAIN.format("the reward"), points, reward(reactions))
    for row in range(batch):
        one = reward(take(reactions, np.array([row])))
        same("the reward of one user depends on the others in the batch", points[row : row + 1], one)
