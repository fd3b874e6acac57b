"""What an instruction means: predicates, goals, and checking items and slates against them.

A *predicate* is one verifiable condition; a *goal* is the weighted set of them that a user has in mind. For speed a
batch of goals is a record of arrays (`Goals`), one row per user and one column per predicate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Bools, Floats, Ints
from instructrec.catalogue import Catalogue


class Operator(StrEnum):
    """How a predicate compares an item, or a slate, with its value."""

    INCLUDE = "include"
    """The item has any of ``values``."""
    EXCLUDE = "exclude"
    """The item has none of ``values``."""
    AT_LEAST = "at_least"
    """The item's number is ``low`` or more."""
    AT_MOST = "at_most"
    """The item's number is ``high`` or less."""
    BETWEEN = "between"
    """The item's number is from ``low`` to ``high``, both included."""
    HIGHEST = "highest"
    """The item's number is among the highest ``share`` of the catalogue (a superlative)."""
    LOWEST = "lowest"
    """The item's number is among the lowest ``share`` of the catalogue (a superlative)."""
    MORE_THAN = "more_than"
    """The item's number exceeds that of the item shown at ``position`` (a critique)."""
    LESS_THAN = "less_than"
    """The item's number is below that of the item shown at ``position`` (a critique)."""
    SHARE = "share"
    """At least ``share`` of the slate has any of ``values``."""


class Reveal(StrEnum):
    """When a user says a predicate."""

    VOLUNTEERED = "volunteered"
    ON_VIOLATION = "on_violation"
    NEVER = "never"


@dataclass(frozen=True, kw_only=True)
class Predicate:
    """One verifiable condition on an item or a slate.

    Attributes:
        field: The catalogue attribute it speaks of.
        operator: How it compares.
        values: Value names, for include, exclude and share.
        low: Lower bound, for at_least and between.
        high: Upper bound, for at_most and between.
        share: Fraction in (0, 1], for superlatives (of the catalogue) and share (of the slate).
        position: Place in the slate, counted from 1, for critiques.
        hard: Whether breaking it is a violation rather than a missed wish.
        weight: Its weight in the goal, > 0.
        reveal: When the user says it.

    Raises:
        ValueError: If what the operator needs is missing or out of range.
    """

    field: str
    operator: Operator
    values: tuple[str, ...] = ()
    low: float = -np.inf
    high: float = np.inf
    share: float = 0.0
    position: int = 0
    hard: bool = True
    weight: float = 1.0
    reveal: Reveal = Reveal.VOLUNTEERED

    def __post_init__(self) -> None:
        operator = Operator(self.operator)
        wrong = ""
        if operator in (Operator.INCLUDE, Operator.EXCLUDE, Operator.SHARE) and not self.values:
            wrong = "needs at least one name in values"
        if operator in (Operator.HIGHEST, Operator.LOWEST, Operator.SHARE) and not 0 < self.share <= 1:
            wrong = f"needs share in (0, 1], got {self.share}"
        if operator in (Operator.MORE_THAN, Operator.LESS_THAN) and self.position < 1:
            wrong = f"needs a position counted from 1, got {self.position}"
        if operator in (Operator.AT_LEAST, Operator.BETWEEN) and not np.isfinite(self.low):
            wrong = f"needs a finite low, got {self.low}"
        if operator in (Operator.AT_MOST, Operator.BETWEEN) and not np.isfinite(self.high):
            wrong = f"needs a finite high, got {self.high}"
        if operator is Operator.BETWEEN and self.low > self.high:
            wrong = f"needs low <= high, got {self.low} > {self.high}"
        if not self.weight > 0:
            wrong = f"needs a weight > 0, got {self.weight}"
        if wrong:
            raise ValueError(f"predicate {operator} on {self.field!r} {wrong}")

    def __str__(self) -> str:
        names = " or ".join(self.values)
        match self.operator:
            case Operator.INCLUDE:
                return f"{self.field}: {names}"
            case Operator.EXCLUDE:
                return f"{self.field}: not {names}"
            case Operator.AT_LEAST:
                return f"{self.field} ≥ {self.low:g}"
            case Operator.AT_MOST:
                return f"{self.field} ≤ {self.high:g}"
            case Operator.BETWEEN:
                return f"{self.field} {self.low:g}–{self.high:g}"
            case Operator.HIGHEST:
                return f"{self.field}: highest {self.share:.0%}"
            case Operator.LOWEST:
                return f"{self.field}: lowest {self.share:.0%}"
            case Operator.MORE_THAN:
                return f"{self.field} above that of no. {self.position}"
            case Operator.LESS_THAN:
                return f"{self.field} below that of no. {self.position}"
            case Operator.SHARE:
                return f"at least {self.share:.0%} {names}"


class Check(IntEnum):
    """What a compiled predicate checks."""

    NOTHING = 0
    SET = 1
    RANGE = 2
    SHARE = 3


@dataclass(frozen=True)
class Goals:
    """A batch of compiled goals, each array [batch, num_predicates]; unused places have check 0.

    Attributes:
        test: Which `Check` the predicate is.
        column: The attribute's place in the catalogue.
        mask: Value bits, for SET and SHARE.
        low: Lower bound, included, for RANGE.
        high: Upper bound, included, for RANGE.
        negate: Whether the SET test is turned round (exclude).
        share: Least share of the slate, for SHARE.
        hard: Whether breaking it is a violation.
        weight: Its weight, 0 where unused.
        said: Whether the user has said it.
    """

    check: npt.NDArray[np.int8]
    column: npt.NDArray[np.int8]
    mask: npt.NDArray[np.uint64]
    low: npt.NDArray[np.float32]
    high: npt.NDArray[np.float32]
    negate: Bools
    share: npt.NDArray[np.float32]
    hard: Bools
    weight: npt.NDArray[np.float32]
    said: Bools

    @property
    def num_predicates(self) -> int:
        """How many places for predicates each goal has."""
        return int(self.check.shape[1])

    @property
    def item_level(self) -> Bools:
        """Which places hold a condition on single items, [batch, num_predicates]."""
        return np.asarray((self.check == Check.SET) | (self.check == Check.RANGE))

    @classmethod
    def empty(cls, batch: int, num_predicates: int) -> Goals:
        """Returns goals that ask for nothing."""
        shape = (batch, num_predicates)
        return cls(
            check=np.zeros(shape, np.int8),
            column=np.zeros(shape, np.int8),
            mask=np.zeros(shape, np.uint64),
            low=np.full(shape, -np.inf, np.float32),
            high=np.full(shape, np.inf, np.float32),
            negate=np.zeros(shape, np.bool_),
            share=np.zeros(shape, np.float32),
            hard=np.zeros(shape, np.bool_),
            weight=np.zeros(shape, np.float32),
            said=np.zeros(shape, np.bool_),
        )


def threshold(numbers: Floats, share: float, *, highest: bool) -> float:
    """Returns the number that the highest (or lowest) ``share`` of items reach; missing numbers (NaN) do not count.

    Of n numbers the best ceil(share × n) reach it, and those tied with the last of them.
    """
    return _reached(np.sort(numbers[~np.isnan(numbers)]), share, highest=highest)


def _reached(present: Floats, share: float, *, highest: bool) -> float:
    if not len(present):
        raise ValueError("a superlative needs at least one item with a number")
    # A hair of tolerance: 0.1 of 30 items is 3 of them, whatever 0.1 is in binary.
    count = min(max(math.ceil(share * len(present) - 1e-6), 1), len(present))
    return float(present[-count] if highest else present[count - 1])


def compile_goals(
    goals: Sequence[Sequence[Predicate]], catalogue: Catalogue, num_predicates: int | None = None
) -> Goals:
    """Turns goals into arrays.

    Args:
        goals: One sequence of predicates per user. Critiques (more_than, less_than) speak of a shown slate and are
            compiled by the population that saw it, not here.
        catalogue: The items that the predicates speak of.
        num_predicates: Places per goal; the longest goal's length when omitted.

    Raises:
        ValueError: If a field or value is unknown, an operator does not fit its column, or a goal is too long.
    """
    width = max([len(goal) for goal in goals] + [1]) if num_predicates is None else num_predicates
    compiled = Goals.empty(len(goals), width)
    for row, goal in enumerate(goals):
        if len(goal) > width:
            raise ValueError(f"goal {row} has {len(goal)} predicates; there is room for {width}")
        for place, predicate in enumerate(goal):
            _compile_predicate(compiled, row, place, predicate, catalogue)
    return compiled


def _compile_predicate(goals: Goals, row: int, place: int, predicate: Predicate, catalogue: Catalogue) -> None:
    column, operator, at = catalogue.column(predicate.field), predicate.operator, (row, place)
    on_sets = operator in (Operator.INCLUDE, Operator.EXCLUDE, Operator.SHARE)
    if operator in (Operator.MORE_THAN, Operator.LESS_THAN):
        raise ValueError(f"{operator} speaks of a shown slate and cannot be compiled without one")
    if on_sets != column.is_set:
        wanted = "a categorical or multi-valued" if on_sets else "an ordinal or numeric"
        raise ValueError(f"{operator} needs {wanted} attribute; {predicate.field!r} is {column.kind}")
    goals.column[at] = catalogue.place(predicate.field)
    goals.hard[at], goals.weight[at] = predicate.hard, predicate.weight
    goals.said[at] = predicate.reveal is Reveal.VOLUNTEERED
    if on_sets:
        goals.check[at] = Check.SHARE if operator is Operator.SHARE else Check.SET
        goals.mask[at] = column.mask_of(predicate.values)
        goals.negate[at] = operator is Operator.EXCLUDE
        goals.share[at] = predicate.share if operator is Operator.SHARE else 0.0
        return
    goals.check[at] = Check.RANGE
    if operator in (Operator.AT_LEAST, Operator.BETWEEN):
        goals.low[at] = predicate.low
    if operator in (Operator.AT_MOST, Operator.BETWEEN):
        goals.high[at] = predicate.high
    if operator is Operator.HIGHEST:
        goals.low[at] = _reached(column.ascending, predicate.share, highest=True)
    elif operator is Operator.LOWEST:
        goals.high[at] = _reached(column.ascending, predicate.share, highest=False)


def satisfied(goals: Goals, catalogue: Catalogue, items: Ints) -> Bools:
    """Checks single items by the catalogue's attributes.

    Args:
        goals: The goals, [batch, num_predicates].
        catalogue: The items.
        items: Item numbers [batch, num_shown], or [num_shown] for the same items for everyone.

    Returns:
        [batch, num_predicates, num_shown]: whether each item has what the predicate speaks of. True at unused places.
        For a share predicate: whether the item counts towards it. A missing number satisfies no range.
    """
    # The same items for everyone: whole columns are looked up at once, which is many times faster.
    everyone = items.ndim == 1
    masks, numbers = (
        (catalogue.masks[items].T, catalogue.numbers[items].T) if everyone else (catalogue.masks, catalogue.numbers)
    )
    met = np.ones((len(goals.check), goals.num_predicates, items.shape[-1]), np.bool_)
    for place in range(goals.num_predicates):
        column = goals.column[:, place]
        at = column if everyone else (items, column[:, None])
        has = (masks[at] & goals.mask[:, place, None]) != 0
        number = numbers[at]
        inside = (number >= goals.low[:, place, None]) & (number <= goals.high[:, place, None])
        check = goals.check[:, place, None]
        met[:, place] = np.where(
            check == Check.RANGE, inside, np.where(check == Check.NOTHING, True, has != goals.negate[:, place, None])
        )
    return met


def share_met(goals: Goals, met: Bools) -> Bools:
    """Returns whether each share predicate holds for a slate, [batch, num_predicates]; False for other tests.

    Args:
        goals: The goals.
        met: What `satisfied` says of the slate's items, [batch, num_predicates, slate_size].
    """
    # A hair of tolerance: 0.3 of 10 items is 3 of them, whatever 0.3 is in binary.
    return np.asarray((goals.check == Check.SHARE) & (met.mean(axis=2) >= goals.share - 1e-6))


def allowed(goals: Goals, catalogue: Catalogue, items: Ints, *, said_only: bool = False) -> Bools:
    """Returns which items meet every hard item-level predicate, [batch, num_shown]; arguments as `satisfied`."""
    counted = goals.item_level & goals.hard
    if said_only:
        counted = counted & goals.said
    return np.asarray(np.all(satisfied(goals, catalogue, items) | ~counted[:, :, None], axis=1))
