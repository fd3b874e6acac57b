"""Catalogues drawn from a domain's distributions, of any size to a million items."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Bools, Floats
from instructrec.catalogue import Catalogue, Column, Kind
from instructrec.envs.domain import Attribute, Domain
from instructrec.envs.patterns import Cells, filled, read_pattern

POPULARITY = "popularity"
"""The attribute that says how often an item was consumed, where a domain has one."""

_BLOCK = 65_536
"""How many items' shares are looked at together."""


def made_catalogue(domain: Domain, num_items: int, *, seed: int = 0) -> Catalogue:
    """Makes a catalogue; the same domain, number and seed always give the same one.

    Every attribute has luck of its own, so that a new attribute leaves the others as they were.

    Args:
        domain: What items are like.
        num_items: How many, 1 to 1,000,000.
        seed: Which catalogue of this kind.
    """
    columns: dict[str, Column] = {}
    for name, attribute in domain.attributes.items():
        rng = lucky(domain.name, "attribute", name, num_items, seed)
        columns[name] = _column(attribute, num_items, rng, columns)
    popularity = columns[POPULARITY].numbers if POPULARITY in columns else np.ones(num_items, np.float32)
    titles, texts = _titles(domain, columns, num_items, lucky(domain.name, "titles", num_items, seed))
    return Catalogue(
        columns=columns,
        titles=titles,
        texts=texts,
        item_ids=tuple(map(str, range(1, num_items + 1))),
        popularity=np.nan_to_num(np.maximum(popularity, 0)).astype(np.float32),
    )


def lucky(*what: object) -> np.random.Generator:
    """Returns a generator that depends on ``what`` alone, the same on every machine."""
    digest = hashlib.blake2b(repr(what).encode(), digest_size=16).digest()
    return np.random.default_rng([int.from_bytes(digest[at : at + 4], "big") for at in range(0, 16, 4)])


def _column(attribute: Attribute, size: int, rng: np.random.Generator, before: Mapping[str, Column]) -> Column:
    missing = rng.random(size) < attribute.missing
    for other, values in attribute.only.items():
        missing |= ~np.any([_having(before[other], value) for value in values], axis=0)
    if attribute.kind is Kind.NUMERIC:
        numbers = _numbers(attribute, size, rng) * _factors(attribute, size, before)
        if attribute.round:
            numbers = np.round(numbers / attribute.round) * attribute.round
        numbers = np.clip(numbers, attribute.low, attribute.high)
        return Column.numeric(attribute.name, np.where(missing, np.nan, numbers))
    values = tuple(attribute.values)
    first, masks = np.empty(size, np.int64), np.empty(size, np.uint64)
    luck = rng.random(size)
    for start in range(0, size, _BLOCK):
        block = slice(start, start + _BLOCK)
        share = _shares(attribute, block, size, before)
        # The first value whose cumulated share exceeds the luck.
        first[block] = np.minimum((np.cumsum(share, axis=1) <= luck[block, None]).sum(axis=1), len(values) - 1)
        masks[block] = np.uint64(1) << first[block].astype(np.uint64)
        if attribute.kind is Kind.MULTI_VALUED and attribute.more:
            has = rng.random(share.shape, np.float32) < attribute.more * share
            masks[block] |= has.astype(np.uint64) @ (np.uint64(1) << np.arange(len(values), dtype=np.uint64))
    nothing = np.full(size, np.nan, np.float32)
    if attribute.kind is Kind.ORDINAL:
        ranks = np.where(missing, np.nan, first).astype(np.float32)
        return Column(attribute.name, Kind.ORDINAL, values, np.zeros(size, np.uint64), ranks)
    masks[missing] = 0
    return Column(attribute.name, attribute.kind, values, masks, nothing)


def _shares(attribute: Attribute, block: slice, size: int, before: Mapping[str, Column]) -> npt.NDArray[np.float64]:
    """Returns how likely each value is for the items of a block, [items, num_values], rows summing to 1."""
    values = list(attribute.values)
    share = np.tile(np.array([attribute.values[name] for name in values]), (len(range(size)[block]), 1))
    for (other, value), factors in attribute.by.items():
        if isinstance(factors, Mapping):
            has = _having(before[other], value)[block]
            share[has] *= np.array([factors.get(name, 1.0) for name in values])
    # Where factors leave an item nothing, it has any of the values.
    share = np.where(share.sum(axis=1, keepdims=True) > 0, share, np.array(list(attribute.values.values())))
    return np.asarray(share / share.sum(axis=1, keepdims=True))


def _having(column: Column, value: str) -> Bools:
    """Returns which items have a value, or are at a level, [num_items]."""
    if column.kind is Kind.ORDINAL:
        return np.asarray(column.numbers == column.values.index(value))
    return np.asarray((column.masks & np.uint64(column.mask_of([value]))) != 0)


def _numbers(attribute: Attribute, size: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    if attribute.draw is None:
        raise ValueError(f"attribute {attribute.name!r} says not how its numbers are spread; give it a draw")
    name, given = attribute.draw
    match name:
        case "uniform":
            return rng.uniform(given[0], given[1], size)
        case "normal":
            return rng.normal(given[0], given[1], size)
        case "lognormal":
            return np.exp(rng.normal(np.log(given[0]), given[1], size))
        case "exponential":
            return rng.exponential(given[0], size)
        case "even":
            return np.asarray(np.linspace(given[0], given[1], size))
        case "until":
            return np.asarray(given[0] - rng.exponential(given[1], size))
        case _:
            expected = rng.permutation(np.arange(1, size + 1) ** -given[1])
            return np.asarray(rng.poisson(expected * (given[0] * size / expected.sum())), np.float64)


def _factors(attribute: Attribute, size: int, before: Mapping[str, Column]) -> npt.NDArray[np.float64]:
    factors = np.ones(size)
    for (other, value), factor in attribute.by.items():
        if not isinstance(factor, Mapping):
            factors[_having(before[other], value)] *= factor
    return factors


def _titles(
    domain: Domain, columns: Mapping[str, Column], size: int, rng: np.random.Generator
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    items = domain.items
    cells = {name: Cells.of_column(column) for name, column in columns.items()}
    for name, words in items.pieces.items():
        cells[name] = Cells.of_words(words, rng.integers(len(words), size=size).tolist())
    everyone = range(size)
    cells["number"] = Cells.of_words(range(1, size + 1), everyone)
    titles = filled(read_pattern(items.title, pattern_names(domain.attributes, items.pieces)), cells, size)
    cells["title"] = Cells.of_words(titles, everyone)
    known = {**pattern_names(domain.attributes, items.pieces), "title": ""}
    return tuple(titles), tuple(filled(read_pattern(items.text, known), cells, size))


def pattern_names(attributes: Mapping[str, Attribute], pieces: Iterable[str]) -> dict[str, object]:
    """Returns what a title may name, each with an example of its value."""
    known: dict[str, object] = dict.fromkeys(pieces, "")
    known |= {name: 1.0 if attribute.kind is Kind.NUMERIC else "" for name, attribute in attributes.items()}
    return {**known, "number": 1}


def standardised(numbers: Floats, *, counts: bool = False, half_life: float = 0.0) -> npt.NDArray[np.float64]:
    """Returns numbers as people feel them, with mean 0 and spread 1; missing ones are 0.

    Args:
        numbers: The numbers, NaN where missing.
        counts: Whether to take logarithms first: prices and counts are many small and few large ones.
        half_life: Above 0, what is felt is 2 ** (-number / half_life) instead.
    """
    values = numbers.astype(np.float64)
    if half_life:
        values = np.exp2(-np.maximum(values, 0) / half_life)
    elif counts:
        values = np.log1p(np.maximum(values, 0))
    known = ~np.isnan(values)
    if not known.any():
        return np.zeros(len(values))
    spread = float(values[known].std())
    return np.where(known, (values - values[known].mean()) / max(spread, 1e-9), 0.0)
