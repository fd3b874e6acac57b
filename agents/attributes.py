"""What can be asked of items: values that they have or lack, and steps of their numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, pairwise

import numpy as np

from instructrec.agents.prompt_maker import is_years
from instructrec.arrays import Bools, Floats
from instructrec.catalogue import Catalogue

# A rare genre's indicator has a tiny spread; dividing by it would let few items drown the rest.
_LEAST_SPREAD = 0.25
_ROUND, _YEARS = 24, 120
_MOST_SURE = 0.02
"""Attributes that fewer items have than this are found as if so many had them."""
_RIDGE = 1e-4


@dataclass(frozen=True)
class Attributes:
    """What items have, one column each.

    Attributes:
        table: 0 or 1 but for ranks, [num_items, num_attributes].
        values: Columns of the values of each set column of the catalogue.
        steps: Columns of the steps of each number, ascending; after them its rank, and whether it is missing. Where
            there are no numbers one column of zeros stands for them.
        names: What the values are called, [num_values].
        numbers: What the numbers are called, in the order of ``steps``.
    """

    table: Floats = field(repr=False)
    values: tuple[slice, ...]
    steps: tuple[slice, ...]
    names: tuple[str, ...]
    numbers: tuple[str, ...]

    @cached_property
    def spread(self) -> Floats:
        """By what `scaled` divides, [num_attributes]."""
        return _spread(self.table)

    @property
    def num_values(self) -> int:
        """How many values there are; their columns are the first."""
        return self.values[-1].stop if self.values else 0

    @property
    def scaled(self) -> Floats:
        """The table, centred and of comparable scale."""
        return scaled(self.table)

    def described(self, items: Bools) -> tuple[Floats, Floats]:
        """Returns how to tell items by one column of the catalogue.

        Their weights are 1 for a value that they all have, -1 for one that they lack; of a number, 1 at the step where
        they begin and -1 at the step where they end. What cannot be told so is told as well as weights can; all items,
        and none, need no telling.

        Args:
            items: Which items are meant, [num_items].

        Returns:
            Weights of what they have, [num_attributes], and 1 for each of several values of which they have any,
            [num_values].
        """
        weights: Floats = np.zeros(self.table.shape[1])
        either: Floats = np.zeros(self.num_values)
        if items.all() or not items.any():
            return weights, either
        signs = self.named(items)
        if signs.sum() > 1:
            return weights, signs
        weights[: self.num_values] = signs
        if signs.any():
            return weights, either
        for column in self.values:
            has = self.table[:, column] > 0
            common = has[items].all(axis=0)
            if common.any() and np.array_equal(has[:, common].all(axis=1), items):
                weights[column] = common
                return weights, either
        least, meant = np.inf, items.astype(np.float64)
        share = np.clip(meant.mean(), _MOST_SURE, 1 - _MOST_SURE)
        # Items that are meant weigh as much as all others.
        counts = np.where(items, 0.5 / share, 0.5 / (1 - share))
        for column in (*self.values, *self.steps):
            chosen, told = self._nearest(column, meant, counts)
            missed = float(counts @ (meant - told) ** 2)
            if missed < least:
                least, weights = missed, np.zeros(self.table.shape[1])
                weights[column] = chosen
        return weights, either

    def named(self, items: Bools) -> Floats:
        """Returns which values are named to say which items are meant, [num_values].

        1 where any of these will do, -1 where all of these are refused, whichever takes fewer names; 0 for the others,
        and where the items are told by no values of one column. Of columns that tell them the first is taken.

        Args:
            items: Which items are meant, [num_items].
        """
        signs: Floats = np.zeros(self.num_values)
        for column in self.values:
            has, fewest = self.table[:, column] > 0, column.stop - column.start + 1
            for sign, these in ((1, items), (-1, ~items)):
                inside = has.any(axis=0) & ~has[~these].any(axis=0)
                if 0 < inside.sum() < fewest and np.array_equal(has[:, inside].any(axis=1), these):
                    signs[column], fewest = sign * inside, inside.sum()
            if signs.any():
                break
        return signs

    def _nearest(self, column: slice, meant: Floats, counts: Floats) -> tuple[Floats, Floats]:
        """Returns weights by which attributes of one column tell items best, and what they tell of each."""
        has = self.table[:, column]
        if column in self.values:
            known = np.concatenate([has, np.ones((len(has), 1))], axis=1)
            squares = known.T @ (known * counts[:, None]) + _RIDGE * len(has) * np.eye(known.shape[1])
            solved: Floats = np.linalg.solve(squares, known.T @ (counts * meant))
            return solved[:-1], known @ solved
        passed, present = has.sum(axis=1).astype(np.int64), self.table[:, column.stop + 1] == 0
        number = np.bincount(passed, present, minlength=has.shape[1] + 1)
        share = np.bincount(passed, meant * present, minlength=len(number)) / np.maximum(number, 1)
        # Where no item lies nothing begins or ends.
        share = share[np.maximum.accumulate(np.where(number > 0, np.arange(len(number)), 0))]
        return np.diff(share), share[passed] * present


def scaled(columns: Floats) -> Floats:
    """Centres columns and divides each by its spread."""
    centred: Floats = (columns - columns.mean(axis=0)) / _spread(columns)
    return centred


def _spread(columns: Floats) -> Floats:
    spread: Floats = np.maximum(columns.std(axis=0), _LEAST_SPREAD)
    return spread


def attributes_of(catalogue: Catalogue, num_steps: int = 8) -> Attributes:
    """Returns what can be asked of a catalogue's items.

    Args:
        catalogue: The items.
        num_steps: Steps per number at its quantiles, beside those at round numbers.
    """
    sets = [column.indicators().astype(np.float64) for column in catalogue.columns.values() if column.is_set]
    # People name single years, of other numbers round ones.
    numbers = [
        steps(column.numbers, num_steps, _YEARS if is_years(column) else _ROUND)
        for column in catalogue.columns.values()
        if not column.is_set
    ]
    ends = list(accumulate((part.shape[1] for part in (*sets, *numbers)), initial=0))
    columns = [slice(start, stop) for start, stop in pairwise(ends)]
    nothing = np.zeros((catalogue.num_items, 1))
    return Attributes(
        np.concatenate([*sets, *(numbers or [nothing])], axis=1),
        tuple(columns[: len(sets)]),
        tuple(slice(column.start, column.stop - 2) for column in columns[len(sets) :]),
        tuple(value for column in catalogue.columns.values() if column.is_set for value in column.values),
        tuple(column.name for column in catalogue.columns.values() if not column.is_set),
    )


def steps(numbers: Floats, num_steps: int, num_round: int = _ROUND) -> Floats:
    """Returns step functions of an attribute, its rank, and whether it is missing, [num_items, width].

    "At least" and "at most" are single steps, "between" is two of them, and any preference is a sum of many. Steps
    stand at quantiles, so that each has its share of items, and at round numbers, where people put their bounds.

    Args:
        numbers: The attribute, NaN where missing, [num_items].
        num_steps: How many steps stand at quantiles at most; one less than there are distinct numbers, if those are
            fewer, and then no others.
        num_round: How many stand at round numbers at most.
    """
    missing = np.isnan(numbers)
    present = np.sort(numbers[~missing].astype(np.float64))
    if not len(present):
        return np.concatenate([np.zeros((len(numbers), 1)), np.ones((len(numbers), 1))], axis=1)
    values = np.unique(present)
    if len(values) - 1 > num_steps:
        shares = np.linspace(0, 1, num_steps + 2)[1:-1]
        cuts = np.concatenate([np.quantile(present, shares, method="higher"), _round_numbers(present, num_round)])
        values = np.unique(np.concatenate([values[:1], cuts[cuts > values[0]]]))
    filled = np.where(missing, np.median(present), numbers)
    ranks = np.searchsorted(present, filled, side="left") / len(present)
    return np.concatenate([filled[:, None] >= values[1:], ranks[:, None], missing[:, None]], axis=1).astype(np.float64)


def _round_numbers(present: Floats, most: int) -> Floats:
    """Returns multiples of 1, 2 or 5 times a power of ten: the finest of which at most so many span nearly all."""
    low, high = np.quantile(present, [0.005, 0.995])
    if high <= low:
        return np.empty(0)
    finest = 10.0 ** np.floor(np.log10((high - low) / most))
    size = next(unit * finest for unit in (1, 2, 5, 10) if (high - low) / (unit * finest) <= most)
    multiples: Floats = np.arange(np.ceil(low / size), np.floor(high / size) + 1) * size
    return multiples
