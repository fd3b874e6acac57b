"""What an instruction means: predicates, goals, and checking items and slates against them.

A *predicate* is one verifiable condition; a *goal* is the weighted set of them that a user has in mind. For speed a
batch of goals is a record of arrays (`Goals`), one row per user and one column per predicate.

A predicate is a test of one item: of its values, or of its number. Three things can be added to any such test: how many
of a slate must pass it (``least``, ``most``), of which items it is asked at all (``given``), and what the user wrongly
believes and says in its stead (``believed``). A *relative* one (newer than, like, unlike the third) speaks of an item
that was shown, and `resolved` makes of it a plain one about that item.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Bools, Floats, Ints
from instructrec.catalogue import Catalogue
from instructrec.names import ADDED, written

ALIKE = 0.1
"""How far a number may lie from one that it is like: this share of the catalogue's numbers to either side."""


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
    LIKE = "like"
    """The item shares a value of the attribute with the item shown at ``position``, besides those that the goal names
    anyway; of numbers: no more than a share `ALIKE` of the catalogue's numbers lies between the two."""
    UNLIKE = "unlike"
    """The item shares no value of the attribute with the item shown at ``position``, besides those that the goal names
    anyway."""


RELATIVE = frozenset({Operator.MORE_THAN, Operator.LESS_THAN, Operator.LIKE, Operator.UNLIKE})
"""What speaks of an item that was shown, and becomes a plain predicate once it is known: see `resolved`."""


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
        position: Place in the slate, counted from 1, for what is relative to a shown item.
        hard: Whether breaking it is a violation rather than a missed wish.
        weight: Its weight in the goal, > 0.
        reveal: When the user says it.
        least: How many of the slate must pass, for counts ("at least three comedies"); 0 where every item is judged.
        most: How many may pass at most; 0 for any number. "Exactly two" is least and most 2.
        given: Items that fail this are not asked ("if it is a horror film, only from before 1980"); None: all are.
        believed: What the user, who is mistaken, says in its stead until a shown item proves it wrong.
        context: The situation that it was said by ("as a gift"); empty where it was said itself.

    Raises:
        ValueError: If what the operator needs is missing or out of range, or does not go together.
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
    least: int = dataclasses.field(default=0, metadata=ADDED)
    most: int = dataclasses.field(default=0, metadata=ADDED)
    given: Predicate | None = dataclasses.field(default=None, metadata=ADDED)
    believed: Predicate | None = dataclasses.field(default=None, metadata=ADDED)
    context: str = dataclasses.field(default="", metadata=ADDED)

    def __repr__(self) -> str:
        return written(self)

    @property
    def slate_level(self) -> bool:
        """Whether it speaks of a slate as a whole rather than of every item in it."""
        return self.operator is Operator.SHARE or self.least > 0

    @property
    def plain(self) -> bool:
        """Whether it is the test of an item and nothing else."""
        bare = self.given is None and self.believed is None and not self.context
        return bare and not self.slate_level and self.operator not in RELATIVE

    def _ill_joined(self) -> str:
        """Returns what does not go together, or nothing."""
        if self.least < 0 or (self.most and self.most < max(self.least, 1)) or (self.most and not self.least):
            return f"needs 1 <= least <= most to count, got least {self.least} and most {self.most}"
        if self.least and (self.operator in RELATIVE or self.operator is Operator.SHARE or self.given is not None):
            return "cannot be counted; count a plain test of an item"
        if self.given is not None:
            if self.operator in RELATIVE or self.operator is Operator.SHARE:
                return "cannot depend on another; only a plain test of an item can"
            if not self.given.plain or self.given.operator is Operator.EXCLUDE:
                return f"can depend on an inclusion or a range, not on {self.given}"
        if self.believed is not None and (not self.believed.plain or self.reveal is Reveal.VOLUNTEERED):
            return "can be mistaken for a plain test only, and is itself not volunteered"
        return ""

    def __post_init__(self) -> None:
        operator = Operator(self.operator)
        wrong = self._ill_joined()
        if operator in (Operator.INCLUDE, Operator.EXCLUDE, Operator.SHARE) and not self.values:
            wrong = "needs at least one name in values"
        if operator in (Operator.HIGHEST, Operator.LOWEST, Operator.SHARE) and not 0 < self.share <= 1:
            wrong = f"needs share in (0, 1], got {self.share}"
        if operator in RELATIVE and self.position < 1:
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
        if self.least:
            span = str(self.least) if self.least == self.most else f"{self.least}–{self.most}"
            return f"{span if self.most else f'at least {self.least}'} of {replace(self, least=0, most=0)}"
        if self.given is not None:
            return f"if {self.given}: {replace(self, given=None)}"
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
            case Operator.LIKE:
                return f"{self.field} like that of no. {self.position}"
            case Operator.UNLIKE:
                return f"{self.field} unlike that of no. {self.position}"


class Check(IntEnum):
    """What a compiled predicate checks."""

    NOTHING = 0
    SET = 1
    RANGE = 2
    SHARE = 3
    COUNT = 4
    GIVEN = 5


@dataclass(frozen=True)
class Goals:
    """A batch of compiled goals, each array [batch, num_predicates]; unused places have check 0.

    Attributes:
        check: Which `Check` the predicate is. COUNT and GIVEN test values where ``mask`` holds any, else the number.
        column: The attribute's place in the catalogue.
        mask: Value bits, for tests of values.
        low: Lower bound, included, for tests of numbers.
        high: Upper bound, included, for tests of numbers.
        negate: Whether the test of values is turned round (exclude).
        share: Least share of the slate, for SHARE.
        hard: Whether breaking it is a violation.
        weight: Its weight, 0 where unused.
        said: Whether the user has said it.
        least: How many of the slate must pass, for COUNT.
        most: How many may pass at most, for COUNT; 0 for any number.
        given_column: The attribute that GIVEN depends on.
        given_mask: Its value bits; 0 where it depends on the number.
        given_low: Lower bound, included, of that number.
        given_high: Upper bound, included, of that number.
        feasible: False where nothing meets the goal as a whole, by design of the request.
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
    least: npt.NDArray[np.int16]
    most: npt.NDArray[np.int16]
    given_column: npt.NDArray[np.int8]
    given_mask: npt.NDArray[np.uint64]
    given_low: npt.NDArray[np.float32]
    given_high: npt.NDArray[np.float32]
    feasible: Bools

    @property
    def num_predicates(self) -> int:
        """How many places for predicates each goal has."""
        return int(self.check.shape[1])

    @property
    def item_level(self) -> Bools:
        """Which places hold a condition on single items, [batch, num_predicates]."""
        return np.asarray((self.check == Check.SET) | (self.check == Check.RANGE) | (self.check == Check.GIVEN))

    @property
    def slate_level(self) -> Bools:
        """Which places hold a condition on the slate as a whole, [batch, num_predicates]."""
        return np.asarray((self.check == Check.SHARE) | (self.check == Check.COUNT))

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
            least=np.zeros(shape, np.int16),
            most=np.zeros(shape, np.int16),
            given_column=np.zeros(shape, np.int8),
            given_mask=np.zeros(shape, np.uint64),
            given_low=np.full(shape, -np.inf, np.float32),
            given_high=np.full(shape, np.inf, np.float32),
            feasible=np.ones(shape, np.bool_),
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
        goals: One sequence of predicates per user. `RELATIVE` ones speak of a shown slate and are compiled by the
            population that saw it, not here.
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
    operator, at = predicate.operator, (row, place)
    mask, low, high = _test_of(predicate, catalogue)
    goals.column[at] = catalogue.place(predicate.field)
    goals.mask[at], goals.low[at], goals.high[at] = mask, low, high
    goals.hard[at], goals.weight[at] = predicate.hard, predicate.weight
    goals.said[at] = predicate.reveal is Reveal.VOLUNTEERED
    goals.check[at] = Check.SET if catalogue.column(predicate.field).is_set else Check.RANGE
    goals.negate[at] = operator is Operator.EXCLUDE
    if operator is Operator.SHARE:
        goals.check[at], goals.share[at] = Check.SHARE, predicate.share
    if predicate.least:
        goals.check[at], goals.least[at], goals.most[at] = Check.COUNT, predicate.least, predicate.most
    if predicate.given is not None:
        goals.check[at] = Check.GIVEN
        goals.given_column[at] = catalogue.place(predicate.given.field)
        mask, low, high = _test_of(predicate.given, catalogue)
        goals.given_mask[at], goals.given_low[at], goals.given_high[at] = mask, low, high


def _test_of(predicate: Predicate, catalogue: Catalogue) -> tuple[int, float, float]:
    """Returns a test of an item as value bits, lower and upper bound; without bits it is of the number."""
    column, operator = catalogue.column(predicate.field), predicate.operator
    on_sets = operator in (Operator.INCLUDE, Operator.EXCLUDE, Operator.SHARE)
    if operator in RELATIVE:
        raise ValueError(f"{operator} speaks of a shown slate and cannot be compiled without one")
    if on_sets != column.is_set:
        wanted = "a categorical or multi-valued" if on_sets else "an ordinal or numeric"
        raise ValueError(f"{operator} needs {wanted} attribute; {predicate.field!r} is {column.kind}")
    if on_sets:
        return column.mask_of(predicate.values), -math.inf, math.inf
    low = predicate.low if operator in (Operator.AT_LEAST, Operator.BETWEEN) else -math.inf
    high = predicate.high if operator in (Operator.AT_MOST, Operator.BETWEEN) else math.inf
    if operator is Operator.HIGHEST:
        low = _reached(column.ascending, predicate.share, highest=True)
    elif operator is Operator.LOWEST:
        high = _reached(column.ascending, predicate.share, highest=False)
    return 0, low, high


def resolved(
    predicate: Predicate, catalogue: Catalogue, item: int, named: Sequence[Predicate] = ()
) -> Predicate | None:
    """Returns what a relative predicate asks once it is known which item was shown.

    Args:
        predicate: What was said; one that is not relative comes back as it is.
        catalogue: The items.
        item: The item shown at its position.
        named: The goal that it joins: values it names anyway do not make two items alike.

    Returns:
        A plain predicate, or None where the item leaves nothing to compare with: it has no number, no value, or no
        value that the goal does not name.
    """
    if predicate.operator not in RELATIVE:
        return predicate
    column = catalogue.column(predicate.field)
    if predicate.operator in (Operator.LIKE, Operator.UNLIKE) and column.is_set:
        taken = {value for other in named if other.field == predicate.field for value in other.values}
        has = [value for bit, value in enumerate(column.values) if int(column.masks[item]) >> bit & 1]
        values = tuple(value for value in has if value not in taken)
        operator = Operator.INCLUDE if predicate.operator is Operator.LIKE else Operator.EXCLUDE
        return replace(predicate, operator=operator, values=values, position=0) if values else None
    number = column.numbers[item]
    if column.is_set or predicate.operator is Operator.UNLIKE:
        raise ValueError(f"{predicate.operator} cannot compare {predicate.field!r}, which is {column.kind}")
    if np.isnan(number):
        return None
    if predicate.operator is Operator.LIKE:
        low, high = alike(column.ascending, float(number))
        return replace(predicate, operator=Operator.BETWEEN, low=low, high=high, position=0)
    # The next number up or down: bounds include their end, a comparison does not.
    if predicate.operator is Operator.MORE_THAN:
        low = float(np.nextafter(number, np.float32(np.inf)))
        return replace(predicate, operator=Operator.AT_LEAST, low=low, high=np.inf, position=0)
    high = float(np.nextafter(number, np.float32(-np.inf)))
    return replace(predicate, operator=Operator.AT_MOST, low=-np.inf, high=high, position=0)


def alike(present: Floats, number: float) -> tuple[float, float]:
    """Returns the span of numbers that are like ``number``: a share `ALIKE` of all of them further, either way.

    Args:
        present: All numbers there are, ascending, ``number`` among them.
        number: One of them.
    """
    reach = int(ALIKE * len(present))
    first = max(int(np.searchsorted(present, number, "left")) - reach, 0)
    last = min(int(np.searchsorted(present, number, "right")) - 1 + reach, len(present) - 1)
    return float(present[first]), float(present[last])


def satisfied(goals: Goals, catalogue: Catalogue, items: Ints) -> Bools:
    """Checks single items by the catalogue's attributes.

    Args:
        goals: The goals, [batch, num_predicates].
        catalogue: The items.
        items: Item numbers [batch, num_shown], or [num_shown] for the same items for everyone.

    Returns:
        [batch, num_predicates, num_shown]: whether each item has what the predicate speaks of. True at unused places,
        and where an item is not what a condition depends on. For a share or a count: whether the item counts towards
        it. A missing number satisfies no range.
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
        of_number = (check == Check.RANGE) | ((check > Check.SHARE) & (goals.mask[:, place, None] == 0))
        met[:, place] = np.where(
            of_number, inside, np.where(check == Check.NOTHING, True, has != goals.negate[:, place, None])
        )
        if (check == Check.GIVEN).any():
            column = goals.given_column[:, place]
            at = column if everyone else (items, column[:, None])
            mask = goals.given_mask[:, place, None]
            inside = (numbers[at] >= goals.given_low[:, place, None]) & (
                numbers[at] <= goals.given_high[:, place, None]
            )
            asked = np.where(mask == 0, inside, (masks[at] & mask) != 0)
            met[:, place] |= (check == Check.GIVEN) & ~asked
    return met


def share_met(goals: Goals, met: Bools) -> Bools:
    """Returns whether each share and count holds for a slate, [batch, num_predicates]; False for other tests.

    Args:
        goals: The goals.
        met: What `satisfied` says of the slate's items, [batch, num_predicates, slate_size].
    """
    # A hair of tolerance: 0.3 of 10 items is 3 of them, whatever 0.3 is in binary.
    share = (goals.check == Check.SHARE) & (met.mean(axis=2) >= goals.share - 1e-6)
    passing = met.sum(axis=2)
    enough = (passing >= goals.least) & ((goals.most == 0) | (passing <= goals.most))
    return np.asarray(share | ((goals.check == Check.COUNT) & enough))


def allowed(goals: Goals, catalogue: Catalogue, items: Ints, *, said_only: bool = False) -> Bools:
    """Returns which items meet every hard item-level predicate, [batch, num_shown]; arguments as `satisfied`."""
    counted = goals.item_level & goals.hard
    if said_only:
        counted = counted & goals.said
    return np.asarray(np.all(satisfied(goals, catalogue, items) | ~counted[:, :, None], axis=1))
