"""Turns of logged sessions as flat arrays: what a log's files hold, checked, and made observations again.

What an agent saw before a slate follows from the session's earlier turns and from who came, so it is not kept but
rebuilt, by the world that it happened in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Bools, Ints
from instructrec.logs import Log
from instructrec.sessions import Observation, Sessions, World, pasts_of


@dataclass(frozen=True)
class Turns:
    """Whole sessions, one after the other, each from its first turn to its last; every array has one row per turn.

    Attributes:
        seed: As in `Sessions`, int64 [num_turns].
        lane: The same.
        ordinal: The same.
        person: Whose session it is, int64 [num_turns]: what comes from one person is not independent.
        turn: How many slates were shown before, int32 [num_turns].
        instruction: Text ids of what was just said, int64 [num_turns].
        slates: What was shown, best first, int32 [num_turns, slate_size].
        log_probs: The log-probability of each position given the ones above it, float64 [num_turns, slate_size].
        item_rewards: What each position earned, float32 [num_turns, slate_size].
        rewards: What the turn earned, float32 [num_turns].
        clicked: What was clicked, [num_turns, slate_size].
        next_instruction: Text ids of what was said then, -1 where the user left, int64 [num_turns].
        terminated: The user left, [num_turns].
        truncated: The turn limit came first, [num_turns].
        texts: What was said, by text id.
        candidates: The items that might be ranked, int32 [num_turns, num_candidates]; None means all of them.
    """

    seed: npt.NDArray[np.int64]
    lane: npt.NDArray[np.int64]
    ordinal: npt.NDArray[np.int64]
    person: npt.NDArray[np.int64]
    turn: npt.NDArray[np.int32]
    instruction: npt.NDArray[np.int64]
    slates: npt.NDArray[np.int32]
    log_probs: npt.NDArray[np.float64]
    item_rewards: npt.NDArray[np.float32]
    rewards: npt.NDArray[np.float32]
    clicked: Bools
    next_instruction: npt.NDArray[np.int64]
    terminated: Bools
    truncated: Bools
    texts: Mapping[int, str]
    candidates: npt.NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self.turn)

    @property
    def begins(self) -> Bools:
        """Whether a session begins with the turn, [num_turns]."""
        changed = np.ones(len(self), np.bool_)
        changed[1:] = False
        for who in (self.seed, self.lane, self.ordinal):
            changed[1:] |= who[1:] != who[:-1]
        return changed

    @property
    def session(self) -> npt.NDArray[np.int64]:
        """Which of its sessions a turn is of, counted from 0, int64 [num_turns]."""
        return np.cumsum(self.begins, dtype=np.int64) - 1

    def arrays(self) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        """Yields its arrays by name."""
        for part in fields(self):
            value = getattr(self, part.name)
            if isinstance(value, np.ndarray):
                yield part.name, value

    def rows(self, rows: Ints | Bools | slice) -> Turns:
        """Returns some of the turns, with all texts."""
        chosen: dict[str, Any] = {name: array[rows] for name, array in self.arrays()}
        return Turns(**chosen, texts=self.texts)


def joined_turns(parts: Sequence[Turns]) -> Turns:
    """Returns the turns of several parts of one log, one after the other.

    Raises:
        ValueError: If there is no part.
    """
    if not parts:
        raise ValueError("expected at least one part of a log")
    if len(parts) == 1:
        return parts[0]
    whole: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name, _ in parts[0].arrays()
    }
    texts = {number: text for part in parts for number, text in part.texts.items()}
    return Turns(**whole, texts=texts)


# --- What a log promises -----------------------------------------------------------------------------------------

_Check = tuple[Any, Callable[[int], str]]
"""Which rows break a promise, [num_turns], and what is then said of one."""


def find_fault(turns: Turns, *, num_items: int, turn_limit: int) -> tuple[int, str] | None:
    """Returns the first row that breaks what a log promises, and a sentence about it; None for a sound log.

    Args:
        turns: The turns.
        num_items: Items in the catalogue.
        turn_limit: Turns per session at most.
    """
    for rows, say in _checks(turns, num_items, turn_limit):
        if rows.any():
            row = int(np.argmax(rows))
            return row, say(row)
    return None


def _checks(turns: Turns, num_items: int, turn_limit: int) -> Iterator[_Check]:
    """Yields the checks, those first that others rest on."""
    yield from _order(turns, turn_limit)
    yield from _shown(turns, num_items)
    log_probs = turns.log_probs

    def unlikely(row: int) -> str:
        position = int(np.argmax(~((log_probs[row] <= 0) & np.isfinite(log_probs[row]))))
        value = log_probs[row, position]
        what = "above 0, a probability above 1" if value > 0 else "the log of no probability above 0"
        return (
            f"the log-propensity in position {position + 1} is {value}, which is {what}; log the natural logarithm of "
            "the probability with which the item was shown, given those above it"
        )

    yield ~((log_probs <= 0) & np.isfinite(log_probs)).all(axis=1), unlikely
    earned = np.isfinite(turns.item_rewards).all(axis=1) & np.isfinite(turns.rewards)
    yield ~earned, lambda row: "a reward is not a finite number; log what each position earned, 0 where nothing"


def _order(turns: Turns, turn_limit: int) -> Iterator[_Check]:
    begins, turn = turns.begins, turns.turn
    ended = turns.terminated | turns.truncated

    def named(row: int) -> str:
        return f"turn {turn[row]} of session (seed {turns.seed[row]}, lane {turns.lane[row]}, {turns.ordinal[row]})"

    first = np.flatnonzero(begins)
    keys = np.stack([turns.seed[first], turns.lane[first], turns.ordinal[first]], axis=1)
    twice = np.zeros(len(turns), np.bool_)
    once = np.unique(keys, axis=0, return_index=True)[1]
    twice[np.delete(first, once)] = True
    follows = np.zeros(len(turns), np.bool_)
    follows[1:] = ~begins[1:] & (turn[1:] == turn[:-1])
    expected = np.zeros(len(turns), np.int64)
    expected[1:] = np.where(begins[1:], 0, turn[:-1] + 1)
    last = np.ones(len(turns), np.bool_)
    last[:-1] = begins[1:]
    yield follows, lambda row: f"{named(row)} stands here twice; leave one row of each turn"
    yield (
        twice,
        lambda row: (
            f"the session of {named(row)} stands in two places; keep its turns together, and number sessions apart"
        ),
    )
    yield (
        turn != expected,
        lambda row: (
            f"{named(row)} stands where turn {expected[row]} should; a session's turns are logged without gaps, from 0"
        ),
    )
    yield turn >= turn_limit, lambda row: f"{named(row)} is past the world's turn limit of {turn_limit}"
    yield (
        last & ~ended,
        lambda row: f"{named(row)} is the last one logged, but the session did not end with it; log whole sessions",
    )
    yield ended & ~last, lambda row: f"{named(row)} ended the session, but more turns follow"
    yield (
        turns.terminated & turns.truncated,
        lambda row: (
            f"{named(row)} is both terminated and truncated; it is truncated only where the user would have stayed"
        ),
    )
    yield (
        (turns.next_instruction < 0) != turns.terminated,
        lambda row: (
            f"{named(row)}: there is a next instruction exactly where the user stays, and terminated is "
            f"{bool(turns.terminated[row])}"
        ),
    )


def _shown(turns: Turns, num_items: int) -> Iterator[_Check]:
    slates, candidates = turns.slates, turns.candidates
    outside = (slates < 0) | (slates >= num_items)
    cure = f"the catalogue's items are numbered 0 to {num_items - 1}"
    yield outside.any(axis=1), lambda row: f"the slate shows item {slates[row][outside[row]][0]}; {cure}"
    ordered = np.sort(slates, axis=1)
    again = ordered[:, 1:] == ordered[:, :-1]
    yield (
        again.any(axis=1),
        lambda row: f"the slate shows item {ordered[row, 1:][again[row]][0]} twice; a slate holds distinct items",
    )
    if candidates is None:
        return
    wrong = (candidates < 0) | (candidates >= num_items)
    yield wrong.any(axis=1), lambda row: f"item {candidates[row][wrong[row]][0]} is a candidate; {cure}"
    absent = np.stack([~(candidates == column[:, None]).any(axis=1) for column in slates.T], axis=1)
    yield (
        absent.any(axis=1),
        lambda row: f"the slate shows item {slates[row][absent[row]][0]}, which is not among the turn's candidates",
    )


# --- Observations again ------------------------------------------------------------------------------------------


def observations_of(turns: Turns, world: World) -> Observation:
    """Returns what was observed before each turn, one row per turn.

    Args:
        turns: Whole sessions.
        world: The world that they happened in: it knows who came, and with which past.

    Raises:
        ValueError: If the world calls one of the texts otherwise: it is another world.
    """
    known = world.population.texts.ids(turns.texts.values())
    for number, own in zip(turns.texts, known.tolist(), strict=True):
        if number != own:
            raise ValueError(
                f"“{turns.texts[number]}” has the id {number} in the log and {own} in {world.name}; read the log with "
                "the world that it was recorded in"
            )
    first, session, turn = np.flatnonzero(turns.begins), turns.session, turns.turn
    past, ratings = pasts_of(world, Sessions(turns.seed[first], turns.lane[first], turns.ordinal[first]))
    shape = (len(first), world.turn_limit)
    said = np.full(shape, -1, np.int64)
    slates = np.full((*shape, world.slate_size), -1, np.int32)
    clicked = np.zeros((*shape, world.slate_size), np.bool_)
    said[session, turn], slates[session, turn], clicked[session, turn] = turns.instruction, turns.slates, turns.clicked
    before = np.arange(world.turn_limit) < turn[:, None]
    return Observation(
        instruction=turns.instruction,
        said=np.where(before, said[session], -1),
        past=past[session],
        past_ratings=ratings[session],
        slates=np.where(before[:, :, None], slates[session], np.int32(-1)),
        clicked=before[:, :, None] & clicked[session],
        turn=turn,
        candidates=turns.candidates,
        texts=world.population.texts,
    )


def as_log(turns: Turns, world: World) -> Log:
    """Returns turns as those who learn from logs take them; see `observations_of` for the arguments."""
    return Log(
        observations_of(turns, world),
        turns.slates,
        turns.log_probs,
        turns.clicked,
        turns.item_rewards,
        turns.session,
        turns.terminated | turns.truncated,
    )
