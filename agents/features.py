"""What agents know of items and people: a fixed table of item features, and profiles from visible pasts.

Everything here is fitted on the catalogue and on training people's visible pasts; nothing hidden enters.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from instructrec.agents.attributes import attributes_of, scaled
from instructrec.agents.encoder import Progress, TextEncoder
from instructrec.agents.prompts import enough_prompts, prompts_of
from instructrec.agents.row_cache import RowTable, row_keys
from instructrec.agents.similar_words import similar_words
from instructrec.agents.wishes import Wishes, fit_wishes
from instructrec.arrays import Floats, Ints
from instructrec.catalogue import Catalogue
from instructrec.factors import Factors, fit_factors, fold_in
from instructrec.noise import mix
from instructrec.sessions import Sessions, World, pasts_of


@dataclass(frozen=True)
class ItemFeatures:
    """A table of item features, and where each block of it stands.

    Attributes:
        table: float32 [num_items, width], centred and of comparable scale.
        blocks: Columns of each block: "sets" (indicators), "numbers" (see `instructrec.agents.attributes`),
            "popularity" (1), "quality" (1), "factors" (rank) and "text" (the widest directions of the item texts).
        projection: Turns a text vector into the coordinates of the text block, float32 [encoder width, text width].
        factors: What quality and taste come from; None where no ratings are known.
        wishes: Finds what a text asks for among the first attributes; None where nothing was fitted.
        values: Columns of the values of each of the catalogue's set columns.
    """

    table: npt.NDArray[np.float32] = field(repr=False)
    blocks: Mapping[str, slice]
    projection: npt.NDArray[np.float32] = field(repr=False)
    factors: Factors | None = field(default=None, repr=False)
    wishes: Wishes | None = field(default=None, repr=False)
    values: Mapping[str, slice] = field(default_factory=dict)

    @property
    def num_items(self) -> int:
        """How many items there are."""
        return len(self.table)

    @property
    def width(self) -> int:
        """How many features an item has."""
        return int(self.table.shape[1])

    @property
    def num_values(self) -> int:
        """How many values items can have; their columns are the first."""
        return max((column.stop for column in self.values.values()), default=0)

    @property
    def quality_scale(self) -> float:
        """Stars per unit of the quality block; 0 where no ratings are known."""
        return 0.0 if self.factors is None else _spread(self.factors.item_bias)

    @property
    def profile_width(self) -> int:
        """How many numbers `Profiles` says of a person."""
        return self.width + (0 if self.factors is None else self.factors.rank) + 2

    @property
    def fingerprint(self) -> str:
        """A hash of the table and of how wishes are read, hex: weights learned over one mean nothing over another."""
        read = "" if self.wishes is None else self.wishes.fingerprint
        parts = repr((sorted(self.blocks.items(), key=str), read)).encode()
        return hashlib.sha256(self.table.tobytes() + parts).hexdigest()[:16]


def item_features(
    catalogue: Catalogue,
    text_vectors: Floats | None = None,
    *,
    factors: Factors | None = None,
    num_steps: int = 8,
    text_width: int = 48,
) -> ItemFeatures:
    """Builds the table.

    Args:
        catalogue: The items.
        text_vectors: The encoder's vectors of the item texts, [num_items, encoder width]; None leaves the text out.
        factors: Fitted on training people's visible pasts; None leaves quality and factors out.
        num_steps: Steps per numeric attribute at its quantiles, beside those at round numbers.
        text_width: Directions kept of the text vectors, those of the widest spread.

    Raises:
        ValueError: If vectors or factors are not of this catalogue.
    """
    for name, size in (
        ("text_vectors", None if text_vectors is None else len(text_vectors)),
        ("factors", None if factors is None else len(factors.item_bias)),
    ):
        if size is not None and size != catalogue.num_items:
            raise ValueError(
                f"{name} has {size} rows, the catalogue {catalogue.num_items} items; give one row per item"
            )
    attributes = attributes_of(catalogue, num_steps)
    asked, named = attributes.scaled, [column.name for column in catalogue.columns.values() if column.is_set]
    popularity = np.log1p(catalogue.popularity.astype(np.float64))[:, None]
    parts: dict[str, Floats] = {
        "sets": asked[:, : attributes.num_values],
        # Never without a column: critiques point into this block.
        "numbers": asked[:, attributes.num_values :],
        "popularity": scaled(popularity),
    }
    if factors is not None:
        parts["quality"] = _unit(factors.item_bias[:, None])
        parts["factors"] = _unit(factors.item_factors)
    projection = np.zeros((0, 0), np.float32)
    if text_vectors is not None:
        parts["text"], projection = _text_block(text_vectors, text_width)
    blocks, start = {}, 0
    for name, part in parts.items():
        blocks[name] = slice(start, start + part.shape[1])
        start += part.shape[1]
    table = np.ascontiguousarray(np.concatenate(list(parts.values()), axis=1), np.float32)
    return ItemFeatures(table, blocks, projection, factors, values=dict(zip(named, attributes.values, strict=True)))


def _spread(block: Floats) -> float:
    return max(float(np.sqrt(((block - block.mean(axis=0)) ** 2).mean())), 1e-9)


def _unit(block: Floats) -> Floats:
    """Centres a block and divides it by one number: its directions keep their relative sizes."""
    unit: Floats = (block - block.mean(axis=0)) / _spread(block)
    return unit


def _text_block(vectors: Floats, width: int) -> tuple[Floats, npt.NDArray[np.float32]]:
    centred = vectors.astype(np.float64) - vectors.mean(axis=0)
    spreads, directions = np.linalg.eigh(centred.T @ centred / len(centred))
    kept = directions[:, ::-1][:, : min(width, int((spreads > 1e-9).sum()))]
    # A sign convention: the same texts give the same table on every platform's eigensolver.
    kept = kept * np.where(kept[np.abs(kept).argmax(axis=0), np.arange(kept.shape[1])] < 0, -1, 1)
    block = centred @ kept
    scale = max(float(np.sqrt((block**2).mean())), 1e-9)
    return block / scale, np.asarray(kept * scale, np.float32)


def past_factors(past: Ints, ratings: Floats, num_items: int, *, rank: int = 16, seed: int = 0) -> Factors | None:
    """Fits factors to people's visible pasts; None where nobody rated anything. The latest fits are remembered.

    Args:
        past: Items padded with -1, [num_people, past_length].
        ratings: Their ratings, [num_people, past_length].
        num_items: How many items there are.
        rank: How many factors.
        seed: Where the item factors start.
    """
    person, place = np.nonzero(past >= 0)
    if not len(person):
        return None
    _, first = np.unique(person * np.int64(num_items) + past[person, place], return_index=True)
    person, place = person[first], place[first]
    item, rating = past[person, place], ratings[person, place]
    digest = hashlib.sha256(repr((len(past), num_items, rank, seed, rating.dtype)).encode())
    for array in (person, item, rating):
        digest.update(array.tobytes())
    key = digest.hexdigest()
    if key not in _FITTED:
        # Agents trained one after the other in a process meet the same people.
        _FITTED[key] = fit_factors(
            person, item, rating, num_persons=len(past), num_items=num_items, rank=rank, seed=seed
        )
        if len(_FITTED) > _FITS:
            _FITTED.popitem(last=False)
    return _FITTED[key]


_FITTED: OrderedDict[str, Factors] = OrderedDict()
_FITS = 4
"""How many fits of factors are remembered."""


def world_features(
    world: World,
    encoder: TextEncoder,
    *,
    text_width: int = 48,
    sessions: int = 8192,
    prompts: int = 48_000,
    seed: int = 0,
    progress: Progress | None = None,
) -> ItemFeatures:
    """Builds the table for a world, with factors fitted to the visible pasts of its people.

    Args:
        world: A training world: whoever comes there may be learned from.
        encoder: Reads the item texts, and the agent's own prompts.
        text_width: As in `item_features`.
        sessions: How many sessions' people to look at.
        prompts: From how many prompts to learn to read, where the catalogue has enough to ask about; 0 leaves it to
            experience.
        seed: Of those sessions, and of the prompts.
        progress: Called with (done, total) while it learns to read.
    """
    catalogue = world.catalogue
    pasts, ratings = pasts_of(world, Sessions.first(seed, sessions))
    past, first = np.unique(pasts, axis=0, return_index=True)
    factors = past_factors(past, ratings[first], catalogue.num_items)
    features = item_features(catalogue, encoder.encode(list(catalogue.texts)), factors=factors, text_width=text_width)
    if not prompts:
        return features
    own = prompts_of(
        catalogue,
        min(prompts, enough_prompts(catalogue)),
        names=similar_words(catalogue, encoder),
        language=world.language,
        seed=seed,
    )
    return replace(features, wishes=fit_wishes(encoder, attributes_of(catalogue), own, seed=seed, progress=progress))


class Profiles:
    """What a visible past says of a person, each past worked out once.

    A profile is the taste found by `fold_in`, the mean features of what was liked less what was not, how generous the
    person is, and how long the past is.

    Args:
        features: The items.
        capacity: How many people to remember.
    """

    def __init__(self, features: ItemFeatures, capacity: int = 100_000) -> None:
        self._features = features
        self._known = RowTable(features.profile_width)
        self._capacity = capacity

    def of(self, past: Ints, ratings: Floats) -> npt.NDArray[np.float32]:
        """Returns profiles, float32 [batch, profile_width]; a row's is the same alone and in any batch.

        Args:
            past: Items padded with -1, [batch, past_length].
            ratings: Their ratings, [batch, past_length].
        """
        if past.shape[1] == 0:
            return np.zeros((len(past), self._features.profile_width), np.float32)
        items = np.asarray(past, np.int64)
        quarters = np.rint(np.asarray(ratings, np.float64) * 1024).astype(np.int64)
        keys = row_keys(items + 1) ^ mix(row_keys(np.where(items >= 0, quarters + (1 << 20), 0)))
        places = self._known.find(keys)
        if (places < 0).any():
            new, first = np.unique(keys[places < 0], return_index=True)
            rows = np.flatnonzero(places < 0)[first]
            if len(self._known) + len(new) > self._capacity:
                self._known = RowTable(self._features.profile_width)
                new, rows = np.unique(keys, return_index=True)
            self._known.add(new, self._profiles(items[rows], np.asarray(ratings, np.float64)[rows]))
            places = self._known.find(keys)
        return self._known.vectors[places]

    def _profiles(self, items: Ints, ratings: Floats) -> npt.NDArray[np.float32]:
        known = items >= 0
        count = known.sum(axis=1, keepdims=True)
        table, factors = self._features.table, self._features.factors
        centre = 3.5 if factors is None else factors.mean
        weights = np.where(known, ratings - centre, 0) / (count + 5)
        parts = [np.stack([row @ table[np.maximum(ids, 0)] for row, ids in zip(weights, items, strict=True)]) * 4]
        bias = np.zeros(len(items))
        if factors is not None:
            bias, taste = fold_in(factors, items, ratings)
            # So that taste part · factor block is the taste in stars.
            parts.append(taste * _spread(factors.item_factors))
        return np.concatenate([*parts, bias[:, None], np.log1p(count) / 4], axis=1).astype(np.float32)
