"""Catalogues drawn from a domain's distributions, of any size to a million items."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Floats
from instructrec.catalogue import Catalogue, Column, Kind
from instructrec.envs.domain import Attribute, Domain
from instructrec.envs.item_texts import spoken

POPULARITY = "popularity"
"""The attribute that says how often an item was consumed, where a domain has one."""


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
    if attribute.kind is Kind.NUMERIC:
        numbers = _numbers(attribute, size, rng) * _factors(attribute, size, before)
        if attribute.round:
            numbers = np.round(numbers / attribute.round) * attribute.round
        numbers = np.clip(numbers, attribute.low, attribute.high)
        return Column.numeric(attribute.name, np.where(missing, np.nan, numbers))
    values = tuple(attribute.values)
    share = np.array(list(attribute.values.values()), np.float64)
    share /= share.sum()
    first = np.minimum(np.searchsorted(np.cumsum(share), rng.random(size), side="right"), len(values) - 1)
    nothing = np.full(size, np.nan, np.float32)
    if attribute.kind is Kind.ORDINAL:
        ranks = np.where(missing, np.nan, first).astype(np.float32)
        return Column(attribute.name, Kind.ORDINAL, values, np.zeros(size, np.uint64), ranks)
    masks = np.uint64(1) << first.astype(np.uint64)
    if attribute.kind is Kind.MULTI_VALUED and attribute.more:
        for place in range(len(values)):
            has = rng.random(size, np.float32) < attribute.more * share[place]
            masks |= has.astype(np.uint64) << np.uint64(place)
    masks[missing] = 0
    return Column(attribute.name, attribute.kind, values, masks, nothing)


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
        column = before[other]
        has = (column.masks & np.uint64(column.mask_of([value]))) != 0
        factors[has] *= factor
    return factors


def _titles(
    domain: Domain, columns: Mapping[str, Column], size: int, rng: np.random.Generator
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    said = {name: spoken(column) for name, column in columns.items()}
    for name, words in domain.items.pieces.items():
        said[name] = [words[int(place)] for place in rng.integers(len(words), size=size)]
    titles, texts = [], []
    for item in range(size):
        filled = {name: cells[item] for name, cells in said.items()}
        title = " ".join(domain.items.title.format(number=item + 1, **filled).split())
        titles.append(title)
        texts.append(" ".join(domain.items.text.format(number=item + 1, title=title, **filled).split()))
    return tuple(titles), tuple(texts)


def standardised(numbers: Floats, *, counts: bool = False) -> npt.NDArray[np.float64]:
    """Returns numbers with mean 0 and spread 1; missing ones are 0.

    Args:
        numbers: The numbers, NaN where missing.
        counts: Whether to take logarithms first: prices and counts are many small and few large ones.
    """
    values = numbers.astype(np.float64)
    if counts:
        values = np.log1p(np.maximum(values, 0))
    known = ~np.isnan(values)
    if not known.any():
        return np.zeros(len(values))
    spread = float(values[known].std())
    return np.where(known, (values - values[known].mean()) / max(spread, 1e-9), 0.0)
