"""Texts about items in the language that people speak."""

from __future__ import annotations

from dataclasses import replace

from instructrec.catalogue import Catalogue, Kind
from instructrec.envs.domain import Words
from instructrec.envs.patterns import Cells, filled, read_pattern
from instructrec.envs.tongue import Tongue


def in_language(catalogue: Catalogue, words: Words, tongue: Tongue) -> Catalogue:
    """Returns a catalogue whose texts are in a language, where that has a pattern for them; titles stay as they are.

    A value is called by the first word that the language has for it, the most ordinary one.
    """
    if not words.text:
        return catalogue
    labels = {key: terms[0].text for key, terms in words.values.items()}
    everyone = range(catalogue.num_items)
    cells = {
        name: Cells.of_column(
            column,
            [labels.get((name, value), value) for value in column.values],
            series=tongue.series,
            unknown=tongue.unknown,
        )
        for name, column in catalogue.columns.items()
    }
    cells["title"] = Cells.of_words(catalogue.titles, everyone)
    cells["number"] = Cells.of_words(range(1, catalogue.num_items + 1), everyone)
    known: dict[str, object] = {
        name: 1.0 if column.kind is Kind.NUMERIC else "" for name, column in catalogue.columns.items()
    }
    pattern = read_pattern(words.text, {**known, "title": "", "number": 1})
    return replace(catalogue, texts=tuple(filled(pattern, cells, catalogue.num_items)), labels=labels)
