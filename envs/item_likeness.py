"""What makes items alike, and alike to what a person clicked or said: attributes, profiles, shared words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Floats, Ints
from instructrec.catalogue import Catalogue

_POPULARITY = "(popularity)"
_MISSING = "?"
_SHRINK = 3.0
"""How many average clicks a profile begins with: somebody who clicked once has a faint one."""
_MOST_WORDS, _MOST_CELLS = 16, 1 << 26
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]+|[^\W_\u3040-\u30ff\u3400-\u9fff]+")


@dataclass(frozen=True)
class Attributes:
    """Which features of items there are, and how they are scaled: the same numbers for another catalogue's items.

    Attributes:
        columns: The catalogue's column of each feature.
        values: The value that a set column must have; "?" for a missing number, and "" for the number itself.
        shift: What is taken off, [num_features].
        scale: What it is then divided by, [num_features].
    """

    columns: tuple[str, ...]
    values: tuple[str, ...]
    shift: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]

    @property
    def named(self) -> tuple[str, ...]:
        """A name per feature, such as ``genre=Comedy``."""
        shown = zip(self.columns, self.values, strict=True)
        return tuple(f"{column}={value}" if value else column.strip("()") for column, value in shown)

    @classmethod
    def of(cls, catalogue: Catalogue) -> Attributes:
        """Returns every feature in which the catalogue's items differ: each value of a set, numbers, popularity."""
        columns, values = [_POPULARITY], [""]
        for name, column in catalogue.columns.items():
            if column.is_set:
                columns += [name] * len(column.values)
                values += column.values
            else:
                columns += [name, name]
                values += ["", _MISSING]
        size = len(columns)
        every = cls(tuple(columns), tuple(values), np.zeros(size), np.ones(size))
        raw = every.matrix(catalogue)
        differ = raw.std(axis=0) > 0
        number = np.array([not value for value in values])
        scale = np.where(number, raw.std(axis=0), 1.0)
        kept = np.flatnonzero(differ)
        return cls(tuple(columns[i] for i in kept), tuple(values[i] for i in kept), raw.mean(axis=0)[kept], scale[kept])

    def matrix(self, catalogue: Catalogue) -> npt.NDArray[np.float64]:
        """Returns the features of a catalogue's items, [num_items, num_features]; a missing number counts as average.

        Raises:
            ValueError: If the catalogue lacks a column; the message suggests the nearest.
        """
        found = np.zeros((catalogue.num_items, len(self.columns)))
        for place, (name, value) in enumerate(zip(self.columns, self.values, strict=True)):
            if name == _POPULARITY:
                found[:, place] = np.log1p(catalogue.popularity.astype(np.float64))
                continue
            column = catalogue.column(name)
            missing = np.isnan(column.numbers)
            if value == _MISSING:
                found[:, place] = missing
            elif value:
                bit = np.uint64(column.mask_of([value])) if value in column.values else np.uint64(0)
                found[:, place] = (column.masks & bit) != 0
            else:
                known = column.numbers[~missing].astype(np.float64)
                found[:, place] = np.where(missing, known.mean() if len(known) else 0.0, column.numbers)
        return np.asarray((found - self.shift) / self.scale)

    @property
    def tastes(self) -> tuple[str, ...]:
        """The columns in which a person's past tells a taste: all but popularity, and not whether a number is known."""
        return tuple(dict.fromkeys(self.columns[place] for place in self._of_taste))

    @property
    def taste(self) -> npt.NDArray[np.int64]:
        """Which of the ``tastes`` each feature of a direction belongs to, int64 [width]."""
        return np.array([self.tastes.index(self.columns[place]) for place in self._of_taste], np.int64)

    @property
    def _of_taste(self) -> list[int]:
        shown = zip(self.columns, self.values, strict=True)
        return [place for place, (column, value) in enumerate(shown) if column != _POPULARITY and value != _MISSING]

    def directions(self, catalogue: Catalogue) -> npt.NDArray[np.float32]:
        """Returns in which direction each item differs from the average one, float32 [num_items, width].

        The features of a set column together have length 1, or 0 where all items have the same; a number is in standard
        deviations, at most 3 either way.
        """
        found, taste = self.matrix(catalogue)[:, self._of_taste], self.taste
        for place in range(len(self.tastes)):
            mine = found[:, taste == place]
            length = np.sqrt((mine**2).sum(axis=1, keepdims=True))
            one_number = mine.shape[1] == 1
            found[:, taste == place] = np.clip(mine, -3, 3) if one_number else mine / np.maximum(length, 1e-9)
        return found.astype(np.float32)

    @staticmethod
    def profiles(directions: npt.NDArray[np.float32], past: Ints) -> npt.NDArray[np.float32]:
        """Returns the mean direction of each person's past items, drawn towards none, [num_persons, width].

        Args:
            directions: Of items.
            past: Item numbers, padded with -1, [num_persons, past_length].
        """
        total = np.zeros((len(past), directions.shape[1]), np.float32)
        for place in range(past.shape[1]):
            total += np.where(past[:, place, None] >= 0, directions[np.maximum(past[:, place], 0)], np.float32(0))
        count = (past >= 0).sum(axis=1, keepdims=True).astype(np.float32)
        return np.asarray(total / (count + np.float32(_SHRINK)), np.float32)


@dataclass(frozen=True)
class Overlap:
    """How much of a text's words stands in an item's text, rare words counting more.

    Attributes:
        has: Which words stand in which item's text, [num_items, num_words].
        words: The words of each text, padded with 0, int32 [num_texts, most].
        weights: Their shares, summing to 1 where a text has any word that some item's text has, float32, as ``words``.
    """

    has: npt.NDArray[np.bool_]
    words: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]

    @classmethod
    def of(cls, catalogue: Catalogue, texts: Sequence[str]) -> Overlap:
        """Returns the overlap of some texts with a catalogue's items."""
        said = [set(words_of(text)) for text in texts]
        often = Counter(word for words in said for word in words)
        of_items = [often.keys() & set(words_of(text)) for text in catalogue.texts]
        spread = Counter(word for words in of_items for word in words)
        most = max(1, _MOST_CELLS // catalogue.num_items)
        known = sorted(spread, key=lambda word: (-often[word], word))[:most]
        code = {word: place for place, word in enumerate(known)}
        has = np.zeros((catalogue.num_items, max(len(known), 1)), np.bool_)
        for item, words in enumerate(of_items):
            has[item, [code[word] for word in words if word in code]] = True
        rarity = {word: float(np.log((1 + catalogue.num_items) / (0.5 + spread[word]))) for word in known}
        words_said = np.zeros((len(texts), _MOST_WORDS), np.int32)
        weights = np.zeros((len(texts), _MOST_WORDS), np.float32)
        for row, words in enumerate(said):
            rarest = sorted(words & code.keys(), key=lambda word: (-rarity[word], word))[:_MOST_WORDS]
            total = sum(rarity[word] for word in rarest)
            words_said[row, : len(rarest)] = [code[word] for word in rarest]
            weights[row, : len(rarest)] = [rarity[word] / total for word in rarest]
        longest = max(1, int((weights > 0).sum(axis=1).max(initial=1)))
        return cls(has, words_said[:, :longest], weights[:, :longest])

    def share(self, items: Ints, texts: Ints) -> Floats:
        """Returns the weighted share of the texts' words that stand in the items' texts, float32 0 to 1.

        Args:
            items: Item numbers, [batch, slate_size].
            texts: Places of texts, [batch].
        """
        there = self.has[items[:, :, None], self.words[texts][:, None, :]]
        return np.asarray((there * self.weights[texts][:, None, :]).sum(axis=-1))


def words_of(text: str) -> list[str]:
    """Returns the words of a text in lower case; of Chinese and Japanese, written without blanks, pairs of signs."""
    found: list[str] = []
    for run in _WORD.findall(text.lower()):
        if "\u3040" <= run[0] <= "\u9fff":
            found += [run[place : place + 2] for place in range(max(1, len(run) - 1))]
        else:
            found.append(run)
    return found
