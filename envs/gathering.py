"""Collecting interactions block by block: numbering people and items, bounding memory, refusing what cannot be."""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from instructrec.envs.interactions import Attribute, Feedback, Interactions, Places
from instructrec.envs.movielens import Ratings
from instructrec.envs.reading_settings import by_columns, by_setting
from instructrec.envs.tables import Table

Repeats = Literal["refuse", "last", "sum"]
"""What becomes of a person and item that occur twice: an error, the latest one counts, or they are added up."""
Unknown = Literal["refuse", "drop", "keep"]
"""What becomes of items that the item table lacks: an error, they are left out, or they stay without attributes."""
MAX_RATINGS = 5_000_000
_CLICKS_ABOVE = 100
_FEW_VALUES, _APART, _RARE = 50, 1.5, 0.01


@dataclass(frozen=True)
class Rows:
    """A table about items or people: an id and attributes a row.

    Attributes:
        source: Its file's name for messages.
        ids: Distinct, one per row.
        attributes: The columns, each with one entry per row.
        lines: The line in the file that each row ends on, where it is known.
        unit: What ``lines`` count.
    """

    source: str
    ids: tuple[str, ...]
    attributes: Mapping[str, Attribute]
    lines: Sequence[int] = ()
    unit: str = "line"

    def matched(self, ids: Sequence[str]) -> dict[str, Attribute]:
        """Returns the columns with one row per given id, missing where this table lacks it."""
        numbers = {name: number for number, name in enumerate(self.ids)}
        rows = np.array([numbers.get(name, -1) for name in ids], np.int64)
        return {name: column.take(rows) for name, column in self.attributes.items()}


@dataclass
class Gathering:
    """Interactions as they come in, block by block; `finished` makes the record.

    No more than ``max_ratings`` are held: beyond it people are drawn by a hash of their id, whole people and the same
    ones in whatever order they come, so that memory is bounded however large the file.

    Attributes:
        source: The file's name for messages.
        max_ratings: How many interactions are held at most.
        unit: What line numbers count.
    """

    source: str
    max_ratings: int = MAX_RATINGS
    unit: str = "line"
    _persons: dict[str, int] = field(default_factory=dict, init=False)
    _items: dict[str, int] = field(default_factory=dict, init=False)
    _luck: array[int] = field(default_factory=lambda: array("Q"), init=False)
    _person: array[int] = field(default_factory=lambda: array("i"), init=False)
    _item: array[int] = field(default_factory=lambda: array("i"), init=False)
    _line: array[int] = field(default_factory=lambda: array("q"), init=False)
    _value: array[float] = field(default_factory=lambda: array("f"), init=False)
    _time: array[int] = field(default_factory=lambda: array("q"), init=False)
    _limit: int = field(default=2**64, init=False)
    _seen: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.max_ratings < 1:
            raise ValueError(f"max_ratings must be at least 1, got {self.max_ratings}")

    def add(
        self,
        table: Table,
        person: str,
        item: str,
        values: npt.NDArray[np.float64],
        times: npt.NDArray[np.int64] | None,
    ) -> None:
        """Takes in a block of rows.

        Args:
            table: The block.
            person: Its column of people's ids, none of them empty.
            item: Its column of items' ids, likewise.
            values: Ratings or clicks, finite, [num_rows].
            times: Seconds since 1970, [num_rows], where known.

        Raises:
            ValueError: If an id is empty; the message names the line.
        """
        who, what = table.filled(person), table.filled(item)
        persons, items = self._persons, self._items
        self._seen += len(table)
        for row in range(len(table)):
            number = persons.get(who[row])
            if number is None:
                luck = luck_of(who[row])
                if luck >= self._limit:
                    continue
                number = persons[who[row]] = len(persons)
                self._luck.append(luck)
            self._person.append(number)
            self._item.append(items.setdefault(what[row], len(items)))
            self._line.append(table.lines[row])
            self._value.append(values[row])
            self._time.append(0 if times is None else times[row])
        while len(self._person) > self.max_ratings:
            self._thin()

    def _thin(self) -> None:
        """Lets go of the half of the people with the larger hashes, or of the last one's where only one is left."""
        if len(self._persons) == 1:
            raise ValueError(
                f"{self.source}: {next(iter(self._persons))!r} alone has more than max_ratings = {self.max_ratings:,} "
                f"interactions; allow more by {by_setting('max_ratings', 2 * self.max_ratings)}, or check which column "
                "holds the people"
            )
        luck = np.array(self._luck, np.uint64)
        self._limit = int(np.sort(luck)[(len(luck) + 1) // 2])
        stays = luck < np.uint64(self._limit)
        numbers = np.cumsum(stays) - 1
        person = np.array(self._person, np.int32)
        rows = stays[person]
        self._persons = {name: int(numbers[old]) for name, old in self._persons.items() if stays[old]}
        self._luck = array("Q", luck[stays].tobytes())
        self._person = array("i", numbers[person[rows]].astype(np.int32).tobytes())
        item, used = np.array(self._item, np.int32)[rows], np.zeros(len(self._items), np.bool_)
        used[item] = True
        places = np.cumsum(used) - 1
        self._items = {name: int(places[old]) for name, old in self._items.items() if used[old]}
        self._item = array("i", places[item].astype(np.int32).tobytes())
        self._line = array("q", np.array(self._line, np.int64)[rows].tobytes())
        self._value = array("f", np.array(self._value, np.float32)[rows].tobytes())
        self._time = array("q", np.array(self._time, np.int64)[rows].tobytes())

    @property
    def values(self) -> npt.NDArray[np.float32]:
        """The ratings or clicks that are held now."""
        return np.array(self._value, np.float32)

    def holds(self, person: str) -> bool:
        """Returns whether a person is among those whose interactions are held now."""
        return person in self._persons

    @property
    def item_ids(self) -> frozenset[str]:
        """The items that are held now."""
        return frozenset(self._items)

    def finished(
        self,
        format: str,  # noqa: A002
        *,
        feedback: Feedback,
        items: Rows | None,
        persons: Rows | None = None,
        scale: tuple[float, float] | None = None,
        repeats: Repeats | None = None,
        unknown: Unknown = "refuse",
        notes: Sequence[str] = (),
    ) -> Interactions:
        """Returns the record. Items come in the order of their table, then by id; people by id.

        Args:
            format: The format's name.
            feedback: What the values are.
            items: The item table, where there is one.
            persons: The people table, where there is one.
            scale: The lowest and highest rating there can be; those that occur when omitted.
            repeats: What becomes of a person and item that occur twice: refused for ratings, added up for clicks if
                None.
            unknown: What becomes of items that the item table lacks.
            notes: What the reader left out.

        Raises:
            ValueError: If an item is unknown, a pair occurs twice, or all were left out. The message names the lines.
        """
        if repeats is None:
            repeats = "sum" if feedback is Feedback.CLICKS else "refuse"
        said = list(notes)
        held = len(self._person)
        if held < self._seen:
            said.append(
                f"{self._seen:,} interactions are more than max_ratings = {self.max_ratings:,}: kept {held:,} of them, "
                f"all those of {len(self._persons):,} people drawn by a hash of their id"
            )
        person, item, value, time, line = self._arrays()
        item_ids, numbers, kept = self._catalogued(items, unknown, item, line, said)
        person, item, value, time, line = person[kept], numbers[item[kept]], value[kept], time[kept], line[kept]
        names = list(self._persons)
        present = np.unique(person)
        person_ids = _ordered([names[number] for number in present])
        places = {name: place for place, name in enumerate(person_ids)}
        person = np.array([places.get(name, -1) for name in names], np.int32)[person]
        rows = self._once(person, item, value, time, line, repeats, person_ids, item_ids, said)
        order = rows[np.lexsort((item[rows], line[rows] * (not time.any()), time[rows], person[rows]))]
        ratings = Ratings(person[order], item[order], value[order], time[order], person_ids)
        low, high = (float(ratings.rating.min()), float(ratings.rating.max())) if scale is None else scale
        if scale is None and feedback is Feedback.RATINGS:
            said.append(
                f"ratings lie from {low:g} to {high:g}, which is taken for their scale{_odd_end(ratings.rating)}"
            )
        return Interactions(
            source=self.source,
            format=format,
            ratings=ratings,
            feedback=feedback,
            scale=(low, high),
            item_ids=item_ids,
            items=items.matched(item_ids) if items is not None else {},
            persons=persons.matched(person_ids) if persons is not None else {},
            notes=tuple(said),
            item_places=Places(items.source, items.lines, items.unit) if items is not None and items.lines else None,
        )

    def _arrays(
        self,
    ) -> tuple[
        npt.NDArray[np.int32],
        npt.NDArray[np.int32],
        npt.NDArray[np.float32],
        npt.NDArray[np.int64],
        npt.NDArray[np.int64],
    ]:
        return (
            np.array(self._person, np.int32),
            np.array(self._item, np.int32),
            np.array(self._value, np.float32),
            np.array(self._time, np.int64),
            np.array(self._line, np.int64),
        )

    def _catalogued(
        self,
        items: Rows | None,
        unknown: Unknown,
        item: npt.NDArray[np.int32],
        line: npt.NDArray[np.int64],
        notes: list[str],
    ) -> tuple[tuple[str, ...], npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
        """Returns the items' ids, the number of each name here among them (-1 if left out), and which rows stay."""
        names = list(self._items)
        item_ids = items.ids if items is not None else _ordered(names)
        places = {name: place for place, name in enumerate(item_ids)}
        lacking = [name for name in names if name not in places]
        if lacking and items is not None and unknown == "refuse":
            row = int(np.flatnonzero(item == self._items[lacking[0]])[0])
            raise ValueError(
                f"{self.source}, {self.unit} {line[row]}: item {lacking[0]!r} is not in {items.source} "
                f"({len(lacking):,} such items); add it there, remove the line, leave such items out by "
                f"{by_setting('unknown', 'drop')}, or keep them without attributes: 'keep'"
            )
        if lacking and unknown == "keep":
            item_ids = (*item_ids, *_ordered(lacking))
            places = {name: place for place, name in enumerate(item_ids)}
            notes.append(f"{len(lacking):,} items are not in the item table and have no attributes")
        numbers = np.array([places.get(name, -1) for name in names], np.int32)
        kept = numbers[item] >= 0
        if lacking and unknown == "drop":
            notes.append(
                f"left out {len(lacking):,} items that are not in the item table, and {int((~kept).sum()):,} "
                "interactions with them"
            )
        if not kept.any():
            raise ValueError(
                f"{self.source}: no interaction is with an item of {items.source if items is not None else 'it'}; "
                "check which columns hold the items' ids"
            )
        return item_ids, numbers, kept

    def _once(
        self,
        person: npt.NDArray[np.int32],
        item: npt.NDArray[np.int32],
        value: npt.NDArray[np.float32],
        time: npt.NDArray[np.int64],
        line: npt.NDArray[np.int64],
        repeats: Repeats,
        person_ids: Sequence[str],
        item_ids: Sequence[str],
        notes: list[str],
    ) -> npt.NDArray[np.int64]:
        """Returns one row per person and item; adds up ``value`` in place where ``repeats`` says so."""
        key = person.astype(np.int64) * len(item_ids) + item
        order = np.lexsort((line, time, key))
        again = np.diff(key[order]) == 0
        if not again.any():
            return order
        last = order[np.r_[~again, True]]
        if repeats == "refuse":
            pairs = np.stack([order[:-1][again], order[1:][again]])
            pairs.sort(axis=0)
            earlier, row = pairs[:, np.argmin(line[pairs[1]])]
            raise ValueError(
                f"{self.source}, {self.unit} {line[row]}: person {person_ids[person[row]]!r} and item "
                f"{item_ids[item[row]]!r} stood on {self.unit} {line[earlier]} already; keep one of the two, or have "
                f"the latest count by {by_setting('repeats', 'last')}; 'sum' adds them up"
            )
        if repeats == "sum":
            value[last] = np.add.reduceat(value[order], np.flatnonzero(np.r_[True, ~again]))
        became = "added up" if repeats == "sum" else "the latest one counts"
        notes.append(f"{int(again.sum()):,} rows repeat a person and item: {became}")
        return last


class Blocks(Protocol):
    """A table that is read block by block."""

    source: str

    def blocks(self, columns: Sequence[str]) -> Iterator[Table]:
        """Yields the wanted columns."""
        ...


def gather(
    reader: Blocks, roles: Mapping[str, str], *, named: bool, scale: tuple[float, float] | None, max_ratings: int
) -> tuple[Gathering, Feedback, list[str]]:
    """Reads a whole table of interactions.

    Without ratings or clicks every row is one click. Ratings that are nothing but 0 and 1 are clicks (0: shown and
    passed over), and numbers above 100 that nobody called ratings are refused rather than guessed.

    Args:
        reader: The table.
        roles: Column by role.
        named: Whether somebody said which column holds the ratings, rather than its name alone.
        scale: The lowest and highest rating there can be, where somebody said so.
        max_ratings: How many interactions are held at most.

    Returns:
        What was gathered, what its numbers mean, and a note where that was concluded.

    Raises:
        ValueError: If a number is out of range, or may be a count.
    """
    rating = roles.get("rating", "")
    gathering: Gathering | None = None
    for block in reader.blocks(list(dict.fromkeys(roles.values()))):
        if gathering is None:
            gathering = Gathering(reader.source, max_ratings, block.unit)
        if rating:
            values = block.within(rating, *scale) if scale is not None else block.floats(rating)
        else:
            values = block.within(roles["clicks"], 0, np.inf) if "clicks" in roles else np.ones(len(block))
        times = block.times(roles["time"]) if "time" in roles else None
        gathering.add(block, roles["person"], roles["item"], values, times)
    if gathering is None:
        raise ValueError(f"{reader.source} has no rows; it needs at least one")
    if not rating:
        return gathering, Feedback.CLICKS, []
    held = gathering.values
    if named or scale is not None:
        return gathering, Feedback.RATINGS, []
    if np.isin(held, (0, 1)).all():
        return gathering, Feedback.CLICKS, [f"{rating} holds nothing but 0 and 1, and is read as clicks"]
    if held.max() > _CLICKS_ABOVE:
        raise ValueError(
            f"{reader.source}: {rating} goes up to {held.max():g}: are these ratings or counts? For counts say "
            f"{by_columns(clicks=rating)}, for ratings their lowest and highest, such as "
            f"{by_setting('scale', (0, 10 ** math.ceil(math.log10(held.max()))))}"
        )
    return gathering, Feedback.RATINGS, []


def _ordered(names: Sequence[str]) -> tuple[str, ...]:
    """Sorts ids as numbers where all are, whatever the order of the lines."""
    if all(name.isdecimal() for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def luck_of(name: str) -> int:
    """Returns a number from 0 to 2**64 - 1 that looks drawn, the same for the same name always."""
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _odd_end(ratings: npt.NDArray[np.float32]) -> str:
    """Returns a warning where a few ratings lie apart from all others, as marks for "unrated" do; "" elsewhere."""
    values, counts = np.unique(ratings, return_counts=True)
    if not 3 <= len(values) <= _FEW_VALUES:
        return ""
    gaps = np.diff(values)
    for end, gap in ((0, gaps[0]), (len(values) - 1, gaps[-1])):
        if gap > _APART * np.median(gaps) and counts[end] < _RARE * counts.sum():
            are = "is" if counts[end] == 1 else "are"
            return (
                f"; {counts[end]:,} of them {are} {values[end]:g}, far from the others: if that is no rating, take "
                "the rows out; where it is, say so by " + by_setting("scale", (float(values[0]), float(values[-1])))
            )
    return ""
