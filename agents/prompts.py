"""What the agent asks itself: texts about the catalogue's own names and numbers, and which items each part is about.

Before anybody has spoken, the agent words prompts about the catalogue's attributes ("no horror", "after 1994", "a
comedy or a western from the 80s"), knows which items every part of them is about, and learns from those how to read;
see `instructrec.agents.wishes`. The prompts are the agent's own, put together from ordinary English and the names in
the catalogue; the instructions that people say, and what they mean by them, have no part in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from instructrec.agents import wordings as say
from instructrec.agents.prompt_maker import Prompt, PromptMaker, is_years
from instructrec.agents.prompts_zh import ChinesePrompts
from instructrec.agents.similar_words import Names
from instructrec.arrays import Bools, Floats
from instructrec.catalogue import Catalogue, Column

_TENS = {20: "twenties", 30: "thirties", 40: "forties", 50: "fifties", 60: "sixties", 70: "seventies", 80: "eighties"}
_TENS[90] = "nineties"
_YEARS = {"two": 2, "three": 3, "five": 5, "ten": 10, "fifteen": 15, "twenty": 20, "thirty": 30, "forty": 40}
_DECADES = {"decade": 10, "two decades": 20, "three decades": 30, "four decades": 40}
_FEWEST = 20
_WANTED = (say.WITH, say.WITH, say.WITH_TOO, say.WISHING)
_UNWANTED = (say.WITHOUT, say.WITHOUT, say.WITHOUT_TOO, say.REFUSING)
_OTHER_WORD, _IN_UNITS = 0.5, 0.65
_TOP, _BOTTOM, _NEW, _ALIKE = 0.85, 0.3, 0.08, 0.6


@dataclass(frozen=True)
class _Part:
    """One thing to ask for: words that stand before a noun, or else after it, and the items they are about."""

    words: str
    before: bool
    items: Bools


def prompts_of(
    catalogue: Catalogue,
    number: int = 24_000,
    *,
    names: Names | None = None,
    language: str = "en",
    seed: int = 0,
) -> list[Prompt]:
    """Returns prompts about the catalogue's attributes, three in ten of them going on from what was said before.

    Args:
        catalogue: The items.
        number: How many; fewer where hardly any wording has items that meet it.
        names: Other words for the values of its set columns.
        language: What people will speak; in languages that the agent has no wordings for it asks itself in English.
        seed: Of the wordings.
    """
    words = _MAKERS.get(language, EnglishPrompts)(catalogue, names or {}, np.random.default_rng(seed))
    if not words.has_something_to_name:
        return []
    prompts: list[Prompt] = []
    for _ in range(4 * number):
        if len(prompts) == number:
            break
        prompt = words.prompt()
        if not prompt.parts or np.logical_and.reduce(prompt.parts).sum() >= max(
            1, min(_FEWEST, catalogue.num_items // 20)
        ):
            prompts.append(prompt)
    return prompts


def enough_prompts(catalogue: Catalogue) -> int:
    """Returns from how many prompts on more of them say little that is new: some hundreds for each thing to name."""
    return 800 * sum(len(column.values) if column.is_set else 4 for column in catalogue.columns.values())


class EnglishPrompts(PromptMaker):
    """Prompts in English."""

    @property
    def _nouns(self) -> tuple[str, ...]:
        return (*self._called, *say.PRONOUNS) if self._called else say.NOUNS

    def prompt(self) -> Prompt:
        """Returns a prompt."""
        kind = self._rng.random()
        if kind < 0.05:
            follows = self._chance(0.8)
            return self._said(self._pick(say.NEUTRAL if follows else say.IDLE), (), follows)
        if kind < 0.13 and self._numbers:
            return self._critique()
        if kind < 0.3:
            part = self._part()
            noun = f" {self._pick(self._nouns)}" if part.before and self._chance(0.5) else ""
            return self._said(self._pick(say.ADDING).format(part.words + noun), [part.items], True)
        parts = [self._part() for _ in range(int(self._rng.choice([1, 2, 3], p=[0.45, 0.37, 0.18])))]
        text = self._pick(say.CARRIERS).format(self._request(parts))
        return self._said(text, [part.items for part in parts], False)

    def _request(self, parts: Sequence[_Part]) -> str:
        order = self._rng.permutation(len(parts))
        before = [parts[place].words for place in order if parts[place].before]
        after = [parts[place].words for place in order if not parts[place].before]
        noun = self._pick(self._nouns)
        if before:
            named = self._pick((" ", " ", ", ", " and ")).join(before)
            named = self._pick(("a ", "some ", "any ", "the ", "", "")) + named
            head = f"{named} {noun}" if self._chance(0.8) else named
        else:
            head = self._pick(("", "something", "anything", f"a {noun}", f"some {noun}", noun, "one"))
        if before and after and self._chance(0.15):
            return ", ".join([*after, head])
        for words in after:
            head = head + self._pick((" ", " ", ", ", ", ", " but ", " and ", ". ")) + words if head else words
        return head

    def _critique(self) -> Prompt:
        column = self._numbers[int(self._rng.integers(len(self._numbers)))]
        numbers, up = column.numbers.astype(np.float64), self._chance(0.5)
        if is_years(column):
            words = self._pick(say.NEWER if up else say.OLDER)
        elif column.name in say.CALLED and self._chance(_OTHER_WORD):
            more = self._chance(0.6)
            words = ("more " if more else "less ") + self._pick(say.CALLED[column.name][up != more])
        else:
            words = self._pick(say.MORE_AND_LESS[0 if up else 1]).format(column.name)
        if self._chance(0.8):
            text = self._pick(say.THAN).format(words=words, place=self._pick(say.ORDINALS))
        else:
            text = self._pick(say.THAN_NUMBER).format(words=words, place=int(self._rng.integers(1, 11)))
        bound = np.nanquantile(numbers, _ALIKE if up else 1 - _ALIKE)
        items = numbers >= bound if up else numbers <= bound
        return self._said(self._pick(say.CARRIERS).format(text), [items], True)

    def _part(self) -> _Part:
        if self._sets and (not self._numbers or self._chance(0.6)):
            return self._of_set(self._sets[int(self._rng.integers(len(self._sets)))])
        column = self._numbers[int(self._rng.integers(len(self._numbers)))]
        return self._of_years(column) if is_years(column) else self._of_number(column)

    def _of_set(self, column: Column) -> _Part:
        places = self._rng.choice(len(column.values), 1 if self._chance(0.75) else 2) if len(column.values) > 1 else [0]
        names = [self._name(column, column.values[place]) for place in dict.fromkeys(places)]
        has = self._has[column.name][:, list(dict.fromkeys(places))]
        either, both = np.asarray(has.any(axis=1)), np.asarray(has.all(axis=1))
        two, noun = len(names) == 2, self._pick(self._nouns)
        if self._chance(0.5):
            said = names[0]
            if two:
                other = f" {self._pick(self._nouns)}" if self._chance(0.4) else ""
                said = self._pick(("{} and {}", "{} or {}", "{} or {}", "{} nor {}", "{}, {}")).format(
                    names[0] + other, names[1]
                )
            said = self._pick(("", "", "the ", "any ")) + said + (f" {noun}" if self._chance(0.4) else "")
            return _Part(self._pick(self._pick(_UNWANTED)).format(said), False, ~either)
        if not two:
            if self._chance(0.4):
                return _Part(self._pick(self._pick(_WANTED)).format(names[0]), False, has[:, 0])
            return _Part(names[0], True, has[:, 0])
        if self._chance(0.5):
            return _Part(self._pick(("{} or {}", "{}/{}", f"{{}} {noun} or {{}}")).format(*names), True, either)
        return _Part(self._pick(("{} and {}", "{}, {}", "{} {}")).format(*names), True, both)

    def _name(self, column: Column, value: str) -> str:
        others = self._names.get((column.name, value), ())
        if others and self._chance(_OTHER_WORD):
            return self._pick(others)
        return value.lower().replace("-", " ") if self._chance(0.15) else value.lower()

    def _of_number(self, column: Column) -> _Part:
        if column.name in self._units and self._chance(_IN_UNITS):
            return self._of_amount(column, self._units[column.name])
        numbers, much = column.numbers.astype(np.float64), self._chance(0.6)
        bound = float(np.nanquantile(numbers, _TOP if much else _BOTTOM))
        items = numbers >= bound if much else numbers <= bound
        if column.name in say.CALLED and self._chance(_OTHER_WORD):
            return _Part(self._pick(say.CALLED[column.name][not much]), True, items)
        return _Part(self._pick(say.HIGH if much else say.LOW).format(column.name), False, items)

    def _of_amount(self, column: Column, unit: str) -> _Part:
        """Returns a bound in units, "under 50 euros", spread evenly over the ranks of the items' numbers."""
        numbers = column.numbers.astype(np.float64)
        known = numbers[~np.isnan(numbers)]
        low, high = sorted(_round(float(np.quantile(known, self._rng.uniform(0.03, 0.97)))) for _ in range(2))
        said = self._pick((f" {unit}", f" {unit}", "", f" {column.name}"))
        kind = self._rng.random()
        if kind < 0.45:
            return _Part(self._pick(say.AT_MOST).format(f"{high:g}{said}"), False, numbers <= high)
        if kind < 0.8:
            return _Part(self._pick(say.AT_LEAST).format(f"{low:g}{said}"), False, numbers >= low)
        words = self._pick(say.FROM_TO).format(f"{low:g}", f"{high:g}{said}")
        return _Part(words, False, (numbers >= low) & (numbers <= high))

    def _of_years(self, column: Column) -> _Part:
        years = column.numbers.astype(np.float64)
        kind = self._rng.random()
        if kind < 0.45:
            return self._bound(years)
        if kind < 0.6:
            low, high = sorted((self._year(years), self._year(years)))
            return _Part(self._pick(say.BETWEEN).format(low, high), False, (years >= low) & (years <= high))
        if kind < 0.73:
            year = self._year(years)
            return _Part(self._pick(say.IN).format(year), False, years == year)
        if kind < 0.89:
            return self._decade(years)
        if kind < 0.93:
            number = self._pick(list(_YEARS))
            span, said = _YEARS[number], f"{number if self._chance(0.5) else _YEARS[number]} years"
            if self._chance(0.3):
                said = self._pick(list(_DECADES))
                span = _DECADES[said]
            return _Part(self._pick(say.LAST).format(said), False, years > np.nanmax(years) - span)
        if self._chance(0.5):
            return _Part(self._pick(say.RECENT), True, years >= float(np.nanquantile(years, 1 - _NEW)))
        return _Part(self._pick(say.OLD), True, years <= float(np.nanquantile(years, _NEW)))

    def _bound(self, years: Floats) -> _Part:
        year, side = self._year(years), int(self._rng.integers(4))
        items = (years >= year, years > year, years <= year, years < year)[side]
        said = str(year)
        if side in (0, 3) and year % 10 == 0 and self._chance(0.25):
            long = year >= 2000 or year % 100 == 0 or self._chance(0.5)
            said = f"the {year if long else year % 100}s"
        return _Part(self._pick((say.FROM, say.AFTER, say.UNTIL, say.BEFORE)[side]).format(said), False, items)

    def _decade(self, years: Floats) -> _Part:
        first = self._year(years) // 10 * 10
        items = (years >= first) & (years < first + 10)
        short = first % 100
        if first < 2000 and short in _TENS and self._chance(0.2):
            return _Part(
                self._pick(("{}", "the {}", "from the {}", "made in the {}")).format(_TENS[short]), False, items
            )
        said = str(short) if first < 2000 and short and self._chance(0.5) else str(first)
        if self._chance(0.35):
            return _Part(self._pick(("{}s", "{}'s")).format(said), True, items)
        return _Part(self._pick(say.DECADE).format(said), False, items)

    def _styled(self, text: str) -> str:
        """Tidies a text, and writes it as carelessly as people do: capitals, full stops, and a letter too few."""
        text = " ".join(text.split())
        if self._chance(0.1):
            words = text.split(" ")
            place = int(self._rng.integers(len(words)))
            word = words[place]
            if len(word) >= 5 and word.isalpha():
                at = int(self._rng.integers(1, len(word) - 1))
                words[place] = self._pick((word[:at] + word[at + 1 :], word[: at + 1] + word[at:]))
                text = " ".join(words)
        if self._chance(0.3):
            text = text[:1].upper() + text[1:]
        return text + self._pick((".", "?", "!", " please")) if self._chance(0.3) else text


def _round(number: float) -> float:
    """Returns a number as people say it: two digits, the second often 0 or 5."""
    if number == 0:
        return 0.0
    power = 10.0 ** np.floor(np.log10(abs(number)))
    return float(np.round(number / power * 2) / 2 * power)


_MAKERS: Mapping[str, type[PromptMaker]] = {"en": EnglishPrompts, "zh": ChinesePrompts}
