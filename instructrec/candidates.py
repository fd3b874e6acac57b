"""Which items may be ranked each turn: sources that need no language model.

The whole catalogue is no source at all: ``World(candidates=None)``. A source draws from ``noise`` for the purpose
`CANDIDATES` only, so the same session is offered the same items whoever ranks them.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from instructrec.catalogue import Catalogue
from instructrec.noise import Noise, Purpose
from instructrec.policies import best_first
from instructrec.sessions import Observation


@dataclass(frozen=True)
class RandomCandidates:
    """Every turn ``size`` items drawn anew, every set of them equally likely.

    Attributes:
        catalogue: The items.
        size: How many, from 1 to all of them.

    Raises:
        ValueError: If ``size`` is out of range.
    """

    catalogue: Catalogue = field(repr=False)
    size: int

    def __post_init__(self) -> None:
        if not 1 <= self.size <= self.catalogue.num_items:
            raise ValueError(
                f"size must be from 1 to the number of items ({self.catalogue.num_items}), got {self.size}"
            )

    def draw(self, observation: Observation, noise: Noise) -> npt.NDArray[np.int32]:
        """Returns distinct item numbers, int32 [batch, size]."""
        return distinct(noise, self.catalogue.num_items, self.size)


@dataclass(frozen=True)
class PopularAndRandom:
    """The most popular items, always, and others drawn anew every turn.

    Attributes:
        catalogue: The items.
        popular: How many of the most popular; ties go to the lower item number.
        random: How many of the others.

    Raises:
        ValueError: If there are not that many items, or both numbers are 0.
    """

    catalogue: Catalogue = field(repr=False)
    popular: int
    random: int

    def __post_init__(self) -> None:
        size = self.popular + self.random
        if self.popular < 0 or self.random < 0 or not 1 <= size <= self.catalogue.num_items:
            raise ValueError(
                f"popular + random must be from 1 to the number of items ({self.catalogue.num_items}), "
                f"neither below 0; got {self.popular} + {self.random}"
            )

    def draw(self, observation: Observation, noise: Noise) -> npt.NDArray[np.int32]:
        """Returns distinct item numbers, the popular ones first, int32 [batch, popular + random]."""
        always = np.broadcast_to(self._order[: self.popular], (observation.batch, self.popular))
        if not self.random:
            return always.copy()
        others = self._order[self.popular :]
        return np.concatenate([always, others[distinct(noise, len(others), self.random)]], axis=1)

    @cached_property
    def _order(self) -> npt.NDArray[np.int32]:
        return np.argsort(-self.catalogue.popularity, kind="stable").astype(np.int32)


@dataclass(frozen=True)
class TheseItems:
    """The same items every turn: of a catalogue a part that may be recommended.

    Attributes:
        items: Their numbers, distinct, int32 [num_candidates].

    Raises:
        ValueError: If there is none, or one is named twice.
    """

    items: npt.NDArray[np.int32] = field(repr=False)

    def __post_init__(self) -> None:
        if not len(self.items) or len(np.unique(self.items)) != len(self.items):
            raise ValueError(f"expected one item or more, each once; got {len(self.items)} items")

    def __repr__(self) -> str:
        # A world's fingerprint holds it.
        digest = hashlib.sha256(np.ascontiguousarray(self.items, np.int32).tobytes()).hexdigest()[:16]
        return f"TheseItems({len(self.items)} items, {digest})"

    def draw(self, observation: Observation, noise: Noise) -> npt.NDArray[np.int32]:
        """Returns the items for every session, one row in memory, int32 [batch, num_candidates]; no luck is used."""
        return np.broadcast_to(self.items, (observation.batch, len(self.items)))


def distinct(noise: Noise, count: int, size: int) -> npt.NDArray[np.int32]:
    """Draws ``size`` distinct numbers below ``count`` per session, uniformly, int32 [batch, size]."""
    if 2 * size > count:
        return best_first(noise.uniform(Purpose.CANDIDATES, count), size).astype(np.int32)
    # The first `size` different ones of a long row of draws. So many draws are enough but for one row in a billion;
    # a longer row begins with the same draws, so going on cannot change what another row, or a larger batch, gets.
    expected = count * math.log(count / (count - size))
    tries = math.ceil(expected + 6 * math.sqrt(expected) + 6)
    while True:
        drawn = (noise.uniform(Purpose.CANDIDATES, tries) * count).astype(np.int32)
        new = _first_seen(drawn, count)
        new &= np.cumsum(new, axis=1) <= size
        if new.sum() == size * len(drawn):
            return drawn[new].reshape(len(drawn), size)
        tries *= 2


def _first_seen(drawn: npt.NDArray[np.int32], count: int) -> npt.NDArray[np.bool_]:
    """Returns which draws are the first of their value in their row, for values below ``count``."""
    cell = drawn + (np.arange(len(drawn), dtype=np.int64) * count)[:, None]
    index = np.broadcast_to(np.arange(drawn.shape[1], dtype=np.int32), drawn.shape)
    first = np.empty(len(drawn) * count, np.int32)
    # Backwards: of several writes to a cell the last one stays, which is then the first draw.
    first[cell[:, ::-1]] = index[:, ::-1]
    return np.asarray(first[cell] == index)
