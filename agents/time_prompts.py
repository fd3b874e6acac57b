"""Prompts about times: single years, decades, bounds, and times counted from the newest item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from instructrec.agents import wordings_of_time as say
from instructrec.agents.prompt_maker import PromptMaker
from instructrec.arrays import Bools, Floats
from instructrec.catalogue import Column

_TENS = {20: "twenties", 30: "thirties", 40: "forties", 50: "fifties", 60: "sixties", 70: "seventies", 80: "eighties"}
_TENS[90] = "nineties"
NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine"}
NUMBERS |= {10: "ten", 11: "eleven", 12: "twelve", 13: "thirteen", 14: "fourteen", 15: "fifteen", 16: "sixteen"}
NUMBERS |= {17: "seventeen", 18: "eighteen", 19: "nineteen", 20: "twenty", 25: "twenty-five", 30: "thirty"}
NUMBERS |= {40: "forty", 50: "fifty"}
_PART_OF_DECADE = {"early": (0, 4), "mid": (4, 6), "late": (5, 9), "early to mid": (0, 6), "mid to late": (4, 9)}
_A_YEAR = ("year", "twelve months", "12 months", "year or so")
_SPANS = (
    ("few years", 5),
    ("couple of years", 3),
    ("several years", 6),
    ("half century", 50),
    ("couple of decades", 20),
)
_MARKS = ("s", "s", "'s", " s")
_ROUND = 0.4
_NEW, _NEWEST, _OLD, _OLDEST = 0.1, 0.05, 0.12, 0.04
"""Shares of the items that are so."""


@dataclass(frozen=True)
class Part:
    """One thing to ask for: words that stand before a noun, or else after it, and the items they are about."""

    words: str
    before: bool
    items: Bools


class TimePrompts(PromptMaker):
    """Words times in English; the rest of a prompt is its heirs'."""

    def of_years(self, column: Column) -> Part:
        """Returns a condition on a column of years."""
        years = column.numbers.astype(np.float64)
        kind = self._rng.random()
        if kind < 0.28:
            return self._bound(years)
        if kind < 0.38:
            return self._range(years)
        if kind < 0.57:
            year = self._year(years)
            # "1980" is easily taken for its decade.
            year = year // 10 * 10 if self._chance(0.25) else year
            said = str(year) if self._chance(0.9) else f"'{year % 100:02d}"
            return self._dated(said, say.IN, years == year)
        if kind < 0.75:
            return self._decade(years)
        if kind < 0.9:
            return self._ago(years)
        new, most = self._chance(0.5), self._chance(0.35)
        share = (_NEWEST if most else _NEW) if new else (_OLDEST if most else _OLD)
        items = self._outer(column, share, above=new)
        if most:
            return Part(self._pick(say.NEWEST if new else say.OLDEST), True, items)
        if self._chance(0.35):
            return Part(self._pick(say.RECENTLY if new else say.FROM_OLD), False, items)
        return Part(self._pick(say.RECENT if new else say.OLD), True, items)

    def _dated(self, said: str, ways: Sequence[str], items: Bools) -> Part:
        """Returns a time before a noun, after it, or as one that is not wanted."""
        if self._chance(0.3):
            return Part(said, True, items)
        if self._chance(0.06):
            return Part(self._pick(say.NOT_FROM).format(said), False, ~items)
        return Part(self._pick(ways).format(said), False, items)

    def _range(self, years: Floats) -> Part:
        low, high = sorted((self._end(years), self._end(years)))
        said = [str(low), str(high)]
        if self._chance(0.3):
            low, high = low // 10 * 10, high // 10 * 10 + 9
            short = high < 2000 and self._chance(0.5)
            the, mark = self._pick(("", "the ")), self._pick(_MARKS)
            said = [f"{the}{first % 100 if short else first}{mark}" for first in (low, high - 9)]
            if high - low == 19 and self._chance(0.5):
                either = self._pick(("{} or {}", "{} and {}", "from {} or {}")).format(*said)
                return Part(either, False, _within(years, low, high))
        return Part(self._pick(say.BETWEEN).format(*said), False, _within(years, low, high))

    def _ago(self, years: Floats) -> Part:
        """Returns a time counted from the catalogue's last year: "this year", "from the past five years"."""
        now, kind = int(np.nanmax(years)), self._rng.random()
        decade, century = now // 10 * 10, now // 100 * 100
        named: tuple[tuple[float, Sequence[str], int, int], ...] = (
            (0.16, say.THIS_YEAR, now, now),
            (0.32, say.LAST_YEAR, now - 1, now - 1),
            (0.38, say.THIS_DECADE, decade, now),
            (0.41, say.PREVIOUS_DECADE, decade - 10, decade - 1),
            (0.45, say.THIS_CENTURY, century, now),
            (0.49, say.LAST_CENTURY, century - 100, century - 1),
        )
        for until, ways, low, high in named:
            if kind < until:
                return Part(self._pick(ways), False, _within(years, low, high))
        said, span = self._span()
        if self._chance(0.12):
            return Part(self._pick(say.LONG_AGO).format(said), False, years <= now - span)
        return Part(self._pick(say.LAST).format(said), False, years > now - span)

    def _span(self) -> tuple[str, int]:
        """Returns a length of time in words, and in years."""
        kind = self._rng.random()
        if kind < 0.1:
            return self._pick(_SPANS)
        if kind < 0.18:
            return self._pick(_A_YEAR), 2
        if kind < 0.26:
            return "decade", 10
        if kind < 0.45:
            decades = int(self._rng.integers(2, 11))
            return f"{self._pick((str(decades), NUMBERS[decades]))} decades", 10 * decades
        years = self._pick([number for number in NUMBERS if number > 1])
        return f"{self._pick((str(years), NUMBERS[years]))} years", years

    def _end(self, years: Floats) -> int:
        """Returns a year at which something begins or ends: often a round one."""
        year = self._year(years)
        return 5 * round(year / 5) if self._chance(_ROUND) else year

    def _bound(self, years: Floats) -> Part:
        year, side = self._end(years), int(self._rng.integers(4))
        items = (years >= year, years > year, years <= year, years < year)[side]
        said = str(year)
        if self._chance(0.2):
            # Whole decades: "since the 80s" begins with them, "after the 80s" follows on them.
            first = year // 10 * 10
            items = (years >= first, years >= first + 10, years < first + 10, years < first)[side]
            long = first >= 2000 or first % 100 == 0 or self._chance(0.5)
            said = f"the {first if long else first % 100}{self._pick(_MARKS)}"
        return Part(self._pick((say.FROM, say.AFTER, say.UNTIL, say.BEFORE)[side]).format(said), False, items)

    def _decade(self, years: Floats) -> Part:
        first = self._year(years) // 10 * 10
        low, high, part = first, first + 9, ""
        if self._chance(0.15):
            part = self._pick(list(_PART_OF_DECADE))
            low, high = (first + place for place in _PART_OF_DECADE[part])
            part = f"{part}{self._pick((' ', ' ', '-'))}"
        items, short = _within(years, low, high), first % 100
        if first < 2000 and short in _TENS and self._chance(0.2):
            said = self._pick(("{}", "{}", "nineteen {}")).format(_TENS[short])
            ways = ("{}", "the {}", "from the {}", "made in the {}", "of the {}", "in the {}", "released in the {}")
            return self._dated(part + said, ways, items)
        long = first >= 2000 or not short or self._chance(0.5)
        said = str(first if long else short)
        if not long and self._chance(0.1):
            said = f"'{said}"
        if self._chance(0.35):
            return Part(part + said + self._pick(_MARKS), True, items)
        way = self._pick(say.DECADE)
        if self._chance(0.06):
            way = self._pick(say.NOT_FROM).format("the {}s")
            items = ~items
        return Part(way.format(part + said), False, items)


def _within(numbers: Floats, low: float, high: float) -> Bools:
    return (numbers >= low) & (numbers <= high)
