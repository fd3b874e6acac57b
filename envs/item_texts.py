"""What is written about items: attributes in words, and texts in the language that people speak."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from instructrec.catalogue import Catalogue, Column, Kind
from instructrec.envs.domain import Words
from instructrec.envs.english import joined
from instructrec.envs.tongue import Tongue


class _Missing(float):
    """A number that is not known, whatever format is asked for."""

    word = "unknown"

    def __format__(self, _: str) -> str:
        return self.word


def spoken(
    column: Column,
    names: Sequence[str] | None = None,
    *,
    series: Callable[[Sequence[str]], str] | None = None,
    unknown: str = "unknown",
) -> list[object]:
    """Returns what a title or a text says of each item's attribute: names joined, or a number to be formatted.

    Args:
        column: The attribute.
        names: What its values or levels are called; their own names if omitted.
        series: Joins names, and has a word for none; English if omitted.
        unknown: What a missing number or level is called.
    """
    if column.kind is Kind.NUMERIC:
        missing = _Missing()
        missing.word = unknown
        return [missing if math.isnan(number) else number for number in column.numbers.tolist()]
    names = column.values if names is None else names
    if column.kind is Kind.ORDINAL:
        return [unknown if math.isnan(rank) else names[int(rank)] for rank in column.numbers.tolist()]
    none = f"no {column.name.replace('_', ' ')}"
    phrases = {}
    for mask in np.unique(column.masks).tolist():
        said = [name for bit, name in enumerate(names) if mask >> bit & 1]
        phrases[mask] = series(said) if series is not None else joined(said) or none
    return [phrases[mask] for mask in column.masks.tolist()]


def in_language(catalogue: Catalogue, words: Words, tongue: Tongue) -> Catalogue:
    """Returns a catalogue whose texts are in a language, where that has a pattern for them; titles stay as they are.

    A value is called by the first word that the language has for it, the most ordinary one.
    """
    if not words.text:
        return catalogue
    labels = {key: terms[0].text for key, terms in words.values.items()}
    cells: Mapping[str, list[object]] = {
        name: spoken(
            column,
            [labels.get((name, value), value) for value in column.values],
            series=tongue.series,
            unknown=tongue.unknown,
        )
        for name, column in catalogue.columns.items()
    }
    texts = tuple(
        words.text.format(title=title, number=item + 1, **{name: column[item] for name, column in cells.items()})
        for item, title in enumerate(catalogue.titles)
    )
    return replace(catalogue, texts=texts, labels=labels)
