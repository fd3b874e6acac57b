"""Prompts about numbers that are no years: much and little of something, amounts in units, more and less of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from instructrec.agents import wordings as say
from instructrec.agents import wordings_of_amounts as amounts
from instructrec.agents.similar_words import Names
from instructrec.agents.time_prompts import NUMBERS, Part, TimePrompts
from instructrec.arrays import Floats
from instructrec.catalogue import Catalogue, Column

_OTHER_WORD, _IN_STARS, _IN_UNITS, _LEVELS = 0.5, 0.4, 0.65, 0.7
_OF_ITS_KIND, _SPAN, _SINCE, _NAMED = 0.6, 0.45, 0.2, 0.1
_SHARES = {True: (0.15, 0.05), False: (0.3, 0.05)}
"""Of the items that much and little of something mean, and the most and the least of it."""
_AT_MOST, _AT_LEAST = 0.5, 0.8
_CLAUSES = (
    *("that ", "with ", "few ", "a lot ", "liked ", "watched ", "nobody ", "I have ", "not many ", "off ", "talked"),
    *("for ", "on ", "at ", "in ", "to ", "I ", "money ", "whatever ", "easy ", "around ", "near me", "within "),
    *("right ", "from ", "of ", "nothing ", "a long way"),
)
"""How words begin that stand after a noun."""
_LENGTH, _MONEY, _AGE, _DISTANCE, _STARS = "length", "money", "age", "distance", "stars"
_BOUNDS: Mapping[str, amounts.Bounds] = {
    _LENGTH: amounts.DURATION,
    _MONEY: amounts.MONEY,
    _AGE: amounts.AGE,
    _DISTANCE: amounts.DISTANCE,
    _STARS: amounts.STARS,
}
_CALLED = {_LENGTH: amounts.LONG, _MONEY: amounts.COSTLY, _AGE: amounts.OLD, _DISTANCE: amounts.FAR}
_FAR = ("kilometres", "kilometers", "miles", "metres", "meters")
_SHORT_TIMES = ("seconds", "minutes", "hours")


class AmountPrompts(TimePrompts):
    """Words numbers in English; the rest of a prompt is its heirs'."""

    def __init__(self, catalogue: Catalogue, names: Names, rng: np.random.Generator) -> None:
        super().__init__(catalogue, names, rng)
        self._ascending: dict[str, tuple[Floats, bool]] = {}

    def of_number(self, column: Column) -> Part:
        """Returns a condition on a column of numbers that are no years."""
        if column.values and self._chance(_LEVELS):
            return self._of_level(column)
        unit = self._units.get(column.name, "stars" if column.name == "rating" else "")
        if unit and self._chance(_IN_UNITS if unit != "stars" else _IN_STARS):
            return self._of_amount(column, unit)
        much = self._chance(0.6)
        known = say.CALLED.get(column.name) or _CALLED.get(self._kind(column))
        if known and self._chance(0.75):
            called = known[not much]
            share = self._pick(list(called))
            words = self._pick(called[share])
            before = not words.startswith(_CLAUSES)
        else:
            most = self._chance(0.35)
            share, before = _SHARES[much][most], False
            words = self._pick((say.HIGHEST if most else say.HIGH) if much else (say.LOWEST if most else say.LOW))
            words = words.format(column.name)
        return Part(words, before, self._outer(column, share, above=much))

    def compared(self, column: Column, up: bool) -> str:
        """Returns words for more of something, or less: "more popular", "cheaper"."""
        kind = self._kind(column)
        if column.name in say.MORE_OF and self._chance(_OTHER_WORD):
            more = self._chance(0.6)
            return ("more " if more else "less ") + self._pick(say.MORE_OF[column.name][up != more])
        if kind in amounts.COMPARED and self._chance(0.8):
            return self._pick(amounts.COMPARED[kind][not up])
        return self._pick(say.MORE_AND_LESS[0 if up else 1]).format(column.name)

    def _kind(self, column: Column) -> str:
        """Returns what a column's numbers are amounts of, as far as its unit or name tells; empty if not."""
        name, unit = column.name, self._units.get(column.name, "")
        if unit in amounts.MONEY_MARKS or name == "price":
            return _MONEY
        if name == _AGE and unit in amounts.MINUTES:
            return _AGE
        if unit in _SHORT_TIMES or unit == "pages" or name == _LENGTH:
            return _LENGTH
        if unit in _FAR:
            return _DISTANCE
        return _STARS if unit == "stars" or name == "rating" else ""

    def _of_level(self, column: Column) -> Part:
        """Returns a level by its name, or all from it on: "premium", "budget or better"."""
        place, side = int(self._rng.integers(len(column.values))), self._rng.random()
        level, name, numbers = column.values[place].lower(), column.name.replace("_", " "), column.numbers
        if side < 0.55:
            if self._chance(0.5):
                return Part(level, True, numbers == place)
            return Part(self._pick(amounts.LEVEL).format(level=level, name=name), False, numbers == place)
        if side < 0.72:
            return Part(self._pick(amounts.LEVEL_OR_MORE).format(level), False, numbers >= place)
        if side < 0.89:
            return Part(self._pick(amounts.LEVEL_OR_LESS).format(level), False, numbers <= place)
        # What is not known to be of another level is not what is asked for either.
        return Part(self._pick(amounts.NOT_LEVEL).format(level), False, (numbers != place) & ~np.isnan(numbers))

    def _of_amount(self, column: Column, unit: str) -> Part:
        """Returns a bound in units, "under 50 euros", spread evenly over the ranks of the items' numbers."""
        numbers, kind = column.numbers.astype(np.float64), self._kind(column)
        if kind == _AGE and self._chance(_SINCE):
            # Whether the newest thing is an hour old or a day, "today" is what is at most a day old.
            minutes = self._pick(list(amounts.SINCE))
            old = minutes / amounts.MINUTES[unit]
            if np.nanmin(numbers) <= old < np.nanmax(numbers):
                return Part(self._pick(amounts.SINCE[minutes]), False, numbers <= old)
        (low, less), (high, more) = sorted((self._amount(column, unit) for _ in range(2)), key=lambda one: one[0])
        # Days may be lasted or be the age of something, and what is not known by its unit is just so much.
        kinds = (_LENGTH, _AGE) if not kind and unit in amounts.MINUTES else (kind,) if kind in _BOUNDS else ()
        ways = _BOUNDS[self._pick(kinds)] if kinds and unit != "pages" and self._chance(_OF_ITS_KIND) else amounts.ANY
        side = self._rng.random()
        if side < _AT_MOST:
            return Part(self._bounded(ways.at_most, column, more), False, numbers <= high)
        if side < _AT_LEAST or low == high:
            return Part(self._bounded(ways.at_least, column, less), False, numbers >= low)
        number = less.split(" ")[0] if self._chance(0.7) and less.split(" ")[-1] == more.split(" ")[-1] else less
        words = self._bounded(ways.between, column, number, more)
        return Part(words, False, (numbers >= low) & (numbers <= high))

    def _bounded(self, ways: Sequence[str], column: Column, *said: str) -> str:
        """Returns amounts in one of these ways, now and then with the name of what they are of."""
        way = self._pick(ways)
        if "last {}" in way or "past {}" in way:
            said = tuple(amount.removeprefix("a ").removeprefix("an ").removeprefix("one ") for amount in said)
        words = way.format(*said)
        if ways in (amounts.ANY.at_most, amounts.ANY.at_least, amounts.ANY.between) and self._chance(_NAMED):
            return self._pick(amounts.NAMED).format(name=column.name.replace("_", " "), bound=words)
        return words

    def _amount(self, column: Column, unit: str) -> tuple[float, str]:
        """Returns a number, and how it is said."""
        if column.name not in self._ascending:
            known: Floats = np.sort(column.numbers[~np.isnan(column.numbers)].astype(np.float64))
            self._ascending[column.name] = known, bool((known % 1 == 0).all())
        known, whole = self._ascending[column.name]
        if unit in amounts.MINUTES and self._chance(_SPAN):
            one = amounts.MINUTES[unit]
            least, most = known[int(0.02 * (len(known) - 1))], known[int(0.98 * (len(known) - 1))]
            if spans := [minutes for minutes in amounts.SPANS if least <= minutes / one <= most]:
                minutes = self._pick(spans)
                return minutes / one, self._pick(amounts.SPANS[minutes])
        number = _round(float(known[int(self._rng.uniform(0.03, 0.97) * len(known))]), whole=whole)
        said = f"{number:g}"
        if number in NUMBERS and self._chance(0.15):
            said = NUMBERS[int(number)]
        if self._chance(0.15):
            return number, said
        if unit in amounts.MONEY_MARKS:
            return number, self._pick(amounts.MONEY_MARKS[unit]).format(said)
        if unit in amounts.SHORT and self._chance(0.15):
            return number, f"{said}{self._pick((' ', ''))}{self._pick(amounts.SHORT[unit])}"
        return number, f"{said} {unit.removesuffix('s') if number == 1 else unit}"


def _round(number: float, *, whole: bool) -> float:
    """Returns a number as people say it: two digits, the second often 0 or 5; whole where all of them are."""
    if number == 0:
        return 0.0
    power = 10.0 ** np.floor(np.log10(abs(number)))
    rounded = float(np.round(number / power * 2) / 2 * power)
    return float(np.round(rounded)) if whole else rounded
