"""What an item earns at a position, fitted to a log: the model that doubly robust estimates correct.

    r̂_j(x, a) = α_j + e_j ψ(x, a)ᵀθ,

with e_j what position j earns on average and ψ features of what was seen and of the item: how much the item earned in
the log, its popularity, how what was said goes with its attributes, its likeness to what the person liked before and
clicked now, whether it was shown already, how the session went so far, and what given rankers think of it. They need
neither a language nor attributes of a certain kind. How words go with attributes is counted in the log.

Everything is fitted out of fold (`log_blocks.folds_of_people`): a row's predictions come from other people's rows. (The
features of those rows count, in turn, all folds but theirs; what of a row comes back to it that way is of the order of
one in the number of rows.)

References:
    Dudík et al. (2014), Doubly robust policy evaluation and optimization; Chernozhukov et al. (2018), Double/debiased
    machine learning (cross-fitting); Micci-Barreca (2001), A preprocessing scheme for high-cardinality categorical
    attributes (shrunken rates).
"""

from __future__ import annotations

import itertools
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import sparse

from instructrec.arrays import Floats, Ints
from instructrec.catalogue import Catalogue, Column
from instructrec.log_blocks import FOLDS, blocks, folds_of_people
from instructrec.log_files import DiskLog
from instructrec.noise import mix, session_keys
from instructrec.policies import places_of
from instructrec.protocols import Ranker
from instructrec.sessions import Observation, World
from instructrec.texts import Texts
from instructrec.turns import Turns

Single = npt.NDArray[np.float32]

FIT_ROWS = 50_000
"""About how many turns the weights are fitted to; counts are of all turns."""

_WORDS = 2048  # Words are told apart by a hash of this many values.
_BINS = 4  # Into how many equal shares numbers are cut.
_MOST_VALUES = 256
_TEXTS = 16_384  # How many texts are remembered.
_PRIOR = 10.0  # How many average showings a rate is shrunk with.
_RIDGE = 10.0
_FURTHEST = 4.0  # Standard deviations at which a ranker's scores are cut.
_TOKEN = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+")


def attribute_matrix(catalogue: Catalogue) -> Single:
    """Returns which values each item has, float32 [num_items, num_values], rows of length 1 or 0.

    Numbers are cut into quarters. Columns beyond `_MOST_VALUES` values in all are left out.
    """
    parts: list[Floats] = []
    for column in catalogue.columns.values():
        part = column.indicators() if column.is_set else _quarters(column)
        if sum(known.shape[1] for known in parts) + part.shape[1] <= _MOST_VALUES:
            parts.append(part)
    found = np.concatenate([np.zeros((catalogue.num_items, 1)), *parts], axis=1)
    return _unit(found)


def _quarters(column: Column) -> Floats:
    if not len(column.ascending):
        return np.zeros((len(column.numbers), 0))
    cuts = np.unique(np.quantile(column.ascending, np.arange(1, _BINS) / _BINS))
    place = np.searchsorted(cuts, column.numbers)
    inside = (place[:, None] == np.arange(len(cuts) + 1)) & ~np.isnan(column.numbers)[:, None]
    return np.asarray(inside, np.float32)


def _unit(rows: Floats) -> Single:
    length = np.sqrt((rows * rows).sum(axis=-1, keepdims=True))
    return np.asarray(rows / np.where(length > 0, length, 1), np.float32)


class _Words:
    """The words of texts as numbers below `_WORDS`: single ones, and each with the one before it ("no horror")."""

    def __init__(self) -> None:
        self._known: dict[int, npt.NDArray[np.int64]] = {}

    def of(self, number: int, text: str) -> npt.NDArray[np.int64]:
        """Returns the words of a text id."""
        found = self._known.get(number)
        if found is None:
            said = _TOKEN.findall(text.lower())
            said += [f"{one} {other}" for one, other in itertools.pairwise(said)]
            found = np.unique([zlib.crc32(word.encode()) % _WORDS for word in said]).astype(np.int64)
            self._known[number] = found
        return found


@dataclass(frozen=True)
class RewardModel:
    """r̂ of a log, fold by fold; `fit_rewards` makes one.

    Attributes:
        rankers: Those whose scores are among the features.
        attributes: As `attribute_matrix` gives them.
        popularity: log(1 + popularity) in standard deviations, float32 [num_items].
        base: α_j, float64 [folds, slate_size].
        positions: e_j, float64 [folds, slate_size].
        weights: θ, float64 [folds, num_features].
        rates: What each item earned, as a share of what its positions earn, float32 [folds, num_items].
        words: How much more items of a value earn where a word was said, in the same unit, float32
            [folds, words, num_values].
        turn_limit: The world's.
    """

    rankers: tuple[Ranker, ...]
    attributes: Single = field(repr=False)
    popularity: Single = field(repr=False)
    base: npt.NDArray[np.float64]
    positions: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]
    rates: Single = field(repr=False)
    words: Single = field(repr=False)
    turn_limit: int
    _said: _Words = field(default_factory=_Words, repr=False)
    _worth_of_texts: dict[int, Single] = field(default_factory=dict, repr=False)
    """By text id, for each fold and value, float32 [folds, num_values]."""

    def scores(self, observation: Observation) -> dict[int, Floats]:
        """Returns what each ranker gives, [batch, num_candidates], by its ``id``: for `worth`, and to draw from."""
        return {id(ranker): ranker.scores(observation) for ranker in self.rankers}

    def worth(self, observation: Observation, fold: Ints, scores: Mapping[int, Floats]) -> Single:
        """Returns ψᵀθ of every candidate, float32 [batch, num_candidates].

        Args:
            observation: What was seen.
            fold: The fold of each row, [batch].
            scores: From `scores`.
        """
        items = observation.candidates
        shape = (observation.batch, len(self.popularity) if items is None else items.shape[1])
        total = np.zeros(shape, np.float32)
        thought = (_standardised(scores[id(ranker)]) for ranker in self.rankers)
        for number, part in enumerate(itertools.chain(self._features(observation, fold, items), thought)):
            total += self.weights[fold, number, None].astype(np.float32) * part
        return total

    def shown(self, fold: Ints, worth: Floats) -> npt.NDArray[np.float64]:
        """Returns r̂_j, [batch, slate_size], of items at their positions whose worth is given in that shape."""
        return np.asarray(self.base[fold] + self.positions[fold] * worth, np.float64)

    def _features(self, observation: Observation, fold: Ints, items: Ints | None) -> Iterator[Floats]:
        """Yields ψ without the rankers, each [batch, num_candidates] or shared by candidates or rows, of some items."""
        every = np.arange(len(self.popularity))[None] if items is None else items
        yield self.rates[fold[:, None], every] - 1
        yield self.popularity[every]
        profiles = np.stack(
            [*self._meant(observation, fold), *_liked(observation, self.attributes)], axis=1
        )  # [batch, 4, num_values]
        if items is None:
            yield from np.swapaxes(profiles @ self.attributes.T, 0, 1)
        else:
            yield from np.einsum("bpv,bcv->pbc", profiles, self.attributes[items], optimize=True)
        seen = np.zeros((observation.batch, len(self.popularity)), np.float32)
        rows, turns, positions = np.nonzero(observation.slates >= 0)
        seen[rows, observation.slates[rows, turns, positions]] = 1
        yield seen if items is None else np.take_along_axis(seen, items, axis=1)
        yield observation.clicked.sum(axis=(1, 2))[:, None] / np.maximum(observation.turn, 1)[:, None]
        yield observation.turn[:, None] / self.turn_limit

    def _meant(self, observation: Observation, fold: Ints) -> tuple[Single, Single]:
        """Returns how much more each value earns given what is said now, and given what was, [batch, num_values]."""
        now = self._of_texts(observation.texts, observation.instruction, fold)
        before = np.zeros_like(now)
        for turn in range(int(observation.turn.max(initial=0))):
            said = observation.said[:, turn]
            there = said >= 0
            before *= np.float32(0.5)
            before[there] += self._of_texts(observation.texts, said[there], fold[there])
        return now, before

    def _of_texts(self, texts: Texts, ids: Ints, fold: Ints) -> Single:
        distinct, place = np.unique(ids, return_inverse=True)
        new = [number for number in distinct.tolist() if number not in self._worth_of_texts]
        for number, text in zip(new, texts.strings(np.array(new, np.int64)), strict=True):
            words = self._said.of(number, text)
            found = self.words[:, words].sum(axis=1) / np.float32(np.sqrt(max(len(words), 1)))
            self._worth_of_texts[number] = found
        every = [self._worth_of_texts[number] for number in distinct.tolist()]
        while len(self._worth_of_texts) > _TEXTS:
            del self._worth_of_texts[next(iter(self._worth_of_texts))]
        if not every:
            return np.zeros((0, self.words.shape[2]), np.float32)
        return np.asarray(np.stack(every)[place.ravel(), fold])


NUM_FEATURES = 9
"""How many features ψ has besides rankers."""


def _standardised(scores: Floats) -> Floats:
    """Returns scores in standard deviations of the row's, cut off at `_FURTHEST`."""
    scores = np.asarray(scores, np.float32)
    finite = np.isfinite(scores)
    if finite.all():
        mean, deviation = scores.mean(axis=1, keepdims=True), scores.std(axis=1, keepdims=True)
    else:
        count = np.maximum(finite.sum(axis=1, keepdims=True), 1)
        mean = np.where(finite, scores, 0).sum(axis=1, keepdims=True) / count
        deviation = np.sqrt(np.where(finite, (scores - mean) ** 2, 0).sum(axis=1, keepdims=True) / count)
    found = (scores - mean) / np.where(deviation > 0, deviation, 1)
    return np.asarray(np.clip(found, -_FURTHEST, _FURTHEST))


def _liked(observation: Observation, attributes: Single) -> tuple[Single, Single]:
    """Returns the values of what a person liked before, and of what they clicked this session, [batch, num_values]."""
    there = observation.past >= 0
    count = np.maximum(there.sum(axis=1, keepdims=True), 1)
    mean = observation.past_ratings.sum(axis=1, keepdims=True) / count
    weight = np.where(there, observation.past_ratings - mean, 0).astype(np.float32)
    before = np.zeros((observation.batch, attributes.shape[1]), np.float32)
    for column in range(observation.past.shape[1]):  # One at a time: all of them would be large.
        before += weight[:, column, None] * attributes[observation.past[:, column]]
    now = np.zeros_like(before)
    rows, turns, positions = np.nonzero(observation.clicked)
    np.add.at(now, rows, attributes[observation.slates[rows, turns, positions]])
    return _unit(before), _unit(now)


def fit_rewards(log: DiskLog, world: World, rankers: Sequence[Ranker] = (), *, rows: int = FIT_ROWS) -> RewardModel:
    """Fits what items earn at positions to a log.

    Counts are of all turns, in two passes without observations; weights are fitted to those of about ``rows`` turns.

    Args:
        log: The log.
        world: The world that it was recorded in.
        rankers: Rankers whose scores are features, such as those of the policies that will be evaluated.
        rows: About how many turns the weights are fitted to.

    Raises:
        RunError: If it is of another world, or a shard is missing or damaged.
    """
    attributes = attribute_matrix(world.catalogue)
    popularity = np.log1p(world.catalogue.popularity.astype(np.float64))
    spread = float(popularity.std())
    positions, rates = _rates(log, world)
    model = RewardModel(
        rankers=tuple({id(ranker): ranker for ranker in rankers}.values()),
        attributes=attributes,
        popularity=((popularity - popularity.mean()) / (spread or 1)).astype(np.float32),
        base=np.zeros_like(positions),
        positions=positions,
        weights=np.zeros((FOLDS, NUM_FEATURES)),
        rates=rates,
        words=_words(log, attributes, positions, rates),
        turn_limit=world.turn_limit,
    )
    return _weighted(log, world, model, min(1.0, rows / max(len(log), 1)))


def _others(parts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns, for each fold, the sum of the others; no trace of the fold itself is left, not even of rounding."""
    return np.stack([sum(np.delete(parts, fold, axis=0), np.zeros_like(parts[0])) for fold in range(len(parts))])


def _rates(log: DiskLog, world: World) -> tuple[npt.NDArray[np.float64], Single]:
    """Returns what positions and items earn, by others than each fold's people."""
    size, items = world.slate_size, world.catalogue.num_items
    earned, count = np.zeros((FOLDS, size)), np.zeros((FOLDS, 1))
    gains, shown = np.zeros((FOLDS, items)), np.zeros((FOLDS, size, items))
    for turns in log.shards():
        fold = folds_of_people(turns.person)
        np.add.at(earned, fold, turns.item_rewards.astype(np.float64))
        np.add.at(count, fold, 1)
        for position in range(size):
            cell = fold * items + turns.slates[:, position]
            gains += np.bincount(cell, turns.item_rewards[:, position], FOLDS * items).reshape(FOLDS, items)
            shown[:, position] += np.bincount(cell, minlength=FOLDS * items).reshape(FOLDS, items)
    positions = _others(earned) / np.maximum(_others(count), 1)
    usual = np.abs(positions).mean(axis=1, keepdims=True)
    expected = np.einsum("fp,fpi->fi", positions, _others(shown))
    prior = _PRIOR * np.where(usual > 0, usual, 1)
    rates = (_others(gains) + prior) / (np.maximum(expected, 0) + prior)
    return positions, rates.astype(np.float32)


def _words(log: DiskLog, attributes: Single, positions: npt.NDArray[np.float64], rates: Single) -> Single:
    """Returns how much more items of a value earn where a word was said, by others than each fold's people."""
    width = attributes.shape[1]
    said, present = _Words(), sparse.csr_array((attributes > 0).astype(np.float64))
    more, usual = np.zeros((2, FOLDS, _WORDS, width))
    for turns in log.shards():
        fold = folds_of_people(turns.person)
        pairs, place = np.unique(np.stack([turns.instruction, fold]), axis=1, return_inverse=True)
        level = positions[fold]
        over = turns.item_rewards - level * rates[fold[:, None], turns.slates]
        cells = (np.repeat(place.ravel(), turns.slates.shape[1]), turns.slates.ravel())
        shape = (pairs.shape[1], len(attributes))
        surplus = (sparse.csr_array((over.ravel(), cells), shape) @ present).toarray()
        weight = (sparse.csr_array((np.abs(level).ravel(), cells), shape) @ present).toarray()
        words = [said.of(text, turns.texts[text]) for text in pairs[0].tolist()]
        ends = np.cumsum([0, *map(len, words)])
        spoken = sparse.csr_array((np.ones(ends[-1]), np.concatenate(words), ends), (len(words), _WORDS))
        for number in range(FOLDS):
            rows = np.flatnonzero(pairs[1] == number)
            more[number] += spoken[rows].T @ surplus[rows]
            usual[number] += spoken[rows].T @ weight[rows]
    prior = _PRIOR * max(float(np.abs(positions).mean()), 1e-12)
    return np.stack(
        [sum(np.delete(more, f, 0), 0.0) / (sum(np.delete(usual, f, 0), 0.0) + prior) for f in range(FOLDS)]
    ).astype(np.float32)


def _chosen(turns: Turns, share: float) -> npt.NDArray[np.bool_]:
    """Returns a share of the turns, whole sessions, the same however the log is sharded, [rows]."""
    keys = mix(session_keys(turns.seed, turns.lane, turns.ordinal) + np.uint64(1))
    return np.asarray(keys.astype(np.float64) < share * 2.0**64)


def _weighted(log: DiskLog, world: World, model: RewardModel, share: float) -> RewardModel:
    """Returns the model with α and θ fitted to a share of the log's turns."""
    size, features = world.slate_size, NUM_FEATURES + len(model.rankers)
    width = size + features
    gram, right = np.zeros((FOLDS, width, width)), np.zeros((FOLDS, width))
    for block in blocks(log, world):
        chosen = np.flatnonzero(_chosen(block.turns, share))
        for begin in range(0, len(chosen), 256):
            rows = chosen[begin : begin + 256]
            seen, fold = block.observations.rows(rows), block.fold[rows]
            design = _design(model, seen, block.turns.slates[rows], fold)
            for number in np.unique(fold):
                part = design[fold == number].reshape(-1, width)
                gram[number] += part.T @ part
                right[number] += part.T @ block.turns.item_rewards[rows[fold == number]].ravel().astype(np.float64)
    gram, right = _others(gram), _others(right)
    found = np.stack([np.linalg.solve(gram[f] + _RIDGE * np.eye(width), right[f]) for f in range(FOLDS)])
    parts = dict(vars(model))
    return RewardModel(**(parts | {"base": found[:, :size], "weights": found[:, size:]}))


def _design(model: RewardModel, seen: Observation, slates: Ints, fold: Ints) -> npt.NDArray[np.float64]:
    """Returns (1 at the position, e_j ψ) of what was shown, [batch, slate_size, slate_size + num_features]."""
    size, places = slates.shape[1], places_of(seen, slates)
    found = np.zeros((*slates.shape, size + NUM_FEATURES + len(model.rankers)))
    found[:, np.arange(size), np.arange(size)] = 1
    scores = model.scores(seen)
    thought = (np.take_along_axis(_standardised(scores[id(each)]), places, axis=1) for each in model.rankers)
    for number, part in enumerate(itertools.chain(model._features(seen, fold, slates), thought)):
        found[:, :, size + number] = model.positions[fold] * part
    return found
