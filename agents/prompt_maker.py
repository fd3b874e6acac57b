"""What prompts in every language have in common: what they are about, and how the items of it are found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from instructrec.agents.comparisons import Comparison
from instructrec.agents.similar_words import Names
from instructrec.arrays import Bools, Floats
from instructrec.catalogue import Catalogue, Column

_Option = TypeVar("_Option")


@dataclass(frozen=True)
class Prompt:
    """A text, and what it means.

    Attributes:
        text: What is said.
        parts: The items that each thing it asks for is about, [num_items] each; none where it asks for nothing.
        follows: Whether it goes on from what was said before, rather than saying all that is wanted.
        comparison: With which shown item it compares what is wanted, and how; None where it does not.
    """

    text: str
    parts: tuple[Bools, ...]
    follows: bool = False
    comparison: Comparison | None = None


class PromptMaker:
    """Puts prompts together; `prompt` and `_styled` are a language's own.

    Args:
        catalogue: The items.
        names: Other words for the values of its set columns.
        rng: Of the wordings.
    """

    def __init__(self, catalogue: Catalogue, names: Names, rng: np.random.Generator) -> None:
        self._rng, self._names = rng, names
        self._sets = [column for column in catalogue.columns.values() if column.is_set and len(column.values)]
        self._numbers = [
            column for column in catalogue.columns.values() if not column.is_set and not np.isnan(column.numbers).all()
        ]
        self._dates = {column.name for column in self._numbers if is_years(column)}
        self._outermost: dict[tuple[str, float, bool], Bools] = {}
        self._labels, self._units = catalogue.labels, catalogue.units
        self._called = catalogue.nouns
        self._known: dict[bytes, Bools] = {}
        self._has = {column.name: column.indicators() > 0 for column in self._sets}

    @property
    def has_something_to_name(self) -> bool:
        """Whether the catalogue has any attribute to ask for."""
        return bool(self._sets or self._numbers)

    def _pick(self, options: Sequence[_Option]) -> _Option:
        return options[int(self._rng.integers(len(options)))]

    def _chance(self, share: float) -> bool:
        return bool(self._rng.random() < share)

    def prompt(self) -> Prompt:
        """Returns a prompt."""
        raise NotImplementedError

    def _styled(self, text: str) -> str:
        """Tidies a text, and writes it as carelessly as people do."""
        raise NotImplementedError

    def _said(self, text: str, parts: Sequence[Bools], follows: bool, comparison: Comparison | None = None) -> Prompt:
        """Returns a prompt; equal sets of items are one array, for there are many prompts and fewer sets."""
        kept = tuple(self._known.setdefault(np.packbits(items).tobytes(), items) for items in parts)
        return Prompt(self._styled(text), kept, follows, comparison)

    def _year(self, years: Floats) -> int:
        """Returns a year, half the time spread evenly over time and half as the items are."""
        known = years[~np.isnan(years)]
        if self._chance(0.5):
            first = int(np.partition(known, len(known) // 200)[len(known) // 200])
            return int(self._rng.integers(first, int(known.max()) + 1))
        return int(known[int(self._rng.integers(len(known)))])

    def _outer(self, column: Column, share: float, *, above: bool) -> Bools:
        """Returns which items are among the share with the highest numbers of a column, or the lowest."""
        key = (column.name, share, above)
        if key not in self._outermost:
            numbers = column.numbers.astype(np.float64)
            bound = float(np.nanquantile(numbers, 1 - share if above else share))
            self._outermost[key] = numbers >= bound if above else numbers <= bound
        return self._outermost[key]


def is_years(column: Column) -> bool:
    """Whether a column's numbers look like years."""
    numbers = column.numbers[~np.isnan(column.numbers)].astype(np.float64)
    return bool(np.array_equal(numbers, numbers.round()) and np.quantile(numbers, 0.01) > 1000 and numbers.max() < 2200)
