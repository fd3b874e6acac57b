"""Titles and texts of made-up items: ``{brand} no. {number}[, {price:.0f} euros]``, filled in for a million at a time.

A name in braces stands for what an item has there, with a format of Python's after a colon; a part in square brackets
is left out for items without an attribute that it names. Doubled braces and brackets are themselves.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Formatter

import numpy as np

from instructrec.arrays import Bools
from instructrec.catalogue import Column, Kind
from instructrec.envs.english import joined
from instructrec.envs.tongue import Tongue

_BRACKETS = re.compile(r"\[\[|\]\]|\[|\]")


@dataclass(frozen=True)
class Part:
    """A stretch of a pattern: texts and (name, format) pairs, and whether it is left out where a name has nothing."""

    pieces: tuple[str | tuple[str, str], ...]
    optional: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The names in it."""
        return tuple(piece[0] for piece in self.pieces if not isinstance(piece, str))


def read_pattern(pattern: str, known: Mapping[str, object]) -> tuple[Part, ...]:
    """Returns the parts of a pattern.

    Args:
        pattern: The pattern.
        known: What it may name, each with a value that its format must fit.

    Raises:
        ValueError: If a brace or bracket is left open, a name unknown or a format unfit.
    """
    parts: list[Part] = []
    inside, at, text = False, 0, ""
    for match in _BRACKETS.finditer(pattern):
        text += pattern[at : match.start()]
        at = match.end()
        if len(match[0]) == 2:
            text += match[0][0]
            continue
        if inside != (match[0] == "]"):
            raise ValueError(f"has a bracket {match[0]!r} without its other half; write [[ or ]] for one that is shown")
        parts.append(_part(text, inside, known))
        inside, text = not inside, ""
    if inside:
        raise ValueError("has a bracket '[' without its other half; write [[ for one that is shown")
    parts.append(_part(text + pattern[at:], False, known))
    return tuple(part for part in parts if part.pieces)


def _part(text: str, optional: bool, known: Mapping[str, object]) -> Part:
    pieces: list[str | tuple[str, str]] = []
    try:
        for literal, name, form, conversion in Formatter().parse(text):
            if literal:
                pieces.append(literal)
            if name is None:
                continue
            if name not in known:
                raise ValueError(f"names {name!r}, which is no attribute, no list of pieces and not number")
            if conversion or "{" in (form or ""):
                raise ValueError(f"says {name!r} in a way that is not understood; write {{{name}}} or {{{name}:.0f}}")
            format(known[name], form or "")
            pieces.append((name, form or ""))
    except ValueError as problem:
        raise ValueError(f"{problem}; known names: {', '.join(known)}") from None
    return Part(tuple(pieces), optional)


def filled(parts: Sequence[Part], cells: Mapping[str, Cells], size: int) -> list[str]:
    """Returns a pattern filled in for every item, blanks tidied.

    Args:
        parts: The pattern.
        cells: What each name stands for.
        size: How many items there are.
    """
    strings: list[Sequence[str]] = []
    for part in parts:
        spoken = [[piece] * size if isinstance(piece, str) else cells[piece[0]].said(piece[1]) for piece in part.pieces]
        if not part.optional:
            strings += spoken
            continue
        has = np.all([cells[name].present for name in part.names], axis=0) if part.names else np.ones(size, np.bool_)
        joined = ["".join(said) for said in zip(*spoken, strict=True)]
        strings.append([text if there else "" for text, there in zip(joined, has.tolist(), strict=True)])
    return [" ".join("".join(said).split()) for said in zip(*strings, strict=True)]


@dataclass(frozen=True)
class Cells:
    """What one name stands for in every item: few different values, and which of them each item has.

    Attributes:
        values: The different values.
        place: Which of them, [num_items].
        present: Whether the item has any, [num_items].
    """

    values: Sequence[object]
    place: Sequence[int]
    present: Bools

    def said(self, form: str) -> list[str]:
        """Returns every item's value in a format of Python's; missing ones as they are called."""
        texts = [value if isinstance(value, Missing) else format(value, form) for value in self.values]
        return [texts[place] for place in self.place]

    @classmethod
    def of_column(cls, column: Column, names: Sequence[str] | None = None, tongue: Tongue | None = None) -> Cells:
        """Returns what is said of an attribute: names joined, or a number to be formatted.

        Args:
            column: The attribute.
            names: What its values or levels are called; their own names if omitted.
            tongue: How names are joined, and what is said where there are none; English if omitted.
        """
        names = column.values if names is None else names
        if column.kind in (Kind.NUMERIC, Kind.ORDINAL):
            numbers, place = np.unique(column.numbers, return_inverse=True)
            ranked = column.kind is Kind.ORDINAL
            unknown = Missing("unknown" if tongue is None else tongue.unknown)
            values = [
                unknown if math.isnan(number) else names[int(number)] if ranked else number
                for number in numbers.tolist()
            ]
            return cls(values, place.tolist(), ~np.isnan(column.numbers))
        masks, place = np.unique(column.masks, return_inverse=True)
        said = [[name for bit, name in enumerate(names) if mask >> bit & 1] for mask in masks.tolist()]
        if tongue is None:
            none = Missing(f"no {column.name.replace('_', ' ')}")
            phrases = [joined(of) or none for of in said]
        else:
            phrases = [tongue.series(of) for of in said]
        return cls(phrases, place.tolist(), column.masks != 0)

    @classmethod
    def of_words(cls, words: Sequence[object], place: Sequence[int]) -> Cells:
        """Returns words that every item has one of."""
        return cls(words, place, np.ones(len(place), np.bool_))


class Missing(str):
    """What is said where there is nothing, whatever format is asked for."""
