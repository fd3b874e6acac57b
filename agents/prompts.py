"""What the agent asks itself: texts about the catalogue's own names and numbers, and which items each part is about.

Before anybody has spoken, the agent words prompts about the catalogue's attributes ("no horror", "after 1994", "a
comedy or a western from the 80s"), some beside things that no attribute answers to ("starring Nora Belling"), knows
which items every part of them is about, and learns from those how to read; see `instructrec.agents.wishes`. The prompts
are the agent's own, put together from ordinary English, what that calls genres, and the names in the catalogue; the
instructions that people say, and what they mean by them, have no part in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from instructrec.agents import wordings as say
from instructrec.agents import wordings_of_time as times
from instructrec.agents.amount_prompts import AmountPrompts
from instructrec.agents.asides import Asides
from instructrec.agents.comparisons import LAST, PLACES, Comparison
from instructrec.agents.genre_words import COMPOUNDS, genre_of, spoken
from instructrec.agents.prompt_maker import Prompt, PromptMaker
from instructrec.agents.prompts_zh import ChinesePrompts
from instructrec.agents.similar_words import Names
from instructrec.agents.time_prompts import Part
from instructrec.catalogue import Catalogue, Column

_FEWEST = 4
_WANTED = (say.WITH, say.WITH, say.WITH_TOO, say.WISHING)
_UNWANTED = (say.WITHOUT, say.WITHOUT_TOO, say.WITHOUT_TOO, say.REFUSING)
_OTHER_WORD, _COMMON_WORD, _PLACED, _SOME = 0.5, 0.45, 0.35, 0.03
_BESIDES, _REMARK, _QUESTION, _SLIP = 0.23, 0.06, 0.05, 0.15
_CARRIERS = (say.CARRIERS, say.CARRIERS, say.CARRIERS, say.CARRIERS, say.AGAIN)
_ORDINALS = (say.ORDINALS, say.ORDINALS, say.ORDINALS, say.ORDINALS_IN_DIGITS)
_NEIGHBOURS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def prompts_of(
    catalogue: Catalogue,
    number: int = 48_000,
    *,
    names: Names | None = None,
    language: str = "en",
    seed: int = 0,
) -> list[Prompt]:
    """Returns prompts about the catalogue's attributes, a third of them going on from what was said before.

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
    return 1600 * sum(len(column.values) if column.is_set else 4 for column in catalogue.columns.values())


class EnglishPrompts(AmountPrompts):
    """Prompts in English."""

    def __init__(self, catalogue: Catalogue, names: Names, rng: np.random.Generator) -> None:
        super().__init__(catalogue, names, rng)
        self._asides = Asides(rng)
        # A column of genres is one of which most values are known as such: a "War" among historians' eras is none.
        self._genres = {
            column.name: 2 * sum(bool(spoken(value).names) for value in column.values) > len(column.values)
            for column in self._sets
        }
        # Actors and plots are what people name besides a genre; in a shop they would be goods.
        self._tells = any(self._genres.values())

    @property
    def _nouns(self) -> tuple[str, ...]:
        return (*self._called, *say.PRONOUNS) if self._called else say.NOUNS

    def prompt(self) -> Prompt:
        """Returns a prompt."""
        kind = self._rng.random()
        if kind < 0.06:
            return self._nothing()
        if kind < 0.13 and self._numbers:
            return self._critique()
        if kind < 0.36:
            return self._addition()
        parts = [self._part() for _ in range(int(self._rng.choice([1, 2, 3], p=[0.45, 0.37, 0.18])))]
        text = self._request(parts)
        way = self._asides.question() if self._tells and self._chance(_QUESTION) else self._pick(self._pick(_CARRIERS))
        text = way.format(text)
        if self._chance(_REMARK):
            mark = self._pick((", ", ". ", ", ", " - "))
            text = self._pick((f"{text}{mark}{self._asides.remark()}", f"{self._asides.remark()}{mark}{text}"))
        return self._said(text, [part.items for part in parts], False)

    def _addition(self) -> Prompt:
        """Returns one more condition, announced as such or bare: "no horror" alone seldom begins anew."""
        part = self._part()
        noun = f" {self._pick(self._nouns)}" if part.before and self._chance(0.5) else ""
        way = self._pick(say.ADDING) if self._chance(0.5) else self._pick(say.OF_IT) if part.before else "{}"
        return self._said(way.format(part.words + noun), [part.items], True)

    def _nothing(self) -> Prompt:
        """Returns a prompt that asks for nothing: more of the same, or anything at all."""
        if self._chance(0.6):
            return self._said(self._pick(say.NEUTRAL), (), True)
        if not self._tells or self._chance(0.5):
            return self._said(self._pick(say.IDLE), (), False)
        text = f"{self._pick(('a', 'some', 'any', 'the', ''))} {self._pick(self._nouns)} {self._asides.described()}"
        return self._said(self._pick(say.CARRIERS).format(text), (), False)

    def _request(self, parts: Sequence[Part]) -> str:
        order = self._rng.permutation(len(parts))
        before = [parts[place].words for place in order if parts[place].before]
        after = [parts[place].words for place in order if not parts[place].before]
        while self._tells and self._chance(_BESIDES):
            here, said = (before, self._asides.before) if self._chance(0.3) else (after, self._asides.described)
            here.insert(int(self._rng.integers(len(here) + 1)), said())
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
        up = self._chance(0.5)
        if column.name in self._dates:
            words = self._pick(times.NEWER if up else times.OLDER)
        else:
            words = self.compared(column, up)
        place = int(self._rng.integers(PLACES + 1))
        if place == PLACES or self._chance(0.7):
            text = self._pick(say.THAN).format(words=words, place=self._pick(_ORDINALS)[place])
        else:
            text = self._pick(say.THAN_NUMBER).format(words=words, place=place + 1)
        comparison = Comparison(column.name, up, LAST if place == PLACES else place)
        return self._said(self._pick(say.CARRIERS).format(text), (), True, comparison)

    def _part(self) -> Part:
        if self._sets and (not self._numbers or self._chance(0.55 if self._dates else 0.65)):
            return self._of_set(self._sets[int(self._rng.integers(len(self._sets)))])
        # Of years there are more to tell apart.
        column = self._pick([column for column in self._numbers for _ in range(2 if column.name in self._dates else 1)])
        return self.of_years(column) if column.name in self._dates else self.of_number(column)

    def _of_set(self, column: Column) -> Part:
        if self._genres[column.name] and self._chance(0.14):
            return self._of_genre(column)
        places = self._rng.choice(len(column.values), 1 if self._chance(0.75) else 2) if len(column.values) > 1 else [0]
        names = [self._name(column, column.values[place]) for place in dict.fromkeys(places)]
        has = self._has[column.name][:, list(dict.fromkeys(places))]
        either, both = np.asarray(has.any(axis=1)), np.asarray(has.all(axis=1))
        two, noun, genres = len(names) == 2, self._pick(self._nouns), self._genres[column.name]
        if self._chance(0.5):
            said = names[0]
            if two:
                other = f" {self._pick(self._nouns)}" if self._chance(0.4) else ""
                said = self._pick(("{} and {}", "{} or {}", "{} or {}", "{} nor {}", "{}, {}")).format(
                    names[0] + other, names[1]
                )
            said = self._pick(("", "", "the ", "any ")) + said + (f" {noun}" if self._chance(0.4) else "")
            ways = say.NOT_NAMED if not genres and self._chance(_PLACED) else self._pick(_UNWANTED)
            return Part(self._pick(ways).format(said), False, ~either)
        if self._chance(_SOME):
            said = f"{names[0]} {noun}" if self._chance(0.5) else names[0]
            words = self._pick(say.SOME_OF_THEM).format(said, number=self._pick(say.FEW))
            return Part(words, False, has[:, 0])
        if not genres and self._chance(_PLACED):
            if self._chance(0.3):
                words = self._pick(say.OF_ITS_COLUMN).format(name=names[0], column=column.name.replace("_", " "))
                return Part(words, False, has[:, 0])
            said = names[0] if not two else self._pick(("{} or {}", "{} or the {}")).format(*names)
            return Part(self._pick(say.NAMED).format(said), False, either)
        if not two:
            if self._chance(0.4):
                return Part(self._pick(self._pick(_WANTED)).format(names[0]), False, has[:, 0])
            return Part(names[0], True, has[:, 0])
        if self._chance(0.5):
            return Part(self._pick(("{} or {}", "{}/{}", f"{{}} {noun} or {{}}")).format(*names), True, either)
        return Part(self._pick(("{} and {}", "{}, {}", "{} {}")).format(*names), True, both)

    def _name(self, column: Column, value: str) -> str:
        if self._genres[column.name] and self._chance(_COMMON_WORD) and (common := spoken(value).names):
            return self._pick(common)
        others = self._names.get((column.name, value), ())
        if others and self._chance(_OTHER_WORD):
            return self._pick(others)
        name = value.lower()
        if self._chance(0.2):
            name = name.replace("-", self._pick((" ", "")))
        return f"{name}s" if self._chance(0.15) and name.isalpha() and not name.endswith(("s", "y")) else name

    def _of_genre(self, column: Column) -> Part:
        """Returns a genre in a clause of its own, or two in one word: "that makes me laugh", "romcom"."""
        places = {genre_of(value): place for place, value in enumerate(column.values)}
        has = self._has[column.name]
        if self._chance(0.3) and (both := [pair for pair in COMPOUNDS if set(pair) <= set(places)]):
            pair = self._pick(both)
            items = has[:, places[pair[0]]] & has[:, places[pair[1]]]
            words = self._pick(COMPOUNDS[pair])
            if self._chance(0.25):
                return Part(self._pick(self._pick(_UNWANTED)).format(words), False, ~items)
            return Part(words, True, items)
        genre = self._pick([genre for genre in places if spoken(genre).clauses])
        clause, items = self._pick(spoken(genre).clauses), has[:, places[genre]]
        if self._chance(0.3):
            words = self._pick(("nothing {}", "no {noun} {}", "not one {}", "don't want anything {}", "but nothing {}"))
            return Part(words.format(clause, noun=self._pick(self._nouns)), False, ~items)
        return Part(clause, False, items)

    def _styled(self, text: str) -> str:
        """Tidies a text, and writes it as carelessly as people do: slips, capitals, marks left out."""
        text = " ".join(text.split())
        for _ in range(2):
            if self._chance(_SLIP / 2):
                text = self._slipped(text)
        if self._chance(0.15):
            text = text.replace("'", "")
        if self._chance(0.3):
            text = text[:1].upper() + text[1:]
        return text + self._pick((".", "?", "!", " please")) if self._chance(0.3) else text

    def _slipped(self, text: str) -> str:
        """Returns a text with a letter left out, doubled, swapped with the next or hit beside, in a longer word."""
        words = text.split(" ")
        long = [place for place, word in enumerate(words) if len(word) >= 5 and word.isalpha()]
        if not long:
            return text
        place = self._pick(long)
        word, kind = words[place], int(self._rng.integers(4))
        at = int(self._rng.integers(1, len(word) - 1))
        if kind == 0:
            word = word[:at] + word[at + 1 :]
        elif kind == 1:
            word = word[: at + 1] + word[at:]
        elif kind == 2:
            word = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        else:
            row = next((row for row in _NEIGHBOURS if word[at].lower() in row), "")
            beside = row[max(row.find(word[at].lower()) - 1, 0) :][:3].replace(word[at].lower(), "")
            word = word[:at] + (self._pick(beside) if beside else "") + word[at + 1 :]
        return " ".join([*words[:place], word, *words[place + 1 :]])


_MAKERS: Mapping[str, type[PromptMaker]] = {"en": EnglishPrompts, "zh": ChinesePrompts}
