"""What is written about items in the language that people speak."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from instructrec.catalogue import Catalogue, Kind
from instructrec.envs.domain import Attribute, Words
from instructrec.envs.patterns import Cells, filled, read_pattern
from instructrec.envs.tongue import Tongue


def text_names(attributes: Mapping[str, Attribute]) -> dict[str, object]:
    """Returns what a text may name, each with an example of its value."""
    known: dict[str, object] = {n: 1.0 if a.kind is Kind.NUMERIC else "" for n, a in attributes.items()}
    return {**known, "title": "", "text": "", "number": 1}


def in_language(catalogue: Catalogue, attributes: Mapping[str, Attribute], words: Words, tongue: Tongue) -> Catalogue:
    """Returns a catalogue whose texts are in a language, where that has a pattern for them; titles stay as they are.

    A value is called by the first word that the language has for it, the most ordinary one; ``{text}`` is the item's
    own text.
    """
    if not words.text:
        return catalogue
    labels = {key: terms[0].text for key, terms in words.values.items()}
    cells = {
        name: Cells.of_column(column, [labels.get((name, value), value) for value in column.values], tongue)
        for name, column in catalogue.columns.items()
    }
    everyone = range(catalogue.num_items)
    cells["title"] = Cells.of_words(catalogue.titles, everyone)
    cells["text"] = Cells.of_words(catalogue.texts, everyone)
    cells["number"] = Cells.of_words(range(1, catalogue.num_items + 1), everyone)
    texts = filled(read_pattern(words.text, text_names(attributes)), cells, catalogue.num_items)
    return replace(catalogue, texts=tuple(texts), labels=labels)
