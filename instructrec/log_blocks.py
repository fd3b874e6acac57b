"""A log, a few thousand turns at a time, with what was seen before each: how all that reads whole logs goes over them.

However large the log, one shard is in memory, and the observations of one block. What a row gets (its session's number,
its fold, its luck) follows from the row alone, so results do not depend on how a log is sharded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Ints
from instructrec.log_files import DiskLog
from instructrec.noise import Noise, mix, session_keys
from instructrec.sessions import Observation, World
from instructrec.turns import Turns, observations_of

ROWS = 4096
"""How many turns a block holds, about; more where one session is longer."""

FOLDS = 5
"""Into how many parts people fall, so that no row is predicted by what was fitted to it."""

_APART = np.uint64(0xA0761D6478BD642F)


def folds_of_people(person: Ints, count: int = FOLDS) -> npt.NDArray[np.int64]:
    """Returns the fold of each row, 0 to count - 1, [n]: a hash of whose it is, so that it needs no other row."""
    return (mix(person.astype(np.uint64) + _APART) % np.uint64(count)).astype(np.int64)


@dataclass(frozen=True)
class Block:
    """Some whole sessions of a log.

    Attributes:
        turns: Their turns.
        observations: What was seen before each.
        session: Which session each turn is of, counted from 0 through the whole log, int64 [rows].
    """

    turns: Turns
    observations: Observation
    session: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.turns)

    @cached_property
    def fold(self) -> npt.NDArray[np.int64]:
        """The fold of each turn's person, int64 [rows]; see `folds_of_people`."""
        return folds_of_people(self.turns.person)

    @cached_property
    def noise(self) -> Noise:
        """Luck of its own for each turn, other than what the sessions were lived with."""
        keys = session_keys(self.turns.seed, self.turns.lane, self.turns.ordinal)
        return Noise(mix(keys ^ _APART), self.turns.turn)

    def rows(self, rows: slice) -> Block:
        """Returns some of the turns."""
        return Block(self.turns.rows(rows), self.observations.rows(rows), self.session[rows])


def blocks(log: DiskLog, world: World, *, rows: int = ROWS) -> Iterator[Block]:
    """Yields a log's sessions in their order, about ``rows`` turns at a time.

    Args:
        log: The log.
        world: The world that it was recorded in.
        rows: How many turns a block should hold.

    Raises:
        RunError: If it is of another world, or a shard is missing or damaged.
    """
    log.check_world(world)
    before = 0
    for turns in log.shards():
        first = np.append(np.flatnonzero(turns.begins), len(turns))
        place = 0
        while place < len(first) - 1:
            end = max(int(np.searchsorted(first, first[place] + rows, side="right")) - 1, place + 1)
            part = turns.rows(slice(int(first[place]), int(first[end])))
            yield Block(part, observations_of(part, world), before + part.session)
            before, place = before + end - place, end
