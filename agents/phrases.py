"""Cutting a text into what can be left out of it: words, and phrases of words that mean the opposite apart.

"no musicals" without "no" asks for musicals. Whoever leaves words out one by one to see what each does finds that
"musicals" takes away and "no" gives back, which nobody said; the two are one phrase. No list of such words is needed,
in no language. A word belongs to a phrase if it is *turned round*: what it does to the scores in the text is the
opposite of what it does alone, and no longer so once another word nearby is left out. That word and all between join.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence

import numpy as np

from instructrec.arrays import Floats

Worth = Callable[[Sequence[str]], Floats]
"""What texts make of items: scores [num_texts, num_items]."""

_REACH = 3
"""How many words away what turns a word round is looked for, either side."""
_CLEAR = 0.25
"""What does less than this share of what the whole text does is too faint to be called the opposite of anything."""
_OPPOSITE = -0.2
"""At which cosine two effects on items begin to be opposites."""
# Chinese and Japanese have no spaces: each sign is a word.
_PIECE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\s\u3040-\u30ff\u3400-\u9fff]+")
_LETTERS = re.compile(r"\w(?:.*\w)?", re.DOTALL)


def words_of(text: str, most: int | None = None) -> list[str]:
    """Returns a text cut into words, each with what stands between it and the next: joined, they are the text.

    Args:
        text: Any text.
        most: How many words at most, if not any number; neighbours of a longer text are taken together.
    """
    starts: list[int] = []
    for piece in _PIECE.finditer(text):
        if not starts or _LETTERS.search(piece[0]):  # A comma on its own belongs to the word before.
            starts.append(piece.start())
    if not starts:
        return []
    if most is not None and len(starts) > most:
        starts = [int(run[0]) for run in np.array_split(starts, most)]
    cuts = [0, *starts[1:], len(text)]
    return [text[start:end] for start, end in itertools.pairwise(cuts)]


def plain(part: str) -> str:
    """Returns a word or phrase without what stands around it, on one line."""
    found = _LETTERS.search(part)
    return " ".join((found[0] if found else part).split())


def phrases_of(words: Sequence[str], worth: Worth, most: int) -> list[str]:
    """Returns words joined to phrases where they mean the opposite apart: joined, they are the text still.

    Args:
        words: Of a text, as `words_of` cuts it.
        worth: What a text makes of items, against an average item.
        most: How many texts ``worth`` is asked about at most; what is not found by then stays apart.
    """
    parts, known = list(words), _Known(worth, most)
    while len(parts) > 1 and (run := _one_phrase(parts, known)) is not None:
        parts[run] = ["".join(parts[run])]
    return parts


class _Known:
    """What texts make of items, each asked about once, and no more than ``most``."""

    def __init__(self, worth: Worth, most: int) -> None:
        self._worth, self._most = worth, most
        self._found: dict[str, Floats] = {}

    def __call__(self, texts: Sequence[str]) -> Floats | None:
        """Returns what they make of items, [num_texts, num_items]; None if that would be too many texts."""
        new = [text for text in dict.fromkeys(texts) if text not in self._found]
        if len(self._found) + len(new) > self._most:
            return None
        if new:
            self._found.update(zip(new, self._worth(new), strict=True))
        return np.stack([self._found[text] for text in texts])


def _one_phrase(parts: Sequence[str], known: _Known) -> slice | None:
    """Returns which parts are to be one: those between which something is turned round most; None if nothing is."""

    def without(*gone: int) -> str:
        return "".join(part for place, part in enumerate(parts) if place not in gone)

    everywhere = range(len(parts))
    if (found := known([without(), "", *map(without, everywhere), *parts])) is None:
        return None
    whole, silence, less, alone = found[0], found[1], found[2 : 2 + len(parts)], found[2 + len(parts) :]
    clear = _CLEAR * float(np.linalg.norm(whole - silence))
    here, apart = whole - less, alone - silence
    pairs = []
    for word in everywhere:
        if not _opposite(here[word], apart[word], clear):
            continue
        near = [place for place in everywhere if 0 < abs(place - word) <= _REACH]
        if (both := known([without(place, word) for place in near])) is None:
            return None
        for place, neither in zip(near, both, strict=True):
            left = less[place] - neither
            if _opposite(here[word], left, clear):
                pairs.append((float(here[word] @ left), min(place, word), max(place, word)))
    return slice(min(pairs)[1], min(pairs)[2] + 1) if pairs else None


def _opposite(one: Floats, other: Floats, clear: float) -> bool:
    """Whether one effect on items is the opposite of another, and neither is smaller than ``clear``."""
    sizes = float(np.linalg.norm(one)), float(np.linalg.norm(other))
    return min(sizes) >= clear and float(one @ other) < _OPPOSITE * sizes[0] * sizes[1]
