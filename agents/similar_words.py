"""Other words for the catalogue's own names: words of the item texts that the language model finds alike.

"scary" and "creepy" are near "horror", and films whose texts have them are horror films more often than others: both
must hold. What English calls genres stands in `instructrec.agents.genre_words`; other values have these words alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from instructrec.agents.encoder import TextEncoder
from instructrec.arrays import Floats
from instructrec.catalogue import Catalogue

Names = Mapping[tuple[str, str], tuple[str, ...]]
"""Words for a value of a set column, by (column, value)."""

_WORD = re.compile(r"[^\W\d_][\w'-]{2,}")
_FEWEST_ITEMS = 2
_SIMILAR, _CLEARLY, _OFTENER = 0.3, 0.08, 1.3
_MOST, _MOST_WORDS = 25, 20_000
_USED, _NOUN = "a {} {}", "movie"
"""Words are compared in use: "western" alone is a direction, "a western movie" is about cowboys."""


def similar_words(catalogue: Catalogue, encoder: TextEncoder) -> Names:
    """Returns for each value of a set column the words that stand for it, the most similar first.

    Args:
        catalogue: The items.
        encoder: Says what is alike.
    """
    words, has = _words_of(catalogue)
    columns = [column for column in catalogue.columns.values() if column.is_set and len(column.values) > 1]
    if not words or not columns:
        return {}
    noun = catalogue.nouns[0] if catalogue.nouns else _NOUN
    vectors = _directions(encoder.encode([_USED.format(word, noun) for word in words]))
    # A word that names another value stands for that one: many desks are for the office, but "desk" is no office.
    taken = {value.lower() for column in columns for value in column.values}
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for column in columns:
        similar = (
            vectors @ _directions(encoder.encode([_USED.format(value.lower(), noun) for value in column.values])).T
        )
        best, ordered = similar.argmax(axis=1), np.sort(similar, axis=1)
        clear = (ordered[:, -1] >= _SIMILAR) & (ordered[:, -1] - ordered[:, -2] >= _CLEARLY)
        indicators = column.indicators() > 0
        for place, value in enumerate(column.values):
            mine = [word for word in np.flatnonzero(clear & (best == place)) if words[word] not in taken]
            often = _OFTENER * max(float(indicators[:, place].mean()), 1e-9)
            mine = [word for word in mine if indicators[has[word], place].mean() >= min(often, 0.9)]
            mine.sort(key=lambda word: -similar[word, place])
            found[column.name, value] = tuple(words[word] for word in mine[:_MOST])
    return found


def _words_of(catalogue: Catalogue) -> tuple[list[str], list[list[int]]]:
    """Returns the words that several item texts have, and which items those are."""
    items: dict[str, list[int]] = {}
    for item, text in enumerate(catalogue.texts):
        for word in set(_WORD.findall(text.lower())):
            items.setdefault(word, []).append(item)
    repeated = [word for word, where in items.items() if len(where) >= _FEWEST_ITEMS]
    words = sorted(sorted(repeated, key=lambda word: -len(items[word]))[:_MOST_WORDS])
    return words, [items[word] for word in words]


def _directions(vectors: Floats) -> Floats:
    """Returns vectors from their mean, of length 1."""
    centred = vectors - vectors.mean(axis=0, dtype=np.float64)
    directions: Floats = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
    return directions
