"""What "newer than the second one" asks for: a bound at the number of the item that stood there.

A text alone tells which number is compared, which way, and with which place of the slate before it; what is asked for
hangs on the item that was shown there. So a comparison is read from the words and, once the slate is known, turned into
wishes as any other bound: the step of the number next to the shown item's, which the items asked for have passed or
have not reached. Steps are coarse: of items within the same step as the shown one none is taken for different.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Floats, Ints

PLACES = 10
"""Places of a slate, from the first, that words can name; the last can be named besides."""
LAST = -1
_HEARD = 0.05
"""What is less likely to compare is left out."""


@dataclass(frozen=True)
class Comparison:
    """What a text compares.

    Attributes:
        column: The name of the number.
        up: Whether it is to be larger than the shown item's rather than smaller.
        place: Where the item stood, from 0 to `PLACES` - 1, or `LAST`.
    """

    column: str
    up: bool
    place: int


def comparison_width(num_numbers: int) -> int:
    """Returns how many chances `Comparisons.wishes` takes of a text: each number up, each down, and each place."""
    return 2 * num_numbers + PLACES + 1


def chosen(comparison: Comparison | None, numbers: tuple[str, ...]) -> npt.NDArray[np.float32]:
    """Returns a comparison as two choices of one, first of what is compared, then of where; the first is nothing.

    Args:
        comparison: What a text compares, if anything.
        numbers: Names of the numbers.

    Returns:
        Zeros and two ones, float32 [2 + comparison_width].
    """
    found = np.zeros(2 + comparison_width(len(numbers)), np.float32)
    ways = 1 + 2 * len(numbers)
    way = place = 0
    if comparison is not None:
        way = 1 + numbers.index(comparison.column) + (0 if comparison.up else len(numbers))
        place = 1 + (PLACES if comparison.place == LAST else comparison.place)
    found[way] = found[ways + place] = 1
    return found


@dataclass(frozen=True)
class Comparisons:
    """Turns comparisons into wishes for items.

    Attributes:
        passed: How many steps of each number each item has passed, int64 [num_items, num_numbers].
        steps: Where the steps of each number begin and end among wishes, int64 [num_numbers, 2].
        size: What a wish for each attribute weighs, float32 [num_wishes].
    """

    passed: npt.NDArray[np.int64]
    steps: npt.NDArray[np.int64]
    size: npt.NDArray[np.float32]

    @classmethod
    def of(cls, table: Floats, steps: Ints, size: npt.NDArray[np.float32]) -> Comparisons:
        """Returns those of a table of items.

        Args:
            table: Above 0 where an item has an attribute, [num_items, width]; the attributes' columns are the first.
            steps: As above.
            size: As above.
        """
        passed = [(table[:, start:stop] > 0).sum(axis=1) for start, stop in steps.tolist()]
        kept = np.stack(passed, axis=1) if passed else np.zeros((len(table), 0))
        return cls(kept.astype(np.int64), steps.astype(np.int64), size)

    def wishes(self, chances: npt.NDArray[np.float32], slates: Ints) -> npt.NDArray[np.float32]:
        """Returns what texts ask for by comparing, float32 [num_texts, num_wishes].

        Args:
            chances: That each number is to be larger, that it is to be smaller, and of each place, [num_texts,
                comparison_width].
            slates: What was shown before each text, -1 where nothing was, [num_texts, slate_size].
        """
        found = np.zeros((len(chances), len(self.size)), np.float32)
        numbers = len(self.steps)
        rows = np.flatnonzero((chances[:, : 2 * numbers].max(axis=1, initial=0) > _HEARD) & (slates >= 0).any(axis=1))
        ways, places, shown = chances[rows, : 2 * numbers], chances[rows, 2 * numbers :], slates[rows]
        at = np.full((len(rows), PLACES + 1), -1)
        named = min(PLACES, shown.shape[1])
        at[:, :named] = shown[:, :named]
        at[:, PLACES] = shown[np.arange(len(rows)), (shown >= 0).sum(axis=1) - 1]
        reached = self.passed[np.maximum(at, 0)]  # [num_rows, PLACES + 1, num_numbers]
        (begin, end), row = self.steps.T, rows[:, None, None]
        for sign, of, step in ((1, ways[:, :numbers], begin + reached), (-1, ways[:, numbers:], begin + reached - 1)):
            there = (at >= 0)[:, :, None] & (step >= begin) & (step < end)
            sure = np.where(there, sign * of[:, None, :] * places[:, :, None], 0)
            np.add.at(found, (row, np.where(there, step, 0)), sure)
        return found * self.size
