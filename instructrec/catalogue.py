"""The items that can be recommended: columns of attributes, a text each, features and external ids."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Floats
from instructrec.names import in_a_line, unknown_name

MAX_VALUES = 64


class Kind(StrEnum):
    """What sort of attribute a column holds."""

    CATEGORICAL = "categorical"
    MULTI_VALUED = "multi_valued"
    ORDINAL = "ordinal"
    NUMERIC = "numeric"


@dataclass(frozen=True)
class Column:
    """One attribute of every item.

    Set columns (categorical, multi-valued) hold a 64-bit mask over ``values`` per item, 0 where missing; number columns
    (ordinal, numeric) hold a float per item, NaN where missing; an ordinal's number is the rank of its level.

    Build one with `categorical`, `multi_valued`, `ordinal` or `numeric`.

    Attributes:
        name: The attribute's name, unique in the catalogue.
        kind: Which of the four sorts it is.
        values: The names of a set column's values or of an ordinal's levels, lowest first; empty for numeric.
        masks: uint64 [num_items]; all zero for number columns.
        numbers: float32 [num_items]; all NaN for set columns.
    """

    name: str
    kind: Kind
    values: tuple[str, ...]
    masks: npt.NDArray[np.uint64]
    numbers: npt.NDArray[np.float32]

    def __repr__(self) -> str:
        of = f" of {len(self.values)} values" if self.values else ""
        return in_a_line(self, f"{self.name!r}", f"{self.kind}{of}", f"{len(self.numbers):,} items")

    @property
    def is_set(self) -> bool:
        """Whether the column holds sets of values rather than numbers."""
        return self.kind in (Kind.CATEGORICAL, Kind.MULTI_VALUED)

    def mask_of(self, values: Sequence[str]) -> int:
        """Returns the bit mask of the named values.

        Raises:
            ValueError: If a value is not one of this column's.
        """
        mask = 0
        for value in values:
            if value not in self.values:
                raise ValueError(unknown_name(f"value of {self.name!r}", value, self.values))
            mask |= 1 << self.values.index(value)
        return mask

    def indicators(self) -> Floats:
        """Returns a set column as 0/1 indicators, float32 [num_items, len(values)]."""
        bits = np.arange(len(self.values), dtype=np.uint64)
        return ((self.masks[:, None] >> bits) & np.uint64(1)).astype(np.float32)

    @cached_property
    def ascending(self) -> npt.NDArray[np.float32]:
        """The numbers that are not missing, lowest first."""
        return np.sort(self.numbers[~np.isnan(self.numbers)])

    @classmethod
    def multi_valued(cls, name: str, items: Sequence[Sequence[str]], values: Sequence[str] | None = None) -> Column:
        """Builds a column in which an item has any number of values, at most 64 different ones in all."""
        return cls._of_sets(name, Kind.MULTI_VALUED, items, values)

    @classmethod
    def categorical(cls, name: str, items: Sequence[str | None], values: Sequence[str] | None = None) -> Column:
        """Builds a column in which an item has one value, or none (``None`` or an empty string)."""
        return cls._of_sets(name, Kind.CATEGORICAL, [(item,) if item else () for item in items], values)

    @classmethod
    def _of_sets(cls, name: str, kind: Kind, items: Sequence[Sequence[str]], values: Sequence[str] | None) -> Column:
        known = tuple(values) if values is not None else tuple(sorted({value for item in items for value in item}))
        if len(known) > MAX_VALUES:
            raise ValueError(
                f"attribute {name!r} has {len(known)} different values; a set attribute holds at most {MAX_VALUES}: "
                "keep the most frequent and map the rest to 'other'"
            )
        bits = {value: 1 << place for place, value in enumerate(known)}
        masks = np.zeros(len(items), np.uint64)
        for row, item in enumerate(items):
            for value in item:
                if value not in bits:
                    raise ValueError(f"item {row}: " + unknown_name(f"value of {name!r}", value, known))
                masks[row] |= np.uint64(bits[value])
        return cls(name, kind, known, masks, np.full(len(items), np.nan, np.float32))

    @classmethod
    def numeric(cls, name: str, items: Sequence[float] | Floats) -> Column:
        """Builds a column of numbers; NaN means missing, infinities are refused."""
        numbers = np.asarray(items, np.float32)
        if numbers.ndim != 1:
            raise ValueError(f"attribute {name!r} must be one number per item, got an array of shape {numbers.shape}")
        if np.isinf(numbers).any():
            row = int(np.flatnonzero(np.isinf(numbers))[0])
            raise ValueError(f"attribute {name!r} of item {row} is infinite; give a finite number, or NaN if missing")
        return cls(name, Kind.NUMERIC, (), np.zeros(len(numbers), np.uint64), numbers)

    @classmethod
    def ordinal(cls, name: str, items: Sequence[str | None], levels: Sequence[str]) -> Column:
        """Builds a column of ordered levels, lowest first; ``None`` means missing."""
        ranks = {level: float(rank) for rank, level in enumerate(levels)}
        numbers = np.full(len(items), np.nan, np.float32)
        for row, item in enumerate(items):
            if item is None:
                continue
            if item not in ranks:
                raise ValueError(f"item {row}: " + unknown_name(f"level of {name!r}", item, levels))
            numbers[row] = ranks[item]
        return cls(name, Kind.ORDINAL, tuple(levels), np.zeros(len(items), np.uint64), numbers)


@dataclass(frozen=True)
class Catalogue:
    """A columnar table of items; an item is its row number, 0 to ``num_items`` - 1.

    Attributes:
        columns: The attributes, by name.
        titles: A short name per item, as shown to people.
        texts: A sentence per item, as read by language models.
        item_ids: The items' ids outside this project, unique.
        popularity: How often each item was consumed in the data agents may see, non-negative [num_items].
        nouns: What people call an item, one and many: "article", "articles". No part of the fingerprint.
        units: What the numbers of an attribute count: price in "euros". No part of the fingerprint.
        labels: What values are called in the language of the texts, by (column, value), where that is not their name.

    Raises:
        ValueError: If it is empty, columns differ in length, ids repeat, or popularity is negative or NaN.
    """

    columns: Mapping[str, Column]
    titles: tuple[str, ...]
    texts: tuple[str, ...]
    item_ids: tuple[str, ...]
    popularity: npt.NDArray[np.float32] = field(repr=False)
    nouns: tuple[str, ...] = ()
    units: Mapping[str, str] = field(default_factory=dict, repr=False)
    labels: Mapping[tuple[str, str], str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        size = len(self.titles)
        if size == 0:
            raise ValueError("the catalogue is empty; it needs at least one item")
        lengths = {"texts": len(self.texts), "item_ids": len(self.item_ids), "popularity": len(self.popularity)}
        lengths |= {f"column {name!r}": len(column.numbers) for name, column in self.columns.items()}
        wrong = {name: length for name, length in lengths.items() if length != size}
        if wrong:
            raise ValueError(f"every part of a catalogue needs one entry per item: {size} titles, but {wrong}")
        if len(set(self.item_ids)) != size:
            repeated = Counter(self.item_ids).most_common(1)[0][0]
            raise ValueError(f"item id {repeated!r} occurs more than once; ids must be unique")
        if not np.all(np.isfinite(self.popularity) & (self.popularity >= 0)):
            row = int(np.flatnonzero(~(np.isfinite(self.popularity) & (self.popularity >= 0)))[0])
            raise ValueError(f"popularity of item {row} is {self.popularity[row]}; it must be a finite count >= 0")

    def __repr__(self) -> str:
        return in_a_line(self, f"{self.num_items:,} items", *self.columns, f"fingerprint {self.fingerprint}")

    @property
    def num_items(self) -> int:
        """How many items there are."""
        return len(self.titles)

    def column(self, name: str) -> Column:
        """Returns the attribute called ``name``.

        Raises:
            ValueError: If there is none; the message suggests the nearest name.
        """
        if name not in self.columns:
            raise ValueError(unknown_name("attribute", name, self.columns))
        return self.columns[name]

    def place(self, name: str) -> int:
        """Returns the position of the attribute called ``name`` among the columns, as compiled goals hold it."""
        self.column(name)
        return list(self.columns).index(name)

    @cached_property
    def masks(self) -> npt.NDArray[np.uint64]:
        """Every column's sets, uint64 [num_items, num_columns]: one row of memory per item."""
        return np.ascontiguousarray(np.stack([column.masks for column in self.columns.values()], axis=1))

    @cached_property
    def numbers(self) -> npt.NDArray[np.float32]:
        """Every column's numbers, float32 [num_items, num_columns]; NaN where missing."""
        return np.ascontiguousarray(np.stack([column.numbers for column in self.columns.values()], axis=1))

    @cached_property
    def fingerprint(self) -> str:
        """A hash of everything in the catalogue, hex; equal exactly when the content is."""
        digest = hashlib.sha256()
        for name, column in self.columns.items():
            digest.update(repr((name, str(column.kind), column.values)).encode())
            digest.update(column.masks.tobytes())
            digest.update(np.where(np.isnan(column.numbers), np.float32(np.nan), column.numbers).tobytes())
        digest.update(repr((self.titles, self.texts, self.item_ids)).encode())
        digest.update(self.popularity.tobytes())
        if self.labels:
            digest.update(repr(sorted(self.labels.items())).encode())
        return digest.hexdigest()[:16]
