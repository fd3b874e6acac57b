"""Gymnasium spaces of slates and of what people say, and the repair of slates that repeat items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.error import CustomSpaceError
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space, Text
from gymnasium.vector.utils import batch_space, create_shared_memory

from instructrec.arrays import Bools, Ints
from instructrec.policies import best_first
from instructrec.sessions import Sessions, World, observe, start

# Printable ASCII: what a sampled text is made of when nothing is known about the language.
_PRINTABLE = frozenset(map(chr, range(32, 127)))


class SlateSpace(MultiDiscrete[np.int64]):
    """Slates: ``slate_size`` *distinct* items out of ``num_items``, best first.

    To Gymnasium and Stable-Baselines3 it is the `MultiDiscrete` that has the same shape, but `sample` draws without
    repeats and `contains` refuses them, as the environments do.

    Args:
        num_items: How many items there are.
        slate_size: Items per slate, at most ``num_items``.
        batch: Slates per action, for vector environments; None for a single slate.
        seed: Seed or generator of `sample`.

    Raises:
        ValueError: If there are fewer items than a slate holds.
    """

    def __init__(
        self,
        num_items: int,
        slate_size: int,
        *,
        batch: int | None = None,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        if not 1 <= slate_size <= num_items:
            raise ValueError(f"slate_size must be from 1 to the number of items ({num_items}), got {slate_size}")
        if batch is not None and batch < 1:
            raise ValueError(f"batch must be at least 1 (or None for a single slate), got {batch}")
        shape = (slate_size,) if batch is None else (batch, slate_size)
        super().__init__(np.full(shape, num_items, np.int64), seed=seed)
        self.num_items = num_items
        self.slate_size = slate_size
        self.batch = batch

    def sample(self, mask: Any = None, probability: Any = None) -> npt.NDArray[np.int64]:
        """Draws slates, every ordered choice of distinct items with the same probability.

        Args:
            mask: Which items may be shown: 0/1 or booleans, [num_items], or [batch, num_items] for a batched space.
            probability: Not supported.

        Raises:
            ValueError: If the mask has another shape, or leaves fewer items than a slate holds; or if ``probability``
                is given.
        """
        if probability is not None:
            raise ValueError(
                "SlateSpace samples uniformly and takes no `probability`; "
                "to draw slates from weights use instructrec.policies.plackett_luce"
            )
        rows = 1 if self.batch is None else self.batch
        if mask is not None:
            slates = self._from_keys(np.where(self._allowed(mask), self.np_random.random((rows, self.num_items)), -1.0))
        elif self.slate_size * self.slate_size > 2 * self.num_items:
            # Redrawing slates with a repeat would take long; order random keys instead.
            slates = self._from_keys(self.np_random.random((rows, self.num_items)))
        else:
            slates = self.np_random.integers(self.num_items, size=(rows, self.slate_size))
            again = np.flatnonzero(repeats(slates).any(axis=1))
            while len(again):
                slates[again] = self.np_random.integers(self.num_items, size=(len(again), self.slate_size))
                again = again[repeats(slates[again]).any(axis=1)]
        return slates[0] if self.batch is None else slates

    def _from_keys(self, keys: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        return best_first(keys, self.slate_size).astype(np.int64)

    def _allowed(self, mask: Any) -> Bools:
        if isinstance(mask, tuple):
            raise ValueError(
                "a slate's positions share one set of items: give one mask over the items, shape "
                f"({self.num_items},), not a tuple with a mask per position"
            )
        allowed = np.asarray(mask)
        fits = (self.num_items,), (self.batch, self.num_items)
        if allowed.shape not in fits or not np.isin(allowed, (0, 1)).all():
            raise ValueError(
                f"expected a mask of 0 and 1 over the {self.num_items} items, got shape {allowed.shape} "
                f"with values from {allowed.min(initial=0)} to {allowed.max(initial=0)}"
            )
        if (allowed.sum(axis=-1) < self.slate_size).any():
            raise ValueError(
                f"the mask allows {int(allowed.sum(axis=-1).min())} items; a slate holds {self.slate_size} of them"
            )
        return allowed.astype(np.bool_)

    def contains(self, x: Any) -> bool:
        """Returns whether ``x`` holds slates: integers of the right shape, in range, distinct within a slate."""
        array = np.asarray(x) if isinstance(x, Sequence) else x
        if not isinstance(array, np.ndarray) or array.shape != self.shape or array.dtype.kind not in "iu":
            return False
        if (array < 0).any() or (array >= self.num_items).any():
            return False
        return not bool(repeats(np.atleast_2d(array)).any())

    def __repr__(self) -> str:
        batch = "" if self.batch is None else f", batch={self.batch}"
        return f"SlateSpace(num_items={self.num_items}, slate_size={self.slate_size}{batch})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SlateSpace) and (self.num_items, self.slate_size, self.batch) == (
            other.num_items,
            other.slate_size,
            other.batch,
        )

    # A space is a mutable thing with a random generator, as all of Gymnasium's are.
    __hash__ = None  # type: ignore[assignment]


@batch_space.register(SlateSpace)
def _batch_slate_space(space: SlateSpace, n: int = 1) -> SlateSpace:
    if space.batch is not None:
        raise ValueError(f"cannot batch a space of slates that is already batched: {space}")
    return SlateSpace(space.num_items, space.slate_size, batch=n, seed=deepcopy(space.np_random))


class SpokenText(Text):
    """Whatever a person may say: any string of at most ``max_length`` characters, the empty one included.

    Gymnasium's `Text` refuses characters outside its character set; people use any of Unicode. Here the set only says
    what `sample` is made of, and what can be flattened into numbers.

    Args:
        max_length: The most characters a text may have.
        texts: Texts of the language spoken; their characters join printable ASCII in the character set.
        seed: Seed or generator of `sample`.
    """

    def __init__(
        self, max_length: int = 4096, *, texts: Iterable[str] = (), seed: int | np.random.Generator | None = None
    ) -> None:
        super().__init__(max_length, min_length=0, charset=_PRINTABLE.union(*map(set, texts)), seed=seed)

    def contains(self, x: Any) -> bool:
        """Returns whether ``x`` is a string that is not too long."""
        return isinstance(x, str) and len(x) <= self.max_length

    def character_index(self, char: str) -> np.int32:
        """Returns the place of ``char`` in the character set, as flattening needs it.

        Raises:
            ValueError: If it is not in the set.
        """
        if char not in self.character_set:
            raise ValueError(
                f"{char!r} is not in the character set, so this text cannot be flattened into numbers; "
                "use make_vec(..., vectorization_mode='vector_entry_point'), or AsyncVectorEnv(shared_memory=False)"
            )
        return super().character_index(char)

    def __repr__(self) -> str:
        return f"SpokenText(max_length={self.max_length})"


@create_shared_memory.register(SpokenText)
def _no_shared_text(space: SpokenText, n: int = 1, ctx: Any = None) -> Any:
    # Gymnasium reads shared texts once, when the workers start, and shows that for ever: better no environment than
    # one whose users seem to say nothing.
    raise CustomSpaceError(
        "texts cannot be shared between processes; use vectorization_mode='vector_entry_point', "
        "or AsyncVectorEnv(shared_memory=False)"
    )


def observation_space(world: World, *, spoken: bool) -> Dict:
    """Returns the space of what an agent sees of one session.

    Args:
        world: The world it happens in. One session is begun, to see how long a past is.
        spoken: Whether texts are strings (`RecEnv`) or text ids (`RecVectorEnv`).
    """
    seen = observe(world, start(world, Sessions.first(0, 1)))
    turns, size, last = world.turn_limit, world.slate_size, world.catalogue.num_items - 1
    anything = float(np.finfo(np.float32).max)
    parts: dict[str, Space[Any]] = {
        "past": Box(-1, last, (seen.past.shape[1],), np.int32),
        "past_ratings": Box(-anything, anything, (seen.past.shape[1],), np.float32),
        "slates": Box(-1, last, (turns, size), np.int32),
        "clicked": MultiBinary((turns, size)),
        "turn": Discrete(turns + 1),
    }
    if spoken:
        longest = max(map(len, seen.texts.bank))
        parts["instruction"] = SpokenText(max(4096, longest), texts=seen.texts.bank)
        parts["said"] = SpokenText(max(4096, longest) * turns + turns, texts=[*seen.texts.bank, "\n"])
    else:
        # Ids of free texts reach up to 2^63; Box adds 1 to its bound when it samples.
        parts["instruction"] = Discrete(2**63 - 1)
        parts["said"] = Box(-1, 2**63 - 2, (turns,), np.int64)
    if seen.candidates is not None:
        parts["candidates"] = Box(0, last, (seen.candidates.shape[1],), np.int32)
    return Dict(parts)


def repeats(slates: Ints) -> Bools:
    """Returns which positions repeat an item from higher up in their slate, [batch, slate_size]."""
    order = np.argsort(slates, axis=1, kind="stable")
    ordered = np.take_along_axis(slates, order, axis=1)
    repeated = np.zeros(slates.shape, np.bool_)
    np.put_along_axis(repeated, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    return repeated


def fill_repeats(slates: Ints, substitutes: Ints) -> Ints:
    """Replaces every later repeat of an item by the first substitute that its slate does not hold yet.

    Args:
        slates: Item numbers, [batch, slate_size], repeats allowed.
        substitutes: Distinct item numbers, the preferred one first, [batch, num_substitutes] or [num_substitutes] for
            everyone; 2 × slate_size - 1 of them always suffice, or as many as there are candidates.

    Returns:
        [batch, slate_size]: distinct items; slates without a repeat are unchanged.

    Raises:
        ValueError: If there are not enough substitutes.
    """
    repeated = repeats(slates)
    rows = np.flatnonzero(repeated.any(axis=1))
    if not len(rows):
        return slates
    offered = (
        substitutes[rows] if substitutes.ndim == 2 else np.broadcast_to(substitutes, (len(rows), len(substitutes)))
    )
    taken = (offered[:, :, None] == slates[rows][:, None, :]).any(axis=2)
    holes = repeated[rows]
    missing = holes.sum(axis=1) > (~taken).sum(axis=1)
    if missing.any():
        row = rows[int(np.flatnonzero(missing)[0])]
        raise ValueError(f"slate {row} repeats items, and there are not enough other candidates to fill it")
    free = np.take_along_axis(offered, np.argsort(taken, axis=1, kind="stable"), axis=1)
    filled = np.array(slates)
    rank = np.cumsum(holes, axis=1) - 1
    row_of, place = np.nonzero(holes)
    filled[rows[row_of], place] = free[row_of, rank[row_of, place]]
    return filled
