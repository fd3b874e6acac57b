"""Making a catalogue from what people bring: typed attributes, a title and a sentence for every item, popularity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Floats
from instructrec.catalogue import MAX_VALUES, Catalogue, Column, Kind
from instructrec.envs.infer_attributes import (
    ANSWERS,
    OTHER,
    Finding,
    Use,
    column_values,
    infer_attributes,
    most_frequent,
    one_spelling,
)
from instructrec.envs.interactions import Attribute, Feedback, Interactions
from instructrec.envs.number_cells import numbers_of, spoken
from instructrec.names import unknown_name

_LONGEST, _MOST_VALUES = 160, 8
_YES_NO = {"0": "no", "false": "no", "f": "no", "n": "no", "1": "yes", "true": "yes", "t": "yes", "y": "yes"}


def infer_catalogue(
    record: Interactions,
    findings: Sequence[Finding] | None = None,
    *,
    noun: str = "item",
    max_items: int = 20_000,
    min_ratings: int = 5,
    shrinkage: float = 5.0,
) -> Catalogue:
    """Makes the catalogue of a record: its attributes, and ``rating`` and ``popularity`` from the interactions.

    ``rating`` is an item's mean rating drawn towards the overall mean, on the data's own scale and missing below
    ``min_ratings``; records of clicks have none. ``popularity`` counts the people who rated or clicked the item.

    Args:
        record: What was read.
        findings: What the columns are; `infer_attributes` when omitted. Correct them by `dataclasses.replace`.
        noun: What an item is called in its text: "film", "product".
        max_items: How many items at most; the most popular are kept, in the record's order.
        min_ratings: Ratings that an item needs for a ``rating``, at least 1.
        shrinkage: How many ratings of the overall mean are added to each item's.

    Raises:
        ValueError: If a setting is out of range or a finding names a column that is not there.
    """
    if max_items < 1 or min_ratings < 1 or shrinkage < 0:
        raise ValueError(
            f"max_items and min_ratings must be 1 or more and shrinkage 0 or more, got {max_items}, {min_ratings}, "
            f"{shrinkage}"
        )
    findings = infer_attributes(record) if findings is None else findings
    for finding in findings:
        if finding.column not in record.items:
            raise ValueError("findings: " + unknown_name("column", finding.column, record.items))
    counts = np.bincount(record.ratings.item[_consumed(record)], minlength=record.num_items)
    kept = np.sort(np.argsort(-counts, kind="stable")[:max_items])
    whole = [column_of(record.items[each.column], each) for each in findings if each.use is Use.ATTRIBUTE]
    if record.feedback is Feedback.RATINGS:
        whole.append(Column.numeric("rating", _mean_ratings(record, min_ratings, shrinkage)))
    whole.append(Column.numeric("popularity", counts.astype(np.float32)))
    columns = [replace(column, masks=column.masks[kept], numbers=column.numbers[kept]) for column in whole]
    item_ids = tuple(record.item_ids[row] for row in kept)
    titles = _titles(record, findings, kept, item_ids, noun)
    texts = _texts(record, findings, {column.name: column for column in columns}, titles, kept, noun)
    return Catalogue(
        {column.name: column for column in columns}, titles, texts, item_ids, counts[kept].astype(np.float32)
    )


def column_of(attribute: Attribute, finding: Finding) -> Column:
    """Returns an attribute's column in the catalogue.

    Raises:
        ValueError: If the finding's kind does not fit the attribute's cells.
    """
    name, kind = finding.name, finding.kind
    if kind is Kind.NUMERIC:
        numbers = numbers_of(attribute, finding.like)
        if numbers is None:
            raise ValueError(f"column {finding.column!r} does not hold numbers; make it categorical or leave it out")
        return Column.numeric(name, numbers.astype(np.float32))
    if kind is Kind.ORDINAL:
        levels = {level.lower(): level for level in finding.values}
        first = [next(iter(values), None) for values in _said(attribute)]
        return Column.ordinal(
            name, [None if value is None else levels.get(value.lower(), value) for value in first], finding.values
        )
    if kind is None:
        raise ValueError(f"the finding about column {finding.column!r} makes an attribute of no kind; say kind=")
    cells = one_spelling(_said(attribute))
    allowed = finding.values or most_frequent(Counter(value for cell in cells for value in cell))
    known, items = set(allowed), []
    spelt = {value.lower(): value for value in allowed} | (_YES_NO if known == ANSWERS else {})
    for cell in cells:
        said = [value if value in known else spelt.get(value.lower(), value) for value in cell]
        kept = [value for value in said if value in known]
        items.append(kept + [OTHER] * (len(kept) < len(said) and OTHER not in kept))
    if any(OTHER in item for item in items) and OTHER not in known:
        allowed = (*allowed[: MAX_VALUES - 1], OTHER)
    if kind is Kind.CATEGORICAL:
        return Column.categorical(name, [item[0] if item else None for item in items], sorted(allowed))
    return Column.multi_valued(name, items, sorted(allowed))


def _said(attribute: Attribute) -> Sequence[Sequence[str]]:
    """Returns each item's values; whole numbers without a point, however they were written."""
    numbers = numbers_of(attribute)
    if numbers is None:
        return [spoken(values) for values in column_values(attribute)]
    return [() if np.isnan(number) else (f"{number:.10g}",) for number in numbers]


def _consumed(record: Interactions) -> npt.NDArray[np.bool_]:
    """Returns which entries stand for something consumed: everything rated, but clicks only above 0."""
    if record.feedback is Feedback.RATINGS:
        return np.ones(len(record.ratings.item), np.bool_)
    return record.ratings.rating > 0


def _mean_ratings(record: Interactions, min_ratings: int, shrinkage: float) -> Floats:
    ratings = record.ratings
    counts = np.bincount(ratings.item, minlength=record.num_items)
    totals = np.bincount(ratings.item, ratings.rating, minlength=record.num_items)
    mean = ratings.rating.mean(dtype=np.float64)
    shrunken = (totals + shrinkage * mean) / np.maximum(counts + shrinkage, 1)
    return np.where(counts >= min_ratings, shrunken, np.nan)


def _titles(
    record: Interactions,
    findings: Sequence[Finding],
    kept: npt.NDArray[np.int64],
    item_ids: Sequence[str],
    noun: str,
) -> tuple[str, ...]:
    """Returns the titles; what has none is called by its id."""
    column = next((finding.column for finding in findings if finding.use is Use.TITLE), None)
    cells = record.items[column].take(kept).cells() if column is not None else [""] * len(item_ids)
    return tuple(" ".join(cell.split()) or f"{noun} {item_id}" for cell, item_id in zip(cells, item_ids, strict=True))


def _descriptions(record: Interactions, findings: Sequence[Finding], kept: npt.NDArray[np.int64]) -> list[str]:
    """Returns the beginning of every item's texts, up to the end of a sentence or word."""
    columns = [record.items[finding.column].take(kept).cells() for finding in findings if finding.use is Use.TEXT]
    return [_shortened(" ".join(" ".join(parts).split())) for parts in zip(*columns, strict=True)] or [""] * len(kept)


def _shortened(text: str) -> str:
    if len(text) <= _LONGEST:
        return text.rstrip(". ")
    head = text[:_LONGEST]
    end = head.rfind(". ")
    return head[:end] if end > _LONGEST // 3 else head.rpartition(" ")[0] or head


def _texts(
    record: Interactions,
    findings: Sequence[Finding],
    columns: Mapping[str, Column],
    titles: Sequence[str],
    kept: npt.NDArray[np.int64],
    noun: str,
) -> tuple[str, ...]:
    """Returns a sentence per item, such as 'Alien, a film with genre horror and sci-fi, from 1979: a crew meets it.'.

    Values are those of the data, the rare ones that the catalogue calls other among them.
    """
    phrases: list[list[str]] = [[] for _ in titles]
    for finding in sorted(findings, key=lambda finding: finding.like != ""):  # Years and prices come last.
        if finding.use is not Use.ATTRIBUTE:
            continue
        column, label = columns[finding.name], finding.name.replace("_", " ")
        if set(column.values) == ANSWERS:
            for phrase, values in zip(phrases, column.indicators(), strict=True):
                if values.any():
                    phrase.append(f"{'with' if values[column.values.index('yes')] else 'without'} {label}")
            continue
        if column.is_set:
            cells = column_values(record.items[finding.column].take(kept))
            said = [_listed(spoken(values)[:_MOST_VALUES]) for values in cells]
        else:
            said = ["" if np.isnan(number) else _number_said(column, number, finding.like) for number in column.numbers]
        lead = {"year": "from", "price": "for"}.get(finding.like, f"with {label}")
        for phrase, words in zip(phrases, said, strict=True):
            if words:
                phrase.append(f"{lead} {words}")
    kind = f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
    texts = []
    for title, phrase, description in zip(titles, phrases, _descriptions(record, findings, kept), strict=True):
        text = f"{title}, {kind} {', '.join(phrase)}".rstrip()
        texts.append(f"{text}: {description}." if description else f"{text}.")
    return tuple(texts)


def _number_said(column: Column, number: float, like: str) -> str:
    if column.kind is Kind.ORDINAL:
        return column.values[int(number)]
    return f"{number:.0f}" if like == "year" else f"{number:.2f}" if like == "price" else f"{number:.4g}"


def _listed(values: Sequence[str]) -> str:
    return f"{', '.join(values[:-1])} and {values[-1]}" if len(values) > 1 else "".join(values)
