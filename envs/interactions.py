"""What people bring, in one form: who rated or clicked what, and a typed table of the items.

Every reader (`instructrec.envs.read_data`) ends in an `Interactions`; the catalogue and the tastes of a world are made
from it (`instructrec.envs.infer_catalogue`, `instructrec.envs.fit_tastes`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from instructrec.envs.movielens import Ratings

CLICKED, PASSED_OVER, AGAIN, MOST_STARS = 4.5, 2.5, 0.25, 5.0
"""Clicks as stars: one click, none though shown, every further click, and at most. One star either side of 3.5, so that
half clicked and half passed over vary as much as people's stars do (MovieLens: a standard deviation of 1.04)."""

MISSING = frozenset({"", "nan", "none", "null", "n/a", "unknown", "(no genres listed)", "-", "—", "?"})
"""What stands for a missing value in tables, in small letters; a title may well be one of these."""


class Feedback(StrEnum):
    """What the number of an interaction means."""

    RATINGS = "ratings"
    """How much the person liked the item, on the record's scale."""
    CLICKS = "clicks"
    """How often the person clicked, bought or played it; 0 where it was shown and passed over."""


class AttributeKind(StrEnum):
    """What sort of cells a column of the data holds; the names are RecBole's, beside text."""

    TOKEN = "token"
    """One value, such as a brand."""
    TOKEN_SEQ = "token_seq"
    """Any number of values, such as genres."""
    FLOAT = "float"
    """A number."""
    TEXT = "text"
    """Words to read, such as a description."""


@dataclass(frozen=True)
class Attribute:
    """One column of an item or person table, as it stands in the data.

    Build one with `token`, `token_seq`, `floats` or `text`.

    Attributes:
        name: The column's name in the data.
        kind: What its cells hold.
        values: Per row its values, in one line each, () where missing and at most one for tokens and texts; empty for
            numbers.
        numbers: float64, one per row, NaN where missing; empty for other kinds.
    """

    name: str
    kind: AttributeKind
    values: tuple[tuple[str, ...], ...] = field(repr=False)
    numbers: npt.NDArray[np.float64] = field(repr=False)

    def __len__(self) -> int:
        return len(self.numbers) if self.kind is AttributeKind.FLOAT else len(self.values)

    @classmethod
    def token(cls, name: str, cells: Sequence[str]) -> Attribute:
        """Builds a column of one value a row, "" where missing."""
        return cls(name, AttributeKind.TOKEN, tuple(_values([cell]) for cell in cells), np.empty(0))

    @classmethod
    def text(cls, name: str, cells: Sequence[str]) -> Attribute:
        """Builds a column of words to read, "" where missing."""
        return cls(name, AttributeKind.TEXT, tuple(_values([cell]) for cell in cells), np.empty(0))

    @classmethod
    def token_seq(cls, name: str, cells: Sequence[Sequence[str]]) -> Attribute:
        """Builds a column of any number of values a row; a value counts once."""
        return cls(name, AttributeKind.TOKEN_SEQ, tuple(_values(cell) for cell in cells), np.empty(0))

    @classmethod
    def floats(cls, name: str, numbers: Sequence[float] | npt.NDArray[np.float64]) -> Attribute:
        """Builds a column of numbers, NaN where missing."""
        return cls(name, AttributeKind.FLOAT, (), np.asarray(numbers, np.float64))

    def take(self, rows: npt.NDArray[np.int64]) -> Attribute:
        """Returns some of its rows, -1 standing for a row that has no value."""
        if self.kind is AttributeKind.FLOAT:
            known = np.where(rows >= 0, self.numbers[rows] if len(self.numbers) else np.nan, np.nan)
            return Attribute(self.name, self.kind, (), known)
        return Attribute(self.name, self.kind, tuple(self.values[row] if row >= 0 else () for row in rows), np.empty(0))

    def cells(self) -> tuple[str, ...]:
        """Returns each row's values as one string, "" where missing; numbers as briefly as they can be written."""
        if self.kind is AttributeKind.FLOAT:
            return tuple("" if np.isnan(number) else f"{number:.10g}" for number in self.numbers)
        return tuple(" ".join(values) for values in self.values)


@dataclass(frozen=True)
class Exposures:
    """What was shown where, with which probability, and whether it was clicked: logged bandit data, by time.

    Attributes:
        person: Person numbers, int32 [num_exposures].
        item: Item numbers, int32 [num_exposures].
        position: The position shown at, from 1, int32 [num_exposures].
        click: Whether it was clicked, bool [num_exposures].
        propensity: The probability with which the logging policy showed it there, above 0, float64 [num_exposures].
        timestamp: Seconds since 1970, int64 [num_exposures].
    """

    person: npt.NDArray[np.int32]
    item: npt.NDArray[np.int32]
    position: npt.NDArray[np.int32]
    click: npt.NDArray[np.bool_]
    propensity: npt.NDArray[np.float64]
    timestamp: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Places:
    """Where the rows of a table stand, for messages.

    Attributes:
        source: The table's file.
        lines: The line of each row, counted from 1.
        unit: What ``lines`` count: "line", or "row" where a file has no lines.
    """

    source: str
    lines: Sequence[int]
    unit: str = "line"


@dataclass(frozen=True)
class Interactions:
    """Who rated or clicked what, and what is known of the items and people.

    Attributes:
        source: Where it was read from.
        format: The format it was read in, one of `instructrec.envs.read_data.FORMATS`.
        ratings: One entry per person and item, sorted by person, then time, then item; where the data have no times
            the order of the file stands for time, and timestamps are 0. What ``rating`` means is said by ``feedback``.
        feedback: Whether the numbers are ratings or counts of clicks.
        scale: The lowest and the highest rating there can be; for clicks the fewest and most that occur.
        item_ids: The items' ids outside this project, one per item number.
        items: What is known of the items, by column name; every column has one row per item.
        persons: What is known of the people, likewise.
        exposures: Every single time something was shown, where the data say so.
        notes: What was left out or changed in reading, a sentence each.
        item_places: Where the first items stand, those of the item table, where its lines are known.
    """

    source: str
    format: str
    ratings: Ratings
    feedback: Feedback
    scale: tuple[float, float]
    item_ids: tuple[str, ...] = field(repr=False)
    items: Mapping[str, Attribute]
    persons: Mapping[str, Attribute] = field(default_factory=dict)
    exposures: Exposures | None = None
    notes: tuple[str, ...] = ()
    item_places: Places | None = field(default=None, repr=False)

    def item_at(self, item: int) -> str:
        """Returns where an item stands, for messages: its file and line, or its id where they are not known."""
        places = self.item_places
        if places is None or item >= len(places.lines):
            return f"item {self.item_ids[item]}"
        return f"{places.source}, {places.unit} {places.lines[item]}"

    @property
    def num_items(self) -> int:
        """How many items there are."""
        return len(self.item_ids)

    @property
    def num_persons(self) -> int:
        """How many people there are."""
        return self.ratings.num_persons

    @property
    def has_times(self) -> bool:
        """Whether the data say when."""
        return bool(self.ratings.timestamp.any())

    @property
    def knows_passed_over(self) -> bool:
        """Whether clicks come with what was shown and not clicked."""
        return self.feedback is Feedback.CLICKS and bool((self.ratings.rating == 0).any())

    def stars(self) -> npt.NDArray[np.float32]:
        """Returns every entry of ``ratings`` as stars from 0.5 to 5, float32 [num_ratings].

        Ratings on a scale within 0 to 5 that reaches above 4 are stars already; other scales are stretched evenly from
        1 to 5. A click is 4.5 stars and every further one of the same person and item a quarter more, up to 5; what was
        shown and passed over is 2.5.
        """
        rating = self.ratings.rating.astype(np.float64)
        low, high = self.scale
        if self.feedback is Feedback.CLICKS:
            stars = np.where(rating > 0, np.minimum(CLICKED + AGAIN * (rating - 1), MOST_STARS), PASSED_OVER)
        elif low >= 0 and 4 < high <= 5:
            stars = np.maximum(rating, 0.5)
        else:
            stars = 1 + 4 * (rating - low) / max(high - low, 1e-9)
        return stars.astype(np.float32)

    def summary(self) -> str:
        """Returns a few lines for people to read: sizes, the kind of feedback, the columns and the notes."""
        count = len(self.ratings.item)
        if self.feedback is Feedback.RATINGS:
            what = f"{count:,} ratings from {self.scale[0]:g} to {self.scale[1]:g}"
        elif self.knows_passed_over:
            what = f"{count:,} pairs of person and item, {int((self.ratings.rating > 0).sum()):,} of them clicked"
        else:
            what = f"{count:,} clicked pairs of person and item"
        lines = [
            f"{self.source} ({self.format}): {self.num_persons:,} people, {self.num_items:,} items, {what}, "
            f"{'with' if self.has_times else 'without'} times",
            f"items: {_named(self.items)}",
            f"people: {_named(self.persons)}",
        ]
        if self.exposures is not None:
            lines.append(f"shown {len(self.exposures.item):,} times, clicked {int(self.exposures.click.sum()):,} times")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def _values(cell: Sequence[str]) -> tuple[str, ...]:
    """Returns the distinct values of a cell, blanks and line ends made single blanks."""
    return tuple(dict.fromkeys(value for each in cell if (value := " ".join(each.split()))))


def _named(table: Mapping[str, Attribute]) -> str:
    return ", ".join(f"{column.name} ({column.kind})" for column in table.values()) or "nothing known"
