"""The agent's own prompts in Chinese: what describes a noun stands before it, or in a clause of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from instructrec.agents import wordings_zh as say
from instructrec.agents.comparisons import PLACES, Comparison
from instructrec.agents.prompt_maker import Prompt, PromptMaker, is_years
from instructrec.arrays import Bools, Floats
from instructrec.catalogue import Column

_OTHER_WORD, _IN_CLAUSE = 0.3, 0.35
# Other words are English ones where texts have those: to an encoder of both languages they are the same.
_TOP, _BOTTOM, _NEW = 0.85, 0.3, 0.08
_DIGITS = "零一二三四五六七八九"
_SPANS = {2: "两", 3: "三", 5: "五", 10: "十", 15: "十五", 20: "二十", 30: "三十", 40: "四十"}


@dataclass(frozen=True)
class _Part:
    """One thing to ask for, and the items it is about: before a noun, itself the end of a noun, or a clause."""

    before: str
    kind: str
    clause: str
    items: Bools


class ChinesePrompts(PromptMaker):
    """Prompts in Chinese."""

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
            text = part.clause or self._noun_phrase([part])
            return self._said(self._pick(say.ADDING).format(text), [part.items], True)
        parts = [self._part() for _ in range(int(self._rng.choice([1, 2, 3], p=[0.45, 0.37, 0.18])))]
        return self._said(self._request(parts), [part.items for part in parts], False)

    def _request(self, parts: Sequence[_Part]) -> str:
        ordered = [parts[place] for place in self._rng.permutation(len(parts))]
        clauses = [part.clause for part in ordered if part.clause]
        described = [part for part in ordered if not part.clause]
        if not described and self._chance(0.6):
            text = self._pick(("，", "，", " ", "。")).join(clauses)
            return self._pick(say.CARRIERS[:4]).format(text)
        if described and self._chance(0.15):
            bare = [part.kind or part.before for part in described]
            return self._pick(("，", " ", "、", "，")).join([*bare, *clauses])
        asked = self._pick(say.CARRIERS).format(self._noun_phrase(described))
        first = self._chance(0.25)
        mark = self._pick(("，", "，", "，", " ", "。"))
        return mark.join([*clauses, asked] if first else [asked, *clauses])

    def _noun_phrase(self, parts: Sequence[_Part]) -> str:
        """Returns what is described and its noun; some are left without one: 吓人的."""
        before = [f"{part.before}的" for part in parts if part.before]
        kinds = [part.kind for part in parts if part.kind]
        if len(before) > 1 and self._chance(0.3):
            before[0] = before[0].removesuffix("的") + self._pick(("", "、"))
        noun = self._pick(say.NOUNS)
        if kinds:
            stems = [_stem(kind) for kind in kinds[:-1]]
            last = kinds[-1] if self._chance(0.6) else _stem(kinds[-1]) + noun
            noun = "".join(stems) + last
        elif before and self._chance(0.25):
            noun = ""
        if not parts:
            return self._pick(say.NOTHING) + self._pick((noun, ""))
        return self._pick(say.COUNTED) + "".join(before) + noun

    def _critique(self) -> Prompt:
        column = self._numbers[int(self._rng.integers(len(self._numbers)))]
        up = self._chance(0.5)
        if is_years(column):
            words = self._pick(say.NEWER if up else say.OLDER)
        elif column.name in say.CALLED and self._chance(0.7):
            more = self._chance(0.6)
            words = self._pick(say.MORE if more else say.LESS).format(self._pick(say.CALLED[column.name][up != more]))
        else:
            words = self._pick(say.MORE_AND_LESS[0 if up else 1]).format(_called(column))
        place = int(self._rng.integers(1, PLACES + 1))
        written = str(place) if self._chance(0.4) else "十" if place == 10 else _DIGITS[place]
        text = self._pick(say.THAN).format(words=words, place=self._pick(say.PLACES).format(written))
        return self._said(text, (), True, Comparison(column.name, up, place - 1))

    def _part(self) -> _Part:
        if self._sets and (not self._numbers or self._chance(0.6)):
            return self._of_set(self._sets[int(self._rng.integers(len(self._sets)))])
        column = self._numbers[int(self._rng.integers(len(self._numbers)))]
        return self._of_years(column) if is_years(column) else self._of_number(column)

    def _placed(self, words: str, items: Bools) -> _Part:
        """Returns words before a noun, or in a clause."""
        if self._chance(_IN_CLAUSE):
            asked = self._pick(
                ("要{}的", "最好是{}的", "{}", "只要{}的", "得是{}的", "希望是{}的", "必须是{}的", "{}的就行")
            )
            return _Part("", "", asked.format(words), items)
        return _Part(words, "", "", items)

    def _of_set(self, column: Column) -> _Part:
        places = self._rng.choice(len(column.values), 1 if self._chance(0.75) else 2) if len(column.values) > 1 else [0]
        distinct = list(dict.fromkeys(places))
        names = [self._name(column, column.values[place]) for place in distinct]
        has = self._has[column.name][:, distinct]
        either, both = np.asarray(has.any(axis=1)), np.asarray(has.all(axis=1))
        two, noun = len(names) == 2, self._pick(say.NOUNS)
        if self._chance(0.5):
            said = self._pick(say.NEITHER).format(*names) if two else names[0]
            said += self._pick((noun, f"的{noun}", "的")) if self._chance(0.4) else ""
            if self._chance(0.3):
                return _Part(self._pick(say.WITHOUT).format(said), "", "", ~either)
            return _Part("", "", self._pick(self._pick((say.REFUSING, say.REFUSING_TOO))).format(said), ~either)
        if two:
            if self._chance(0.5):
                said, items = self._pick(say.EITHER).format(*names), either
            else:
                said, items = self._pick(say.BOTH).format(_stem(names[0]), names[1]), both
        else:
            said, items = names[0], has[:, 0]
        if self._chance(0.3):
            return _Part("", "", self._pick(self._pick((say.WISHING, say.WISHING_TOO))).format(said), items)
        if self._chance(0.5):
            return _Part("", said, "", items)
        return _Part(self._pick(say.WITH).format(said), "", "", items)

    def _name(self, column: Column, value: str) -> str:
        others = self._names.get((column.name, value), ())
        if others and self._chance(_OTHER_WORD):
            return self._pick(others)
        name = self._labels.get((column.name, value), value)
        return _stem(name) if self._chance(0.5) else name

    def _of_number(self, column: Column) -> _Part:
        numbers, much = column.numbers.astype(np.float64), self._chance(0.6)
        if column.name in say.UNITS and self._chance(0.5):
            return self._counted(column)
        bound = float(np.nanquantile(numbers, _TOP if much else _BOTTOM))
        items = numbers >= bound if much else numbers <= bound
        if column.name in say.CALLED and self._chance(0.7):
            called = self._pick(say.CALLED[column.name][not much])
            return self._placed(self._pick(("{}", "{}", "很{}", "最{}", "比较{}")).format(called), items)
        return self._placed(self._pick(say.HIGH if much else say.LOW).format(_called(column)), items)

    def _counted(self, column: Column) -> _Part:
        """Returns a part that bounds a number by a round one: 评分4分以上, 100元以内."""
        numbers, unit = column.numbers.astype(np.float64), self._pick(say.UNITS[column.name])
        low, high = sorted(_rounded(float(np.nanquantile(numbers, self._rng.random()))) for _ in range(2))
        name = _called(column) if not unit or self._chance(0.5) else ""
        kind = self._rng.random()
        if kind < 0.2 and low < high:
            said = self._pick(say.RANGE).format(f"{low:g}", f"{high:g}{unit}")
            return self._placed(name + said, (numbers >= low) & (numbers <= high))
        least = kind < 0.6
        said = self._pick(say.AT_LEAST if least else say.AT_MOST).format(f"{low:g}{unit}")
        return self._placed(name + said, numbers >= low if least else numbers <= low)

    def _of_years(self, column: Column) -> _Part:
        years = column.numbers.astype(np.float64)
        kind = self._rng.random()
        if kind < 0.45:
            return self._bound(years)
        if kind < 0.6:
            low, high = sorted((self._year(years), self._year(years)))
            return self._placed(self._pick(say.BETWEEN).format(low, high), (years >= low) & (years <= high))
        if kind < 0.73:
            year = self._year(years)
            return self._placed(self._pick(say.IN).format(year), years == year)
        if kind < 0.87:
            return self._decade(years)
        if kind < 0.93:
            span = self._pick(list(_SPANS))
            said = _SPANS[span] if self._chance(0.5) else str(span)
            return self._placed(self._pick(say.LAST).format(said), years > np.nanmax(years) - span)
        if self._chance(0.5):
            return self._placed(self._pick(say.RECENT), years >= float(np.nanquantile(years, 1 - _NEW)))
        return self._placed(self._pick(say.OLD), years <= float(np.nanquantile(years, _NEW)))

    def _bound(self, years: Floats) -> _Part:
        year, side = self._year(years), int(self._rng.integers(4))
        items = (years >= year, years > year, years <= year, years < year)[side]
        return self._placed(self._pick((say.FROM, say.AFTER, say.UNTIL, say.BEFORE)[side]).format(year), items)

    def _decade(self, years: Floats) -> _Part:
        first = self._year(years) // 10 * 10
        items = (years >= first) & (years < first + 10)
        short = first % 100
        said = [str(first), f"{short:02d}"]
        said += [f"{_DIGITS[short // 10]}十"] if first < 2000 and short >= 20 else []
        said += [_DIGITS[short // 10] + "零"] if first >= 2000 else []
        return self._placed(self._pick(say.DECADE[: 8 if first >= 2000 else 9]).format(self._pick(said)), items)

    def _styled(self, text: str) -> str:
        """Tidies a text, and writes it as carelessly as people do: marks at its end, and a sign too few."""
        text = text.replace("的的", "的").replace("的电影的", "的电影").strip()
        if len(text) > 4 and self._chance(0.05):
            at = int(self._rng.integers(1, len(text) - 1))
            text = text[:at] + text[at + 1 :]
        return text + self._pick(("。", "？", "！", "，谢谢")) if self._chance(0.35) else text


def _stem(name: str) -> str:
    """Returns what kind of film a film is: 恐怖片 is 恐怖."""
    return name[:-1] if name.endswith("片") and len(name) > 2 else name


def _rounded(number: float) -> float:
    """Returns a number as people say it: halves to 10, then multiples of 5, 50, 500."""
    step = 0.5
    while abs(number) >= 20 * step:
        step *= 10
    return round(number / step) * step


def _called(column: Column) -> str:
    return say.COLUMNS.get(column.name, column.name.replace("_", " "))
