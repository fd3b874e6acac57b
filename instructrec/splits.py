"""What is held out, declared before anything is sampled.

Five axes are split 60 / 20 / 20 into train, validation and test, each entry by a stable hash of its own name, so that
nothing drawn later, and no other entry, can move it. A world says for every axis which splits it draws from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum

from instructrec.names import unknown_name

AXES = ("users", "templates", "synonyms", "combinations", "items")
_VALIDATION_FROM, _TEST_FROM = 0.6, 0.8
_FEWEST_TO_SPLIT = 3


class Split(StrEnum):
    """The part of an axis that an entry belongs to."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


EVERY_SPLIT = (Split.TRAIN, Split.VALIDATION, Split.TEST)


def _place(axis: str, key: str) -> float:
    """Returns where ``key`` falls in [0, 1): a stable hash, the same on every machine and in every process."""
    if axis not in AXES:
        raise ValueError(unknown_name("split axis", axis, AXES))
    digest = hashlib.blake2b(f"{axis}\0{key}".encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64


def split_of(axis: str, key: str) -> Split:
    """Returns the split of one entry of an axis, by hash: 60 % train, 20 % validation, 20 % test.

    Args:
        axis: One of `AXES`.
        key: The entry's own name: a user id, an item id, a combination's canonical form.

    Raises:
        ValueError: If the axis is unknown.
    """
    place = _place(axis, key)
    if place < _VALIDATION_FROM:
        return Split.TRAIN
    return Split.VALIDATION if place < _TEST_FROM else Split.TEST


def split_group(axis: str, names: Sequence[str], *, for_training: int = 0) -> dict[str, Split]:
    """Splits a short list of alternatives, such as the synonyms of one word, so that no split goes without.

    A group of three or more gives validation and test at least one name each and train the rest, 20 % each where the
    group is large enough; which ones is decided by hash. A smaller group cannot be split: train has all of it.

    Args:
        axis: One of `AXES`.
        names: Distinct names.
        for_training: How many names, the first, are train's whatever their hash: the words without which nothing is
            learned. Too many are cut down to what leaves the other splits one each.

    Raises:
        ValueError: If a name repeats or the axis is unknown.
    """
    if len(set(names)) != len(names):
        repeated = next(name for name in names if list(names).count(name) > 1)
        raise ValueError(f"{repeated!r} stands twice in one group of {axis}; alternatives must be distinct")
    held_out = max(1, round(len(names) / 5)) if len(names) >= _FEWEST_TO_SPLIT else 0
    kept = set(names[: min(for_training, len(names) - 2 * held_out)])
    ranked = sorted(names, key=lambda name: (name not in kept, _place(axis, name), name))
    train = ranked[: len(ranked) - 2 * held_out]
    validation = set(ranked[len(train) : len(train) + held_out])
    return {
        name: Split.TRAIN if name in train else Split.VALIDATION if name in validation else Split.TEST for name in names
    }


def _splits(axis: str, given: Split | str | Iterable[Split | str]) -> tuple[Split, ...]:
    asked = [given] if isinstance(given, str) else list(given)
    known = [str(split) for split in Split]
    for name in asked:
        if str(name) not in known:
            raise ValueError(f"{axis}: " + unknown_name("split", str(name), known))
    if not asked:
        raise ValueError(f"{axis} names no split; give one or more of {', '.join(known)}")
    # One order whatever order was given: equal settings must give equal fingerprints.
    return tuple(split for split in Split if split in {Split(name) for name in asked})


@dataclass(frozen=True, kw_only=True)
class Splits:
    """From which splits each axis of a world is drawn; every field takes one split or several, in any mix.

    Attributes:
        users: Whose tastes and pasts.
        templates: Which sentence shapes and frames.
        synonyms: Which words for a meaning. Held-out worlds keep the training words unless told otherwise, so that a
            test of new people, sentences and combinations is not also a test of a vocabulary never heard.
        combinations: Which sets of predicates. A single predicate is in every split: it takes one to learn a word.
        items: Which items can be recommended.

    Raises:
        ValueError: If a split is unknown or an axis names none.
    """

    users: tuple[Split, ...] = (Split.TRAIN,)
    templates: tuple[Split, ...] = (Split.TRAIN,)
    synonyms: tuple[Split, ...] = (Split.TRAIN,)
    combinations: tuple[Split, ...] = (Split.TRAIN,)
    items: tuple[Split, ...] = EVERY_SPLIT

    def __post_init__(self) -> None:
        for axis in fields(self):
            object.__setattr__(self, axis.name, _splits(axis.name, getattr(self, axis.name)))

    @classmethod
    def of(cls, split: Split | str) -> Splits:
        """Returns a split's standard: its own people, templates and combinations, train's synonyms, all items."""
        own = _splits("split", split)
        return cls(users=own, templates=own, combinations=own)

    def has(self, axis: str, split: Split) -> bool:
        """Returns whether ``axis`` draws from ``split``."""
        if axis not in AXES:
            raise ValueError(unknown_name("split axis", axis, AXES))
        return split in getattr(self, axis)
